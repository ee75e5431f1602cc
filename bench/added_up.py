"""What a whole evaluation takes at true size, added up from measured parts, term by term. Standard library only.

Every term is a count times a measured cost. A term whose part was not measured is None, and so is the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

from .measuring import Pair, Results
from .sizes import CROSSVIT_FEATURES, TRUE_SUITE, SuiteSize

BRAINSCORE_BATCH = 64


@dataclass(frozen=True)
class Term:
    """One line of the sum.

    Parameters
    ----------
    what : is counted
    how : the count and the cost, in words
    seconds : None where the cost was not measured
    """

    what: str
    how: str
    seconds: float | None


def ours(results: Results) -> list[Term]:
    """Our evaluation: every image once, stopped where its layers have fired; the Gram matrices and PLS."""
    return [
        *_our_forward(results),
        *_metrics(results, "ours"),
        _common(results),
    ]


def brainscore(results: Results) -> list[Term]:
    """Brain-Score's: every image of every layer's recording through the whole network, in batches of 64."""
    passes = brainscore_passes(TRUE_SUITE)
    cost = _per_pass(results.recording)
    how = f"{passes} image passes" + ("" if cost is None else f" x {cost:.3f} s")
    return [
        Term("recording", how, None if cost is None else passes * cost),
        *_metrics(results, "brainscore"),
        _common(results),
    ]


def total(terms: list[Term]) -> float | None:
    """Sum of the terms; None if one is missing."""
    return None if any(term.seconds is None for term in terms) else sum(term.seconds for term in terms)


def brainscore_passes(size: SuiteSize, batch: int = BRAINSCORE_BATCH) -> int:
    """Image passes with Brain-Score's cache on: V2 finds V1's layer there, IT's is another than V4's.

    >>> brainscore_passes(TRUE_SUITE)
    8768
    """
    textures, objects, behavior = (-(-n // batch) * batch for n in (size.textures, size.objects, size.behavior))
    return textures + 2 * objects + behavior


def _our_forward(results: Results) -> list[Term]:
    if results.recording is None or results.recording_network != "crossvit":
        return [Term("recording", "not measured", None)]
    terms = []
    for name, n_images in _true_images().items():
        part = results.recording.ours["sets"][name]
        cost = part["seconds"] / part["images"]
        terms.append(Term(f"recording, {name}", f"{n_images} images x {cost:.3f} s", n_images * cost))
    return terms


def _metrics(results: Results, side: str) -> list[Term]:
    terms = []
    for areas, n_stimuli in (("V1 and V2", TRUE_SUITE.textures), ("V4 and IT", TRUE_SUITE.objects)):
        pair = _metric_at(results, n_stimuli)
        seconds = None if pair is None else ten_folds(getattr(pair, side))
        how = "not measured" if seconds is None else f"2 x {seconds:.1f} s"
        terms.append(Term(f"PLS, {areas}", how, None if seconds is None else 2 * seconds))
    return terms


def ten_folds(measured: dict) -> float | None:
    """Seconds of the metric; where only some folds were measured, multiplied to ten."""
    return None if "failed" in measured else measured["seconds"] * 10 / measured["folds"]


def _common(results: Results) -> Term:
    """Brain-Score's own code on both sides; measured in our evaluation where that had the true size."""
    pair, what = results.evaluate, "ceilings, readout and i2n"
    if pair is None or pair.size != TRUE_SUITE:
        return Term(what, "not measured", None)
    behavior = pair.ours["area_seconds"]["behavior"] - pair.ours["behavior_ceiling_seconds"]
    return Term(what, "Brain-Score's code, as it ran in our evaluation", pair.ours["ceiling_seconds"] + behavior)


def _metric_at(results: Results, n_stimuli: int) -> Pair | None:
    size = (n_stimuli, CROSSVIT_FEATURES)
    return next((pair for pair in results.metric if (pair.size.n_stimuli, pair.size.n_features) == size), None)


def _per_pass(pair: Pair | None) -> float | None:
    if pair is None or pair.brainscore is None or "failed" in pair.brainscore:
        return None
    return pair.brainscore["seconds"] / pair.brainscore["passes"]


def _true_images() -> dict[str, int]:
    return {name: getattr(TRUE_SUITE, name) for name in ("textures", "objects", "behavior")}
