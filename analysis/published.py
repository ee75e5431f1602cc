"""Own records beside the paper's tables. Always marked: the paper's are 2022 values, private data, old formula.

    python -m analysis.published results/ [--json]

The tables themselves are data in `brainscore_submission.published`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from brainscore_submission.cli import run
from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.scoring.published import CAVEAT, PUBLIC_BENCHMARK, PUBLIC_TARGETS, published_model
from brainscore_submission.scoring.records import read_folder

from .profiles import Profile, profiles_of

# Internal consistency of PUBLIC_BENCHMARK: score of today = score of 2022 x ceiling.
PUBLIC_CEILING = 0.81579938
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


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
    columns = ["model", "competition_id", "suite", "area", "own_today", "own_2022", "published"]
    rows = [row for profile in profiles for row in _rows(profile)]
    return pd.DataFrame(rows, columns=[*columns, "untrained", "simulated", "caveat"])


def _rows(profile):
    published = None if profile.competition_id is None else published_model(profile.competition_id)
    if published is None:
        return []
    return [
        {
            "model": profile.model,
            "competition_id": profile.competition_id,
            "suite": profile.suite,
            "area": area,
            "own_today": profile.values["today"].get(area),
            "own_2022": profile.values["2022"].get(area),
            "published": published.scores[area],
            "untrained": profile.untrained,
            "simulated": profile.simulated,
            "caveat": CAVEAT,
        }
        for area in AREAS_AND_BEHAVIOR
        if area in profile.values["unceiled"]
    ]


def public_targets(table: pd.DataFrame) -> pd.DataFrame:
    """Own records of the one public benchmark whose scores the authors' code states.

    Same data, and compared under the same formula: these numbers can be reproduced, given the weights and
    the preprocessing.

    Parameters
    ----------
    table : from `records.read_folder`

    Returns
    -------
    DataFrame, one row per record with a target: model, preprocessing, own_2022, target_2022, target_error,
    difference, own_today, target_today, untrained
    """
    targets = {(target.identifier, target.preprocessing): target for target in PUBLIC_TARGETS}
    mine = table[(table["benchmark"] == PUBLIC_BENCHMARK) & (table["status"] == "scored")]
    rows = []
    for record in mine.itertuples():
        target = targets.get((record.model, record.preprocessing))
        if target is not None:
            rows.append(
                {
                    "model": record.model,
                    "preprocessing": record.preprocessing,
                    "own_2022": record.score_2022,
                    "target_2022": target.score_2022,
                    "target_error": target.score_2022_error,
                    "difference": record.score_2022 - target.score_2022,
                    "own_today": record.score,
                    "target_today": target.score_2022 * PUBLIC_CEILING,
                    "untrained": record.untrained,
                }
            )
    columns = ["model", "preprocessing", "own_2022", "target_2022", "target_error", "difference", "own_today"]
    return pd.DataFrame(rows, columns=[*columns, "target_today", "untrained"])


@app.command()
def main(
    results: Annotated[Path, typer.Argument(help="Folder of records, as evaluate.py writes it.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
):
    """Own area scores beside the paper's (2022, private data, old formula)."""
    table, unread = read_folder(results)
    profiles, gaps = profiles_of(table, n_resamples=100)
    lined_up, targets = line_up(profiles), public_targets(table)
    if as_json:
        rows = {"areas": _plain(lined_up), "public_targets": _plain(targets)}
        typer.echo(json.dumps({"caveat": CAVEAT, **rows, "warnings": unread + gaps}, indent=1))
        return
    notes = Console(stderr=True)
    for line in unread + gaps:
        notes.print(f"warning: {line}", style="yellow", soft_wrap=True, markup=False, highlight=False)
    console = Console()
    console.print(_table(lined_up, f"own scores beside those {CAVEAT}: not comparable as numbers"))
    if not targets.empty:
        console.print(_table(targets, f"{PUBLIC_BENCHMARK}: same data, the authors' values"))


def _plain(frame):
    """Rows as JSON-able dicts, None for what is missing."""
    return json.loads(frame.to_json(orient="records"))


def _table(frame, title):
    frame = frame.drop(columns=["caveat", "competition_id"], errors="ignore")
    flags = [flag for flag in ("untrained", "simulated") if flag in frame]
    marks = [flag.upper() for flag in flags if frame[flag].any()]
    table = Table(title=" · ".join([title, *marks]), title_justify="left", box=SIMPLE_HEAD)
    for column in frame.columns.drop(flags):
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in frame.drop(columns=flags).itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value):
    if pd.isna(value):
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value).replace("[", r"\[")


if __name__ == "__main__":
    run(app)
