"""The demo suite: Brain-Score's own benchmark classes, metrics and ceilings on SIMULATED recordings and choices."""

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np
from brainscore_vision import load_ceiling, load_metric
from brainscore_vision.benchmark_helpers.neural_common import NeuralBenchmark, average_repetition
from brainscore_vision.benchmarks import Benchmark, BenchmarkBase
from brainscore_vision.benchmarks.rajalingham2018.benchmarks.benchmark import _DicarloRajalingham2018

from ..plugin.areas import AREAS
from .neurons import DEGREES, N_REPETITIONS, recordings
from .observers import choices, fitting_stimuli
from .stimuli import OBJECT_DEGREES, TEXTURE_DEGREES

STRATA = {TEXTURE_DEGREES: "texture_type", OBJECT_DEGREES: "object_name"}  # shares kept alike in all splits


def demo_benchmarks() -> dict[str, Callable[[], Benchmark]]:
    """Load id -> what builds the benchmark. Building one generates the stimuli if they are not there yet."""
    neural = {f"demo.{area}-pls": partial(neural_benchmark, area) for area in AREAS}
    return {**neural, "demo.behavior-i2n": behavioral_benchmark}


def neural_benchmark(area: str) -> "SimulatedNeuralBenchmark":
    """PLS predictivity of the simulated neurons of an area, as in the public benchmarks of macaque recordings."""
    trials = recordings(area)
    metric = load_metric("pls", crossvalidation_kwargs={"stratification_coord": STRATA[DEGREES[area]]})
    ceiler = load_ceiling("internal_consistency")
    return SimulatedNeuralBenchmark(
        identifier=f"demo.{area}-pls",
        version=1,
        assembly=average_repetition(trials),
        similarity_metric=metric,
        visual_degrees=DEGREES[area],
        number_of_trials=N_REPETITIONS,
        ceiling_func=lambda: ceiler(trials),
        parent=area,
    )


def behavioral_benchmark() -> "SimulatedBehavioralBenchmark":
    """Consistency with the simulated observers, picture by picture and distractor by distractor (i2n)."""
    return SimulatedBehavioralBenchmark(fitting_stimuli(), choices())


class _OwnCeiling:
    """Brain-Score stores ceilings on disk by identifier alone; these are kept apart by what they are computed from."""

    simulated = True

    @property
    def ceiling(self):
        content = hashlib.sha256(np.ascontiguousarray(self._assembly.values)).hexdigest()[:12]
        return self._ceiling(identifier=f"{self.identifier}-{content}")


class SimulatedNeuralBenchmark(_OwnCeiling, NeuralBenchmark):
    """Brain-Score's `NeuralBenchmark` on simulated neurons."""


class SimulatedBehavioralBenchmark(_OwnCeiling, _DicarloRajalingham2018):
    """Brain-Score's Rajalingham2018 benchmark on simulated observers; its own `__init__` would fetch the real ones."""

    def __init__(self, fitting, assembly):
        self._metric = load_metric("i2n")
        self._fitting_stimuli = fitting
        self._assembly = assembly
        self._visual_degrees = OBJECT_DEGREES
        self._number_of_trials = 2
        BenchmarkBase.__init__(
            self,
            identifier="demo.behavior-i2n",
            version=1,
            ceiling_func=lambda: self._metric.ceiling(self._assembly),
            parent="behavior",
        )
