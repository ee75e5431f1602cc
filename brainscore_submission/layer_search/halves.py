"""What a layer's held-out predictions say on halves of the images and neuroids: to choose on one, and score on another.

The fits are shared: fitting again on half of the images would lower every score. Halves and draws depend on the ids of
images and neuroids alone, so that all layers of a benchmark are cut and drawn alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from ..scoring.sidecar import Sidecar
from ..scoring.uncertainty import median_without_nan, weighted_pearson

N_PARTITIONS = 10
MIN_IMAGES = 3  # for an r


def halves_of(sidecar: Sidecar, n_partitions: int = N_PARTITIONS) -> np.ndarray | None:
    """Median r of each split on one half of the images and one half of the neuroids, and on the other halves.

    Parameters
    ----------
    sidecar : of one layer on one benchmark

    Returns
    -------
    ndarray of shape (n_partitions, 2, n_splits), NaN where a split has fewer than 3 images in a half; None where the
    sidecar holds no predictions, there are fewer than 2 neuroids, or some half has 3 images in no split
    """
    if not sidecar.has_stimuli or sidecar.r.shape[1] < 2:
        return None
    stimuli = sidecar.stimulus_id if sidecar.stimulus_id is not None else np.arange(len(sidecar.target))
    generator = np.random.default_rng(_number([*map(str, stimuli), *map(str, sidecar.neuroid_id)]))
    found = np.full((n_partitions, 2, len(sidecar.r)), np.nan)
    for partition in range(n_partitions):
        images, neuroids = (_half(generator, names) for names in (stimuli, sidecar.neuroid_id))
        if any((side[sidecar.test_index].sum(axis=1) < MIN_IMAGES).all() for side in (images, ~images)):
            return None
        for split, test in enumerate(sidecar.test_index):
            prediction, target = sidecar.prediction[split], sidecar.target[test]
            for side, (these, those) in enumerate(((images, neuroids), (~images, ~neuroids))):
                if these[test].sum() >= MIN_IMAGES:
                    weights = these[test][None].astype(float)
                    r = weighted_pearson(prediction[:, those], target[:, those], weights)
                    found[partition, side, split] = median_without_nan(r)[0]
    return found


def _half(generator: np.random.Generator, names: Sequence) -> np.ndarray:
    """Every second one in a random order of the sorted names: a mask over the names as given."""
    order = np.argsort(np.asarray(names).astype(str), kind="stable")
    chosen = generator.permutation(len(names))[: len(names) // 2]
    mask = np.zeros(len(names), dtype=bool)
    mask[order[chosen]] = True
    return mask


def _number(names: Sequence[str]) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(sorted(names)).encode()).digest()[:8], "big")
