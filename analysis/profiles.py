"""Records as profiles: one model on one suite, its score by area under each formula, and resamples of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError, suggest
from brainscore_submission.scoring import formulas as scoring_formulas
from brainscore_submission.scoring.formulas import OF_2022, TODAY, UNCEILED, ceiled
from brainscore_submission.scoring.records import RecordError, marks_of
from brainscore_submission.scoring.reference import has_own_weights
from brainscore_submission.scoring.sidecar import Sidecar
from brainscore_submission.scoring.suites import Suite
from brainscore_submission.scoring.uncertainty import N_RESAMPLES, percentiles, raw_resamples, resampled_over
from brainscore_submission.words import few

from .comparable import read_results, suites_of
from .display import missing

if TYPE_CHECKING:
    import pandas as pd

# Name of a formula -> formula, field of a record.
FORMULAS = {"today": (TODAY, "score"), "2022": (OF_2022, "score_2022"), "unceiled": (UNCEILED, "raw")}
FORMULA_LABELS = {"today": "r²/c", "2022": "(r/c)²", "unceiled": "r"}


@dataclass(frozen=True)
class Profile:
    """One model on one suite.

    `values[formula][area]` is a score, `resamples[formula][area]` an array of shape (n_resamples,) of it,
    and `over[area]` what was resampled. An area that is not fully scored is in none of them.
    `recorded[area]` is the interval that the record holds, of the areas that are one benchmark.
    `neuroid_r[benchmark]` holds each neuroid's r, mean over splits, and `area_of[benchmark]` its area.
    `drawn_from[area][benchmark]` tells the neuroids and stimuli from others; `at_ceiling[area]` is the score of a model
    whose r is as high as the noise ceiling; `card` is what the model is, `own_weights` whether with the card's weights.
    """

    model: str
    suite: str
    competition_id: int | None
    marks: tuple[str, ...]
    values: dict[str, dict[str, float]]
    resamples: dict[str, dict[str, np.ndarray]]
    over: dict[str, str]
    recorded: dict[str, tuple[float, float]]
    neuroid_r: dict[str, np.ndarray]
    area_of: dict[str, str]
    drawn_from: dict[str, dict[str, str]]
    at_ceiling: dict[str, float]
    card: str = ""
    own_weights: bool = True

    def interval(self, formula: str, area: str) -> tuple[float, float] | None:
        """The 95 % interval of an area's score: the record's own where it holds one; None without an error."""
        if formula == "today" and area in self.recorded:
            return self.recorded[area]
        resamples = self.resamples[formula].get(area)
        return None if resamples is None else percentiles(resamples)


def read_predictivity(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """The records of a folder that tell how well recordings are predicted, and a line for each file left out."""
    table, unread = read_results(folder)
    return table[table["kind"] == "predictivity"], unread


def find_model(name: str, ones: Iterable[Any]) -> str:
    """The model meant by its name, by its competition number, or by what was typed after ``--model``.

    Parameters
    ----------
    name : "my_finetuned", "991", "timm:resnet18"
    ones : records, profiles or estimates

    Raises
    ------
    UserError
        No such model, or several of that card and none that has its name.
    """

    ones = list(ones)
    cards = {one.model: getattr(one, "card", "") or one.model for one in ones}
    if name in cards:
        return name
    numbers = {one.model for one in ones if not missing(one.competition_id) and name == str(int(one.competition_id))}
    typed = re.sub(r"[^a-z0-9]+", "_", name.lower())
    found = sorted(numbers) or [
        model
        for model, card in cards.items()
        if any(f"{re.sub('[^a-z0-9]+', '_', one.lower())}_".startswith(f"{typed}_") for one in (model, card))
    ]
    own = [model for model in found if model == cards[model]]  # of several checkpoints, the card's own
    if len(found) == 1 or len(own) == 1:
        return (found if len(found) == 1 else own)[0]
    if found:
        raise UserError(f"'{name}' may be {few(found, 8)}: give the whole name.")
    raise UserError(f"unknown model '{name}'.{suggest(name, cards)}")


def depth_of(area: str | None) -> int:
    """Place of an area from shallow to deep, behaviour last, anything else behind it."""
    return AREAS_AND_BEHAVIOR.index(area) if area in AREAS_AND_BEHAVIOR else len(AREAS_AND_BEHAVIOR)


def by_depth(table: pd.DataFrame, *before: str) -> pd.DataFrame:
    """Records from shallow areas to deep ones, within equal values of the columns `before`."""
    depth = table["area"].map(depth_of)
    return table.assign(depth=depth).sort_values([*before, "depth", "benchmark", "model"]).drop(columns="depth")


def profiles_of(table: pd.DataFrame, *, n_resamples=N_RESAMPLES, seed=0) -> tuple[list[Profile], list[str]]:
    """Profiles of all models in a table of records.

    Parameters
    ----------
    table : DataFrame, from `read_predictivity`
    n_resamples, seed : int

    Returns
    -------
    profiles : list of Profile, by suite and model
    warnings : list of str
        Areas without a score, and sidecars that could not be used.
    """
    profiles, warnings, gaps = [], [], {}
    suites, _ = suites_of(table)
    for (suite, model), records in table.groupby(["suite", "model"], sort=True):
        profile, notes = _profile(records, suites.get(suite) or _plain(records), n_resamples, seed)
        profiles.append(profile)
        warnings += notes
        for gap in _gaps(records, profile.values):
            gaps.setdefault((suite, gap), []).append(model)
    for (suite, gap), models in gaps.items():
        everyone = len(models) == sum(profile.suite == suite for profile in profiles)
        warnings.append(f"{suite}: {gap}" if everyone else f"{', '.join(models)} on {suite}: {gap}")
    return profiles, warnings


def _profile(records, suite, n_resamples, seed):
    first = records.iloc[0]
    scored = records[records["status"] == "scored"]
    draws, over, neuroid_r, warnings = {name: {} for name in FORMULAS}, {}, {}, []
    drawn_from: dict[str, dict[str, str]] = {}
    for record in scored.itertuples():
        sidecar = None
        try:
            sidecar = None if record.sidecar is None else Sidecar.load(record.sidecar, record.checksum)
        except RecordError as error:
            warnings.append(f"neuroids not used, normal errors instead: {error}")
        if sidecar is not None:
            neuroid_r[record.benchmark] = sidecar.r.mean(axis=0)
            drawn_from.setdefault(record.area, {})[record.benchmark] = _of_what(sidecar)
        over.setdefault(record.area, set()).add("normal" if sidecar is None else resampled_over(sidecar))
        for name, draw in _resamples(record, sidecar, n_resamples, seed).items():
            draws[name][record.benchmark] = draw
    alone = scored[~scored["area"].duplicated(keep=False)]
    profile = Profile(
        model=first.model,
        suite=first.suite,
        competition_id=None if missing(first.competition_id) else int(first.competition_id),
        marks=marks_of(records.itertuples()),
        values={name: _by_area(suite, scored.set_index("benchmark")[field]) for name, (_, field) in FORMULAS.items()},
        resamples={name: _by_area(suite, by_benchmark) for name, by_benchmark in draws.items()},
        over={area: kinds.pop() if len(kinds) == 1 else "mixed" for area, kinds in over.items()},
        recorded={record.area: record.interval for record in alone.itertuples() if record.interval is not None},
        neuroid_r=neuroid_r,
        area_of=dict(zip(records["benchmark"], records["area"], strict=True)),
        drawn_from=drawn_from,
        at_ceiling=_by_area(suite, scored.set_index("benchmark").apply(_at_ceiling, axis=1)),
        card=first.card,
        own_weights=has_own_weights(first.weights),
    )
    return profile, warnings


def _at_ceiling(record):
    """The score where r equals its noise ceiling."""

    known = record["formula"] in scoring_formulas.FORMULAS and not missing(record["ceiling"])
    return float(ceiled(record["ceiling"], record["ceiling"], record["formula"])) if known else None


def _of_what(sidecar):
    """A hash of the names of neuroids and stimuli, in any order."""
    stimuli = [] if sidecar.stimulus_id is None else sorted(sidecar.stimulus_id.astype(str))
    return hashlib.sha256("\0".join([*sorted(sidecar.neuroid_id.astype(str)), "", *stimuli]).encode()).hexdigest()


def _resamples(record, sidecar, n_resamples, seed):
    """Resamples of one record under each formula; None where there is no score or no error."""

    options, key = {"n_resamples": n_resamples, "seed": seed}, f"{record.model}/{record.suite}/{record.benchmark}"
    raw = None if sidecar is None else raw_resamples(sidecar, **options)
    draws = {}
    for name, (formula, field) in FORMULAS.items():
        value = getattr(record, field)
        if raw is not None and not missing(value) and (record.formula == TODAY or formula == UNCEILED):
            draws[name] = ceiled(raw, record.ceiling, formula)
        else:
            draws[name] = normal_resamples(value, getattr(record, f"{field}_error"), key, **options)
    return draws


def normal_resamples(value, error, key, *, n_resamples=N_RESAMPLES, seed=0):
    """Draws around a score with a normal error, (n_resamples,); other keys give independent draws.

    None without a score or an error.
    """

    if missing(value) or missing(error):
        return None
    digest = hashlib.sha256(key.encode()).digest()
    generator = np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
    return value + error * generator.standard_normal(n_resamples)


def _plain(records):
    """A suite of these records, each area the mean of its benchmarks."""
    by_area = records.groupby("area", sort=False)["benchmark"].apply(tuple)
    return Suite(records["suite"].iloc[0], by_area.to_dict())


def _by_area(suite, by_benchmark):
    """Means by area, of numbers or arrays, without the areas where a benchmark is missing."""
    numbers = {name: np.asarray(value, dtype=float) for name, value in by_benchmark.items()}
    present = {name: by_benchmark[name] for name, number in numbers.items() if not np.isnan(number).any()}
    means = suite.average(present)
    return {area: means[area] for area in AREAS_AND_BEHAVIOR if means.get(area) is not None}


def _gaps(records, values):
    """Which areas of the suite have no score, and why: a line for each reason, areas from shallow to deep."""
    by_reason = {}
    for area in sorted(set(records["area"].dropna()), key=lambda area: (depth_of(area), area)):
        if area not in values["today"] and area not in values["unceiled"]:
            mine = records[records["area"] == area]
            why = zip(mine["status"], mine["reason"], strict=True)
            reasons = sorted({f"{status}: {reason}" for status, reason in why if reason})
            by_reason.setdefault("; ".join(reasons), []).append(area)
    if (records["status"] == "no access").all():
        return [f"no access to any of its benchmarks ({'; '.join(sorted(set(records['reason'])))})"]
    return [
        f"{', '.join(missing)} {'has' if len(missing) == 1 else 'have'} no score ({reason or 'not scored'})"
        for reason, missing in by_reason.items()
    ]
