"""A whole evaluation of five areas: images and recorded responses in, five scores out.

Ours is `score_suite` with the Gram engine. Brain-Score's is each benchmark called with a `ModelCommitment` around its
`PytorchWrapper`, neither touched. Time starts when the imports are done and ends with the last score.
"""

from __future__ import annotations

import time
from pathlib import Path

from brainscore_submission.scoring.score import Options, score_suite

from .assemblies import Stopwatch, suite
from .networks import as_submitted, open_network
from .passes import Passes
from .sizes import SuiteSize


def ours(inputs: Path, scratch: Path, size: dict, network: str, device: str) -> dict:
    """Five areas by the Gram engine."""
    ceilings = Stopwatch()
    started = time.perf_counter()
    model = open_network(network, device)
    passes = Passes(model.network)
    options = Options(engine="gram", results=scratch / "results", cache=scratch / "cache")
    records = score_suite(model, suite(inputs, SuiteSize(**size), ceilings), options)
    seconds = time.perf_counter() - started
    return {
        **_parts(seconds, passes, ceilings),
        "recording_seconds": records[0].seconds["recording"],
        "raw": {record.area: record.raw for record in records},
        "score": {record.area: record.score for record in records},
        "area_seconds": {record.area: record.seconds["scoring"] for record in records},
    }


def brainscore(inputs: Path, scratch: Path, size: dict, network: str, device: str, batch_size: int | None) -> dict:
    """Five areas by Brain-Score itself."""
    ceilings = Stopwatch()
    started = time.perf_counter()
    model = open_network(network, device)
    passes = Passes(model.network)
    _, commitment = as_submitted(model, batch_size)
    benchmarks = suite(inputs, SuiteSize(**size), ceilings)
    scores, area_seconds = {}, {}
    for identifier, area in benchmarks.leaves.items():
        area_started = time.perf_counter()
        benchmark = benchmarks.loaders[identifier]()
        scores[area] = benchmark(commitment)  # behaviour is last: a task, once started, would hide the recordings
        area_seconds[area] = time.perf_counter() - area_started
    seconds = time.perf_counter() - started
    return {
        **_parts(seconds, passes, ceilings),
        "raw": {area: float(score.attrs["raw"]) for area, score in scores.items()},
        "score": {area: float(score) for area, score in scores.items()},
        "area_seconds": area_seconds,
    }


def _parts(seconds: float, passes: Passes, ceilings: Stopwatch) -> dict:
    return {
        "seconds": seconds,
        "forward_seconds": passes.seconds,
        "forward_share": passes.seconds / seconds,
        "passes": passes.images,
        "ceiling_seconds": sum(ceilings.seconds.values()),
        "behavior_ceiling_seconds": ceilings.seconds.get("behavior", 0.0),  # none if it was cached
    }
