"""Can these data tell two models apart? One statistic for all tables and figures: today's score, resampled in pairs.

The score of an area is that of its benchmarks, averaged as the suite does; "Avg" is the mean of the five areas. An area
whose recordings have no ceiling is compared in r. Records are read in `profiles`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.scoring.uncertainty import LEVEL, holm, paired_difference, percentiles
from brainscore_submission.words import few

from .display import interval, number, signed
from .profiles import Profile

if TYPE_CHECKING:
    import pandas as pd

AVERAGE = "Avg"
NO_NEUROIDS = "their records keep no neuroids, and Brain-Score's own error is too small"


@dataclass(frozen=True)
class Value:
    """What a model has of a measure: its value, resamples of shape (n_resamples,) or None, and what was resampled."""

    value: float
    draws: np.ndarray | None
    formula: str
    over: str

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, or None without resamples."""
        return None if self.draws is None else percentiles(self.draws)


def value_of(profile: Profile, measure: str) -> Value | None:
    """An area or "Avg" of a model, or None: of an average over fewer than five areas there is none."""
    if measure == AVERAGE:
        parts = [value_of(profile, area) for area in AREAS_AND_BEHAVIOR]
        if any(part is None or part.formula != "today" for part in parts):
            return None
        draws = [part.draws for part in parts]
        mean = None if any(draw is None for draw in draws) else np.mean(draws, axis=0)
        over = {part.over for part in parts}
        return Value(
            float(np.mean([part.value for part in parts])), mean, "today", over.pop() if len(over) == 1 else "mixed"
        )
    formula = "today" if measure in profile.values["today"] else "unceiled"
    if measure not in profile.values[formula]:
        return None
    draws = profile.resamples[formula].get(measure)
    return Value(profile.values[formula][measure], draws, formula, profile.over.get(measure, "normal"))


def measures_of(profiles: Sequence[Profile]) -> list[str]:
    """The areas that any of them has, from shallow to deep, and the average where any has one."""
    return [one for one in (*AREAS_AND_BEHAVIOR, AVERAGE) if any(value_of(profile, one) for profile in profiles)]


def ranking_measure(profiles: Sequence[Profile]) -> str | None:
    """By what models are ranked: the average, or where none has one the only area; None where neither is there."""
    measures = measures_of(profiles)
    return AVERAGE if AVERAGE in measures else measures[0] if len(measures) == 1 else None


def compare(profiles: Sequence[Profile], against: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """All pairs of models of one suite, or one against the others, on each area and on average.

    Parameters
    ----------
    profiles : of one suite
    against : name of the one model to compare with; None: all pairs

    Returns
    -------
    found : DataFrame, empty or with columns suite, measure, a, b, difference (a minus b), low, high, p, p_corrected
        (for the number of pairs of the measure, Holm), over, formula, verdict
    warnings : a line for each pair that is `unlike`
    """
    import pandas as pd

    rows, warnings = [], []
    for measure in measures_of(profiles):
        mine = []
        for a, b in combinations(profiles, 2):
            if against is not None and against not in (a.model, b.model):
                continue
            if against == a.model:  # others minus that one
                a, b = b, a
            one, other = value_of(a, measure), value_of(b, measure)
            if one is None or other is None or one.draws is None or other.draws is None or one.formula != other.formula:
                continue
            if why := unlike(a, b, measure):
                warnings.append(f"no difference of {a.model} to {b.model} in {measure}: {why}")
                continue
            found = paired_difference(one.draws, other.draws)
            # The resamples of a square have another mean than the square: the difference is the scores' own.
            shift = one.value - other.value - found.difference
            over = one.over if one.over == other.over else "mixed"
            row = {
                "suite": a.suite,
                "measure": measure,
                "a": a.model,
                "b": b.model,
                "difference": one.value - other.value,
            }
            row |= {"low": found.low + shift, "high": found.high + shift, "p": found.p, "over": over}
            mine.append(row | {"formula": one.formula})
        for row, corrected in zip(mine, holm([row["p"] for row in mine]), strict=True):
            rows.append(row | {"p_corrected": corrected, "verdict": _verdict(row, corrected, len(mine))})
    return pd.DataFrame(rows), warnings


def is_certain(row) -> bool:
    """Whether a row of `compare` tells its two models apart."""
    return row.over != "normal" and row.p_corrected < 1 - LEVEL


def _verdict(row, corrected, n_pairs):
    a, b, difference, ends = row["a"], row["b"], row["difference"], (row["low"], row["high"])
    certain = row["over"] != "normal" and corrected < 1 - LEVEL
    if certain and difference < 0:  # the better one is named first
        a, b, difference, ends = b, a, -difference, (-ends[1], -ends[0])
    numbers = f"difference {signed(difference, 3)}, {interval(ends, 3, sign=True)}"
    if certain:
        return f"{a} is better than {b} ({numbers}; p {p_in_words(corrected)}{f' for {n_pairs} pairs' * (n_pairs > 1)})"
    if row["over"] == "normal":
        return f"no verdict on {a} and {b}: {NO_NEUROIDS} ({numbers})"
    if row["p"] < 1 - LEVEL:  # its own interval leaves out 0
        numbers += f"; p {p_in_words(corrected)} for {n_pairs} pairs, {p_in_words(row['p'])} for this one alone"
    return f"these data cannot tell {a} from {b} ({numbers})"


def p_in_words(p: float) -> str:
    """
    >>> p_in_words(0.04), p_in_words(2e-5)
    ('= 0.040', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"= {number(p)}"


def alike(profiles: Sequence[Profile], measure: str) -> tuple[list[Profile], list[str]]:
    """Those of a suite's models that have a measure of the same, as most of them do, and a line for each other one."""

    def of_what(profile):
        areas = AREAS_AND_BEHAVIOR if measure == AVERAGE else (measure,)
        drawn = {name: its for area in areas for name, its in profile.drawn_from.get(area, {}).items()}
        return tuple(sorted((name, drawn.get(name, "")) for name, area in profile.area_of.items() if area in areas))

    there = [profile for profile in profiles if value_of(profile, measure) is not None]
    if not there:
        return [], []
    most = Counter(map(of_what, there)).most_common(1)[0][0]
    first = next(profile for profile in there if of_what(profile) == most)
    why = [unlike(first, profile, measure) for profile in there]
    return [one for one, reason in zip(there, why, strict=True) if not reason], [
        f"{one.model} on {one.suite} stands in no order with {first.model}: {reason}"
        for one, reason in zip(there, why, strict=True)
        if reason
    ]


def unlike(a: Profile, b: Profile, measure: str) -> str | None:
    """Why a measure of two models cannot be compared: it is of other benchmarks, or of other neuroids or stimuli."""
    areas = AREAS_AND_BEHAVIOR if measure == AVERAGE else (measure,)
    for area in areas:
        mine, its = ({name for name, of in one.area_of.items() if of == area} for one in (a, b))
        if mine != its:
            return f"{area} is of other benchmarks, {few(sorted(mine ^ its))}"
        one, other = a.drawn_from.get(area, {}), b.drawn_from.get(area, {})
        for benchmark in one.keys() & other.keys():
            if one[benchmark] != other[benchmark]:
                return f"other neuroids or stimuli, {benchmark}"
    return None
