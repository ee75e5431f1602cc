"""Curves of many models over what was done to their images: accuracy or brain scores, with intervals; shape bias.

python -m analysis.probes results/
python -m analysis.probes results/ -o figures/ --kinds pdf
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import marks_of as marks_of_records
from brainscore_submission.words import words_of

from . import figures
from .comparable import PROBES, read_results
from .display import AsJson, ResultsFolder, interval, number, write_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHAPE_BIAS = "shape_bias"


def main(
    results: ResultsFolder,
    output: Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Folder for the figures.")] = Path(
        "figures"
    ),
    kinds: Annotated[str, typer.Option(help="png,svg,pdf.")] = "svg,png",
    as_json: AsJson = False,
):
    """Draw what the probes of a results folder found: a figure for each measure, a line for each model.

    Examples:

      python -m analysis.probes results/

      python -m analysis.probes results/ -o figures/ --kinds pdf
    """
    with front_end() as terminal:
        records, warnings = read_probes(results)
        paths = []
        for benchmark, mine in records.groupby("benchmark", sort=True):
            draw = biases if mine["metric"].iloc[0] == SHAPE_BIAS else curves
            if draw is biases or all("curve" in settings for settings in mine["settings"]):  # else it is one number
                paths += figures.save(draw(mine), output, f"probe-{benchmark}", "-o", words_of(kinds))
        if as_json:
            rows = [
                {name: row[name] for name in ("model", "benchmark", "value", "interval")} | {"n": int(row["n"])}
                for row in _rows(records)
            ]
            terminal.write_json({"records": rows, "written": [str(path) for path in paths], "warnings": warnings})
            return
        terminal.warn(warnings)
        console = Console(file=terminal.out)
        shown = [
            {
                "measure": row["benchmark"],
                "model": row["model"],
                "value": number(row["value"]),
                "95 % interval": interval(row["interval"]),
            }
            for row in _rows(records)
        ]
        write_table(console, "probes", shown, names=2, marks=_marks(records))
        console.print(*paths, sep="\n", soft_wrap=True, highlight=False, markup=False)


def read_probes(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """The records of probes, by benchmark and model, and a line for each file left out or without a number.

    Raises
    ------
    UserError
        there are none
    """
    table, warnings = read_results(folder)
    mine = table[(table["suite"] == PROBES) & (table["kind"] == "measure")]
    failed = mine[mine["status"] != "scored"]
    warnings += [f"not drawn: {one.model} on {one.benchmark}: {one.reason}" for one in failed.itertuples()]
    mine = mine[mine["status"] == "scored"].sort_values(["benchmark", "model"])
    if mine.empty:
        raise UserError(f"{folder} holds no probes. Measure some: brainscore-submission probe occlusion --help")
    return mine, warnings


def curves(records: pd.DataFrame) -> Figure:
    """Accuracy, or the score relative to the intact one, over the levels; a line for each model, with 95 % intervals.

    Parameters
    ----------
    records : of one benchmark, from `read_probes`
    """
    from matplotlib.figure import Figure

    with figures.style():
        figure = Figure(figsize=(5.2, 3.2 + 0.17 * len(records)))
        axes = figure.add_subplot()
        common = figures.common_marks(records["marks"])
        on_scores = records["metric"].iloc[0].endswith("_score")
        for count, record in enumerate(records.itertuples()):
            x, y, low, high = _points(record.settings["curve"], on_scores)
            label = figures.marked(record.model, record.marks, common)
            axes.errorbar(x, y, yerr=[y - low, high - y], capsize=2, label=label, **figures.look(count))
        first = records.iloc[0]
        chance = first["settings"].get("chance")
        if chance is not None:
            axes.axhline(chance, color="#5a636d", linewidth=0.8, linestyle=":", label="chance")
        ticks = [point["level"] for point in first["settings"]["curve"]]
        if "shuffle" in first["metric"]:
            axes.set_xscale("log", base=2)
            axes.minorticks_off()
        if all(float(tick).is_integer() for tick in ticks):  # pieces, degrees, blocks
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.axhline(0, color="#5a636d", linewidth=0.8)
        axes.set_xlabel(first["settings"]["axis"])
        axes.set_ylabel("score / intact score" if on_scores else "accuracy")
        figure.legend(loc="outside lower left", ncols=1)
        return figures.titled(figure, first["benchmark"], common)


def _points(curve: Sequence[dict[str, Any]], on_scores: bool) -> tuple[np.ndarray, ...]:
    """Levels with a value, the values, and the ends of their intervals, the value itself where there is none."""
    value, ends = ("relative", "relative_interval") if on_scores else ("value", "interval")
    known = [point for point in curve if point[value] is not None]
    x, y = (np.array([point[name] for point in known], dtype=float) for name in ("level", value))
    spans = np.array([point[ends] or (point[value], point[value]) for point in known], dtype=float)
    # an interval of resamples need not hold the value itself, which a bar has to
    return x, y, np.minimum(spans[:, 0], y), np.maximum(spans[:, 1], y)


def biases(records: pd.DataFrame) -> Figure:
    """Shape bias for each category of shapes, all together last: a column of dots for each model."""
    from matplotlib.figure import Figure

    with figures.style():
        names = list(dict.fromkeys(name for settings in records["settings"] for name in settings["by_category"]))
        figure = Figure(figsize=(5.2, 4.4 + 0.17 * len(records)))
        axes = figure.add_subplot()
        common = figures.common_marks(records["marks"])
        for count, record in enumerate(records.itertuples()):
            each = [record.settings["by_category"].get(name, {}) for name in names]
            values = [one.get("value") for one in each] + [record.value]
            spans = [one.get("interval") for one in each] + [record.interval]
            known = [place for place, value in enumerate(values) if value is not None]
            x = np.array([values[place] for place in known])
            low, high = np.array([spans[place] for place in known]).T
            look = figures.look(count) | {"linestyle": "none"}
            y = np.array(known) + 0.12 * (count - (len(records) - 1) / 2)
            label = figures.marked(record.model, record.marks, common)
            axes.errorbar(x, y, xerr=[x - low, high - x], capsize=2, label=label, **look)
        axes.set_yticks(range(len(names) + 1), [*names, "all"])
        axes.invert_yaxis()
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("shape / (shape + texture)")
        figure.legend(loc="outside lower left", ncols=1)
        return figures.titled(figure, f"Shape bias by category of shape, {records['benchmark'].iloc[0]}", common)


def _rows(records: pd.DataFrame) -> list[dict[str, Any]]:
    return records.to_dict("records")


def _marks(records: pd.DataFrame) -> tuple[str, ...]:
    return marks_of_records(records.itertuples())


if __name__ == "__main__":
    run(main)
