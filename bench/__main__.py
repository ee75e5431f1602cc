"""`python -m bench`: measure speed and memory beside brainscore-vision, and print one table.

Examples:

  python -m bench --quick                       two minutes
  python -m bench                               an hour or two: true metric sizes, a small evaluation
  python -m bench --full --keep full.json       hours: true sizes; started again, it goes on where it stopped

argparse, where the rest of the project has typer: this process must stay small (see `workshop`).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

from .machine import cores
from .measuring import PARTS, measure
from .sizes import PLANS, SUITE_SIZES, SuiteSize
from .table import render
from .workshop import MeasurementError, Workshop


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the table; returns the exit code."""
    options = parser().parse_args(arguments)
    plan = PLANS[options.plan]
    changed = {
        "evaluate": options.evaluate_sizes,
        "evaluate_network": options.network,
        "recording_network": options.network,
    }
    plan = dataclasses.replace(plan, **{name: value for name, value in changed.items() if value is not None})
    if options.brainscore_folds is not None:
        fewer = (dataclasses.replace(size, brainscore_folds=options.brainscore_folds) for size in plan.metric)
        plan = dataclasses.replace(plan, metric=tuple(fewer))
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.work) as folder:
        try:
            workshop = Workshop(Path(folder), options.threads, options.device, options.keep, _tell)
            results = measure(plan, workshop, options.only, _evaluate_size(options, plan), _both(options, plan))
        except MeasurementError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    report = render(results, "python -m bench " + " ".join(_shown_arguments(arguments)))
    if options.output:
        options.output.write_text(report, encoding="utf-8")
    print(report)
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = made.add_mutually_exclusive_group()
    size.add_argument("--plan", choices=PLANS, default="standard", help="how much is measured (default: standard)")
    size.add_argument("--quick", dest="plan", action="store_const", const="quick", help="--plan quick: two minutes")
    size.add_argument("--full", dest="plan", action="store_const", const="full", help="--plan full: true sizes, hours")
    made.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"some of {', '.join(PARTS)}"
    )
    made.add_argument("--network", choices=("crossvit", "tiny"), help="for recording and evaluate; default the plan's")
    made.add_argument(
        "--evaluate-sizes", choices=SUITE_SIZES, help="stimuli and neuroids of evaluate; default the plan's"
    )
    made.add_argument(
        "--evaluate-images", nargs=3, type=int, metavar=("TEXTURES", "OBJECTS", "BEHAVIOR"),
        help="fewer or more images than --evaluate-sizes says; neuroids and trials stay",
    )  # fmt: skip
    made.add_argument(
        "--brainscore-evaluate", choices=("auto", "yes", "no"), default="auto",
        help="run Brain-Score's own evaluation; auto: not at true size, where it takes hours and more than 20 GB",
    )  # fmt: skip
    made.add_argument(
        "--brainscore-folds", type=int, choices=range(1, 11), metavar="1-10",
        help="measure Brain-Score's metric on so many of its ten folds and multiply; the table says so",
    )  # fmt: skip
    made.add_argument("--device", default="auto", help="auto, cpu or cuda[:i]")
    made.add_argument("--threads", type=int, default=cores(), help="default: all cores")
    made.add_argument("--keep", type=Path, help="file for the measurements; what it holds is not measured again")
    made.add_argument("--work", type=Path, help="folder for temporary files (20 GB at true size); default the system's")
    made.add_argument("-o", "--output", type=Path, help="file for the table, Markdown")
    return made


def _evaluate_size(options: argparse.Namespace, plan) -> SuiteSize:
    size = SUITE_SIZES[plan.evaluate]
    if options.evaluate_images is None:
        return size
    textures, objects, behavior = options.evaluate_images
    # A split's test stimuli must hold every object.
    names = min(size.object_names, max(2, objects // 10))
    return dataclasses.replace(size, textures=textures, objects=objects, behavior=behavior, object_names=names)


def _both(options: argparse.Namespace, plan) -> bool:
    if options.brainscore_evaluate != "auto":
        return options.brainscore_evaluate == "yes"
    return not (plan.evaluate == "true" and options.evaluate_images is None)


def _shown_arguments(arguments: list[str] | None) -> list[str]:
    """The command as typed, without paths of this machine."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    shown, skip = [], False
    for argument in given:
        if skip:
            skip = False
        elif argument in ("--keep", "--work", "-o", "--output"):
            skip = True
        else:
            shown.append(argument)
    return shown


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
