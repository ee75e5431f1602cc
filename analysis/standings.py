"""Models in order: what a leaderboard shows of each, as plain values. The page is laid out in `leaderboard`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainscore_submission.plugin.card import all_cards
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.published import PUBLISHED
from brainscore_submission.scoring.reference import has_own_weights
from brainscore_submission.scoring.uncertainty import N_RESAMPLES, rank_intervals

from .comparable import read_results
from .comparisons import AVERAGE, alike, measures_of, ranking_measure, value_of
from .hierarchy import record_estimates
from .profiles import Profile, profiles_of

if TYPE_CHECKING:
    import pandas as pd

RHO, TOP1, PARAMETERS = "ρ", "top-1", "parameters"


@dataclass(frozen=True)
class Number:
    """A value with its 95 % interval, where it has one."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass
class Standing:
    """One model on one suite.

    Parameters
    ----------
    rank, rank_interval : by the average, or by the only area there is; None without it
    training : in words
    numbers : column -> Number: the areas, "Avg", "ρ", "top-1", "parameters", and a column for each other measure
    facts : what a reader wants to know of how it was made, in words
    """

    model: str
    suite: str
    marks: tuple[str, ...]
    training: str
    numbers: dict[str, Number]
    facts: dict[str, str]
    rank: int | None = None
    rank_interval: tuple[int, int] | None = None


@dataclass(frozen=True)
class Standings:
    """All models of a results folder, by suite and rank, and the columns that any of them has."""

    rows: list[Standing]
    columns: list[str]
    warnings: list[str] = field(default_factory=list)

    @property
    def suites(self) -> list[str]:
        """Those there are."""
        return list(dict.fromkeys(row.suite for row in self.rows))


def read_standings(results: str | Path, *, n_resamples=N_RESAMPLES, seed=0) -> Standings:
    """Read a folder of records and put its models in order.

    Raises
    ------
    UserError
        The folder does not exist or holds no usable record.
    """
    table, warnings = read_results(results)
    if table.empty:
        raise UserError(
            f"no usable record under {results}.\nScore some models: python evaluate.py --models models.toml"
        )
    profiles, gaps = profiles_of(table[table["kind"] == "predictivity"], n_resamples=n_resamples, seed=seed)
    by_model = {model: records for model, records in table.groupby("model", sort=False)}
    measured = other_measures(table[(table["kind"] == "measure") & (table["status"] == "scored")])
    rho = {(one.suite, one.model): one for one in record_estimates(profiles)[0] if one.formula == "today"}
    rows: list[Standing] = []
    for suite in dict.fromkeys(profile.suite for profile in profiles):
        mine = [profile for profile in profiles if profile.suite == suite]
        found = [_standing(one, by_model[one.model], rho.get((suite, one.model)), measured) for one in mine]
        gaps += rank(found, mine)
        rows += sorted(found, key=lambda row: (row.rank is None, row.rank or 0, row.model))
    known = {profile.model for profile in profiles}
    rows += [_measured_only(model, by_model[model], measured) for model in measured if model not in known]
    return Standings(rows, _columns(rows, measures_of(profiles)), warnings + gaps)


def _columns(rows, measures):
    """The average, beside the rank that is made of it; areas, ρ, other measures by name, what describes the network."""
    there = {name for row in rows for name in row.numbers}
    first, last = [*sorted(measures, key=lambda one: one != AVERAGE), RHO], [TOP1, PARAMETERS]
    return [name for name in [*first, *sorted(there - {*first, *last}), *last] if name in there]


def rank(rows: Sequence[Standing], profiles: Sequence[Profile]) -> list[str]:
    """Give the rows of a suite their ranks, and the range of ranks that the paired resamples cannot exclude.

    Returns
    -------
    list of str: a line for each model that cannot be ranked with the others, see `comparisons.alike`
    """
    measure = ranking_measure(profiles)
    if measure is None:
        return []
    comparable, others = alike(profiles, measure)
    values = [value_of(profile, measure) for profile in profiles]
    of_them = {profile.model for profile in comparable}
    ranked = [number for number, profile in enumerate(profiles) if profile.model in of_them]
    scores = np.array([values[number].value for number in ranked])
    for number in ranked:
        rows[number].rank = 1 + int((scores > values[number].value).sum())
    if len(ranked) > 1 and all(values[number].draws is not None for number in ranked):
        # The resamples of a square have another mean than the square: they are moved to the scores.
        draws = np.stack([values[n].draws - values[n].draws.mean() + values[n].value for n in ranked])
        for number, ends in zip(ranked, rank_intervals(draws), strict=True):
            rows[number].rank_interval = ends
    return others


def other_measures(records: pd.DataFrame) -> dict[str, dict[str, Number]]:
    """Model -> column -> value, of records that are no predictivity: each metric is a column.

    Where a metric was measured on several things, each is a column: "top-1: linf 8/255".
    """
    several = {metric for metric, mine in records.groupby("metric") if mine["benchmark"].nunique() > 1}
    found: dict[str, dict[str, Number]] = {}
    for record in records.itertuples():
        column = f"{record.metric}: {record.benchmark}" if record.metric in several else record.metric
        found.setdefault(record.model, {})[column] = Number(record.value, record.interval)
    return found


def _standing(profile, records, estimate, measured):
    values = {name: value_of(profile, name) for name in measures_of([profile])}
    numbers = {name: Number(value.value, _interval(profile, name, value)) for name, value in values.items() if value}
    if estimate is not None and estimate.hierarchy.rho is not None:
        numbers[RHO] = Number(estimate.hierarchy.rho, estimate.interval)
    mine = records[(records["suite"] == profile.suite) & (records["kind"] == "predictivity")]
    training, about = _about(mine.iloc[0])
    return Standing(
        profile.model,
        profile.suite,
        profile.marks,
        training,
        numbers | about | measured.get(profile.model, {}),
        _facts(mine),
    )


def _interval(profile, measure, value):
    return value.interval if measure == AVERAGE else profile.interval(value.formula, measure)


def _measured_only(model, records, measured):
    first = records.iloc[0]
    training, about = _about(first)
    return Standing(model, first.suite, tuple(first.marks), training, about | measured[model], _facts(records))


def _about(record) -> tuple[str, dict[str, Number]]:
    """How the network was trained, its size and its accuracy, of the record, and of the card for older records."""
    weights = record.weights or {}
    card = next((card for card in all_cards() if card.identifier == record.card), None)
    own = card is not None and has_own_weights(weights) and record.model == record.card
    training = weights.get("training") or (
        card.training if own else "random weights" if weights.get("untrained") else ""
    )
    printed = next((row.top1 for row in PUBLISHED if own and row.competition_id == card.competition_id), None)
    numbers = {
        TOP1: weights.get("top1") or (card.top1 or printed if own else None),
        PARAMETERS: weights.get("parameters"),
    }
    return training, {name: Number(value) for name, value in numbers.items() if value is not None}


def _facts(records) -> dict[str, str]:
    first, weights = records.iloc[0], records.iloc[0].weights or {}
    hashes = [f"{kind} {weights[kind]}" for kind in ("sha1", "sha256") if weights.get(kind)]
    seed = f"random, seed {weights.get('seed')}" if weights.get("untrained") else ""
    facts = {
        "card": first.card,
        "weights": ", ".join(filter(None, [weights.get("source"), *hashes, seed, weights.get("note")])),
        "layers": ", ".join(f"{row.area}: {row.layer}" for row in records.itertuples() if row.layer),
        "layer map": ", ".join(dict.fromkeys(filter(None, records["layer_map"]))),
        "preprocessing": first.preprocessing,
        "command": "\n".join(dict.fromkeys(command for command in records["command"] if command)),
        "created": records["created"].max(),
        "versions": ", ".join(f"{name} {number}" for name, number in first.versions.items()),
        "no score": "; ".join(f"{row.benchmark}: {row.reason}" for row in records.itertuples() if row.reason),
    }
    return {name: str(value) for name, value in facts.items() if value}


def as_rows(standings: Standings) -> list[dict[str, Any]]:
    """Model x measure: a plain row for each model and suite.

    With the ends of its interval, "<column> low" and "<column> high", behind each column that has any.
    """
    rows = []
    uncertain = {name for row in standings.rows for name, one in row.numbers.items() if one.interval is not None}
    for one in standings.rows:
        ends = one.rank_interval or (None, None)
        row: dict[str, Any] = {"suite": one.suite, "rank": one.rank, "rank low": ends[0], "rank high": ends[1]}
        row |= {"model": one.model, "marks": " ".join(one.marks), "training": one.training}
        for name in standings.columns:
            number = one.numbers.get(name)
            low, high = (None, None) if number is None or number.interval is None else number.interval
            row[name] = number and number.value
            row |= {f"{name} low": low, f"{name} high": high} if name in uncertain else {}
        rows.append(row)
    return rows
