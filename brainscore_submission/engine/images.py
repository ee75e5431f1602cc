"""Image files known by their content, what is asked of a recorder, and what it gives: rows in any order."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..plugin.errors import UserError
from ..plugin.files import file_sha256


@dataclass(frozen=True)
class Stimulus:
    """An image file, known by the hash of its bytes."""

    path: Path
    sha256: str


ZEROS, ONES = Stimulus(Path(), "zeros"), Stimulus(Path(), "ones")
"""Stimuli without an image, whose features are all 0 and all 1. A Gram matrix, whose features are centred, tells with
these among its stimuli the inner products of the features as they are: see `similarity.uncentred_products`."""

CONSTANT = {ZEROS.sha256: 0.0, ONES.sha256: 1.0}


def read_stimuli(paths: Iterable[str | Path]) -> list[Stimulus]:
    """Hash image files, in parallel.

    Raises
    ------
    UserError
        If a file is missing.
    """
    paths = [Path(path) for path in paths]
    unique = list(dict.fromkeys(paths))
    with ThreadPoolExecutor() as pool:
        hashes = dict(zip(unique, pool.map(_sha256, unique), strict=True))
    return [Stimulus(path, hashes[path]) for path in paths]


@dataclass(frozen=True)
class Request:
    """Layers wanted of one set of stimuli.

    Parameters
    ----------
    stimuli : the order and repeats do not matter
    grams : layers of which the Gram matrix is enough
    features : layers whose features themselves are needed
    """

    stimuli: tuple[Stimulus, ...]
    grams: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()

    @property
    def hashes(self) -> tuple[str, ...]:
        """Content hashes, each once, sorted: the rows of every matrix recorded of this set."""
        return tuple(sorted({stimulus.sha256 for stimulus in self.stimuli}))


@dataclass
class Recording:
    """Gram matrices and features, looked up by layer and stimuli in any order.

    Parameters
    ----------
    grams, matrices : by (layer, sorted content hashes)
    n_features : by layer
    image_passes : images that went through the network in this run
    seconds : of the forward passes and of the Gram matrices
    """

    grams: dict[tuple[str, tuple[str, ...]], np.ndarray] = field(default_factory=dict)
    matrices: dict[tuple[str, tuple[str, ...]], np.ndarray] = field(default_factory=dict)
    n_features: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    image_passes: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"forward": 0.0, "gram": 0.0})

    def has(self, layer: str, stimuli: Sequence[Stimulus], form: str) -> bool:
        """Whether `gram` or `features` (the `form`) would answer."""
        return (layer, Request(tuple(stimuli)).hashes) in (self.grams if form == "gram" else self.matrices)

    def gram(self, layer: str, stimuli: Sequence[Stimulus]) -> np.ndarray:
        """Gram matrix of shape (n_stimuli, n_stimuli), float64, features centred over the whole set."""
        rows, key = _rows_of(stimuli, layer)
        return self.grams[key][np.ix_(rows, rows)]

    def whole_gram(self, layers: Sequence[str], stimuli: Sequence[Stimulus]) -> tuple[np.ndarray, dict[str, int]]:
        """The matrix as it was recorded, of one layer no copy, and the row of each content hash.

        Layers side by side: their Gram matrices add up.
        """
        hashes = Request(tuple(stimuli)).hashes
        gram = functools.reduce(np.add, [self.grams[layer, hashes] for layer in layers])
        return gram, {sha: row for row, sha in enumerate(hashes)}

    def features(self, layer: str, stimuli: Sequence[Stimulus]) -> np.ndarray:
        """Features of shape (n_stimuli, n_features), float32."""
        rows, key = _rows_of(stimuli, layer)
        return self.matrices[key][rows]

    def update(self, other: Recording) -> None:
        """Take in what another recording holds."""
        for mine, theirs in (
            (self.grams, other.grams),
            (self.matrices, other.matrices),
            (self.n_features, other.n_features),
            (self.shapes, other.shapes),
        ):
            mine.update(theirs)
        self.image_passes += other.image_passes
        for stage, seconds in other.seconds.items():
            self.seconds[stage] += seconds


def _rows_of(stimuli: Sequence[Stimulus], layer: str) -> tuple[list[int], tuple[str, tuple[str, ...]]]:
    hashes = Request(tuple(stimuli)).hashes
    row_of = {sha: row for row, sha in enumerate(hashes)}
    return [row_of[stimulus.sha256] for stimulus in stimuli], (layer, hashes)


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image file.") from error
