"""What both sides are measured on, written once to files. Without Brain-Score, so that writing starts at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from brainscore_submission.engine.stores import DiskStore

from .images import image_sets, write_images
from .sizes import MetricSize, SuiteSize
from .synthetic import Activations

ROWS_AT_ONCE = 64


def write_activations(folder: Path, size: dict) -> None:
    """Activations as a recording leaves them on disk, and responses, of a `MetricSize`."""
    size = MetricSize(**size)
    activations = Activations(size.n_stimuli, size.n_features, size.n_neuroids, seed=0)
    store = DiskStore(folder / "activations", size.n_stimuli, size.n_features)
    for start in range(0, size.n_stimuli, ROWS_AT_ONCE):
        rows = range(start, min(start + ROWS_AT_ONCE, size.n_stimuli))
        store.write(list(rows), torch.from_numpy(activations.rows(slice(rows.start, rows.stop))))
    store.flush()
    np.save(folder / "responses.npy", activations.responses())


def write_suite_images(folder: Path, size: dict) -> None:
    """The images of a `SuiteSize`."""
    for images in image_sets(folder, SuiteSize(**size)).values():
        write_images(images)
