"""Own records beside the paper's tables. Always marked: the paper's are 2022 values, private data, old formula.

    python -m analysis.published results/ [--json]

The tables themselves are data in `brainscore_submission.published`.
"""

import json
from collections.abc import Sequence

import pandas as pd
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.scoring.published import CAVEAT, PUBLIC_BENCHMARK, PUBLIC_TARGETS, published_model
from brainscore_submission.scoring.records import marks_of

from .display import AsJson, ResultsFolder, named, number, signed, write_table
from .profiles import Profile, profiles_of, read_predictivity

# Internal consistency of PUBLIC_BENCHMARK: score of today = score of 2022 x ceiling.
PUBLIC_CEILING = 0.81579938


def line_up(profiles: Sequence[Profile]) -> pd.DataFrame:
    """Area scores of own models beside the paper's.

    The paper's values come from other data than any public record: they are context, not a target.

    Parameters
    ----------
    profiles : from `profiles.profiles_of`

    Returns
    -------
    DataFrame, one row per model, suite and area for which the paper has a value
        `published` and `own_2022` follow the same formula, `own_today` today's; `caveat` is on every row.
    """
    rows = []
    for profile in profiles:
        published = None if profile.competition_id is None else published_model(profile.competition_id)
        for area in AREAS_AND_BEHAVIOR if published else ():
            if area in profile.values["unceiled"]:
                own = {f"own_{formula}": profile.values[formula].get(area) for formula in ("today", "2022")}
                origin = {name: getattr(profile, name) for name in ("model", "competition_id", "suite", "marks")}
                rows.append(origin | own | {"area": area, "published": published.scores[area], "caveat": CAVEAT})
    return pd.DataFrame(rows)


def public_targets(table: pd.DataFrame) -> pd.DataFrame:
    """Own records of the one public benchmark whose scores the authors' code states.

    Same data, and compared under the same formula: these numbers can be reproduced, given the weights and
    the preprocessing.

    Parameters
    ----------
    table : from `profiles.read_predictivity`

    Returns
    -------
    DataFrame, one row per record with a target
    """
    targets = {(target.identifier, target.preprocessing): target for target in PUBLIC_TARGETS}
    mine = table[(table["benchmark"] == PUBLIC_BENCHMARK) & (table["status"] == "scored")]
    paired = ((record, targets.get((record.card, record.preprocessing))) for record in mine.itertuples())
    rows = [
        {
            "model": record.model,
            "preprocessing": record.preprocessing,
            "own_2022": record.score_2022,
            "target_2022": target.score_2022,
            "target_error": target.score_2022_error,
            "difference": record.score_2022 - target.score_2022,
            "own_today": record.score,
            "target_today": target.score_2022 * PUBLIC_CEILING,
            "marks": record.marks,
        }
        for record, target in paired
        if target is not None
    ]
    return pd.DataFrame(rows)


def main(results: ResultsFolder, as_json: AsJson = False):
    """Own area scores beside the paper's (2022, private data, old formula)."""
    with front_end() as terminal:
        table, unread = read_predictivity(results)
        profiles, gaps = profiles_of(table, n_resamples=100)
        lined_up, targets = line_up(profiles), public_targets(table)
        if as_json:
            rows = {"areas": _plain(lined_up), "public_targets": _plain(targets)}
            terminal.write_json({"caveat": CAVEAT, **rows, "warnings": unread + gaps})
            return
        terminal.warn(unread + gaps)
        console = Console(file=terminal.out)
        if lined_up.empty:
            console.print("The paper has no values for any of these models.", soft_wrap=True)
        _show(lined_up, f"own scores beside those {CAVEAT}: not comparable as numbers", console)
        _show(targets, f"{PUBLIC_BENCHMARK}: same data, the authors' values", console)


def _plain(frame):
    """Rows as JSON-able dicts, None for what is missing."""
    return json.loads(frame.to_json(orient="records"))


def _show(frame, title, console):
    shown = frame.drop(columns=["caveat", "competition_id", "marks"], errors="ignore")
    names = [column for column in shown if column in ("model", "suite", "area", "preprocessing")]
    rows = [
        {name: named(row) if name == "model" else getattr(row, name) for name in names}
        | {
            column.replace("_", " "): (signed if column == "difference" else number)(getattr(row, column), 4)
            for column in shown.columns.drop(names)
        }
        for row in frame.itertuples()
    ]
    if rows:
        write_table(console, title, rows, names=len(names), marks=marks_of(frame.itertuples()))


if __name__ == "__main__":
    run(main)
