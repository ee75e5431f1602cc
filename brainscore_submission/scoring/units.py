"""How sure a score is from what its object keeps of each subject, session or image."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from .formulas import TOLERANCE, UNKNOWN, Found, ceiled

LEVEL = 0.95

# Classes whose raw score carries a bare list of one value a human subject. Others list random halves of the subjects.
LISTED_OVER_SUBJECTS = (
    "_Malania2007Base",
    "Coggan2024_behavior_ConditionWiseAccuracySimilarity",
    "Coggan2024_fMRI_Benchmark",
)


class Units(NamedTuple):
    """Values whose mean is a score or its raw value.

    Parameters
    ----------
    values : ndarray of shape (n_units,); of images True where the answer was right
    over : "subjects", "sessions" or "images"
    of_raw : whether their mean is the raw value, still to be divided by the ceiling; else it is the score
    """

    values: np.ndarray
    over: str
    of_raw: bool


def read_units(score: Any, found: Found, benchmark: Any) -> Units | None:
    """What a score object keeps of each subject, session or image, if their mean is what it says it is.

    Parameters
    ----------
    score : what a Brain-Score benchmark returned
    found : of `formulas.read_score`
    benchmark : the benchmark

    Returns
    -------
    Units, or None where there are fewer than two values, or none whose mean is the score or its raw value to 1e-9
    """
    attrs = getattr(score, "attrs", {})
    raw, sessions = attrs.get("raw"), attrs.get("session_scores")
    inner = getattr(raw, "attrs", {})
    listed = any(kind.__name__ in LISTED_OVER_SUBJECTS for kind in type(benchmark).__mro__)
    candidates = [
        (attrs.get("raw_subjects"), "subjects"),
        (raw, None),
        (inner.get("raw"), "subjects" if listed else None),
        (inner.get("subject_scores"), "subjects"),
        (list(sessions.values()) if isinstance(sessions, dict) else None, "sessions"),
    ]
    if found.over in ("subjects", "sessions"):
        scores = ceiled(*np.array(found.parts).T, found.formula)
        candidates = [(scores, found.over), (np.clip(scores, 0, 1), found.over), *candidates]
    for kept, over in candidates:
        values, over = _one_a_unit(kept, over)
        if values is None or len(values) < 2 or not np.isfinite(values).all():
            continue
        mean = float(values.mean())
        if mean < 0 and found.raw is not None and abs(mean + found.raw) < TOLERANCE:
            values, mean = -values, -mean  # Brain-Score takes the absolute value of a mean error consistency
        if abs(mean - found.value) < TOLERANCE:
            return Units(values, over, of_raw=False)
        if found.formula != UNKNOWN and found.raw is not None and abs(mean - found.raw) < TOLERANCE:
            return Units(values, over, of_raw=True)
    return None


def _one_a_unit(kept: Any, over: str | None) -> tuple[np.ndarray | None, str | None]:
    """One value for each unit: means over everything else that a subject went through."""
    dims = getattr(kept, "dims", ())
    if "subject" in dims:
        return kept.mean([dim for dim in dims if dim != "subject"]).values.astype(float), "subjects"
    values = np.asarray(kept) if kept is not None else None
    if "presentation" in dims and values.dtype == bool and values.size == kept.sizes["presentation"]:
        return values.ravel(), "images"
    if over is None or values is None or values.ndim != 1:
        return None, None
    return values.astype(float), over


def units_interval(units: Units) -> tuple[tuple[float, float], float]:
    """Interval and standard error of the mean of the units.

    Student's t over subjects and sessions; Wilson's interval (1927) over images that are right or wrong.

    Returns
    -------
    interval : tuple (low, high), 95 %
    error : standard error of the mean

    Examples
    --------
    >>> units_interval(Units(np.array([.4, .5, .6]), "subjects", False))[0]
    (0.251586228..., 0.748413771...)
    >>> units_interval(Units(np.arange(10) < 9, "images", False))[0]
    (0.595849973..., 0.982123786...)
    """
    n, mean = len(units.values), float(np.mean(units.values))
    if units.over == "images":
        found = scipy.stats.binomtest(int(units.values.sum()), n).proportion_ci(LEVEL, method="wilson")
        return (round(float(found.low), 12), round(float(found.high), 12)), float(np.sqrt(mean * (1 - mean) / n))
    error = float(np.std(units.values, ddof=1) / np.sqrt(n))
    reach = float(scipy.stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error
    return (round(mean - reach, 12), round(mean + reach, 12)), error
