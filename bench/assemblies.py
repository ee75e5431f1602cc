"""Five benchmarks of Brain-Score's own classes over synthetic images and responses."""

from __future__ import annotations

import hashlib
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly, NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision import load_ceiling, load_metric
from brainscore_vision.benchmark_helpers.neural_common import NeuralBenchmark, average_repetition
from brainscore_vision.benchmarks import BenchmarkBase
from brainscore_vision.benchmarks.rajalingham2018.benchmarks.benchmark import _DicarloRajalingham2018

from brainscore_submission.scoring.suites import Suite

from .images import ImageSet, image_sets
from .sizes import SuiteSize

# area -> image set, neuroids (field of SuiteSize), trials (field), degrees, time bin in ms, coordinate of the strata
AREAS = {
    "V1": ("textures", "v1", "texture_trials", 4, (50, 200), "texture_type"),
    "V2": ("textures", "v2", "texture_trials", 4, (50, 200), "texture_type"),
    "V4": ("objects", "v4", "object_trials", 8, (70, 170), "object_name"),
    "IT": ("objects", "it", "object_trials", 8, (70, 170), "object_name"),
}
TRIAL_NOISE = 2.0


class Stopwatch:
    """Seconds spent in the ceilings, by area: Brain-Score's code in either engine."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    def around(self, area: str, function, *args):
        """Call a function and keep its time."""
        started = time.perf_counter()
        result = function(*args)
        self.seconds[area] = time.perf_counter() - started
        return result


def suite(folder: Path, size: SuiteSize, ceilings: Stopwatch) -> Suite:
    """The five benchmarks as a suite of ours; Brain-Score runs them from the same `loaders`."""
    loaders = {f"bench.{area}-pls": partial(_neural, folder, size, area, ceilings) for area in AREAS}
    loaders["bench.behavior-i2n"] = partial(_Choices, folder, size, ceilings)
    areas = [*AREAS, "behavior"]
    return Suite(
        "bench",
        {area: (identifier,) for area, identifier in zip(areas, loaders, strict=True)},
        simulated_leaves=frozenset(loaders),
        caveat="SIMULATED responses: a measurement of speed.",
        loaders=loaders,
    )


def _tag(folder: Path) -> str:
    """Brain-Score caches activations, placed images and ceilings by identifier: one for each folder of inputs."""
    return f"bench-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def stimulus_set(images: ImageSet) -> StimulusSet:
    """The images as Brain-Score holds them."""
    columns = {
        "textures": ("texture_type",),
        "objects": ("object_name",),
        "behavior": ("object_name", "image_label"),
    }
    table = {"stimulus_id": images.ids, **{column: images.groups for column in columns[images.name]}}
    stimuli = StimulusSet(pd.DataFrame(table))
    stimuli.stimulus_paths = dict(zip(images.ids, images.paths, strict=True))
    stimuli.identifier = f"{_tag(images.folder)}.{images.name}"
    return stimuli


def _neural(folder: Path, size: SuiteSize, area: str, ceilings: Stopwatch) -> NeuralBenchmark:
    name, _, trials, degrees, _, strata = AREAS[area]
    repeated = _responses(folder, size, area)
    averaged = average_repetition(repeated)
    return NeuralBenchmark(
        identifier=f"{_tag(folder)}.{area}-pls",
        assembly=averaged,
        similarity_metric=load_metric("pls", crossvalidation_kwargs={"stratification_coord": strata}),
        visual_degrees=degrees,
        number_of_trials=getattr(size, trials),
        version=1,
        parent=area,
        ceiling_func=lambda: ceilings.around(area, load_ceiling("internal_consistency"), repeated),
    )


def _responses(folder: Path, size: SuiteSize, area: str) -> NeuroidAssembly:
    """Presentations (each stimulus, each trial) x neuroids: linear in the causes of the image, with noise."""
    name, neuroids, trials, _, (start, end), strata = AREAS[area]
    images, n_neuroids, n_trials = image_sets(folder, size)[name], getattr(size, neuroids), getattr(size, trials)
    rng = np.random.default_rng(list(AREAS).index(area))
    signal = images.causes @ rng.standard_normal((images.causes.shape[1], n_neuroids))
    order = np.tile(rng.permutation(len(images.ids)), n_trials)
    noise = TRIAL_NOISE * rng.standard_normal((len(order), n_neuroids))
    assembly = NeuroidAssembly(
        (signal[order] + noise)[:, :, None],
        coords={
            "stimulus_id": ("presentation", np.array(images.ids)[order]),
            strata: ("presentation", np.array(images.groups)[order]),
            "repetition": ("presentation", np.repeat(np.arange(n_trials), len(images.ids))),
            "neuroid_id": ("neuroid", [f"{area}_{i:03d}" for i in range(n_neuroids)]),
            "region": ("neuroid", [area] * n_neuroids),
            "time_bin_start": ("time_bin", [start]),
            "time_bin_end": ("time_bin", [end]),
        },
        dims=["presentation", "neuroid", "time_bin"],
    ).squeeze("time_bin")
    assembly.attrs["stimulus_set"] = stimulus_set(images)
    return assembly


class _Choices(_DicarloRajalingham2018):
    """Brain-Score's Rajalingham2018 benchmark over synthetic observers; fitted and tested on the same images."""

    def __init__(self, folder: Path, size: SuiteSize, ceilings: Stopwatch):
        images = image_sets(folder, size)["behavior"]
        self._metric = load_metric("i2n")
        self._fitting_stimuli = stimulus_set(images)
        self._assembly = _choices(images, size)
        self._assembly.attrs["stimulus_set"] = stimulus_set(images)
        self._visual_degrees = 8
        self._number_of_trials = 2
        # Past the parent, whose own __init__ downloads the published data.
        BenchmarkBase.__init__(
            self,
            identifier=f"{_tag(folder)}.behavior-i2n",
            version=1,
            ceiling_func=lambda: ceilings.around("behavior", lambda: self._metric.ceiling(self._assembly, skipna=True)),
            parent="behavior",
        )


def _choices(images: ImageSet, size: SuiteSize) -> BehavioralAssembly:
    """Each image against each other object, `pair_trials` times; some images are harder than others."""
    rng = np.random.default_rng(5)
    names, truth = np.unique(images.groups, return_inverse=True)
    image, distractor = np.meshgrid(np.arange(len(images.ids)), np.arange(len(names)), indexing="ij")
    differs = distractor != truth[:, None]
    image, distractor = (np.repeat(values[differs], size.pair_trials) for values in (image, distractor))
    p_correct = 1 / (1 + np.exp(-1 - images.causes[:, 0]))
    chosen = np.where(rng.random(len(image)) < p_correct[image], truth[image], distractor)
    coords = {
        "stimulus_id": np.array(images.ids)[image],
        "sample_obj": names[truth[image]],
        "dist_obj": names[distractor],
        "truth": names[truth[image]],
    }
    coords = {name: ("presentation", values.astype(object)) for name, values in coords.items()}
    return BehavioralAssembly(names[chosen].astype(object), coords=coords, dims=["presentation"])
