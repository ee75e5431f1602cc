"""Whether attention lies on objects: the intersection over union of the most attended patches with exact masks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from ..labelled_images.images import Batch, LabelledImages
from ..labelled_images.sources import SUFFIXES
from ..plugin.card import Preprocessing
from ..plugin.errors import UserError
from ..plugin.files import file_sha256
from ..plugin.preprocessing import framed, opened_image, read_pixels
from ..robustness.accuracy import average
from ..robustness.blocks import Look
from ..words import count, few
from .perturbations import salient_cells

if TYPE_CHECKING:
    from ..robustness.recording import Measured, RecordBook

VOID = 255  # pixels of which nobody says what they are
MASS = 0.9  # of the attention


def jaccard(attended: np.ndarray, mask: np.ndarray) -> dict[int, float]:
    """Intersection over union of each object with the head that suits it best; void pixels count nowhere.

    Parameters
    ----------
    attended : bool, shape (heads, height, width)
    mask : uint8, shape (height, width): 0 background, 255 void, any other number an object

    Returns
    -------
    dict of object -> best intersection over union

    Examples
    --------
    Two pixels attended, one on the object and one on void; the object has another pixel. Were void part of the union
    it would be 1/3:

    >>> jaccard(np.array([[[True, True, False, False]]]), np.array([[7, 255, 7, 0]]))
    {7: 0.5}
    """
    attended = attended & (mask != VOID)
    found = {}
    for number in np.unique(mask[(mask != 0) & (mask != VOID)]).tolist():
        target = mask == number
        both, either = (attended & target).sum((1, 2)), (attended | target).sum((1, 2))
        found[number] = float((both / either).max())
    return found


def attended_pixels(attention: np.ndarray, side_px: int, mass: float = MASS) -> np.ndarray:
    """The fewest patches that hold a share of each head's attention, as pixels: nearest patch of each.

    Parameters
    ----------
    attention : shape (heads, rows, columns), 0 or more

    Returns
    -------
    bool array of shape (heads, side_px, side_px)
    """
    cells = np.stack([salient_cells(head, mass) for head in attention])
    rows, columns = (np.arange(side_px) * n // side_px for n in cells.shape[1:])
    return cells[:, rows[:, None], columns[None]]


def masked_images(where: Path, masks: Path, preprocessing: Preprocessing) -> tuple[LabelledImages, Callable]:
    """Images and the masks of the same names, in the frame of a network: masks by the nearest pixel, never mixed.

    Parameters
    ----------
    where, masks : folders; a mask is a PNG of numbers (grey or palette, as of Pascal VOC)

    Returns
    -------
    images : LabelledImages, whose labels say nothing
    mask_of : row -> uint8 array of shape (input_px, input_px)

    Raises
    ------
    UserError
        no such folder, no image with a mask, an image and mask of different sizes
    """
    for folder in (where, masks):
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}. Give --images and --masks, files of the same names.")
    files = sorted(path for path in where.iterdir() if path.suffix.lower() in SUFFIXES)
    mask_files = {path: masks / f"{path.stem}.png" for path in files}
    shown = [path for path in files if mask_files[path].is_file()]
    if not shown:
        raise UserError(f"no image of {where} has a mask of its name in {masks}: {len(files)} images were looked at.")
    left_out = [path.name for path in files if path not in shown]
    nearest = dataclasses.replace(preprocessing, interpolation="nearest")

    def mask_of(row: int) -> np.ndarray:
        with opened_image(mask_files[shown[row]]) as mask, opened_image(shown[row]) as image:
            if mask.size != image.size or mask.mode not in ("P", "L", "1"):
                raise UserError(
                    f"{mask_files[shown[row]]}: {mask.mode} of {mask.size}; needed are numbers (grey or palette) of "
                    f"the image's size, {image.size}."
                )
            return framed(Image.fromarray(np.asarray(mask).astype(np.uint8)), nearest)[0].numpy()

    images = LabelledImages(
        name=where.absolute().name,
        identities=tuple(path.name for path in shown),
        labels=np.zeros(len(shown), dtype=np.int64),
        hashes=tuple(file_sha256(path) + file_sha256(mask_files[path]) for path in shown),
        read=lambda row: read_pixels(shown[row], preprocessing),
        preprocessing=preprocessing,
        notes=(f"{count(len(left_out), 'image')} without a mask left out: {few(left_out)}",) if left_out else (),
    )
    return images, mask_of


def on_objects(attention: Callable[[Tensor], Tensor], mask_of: Callable[[int], np.ndarray], mass: float = MASS) -> Look:
    """How well attention fits the objects of each image.

    Returns
    -------
    callable, Batch -> arrays of shape (n,): `jaccard`, the mean over the image's objects, NaN where it has none;
    `objects`, how many it has
    """

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        each = [
            list(jaccard(attended_pixels(heads.numpy(), batch.pixels.shape[-1], mass), mask_of(row)).values())
            for heads, row in zip(attention(batch.pixels), batch.rows, strict=True)
        ]
        means = [float(np.mean(values)) if values else math.nan for values in each]
        return {"jaccard": np.array(means), "objects": np.array([len(values) for values in each])}

    return look


def measure_segmentation(
    book: RecordBook,
    attention: Callable[[Tensor], Tensor],
    mask_of: Callable[[int], np.ndarray],
    settings: Mapping[str, object],
    mass: float = MASS,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """The mean Jaccard index over images that have objects, as a record; those without are counted.

    Parameters
    ----------
    settings : what the attention is, JSON-able

    Raises
    ------
    UserError
        no image has an object
    """
    settings = {"mass": mass, **settings}
    benchmark = book.name("segmentation", settings.get("source", "attention"))
    if (known := book.kept(benchmark, settings)) is not None:
        return known
    table, seconds = book.look("segmentation", settings, on_objects(attention, mask_of, mass), progress)
    values = table["jaccard"][table["objects"] > 0]
    if not len(values):
        raise UserError("no image has an object: its mask holds 0 (background) and 255 (void) alone.")
    measured = {"metric": "jaccard", **average(values)}
    facts = {"n_without_objects": int((table["objects"] == 0).sum()), "n_objects": int(table["objects"].sum())}
    kept = book.keep(benchmark, settings, measured, table, seconds=seconds, facts=facts)
    book.forget("segmentation", settings)
    return kept
