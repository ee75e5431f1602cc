"""Mean corruption error (mCE) on images that were corrupted before, as ImageNet-C's are (Hendrycks & Dietterich 2019).

imagenet-c/<corruption>/<severity>/<class>/<image>     or a folder between, as unpacked: imagenet-c/blur/<corruption>/…
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..attacks.classifier import Classifier
from ..labelled_images.images import Batch, LabelledImages
from ..plugin.card import Preprocessing
from ..plugin.errors import UserError
from ..robustness.accuracy import average
from ..robustness.blocks import Look
from ..robustness.classifiers import clean_logits
from ..words import few

if TYPE_CHECKING:
    from ..robustness.recording import Measured, RecordBook

# AlexNet's top-1 error on ImageNet-C, the mean over five severities of 50 000 images (arXiv 1903.12261, as its authors
# publish them unrounded).
ALEXNET = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
SEVERITIES = (1, 2, 3, 4, 5)
IMAGENET_C = 50_000  # images at each severity

Place = tuple[str, int]
"""A corruption and its severity."""


class Corrupted(NamedTuple):
    """The same images at all 75 places, as `RecordBook` knows a set of images.

    Parameters
    ----------
    name, fingerprint, notes : see `LabelledImages`; the fingerprint is of all of them
    sets : by place
    """

    name: str
    fingerprint: str
    notes: tuple[str, ...]
    sets: Mapping[Place, LabelledImages]


def corrupted_folders(where: Path) -> dict[Place, Path]:
    """Where the images of each corruption and severity lie.

    Raises
    ------
    UserError
        a folder is missing: the error is a mean over 15 corruptions of five severities
    """
    if not where.is_dir():
        raise UserError(f"there is no folder {where}. Give ImageNet-C's, with gaussian_noise/1/, gaussian_noise/2/, …")
    found = {path.name: path for path in (*where.glob("*/*"), *where.glob("*")) if path.name in ALEXNET}
    missing = [name for name in ALEXNET if name not in found]
    missing += [f"{name}/{one}" for name in found for one in SEVERITIES if not (found[name] / str(one)).is_dir()]
    if missing:
        raise UserError(f"{where}: missing are {few(missing)}. mCE is a mean over 15 corruptions of five severities.")
    return {(name, severity): found[name] / str(severity) for name in ALEXNET for severity in SEVERITIES}


def whole_picture(preprocessing: Preprocessing) -> Preprocessing:
    """The same without a crop: the images were resized and cropped before they were corrupted."""
    side = preprocessing.input_px
    name = f"{preprocessing.name}-whole"
    return dataclasses.replace(preprocessing, name=name, resize_px=side, crop_px=None, keep_aspect=False)


def together(name: str, sets: Mapping[Place, LabelledImages]) -> Corrupted:
    """The sets as one.

    Raises
    ------
    UserError
        they are not the same images
    """
    (_, first), *others = sets.items()
    for (corruption, severity), images in others:
        if images.identities != first.identities or not np.array_equal(images.labels, first.labels):
            raise UserError(f"{corruption}/{severity} holds other images than gaussian_noise/1: each has to be there.")
    prints = "".join(images.fingerprint for images in sets.values())
    notes = tuple(dict.fromkeys(note for images in sets.values() for note in images.notes))
    return Corrupted(name, hashlib.sha256(prints.encode()).hexdigest(), notes, sets)


def measure_mce(
    book_of: Callable[[Any], RecordBook],
    corrupted: Corrupted,
    classifier: Classifier,
    baseline: Mapping[str, float] = ALEXNET,
    baseline_name: str = "AlexNet, published",
    progress: Callable[[str, int, int], None] | None = None,
) -> Measured:
    """The mean corruption error as a record; its curve is accuracy over severities.

    The mean over corruptions of error / the baseline's error, each a mean over severities: 1 for the baseline itself.
    The interval is over images, each at all 75 places, and takes the baseline's errors as they are.

    Parameters
    ----------
    book_of : images -> book of the model and these images
    baseline : error of each corruption, 0 to 1, the mean over severities

    Raises
    ------
    UserError
        the baseline makes no errors of a corruption
    """
    if faultless := [name for name in ALEXNET if not baseline[name] > 0]:
        raise UserError(f"{baseline_name} makes no errors under {few(faultless)}: nothing can be held against that.")
    book = book_of(corrupted)
    settings = {"baseline": baseline_name, "baseline_errors": dict(baseline)}
    benchmark = book.name("corruptions", *([] if baseline is ALEXNET else ["of", baseline_name]))
    if (known := book.kept(benchmark, settings)) is not None:
        return known
    wrong, seconds = {}, 0.0
    for (name, severity), images in corrupted.sets.items():
        what = {"corruption": name, "severity": severity}
        say = progress and functools.partial(progress, f"{name} {severity}")
        seen, took = book_of(images).look("corruptions", what, _answers(classifier), say)
        wrong[name, severity] = seen["answer"] != seen["label"]
        seconds += took
    table = {name: seen[name] for name in ("identity", "label")}
    table |= {f"errors under {name}": sum(wrong[name, one].astype(int) for one in SEVERITIES) for name in ALEXNET}
    errors = {name: float(np.mean([wrong[name, one].mean() for one in SEVERITIES])) for name in ALEXNET}
    each = sum(table[f"errors under {name}"] / len(SEVERITIES) / baseline[name] for name in ALEXNET) / len(ALEXNET)
    right = {one: 1 - np.mean([wrong[name, one] for name in ALEXNET], axis=0) for one in SEVERITIES}
    curve = [{"level": one, **average(right[one])} for one in SEVERITIES]
    by_severity = {name: [float(wrong[name, one].mean()) for one in SEVERITIES] for name in ALEXNET}
    facts = {"errors": errors, "errors_by_severity": by_severity, "curve": curve, "axis": "severity"}
    measured = {"metric": "mce", **average(each, most=math.inf)}
    other = baseline is ALEXNET and len(each) != IMAGENET_C
    notes = (f"AlexNet's errors are of ImageNet-C's {IMAGENET_C} images, these are {len(each)}",) if other else ()
    kept = book.keep(benchmark, settings, measured, table, seconds=seconds, notes=notes, facts=facts)
    for (name, severity), images in corrupted.sets.items():
        book_of(images).forget("corruptions", {"corruption": name, "severity": severity})
    return kept


def _answers(classifier: Classifier) -> Look:
    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        logits = clean_logits(classifier, batch.pixels.to(classifier.device_of(batch.pixels)))
        return {"answer": logits.argmax(1).cpu().numpy()}

    return look
