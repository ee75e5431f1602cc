"""What both sides are measured on: synthetic images, activations, responses and splits. Without Brain-Score."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from brainscore_submission.engine.stores import DiskStore

from .sizes import MetricSize, SuiteSize

SETS = ("textures", "objects", "behavior")
SIDE_PX = 256
PATCHES = (4, 4, 3)  # an image is this coarse, enlarged: rows, columns, colours
TEXTURE_TYPES = 2  # FreemanZiemba2013: texture and noise
N_CAUSES = 60
NOISE = 0.5
ROWS_AT_ONCE = 64


class ImageSet(NamedTuple):
    """One of `SETS`: files, the texture type or object of each, and what images and responses are made of.

    `causes` has shape (n_images, 48).
    """

    name: str
    paths: list[Path]
    groups: list[str]
    causes: np.ndarray


def image_sets(folder: Path, size: SuiteSize) -> dict[str, ImageSet]:
    """The images of V1 and V2, of V4 and IT, and of behaviour."""
    groups = {"textures": TEXTURE_TYPES, "objects": size.object_names, "behavior": size.behavior_objects}
    return {name: image_set(folder, name, getattr(size, name), groups[name]) for name in SETS}


def image_set(folder: Path, name: str, n_images: int, n_groups: int) -> ImageSet:
    """Describe a set; the same arguments give the same causes."""
    rng, group = np.random.default_rng(SETS.index(name)), np.arange(n_images) % n_groups
    causes = rng.standard_normal((n_groups, np.prod(PATCHES)))[group]
    causes = causes + rng.standard_normal(causes.shape)
    paths = [folder / name / f"{name}{i:05d}.png" for i in range(n_images)]
    return ImageSet(name, paths, [f"{name}_group{g:02d}" for g in group], causes)


def draw(images: ImageSet) -> None:
    """Write a set's images: the causes as coloured patches, enlarged."""
    images.paths[0].parent.mkdir()
    pixels = (127 + 40 * images.causes).clip(0, 255).astype(np.uint8).reshape(-1, *PATCHES)
    for path, patches in zip(images.paths, pixels, strict=True):
        Image.fromarray(patches).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC).save(path, compress_level=1)


def write_images(folder: Path, scratch: Path, size: dict) -> dict:
    """A job: the images of a `SuiteSize`."""
    for images in image_sets(folder, SuiteSize(**size)).values():
        draw(images)
    return {}


class Activations:
    """ReLU activations max(0, U V + noise), few causes of falling strength seen by many units; and responses to them.

    `responses` has shape (n_stimuli, n_neuroids), float64.
    """

    def __init__(self, size: MetricSize):
        self._rng = np.random.default_rng(0)
        strength = 1 / np.sqrt(1 + np.arange(N_CAUSES))
        self._causes = (self._rng.standard_normal((size.n_stimuli, N_CAUSES)) * strength).astype(np.float32)
        self._units = self._rng.standard_normal((N_CAUSES, size.n_features), dtype=np.float32)
        readout = self._rng.standard_normal((N_CAUSES, size.n_neuroids))
        self.responses = self._causes @ readout + self._rng.standard_normal((size.n_stimuli, size.n_neuroids))

    def rows(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Activations of some stimuli, float32; new noise at each call."""
        values = self._causes[start:stop] @ self._units
        values += NOISE * self._rng.standard_normal(values.shape, dtype=np.float32)
        return np.maximum(values, 0, out=values)


def write_activations(folder: Path, scratch: Path, size: dict) -> dict:
    """A job: activations of a `MetricSize` as a recording leaves them on disk, and responses."""
    size = MetricSize(**size)
    activations = Activations(size)
    store = DiskStore(folder / "activations", size.n_stimuli, size.n_features)
    for start in range(0, size.n_stimuli, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, size.n_stimuli)
        store.write(list(range(start, stop)), torch.from_numpy(activations.rows(start, stop)))
    store.flush()
    np.save(folder / "responses.npy", activations.responses)
    return {}


def shuffled_splits(n_stimuli: int, n_splits: int = 10) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random nine tenths to train on and the rest to test."""
    orders = [np.random.default_rng(split).permutation(n_stimuli) for split in range(n_splits)]
    return [(order[: n_stimuli * 9 // 10], order[n_stimuli * 9 // 10 :]) for order in orders]
