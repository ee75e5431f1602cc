"""What the commands of `analysis` share: options, numbers as people read them, and tables on a terminal."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from markupsafe import Markup, escape
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

ResultsFolder = Annotated[Path, typer.Argument(help="Folder of records, as evaluate.py writes it.")]
Resamples = Annotated[int, typer.Option(help="Number of resamples.", min=100)]
Seed = Annotated[int, typer.Option(help="Seed of the resamples.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]

_PADDING = 2  # between two columns
_NAME = 24  # a name that is longer may be folded, so that numbers find room beside it


def number(value: float | None, digits: int = 3) -> str:
    """
    >>> number(-0.25), number(-0.0001), number(None)
    ('−0.250', '0.000', '–')
    """
    if value is None or pd.isna(value):
        return "–"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """
    >>> signed(0.25), signed(-0.25)
    ('+0.25', '−0.25')
    """
    return "–" if value is None or pd.isna(value) else f"{value:+.{digits}f}".replace("-", "−")


def interval(ends: tuple[float, float] | None, digits: int = 3, sign: bool = False) -> str:
    """
    >>> interval((0.1, 0.25)), interval((-0.4, 1), 1, sign=True), interval(None)
    ('0.100 to 0.250', '−0.4 to +1.0', '–')
    """
    shown = signed if sign else number
    return "–" if ends is None else f"{shown(ends[0], digits)} to {shown(ends[1], digits)}"


def breakable(text: str) -> Markup:
    """Escaped text that may break a line after _ . and -, so that long names do not widen a table."""
    return Markup(re.sub(r"([_.-])(?=\w)", r"\1<wbr>", str(escape(text))))


def named(one: Any) -> str:
    """A model's name with its marks; SIMULATED, which is a whole suite's, stands in the title."""
    return " ".join([one.model, *(f"[{mark}]" for mark in one.marks if mark != "SIMULATED")])


def write_table(
    console: Console, title: str, rows: Sequence[Mapping[str, str]], names: int = 1, marks: Sequence[str] = ()
) -> None:
    """Print rows under a title; no column is lost and no number cut, however narrow the console is.

    Columns that do not fit go into a table of their own below, which begins with the same names.

    Parameters
    ----------
    rows : heading -> text, the same headings in each
    names : how many columns, from the left, name the row; they are folded, and a first one that repeats is left out
    marks : UNTRAINED, SIMULATED, behind the title
    """
    console.print(Text(" · ".join([title, *marks]), style="italic"), soft_wrap=True)
    headings = list(rows[0])
    named, numbers = headings[:names], headings[names:]
    width = {name: _PADDING + max(cell_len(text) for text in (name, *(row[name] for row in rows))) for name in headings}
    room = console.width - sum(min(width[name], _NAME) for name in named)
    blocks: list[list[str]] = [[]]
    for name in numbers:
        if blocks[-1] and sum(width[other] for other in (*blocks[-1], name)) > room:
            blocks.append([])
        blocks[-1].append(name)
    for block in blocks:
        console.print(_block(rows, named, block))
        console.print()


def _block(rows, named, numbers):
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _PADDING - 1, 0, 0))
    for name in named:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    before = None
    for row in rows:
        first, *cells = (Text(row[name]) for name in (*named, *numbers))
        table.add_row("" if row[named[0]] == before else first, *cells)
        before = row[named[0]]
    return table
