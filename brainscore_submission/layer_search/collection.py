"""The scores of a search as they come, and each area's as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..engine.sketch import Sketch
from ..engine.survey import Candidate
from ..scoring.formulas import ceiled
from ..scoring.suites import Suite
from .confirmation import Confirmation, sketch_error, to_confirm
from .scores import LayerScore
from .selection import AreaScores

Scores = dict[tuple[str, str], LayerScore]


class Collection:
    """Scores of candidate layers on the benchmarks of a suite.

    Parameters
    ----------
    suite : Suite
    candidates : in the order of execution

    Attributes
    ----------
    exact, sketched : (benchmark, layer) -> LayerScore
    """

    def __init__(self, suite: Suite, candidates: Sequence[Candidate]):
        self.exact: Scores = {}
        self.sketched: Scores = {}
        self._suite = suite
        self._position = {candidate.layer: position for position, candidate in enumerate(candidates)}

    def take(self, score: LayerScore) -> None:
        """Add a score."""
        (self.exact if score.exact else self.sketched)[score.benchmark, score.layer] = score

    @property
    def areas(self) -> list[str]:
        """Areas with scores, in the order of the suite."""
        return [area for area in self._suite.areas if self.benchmarks(area)]

    def benchmarks(self, area: str) -> list[str]:
        """Benchmarks of an area that have scores, in the order of the suite."""
        scored = {benchmark for benchmark, _ in (*self.exact, *self.sketched)}
        return [leaf for leaf, its_area in self._suite.leaves.items() if its_area == area and leaf in scored]

    def best_known(self) -> list[LayerScore]:
        """One score a benchmark and layer, the exact one where there are two, in the order of suite and execution."""
        known = {**self.sketched, **self.exact}
        order = list(self._suite.leaves)
        return [known[key] for key in sorted(known, key=lambda key: (order.index(key[0]), self._position[key[1]]))]

    def signed(self, area: str, scores: Scores) -> dict[str, float]:
        """Signed score of each layer that has one on every benchmark of the area, averaged as the suite does."""
        benchmarks = self.benchmarks(area)
        layers = self._layers(benchmarks, scores)
        values = [np.array([scores[b, layer].signed_score for layer in layers]) for b in benchmarks]
        return dict(zip(layers, self._average(area)(values).tolist(), strict=True)) if layers else {}

    def unconfirmed(self, area: str, top: int) -> list[str]:
        """Layers whose exact score is still needed to name the best of an area."""
        return to_confirm(self.signed(area, self.sketched), self.signed(area, self.exact), top)

    def confirmations(self, sketch: Sketch) -> dict[str, Confirmation]:
        """How well the sketch ranked, for each area that was sketched."""
        found = {}
        for area in self.areas:
            sketched = self.signed(area, self.sketched)
            if sketched:
                n_confirmed, error = sketch_error(sketched, self.signed(area, self.exact))
                found[area] = Confirmation(n_confirmed, error, sketch.columns, sketch.seed)
        return found

    def area_scores(self, area: str) -> AreaScores:
        """The exact scores of an area."""
        benchmarks = self.benchmarks(area)
        layers = self._layers(benchmarks, self.exact)
        scores = [[self.exact[b, layer] for layer in layers] for b in benchmarks]
        average = self._average(area)
        return AreaScores(
            area=area,
            layers=tuple(layers),
            signed=average([np.array([s.signed_score for s in column]) for column in scores]),
            r=tuple(_stacked([score.r for score in column]) for column in scores),
            halves=tuple(_stacked([score.halves for score in column]) for column in scores),
            resamples=tuple(_stacked([score.resamples for score in column]) for column in scores),
            to_score=tuple(_to_score(column[0]) for column in scores),
            average=average,
            # As if the benchmarks' errors were independent.
            error=np.sqrt(sum(np.array([_error(s) for s in column]) ** 2 for column in scores)) / len(scores),
            z=np.min([[_z(s) for s in column] for column in scores], axis=0),
            position=np.array([self._position[layer] for layer in layers]),
        )

    def _layers(self, benchmarks: Sequence[str], scores: Scores) -> list[str]:
        return [layer for layer in self._position if all((b, layer) in scores for b in benchmarks)]

    def _average(self, area: str) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
        """As the suite averages; a plain mean where some of its benchmarks cannot be had."""
        benchmarks = self.benchmarks(area)
        complete = len(benchmarks) == sum(its_area == area for its_area in self._suite.leaves.values())
        if not complete:
            return lambda values: np.mean(values, axis=0)
        return lambda values: self._suite.average(dict(zip(benchmarks, values, strict=True)))[area]


def _stacked(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    return None if any(array is None for array in arrays) else np.stack(arrays)


def _to_score(score: LayerScore) -> Callable[[np.ndarray], np.ndarray]:
    """From raw r to the signed score of a benchmark; its ceiling and formula are the same for all layers."""
    numbers = score.numbers
    if numbers.ceiling is None:
        return lambda r: r
    return lambda r: np.copysign(ceiled(r, numbers.ceiling, numbers.formula), r)


def _error(score: LayerScore) -> float:
    return (score.numbers.raw_error if score.numbers.score is None else score.numbers.score_error) or 0.0


def _z(score: LayerScore) -> float:
    return score.numbers.raw / score.numbers.raw_spread if score.numbers.raw_spread else float("nan")
