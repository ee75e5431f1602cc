"""`python -m bench.probes`: what five levels of occlusion take on the demo suite, beside one level, in one run.

Benchmarks are loaded once before the clock runs. The two are measured in turn, each time with empty folders; medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from brainscore_submission.models.model import Model
from brainscore_submission.models.opening import open_model
from brainscore_submission.probes.perturbations import Occlusion
from brainscore_submission.probes.scores import score_levels
from brainscore_submission.scoring.score import ScoreOptions
from brainscore_submission.scoring.suites import Suite, find_suite, loaded_once

from .processes import errors_in_a_line

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)


class Took(NamedTuple):
    """Of all levels together: seconds on the clock and of the CPU, and images that went through the network."""

    seconds: float
    cpu_seconds: float
    passes: int


@errors_in_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.probes", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo:ground_truth", help="as for evaluate.py (default: demo:ground_truth)")
    parser.add_argument("--areas", default="V1,V2,V4,IT", help="of the demo suite (default: all four)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = open_model(options.model, device=options.device)
    suite = loaded_once(find_suite("demo").of_areas(options.areas.split(",")))
    measure(model, suite, SHARES[:1])  # loads the benchmarks and their ceilings, places the pictures
    rows: dict[int, list[Took]] = {1: [], len(SHARES): []}
    for repeat in range(options.repeats):
        for n_levels in rows:
            rows[n_levels].append(measure(model, suite, SHARES[:n_levels]))
            print(f"measured {n_levels}, {repeat + 1} of {options.repeats}: {rows[n_levels][-1]}", file=sys.stderr)
    print(f"{options.model}, demo suite, {options.areas}, {options.device}, {options.threads} thread(s)\n")
    print(markdown(rows))
    return 0


def measure(model: Model, suite: Suite, shares: Sequence[float]) -> Took:
    """Score these levels from nothing."""
    shown: list[int] = []
    counting = model.network.register_forward_pre_hook(lambda _module, args: shown.append(len(args[0])))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        options = ScoreOptions(results=Path(folder) / "results", cache=Path(folder) / "cache")
        started, cpu = time.perf_counter(), time.process_time()
        score_levels(model, suite, [Occlusion(share) for share in shares], options)
        took = Took(time.perf_counter() - started, time.process_time() - cpu, sum(shown))
    counting.remove()
    return took


def markdown(rows: dict[int, list[Took]]) -> str:
    """The table: medians, and each over that of one level."""
    medians = {n: Took(*(statistics.median(values) for values in zip(*took, strict=True))) for n, took in rows.items()}
    lines = ["| levels | seconds | CPU seconds | passes |", "|---|---|---|---|"]
    for n_levels, one in medians.items():
        lines.append(f"| {n_levels} | {one.seconds:.1f} | {one.cpu_seconds:.1f} | {one.passes} |")
    ratios = [many / one for many, one in zip(medians[max(medians)], medians[1], strict=True)]
    return "\n".join([*lines, f"| ratio | {ratios[0]:.2f} | {ratios[1]:.2f} | {ratios[2]:.2f} |"])


if __name__ == "__main__":
    sys.exit(main())
