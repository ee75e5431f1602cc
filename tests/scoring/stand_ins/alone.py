"""The judge: a benchmark scored by Brain-Score's own code alone, its global generators seeded by the benchmark's id."""

import contextlib
import hashlib
import io
import random
import re
import warnings
from pathlib import Path

import brainscore_vision
import numpy as np
from brainscore_core.metrics import Score
from brainscore_vision.model_interface import BrainModel

from .network import committed


def registered() -> dict[str, str]:
    """Every benchmark's id to its package, read from the packages' text as Brain-Score itself finds plugins."""
    packages = Path(brainscore_vision.__file__).parent / "benchmarks"
    table = {}
    for file in sorted(packages.glob("*/__init__.py")):
        for line in file.read_text().splitlines():
            if found := re.match(r"\s*benchmark_registry\[['\"](.+?)['\"]\]", line):
                table[found.group(1)] = file.parent.name
    return table


def seed_global_generators(identifier: str) -> None:
    """Seed `random` and numpy: Marques2020, Maniquet2024 and mask regression draw from them."""
    number = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:4], "big")
    random.seed(number)
    np.random.seed(number)


def brainscore_alone(identifier: str, model: BrainModel | None = None) -> Score:
    """Score a model, by default the tiny network, with nothing of ours in between.

    To be called while stand-ins are installed.
    """
    model = model or committed()
    seed_global_generators(identifier)
    # Brain-Score's own code warns of its dependencies' changes, divides by zero and prints.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return brainscore_vision.load_benchmark(identifier)(model)
