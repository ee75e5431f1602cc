"""Records -> one self-contained HTML page; also Markdown, CSV and the figures as files.

python -m analysis.report results/ -o report.html
python -m analysis.report results/ --markdown report.md --csv report.csv --figures figures/
"""

from __future__ import annotations

import json
import os
import shlex
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.files import write_whole
from brainscore_submission.scoring.published import PAPER, PUBLIC_BENCHMARK
from brainscore_submission.scoring.uncertainty import N_RESAMPLES

from . import figures
from .comparisons import is_certain
from .display import AsJson, Resamples, ResultsFolder, Seed, breakable, interval, number, signed
from .inline_svg import inline_svg
from .profiles import FORMULA_LABELS, by_depth
from .summary import Summary, caveats, summarise

if TYPE_CHECKING:
    import pandas as pd

TEMPLATES = Path(__file__).with_name("templates")
_file, _folder = partial(typer.Option, dir_okay=False), partial(typer.Option, file_okay=False)
NO_COMMAND = {1: "not kept: recorded by version 0.1.0", 2: "made from Python"}  # by format of the record


def html(summary: Summary) -> str:
    """The page: no script, nothing loaded from anywhere."""
    return _environment(autoescape=True).get_template("report.html.j2").render(_context(summary))


def markdown(summary: Summary, figures_folder: str | None = None) -> str:
    """The report as Markdown; `figures_folder`, relative to it, holds the figures if they were saved."""
    template = _environment(autoescape=False).get_template("report.md.j2")
    return template.render(_context(summary), figures=figures_folder)


def csv(summary: Summary) -> str:
    """Every record as a row, with the columns of `read_folder` but the paths; nested ones as JSON."""
    table = summary.table.drop(columns=["path", "sidecar"])
    for name in [name for name in table if table[name].map(lambda value: isinstance(value, dict | tuple)).any()]:
        table[name] = table[name].map(lambda value: None if value is None else json.dumps(value))
    return table.to_csv(index=False, lineterminator="\n")


def save_figures(summary: Summary, folder) -> list[Path]:
    """Every figure of the report as SVG and PNG."""
    shown = [one for suite in summary.suites for one in suite.figures] + summary.searches
    return [path for one in shown for path in figures.save(one.figure, folder, one.name)]


def _context(summary):
    records, models = summary.of_kind("predictivity"), summary.table["model"].unique()
    title = "Brain-Score report"
    return {
        "title": f"{title}: {models[0]}" if len(models) == 1 else f"{title}: {len(models)} models",
        "summary": summary,
        "models": len(models),
        "records": records,
        "measures": summary.of_kind("measure"),
        "shared_marks": figures.common_marks(records["marks"]),
        "caveats": caveats(summary),
        "origins": origins(summary.table),
        "formulas": FORMULA_LABELS,
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "paper": PAPER,
        "public_benchmark": PUBLIC_BENCHMARK,
    }


def origins(records: pd.DataFrame) -> list[dict[str, Any]]:
    """How the records were made, by suite, model and marks: commands, weights, versions, fingerprints."""
    return [_origin(mine) for _, mine in by_depth(records).groupby(["suite", "model", "marks"], sort=True)]


def _origin(records):
    first = records.iloc[0]
    versions = (", ".join(f"{name} {number}" for name, number in found.items()) for found in records["versions"])
    facts = {
        "card": _distinct(records["card"]),
        "weights": _distinct(_weights(weights) for weights in records["weights"]),
        "layers": ", ".join(f"{row.area}: {row.layer}" for row in records.itertuples() if row.layer),
        **{name.replace("_", " "): _distinct(records[name]) for name in ("layer_map", "preprocessing", "engine")},
        "field of view": _distinct(f"{degrees:g}°" for degrees in records["visual_degrees"].dropna()),
        **{name: _distinct(records[name]) for name in ("precision", "device")},
        "created": _distinct([records["created"].min(), records["created"].max()]).replace("; ", " to "),
        "versions": _distinct(versions),
        "notes": _distinct(note for notes in records["notes"] for note in notes),
    }
    return {
        "title": f"{first.model}, suite {first.suite}",
        "marks": first.marks,
        "commands": list(dict.fromkeys(row.command or NO_COMMAND[row.format] for row in records.itertuples())),
        "facts": facts,
        "fingerprints": dict(zip(records["benchmark"], records["fingerprint"], strict=True)),
    }


def _weights(weights):
    weights = weights or {}
    seed = f"random, seed {weights.get('seed')}" if weights.get("untrained") else None
    hashes = [f"{name} {weights[name]}" for name in ("sha1", "sha256") if weights.get(name)]
    return ", ".join(filter(None, [weights.get("source") or "unknown source", *hashes, seed, weights.get("note")]))


def _distinct(values):
    """The values that occur, once each."""
    found = dict.fromkeys(str(value) for value in values if value is not None and value == value)
    return "; ".join(found) or "–"


def _environment(autoescape):
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=autoescape, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"number": number, "signed": signed, "interval": interval, "count": _count}
    environment.filters |= {"cell": _cell, "formula": _formula, "breakable": breakable}
    environment.filters["quoted"] = shlex.quote
    environment.tests["certain"] = is_certain
    environment.filters["svg"] = lambda shown: inline_svg(shown.figure, shown.name, shown.caption)
    return environment


def _count(value):
    import pandas as pd

    return "–" if pd.isna(value) else f"{int(value):,}"


def _cell(text):
    """Text that may stand in a Markdown table."""
    return str(text).replace("|", r"\|").replace("\n", " ")


def _formula(text):
    """A record's formula as people write it."""
    return str(text).replace("^2", "²").replace("sqrt(c)", "√c")


def main(
    results: ResultsFolder,
    output: Annotated[Path | None, _file("--output", "-o", help="HTML file; default report.html.")] = None,
    markdown_file: Annotated[Path | None, _file("--markdown", help="Markdown file.")] = None,
    csv_file: Annotated[Path | None, _file("--csv", help="CSV file, one row per record.")] = None,
    figures_folder: Annotated[Path | None, _folder("--figures", help="Folder for SVG and PNG figures.")] = None,
    resamples: Resamples = N_RESAMPLES,
    seed: Seed = 0,
    as_json: AsJson = False,
):
    """One self-contained page about all records of a folder.

    Examples:

      python -m analysis.report results/ -o report.html

      python -m analysis.report results/ --markdown report.md --figures figures/ --csv report.csv
    """
    written = {"html": output, "markdown": markdown_file, "csv": csv_file, "figures": figures_folder}
    written = {name: path for name, path in written.items() if path} or {"html": Path("report.html")}
    with front_end() as terminal:
        summary = summarise(results, n_resamples=resamples, seed=seed)
        if "html" in written:
            write_whole(written["html"], html(summary).encode())
        if figures_folder:
            save_figures(summary, figures_folder)
        if markdown_file:
            beside = figures_folder and Path(os.path.relpath(figures_folder, markdown_file.parent)).as_posix()
            write_whole(markdown_file, markdown(summary, beside).encode(), "--markdown")
        if csv_file:
            write_whole(csv_file, csv(summary).encode(), "--csv")
        paths = {name: str(path) for name, path in written.items()}
        if as_json:
            said = {"summary": summary.sentences, "marks": summary.marks, "warnings": summary.warnings}
            terminal.write_json({"written": paths} | said)
            return
        terminal.warn(summary.warnings)
        lines = [*summary.sentences, f"written: {', '.join(paths.values())}"]
        Console(file=terminal.out).print(*lines, sep="\n", soft_wrap=True, highlight=False, markup=False)


if __name__ == "__main__":
    run(main)
