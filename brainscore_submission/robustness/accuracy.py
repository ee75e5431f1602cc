"""Robust accuracy: which images a network still classifies correctly after an attack."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import binomtest

from ..attacks.classifier import Classifier
from ..attacks.named import Named, run_attack
from ..attacks.threats import Threat
from ..labelled_images.images import Batch
from .blocks import Look
from .classifiers import clean_logits

if TYPE_CHECKING:  # records need Brain-Score's libraries, an attack does not
    from .recording import Measured, RecordBook


def under_attack(classifier: Classifier, named: Named, threat: Threat, seed: int = 0) -> Look:
    """What one attack does to each image. Only images that are classified correctly are attacked.

    Returns
    -------
    callable, Batch -> arrays of shape (n,): `answer`, the class of the image as it is; `correct`; `found`, whether the
    attack changed a correct answer; `size` of the perturbation in the threat's norm, NaN where not found; `loss`, the
    cross-entropy of the attacked image in nats, NaN where not attacked; `passes` through the network
    """

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        pixels, labels = (values.to(classifier.device_of(batch.pixels)) for values in (batch.pixels, batch.labels))
        answer = clean_logits(classifier, pixels).argmax(1)
        correct = answer == labels
        identities = [name for name, right in zip(batch.identities, correct.tolist(), strict=True) if right]
        attack = run_attack(
            named, classifier, pixels[correct], labels[correct], threat, seed=seed, identities=identities
        )
        return {
            "answer": answer.cpu().numpy(),
            "correct": correct.cpu().numpy(),
            "found": scattered(attack.found, correct, False),
            "size": scattered(attack.size, correct, math.nan),
            "loss": scattered(attack.loss.double(), correct, math.nan),
            "passes": scattered(attack.passes, correct, 0.0),
        }

    return look


def scattered(values: torch.Tensor, where: torch.Tensor, otherwise: float) -> np.ndarray:
    """Values of some images among all of them.

    Parameters
    ----------
    values : shape (m, …)
    where : bool of shape (n,), true for m images
    otherwise : of the other images

    Returns
    -------
    array of shape (n, …)
    """
    everyone = values.new_full((len(where), *values.shape[1:]), otherwise)
    everyone[where.to(values.device)] = values
    return everyone.cpu().numpy()


def share(hits: np.ndarray) -> dict:
    """A proportion of images: value, standard error, Wilson's 95 % interval, n.

    Wilson (1927) stays within 0 to 1 and holds where none or all are hits, as robust accuracies often are.

    Examples
    --------
    >>> found = share(np.array([True] * 3 + [False] * 7))
    >>> found["value"], [round(end, 4) for end in found["interval"]]
    (0.3, [0.1078, 0.6032])
    """
    n, k = len(hits), int(np.sum(hits))
    low, high = binomtest(k, n).proportion_ci(method="wilson")
    return {
        "value": k / n,
        "error": math.sqrt(k * (n - k) / n**3),
        "interval": (float(low), float(high)),
        "interval_over": "images (Wilson)",
        "n": n,
    }


def average(values: np.ndarray, over: str = "images", most: float = 1.0) -> dict:
    """A mean of numbers from 0 to `most`: value, standard error, a normal 95 % interval within these ends, n.

    Examples
    --------
    >>> found = average(np.array([0.0, 1.0, 1.0, 1.0]))
    >>> found["value"], found["error"], found["interval"][1]
    (0.75, 0.25, 1.0)
    """
    value, n = float(values.mean()), len(values)
    if n == 1 or (values == values[0]).all():  # nothing to tell a spread from
        return {"value": value, "error": None, "interval": None, "interval_over": None, "n": n}
    error = float(values.std(ddof=1)) / math.sqrt(n)
    ends = (max(0.0, value - 1.96 * error), min(most, value + 1.96 * error))
    return {"value": value, "error": error, "interval": ends, "interval_over": f"{over} (normal)", "n": n}


def measure_accuracy(
    book: RecordBook,
    classifier: Classifier,
    threat: Threat,
    attacks: Sequence[Named],
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Measured]:
    """Clean accuracy, robust accuracy under each attack and, of several, under all of them, as records.

    An image counts as robust if no attack changed it: no attack dominates, so the union is taken image by image.

    Parameters
    ----------
    book : of the model and the images
    classifier : of the same model
    attacks : each measured on its own, or taken from its record where there is one
    seed : of the random starts
    progress : called with (attack, images done, of how many)

    Returns
    -------
    list of Measured: clean_accuracy, then robust_accuracy of each attack, then of all together
    """
    each = []
    for named in attacks:
        settings = {"threat": str(threat), "attack": str(named), "seed": seed}
        benchmark = book.name("robust_accuracy", threat, named)
        measured = book.kept(benchmark, settings)
        if measured is None:
            say = partial(progress, str(named)) if progress else None
            table, seconds = book.look(str(named), settings, under_attack(classifier, named, threat, seed), say)
            measured = book.keep(benchmark, settings, _robust(table), table, seconds=seconds, facts=_facts(table))
            book.forget(str(named), settings)
        each.append(measured)
    tables = [one.table for one in each]
    clean = {name: tables[0][name] for name in ("identity", "label", "answer", "correct")}
    first = keep_clean(book, clean)
    if len(each) == 1:
        return [first, *each]
    together = "+".join(map(str, attacks))
    found = np.any([table["found"] for table in tables], axis=0)
    by_attack = {f"found by {named}": table["found"] for named, table in zip(attacks, tables, strict=True)}
    settings = {"threat": str(threat), "attack": together, "seed": seed}
    table = clean | {"found": found, "passes": np.sum([table["passes"] for table in tables], axis=0)} | by_attack
    name = book.name("robust_accuracy", threat, together)
    union = book.kept(name, settings) or book.keep(name, settings, _robust(table), table, facts=_facts(table))
    return [first, *each, union]


def keep_clean(book: RecordBook, seen: Mapping[str, np.ndarray]) -> Measured:
    """The clean accuracy, as whatever looks at images with a model finds it: the record that is there, or a new one.

    Parameters
    ----------
    seen : of each image, among others `identity`, `label`, `answer` and `correct`
    """
    name, table = book.name("clean_accuracy"), {one: seen[one] for one in ("identity", "label", "answer", "correct")}
    return book.kept(name, {}) or book.keep(name, {}, {"metric": "clean_accuracy", **share(table["correct"])}, table)


def _robust(table: Mapping[str, np.ndarray]) -> dict:
    return {"metric": "robust_accuracy", **share(table["correct"] & ~table["found"])}


def _facts(table: Mapping[str, np.ndarray]) -> dict:
    attacked = int(table["correct"].sum())
    passes = float(table["passes"][table["correct"]].mean()) if attacked else 0.0
    return {"n_attacked": attacked, "mean_passes": round(passes, 2)}
