"""`benchmarks`: every benchmark that Brain-Score has, from a table that needs nothing to be loaded."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ..plugin.areas import AREAS_AND_BEHAVIOR
from ..plugin.errors import UserError, suggest
from .front_end import front_end

READS = {
    "recording": "the area's layer",
    "label": "the class output (1000 classes)",
    "probabilities": "the readout layer",
    "odd_one_out": "the readout layer",
}

BENCHMARKS_HELP = """
List Brain-Score's benchmarks: area, task, metric, formula, and what a model needs for them.

Whether a benchmark's data can be had is known when it is asked for: most of it is private.

Examples:

  brainscore-submission benchmarks

  brainscore-submission benchmarks --area V4 --json

  brainscore-submission benchmarks --search geirhos
"""


def benchmarks(
    area: Annotated[str | None, typer.Option(help="V1, V2, V4, IT, behavior or engineering.")] = None,
    search: Annotated[str | None, typer.Option(help="Part of an id, a metric or a package.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """See `BENCHMARKS_HELP`, which is the help text."""
    with front_end() as terminal:
        from ..scoring.registry import known_benchmarks

        known = known_benchmarks()
        areas = (*AREAS_AND_BEHAVIOR, "engineering")
        if area is not None and area not in areas:
            raise UserError(f"unknown area '{area}'.{suggest(area, areas)}")
        rows = [
            {"id": identifier, **one._asdict(), "reads": READS[one.task]}
            for identifier, one in known.items()
            if area in (None, one.area) and (search or "").lower() in f"{identifier} {one.metric} {one.package}".lower()
        ]
        if not rows:
            raise UserError(f"no benchmark matches '{search}'.{suggest(search, known)}")
        if as_json:
            terminal.write_json({"benchmarks": rows})
            return
        console = Console(file=terminal.out, highlight=False, soft_wrap=True)
        for row in rows:  # two lines each: an id is long, and is there to be copied
            console.print(Text(row["id"], style="bold"))
            words = (row["area"], row["metric"], row["formula"] or "a formula of its own", f"reads {row['reads']}")
            console.print(Text(f"    {', '.join(words)}", style="dim"))
        console.print(f"{len(rows)} of {len(known)} benchmarks. Score one: evaluate.py --model 991 --benchmark <id>")
