"""What a readout learns of frozen features: a linear layer of all images, or a classifier of a few images a class."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..attacks.classifier import Classifier
from ..plugin.errors import UserError
from ..robustness.accuracy import average, share
from ..words import count
from .features import Reading, ensemble, features_of

if TYPE_CHECKING:  # records need Brain-Score's libraries, features do not
    from ..robustness.recording import Measured, RecordBook

EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 10, 64, 5e-4, 0.05  # Naseer et al., the batch apart
ENOUGH_STEPS = 1000  # as of 6400 images: with fewer the layer's weights have not gone far from 0
QUERIES = 15  # images of a class that a run is tested on, at most

Progress = Callable[[str, int, int], None]
"""Called with (what, how many are done, of how many)."""


# --- all images ------------------------------------------------------------------------------------------------------


def fit_linear(
    features: np.ndarray, labels: np.ndarray, n_classes: int, seed: int = 0, epochs: int = EPOCHS
) -> nn.Linear:
    """A linear layer, from 0 by AdamW with a cosine that falls at every step.

    It learns features of mean 0 and variance 1 over the images, as linear probes usually do (He et al. 2022, arXiv
    2111.06377): images differ little beside what features have in common, and ten epochs would not get past that.

    Parameters
    ----------
    features : float32 array of shape (n, features)
    labels : int64 array of shape (n,)
    seed : of the order of the images in each epoch

    Returns
    -------
    nn.Linear of the features as they are, on the CPU: the same wherever these were computed
    """
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    mean, spread = x.mean(0), x.std(0, correction=0)
    spread[spread == 0] = 1.0
    x = (x - mean) / spread
    layer = nn.Linear(x.shape[1], n_classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * math.ceil(len(x) / BATCH))
    generator = torch.Generator().manual_seed(seed)
    for _epoch in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(layer(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
    layer.requires_grad_(False)
    layer.weight /= spread
    layer.bias -= layer.weight @ mean
    return layer


def predicted(layer: nn.Linear, features: np.ndarray) -> np.ndarray:
    """The class of each image: int64 array of shape (n,)."""
    return layer(torch.from_numpy(features)).argmax(1).numpy()


# --- a few images a class --------------------------------------------------------------------------------------------


class FewShot(NamedTuple):
    """Classes in a run, training images of each, and how many runs."""

    ways: int
    shots: int
    runs: int


class Episode(NamedTuple):
    """One run: rows of the training images that are learnt from, and of the test images that are asked."""

    support: np.ndarray
    queries: np.ndarray


def episodes(train: np.ndarray, test: np.ndarray, few: FewShot, seed: int = 0) -> Iterator[Episode]:
    """Draw classes, images of each to learn from and up to `QUERIES` of each to be asked.

    Parameters
    ----------
    train, test : labels, int64 arrays

    Raises
    ------
    UserError
        too few classes have so many training images, and a test image
    """
    ways, shots, runs = few
    classes, counts = np.unique(train, return_counts=True)
    fit = np.intersect1d(classes[counts >= shots], test)
    if not 2 <= ways <= len(fit):
        have = f"{count(len(fit), 'class has', 'classes have')} {count(shots, 'training image')} and a test image"
        raise UserError(f"--ways {ways} --shots {shots}: {have}. Give fewer of either; 2 ways at least.")
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        chosen = rng.choice(fit, ways, replace=False)
        support = [rng.choice(np.flatnonzero(train == one), shots, replace=False) for one in chosen]
        queries = [rng.permutation(np.flatnonzero(test == one))[:QUERIES] for one in chosen]
        yield Episode(np.concatenate(support), np.concatenate(queries))


def few_shot_accuracy(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, episode: Episode
) -> float:
    """Accuracy of scikit-learn's logistic regression on features of mean 0 and variance 1, the mean over classes.

    Parameters
    ----------
    train, test : features, arrays of shape (n_images, features)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learner = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cg", max_iter=1000))
    learner.fit(train[episode.support], train_labels[episode.support])
    answers = learner.predict(test[episode.queries])
    return float(balanced_accuracy_score(test_labels[episode.queries], answers))


# --- records ---------------------------------------------------------------------------------------------------------


def measure_features(
    train: RecordBook,
    test: RecordBook,
    classifier: Classifier,
    reading: Reading,
    *,
    epochs: int = EPOCHS,
    few: FewShot | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Measured]:
    """Accuracy of readouts of the last 1, 2, … layers, as records with a curve; each image is shown once for all.

    Parameters
    ----------
    train, test : of one model, and of the images that are learnt from and asked, whose labels mean the same classes
    reading : what features are
    epochs : of the linear layer
    few : few-shot learning too, a record of its own
    seed : of orders and draws
    progress : called with (what, how many are done, of how many)

    Raises
    ------
    UserError
        see `episodes`; and what looking at images raises
    """
    progress = progress or (lambda _what, _done, _total: None)
    what = {"layers": list(reading.layers), "features": reading.said}
    if few is not None:
        next(episodes(train.images.labels, test.images.labels, few, seed))  # refused before any image is shown

    @functools.cache  # once for both records, and not at all where both are there
    def seen() -> tuple[list[dict[str, np.ndarray]], float]:
        look = features_of(classifier, reading)
        each = [
            book.look("features", what, look, functools.partial(progress, said))
            for book, said in ((train, "training images"), (test, "test images"))
        ]
        return [table for table, _ in each], sum(seconds for _, seconds in each)

    trained_on = {"train": train.images.name, "train_data": train.images.fingerprint}
    settings = what | trained_on | {"seed": seed}
    twice = len(set(test.images.hashes) & set(train.images.hashes))
    notes = (f"{count(twice, 'test image')} among those that were learnt from",) if twice else ()
    found = [_linear(test, reading, settings | {"epochs": epochs}, seen, notes, progress)]
    if few is not None:
        found.append(_few_shot(test, reading, settings, few, seen, notes, progress))
    for book in (train, test):
        book.forget("features", what)
    return found


def _linear(
    test: RecordBook,
    reading: Reading,
    settings: dict[str, Any],
    seen: Callable[[], Any],
    notes: tuple[str, ...],
    progress: Progress,
) -> Measured:
    settings = settings | {"batch": BATCH, "learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY}
    benchmark = test.name("features", *reading.words)
    if (known := test.kept(benchmark, settings)) is not None:
        return known
    (shown, asked), seconds = seen()
    n_classes, last = 1 + int(shown["label"].max()), len(reading.layers)
    table = {name: asked[name] for name in ("identity", "label")}
    for n in range(1, last + 1):
        learnt = ensemble(shown, reading, n)
        layer = fit_linear(learnt, shown["label"], n_classes, settings["seed"], settings["epochs"])
        table[f"answer at {n}"] = predicted(layer, ensemble(asked, reading, n))
        progress("linear layers", n, last)
    curve = [{"level": n, **share(table[f"answer at {n}"] == table["label"])} for n in range(1, last + 1)]
    an_epoch = math.ceil(len(shown["label"]) / BATCH)
    if (steps := settings["epochs"] * an_epoch) < ENOUGH_STEPS:
        enough = f"--epochs {math.ceil(ENOUGH_STEPS / an_epoch)} takes {ENOUGH_STEPS}"
        notes += (f"the linear layer took {steps} steps and may not be learnt out: {enough}",)
    measured = {name: value for name, value in curve[-1].items() if name != "level"}
    return test.keep(
        benchmark,
        settings,
        {"metric": "features_accuracy", **measured},
        table,
        seconds=seconds,
        notes=notes,
        facts={"curve": curve, "axis": reading.axis, "chance": 1 / n_classes},
    )


def _few_shot(
    test: RecordBook,
    reading: Reading,
    settings: dict[str, Any],
    few: FewShot,
    seen: Callable[[], Any],
    notes: tuple[str, ...],
    progress: Progress,
) -> Measured:
    settings = settings | few._asdict() | {"queries": QUERIES, "scikit-learn": metadata.version("scikit-learn")}
    benchmark = test.name("features", *reading.words, f"{few.ways}-way-{few.shots}-shot")
    if (known := test.kept(benchmark, settings)) is not None:
        return known
    (shown, asked), seconds = seen()
    last = len(reading.layers)
    each = [(ensemble(shown, reading, n), ensemble(asked, reading, n)) for n in range(1, last + 1)]
    found = np.empty((few.runs, last))
    for run, episode in enumerate(episodes(shown["label"], asked["label"], few, settings["seed"])):
        for n, (learnt, queried) in enumerate(each):
            found[run, n] = few_shot_accuracy(learnt, shown["label"], queried, asked["label"], episode)
        progress("runs", run + 1, few.runs)
    curve = [{"level": n, **average(found[:, n - 1], "runs")} for n in range(1, last + 1)]
    measured = {name: value for name, value in curve[-1].items() if name != "level"}
    table = {"run": np.arange(few.runs)} | {f"accuracy at {n}": found[:, n - 1] for n in range(1, last + 1)}
    return test.keep(
        benchmark,
        settings,
        {"metric": "few_shot_accuracy", **measured},
        table,
        seconds=seconds,
        notes=notes,
        facts={"curve": curve, "axis": reading.axis, "chance": 1 / few.ways},
    )
