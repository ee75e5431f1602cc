"""What is done to the pixels of an image: cells hidden, pieces shuffled, colour taken, quarter turns.

Pure functions of pixels, grid, level, seed and what identifies the image: the same in any batch, order and run.
After Naseer et al. (2021, arXiv 2105.10497), with masks drawn for each image instead of each batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import rgb_to_grayscale

from ..plugin.errors import UserError, suggest
from ..words import few

Grid = tuple[int, int]  # rows, columns
Window = tuple[slice, slice]  # rows and columns of pixels that are the picture, where there is a border around it
WHOLE: Window = (slice(None), slice(None))
SALIENCIES = ("random", "salient", "non-salient")
# Pieces of a shuffled image -> rows and columns (Naseer et al.); 1 is the image as it is.
SHUFFLES: dict[int, Grid] = {
    1: (1, 1),
    4: (2, 2),
    8: (2, 4),
    16: (4, 4),
    32: (4, 8),
    64: (8, 8),
    196: (14, 14),
    256: (16, 16),
}


# --- which cells -----------------------------------------------------------------------------------------------------


def n_hidden(share: float, n_cells: int) -> int:
    """How many of the cells a share is, rounded down.

    Examples
    --------
    >>> [n_hidden(tenths / 10, 196) for tenths in range(10)]
    [0, 19, 39, 58, 78, 98, 117, 137, 156, 176]
    """
    return int(share * n_cells + 1e-9)  # .7 x 10 is 7, whatever floats say


def random_cells(grid: Grid, share: float, seed: int, identity: str, nested: bool = False) -> np.ndarray:
    """A share of the cells, drawn for one image.

    Parameters
    ----------
    identity : what names the image, such as its file in the set or the hash of its bytes
    nested : whether the cells of a smaller share are among those of a larger one; otherwise each share is drawn anew

    Returns
    -------
    bool array of shape (rows, columns), true for the hidden ones
    """
    cells = np.zeros(grid[0] * grid[1], dtype=bool)
    words = ("occlusion", seed, identity, tuple(grid), *(() if nested else (share,)))
    cells[_generator(*words).permutation(cells.size)[: n_hidden(share, cells.size)]] = True
    return cells.reshape(grid)


def salient_cells(attention: np.ndarray, mass: float, most: bool = True) -> np.ndarray:
    """The cells with most of the attention, or with least.

    Parameters
    ----------
    attention : shape (rows, columns), 0 or more, not all 0
    mass : share of the attention. Of the salient cells the fewest that hold at least so much; of the others as many as
        hold at most so much. Of mass 0 none
    most : the salient ones, or the others

    Returns
    -------
    bool array of shape (rows, columns)

    Examples
    --------
    >>> attention = np.array([[.5, .3], [.15, .05]])
    >>> salient_cells(attention, .8).tolist(), salient_cells(attention, .2, most=False).tolist()
    ([[True, True], [False, False]], [[False, False], [True, True]])
    """
    attention = np.asarray(attention, dtype=np.float64)
    if not (np.isfinite(attention).all() and (attention >= 0).all() and attention.sum() > 0):
        raise UserError("an attention map holds finite numbers of 0 or more, not all of them 0.")
    order = np.argsort(-attention if most else attention, axis=None, kind="stable")
    held = np.cumsum(attention.ravel()[order]) / attention.sum()
    if most:
        n = 0 if mass <= 0 else int(np.searchsorted(held, min(mass, held[-1]) - 1e-12)) + 1
    else:
        n = 0 if mass <= 0 else int(np.searchsorted(held, mass + 1e-12, side="right"))
    cells = np.zeros(attention.size, dtype=bool)
    cells[order[:n]] = True
    return cells.reshape(attention.shape)


def piece_order(grid: Grid, seed: int, identity: str) -> np.ndarray:
    """For each place, row by row, the number of the piece that comes there; drawn for one image."""
    return _generator("shuffle", seed, identity, tuple(grid)).permutation(grid[0] * grid[1])


def _generator(*words: object) -> np.random.Generator:
    digest = hashlib.sha256(repr(words).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


# --- what is done to pixels ------------------------------------------------------------------------------------------


def drop(pixels: Tensor, hidden: np.ndarray, window: Window = WHOLE, offset_px: int = 0) -> Tensor:
    """Paint cells black.

    Parameters
    ----------
    pixels : shape (..., height, width), before normalisation
    hidden : bool, shape (rows, columns). Where the pixels are no multiple of it, cells differ by one pixel
    window : the part of the pixels that the cells lie on; the rest stays
    offset_px : moves the cells down and to the right, those at the end come back at the beginning

    Returns
    -------
    Tensor of the same shape and dtype, a copy
    """
    changed = pixels.clone()
    part = changed[..., *window]
    rows, columns = (_cell_of(extent, n) for extent, n in zip(part.shape[-2:], hidden.shape, strict=True))
    mask = torch.from_numpy(hidden[np.ix_(rows, columns)]).roll((offset_px, offset_px), (0, 1)).to(pixels.device)
    part.masked_fill_(mask, 0)
    return changed


def shuffle(pixels: Tensor, grid: Grid, order: np.ndarray, window: Window = WHOLE) -> Tensor:
    """Put the pieces of an image into another order; `shuffle` with `np.argsort(order)` puts them back.

    Parameters
    ----------
    pixels : shape (..., height, width)
    order : for each place, row by row, the number of the piece that comes there
    window : the part of the pixels that is cut. Where the grid does not divide it, a rim of fewer pixels than there are
        rows or columns stays in its place

    Returns
    -------
    Tensor of the same shape and dtype, a copy
    """
    changed = pixels.clone()
    part = changed[..., *window]
    (height, width), (rows, columns) = part.shape[-2:], grid
    tall, wide = height // rows, width // columns
    top, left = (height - tall * rows) // 2, (width - wide * columns) // 2
    part = part[..., top : top + tall * rows, left : left + wide * columns]
    pieces = part.unflatten(-2, (rows, tall)).unflatten(-1, (columns, wide)).transpose(-3, -2).flatten(-4, -3)
    moved = pieces[..., torch.from_numpy(np.asarray(order)).to(pixels.device), :, :]
    part.copy_(moved.unflatten(-3, grid).transpose(-3, -2).flatten(-2, -1).flatten(-3, -2))
    return changed


def require_fitting(grid: Grid, side_px: int) -> None:
    """Refuse a grid that does not divide a square image.

    Raises
    ------
    UserError
        names the sizes that fit
    """
    if side_px % grid[0] or side_px % grid[1]:
        fitting = [n for n in range(2, side_px // 2 + 1) if side_px % n == 0]
        raise UserError(
            f"{grid[0]} x {grid[1]} cells do not divide an image of {side_px} x {side_px} px. "
            f"Rows and columns that do: {few(fitting, 12)}."
        )


def _cell_of(extent_px: int, n_cells: int) -> np.ndarray:
    """For each pixel along an axis the number of its cell."""
    return np.arange(extent_px) * n_cells // extent_px


# --- one level of each -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Occlusion:
    """A share of an image's cells painted black.

    Parameters
    ----------
    share : of the cells hidden; of a saliency other than "random", of the attention
    grid : rows and columns
    saliency : one of `SALIENCIES`
    source, source_fingerprint : whose attention, of a saliency other than "random"
    """

    share: float
    grid: Grid = (14, 14)
    saliency: str = "random"
    seed: int = 0
    nested: bool = False
    offset_px: int = 0
    source: str | None = None
    source_fingerprint: str | None = None
    kind: ClassVar[str] = "occlusion"

    def __post_init__(self) -> None:
        if self.saliency not in SALIENCIES:
            raise UserError(f"unknown saliency '{self.saliency}'.{suggest(self.saliency, SALIENCIES)}")
        if not 0 <= self.share <= 1:
            raise UserError(f"a share of {self.share:g} cannot be hidden: give 0 to 1, 0.5 for one half.")

    @property
    def level(self) -> float:
        """Where it stands on the x-axis."""
        return self.share

    @property
    def axis(self) -> str:
        """What the x-axis is called."""
        return "share hidden" if self.saliency == "random" else "mass dropped"

    @property
    def intact(self) -> bool:
        """Whether it leaves every image as it is."""
        return self.share == 0

    @property
    def hides_all(self) -> bool:
        """Whether nothing is left of any image."""
        return self.share == 1

    def __call__(
        self, pixels: Tensor, identity: str, window: Window = WHOLE, attention: np.ndarray | None = None
    ) -> Tensor:
        """One image, shape (3, height, width), perturbed; `attention` has the shape of the grid."""
        if self.saliency == "random":
            hidden = random_cells(self.grid, self.share, self.seed, identity, self.nested)
        else:
            hidden = salient_cells(attention, self.share, most=self.saliency == "salient")
        return drop(pixels, hidden, window, self.offset_px)


@dataclass(frozen=True)
class Shuffle:
    """An image cut into pieces that change places.

    Parameters
    ----------
    pieces : one of `SHUFFLES`
    """

    pieces: int
    seed: int = 0
    kind: ClassVar[str] = "shuffle"
    hides_all: ClassVar[bool] = False
    axis: ClassVar[str] = "pieces"

    def __post_init__(self) -> None:
        if self.pieces not in SHUFFLES:
            raise UserError(f"no image is cut into {self.pieces:g} pieces. Possible are {few(SHUFFLES, 9)}.")

    @property
    def grid(self) -> Grid:
        return SHUFFLES[self.pieces]

    @property
    def level(self) -> float:
        return float(self.pieces)

    @property
    def intact(self) -> bool:
        return self.pieces == 1

    def __call__(self, pixels: Tensor, identity: str, window: Window = WHOLE, attention: object = None) -> Tensor:
        """One image, shape (3, height, width), shuffled."""
        return shuffle(pixels, self.grid, piece_order(self.grid, self.seed, identity), window)


@dataclass(frozen=True)
class Rotation:
    """An image turned to the left by quarter turns; a border around the picture stays."""

    degrees: int
    kind: ClassVar[str] = "rotation"
    hides_all: ClassVar[bool] = False
    axis: ClassVar[str] = "degrees to the left"
    grid: ClassVar[Grid] = (1, 1)

    def __post_init__(self) -> None:
        if self.degrees not in (0, 90, 180, 270):
            raise UserError(f"an image is turned by 0, 90, 180 or 270 degrees, not {self.degrees:g}.")

    @property
    def level(self) -> float:
        return float(self.degrees)

    @property
    def intact(self) -> bool:
        return self.degrees == 0

    def __call__(self, pixels: Tensor, identity: str, window: Window = WHOLE, attention: object = None) -> Tensor:
        """One image, shape (3, height, width), whose picture is a square."""
        changed = pixels.clone()
        turned = torch.rot90(pixels[..., *window], self.degrees // 90, (-2, -1))
        if turned.shape[-1] != turned.shape[-2]:
            raise UserError(f"a picture of {turned.shape[-1]} x {turned.shape[-2]} px is no square: it cannot turn.")
        changed[..., *window] = turned
        return changed


@dataclass(frozen=True)
class Grey:
    """Colour taken away or left; the luminance of ITU-R BT.601, in all three channels."""

    grey: int
    kind: ClassVar[str] = "grey"
    hides_all: ClassVar[bool] = False
    axis: ClassVar[str] = "colour taken"
    grid: ClassVar[Grid] = (1, 1)

    def __post_init__(self) -> None:
        if self.grey not in (0, 1):
            raise UserError(f"an image is grey (1) or left as it is (0), not {self.grey:g}.")

    @property
    def level(self) -> float:
        return float(self.grey)

    @property
    def intact(self) -> bool:
        return self.grey == 0

    def __call__(self, pixels: Tensor, identity: str, window: Window = WHOLE, attention: object = None) -> Tensor:
        """One image, shape (3, height, width)."""
        changed = pixels.clone()
        if self.grey:
            changed[..., *window] = rgb_to_grayscale(pixels[..., *window], num_output_channels=3)
        return changed


Perturbation = Occlusion | Shuffle | Rotation | Grey


def facts(level: Perturbation) -> dict[str, Any]:
    """What it is, as records and fingerprints hold it."""
    return {"kind": level.kind, **{name: _plain(value) for name, value in vars(level).items()}}


def name_of(levels: Sequence[Perturbation]) -> str:
    """What records call a curve: all that its levels share.

    Examples
    --------
    >>> name_of([Occlusion(0.0), Occlusion(0.5)]), name_of([Shuffle(4, seed=3)])
    ('occlusion.random.14x14', 'shuffle.seed3')
    """
    one = levels[0]
    words: list[str] = [one.kind, *getattr(one, "where", ())]
    if isinstance(one, Occlusion):
        words += [one.saliency, f"{one.grid[0]}x{one.grid[1]}"]
        words += [f"of-{one.source}"] * bool(one.source) + [f"offset{one.offset_px}"] * bool(one.offset_px)
        words += ["nested"] * one.nested
    if getattr(one, "seed", 0):
        words.append(f"seed{one.seed}")
    return ".".join(words)


def area_under(levels: Sequence[Perturbation], values: np.ndarray) -> np.ndarray:
    """Area under a curve over its levels, divided by their range: a mean over levels, each for the span around it.

    Of occlusion over the share, of shuffling over the logarithm of the number of pieces (trapezia); of turns and grey
    the mean over the levels.

    Parameters
    ----------
    values : shape (..., n_levels)

    Examples
    --------
    >>> area_under([Occlusion(0.0), Occlusion(0.5), Occlusion(0.6)], np.array([1.0, 0.0, 0.0])).round(3).item()
    0.417
    """
    values = np.asarray(values, dtype=np.float64)
    x = np.array([level.level for level in levels])
    if len(x) == 1 or levels[0].kind in ("rotation", "grey"):
        return values.mean(axis=-1)
    x = np.log2(x) if levels[0].kind == "shuffle" else x
    return ((values[..., 1:] + values[..., :-1]) / 2 * np.diff(x)).sum(axis=-1) / (x[-1] - x[0])


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
