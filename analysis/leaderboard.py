"""Records -> the models in order: one self-contained page to sort and search, and the same table on the terminal.

python -m analysis.leaderboard results/ -o leaderboard.html
"""

import base64
import csv as csv_format
import hashlib
import io
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.files import write_whole
from brainscore_submission.scoring.records import MARKS
from brainscore_submission.scoring.uncertainty import N_RESAMPLES
from brainscore_submission.words import count

from .display import AsJson, Resamples, ResultsFolder, Seed, breakable, interval, number, signed, write_table
from .report import TEMPLATES
from .standings import PARAMETERS, RHO, TOP1, Number, Standings, as_rows, read_standings

TRAINING = "training"
NOTES = (
    "Scores are Brain-Score's, r²/c for recordings; – means that there is no score, which is never counted as 0.",
    "The range of ranks: a model ranks behind those that are better and before those that are worse by the paired "
    "bootstrap over neuroids and images, corrected for the number of models (Holm). Within it the order may be chance.",
    "Behaviour enters the average with Brain-Score's own error, which is too small: ranges are a little narrow for it.",
    "ρ: rank correlation of the scores of V1, V2, V4 and IT with depth. top-1: ImageNet accuracy, per cent, if known.",
)


def html(standings: Standings, results: str) -> str:
    """The page."""
    script = (TEMPLATES / "leaderboard.js").read_text(encoding="utf-8")
    columns = [*standings.columns, TRAINING]
    marks = [mark for mark in MARKS if any(mark in row.marks for row in standings.rows)]
    shared = [mark for mark in marks if all(mark in row.marks for row in standings.rows)]
    rows = as_rows(standings)
    data = {
        "columns": columns,
        "names": list(rows[0]),
        "rows": [
            {"values": values, "marks": row.marks, "facts": row.facts}
            for values, row in zip(rows, standings.rows, strict=True)
        ],
    }
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"cell_of": _cell, "breakable": breakable, "quoted": shlex.quote}
    return environment.get_template("leaderboard.html.j2").render(
        title="Leaderboard",
        standings=standings,
        results=results,
        columns=columns,
        marks=[mark for mark in marks if mark not in shared],
        shared_marks=shared,
        notes=NOTES,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        # "</script>" in a name must not end the element.
        data=Markup(json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")),
        script=Markup(script),
        script_hash=Markup("sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()),
    )


def csv(standings: Standings) -> str:
    """A row for each model and suite, a column for each measure and each end of its interval."""
    rows, text = as_rows(standings), io.StringIO()
    writer = csv_format.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def written(name: str, one: Number) -> str:
    """A number of a column as people read it.

    >>> written("V4", Number(0.25)), written("ρ", Number(-0.8)), written("parameters", Number(1.2e7))
    ('0.250', '−0.8', '12.0 M')
    """
    if name == PARAMETERS:
        return f"{one.value / 1e6:.1f} M"
    if name == TOP1:
        return f"{one.value:.1f}"
    return signed(one.value, 1) if name == RHO else number(one.value)


def _cell(name, one):
    ends = "" if one.interval is None else interval(one.interval, 1 if name == RHO else 3, sign=name == RHO)
    small = Markup("<small>{}</small>").format(ends.replace(" to ", " – " if name == RHO else "–")) if ends else ""
    return escape(written(name, one)) + small


def main(
    results: ResultsFolder,
    output: Annotated[Path | None, typer.Option("--output", "-o", dir_okay=False, help="HTML page.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", dir_okay=False, help="CSV file, model x measure.")] = None,
    resamples: Resamples = N_RESAMPLES,
    seed: Seed = 0,
    as_json: AsJson = False,
):
    """The models of a folder of records in order: on the terminal, and as one page to sort, search and send.

    Examples:

      python -m analysis.leaderboard results/

      python -m analysis.leaderboard results/ -o leaderboard.html --csv leaderboard.csv
    """
    with front_end() as terminal:
        standings = read_standings(results, n_resamples=resamples, seed=seed)
        if output:
            write_whole(output, html(standings, str(results)).encode())
        if csv_file:
            write_whole(csv_file, csv(standings).encode(), "--csv")
        files = [str(path) for path in (output, csv_file) if path]
        if as_json:
            terminal.write_json({"models": as_rows(standings), "written": files, "warnings": standings.warnings})
            return
        terminal.warn(standings.warnings)
        console = Console(file=terminal.out)
        _show(standings, console)
        if files:
            console.print(f"written: {', '.join(files)}", soft_wrap=True, highlight=False, markup=False)


def _show(standings, console):
    for suite in standings.suites:
        mine = [row for row in standings.rows if row.suite == suite]
        marks = [mark for mark in MARKS if any(mark in row.marks for row in mine)]
        columns = [name for name in standings.columns if any(name in row.numbers for row in mine)]
        rows = [
            {"model": " ".join([row.model, *(f"[{mark}]" for mark in row.marks if mark != "SIMULATED")])}
            | {"rank": "–" if row.rank is None else str(row.rank), "range": _range(row)}
            | {name: written(name, row.numbers[name]) if name in row.numbers else "–" for name in columns}
            for row in mine
        ]
        write_table(console, f"{count(len(mine), 'model')}, suite {suite}", rows, marks=marks)
    console.print("range: the ranks that these data cannot exclude.", soft_wrap=True)


def _range(row):
    return "" if row.rank_interval is None else "–".join(map(str, dict.fromkeys(row.rank_interval)))


if __name__ == "__main__":
    run(main)
