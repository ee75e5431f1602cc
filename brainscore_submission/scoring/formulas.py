"""From raw value and ceiling to score: Brain-Score's formulas by benchmark class, and what its score objects hold.

A formula is named only where it reproduces the score to 1e-9, from the raw values and ceilings that the score object
itself carries: as a whole, or as the mean over its parts (subjects, sessions, splits). Where it does not, or the object
lacks its parts, the value is Brain-Score's own and the formula is "unknown".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..plugin.errors import UserError, suggest

TOLERANCE = 1e-9


class Formula(NamedTuple):
    """Score of a raw value r and a ceiling c, both on the scale of r; and its derivative by r."""

    score: Callable[[Any, Any], Any]
    slope: Callable[[Any, Any], Any]


FORMULAS = {
    "r^2/c": Formula(lambda r, c: r**2 / c, lambda r, c: 2 * abs(r) / c),
    "(r/c)^2": Formula(lambda r, c: (r / c) ** 2, lambda r, c: 2 * abs(r) / c**2),
    "r/c": Formula(lambda r, c: r / c, lambda r, c: 1 / c),
    "r/sqrt(c)": Formula(lambda r, c: r / np.sqrt(c), lambda r, c: 1 / np.sqrt(c)),
    "(r-1/3)/(c-1/3)": Formula(lambda r, c: (r - 1 / 3) / (c - 1 / 3), lambda r, c: 1 / (c - 1 / 3)),
    "r": Formula(lambda r, c: r, lambda r, c: 1.0),
}
TODAY, OF_2022, UNCEILED, UNKNOWN = "r^2/c", "(r/c)^2", "r", "unknown"

# Name of a benchmark's class, or of one it is made from -> formula. Read in the classes and found again on objects.
BY_CLASS = {
    "NeuralBenchmark": "r^2/c",
    "TrainTestNeuralBenchmark": "r^2/c",
    "MultiSubjectNeuralBenchmark": "r^2/c",
    "_CombinedNeuralBenchmark": "r^2/c",
    "RSABenchmark": "r/c",
    "_MultiSubjectRSABenchmark": "r/c",
    "_MultiSubjectCKABenchmark": "r/c",
    "_Bracci2019RSA": "r/c",
    "PropertiesBenchmark": "r/c",
    "Coggan2024_fMRI_Benchmark": "(r/c)^2",
    "Coggan2024_behavior_ConditionWiseAccuracySimilarity": "(r/c)^2",
    "_DicarloRajalingham2018": "r/sqrt(c)",
    "ChoiceBenchmark": "r/sqrt(c)",
    "Hebart2023Match": "(r-1/3)/(c-1/3)",
    "_Geirhos2021ErrorConsistency": "r/c",
    "_Scialom2024BehavioralAccuracyDistance": "r/c",
    "_Scialom2024BehavioralErrorConsistency": "r/c",
    "_Ferguson2024ValueDelta": "r/c",
    "_Malania2007Base": "r/c",
    "_Kato2026AccuracyDistance": "r/c",
    "_Kato2026ErrorConsistency": "r/c",
    "_BMD_2024_BehavioralAccuracyDistance": "r/c",
    "_Baker2022AccuracyDelta": "r/c",
    "_Lonnqvist2024BehavioralAccuracyDistanceInlabInstructions": "r/c",
    "_Lonnqvist2024BehavioralAccuracyDistanceInlabNoInstructions": "r/c",
    "_Lonnqvist2024BehavioralAccuracyDistanceOnlineNoInstructions": "r/c",
    "_Maniquet2024ConfusionSimilarity": "r/c",
    "_Scialom2024EngineeringAccuracy": "r/c",  # of a ceiling that is 1
    "_Lonnqvist2024EngineeringAccuracy": "r/c",
    "_Maniquet2024TasksConsistency": "r/c",
}
# What stood on the leaderboard of 2022 under another formula than today; of those in neither table there was none.
OF_2022_BY_CLASS = {"NeuralBenchmark": "(r/c)^2", "PropertiesBenchmark": "r/c", "_DicarloRajalingham2018": "r/sqrt(c)"}
OF_2022_BY_CLASS["ChoiceBenchmark"] = "r/sqrt(c)"


class Found(NamedTuple):
    """What a score object holds.

    Parameters
    ----------
    value : Brain-Score's score, the mean where it is one a time bin
    raw, ceiling : means over the parts; None where the object has none
    formula : of `FORMULAS`, or "unknown"
    parts : (raw, ceiling) of each subject, session or split, or of the whole
    over : what the parts are: "subjects", "sessions", "splits", "time bins" or None
    """

    value: float
    raw: float | None
    ceiling: float | None
    formula: str
    parts: tuple[tuple[float, float], ...]
    over: str | None


def ceiled(raw, ceiling, formula):
    """Turn raw r into a score.

    Parameters
    ----------
    raw : float or array
    ceiling : float, ignored by the formula "r"
    formula : a key of `FORMULAS`

    Examples
    --------
    >>> round(ceiled(.7, .8, "r^2/c"), 4), round(ceiled(.7, .8, "(r/c)^2"), 4)
    (0.6125, 0.7656)
    """
    if formula not in FORMULAS:
        raise UserError(f"unknown formula '{formula}'.{suggest(formula, FORMULAS)}")
    return FORMULAS[formula].score(raw, ceiling)


def read_score(score: Any, benchmark: Any) -> Found:
    """Raw value, ceiling and verified formula of a score object, whatever its shape.

    Raw and ceiling are the object's own: `benchmark.ceiling` may be drawn anew at every access (Marques2020).

    Parameters
    ----------
    score : what a Brain-Score benchmark returned
    benchmark : the benchmark
    """
    attrs = getattr(score, "attrs", {})
    value, raw, ceiling = _numbers(score), _numbers(attrs.get("raw")), _numbers(attrs.get("ceiling"))
    if "aggregation" in getattr(score, "dims", ()):  # centre and error side by side
        value = _numbers(score.sel(aggregation="center"))
    expected = by_class(benchmark, BY_CLASS)
    if value is None:
        raise ValueError("the score is not a number")
    candidates = _parts(score, value, raw, ceiling)
    for parts, over in candidates:
        if expected and _reproduces(expected, parts, float(value.mean())):
            means = np.mean(parts, axis=0)
            return Found(float(value.mean()), float(means[0]), float(means[1]), expected, parts, over)
    raw_mean = None if raw is None or not np.isfinite(raw).any() else float(np.nanmean(raw))
    whole = ceiling is not None and ceiling.size == 1 and np.isfinite(ceiling).all()
    ceiling_mean = float(ceiling.mean()) if whole else None
    if raw_mean is not None and ceiling is None and abs(raw_mean - float(value.mean())) < TOLERANCE:
        return Found(float(value.mean()), raw_mean, None, UNCEILED, (), None)
    return Found(float(value.mean()), raw_mean, ceiling_mean, UNKNOWN, (), None)


def by_class(benchmark: Any, table: dict[str, str]) -> str | None:
    """The entry of the first of a benchmark's classes that the table has."""
    return next((table[kind.__name__] for kind in type(benchmark).__mro__ if kind.__name__ in table), None)


def _parts(score: Any, value: np.ndarray, raw: Any, ceiling: Any) -> list[tuple[tuple[tuple[float, float], ...], str]]:
    """The ways in which a score may be a mean over parts: the whole first."""
    attrs = getattr(score, "attrs", {})
    found = []
    if raw is not None and ceiling is not None and raw.size == ceiling.size == 1:
        found.append((((raw.item(), ceiling.item()),), None))
    elif raw is not None and ceiling is not None and raw.shape == ceiling.shape == value.shape:
        found.append((tuple(zip(raw.ravel().tolist(), ceiling.ravel().tolist(), strict=True)), "time bins"))
    inner, outer = (getattr(attrs.get(name), "attrs", {}).get("raw") for name in ("raw", "ceiling"))
    if getattr(inner, "dims", None) == getattr(outer, "dims", 0) == ("split",):
        found.append((tuple(zip(inner.values.tolist(), outer.values.tolist(), strict=True)), "splits"))
    nested = [one.attrs for key, one in attrs.items() if key not in ("raw", "ceiling") and _is_score(one)]
    sessions = attrs.get("session_scores")
    for these, over in ((nested, "subjects"), ([one.attrs for one in _listed(sessions) if _is_score(one)], "sessions")):
        if these:
            found.append((tuple((_mean(one["raw"]), _mean(one["ceiling"])) for one in these), over))
    return found


def _reproduces(formula: str, parts: tuple[tuple[float, float], ...], value: float) -> bool:
    raw, ceiling = np.array(parts, dtype=float).T
    with np.errstate(all="ignore"):
        scores = FORMULAS[formula].score(raw, ceiling)
    return any(
        abs(np.mean(each) - value) < TOLERANCE for each in (scores, np.clip(scores, 0, 1), np.minimum(scores, 1))
    )


def _is_score(value: Any) -> bool:
    return {"raw", "ceiling"} <= set(getattr(value, "attrs", ()))


def _listed(value: Any) -> list:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def _mean(value: Any) -> float:
    return float(np.mean(_numbers(value)))


def _numbers(value: Any) -> np.ndarray | None:
    """The values as float64, or None where there are none."""
    if value is None:
        return None
    try:
        return np.asarray(getattr(value, "values", value), dtype=float)
    except (TypeError, ValueError):  # choices of a label task, for example
        return None
