"""The images of a run: which are trained on, in which order, and their batches, decoded ahead.

Everything random here depends on (seed, epoch, index of the image) and on nothing else.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..attacks.threats import NORMS, generators_of
from ..engine.decoding import decoded
from ..labelled_images.images import LabelledImages
from ..labelled_images.sources import Source, read_source
from ..plugin.card import Preprocessing
from ..plugin.errors import UserError
from ..plugin.preprocessing import unit_range
from .augmentation import augmented
from .recipes import Recipe

LOOKED_AT = 200  # images of whose bytes a run takes note: of all it would take as long as an epoch


class Unreadable(UserError):
    """An image that cannot be read, met while training."""


@dataclass(frozen=True)
class Batch:
    """Some images of a step.

    Parameters
    ----------
    pixels : Tensor of shape (n, 3, px, px), float32 in [0, 1], on the device
    labels : int64 Tensor of shape (n,)
    noise : float32 Tensor like `pixels`, uniform in the ball of radius 1
    waited : seconds until it was there
    """

    pixels: Tensor
    labels: Tensor
    noise: Tensor
    waited: float


@dataclass(frozen=True)
class TrainingImages:
    """Images and labels that are trained on.

    Parameters
    ----------
    source : where they lie
    rows : their places in it
    px : side of the network's input
    recipe : says batch, seed, augmentation and the norm of the noise
    """

    source: Source
    rows: tuple[int, ...]
    px: int
    recipe: Recipe

    @property
    def steps(self) -> int:
        """Steps of an epoch: whole batches, as timm has it; what is left over is another part of them each epoch."""
        return len(self.rows) // self.recipe.batch

    def order(self, epoch: int) -> list[int]:
        """The images of an epoch, in the order shown."""
        (generator,) = generators_of(self.recipe.seed, [f"order of epoch {epoch}"])
        order = torch.randperm(len(self.rows), generator=generator).tolist()
        return [self.rows[number] for number in order[: self.steps * self.recipe.batch]]

    def batches(self, epoch: int, first: int, rank: int, world: int, device: str) -> Iterator[Batch]:
        """This process's part of each batch of an epoch, from step `first` on."""
        size, order = self.recipe.batch, self.order(epoch)
        parts = [order[at : at + size][rank::world] for at in range(first * size, len(order), size)]
        read = OfEpoch(self.source.picture, self.recipe, self.px, epoch)
        with decoded(read, lambda held: held, parts, device, self.source.apart) as held:
            for number, rows in enumerate(parts):
                started = time.perf_counter()
                try:
                    pixels, noise = self._pixels_and_noise(held(number))
                except UserError as error:
                    raise Unreadable(f"{error} Mend it, and the same command goes on.") from error
                labels = torch.from_numpy(self.source.labels[rows]).to(device)
                yield Batch(unit_range(pixels), labels, noise, time.perf_counter() - started)

    def _pixels_and_noise(self, held: Tensor) -> tuple[Tensor, Tensor]:
        shape, n_values = (len(held), 3, self.px, self.px), 3 * self.px**2
        return held[:, :n_values].reshape(shape), held[:, n_values:].contiguous().view(torch.float32).reshape(shape)


@dataclass(frozen=True)
class OfEpoch:
    """Row of an image -> its pixels in an epoch and the noise that its attack starts from, in any process.

    Both are of shape (3, px, px), as one tensor of bytes, which is what `decoded` carries.
    """

    picture: Callable[[int], Image.Image]
    recipe: Recipe
    px: int
    epoch: int

    def __call__(self, row: int) -> Tensor:
        (generator,) = generators_of(self.recipe.seed, [row], self.epoch)
        pixels = augmented(self.picture(row), self.recipe.augmentation, self.px, generator)
        noise = torch.empty(pixels.shape)
        NORMS[self.recipe.adversary.within.norm].start(noise, generator)
        return torch.cat([pixels.flatten(), noise.flatten().view(torch.uint8)])


def open_images(
    data: Path, validation: Path | None, recipe: Recipe, preprocessing: Preprocessing, n_classes: int
) -> tuple[TrainingImages, LabelledImages]:
    """The images to train on, and those to validate on in the frame of the card.

    Parameters
    ----------
    data : a folder with a folder for each class, a CSV or an npz; or a folder that holds `train` and `val`
    validation : where other images lie; else `val` beside `train`, else a share of the training images is held out

    Raises
    ------
    UserError
        what `read_source` refuses; too few images for a batch or for the validation
    """
    if (data / "train").is_dir() and (data / "val").is_dir():
        validation, data = validation or data / "val", data / "train"
    source = read_source(data, n_classes)
    rows, held_out = list(range(len(source.identities))), source
    if validation is not None:
        held_out = read_source(validation, n_classes)
        shown = range(len(held_out.identities))
    else:
        shown = _drawn(source, rows, round(recipe.validation.share * len(rows)))
        rows = sorted(set(rows) - set(shown))
    if recipe.validation.images:
        shown = _drawn(held_out, shown, recipe.validation.images)
    training = TrainingImages(source, tuple(rows), preprocessing.input_px, recipe)
    if not training.steps:
        raise UserError(f"{data} leaves {len(rows)} images to train on, fewer than a batch of {recipe.batch}.")
    if not len(shown):
        raise UserError(f"no images to validate on: {data} holds {len(source.identities)}. Give others with --val.")
    return training, _labelled(held_out, shown, preprocessing)


def fingerprint(source: Source) -> str:
    """Hash of names and labels; not of bytes: a broken file may be replaced."""
    facts = [source.identities, source.labels.tolist()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def hashes_of_some(training: TrainingImages, held_out: LabelledImages) -> dict[str, str]:
    """Name -> hash of at most `LOOKED_AT` images that are trained on, and of as many that are validated on."""
    source = training.source
    found = {source.identities[row]: source.hash_of(row) for row in _drawn(source, training.rows, LOOKED_AT)}
    for row in _drawn(held_out, range(len(held_out)), LOOKED_AT):
        pixels = held_out.read(row).numpy()
        found[f"{held_out.identities[row]} (validation)"] = hashlib.sha256(pixels.tobytes()).hexdigest()
    return found


def _drawn(source: Source | LabelledImages, rows: Sequence[int], n_images: int) -> list[int]:
    """At most so many of the rows, by the hashes of their names: always the same ones."""
    by_hash = sorted(rows, key=lambda row: hashlib.sha256(source.identities[row].encode()).digest())
    return sorted(by_hash[:n_images])


def _labelled(source: Source, rows: Sequence[int], preprocessing: Preprocessing) -> LabelledImages:
    return LabelledImages(
        name=source.name,
        identities=tuple(source.identities[row] for row in rows),
        labels=source.labels[list(rows)],
        hashes=(),
        read=lambda row: source.read(rows[row], preprocessing),
        preprocessing=preprocessing,
    )
