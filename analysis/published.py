"""The paper's tables, and own records beside them. Always marked: 2022 values, private data, old formula.

    python -m analysis.published [results/] [--json]

The tables themselves are data in `brainscore_submission.scoring.published`, and the layers in the paper's layer map.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.models.layer_maps import layer_map_path
from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.card import all_cards
from brainscore_submission.plugin.layer_map import read_layer_map
from brainscore_submission.scoring.hierarchy import rho_hierarchy
from brainscore_submission.scoring.published import (
    CAVEAT,
    PAPER,
    PUBLIC_BENCHMARK,
    PUBLIC_TARGETS,
    PUBLISHED,
    published_model,
)
from brainscore_submission.scoring.records import marks_of
from brainscore_submission.scoring.reference import OTHER_WEIGHTS, has_own_weights

from .display import AsJson, named, number, signed, write_table
from .profiles import Profile, profiles_of, read_predictivity

if TYPE_CHECKING:
    import pandas as pd

# Internal consistency of PUBLIC_BENCHMARK: score of today = score of 2022 x ceiling.
PUBLIC_CEILING = 0.81579938


def line_up(profiles: Sequence[Profile]) -> pd.DataFrame:
    """Area scores of own models beside the paper's.

    The paper's values come from other data than any public record: they are context, not a target. Other weights than
    the card's own have no row in the paper.

    Parameters
    ----------
    profiles : from `profiles.profiles_of`

    Returns
    -------
    DataFrame, one row per model, suite and area for which the paper has a value
        `published` and `own_2022` follow the same formula, `own_today` today's; `caveat` is on every row.
    """
    import pandas as pd

    rows = []
    for profile in profiles:
        its = profile.own_weights and profile.competition_id is not None
        published = published_model(profile.competition_id) if its else None
        for area in AREAS_AND_BEHAVIOR if published else ():
            if area in profile.values["unceiled"]:
                own = {f"own_{formula}": profile.values[formula].get(area) for formula in ("today", "2022")}
                origin = {name: getattr(profile, name) for name in ("model", "competition_id", "suite", "marks")}
                rows.append(origin | own | {"area": area, "published": published.scores[area], "caveat": CAVEAT})
    return pd.DataFrame(rows)


def public_targets(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Own records of the one public benchmark whose scores the authors' code states.

    Same data, and compared under the same formula: these numbers can be reproduced, given the weights, the layer and
    the preprocessing.

    Parameters
    ----------
    table : from `profiles.read_predictivity`

    Returns
    -------
    found : DataFrame, one row per record with a target
    warnings : a line for each record of such a card that has other weights or another layer
    """
    import pandas as pd

    targets = {(target.identifier, target.preprocessing): target for target in PUBLIC_TARGETS}
    mine = table[(table["benchmark"] == PUBLIC_BENCHMARK) & (table["status"] == "scored")]
    paired = [(record, targets.get((record.card, record.preprocessing))) for record in mine.itertuples()]
    why = [_why_not(record) if target else None for record, target in paired]
    warnings = [
        f"not compared with the authors' value: {record.model} on {PUBLIC_BENCHMARK}: {reason}"
        for (record, _), reason in zip(paired, why, strict=True)
        if reason
    ]
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
        for (record, target), reason in zip(paired, why, strict=True)
        if target is not None and reason is None
    ]
    return pd.DataFrame(rows), warnings


def _why_not(record):
    """Why the authors' value of a record's card is not its own, or None."""
    if not has_own_weights(record.weights):
        return OTHER_WEIGHTS
    card = next(card for card in all_cards() if card.identifier == record.card)
    layer = read_layer_map(layer_map_path(card, "paper"))["IT"]
    return None if record.layer == layer else f"layer {record.layer}, not {layer}"


def paper_tables() -> dict[str, list[dict[str, Any]]]:
    """Tables 1 to 3 of the paper, by title; scores by area, rank by Avg, rho as printed and worked out anew."""
    best_first = sorted(PUBLISHED, key=lambda row: -row.average)
    ranking, compared = ([row for row in best_first if part in row.table] for part in ("Table 1", "Table 3"))
    card = next(card for card in all_cards() if card.competition_id == 991)
    layers = read_layer_map(layer_map_path(card, "paper")) | {"behavior": card.behavior_layer}
    return {
        "Table 1, the 2022 competition": [_row(number, row) for number, row in enumerate(ranking, 1)],
        "Table 2, layers of CrossViT-18†": [{"area": area, "layer": layers[area]} for area in AREAS_AND_BEHAVIOR],
        "Table 3, models compared": [_row(number, row) for number, row in enumerate(compared, 1)],
    }


def _row(rank, row):
    """A row of Table 1 or 3: `rank` is its place in that table."""
    scores = {"average": row.average, **row.scores}
    rho = {"rho": rho_hierarchy(row.scores).rho, "printed_rho": row.printed_rho}
    return {"rank": rank, "id": row.competition_id, "model": row.description, **scores, **rho, "top1": row.top1}


def main(
    results: Annotated[Path | None, typer.Argument(help="Own records to line up beside the paper's.")] = None,
    as_json: AsJson = False,
):
    """The paper's Tables 1 to 3 (2022, private data, old formula), and own area scores beside them.

    Examples:

      python -m analysis.published

      python -m analysis.published results/
    """
    import pandas as pd

    with front_end() as terminal:
        tables, warnings = paper_tables(), []
        lined_up = targets = pd.DataFrame()
        if results:
            table, unread = read_predictivity(results)
            profiles, gaps = profiles_of(table, n_resamples=100)
            (targets, other), lined_up = public_targets(table), line_up(profiles)
            warnings = unread + gaps + other
            warnings += [
                f"not beside the paper's {one.competition_id}: {one.model} on {one.suite}: {OTHER_WEIGHTS}"
                for one in profiles
                if one.competition_id is not None and not one.own_weights
            ]
        if as_json:
            own = {"areas": _plain(lined_up), "public_targets": _plain(targets)} if results else {}
            terminal.write_json({"caveat": CAVEAT, "tables": tables, **own, "warnings": warnings})
            return
        terminal.warn(warnings)
        console = Console(file=terminal.out)
        for title, rows in tables.items():
            shown = [{_HEADINGS.get(name, name): _text(name, value) for name, value in row.items()} for row in rows]
            names = 3 if "rank" in rows[0] else 2
            write_table(console, f"{title}: {CAVEAT}" if names == 3 else title, shown, names=names)
        console.print(f"{PAPER}. Which row stands in which table is inferred.", soft_wrap=True, highlight=False)
        if results and lined_up.empty:
            console.print("The paper has no values for any of these models.", soft_wrap=True)
        _show(lined_up, f"own scores beside those {CAVEAT}: not comparable as numbers", console)
        _show(targets, f"{PUBLIC_BENCHMARK}: same data, the authors' values", console)


_HEADINGS = {"average": "Avg", "rho": "ρ", "printed_rho": "printed", "top1": "top-1"}


def _text(name, value):
    if name in ("rho", "printed_rho"):
        return signed(value, 1)
    if isinstance(value, str) or name in ("rank", "id"):
        return "–" if value is None else str(value)
    return number(value, 2 if name == "top1" else 3)


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
