"""Shape against texture: what is chosen of images that have the shape of one category and the texture of another.

After Geirhos et al. (2019, arXiv 1811.12231). Decisions come from a network, or from files of observers and networks.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ..attacks.classifier import Classifier
from ..labelled_images.classes import IMAGENET_CLASSES, class_index
from ..labelled_images.images import Batch, LabelledImages
from ..labelled_images.sources import SUFFIXES
from ..plugin.card import Preprocessing
from ..plugin.errors import UserError, suggest
from ..plugin.files import file_sha256, write_whole
from ..plugin.preprocessing import read_pixels
from ..robustness.accuracy import share
from ..robustness.blocks import Look
from ..robustness.classifiers import clean_logits
from ..words import count, few

if TYPE_CHECKING:
    from ..robustness.recording import Measured, RecordBook

GROUPS = Path(__file__).with_name("sixteen_classes.toml")
COLUMNS = ("subj", "session", "trial", "rt", "object_response", "category", "condition", "imagename")
POOLS = ("sum", "mean")
NAMED = re.compile(r"([^\W\d_]+)\d+-([^\W\d_]+)\d+\.\w+$")  # …airplane1-bicycle2.png: shape, then texture


@cache
def categories() -> dict[str, tuple[int, ...]]:
    """Category -> its classes among ImageNet's 1000, by index; 16 of them, in the order of the alphabet."""
    groups = tomllib.loads(GROUPS.read_text(encoding="utf-8"))
    return {name: tuple(class_index(one) for one in ids) for name, ids in sorted(groups.items())}


class Trial(NamedTuple):
    """One decision.

    Parameters
    ----------
    subject : who decided
    image : name of the image file
    shape, texture : categories that the image shows
    response : the category that was chosen; "na" where there was no answer
    """

    subject: str
    image: str
    shape: str
    texture: str
    response: str


def shape_and_texture(image: str) -> tuple[str, str]:
    """What a cue-conflict image shows, by its name.

    Raises
    ------
    UserError

    Examples
    --------
    >>> shape_and_texture("0001_s5n_dnn_0_airplane_00_airplane1-bicycle2.png")
    ('airplane', 'bicycle')
    """
    found = NAMED.search(image)
    if not found:
        raise UserError(f"'{image}' is no cue-conflict image: its name should end like airplane1-bicycle2.png.")
    for name in found.groups():
        if name not in categories():
            raise UserError(f"'{image}': unknown category '{name}'.{suggest(name, categories())}")
    return found.group(1), found.group(2)


# --- how biased ------------------------------------------------------------------------------------------------------


def shape_bias(trials: Iterable[Trial]) -> dict[str, Any]:
    """Of the answers that were the shape or the texture, the share of the shape, with Wilson's interval.

    Images whose shape and texture are of one category are no conflict: they are left out, and counted.

    Returns
    -------
    dict : value, error, interval, interval_over, n (answers that were shape or texture; value and its ends None where
        there are none), n_shape, n_texture, n_conflict, n_no_conflict

    Examples
    --------
    >>> trials = [Trial("a", "", "cat", "dog", answer) for answer in ("cat", "cat", "dog", "bear")]
    >>> bias = shape_bias(trials)
    >>> round(bias["value"], 3), bias["n"], bias["n_conflict"]
    (0.667, 3, 4)
    """
    trials = list(trials)
    conflict = [trial for trial in trials if trial.shape != trial.texture]
    by_shape = [trial.response == trial.shape for trial in conflict if trial.response in (trial.shape, trial.texture)]
    known = share(np.array(by_shape)) if by_shape else dict.fromkeys(("value", "error", "interval"), None) | {"n": 0}
    return known | {
        "n_shape": sum(by_shape),
        "n_texture": len(by_shape) - sum(by_shape),
        "n_conflict": len(conflict),
        "n_no_conflict": len(trials) - len(conflict),
    }


def by_category(trials: Iterable[Trial]) -> dict[str, dict[str, Any]]:
    """The bias for each category of shapes."""
    mine: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        mine[trial.shape].append(trial)
    return {name: shape_bias(mine[name]) for name in categories() if name in mine}


# --- decisions as files ----------------------------------------------------------------------------------------------


def read_decisions(paths: Sequence[Path]) -> list[Trial]:
    """Decisions of one or several files, or of all CSV files of a folder.

    Parameters
    ----------
    paths : CSV files with the columns subj, object_response, category and imagename, as published

    Raises
    ------
    UserError
        no such file, a missing column, an image whose name says nothing, a category that is none
    """
    files = [file for path in paths for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path])]
    if not files:
        raise UserError(f"{few(paths)}: no CSV file of decisions there.")
    return [trial for file in files for trial in _trials_of(file)]


def _trials_of(path: Path) -> list[Trial]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a CSV file ({getattr(error, 'strerror', None) or error}).") from None
    needed = ("subj", "object_response", "imagename")
    missing = [name for name in needed if name not in (rows[0] if rows else ())]
    if missing:
        raise UserError(f"{path}: missing column {', '.join(missing)}. Needed are {', '.join(needed)}.")
    trials = []
    for line, row in enumerate(rows, start=2):
        response = row["object_response"] or ""
        if response not in categories() and response.lower() not in ("na", "nan"):
            raise UserError(f"{path}, line {line}: '{response}' is no category.{suggest(response, categories())}")
        try:
            shape, texture = shape_and_texture(row["imagename"] or "")
        except UserError as error:
            raise UserError(f"{path}, line {line}: {error}") from None
        if row.get("category") not in (None, "", shape):
            raise UserError(f"{path}, line {line}: category {row['category']}, but the image's shape is {shape}.")
        trials.append(Trial(row["subj"], row["imagename"], shape, texture, response))
    return trials


def write_decisions(trials: Sequence[Trial], path: Path, option: str = "-o") -> None:
    """The decisions as a CSV file of the published columns."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, trial in enumerate(trials, 1):
        writer.writerow((trial.subject, 1, number, "NaN", trial.response, trial.shape, 0, trial.image))
    write_whole(path, out.getvalue().encode(), option)


# --- decisions of a network ------------------------------------------------------------------------------------------


def cue_conflict_images(where: Path, preprocessing: Preprocessing) -> LabelledImages:
    """The images under a folder whose names say shape and texture; their label is the number of the shape's category.

    Raises
    ------
    UserError
        there are none, or one cannot be read
    """
    if not where.is_dir():
        raise UserError(f"there is no folder {where}. Give one of images such as airplane1-bicycle2.png.")
    pictures = {path for path in where.rglob("*") if path.suffix.lower() in SUFFIXES}
    files = sorted(path for path in pictures if NAMED.search(path.name))
    if not files:
        raise UserError(f"{where} holds no cue-conflict images: their names are like airplane1-bicycle2.png.")
    others = sorted(path.name for path in pictures.difference(files))
    numbers = {name: number for number, name in enumerate(categories())}
    return LabelledImages(
        name=where.absolute().name,
        identities=tuple(path.relative_to(where).as_posix() for path in files),
        labels=np.array([numbers[shape_and_texture(path.name)[0]] for path in files], dtype=np.int64),
        hashes=tuple(file_sha256(path) for path in files),
        read=lambda row: read_pixels(files[row], preprocessing),
        preprocessing=preprocessing,
        notes=(f"{count(len(others), 'image')} passed over, no cue-conflict name: {few(others)}",) if others else (),
    )


def chosen_category(classifier: Classifier, pool: str = "sum") -> Look:
    """The category with most probability, summed over its classes, or their mean as in Geirhos et al.'s released code.

    The mean favours categories of few classes: dogs are 110 of the 1000, ovens one.

    Returns
    -------
    callable, Batch -> int array of shape (n,) `answer`, the number of the category
    """
    if pool not in POOLS:
        raise UserError(f"unknown way to pool '{pool}'.{suggest(pool, POOLS)}")
    members = torch.zeros(IMAGENET_CLASSES, len(categories()), dtype=torch.float64)
    for number, classes in enumerate(categories().values()):
        members[list(classes), number] = 1.0 if pool == "sum" else 1 / len(classes)

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        logits = clean_logits(classifier, batch.pixels.to(classifier.device_of(batch.pixels)))
        if logits.shape[1] != IMAGENET_CLASSES:
            raise UserError(f"the categories are of ImageNet's 1000 classes; the network has {logits.shape[1]}.")
        return {"answer": (logits.cpu().double().softmax(1) @ members).argmax(1).numpy()}

    return look


def measure_shape_bias(
    book: RecordBook, classifier: Classifier, pool: str = "sum", progress: Any = None
) -> tuple[Measured, list[Trial]]:
    """The bias of a network as a record, with that of each category among its settings; and the decisions."""
    settings = {"pool": pool}
    benchmark = book.name("shape_bias", *([pool] if pool != "sum" else []))
    known = book.kept(benchmark, settings)
    table, seconds = (known.table, 0.0) if known else book.look(
        "shape_bias", settings, chosen_category(classifier, pool), progress
    )  # fmt: skip
    names = list(categories())
    trials = [
        Trial(book.model.name, Path(image).name, *shape_and_texture(image), names[answer])
        for image, answer in zip(table["identity"], table["answer"], strict=True)
    ]
    if known:
        return known, trials
    bias = shape_bias(trials)
    if not bias["n"]:
        raise UserError(f"{book.model.name} chose neither shape nor texture of any of {len(trials)} images.")
    found = {name: bias.pop(name) for name in ("n_shape", "n_texture", "n_conflict", "n_no_conflict")}
    found["by_category"] = by_category(trials)
    measured = book.keep(
        benchmark, settings, {"metric": "shape_bias", **bias}, table, seconds=seconds, facts=found
    )  # fmt: skip
    book.forget("shape_bias", settings)
    return measured, trials
