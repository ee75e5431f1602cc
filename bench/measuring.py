"""The run: which jobs are done, in which order, and what came out. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from .machine import describe
from .sizes import SUITE_SIZES, MetricSize, Plan, ScalingSize, SuiteSize
from .workshop import Workshop

PARTS = ("metric", "recording", "evaluate", "scaling")


@dataclass(frozen=True)
class Pair:
    """The same thing measured twice; `brainscore` is None where it was not asked for."""

    size: MetricSize | SuiteSize
    ours: dict
    brainscore: dict | None


@dataclass
class Results:
    """What a run measured; a part that was not asked for is empty or None."""

    machine: dict
    threads: int
    limits: dict
    recording_network: str
    evaluate_network: str
    brainscore_batch: int
    metric: list[Pair] = field(default_factory=list)
    recording: Pair | None = None
    evaluate: Pair | None = None
    scaling: list[tuple[ScalingSize, dict]] = field(default_factory=list)


def measure(
    plan: Plan,
    workshop: Workshop,
    parts: Sequence[str] = PARTS,
    evaluate_size: SuiteSize | None = None,
    evaluate_with_brainscore: bool = True,
) -> Results:
    """Make every measurement of a plan, one process after the other.

    Parameters
    ----------
    parts : some of `PARTS`
    evaluate_size : instead of the plan's
    evaluate_with_brainscore : False leaves Brain-Score's own evaluation out: at true size it takes hours and more
        memory than most machines have
    """
    networks = sorted({plan.recording_network, plan.evaluate_network})
    results = Results(
        machine=describe(),
        threads=workshop.threads,
        limits=workshop.run("limits", "what the machine can do", networks=networks, device=workshop.device),
        recording_network=plan.recording_network,
        evaluate_network=plan.evaluate_network,
        brainscore_batch=plan.brainscore_batch or 64,
    )
    if "metric" in parts:
        results.metric = [_metric(size, workshop) for size in plan.metric]
    if "scaling" in parts:
        results.scaling = [(size, _scaling(size, workshop)) for size in plan.scaling]
    if "recording" in parts:
        results.recording = _shown("recording", plan.recording, plan.recording_network, plan, workshop, True)
    if "evaluate" in parts:
        size = evaluate_size or SUITE_SIZES[plan.evaluate]
        results.evaluate = _shown("evaluate", size, plan.evaluate_network, plan, workshop, evaluate_with_brainscore)
    return results


def _metric(size: MetricSize, workshop: Workshop) -> Pair:
    what = f"metric alone, {size.n_stimuli} x {size.n_features:,} x {size.n_neuroids}"
    ours = workshop.run("metric.ours", f"{what}: ours", size=asdict(size), device=workshop.device)
    return Pair(size, ours, workshop.run("metric.brainscore", f"{what}: Brain-Score", size=asdict(size)))


def _scaling(size: ScalingSize, workshop: Workshop) -> dict:
    what = f"helper size {size.n_stimuli} x {size.n_features:,} x {size.n_neuroids}"
    return workshop.run("scaling", what, size=asdict(size))


def _shown(job: str, size: SuiteSize, network: str, plan: Plan, workshop: Workshop, both: bool) -> Pair:
    what = f"{job}, {size.images} images, {network}"
    arguments = {"size": asdict(size), "network": network, "device": workshop.device}
    ours = workshop.run(f"{job}.ours", f"{what}: ours", **arguments)
    if not both:
        return Pair(size, ours, None)
    theirs = workshop.run(f"{job}.brainscore", f"{what}: Brain-Score", **arguments, batch_size=plan.brainscore_batch)
    return Pair(size, ours, theirs)
