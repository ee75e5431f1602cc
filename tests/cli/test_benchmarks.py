"""Promises of `benchmarks`: all of them, at once, and the right ones."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from brainscore_submission.cli import app
from brainscore_submission.plugin.errors import UserError

CODE = """
import sys
from brainscore_submission.cli import app
try:
    app(["benchmarks", "--json"])
except SystemExit:
    print(sorted({"torch", "timm", "brainscore_vision", "pandas"} & set(sys.modules)), file=sys.stderr)
"""


def listed(*words):
    return json.loads(CliRunner().invoke(app, ["benchmarks", "--json", *words]).stdout)["benchmarks"]


def test_every_benchmark_is_listed_with_what_it_reads():
    rows = {row["id"]: row for row in listed()}
    assert len(rows) == 289
    assert rows["MajajHong2015public.IT-pls"]["area"] == "IT"
    assert rows["Geirhos2021sketch-error_consistency"]["reads"] == "the class output (1000 classes)"
    assert rows["Hebart2023-match"]["formula"] == "(r-1/3)/(c-1/3)"


def test_areas_and_words_narrow_it():
    assert {row["area"] for row in listed("--area", "V4")} == {"V4"}
    assert len(listed("--search", "marques")) == 22
    for words in (["--area", "V3"], ["--search", "nothing like this"]):
        assert isinstance(CliRunner().invoke(app, ["benchmarks", *words]).exception, UserError)


def test_nothing_heavy_is_loaded_for_it():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("width", [60, 100])
def test_no_id_is_cut(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    shown = CliRunner().invoke(app, ["benchmarks", "--search", "geirhos"]).stdout
    assert "Geirhos2021sketch-error_consistency" in shown.splitlines()
