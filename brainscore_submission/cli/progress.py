"""How far long work is: a bar on a terminal, a line for every tenth in a log file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .front_end import Terminal

if TYPE_CHECKING:
    from ..scoring.kept import Watcher
    from ..scoring.records import Record

Advance = Callable[[str, int, "int | None"], None]  # what is being done, how much of it, of how much (None: not known)


@contextlib.contextmanager
def progress_bar(terminal: Terminal, counted: ProgressColumn | None = None) -> Iterator[Advance]:
    """A bar on a terminal that goes when the work is done; elsewhere lines that stay.

    Parameters
    ----------
    terminal : Terminal
    counted : how amounts are shown; default "done/total"

    Yields
    ------
    callable (description, done, total)
    """
    if not terminal.console.is_terminal:
        yield Lines(terminal.console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), counted or MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=terminal.console, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda description, done, total: progress.update(
            task, description=description, completed=done, total=total
        )


class Lines:
    """Progress where no bar can be drawn: one line for each stage, and for each tenth of what is counted."""

    def __init__(self, console: Console):
        self._console = console
        self._started = time.monotonic()
        self._said: dict[int | None, object] = {}  # by what is counted, so that two counts can go on side by side

    def __call__(self, description: str, done: int, total: int | None) -> None:
        """Say it, if it is news."""
        news = 10 * done // total if total else description
        if self._said.get(total) == news:
            return
        self._said[total] = news
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        amount = f": {done} of {total}" if total else ""
        self._console.print(f"{minutes:3}:{seconds:02} {description}{amount}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def downloading(terminal: Terminal) -> Iterator[Callable[[int, int | None], None]]:
    """For a download of so many bytes."""
    with progress_bar(terminal, DownloadColumn()) as advance:
        yield lambda done, total: advance("weights, bytes", done, total)


@contextlib.contextmanager
def watching(terminal: Terminal, of_many: bool = False) -> Iterator[Watcher]:
    """What is going on, and a line for each score the moment it exists; `of_many` models, each named."""
    from ..scoring.kept import Watcher

    stage = "starting"
    with progress_bar(terminal) as advance:

        def enter(text: str) -> None:
            nonlocal stage
            stage = text
            advance(stage, 0, None)

        yield Watcher(
            stage=enter,
            recorded=lambda done, total: advance(stage, done, total),
            planned=lambda lines: terminal.console.print("Plan:", *lines, sep="\n", highlight=False, soft_wrap=True),
            scored=lambda record, done, total: terminal.console.print(
                f"{record.model} " * of_many + _one_line(record), highlight=False, soft_wrap=True, markup=False
            ),
        )


def _one_line(record: Record) -> str:
    found = record.measured
    if found is None:
        return f"{record.benchmark}: {record.status} ({record.reason})"
    value = "unceiled" if found.score is None else f"score {found.score:.3f}"
    return f"{record.benchmark}: {value}" + ("" if found.raw is None else f", r {found.raw:+.3f}")
