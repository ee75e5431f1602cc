"""The smallest perturbation of each image, how large it is, and whether it lies where people look."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..attacks.classifier import Classifier
from ..attacks.linsley2023 import LARGEST, linsley2023
from ..attacks.minimal import GAMMA, minimal_l2
from ..attacks.threats import linf_size
from ..labelled_images.images import Batch
from ..plugin.errors import UserError, suggest
from ..words import count
from .accuracy import keep_clean, scattered
from .alignment import HUMAN_CEILING, alignment, mean_alignment
from .blocks import Look
from .classifiers import clean_logits
from .tolerance import tolerance

if TYPE_CHECKING:  # records need Brain-Score's libraries, an attack does not
    from .recording import Measured, RecordBook

SEARCHES = ("minimal", "linsley2023")
LIMIT = 10.0


def smallest_perturbations(classifier: Classifier, search: str = "minimal", steps: int = 100) -> Look:
    """Search the smallest l2 perturbation of each image that is classified correctly.

    Returns
    -------
    callable, Batch -> arrays of shape (n,): `answer`, `correct`, `found`; `l2` and `linf`, sizes of the perturbation,
    NaN where not found; `passes`; where the images have maps also `rho`, NaN where undefined, and `reason`
    """
    search_one = partial(minimal_l2, steps=steps) if search == "minimal" else linsley2023

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        pixels, labels = (values.to(classifier.device_of(batch.pixels)) for values in (batch.pixels, batch.labels))
        answer = clean_logits(classifier, pixels).argmax(1)
        correct = answer == labels
        attack = search_one(classifier, pixels[correct], labels[correct])
        linf = linf_size(attack.adversarial - pixels[correct]).where(attack.found, math.nan)
        seen = {
            "answer": answer.cpu().numpy(),
            "correct": correct.cpu().numpy(),
            "found": scattered(attack.found, correct, False),
            "l2": scattered(attack.size, correct, math.nan),
            "linf": scattered(linf, correct, math.nan),
            "passes": scattered(attack.passes, correct, 0.0),
        }
        if batch.maps is None:
            return seen
        rho, reason = np.full(len(labels), math.nan), np.full(len(labels), "misclassified", dtype="<U40")
        if correct.any():
            right = seen["correct"]
            images = [values.cpu().numpy() for values in (attack.adversarial, pixels[correct], attack.found)]
            rho[right], reasons = alignment(*images, batch.maps.numpy()[right])
            reason[right] = [one or "" for one in reasons]
        return seen | {"rho": rho, "reason": reason}

    return look


def searched_up_to(search: str, steps: int) -> float:
    """The l2 size that an image which resisted was searched up to.

    DDN's radius begins at 1 and grows by 5 % a step as long as nothing is found.

    Examples
    --------
    >>> round(searched_up_to("minimal", 100)), searched_up_to("linsley2023", 100)
    (125, 10.0)
    """
    return LARGEST if search == "linsley2023" else (1 + GAMMA) ** (steps - 1)


def measure_tolerance(
    book: RecordBook,
    classifier: Classifier,
    *,
    search: str = "minimal",
    steps: int = 100,
    limit: float = LIMIT,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Measured]:
    """Tolerance (Linsley et al. 2023) and, where the images have maps, alignment with them, as records.

    Parameters
    ----------
    book : of the model and the images
    classifier : of the same model
    search : one of `SEARCHES`
    steps : of DDN
    limit : l2 size up to which the mean looks, the same for networks that are compared

    Returns
    -------
    list of Measured: clean_accuracy; l2_tolerance, the mean up to the limit, with the median and the images that
    resisted among its settings; alignment, the mean of Spearman's ρ

    Raises
    ------
    UserError
        an unknown search, a limit beyond what is searched, or no image that is classified correctly
    """
    if search not in SEARCHES:
        raise UserError(f"unknown search '{search}'.{suggest(search, SEARCHES)}")
    reach = searched_up_to(search, steps)
    if not 0 < limit <= reach:
        raise UserError(f"a limit of {limit:g} is not possible: {search} with these steps searches up to {reach:.4g}.")
    settings = {"attack": f"{search}:{steps}" if search == "minimal" else search, "limit": limit}
    names = {"l2_tolerance": book.name("l2_tolerance", search)}
    if book.images.maps is not None:
        names["alignment"] = book.name("alignment", search)
    kept = {metric: book.kept(name, settings) for metric, name in names.items()}
    if all(kept.values()):
        return list(kept.values())
    say = partial(progress, f"smallest perturbations ({search})") if progress else None
    table, seconds = book.look("tolerance", settings, smallest_perturbations(classifier, search, steps), say)
    correct = table["correct"]
    if not correct.any():
        raise UserError(f"none of {len(correct)} images is classified correctly: there is nothing to perturb.")
    measured, facts, notes = tolerance_of(table, reach, limit)
    found = [
        keep_clean(book, table),
        book.keep(names["l2_tolerance"], settings, measured, table, seconds=seconds, notes=notes, facts=facts),
    ]
    if "alignment" in names:
        measured, facts, notes = alignment_of(table)
        kept = book.keep(names["alignment"], settings, measured, table, seconds=seconds, notes=notes, facts=facts)
        found.append(kept)
    book.forget("tolerance", settings)
    return found


def tolerance_of(table: Mapping[str, np.ndarray], reach: float, limit: float) -> tuple[dict, dict, list[str]]:
    """Fields of the measure, further facts, and a note on images that resisted.

    Parameters
    ----------
    table : as `smallest_perturbations` gives it, over all images
    reach : size up to which images that resisted were searched
    limit : of the mean
    """
    correct = table["correct"]
    found = table["found"][correct]
    one = tolerance(np.where(found, table["l2"][correct], reach), found, limit)
    measured = {"metric": "l2_tolerance", "value": one.mean, "error": one.error, "n": one.n}
    linf = table["linf"][correct][found]
    facts = {
        "median": None if math.isnan(one.median) else one.median,
        "mean_linf_of_found": float(linf.mean()) if len(linf) else None,
        "n_resisted": one.n_resisted,
        "searched_up_to": reach,
        "mean_passes": round(float(table["passes"][correct].mean()), 2),
    }
    notes = [f"{count(one.n_resisted, 'image')} of {one.n} resisted: counted as such up to {reach:.4g}, not dropped."]
    return measured, facts, notes if one.n_resisted else []


def alignment_of(table: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Fields of the measure, further facts, and a note for each reason why a ρ is undefined.

    Raises
    ------
    UserError
        no image has a ρ
    """
    mean, error, n = mean_alignment(table["rho"])
    reasons, numbers = np.unique(table["reason"][table["reason"] != ""], return_counts=True)
    notes = [f"no ρ for {count(int(k), 'image')}: {reason}." for reason, k in zip(reasons, numbers, strict=True)]
    if not n:
        raise UserError(f"no image has a ρ with its map. {' '.join(notes)}")
    error = None if math.isnan(error) else error
    facts = {
        "human_ceiling": HUMAN_CEILING,
        "of_ceiling": mean / HUMAN_CEILING,
        "of_ceiling_error": None if error is None else error / HUMAN_CEILING,
    }
    return {"metric": "alignment", "value": mean, "error": error, "n": n}, facts, notes
