"""Synthetic images, and what responses to them are made of. numpy and PIL only.

An image is a sum of coloured gratings; how strong each is are the causes that the responses depend on as well.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .sizes import SuiteSize

SIDE_PX = 256
N_CAUSES = 24
TEXTURE_TYPES = 2  # FreemanZiemba2013: texture and noise
SETS = ("textures", "objects", "behavior")


@dataclass(frozen=True)
class ImageSet:
    """Images of one kind.

    Parameters
    ----------
    name : one of `SETS`
    ids : one a stimulus
    groups : texture type or object of each stimulus
    causes : ndarray of shape (n_stimuli, N_CAUSES)
    folder : where the files lie, ``<id>.png``
    """

    name: str
    ids: list[str]
    groups: list[str]
    causes: np.ndarray
    folder: Path

    @property
    def paths(self) -> list[Path]:
        """Image files, in the order of `ids`."""
        return [self.folder / f"{stimulus}.png" for stimulus in self.ids]


def image_sets(folder: Path, size: SuiteSize) -> dict[str, ImageSet]:
    """The images of V1 and V2, of V4 and IT, and of behaviour."""
    groups = {"textures": TEXTURE_TYPES, "objects": size.object_names, "behavior": size.behavior_objects}
    return {name: image_set(folder, name, getattr(size, name), groups[name]) for name in SETS}


def image_set(folder: Path, name: str, n_images: int, n_groups: int) -> ImageSet:
    """Describe a set; the same arguments give the same causes."""
    rng = np.random.default_rng(SETS.index(name))
    group = np.arange(n_images) % n_groups
    causes = rng.standard_normal((n_groups, N_CAUSES))[group] + rng.standard_normal((n_images, N_CAUSES))
    ids = [f"{name}{i:05d}" for i in range(n_images)]
    return ImageSet(name, ids, [f"{name}_group{g:02d}" for g in group], causes, folder / name)


def write_images(images: ImageSet) -> None:
    """Draw the set's images."""
    images.folder.mkdir()
    gratings = _gratings()  # (N_CAUSES, SIDE_PX, SIDE_PX, 3)

    def draw(row: int) -> None:
        pixels = 0.5 + 0.04 * np.tensordot(images.causes[row].astype(np.float32), gratings, axes=1)
        Image.fromarray((255 * pixels.clip(0, 1)).astype(np.uint8)).save(images.paths[row], compress_level=1)

    with ThreadPoolExecutor() as pool:
        list(pool.map(draw, range(len(images.ids))))


def _gratings() -> np.ndarray:
    rng = np.random.default_rng(99)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32) / SIDE_PX
    waves = []
    for _ in range(N_CAUSES):
        cycles, angle, phase = rng.uniform(1, 12), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        wave = np.sin(2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle)) + phase)
        waves.append(wave[:, :, None] * rng.uniform(0.3, 1, 3))
    return np.stack(waves).astype(np.float32)
