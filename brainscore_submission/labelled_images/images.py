"""A set of labelled images: read from where it lies, checked once, and given in batches of pixels."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..plugin.card import Preprocessing
from ..plugin.errors import UserError
from ..plugin.preprocessing import framed, unit_range
from ..words import count, few
from .classes import IMAGENET_CLASSES
from .sources import Classes, Source, read_source

MOST_BROKEN = 0.01
AHEAD = 3  # batches that are decoded while one is worked on


class Batch(NamedTuple):
    """Some of the images.

    Parameters
    ----------
    rows : their places in the set
    identities : their names in the set
    labels : int64 Tensor of shape (n,)
    pixels : float32 Tensor of shape (n, 3, input_px, input_px), in [0, 1], before normalisation
    maps : float32 Tensor of shape (n, input_px, input_px) in the same frame, or None where the set has none
    """

    rows: tuple[int, ...]
    identities: tuple[str, ...]
    labels: Tensor
    pixels: Tensor
    maps: Tensor | None


@dataclass(frozen=True)
class LabelledImages:
    """Images and their classes, all of them readable.

    Parameters
    ----------
    name : of the folder or file they come from
    identities : what names each image in the set, the same wherever the set lies: "n01443537/a.JPEG"; "0" of an npz
    labels : int64 array of shape (n,)
    hashes : sha256 of each image's file, or of its array (and map) in an npz
    read : row -> uint8 Tensor of shape (3, input_px, input_px), resized and cropped as `preprocessing` says
    preprocessing : of the network that will see them
    maps : of each image, shape (n, height, width), in the frame of the files; or None
    notes : what was passed over, a line each
    """

    name: str
    identities: tuple[str, ...]
    labels: np.ndarray
    hashes: tuple[str, ...]
    read: Callable[[int], Tensor]
    preprocessing: Preprocessing
    maps: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.identities)

    @property
    def fingerprint(self) -> str:
        """Hash of names, labels and bytes of all the images."""
        facts = [self.identities, self.labels.tolist(), self.hashes]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def sample(self, n: int) -> LabelledImages:
        """At most `n` of the images, in their order, drawn by the hashes of their names: always the same ones.

        A sample of 100 holds those of a sample of 50.
        """
        return self.of(_sampled(self.identities, n))

    def of(self, rows: Sequence[int]) -> LabelledImages:
        """These images alone."""
        rows, read = list(rows), self.read
        return dataclasses.replace(
            self,
            identities=tuple(self.identities[row] for row in rows),
            labels=self.labels[rows],
            hashes=tuple(self.hashes[row] for row in rows),
            read=lambda row: read(rows[row]),
            maps=None if self.maps is None else self.maps[rows],
        )

    def batches(self, size: int, rows: Sequence[int] | None = None) -> Iterator[Batch]:
        """Yield the images, or some of them, in batches; the next ones are decoded meanwhile.

        Parameters
        ----------
        size : images in a batch; the last may have fewer
        rows : places of the images wanted, in the order wanted; default all
        """
        rows = list(range(len(self)) if rows is None else rows)
        blocks = deque(rows[at : at + size] for at in range(0, len(rows), size))
        with _threads() as pool:
            coming: deque = deque()
            try:
                while blocks or coming:
                    while blocks and len(coming) <= AHEAD:
                        block = blocks.popleft()
                        coming.append((block, [pool.submit(self.read, row) for row in block]))
                    block, waiting = coming.popleft()
                    yield self._batch(block, torch.stack([future.result() for future in waiting]))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _batch(self, rows: Sequence[int], pixels: Tensor) -> Batch:
        labels = torch.from_numpy(self.labels[rows])
        maps = None if self.maps is None else framed_maps(self.maps[rows], self.preprocessing)
        return Batch(tuple(rows), tuple(self.identities[row] for row in rows), labels, unit_range(pixels), maps)


def read_labelled_images(
    where: str | Path,
    preprocessing: Preprocessing,
    n_classes: Classes = IMAGENET_CLASSES,
    progress: Callable[[int, int], None] | None = None,
    sample: int | None = None,
) -> LabelledImages:
    """Read labelled images: every file is decoded once, so that a broken one is known before long work.

    Parameters
    ----------
    where : a folder with a folder for each class (named by index, WordNet id or name); a CSV file, or a folder with
        one, of columns `file` and `class_index` (or `class`: an id or name too), its files beside it; or an npz of
        `image` (n, height, width, 3), uint8 or in [0, 1], `label` (n,) and, if wanted, `heatmap` (n, height, width)
    preprocessing : of the network's card, so that a measure on these images is of the same function as its brain score
    n_classes : of the network; or the names of a user's own classes, which folders then have
    progress : called with (images read, of how many)
    sample : look at so many of them alone, drawn as `LabelledImages.sample` draws; their number is in the name then

    Raises
    ------
    UserError
        no such place, a class that is none, a label out of range, an npz that holds objects, a name that leads out of
        the folder, more than one broken file in a hundred
    """
    source = read_source(Path(where), n_classes)

    def read(row: int) -> Tensor:
        return source.read(row, preprocessing)

    def attempt(row: int) -> tuple[str, str | None]:
        try:
            read(row)
            return source.hash_of(row), None
        except UserError as error:
            return "", str(error)

    n_images = len(source.identities)
    rows = _sampled(source.identities, n_images if sample is None else sample)
    looked = []
    with _threads() as pool:
        for found in pool.map(attempt, rows):
            looked.append(found)
            if progress is not None:
                progress(len(looked), len(rows))
    names = zip(rows, looked, strict=True)
    # the reason begins with the file's whole path, which ends with its name in the set
    broken = [
        f"{source.identities[row]}{reason.partition(source.identities[row])[2]}" for row, (_, reason) in names if reason
    ]
    _require_few(broken, len(looked), source)
    whole = [row for row, (_, reason) in zip(rows, looked, strict=True) if reason is None]
    return LabelledImages(
        name=source.name if len(rows) == n_images else f"{source.name}-sample{sample}",
        identities=tuple(source.identities[row] for row in whole),
        labels=source.labels[whole],
        hashes=tuple(sha256 for sha256, reason in looked if reason is None),
        read=lambda row: read(whole[row]),
        preprocessing=preprocessing,
        maps=None if source.maps is None else source.maps[whole],
        notes=(*source.notes, *([f"{count(len(broken), 'broken image')} left out: {few(broken)}"] if broken else [])),
    )


def _sampled(identities: Sequence[str], n: int) -> list[int]:
    by_hash = sorted(range(len(identities)), key=lambda row: hashlib.sha256(identities[row].encode()).digest())
    return sorted(by_hash[:n])


def framed_maps(maps: np.ndarray, preprocessing: Preprocessing) -> Tensor:
    """Put maps through the resize and the centre crop of a network's images.

    A map that is only resized to the network's input is 256/224 = 14 % too small beside a cropped image, and off by
    up to 12.5 % of the width at its edges.

    Parameters
    ----------
    maps : shape (n, height, width), in the frame of the image files; finite
    preprocessing : of the network

    Returns
    -------
    Tensor of shape (n, input_px, input_px), float32. Bicubic resizing can go a little beyond a map's range; ranks mind
    little

    Raises
    ------
    UserError
        another shape, or values that are not finite
    """
    maps = np.asarray(maps, dtype=np.float32)
    if maps.ndim != 3 or not np.isfinite(maps).all():
        raise UserError(f"importance maps of shape {maps.shape}: finite numbers of (images, height, width) are needed.")
    side = preprocessing.input_px
    # Pillow resizes 32-bit floats with the filters it uses for the images' 8-bit channels.
    each = [framed(Image.fromarray(one), preprocessing)[0] for one in maps]
    return torch.stack(each) if each else torch.empty(0, side, side)


def _require_few(broken: Sequence[str], n_images: int, source: Source) -> None:
    if len(broken) > MOST_BROKEN * n_images:
        raise UserError(
            f"{source.name}: {len(broken)} of {n_images} images cannot be read, more than 1 %: {few(broken, 3)}\n"
            "Fetch them again, or take them out of the set."
        )


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(16, os.cpu_count() or 1))
