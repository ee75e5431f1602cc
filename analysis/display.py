"""What the commands of `analysis` share: options, numbers as people read them, and tables on a terminal."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from markupsafe import Markup, escape
from rich.console import Console
from rich.text import Text

from brainscore_submission.words.tables import Rows

ResultsFolder = Annotated[Path, typer.Argument(help="Folder of records, as evaluate.py writes it.")]
Resamples = Annotated[int, typer.Option(help="Number of resamples.", min=100)]
Seed = Annotated[int, typer.Option(help="Seed of the resamples.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def missing(value: Any) -> bool:
    """Whether a cell of a table of records is empty: None, or the NaN that pandas puts there.

    >>> missing(None), missing(float("nan")), missing(0), missing("V4")
    (True, True, False, False)
    """
    return value is None or value != value


def number(value: float | None, digits: int = 3) -> str:
    """
    >>> number(-0.25), number(-0.0001), number(None)
    ('−0.250', '0.000', '–')
    """
    if missing(value):
        return "–"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """
    >>> signed(0.25), signed(-0.25)
    ('+0.25', '−0.25')
    """
    return "–" if missing(value) else f"{value:+.{digits}f}".replace("-", "−")


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
    """Print rows under a title; no column is lost and no number cut, however narrow the console is: see `Rows`.

    Parameters
    ----------
    rows : heading -> text, the same headings in each
    names : how many columns, from the left, name the row; they are folded, and a first one that repeats is left out
    marks : UNTRAINED, SIMULATED, behind the title
    """
    console.print(Text(" · ".join([title, *marks]), style="italic"), soft_wrap=True)
    headings, before, cells = list(rows[0]), None, []
    for row in rows:
        first, *others = (row[name] for name in headings)
        cells.append(["" if first == before else first, *others])
        before = first
    console.print(Rows(headings, cells, names))
    console.print()
