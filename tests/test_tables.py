"""Every table that a command prints goes through one printer, which loses no column and cuts no number."""

import ast
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rooms import files

from brainscore_submission.words.tables import Rows


def printed(rows, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(rows)
    return console.file.getvalue()


NAMES = st.text("abcdefghij_.-", min_size=1, max_size=60)
NUMBERS = st.builds("{:+.3f} to {:.3f}".format, st.floats(-10, 10), st.floats(-10, 10)) | st.builds(
    "{:.4f}".format, st.floats(0, 1)
)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4),
    n_numbers=st.integers(1, 12),
    width=st.sampled_from([60, 80, 132]),
    data=st.data(),
)
def test_no_column_is_lost_and_no_number_is_cut(names, n_numbers, width, data):
    headings = ["model", "area", *(f"measure {number}" for number in range(n_numbers))]
    rows = [(*name, *data.draw(st.lists(NUMBERS, min_size=n_numbers, max_size=n_numbers))) for name in names]
    said = printed(Rows(headings, rows, names=2), width)
    assert max(map(len, said.splitlines())) <= width
    for heading in headings:
        assert heading in said
    for row in rows:
        for number in row[2:]:
            assert said.count(number) >= sum(one[2:].count(number) for one in rows)


def test_what_does_not_fit_stands_below_under_the_same_names():
    rows = [("first", *["0.123 ± 0.004"] * 8), ("second", *["0.456 ± 0.007"] * 8)]
    said = printed(Rows(["model", *"abcdefgh"], rows), 60)
    assert said.count("first") == said.count("second") == said.count("model") == 3
    assert said.count("0.123 ± 0.004") == said.count("0.456 ± 0.007") == 8


def test_prose_goes_over_several_lines_and_loses_no_word():
    words = "features of recordings that were stopped and can go on when the same command is typed again"
    said = printed(Rows(("kind", "files", "what it is"), [("spool", "12", words)], prose=("what it is",)), 40)
    assert set(words.split()) <= set(said.split())


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_no_table_is_printed_but_by_the_one_printer(path):
    if path.name == "tables.py" and path.parent.name == "words":
        return
    taken = [
        node.module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in ("rich.table", "rich.columns", "tabulate")
    ]
    assert not taken
