"""Which layer an area gets, and how far the winner's score can be believed. Arrays in, names out.

Choosing the best of many layers on the numbers it is then reported with inflates them. So beside the best score stands
a *nested* one (chosen on half of the splits, scored on the others), and beside the best layer the *tied* ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from ..scoring.uncertainty import LEVEL

N_RESAMPLES = 1000
ORDER = ("V1", "V2", "V4", "IT")
RULES = {
    "best": "the layer with the highest signed score",
    "ordered": "among the layers tied with the best of their area, the highest scores whose layers come in the "
    "order V1, V2, V4, IT",
}


@dataclass(frozen=True)
class AreaScores:
    """The layers of one area, on all its benchmarks.

    Parameters
    ----------
    area : str
    layers : in the order of execution; only those scored exactly on every benchmark of the area
    signed : signed score of each layer, averaged over benchmarks as the suite does
    r : for each benchmark an array (n_layers, n_splits, n_neuroids), or None where it has no neuroids
    to_score : for each benchmark a function from raw r to signed score
    average : callable, list of values (one a benchmark) -> the area's value
    error : standard error of `signed` over splits
    z : raw r of each layer divided by its spread over neuroids and stimuli, the least over benchmarks; NaN: unknown
    position : of each layer in the order of execution, the same count for all areas
    """

    area: str
    layers: tuple[str, ...]
    signed: np.ndarray
    r: tuple[np.ndarray | None, ...]
    to_score: tuple[Callable[[np.ndarray], np.ndarray], ...]
    average: Callable[[Sequence[np.ndarray]], np.ndarray]
    error: np.ndarray
    z: np.ndarray
    position: np.ndarray


@dataclass(frozen=True)
class Choice:
    """What was chosen for an area.

    Parameters
    ----------
    area, layer : str
    rule : in words
    best : layer with the highest signed score
    best_score, chosen_score : signed
    nested_score : signed; the layer chosen on half of the splits, scored on the other half, mean over all halves
    tied : layers that cannot be told from the best, in the order of execution
    tied_over : what was drawn anew to tell them apart
    chance_p : one-sided, of an r this high for a layer that predicts nothing, times the number of layers; None: unknown
    n_layers : among which was chosen
    """

    area: str
    layer: str
    rule: str
    best: str
    best_score: float
    chosen_score: float
    nested_score: float | None
    tied: tuple[str, ...]
    tied_over: str
    chance_p: float | None
    n_layers: int


def choose_layers(areas: Sequence[AreaScores], ordered: bool = False, seed: int = 0) -> dict[str, Choice]:
    """Choose a layer for each area.

    Parameters
    ----------
    areas : Sequence of AreaScores
    ordered : prefer, among tied layers, those in the order V1, V2, V4, IT
    seed : of the bootstrap
    """
    ties = {scores.area: tied_with_best(scores, seed=seed) for scores in areas}
    best = {scores.area: int(np.argmax(scores.signed)) for scores in areas}
    chosen, rule = dict(best), RULES["best"]
    if ordered:
        by_area = {scores.area: scores for scores in areas if scores.area in ORDER}
        in_line = in_order(by_area, ties)
        chosen |= in_line
        rule = RULES["ordered"] if in_line else f"{RULES['best']}, as no tied layers come in the order V1, V2, V4, IT"
    return {
        scores.area: _choice(scores, chosen[scores.area], best[scores.area], ties[scores.area], rule)
        for scores in areas
    }


def _choice(scores: AreaScores, chosen: int, best: int, tied: np.ndarray, rule: str) -> Choice:
    return Choice(
        area=scores.area,
        layer=scores.layers[chosen],
        rule=rule if scores.area in ORDER else RULES["best"],
        best=scores.layers[best],
        best_score=float(scores.signed[best]),
        chosen_score=float(scores.signed[chosen]),
        nested_score=nested_score(scores),
        tied=tuple(scores.layers[i] for i in np.flatnonzero(tied)),
        tied_over="neuroids" if _has_neuroids(scores) else "nothing: by the errors over splits",
        chance_p=chance_p(scores.z[chosen], _n_splits(scores), len(scores.layers)) if _has_neuroids(scores) else None,
        n_layers=len(scores.layers),
    )


def nested_score(scores: AreaScores) -> float | None:
    """Signed score of the layer chosen on one half of the splits, on the other half; mean over all ways to halve.

    Splits share their images and neuroids, so it takes off the luck of the splits, not all of the luck.

    Returns
    -------
    float; None for benchmarks without splits and neuroids
    """
    if not _has_neuroids(scores):
        return None
    medians = [_median(r) for r in scores.r]  # (n_layers, n_splits) a benchmark
    n_splits = _n_splits(scores)
    values = []
    for half in itertools.combinations(range(n_splits), n_splits // 2):
        others = [split for split in range(n_splits) if split not in half]
        chosen = int(np.argmax(_signed(scores, medians, list(half))))
        values.append(_signed(scores, medians, others)[chosen])
    return float(np.mean(values))


def _signed(scores: AreaScores, medians: Sequence[np.ndarray], splits: Sequence[int]) -> np.ndarray:
    raw = [values[:, splits].mean(axis=1) for values in medians]
    return scores.average([to_score(r) for to_score, r in zip(scores.to_score, raw, strict=True)])


def tied_with_best(scores: AreaScores, n_resamples: int = N_RESAMPLES, seed: int = 0) -> np.ndarray:
    """Which layers cannot be told from the best: the interval of the paired difference of signed scores holds 0.

    Neuroids are drawn with replacement, the same for all layers. Without neuroids: where the difference is less than
    1.96 of its standard error over splits.

    Returns
    -------
    ndarray of shape (n_layers,), bool
    """
    best = int(np.argmax(scores.signed))
    if not _has_neuroids(scores):
        error = np.hypot(scores.error, scores.error[best])
        return scores.signed[best] - scores.signed <= norm.ppf((1 + LEVEL) / 2) * error
    generator = np.random.default_rng(seed)
    draws = [generator.integers(0, r.shape[2], (n_resamples, r.shape[2])) for r in scores.r]
    differences = np.empty((n_resamples, len(scores.layers)))
    for n in range(n_resamples):
        medians = [_median(r[:, :, drawn[n]]) for r, drawn in zip(scores.r, draws, strict=True)]
        signed = _signed(scores, medians, list(range(_n_splits(scores))))
        differences[n] = signed[best] - signed
    tied = np.quantile(differences, (1 - LEVEL) / 2, axis=0) <= 0
    tied[best] = True
    return tied


def in_order(areas: Mapping[str, AreaScores], tied: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The tied layers with the highest sum of signed scores whose positions do not fall from area to area.

    Returns
    -------
    dict from area to the index of a layer; empty where tied layers in that order do not exist
    """
    best: dict[int, tuple[float, dict[str, int]]] = {0: (0.0, {})}  # latest position so far -> sum, layers
    for area in (area for area in ORDER if area in areas):
        scores, further = areas[area], {}
        for index in np.flatnonzero(tied[area]).tolist():
            position = int(scores.position[index])
            reached = [(total, chosen) for latest, (total, chosen) in best.items() if latest <= position]
            if reached:
                total, chosen = max(reached, key=lambda pair: pair[0])
                further[position] = total + float(scores.signed[index]), {**chosen, area: index}
        best = further
    return max(best.values(), key=lambda pair: pair[0])[1] if best else {}


def chance_p(z: float, n_splits: int, n_layers: int) -> float | None:
    """Chance of an r this high from one of so many layers that predict nothing.

    Student's t with n_splits - 1 degrees of freedom, because the spread comes from the test sets of so few splits;
    times the number of layers (Bonferroni). On the demo suite with shuffled responses, z had a standard deviation of
    0.9 to 1.2.

    Examples
    --------
    >>> round(chance_p(8.0, 10, 300), 4)
    0.0033
    """
    return None if math.isnan(z) else float(min(1.0, n_layers * t.sf(z, n_splits - 1)))


def _n_splits(scores: AreaScores) -> int:
    return min(r.shape[1] for r in scores.r)


def _has_neuroids(scores: AreaScores) -> bool:
    return all(r is not None for r in scores.r)


def _median(r: np.ndarray) -> np.ndarray:
    """Over the last axis; a neuroid without an r counts in no layer's median."""
    undefined = np.isnan(r)
    return np.nanmedian(r, axis=-1) if undefined.any() else np.median(r, axis=-1)
