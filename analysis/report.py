"""Records -> one self-contained HTML page; also Markdown, CSV and the figures as files.

python -m analysis.report results/ -o report.html
python -m analysis.report results/ --markdown report.md --csv report.csv --figures figures/
"""

import json
import os
import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from rich.console import Console

from brainscore_submission.cli import run
from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.card import all_cards
from brainscore_submission.plugin.files import writing_to
from brainscore_submission.scoring.published import PAPER, PUBLIC_BENCHMARK
from brainscore_submission.scoring.suites import SUITES
from brainscore_submission.scoring.uncertainty import N_RESAMPLES

from . import figures
from .inline_svg import inline_svg
from .profiles import FORMULA_LABELS
from .summary import Summary, summarise

_TIMM = "timm:"
# The ground truth of the demo suite: its model's name in records and after --model, and its layers.
_GROUND_TRUTH, _GROUND_TRUTH_OPTION = "demo_ground_truth", "demo:ground_truth"
_GROUND_TRUTH_LAYERS = {"V1": "V1", "V2": "V2", "V4": "V4", "IT": "IT", "behavior": "decision"}
TEMPLATES = Path(__file__).with_name("templates")
LAYER_MAPS = (Path("layer_maps"), Path(__file__).parents[1] / "layer_maps")  # in the order of `evaluate.py`
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Origin:
    """How the records of one model on one suite were made."""

    title: str
    untrained: bool
    command: str
    facts: dict[str, str]
    fingerprints: dict[str, str]


def html(summary: Summary) -> str:
    """The page: no script, nothing loaded from anywhere."""
    return _environment(autoescape=True).get_template("report.html.j2").render(_context(summary))


def markdown(summary: Summary, figures_folder: str | None = None) -> str:
    """The report as Markdown; `figures_folder`, relative to it, holds the figures if they were saved."""
    template = _environment(autoescape=False).get_template("report.md.j2")
    return template.render(_context(summary), figures=figures_folder)


def csv(summary: Summary) -> str:
    """Every record as a row, with the fields of `Record`; nested ones as JSON."""
    table = summary.records.drop(columns=["path", "sidecar"])
    nested = [name for name in table if table[name].map(lambda value: isinstance(value, dict | tuple)).any()]
    for name in nested:
        table[name] = table[name].map(lambda value: None if value is None else json.dumps(value))
    return table.to_csv(index=False, lineterminator="\n")


def save_figures(summary: Summary, folder) -> list[Path]:
    """Every figure of the report as SVG and PNG."""
    shown = [one for suite in summary.suites for one in suite.figures] + summary.searches
    return [path for one in shown for path in figures.save(one.figure, folder, one.name)]


def _context(summary):
    models = summary.records["model"].unique()
    title = "Brain-Score report"
    return {
        "title": f"{title}: {models[0]}" if len(models) == 1 else f"{title}: {len(models)} models",
        "summary": summary,
        "models": len(models),
        "records": _by_depth(summary.records),
        "shared_marks": [mark for mark in figures.MARKS if summary.records[mark.lower()].all()],
        "origins": origins(summary.records),
        "formulas": FORMULA_LABELS,
        "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "paper": PAPER,
        "public_benchmark": PUBLIC_BENCHMARK,
    }


def _by_depth(records):
    depth = (
        records["area"]
        .map({area: level for level, area in enumerate(AREAS_AND_BEHAVIOR)})
        .fillna(len(AREAS_AND_BEHAVIOR))
    )
    return records.assign(depth=depth).sort_values(["suite", "model", "depth", "benchmark"])


def origins(records: pd.DataFrame) -> list[Origin]:
    """How the records were made, by suite, model and training: command, weights, versions, fingerprints."""
    return [_origin(mine) for _, mine in records.groupby(["suite", "model", "untrained"], sort=True)]


def _origin(records):
    records = _by_depth(records)
    first = records.iloc[0]
    versions = (", ".join(f"{name} {number}" for name, number in found.items()) for found in records["versions"])
    return Origin(
        title=f"{first.model}, suite {first.suite}",
        untrained=bool(first.untrained),
        command=rerun_command(records),
        facts={
            "weights": _distinct(_weights(weights) for weights in records["weights"]),
            "layers": ", ".join(f"{row.area}: {row.layer}" for row in records.itertuples() if row.layer),
            **{name.replace("_", " "): _distinct(records[name]) for name in ("layer_map", "preprocessing", "engine")},
            "field of view": _distinct(f"{degrees:g}°" for degrees in records["visual_degrees"].dropna()),
            **{name: _distinct(records[name]) for name in ("precision", "device")},
            "created": _distinct([records["created"].min(), records["created"].max()]).replace("; ", " to "),
            "versions": _distinct(versions),
            "notes": _distinct(note for notes in records["notes"] for note in notes),
        },
        fingerprints=dict(zip(records["benchmark"], records["fingerprint"], strict=True)),
    )


def rerun_command(records: pd.DataFrame) -> str:
    """The command that makes a model's records of one suite again; one a metric, each on its line.

    Paths are not in a record: a checkpoint or a folder of recordings of one's own has to be filled in.
    """
    first, metrics = records.iloc[0], [None]
    words = ["python", "evaluate.py", "--model", _model_option(first)]
    if first.suite in SUITES:
        words += ["--suite", first.suite]
    elif first.suite == "benchmarks":
        words += [word for benchmark in records["benchmark"] for word in ("--benchmark", benchmark)]
    else:
        words += ["--recordings", first.suite]
        metrics = list(records[records["area"] != "behavior"]["metric"].dropna().unique()) or metrics
    words += _layer_options(records)
    options = {"--engine": (first.engine, "gram")}
    options |= {"--preprocessing": (first.preprocessing, "crop224"), "--precision": (first.precision, "float32")}
    for option, (value, *usual) in options.items():
        words += [option, value] if value and value not in usual and not value.startswith(_TIMM) else []
    words += ["--weights", "untrained"] if first.untrained else []
    return "\n".join(shlex.join(words + (["--metric", m] if m not in (None, "pls") else [])) for m in metrics)


def _model_option(record):
    """As `--model` takes it; a timm model's own preprocessing bears the name it is called by."""
    if (record.preprocessing or "").startswith(_TIMM):
        return record.preprocessing
    if record.model == _GROUND_TRUTH:
        return _GROUND_TRUTH_OPTION
    return record.model if pd.isna(record.competition_id) else str(int(record.competition_id))


def _layer_options(records):
    """The layer map by its name where it says what the records say, else every layer."""
    first, known = records.iloc[0], records[records["area"].isin(AREAS_AND_BEHAVIOR)].dropna(subset="layer")
    layers = dict(zip(known["area"], known["layer"], strict=True))
    named = _named_layers(first.model, first.layer_map)
    if any(named.get(area) != layer for area, layer in layers.items()):
        return ["--layers", ",".join(f"{area}={layer}" for area, layer in layers.items())]
    return ["--layer-map", first.layer_map] if first.layer_map not in (None, "paper", "ground truth") else []


def _named_layers(model, layer_map):
    """Area -> layer as `evaluate.py` finds them, of a card's layer map; empty where none has this name."""
    if model == _GROUND_TRUTH:
        return _GROUND_TRUTH_LAYERS
    file = f"{model}.json" if layer_map == "paper" else f"{model}.{layer_map}.json"
    path = next((folder / file for folder in LAYER_MAPS if (folder / file).is_file()), None)
    if path is None:
        return {}
    behavior = {card.identifier: card.behavior_layer for card in all_cards()}.get(model)
    return json.loads(path.read_text(encoding="utf-8")) | ({"behavior": behavior} if behavior else {})


def _weights(weights):
    weights = weights or {}
    shown = [str(weights.get("source") or "unknown source")]
    shown += [f"{name} {weights[name]}" for name in ("sha1", "sha256") if weights.get(name)]
    shown += [f"random, seed {weights.get('seed')}"] if weights.get("untrained") else []
    return ", ".join([*shown, *([str(weights["note"])] if weights.get("note") else [])])


def _distinct(values):
    """The values that occur, once each."""
    found = dict.fromkeys(str(value) for value in values if value is not None and value == value)
    return "; ".join(found) or "–"


def _environment(autoescape):
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=autoescape, undefined=StrictUndefined, keep_trailing_newline=True
    )
    numbers = {"number": _number, "signed": _signed, "interval": _interval, "count": _count}
    texts = {"cell": _cell, "formula": _formula, "breakable": _breakable, "svg": _svg}
    environment.filters |= numbers | texts
    return environment


def _number(value, digits=3):
    return "–" if value is None or pd.isna(value) else f"{value:.{digits}f}".replace("-", "−")


def _signed(value, digits=2):
    return "–" if value is None or pd.isna(value) else f"{value:+.{digits}f}".replace("-", "−")


def _interval(value, digits=3, signed=False):
    shown = _signed if signed else _number
    return "–" if value is None else f"{shown(value[0], digits)} to {shown(value[1], digits)}"


def _count(value):
    return "–" if value is None or pd.isna(value) else f"{int(value):,}"


def _cell(text):
    """Text that may stand in a Markdown table."""
    return str(text).replace("|", r"\|").replace("\n", " ")


def _formula(text):
    """A record's formula as people write it."""
    return str(text).replace("^2", "²").replace("sqrt(c)", "√c")


def _breakable(text):
    """Escaped text that may break a line after _ . and -, so that long names do not widen a table."""
    return Markup(re.sub(r"([_.-])(?=\w)", r"\1<wbr>", str(escape(text))))


def _svg(shown):
    return inline_svg(shown.figure, shown.name, shown.caption)


@app.command()
def main(
    results: Annotated[Path, typer.Argument(help="Folder of records, as evaluate.py writes it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file; default report.html.", dir_okay=False)
    ] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Markdown file.", dir_okay=False)] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="CSV file, one row per record.", dir_okay=False)
    ] = None,
    figures_folder: Annotated[
        Path | None, typer.Option("--figures", help="Folder for SVG and PNG figures.", file_okay=False)
    ] = None,
    resamples: Annotated[int, typer.Option(help="Number of resamples.", min=100)] = N_RESAMPLES,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
):
    """One self-contained page about all records of a folder.

    Examples:

      python -m analysis.report results/ -o report.html

      python -m analysis.report results/ --markdown report.md --figures figures/ --csv report.csv
    """
    if not any((output, markdown_file, csv_file, figures_folder)):
        output = Path("report.html")
    summary = summarise(results, n_resamples=resamples, seed=seed)
    if output:
        _write(output, html(summary), "-o")
    if figures_folder:
        with writing_to(figures_folder, "--figures"):
            save_figures(summary, figures_folder)
    if markdown_file:
        beside = figures_folder and Path(os.path.relpath(figures_folder, markdown_file.parent)).as_posix()
        _write(markdown_file, markdown(summary, beside), "--markdown")
    if csv_file:
        _write(csv_file, csv(summary), "--csv")
    written = {"html": output, "markdown": markdown_file, "csv": csv_file, "figures": figures_folder}
    _tell(summary, {name: str(path) for name, path in written.items() if path}, as_json)


def _write(path, text, option):
    with writing_to(path, option):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _tell(summary, written, as_json):
    if as_json:
        facts = {"written": written, "summary": summary.sentences, "marks": summary.marks, "warnings": summary.warnings}
        typer.echo(json.dumps(facts, indent=1))
        return
    notes, console = Console(stderr=True), Console(soft_wrap=True, highlight=False, markup=False)
    for line in summary.warnings:
        notes.print(f"warning: {line}", style="yellow", soft_wrap=True, markup=False, highlight=False)
    for sentence in summary.sentences:
        console.print(sentence)
    console.print("written: " + ", ".join(written.values()))


if __name__ == "__main__":
    run(app)
