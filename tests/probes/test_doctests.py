"""The examples in the docstrings of probes."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "brainscore_submission" / "probes"


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOM.glob("[a-z]*.py")))
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"brainscore_submission.probes.{name}"))
    assert result.failed == 0
