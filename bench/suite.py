"""Five benchmarks of Brain-Score's own classes, as the demo suite has them, over images and responses of any size."""

import hashlib
import time
from functools import partial
from pathlib import Path

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly, NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision import load_ceiling, load_metric
from brainscore_vision.benchmark_helpers.neural_common import average_repetition

from brainscore_submission.demo.benchmarks import SimulatedBehavioralBenchmark, SimulatedNeuralBenchmark
from brainscore_submission.scoring.suites import Suite

from .inputs import ImageSet, image_sets
from .sizes import SuiteSize

COLUMNS = {"textures": ("texture_type",), "objects": ("object_name",), "behavior": ("object_name", "image_label")}
DEGREES = {"textures": 4, "objects": 8}
SHOWN = {"V1": "textures", "V2": "textures", "V4": "objects", "IT": "objects", "behavior": "behavior"}
TRIAL_NOISE = 4.0
# By area, of this process. Not in the function that takes the time: its content is what a kept ceiling is known by.
CEILING_SECONDS: dict[str, float] = {}


def suite(folder: Path, size: SuiteSize) -> Suite:
    """The five benchmarks as a suite of ours; Brain-Score runs them from the same `loaders`.

    Seconds in ceilings go to `CEILING_SECONDS`, by area, as they are computed.
    """
    leaves = {area: f"bench.{area}" for area in SHOWN}
    loaders = {leaf: partial(_benchmark, folder, size, area) for area, leaf in leaves.items()}
    areas = {area: (leaf,) for area, leaf in leaves.items()}
    return Suite("bench", areas, frozenset(loaders), "SIMULATED responses: a measurement of speed.", loaders)


def stimulus_set(images: ImageSet) -> StimulusSet:
    """The images as Brain-Score holds them: its caches go by the identifier, so there is one for each folder."""
    rows = zip(images.paths, images.groups, strict=True)
    stimuli = StimulusSet(
        [{"stimulus_id": path.stem, **dict.fromkeys(COLUMNS[images.name], group)} for path, group in rows]
    )
    stimuli.stimulus_paths = {path.stem: path for path in images.paths}
    stimuli.identifier = f"bench-{hashlib.sha256(str(images.paths[0].parent).encode()).hexdigest()[:12]}"
    return stimuli


def _benchmark(folder: Path, size: SuiteSize, area: str):
    images = image_sets(folder, size)[SHOWN[area]]
    if area == "behavior":
        shown, choices = stimulus_set(images), _choices(images, size)
        benchmark = SimulatedBehavioralBenchmark(shown, choices)  # the readout is fitted and tested on the same images

        def ceiling(of):
            return of._metric.ceiling(choices, skipna=True)  # half of a pair's trials may be none
    else:
        repeated, strata = _responses(images, size, area), COLUMNS[images.name][0]
        consistency = load_ceiling("internal_consistency")

        def ceiling(_of):
            return consistency(repeated)

        benchmark = SimulatedNeuralBenchmark(
            identifier=f"bench.{area}",
            assembly=average_repetition(repeated),
            similarity_metric=load_metric("pls", crossvalidation_kwargs={"stratification_coord": strata}),
            visual_degrees=DEGREES[images.name],
            number_of_trials=size.trials(images.name),
            version=1,
            parent=area,
            ceiling_func=None,
        )

    def timed():
        started = time.perf_counter()
        result = ceiling(benchmark)  # in the closure, as in Brain-Score's own benchmarks
        CEILING_SECONDS[area] = time.perf_counter() - started
        return result

    benchmark._ceiling_func = timed
    return benchmark


def _responses(images: ImageSet, size: SuiteSize, area: str) -> NeuroidAssembly:
    """Presentations (each stimulus, each trial) x neuroids: linear in the causes of the image, with noise."""
    n_images, n_neuroids, n_trials = len(images.paths), getattr(size, area.lower()), size.trials(images.name)
    rng = np.random.default_rng(list(SHOWN).index(area))
    signal = images.causes @ rng.standard_normal((images.causes.shape[1], n_neuroids))
    order = np.tile(rng.permutation(n_images), n_trials)
    noise = TRIAL_NOISE * rng.standard_normal((len(order), n_neuroids))
    shown = stimulus_set(images)
    coords = {
        **{column: ("presentation", shown[column].values[order]) for column in shown.columns},
        "repetition": ("presentation", np.repeat(np.arange(n_trials), n_images)),
        "neuroid_id": ("neuroid", [f"{area}_{i:03d}" for i in range(n_neuroids)]),
        "region": ("neuroid", [area] * n_neuroids),
        "time_bin_start": ("time_bin", [70]),
        "time_bin_end": ("time_bin", [170]),
    }
    values = (signal[order] + noise)[:, :, None]
    assembly = NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid", "time_bin"]).squeeze("time_bin")
    assembly.attrs["stimulus_set"] = shown
    return assembly


def _choices(images: ImageSet, size: SuiteSize) -> BehavioralAssembly:
    """Each image against each other object, `pair_trials` times; some images are harder than others."""
    rng, shown = np.random.default_rng(5), stimulus_set(images)
    names, truth = np.unique(images.groups, return_inverse=True)
    image, distractor = np.nonzero(np.arange(len(names)) != truth[:, None])
    image, distractor = np.repeat(image, size.pair_trials), np.repeat(distractor, size.pair_trials)
    p_correct = 1 / (1 + np.exp(-1 - images.causes[:, 0]))
    chosen = np.where(rng.random(len(image)) < p_correct[image], truth[image], distractor)
    columns = {"stimulus_id": shown["stimulus_id"].values[image], "dist_obj": names[distractor].astype(object)}
    columns |= dict.fromkeys(("sample_obj", "truth"), names[truth[image]].astype(object))
    coords = {name: ("presentation", values) for name, values in columns.items()}
    assembly = BehavioralAssembly(names[chosen].astype(object), coords=coords, dims=["presentation"])
    assembly.attrs["stimulus_set"] = shown
    return assembly
