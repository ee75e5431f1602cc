"""Rows as a table on a terminal of any width: no column is lost, and nothing is cut inside a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

_GAP = 2  # between two columns
_NAME = 24  # text that is longer may be folded, so that numbers find room beside it
Cell = str | Text


class Rows:
    """Rows under headings, to be printed by rich.

    Columns that do not fit go into a table of their own below, which begins with the same names.

    Parameters
    ----------
    headings : of the columns
    rows : cells of each row, as many as there are headings
    names : how many columns, from the left, name the row: they are folded where there is no room
    prose : headings of other columns whose text may go over several lines
    title : above the table
    """

    def __init__(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        names: int = 1,
        prose: Sequence[str] = (),
        title: str = "",
    ):
        self._headings = list(headings)
        self._rows = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
        self._names = names
        self._prose = set(prose)
        self._title = title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        if self._title:
            yield Text(self._title, style="italic")
        for number, block in enumerate(self._blocks(options.max_width)):
            if number:
                yield Text()
            yield self._table([*range(self._names), *block])

    def _blocks(self, room: int) -> list[list[int]]:
        """Columns behind the names, as many in each block as there is room for."""
        room -= sum(self._needs(column) for column in range(self._names))
        blocks: list[list[int]] = [[]]
        for column in range(self._names, len(self._headings)):
            if blocks[-1] and sum(self._needs(other) for other in (*blocks[-1], column)) > room:
                blocks.append([])
            blocks[-1].append(column)
        return blocks

    def _needs(self, column: int) -> int:
        lines = [line for row in self._rows for line in row[column].plain.splitlines()]
        widest = max(map(cell_len, [self._headings[column], *lines]))
        return _GAP + (min(widest, _NAME) if self._folds(column) else widest)

    def _folds(self, column: int) -> bool:
        return column < self._names or self._headings[column] in self._prose

    def _table(self, columns: Sequence[int]) -> Table:
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
        for column in columns:
            if self._folds(column):
                table.add_column(self._headings[column], overflow="fold")
            else:
                table.add_column(self._headings[column], justify="right", no_wrap=True)
        for row in self._rows:
            table.add_row(*(row[column] for column in columns))
        return table
