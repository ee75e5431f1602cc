"""What is known of Brain-Score's benchmarks before any of them is built: a table shipped as data.

Written by ``tests/scoring/stand_ins/shipped.py`` from running every one of them over stand-ins for its data.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("benchmarks.json")


class Known(NamedTuple):
    """A benchmark of Brain-Score's registry.

    Parameters
    ----------
    package : of the data and the code
    area : of `AREAS_AND_BEHAVIOR`, or "engineering" where no brain and no behaviour is compared with
    task : "recording", "label" (reads the class output), "probabilities" or "odd_one_out" (read the readout layer)
    metric : in words
    formula : from raw value and ceiling to score; None without a ceiling, or the class's own
    calls : how often it asks a model for activations
    """

    package: str
    area: str
    task: str
    metric: str
    formula: str | None
    calls: int


@functools.cache
def known_benchmarks() -> dict[str, Known]:
    """Benchmark id -> what is known of it, in alphabetical order."""
    rows = json.loads(TABLE.read_text(encoding="utf-8"))
    return {identifier: Known(**row) for identifier, row in rows.items()}


@functools.cache
def registered() -> frozenset[str]:
    """Ids of the installed Brain-Score, read from its packages' text without importing any of them."""
    spec = importlib.util.find_spec("brainscore_vision")
    files = Path(spec.origin).parent.glob("benchmarks/*/__init__.py")
    lines = (line for file in files for line in file.read_text(encoding="utf-8").splitlines())
    found = (re.match(r"\s*benchmark_registry\[['\"](.+?)['\"]\]", line) for line in lines)
    return frozenset(match.group(1) for match in found if match)
