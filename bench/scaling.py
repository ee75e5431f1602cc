"""Helper sizes: what the Gram matrix and PLS cost at one size, ours alone.

The same block of columns is added again and again, so that features beyond memory can be counted.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from brainscore_submission.engine.gram import GramAccumulator
from brainscore_submission.engine.pls import cross_validate
from brainscore_submission.engine.stores import COLUMN_BLOCK_BYTES

from .limits import gram_flops, pls_flops
from .synthetic import Activations, shuffled_splits


def measure(inputs: None, scratch: Path, size: dict) -> dict:
    """Seconds of the Gram matrix and of ten folds of PLS, with their FLOPs."""
    n_stimuli, n_features, n_neuroids = size["n_stimuli"], size["n_features"], size["n_neuroids"]
    width = max(1, min(n_features, COLUMN_BLOCK_BYTES // (4 * n_stimuli)))
    activations = Activations(n_stimuli, width, n_neuroids, seed=0)
    block = activations.rows(slice(None))  # (n_stimuli, width)
    accumulator = GramAccumulator(n_stimuli)
    started = time.perf_counter()
    for start in range(0, n_features, width):
        accumulator.add(block[:, : min(width, n_features - start)])
    gram = accumulator.result()
    gram_seconds = time.perf_counter() - started
    splits = shuffled_splits(n_stimuli)
    started = time.perf_counter()
    result = cross_validate(gram, activations.responses(), splits)
    return {
        "gram_seconds": gram_seconds,
        "pls_seconds": time.perf_counter() - started,
        "gram_flops": gram_flops(n_stimuli, n_features),
        "pls_flops": pls_flops(n_stimuli, n_neuroids),
        "iterations": int(np.sum(result.n_iterations)),
    }
