"""`evaluate` as typed, in a process that another one starts: importable by its own name."""

import os
import sys
from pathlib import Path

BENCHMARKS = ("demo.V1-pls",)


def evaluate(home: str, number: int) -> None:
    """One run, as typed, in a process of its own; its JSON goes to a file."""
    from brainscore_vision.benchmark_helpers import screen

    screen.root_path = Path(home) / "stimuli_on_screen"
    os.environ |= {"BRAINSCORE_SUBMISSION_CACHE": f"{home}/cache", "RESULTCACHING_HOME": f"{home}/results-cache"}
    words = ["evaluate", "--model", "demo:ground_truth", "--json", "--results", f"{home}/results-{number}"]
    sys.argv = ["brainscore-submission", *words, *(word for one in BENCHMARKS for word in ("--benchmark", one))]
    with Path(home, f"{number}.json").open("w") as out, Path(home, f"{number}.err").open("w") as err:
        sys.stdout, sys.stderr = out, err
        from brainscore_submission.cli import main

        main()
