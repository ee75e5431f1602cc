"""The same work by either side, "ours" or "brainscore": the metric alone, the recording alone, a whole evaluation.

Brain-Score's side is its own code as its users run it: `load_metric("pls")`, and a `ModelCommitment` around its
`PytorchWrapper` with its cache on, neither touched. The public functions are jobs of `processes.Workshop`.
"""

import statistics
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision import load_metric
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from torch import nn

from brainscore_submission.engine.decoding import decoded, pixels_kept
from brainscore_submission.engine.gram import GramAccumulator
from brainscore_submission.engine.images import Request, read_stimuli
from brainscore_submission.engine.recorder import Recorder
from brainscore_submission.engine.stores import DiskStore
from brainscore_submission.models.model import Model
from brainscore_submission.models.opening import find_device
from brainscore_submission.plugin.fetching import cache_folder
from brainscore_submission.scoring.fast_metrics import GramPredictivity
from brainscore_submission.scoring.kept import ScoreOptions, Watcher
from brainscore_submission.scoring.score import score_suite
from brainscore_submission.scoring.suites import Suite, loaded_once

from .engine import Passes, open_network
from .inputs import image_sets
from .sizes import MetricSize, SuiteSize
from .suite import CEILING_SECONDS, SHOWN, stimulus_set, suite

ROOM = 2 * 2**30  # for decoded images of a list of models
REPEATS, REPEAT_BELOW_S = 3, 20  # the median of ours counts: it is over in a moment


def metric(inputs: Path, scratch: Path, side: str, size: dict, device: str) -> dict:
    """From activations and recorded responses to a score.

    Ours reads the activations from a file, block by block; Brain-Score's gets them in memory, ready made.
    """
    size, device = MetricSize(**size), find_device(device)
    target = _assembly(np.load(inputs / "responses.npy"), size)
    n_folds = size.brainscore_folds if side == "brainscore" else 10
    pls = load_metric("pls", crossvalidation_kwargs={"stratification_coord": "object_name", "splits": n_folds})
    source, took = None, []
    if side == "brainscore":
        values = np.fromfile(inputs / "activations" / "features.f32", dtype=np.float32)
        source = _assembly(values.reshape(size.n_stimuli, size.n_features), size)
    while not took or (side == "ours" and len(took) < REPEATS and took[0] < REPEAT_BELOW_S):
        started = time.perf_counter()
        if side == "ours":
            gram = GramAccumulator(size.n_stimuli)
            for block in DiskStore(inputs / "activations", size.n_stimuli, size.n_features).columns():
                gram.add(torch.as_tensor(block).to(device))
            score = GramPredictivity(pls, device)(_assembly(gram.result(), size), target)
        else:
            score = pls(source, target)
        took.append(time.perf_counter() - started)
    r = score.attrs["raw"].transpose("split", "neuroid")
    in_order = r.values[:, np.argsort(r["neuroid_id"].values)]
    return {"seconds": statistics.median(took), "folds": n_folds, "score": float(score), "r": in_order.tolist()}


def _assembly(values: np.ndarray, size: MetricSize) -> NeuroidAssembly:
    """Activations, a Gram matrix or responses, each row a stimulus, as either metric takes them."""
    stimuli, neuroids = np.arange(size.n_stimuli), np.arange(values.shape[1])
    coords = {
        "stimulus_id": ("presentation", [f"s{i:05d}" for i in stimuli]),
        "object_name": ("presentation", [f"object{i % size.n_strata:03d}" for i in stimuli]),
        "gram_row": ("presentation", stimuli),
        "neuroid_num": ("neuroid", neuroids),
        "neuroid_id": ("neuroid", [f"n{i:07d}" for i in neuroids]),
        "region": ("neuroid", ["IT"] * len(neuroids)),
    }
    return NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid"])


def recording(inputs: Path, scratch: Path, side: str, size: dict, network: str, device: str, batch_size: int) -> dict:
    """The images of five areas shown to a network, until what the metrics need is there.

    Ours shows each image once for all layers wanted of it, the Gram matrices included; Brain-Score each area's images
    on their own.
    """
    sets, model = image_sets(inputs, SuiteSize(**size)), open_network(network, device)
    passes, parts, started = Passes(model.network), {}, time.perf_counter()
    if side == "ours":
        recorder = model.recorder(scratch / "cache")
        for name, images in sets.items():
            layers = frozenset(model.layers[area] for area, shown in SHOWN.items() if shown == name)
            form, begun = "features" if name == "behavior" else "grams", time.perf_counter()
            recorder.record([Request(tuple(read_stimuli(images.paths)), **{form: layers})])
            parts[name] = {"seconds": time.perf_counter() - begun, "passes": len(images.paths)}
    else:
        wrapper, commitment = _as_submitted(model, batch_size)
        for area, name in SHOWN.items():
            if area == "behavior":
                wrapper(stimulus_set(sets[name]), layers=[model.layers[area]])
            else:
                commitment.start_recording(area, time_bins=[(70, 170)])
                commitment.look_at(stimulus_set(sets[name]), number_of_trials=1)
    return {**passes.since(started), "sets": parts}


def evaluate(
    inputs: Path, scratch: Path, side: str, size: dict, network: str, device: str, batch_size: int, run: str = "cold"
) -> dict:
    """Images and recorded responses in, five scores out; time starts after the imports.

    A `run` other than "cold" is told from it by its name; what it finds kept is its `home`'s (`Workshop.run`).
    """
    return _evaluate(suite(inputs, SuiteSize(**size)), scratch, side, network, device, batch_size)


def second_of_a_list(
    inputs: Path, scratch: Path, side: str, size: dict, network: str, device: str, batch_size: int
) -> dict:
    """`evaluate` of our side after that of other weights in the same process, as `--models` does it; no imports."""
    benchmarks = loaded_once(suite(inputs, SuiteSize(**size)))
    with pixels_kept(ROOM):
        for seed in (0, 1):
            CEILING_SECONDS.clear()
            took = _evaluate(benchmarks, scratch / str(seed), side, network, device, batch_size, seed)
    return {**took, "import_seconds": 0.0}


def _evaluate(
    benchmarks: Suite, scratch: Path, side: str, network: str, device: str, batch_size: int, seed: int = 0
) -> dict:
    raw, area_seconds, stages, started = {}, {}, [], time.perf_counter()
    model = open_network(network, device, seed=seed)
    passes = Passes(model.network)
    if side == "ours":
        watcher = Watcher(stage=lambda what: stages.append((what, time.perf_counter())))
        options = ScoreOptions(engine="gram", results=scratch / "results", cache=cache_folder(), watcher=watcher)
        for record in score_suite(model, benchmarks, options):
            raw[record.area], area_seconds[record.area] = record.measured.raw, record.seconds["scoring"]
    else:
        _, commitment = _as_submitted(model, batch_size)
        for identifier, area in benchmarks.leaves.items():  # behaviour last: a task, once started, hides the recordings
            raw[area] = float(benchmarks.loaders[identifier]()(commitment).attrs["raw"])
    stages = [("opening the network", started), *stages, ("end", time.perf_counter())]
    took = {"stages": [(what, until - since) for (what, since), (_, until) in pairwise(stages)]}
    return {**passes.since(started), **took, "ceilings": CEILING_SECONDS, "raw": raw, "area_seconds": area_seconds}


def decoding(inputs: Path, scratch: Path, size: dict, network: str, device: str) -> dict:
    """Images a second: files read, decoded and resized ahead, alone; and recorded of a network that does nothing."""
    images, model = image_sets(inputs, SuiteSize(**size))["objects"], open_network(network, device)
    batches = [images.paths[at : at + 64] for at in range(0, len(images.paths), 64)]
    recorder = Recorder(
        nn.Sequential(nn.AdaptiveAvgPool2d(1)), model.reading, "nothing", prepare=model.prepare, device=model.device,
        batch_size=64, apart=True,
    )  # fmt: skip
    stimuli, took = tuple(read_stimuli(images.paths)), {"alone": [], "recorded": []}
    for _ in range(REPEATS):
        started = time.perf_counter()
        with decoded(model.reading, model.prepare, batches, model.device, apart=True) as pixels:
            for number in range(len(batches)):
                pixels(number)
        took["alone"].append(time.perf_counter() - started)
        started = time.perf_counter()
        recorder.record([Request(stimuli, features=frozenset({"0"}))])
        took["recorded"].append(time.perf_counter() - started)
    return {name: len(images.paths) / statistics.median(seconds) for name, seconds in took.items()}


def _as_submitted(model: Model, batch_size: int) -> tuple[PytorchWrapper, ModelCommitment]:
    """Brain-Score's wrapper and commitment as its tutorials use them; network, preprocessing and layers are ours."""
    identifier = f"bench-{model.name}"
    wrapper = PytorchWrapper(
        model.network,
        preprocessing=lambda paths: np.stack([model.load_image(path).numpy() for path in paths]),
        identifier=identifier,
        batch_size=batch_size,
    )
    commitment = ModelCommitment(
        identifier=identifier,
        activations_model=wrapper,
        layers=list(dict.fromkeys(model.layers.values())),
        behavioral_readout_layer=model.layers["behavior"],
        region_layer_map={area: layer for area, layer in model.layers.items() if area != "behavior"},
        visual_degrees=model.card.visual_degrees,
    )
    return wrapper, commitment
