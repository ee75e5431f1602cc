"""Which layer an area gets, and how far the winner's score can be believed. Arrays in, names out.

Choosing the best of many layers on the numbers it is then reported with inflates them. So beside the best score stands
a *nested* one (chosen on half of the images and neuroids, scored on the other halves), and beside the best layer the
*tied* ones.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

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
    halves : for each benchmark an array (n_layers, n_partitions, 2, n_splits) as of `halves.halves_of`, or None
    resamples : for each benchmark an array (n_layers, n_resamples) of raw r, layers drawn together, or None
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
    halves: tuple[np.ndarray | None, ...]
    resamples: tuple[np.ndarray | None, ...]
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
    nested_score : signed; the layer chosen by the same rule on halves, scored on the other halves; see `nested_scores`
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
    in_line = _in_line(areas, ties) if ordered else {}
    rule = RULES["best"]
    if ordered:
        rule = RULES["ordered"] if in_line else f"{RULES['best']}, as no tied layers come in the order V1, V2, V4, IT"
    chosen, nested = best | in_line, nested_scores(areas, ties if in_line else None)
    return {
        scores.area: _choice(scores, chosen[scores.area], best[scores.area], ties[scores.area], nested, rule)
        for scores in areas
    }


def _in_line(areas: Sequence[AreaScores], ties: Mapping[str, np.ndarray]) -> dict[str, int]:
    return in_order({scores.area: scores for scores in areas if scores.area in ORDER}, ties)


def _choice(
    scores: AreaScores, chosen: int, best: int, tied: np.ndarray, nested: Mapping[str, float | None], rule: str
) -> Choice:
    return Choice(
        area=scores.area,
        layer=scores.layers[chosen],
        rule=rule if scores.area in ORDER else RULES["best"],
        best=scores.layers[best],
        best_score=float(scores.signed[best]),
        chosen_score=float(scores.signed[chosen]),
        nested_score=nested[scores.area],
        tied=tuple(scores.layers[i] for i in np.flatnonzero(tied)),
        tied_over=_drawn_anew(scores),
        chance_p=chance_p(scores.z[chosen], _n_splits(scores), len(scores.layers)) if _has_neuroids(scores) else None,
        n_layers=len(scores.layers),
    )


def nested_scores(areas: Sequence[AreaScores], ties: Mapping[str, np.ndarray] | None = None) -> dict[str, float | None]:
    """Signed score of the layer chosen on one half of images and neuroids, on the other halves; mean over partitions.

    A half has fewer images, which moves every r a little: the difference between the chosen layer's whole and the mean
    of all its halves is added again. Where predictions are not kept, half of the splits stands for half of the data;
    they share images and neuroids, so about half of the luck stays in.

    Parameters
    ----------
    areas : Sequence of AreaScores
    ties : of each area, where layers in the order of the areas are chosen among them; None: the best is chosen

    Returns
    -------
    dict from area to float; None for benchmarks without splits and neuroids
    """
    sides = {scores.area: _both_sides(scores) for scores in areas if _has_neuroids(scores)}
    known = [scores for scores in areas if scores.area in sides]
    # Of each layer, the whole less the mean of all its halves: no luck is in that, which both hold alike.
    with warnings.catch_warnings(action="ignore"):  # of a layer without an r
        shifts = {scores.area: scores.signed - np.nanmean(sides[scores.area], axis=(1, 2)) for scores in known}
    values: dict[str, list[float]] = {area: [] for area in sides}
    for number in range(min((found.shape[1] for found in sides.values()), default=0)):
        for side in (0, 1):
            seen = [replace(scores, signed=sides[scores.area][:, number, side]) for scores in known]
            chosen = {scores.area: int(np.nanargmax(scores.signed)) for scores in seen}
            chosen |= _in_line(seen, ties) if ties is not None else {}
            for area, found in sides.items():
                values[area].append(found[chosen[area], number, 1 - side] + shifts[area][chosen[area]])
    nested: dict[str, float | None] = dict.fromkeys(scores.area for scores in areas)
    return nested | {area: float(np.nanmean(found)) for area, found in values.items()}


def _both_sides(scores: AreaScores) -> np.ndarray:
    """Signed score of each layer on both sides of each partition: (n_layers, n_partitions, 2)."""
    if all(halves is not None for halves in scores.halves):
        with warnings.catch_warnings(action="ignore"):  # of a half in which no split has images enough
            return _signed(scores, [np.nanmean(halves, axis=3) for halves in scores.halves])
    medians = [_median(r) for r in scores.r]  # (n_layers, n_splits) a benchmark
    n_splits = min(r.shape[1] for r in scores.r)
    pairs = [
        (list(half), [split for split in range(n_splits) if split not in half])
        for half in itertools.combinations(range(n_splits), n_splits // 2)
    ]
    sides = [[_signed(scores, [m[:, side].mean(axis=1) for m in medians]) for side in pair] for pair in pairs]
    return np.moveaxis(np.array(sides), 2, 0)


def _signed(scores: AreaScores, raw: Sequence[np.ndarray]) -> np.ndarray:
    return scores.average([to_score(r) for to_score, r in zip(scores.to_score, raw, strict=True)])


def tied_with_best(scores: AreaScores, n_resamples: int = N_RESAMPLES, seed: int = 0) -> np.ndarray:
    """Which layers cannot be told from the best, at a level that holds for all of them together.

    Neuroids and images (or neuroids alone, where predictions are not kept) are drawn anew, the same for all layers.
    A layer is tied if its distance from the best, in standard errors, is one that the largest of all distances reaches
    by chance (95 % of its bootstrap distribution): the best of many equals is far from each of them. Without neuroids:
    where the difference is less than 1.96 of its standard error over splits.

    Returns
    -------
    ndarray of shape (n_layers,), bool
    """
    best = int(np.argmax(scores.signed))
    distance = scores.signed[best] - scores.signed
    if not _has_neuroids(scores):
        return distance <= norm.ppf((1 + LEVEL) / 2) * np.hypot(scores.error, scores.error[best])
    drawn = _drawn(scores, n_resamples, seed)  # (n_layers, n_resamples)
    drawn = drawn[best] - drawn
    around = drawn - drawn.mean(axis=1, keepdims=True)
    error = around.std(axis=1)
    others = error > 0
    tied = distance <= 0
    if others.any():
        largest = (around[others] / error[others, None]).max(axis=0)
        tied[others] = distance[others] <= np.quantile(largest, LEVEL) * error[others]
    return tied


def _drawn(scores: AreaScores, n_resamples: int, seed: int) -> np.ndarray:
    """Signed score of each layer when neuroids, and images where that can be, are drawn anew."""
    if all(resamples is not None for resamples in scores.resamples):
        return _signed(scores, scores.resamples)
    generator = np.random.default_rng(seed)
    draws = [generator.integers(0, r.shape[2], (n_resamples, r.shape[2])) for r in scores.r]
    found = [
        _signed(scores, [_median(r[:, :, drawn[n]]).mean(axis=1) for r, drawn in zip(scores.r, draws, strict=True)])
        for n in range(n_resamples)
    ]
    return np.stack(found, axis=1)


def _drawn_anew(scores: AreaScores) -> str:
    if not _has_neuroids(scores):
        return "nothing: by the errors over splits"
    return "neuroids and images" if all(one is not None for one in scores.resamples) else "neuroids"


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
