"""`python -m bench`: measure speed and memory beside brainscore-vision, and print one table.

Examples:

  python -m bench --quick                       two minutes
  python -m bench                               an hour or two: true metric sizes, a small evaluation
  python -m bench --full --keep full.json       hours: true sizes; started again, it goes on where it stopped

argparse, where the rest of the project has typer: this process must stay small (see `processes`).
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from brainscore_submission.plugin.files import require_writable, write_whole

from .processes import Workshop, errors_in_a_line, machine
from .report import Pair, Results, render
from .sizes import PLANS, MetricSize, Plan, SuiteSize

PARTS = ("metric", "recording", "evaluate", "scaling")
PATHS = ("--keep", "--work", "-o", "--output")


@errors_in_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the table; returns the exit code."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(typed)
    # The command as typed, without paths of this machine.
    shown = [word for before, word in pairwise(["", *typed]) if word not in PATHS and before not in PATHS]
    for path, option in ((options.output, "-o"), (options.keep, "--keep")):
        if path:
            require_writable(path, option)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.work) as folder:
        workshop = Workshop(Path(folder), options.threads, options.device, options.keep)
        report = render(measure(plan_of(options), workshop, options.only), " ".join(["python -m bench", *shown]))
    print(report)
    if options.output:
        write_whole(options.output, report.encode())
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.prog, add, size = "python -m bench", made.add_argument, made.add_mutually_exclusive_group()
    size.add_argument("--plan", choices=PLANS, default="standard", help="how much is measured (default: standard)")
    for name, says in (("quick", "two minutes"), ("full", "true sizes, hours")):
        size.add_argument(f"--{name}", dest="plan", action="store_const", const=name, help=f"--plan {name}: {says}")
    add("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"some of {', '.join(PARTS)}")
    add("--network", choices=("crossvit", "tiny"), help="for recording and evaluate; default the plan's")
    add("--evaluate-images", nargs=3, type=int, metavar="N", help="textures, objects, behaviour; default the plan's")
    add("--brainscore-evaluate", choices=("yes", "no"), help="run Brain-Score's own; default: not at true size")
    add("--brainscore-folds", type=int, choices=range(1, 11), metavar="1-10", help="of ten, then multiplied")
    add("--device", default="auto", help="auto, cpu or cuda[:i]")
    add("--threads", type=int, default=machine()["cores"], help="default: all cores")
    add("--keep", type=Path, help="file for the measurements; what it holds is not measured again")
    add("--work", type=Path, help="folder for temporary files (20 GB at true size); default the system's")
    add("-o", "--output", type=Path, help="file for the table, Markdown")
    return made


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan that was asked for, with what was changed of it."""
    plan = PLANS[options.plan]
    if options.network:
        plan = plan._replace(recording_network=options.network, evaluate_network=options.network)
    if options.brainscore_folds:
        fewer = tuple(size._replace(brainscore_folds=options.brainscore_folds) for size in plan.metric)
        plan = plan._replace(metric=fewer)
    if options.evaluate_images:
        textures, objects, behavior = options.evaluate_images
        names = min(plan.evaluate.object_names, max(2, objects // 10))  # a split's test stimuli must hold every object
        fewer = {"textures": textures, "objects": objects, "behavior": behavior, "object_names": names}
        plan = plan._replace(evaluate=plan.evaluate._replace(**fewer), brainscore_evaluates=True)
    if options.brainscore_evaluate:
        plan = plan._replace(brainscore_evaluates=options.brainscore_evaluate == "yes")
    return plan


def measure(plan: Plan, workshop: Workshop, parts: Sequence[str] = PARTS) -> Results:
    """Make every measurement of a plan, one process after the other."""

    def pair(part: str, size: MetricSize | SuiteSize, writer: str, both: bool = True, **arguments) -> Pair:
        arguments |= {"writer": f"inputs.{writer}", "size": size._asdict(), "device": workshop.device}
        sides = ("ours", "brainscore") if both else ("ours",)
        made = [workshop.run(f"sides.{part}", f"{part}, {size}: {side}", side=side, **arguments) for side in sides]
        return Pair(size, *made) if both else Pair(size, *made, None)

    def shown(part: str, both: bool = True) -> Pair:
        network = getattr(plan, f"{part}_network")
        return pair(part, getattr(plan, part), "write_images", both, network=network, batch_size=plan.brainscore_batch)

    networks = sorted({plan.recording_network, plan.evaluate_network})
    limits = workshop.run("engine.limits", "what the machine can do", networks=networks, device=workshop.device)
    measured = {"plan": plan, "machine": machine(), "threads": workshop.threads, "limits": limits}
    if "metric" in parts:
        measured["metric"] = [pair("metric", size, "write_activations") for size in plan.metric]
    if "scaling" in parts:
        took = [workshop.run("engine.scaling", f"Gram and PLS, {size}", size=size._asdict()) for size in plan.scaling]
        measured["scaling"] = list(zip(plan.scaling, took, strict=True))
    if "recording" in parts:
        measured["recording"] = shown("recording")
    if "evaluate" in parts:
        measured["evaluate"] = shown("evaluate", plan.brainscore_evaluates)
    return Results(**measured)


if __name__ == "__main__":
    sys.exit(main())
