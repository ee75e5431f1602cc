"""How accuracy falls as pixels are changed: a curve over levels, and the area under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..attacks.classifier import Classifier
from ..labelled_images.images import Batch
from ..robustness.accuracy import average, share
from ..robustness.blocks import Look
from ..robustness.classifiers import clean_logits
from .perturbations import Perturbation, area_under, facts, name_of, require_fitting

if TYPE_CHECKING:  # records need Brain-Score's libraries, a look does not
    from ..robustness.recording import Measured, RecordBook

Attend = Callable[[Tensor], np.ndarray]
"""Pixels in [0, 1] of shape (n, 3, height, width) -> attention of shape (n, rows, columns), 0 or more."""


def under_levels(classifier: Classifier, levels: Sequence[Perturbation], attend: Attend | None = None) -> Look:
    """What a network answers to each image at each level.

    Parameters
    ----------
    attend : where the attention lies, for levels that hide by it; asked once a batch, of the images as they are

    Returns
    -------
    callable, Batch -> int arrays of shape (n,): `answer at <level>` for each level
    """

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        attention = [None] * len(batch.rows) if attend is None else attend(batch.pixels)
        answers = {}
        for level in levels:
            each = zip(batch.pixels, batch.identities, attention, strict=True)
            changed = torch.stack([level(pixels, name, attention=where) for pixels, name, where in each])
            logits = clean_logits(classifier, changed.to(classifier.device_of(changed)))
            answers[column(level)] = logits.argmax(1).cpu().numpy()
        return answers

    return look


def column(level: Perturbation) -> str:
    """Of the table of images: the answers at a level."""
    return f"answer at {level.level:g}"


def measure_accuracy(
    book: RecordBook,
    classifier: Classifier,
    levels: Sequence[Perturbation],
    attend: Attend | None = None,
    progress: Callable[[int, int], None] | None = None,
    look: Look | None = None,
) -> Measured:
    """The curve of a model on labelled images, as one record whose value is the area under it.

    Parameters
    ----------
    book : of the model and the images
    classifier : of the same model
    levels : of one kind, rising
    progress : called with (images done, of how many)
    look : how a batch is looked at; default `under_levels`

    Returns
    -------
    Measured : the record's settings hold `curve`, for each level its accuracy with Wilson's interval, and `chance`

    Raises
    ------
    UserError
        the grid does not divide the images
    """
    for level in levels:
        require_fitting(level.grid, book.images.preprocessing.input_px)
    settings = {"levels": [facts(level) for level in levels]}
    benchmark = book.name(name_of(levels))
    if (known := book.kept(benchmark, settings)) is not None:
        return known
    look = look or under_levels(classifier, levels, attend)
    table, seconds = book.look(name_of(levels), settings, look, progress)
    measured = book.keep(
        benchmark,
        settings,
        {"metric": f"{levels[0].kind}_accuracy", **area(levels, table)},
        table,
        seconds=seconds,
        facts={"curve": curve(levels, table), "axis": levels[0].axis, "chance": 1 / classifier.n_classes},
    )
    book.forget(name_of(levels), settings)
    return measured


def curve(levels: Sequence[Perturbation], table: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """For each level its accuracy, with Wilson's 95 % interval over images."""
    return [{"level": level.level, **share(table[column(level)] == table["label"])} for level in levels]


def area(levels: Sequence[Perturbation], table: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Area under the curve as the mean of the images' own areas, with a normal interval over images, within 0 to 1."""
    right = np.stack([table[column(level)] == table["label"] for level in levels], axis=-1)
    return average(area_under(levels, right))
