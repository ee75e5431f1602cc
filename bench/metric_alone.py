"""PLS predictivity alone, ten folds: from activations and recorded responses to a score.

Ours reads the activations from a file block by block, the reading included in its time. Brain-Score's metric gets them
in memory, in its own assembly, both for free.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
import torch
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision import load_metric

from brainscore_submission.engine.gram import GramAccumulator
from brainscore_submission.engine.stores import DiskStore
from brainscore_submission.models.opening import find_device
from brainscore_submission.scoring.fast_metrics import GramPredictivity

from .sizes import MetricSize

OUR_REPEATS = 3  # the median counts: ours is over in a moment
REPEAT_BELOW_S = 20


def ours(inputs: Path, scratch: Path, size: dict, device: str) -> dict:
    """Gram matrix from the file, then our PLS in Brain-Score's clothes."""
    size, device = MetricSize(**size), find_device(device)
    target = _target(inputs, size)
    metric = GramPredictivity(_brainscore_metric(), device)
    seconds, gram_seconds = [], []
    while not seconds or (len(seconds) < OUR_REPEATS and seconds[0] < REPEAT_BELOW_S):
        started = time.perf_counter()
        accumulator = GramAccumulator(size.n_stimuli)
        for block in DiskStore(inputs / "activations", size.n_stimuli, size.n_features).columns():
            accumulator.add(torch.as_tensor(block).to(device))
        source = _source(accumulator.result(), size)
        gram_seconds.append(time.perf_counter() - started)
        score = metric(source, target)
        seconds.append(time.perf_counter() - started)
    parts = {"seconds": statistics.median(seconds), "gram_seconds": statistics.median(gram_seconds)}
    return {**parts, "folds": 10, **_numbers(score)}


def brainscore(inputs: Path, scratch: Path, size: dict) -> dict:
    """Brain-Score's own `load_metric("pls")`."""
    size = MetricSize(**size)
    values = np.fromfile(inputs / "activations" / "features.f32", dtype=np.float32)
    source, target = _source(values.reshape(size.n_stimuli, size.n_features), size), _target(inputs, size)
    metric = _brainscore_metric(splits=size.brainscore_folds)
    started = time.perf_counter()
    score = metric(source, target)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "folds": size.brainscore_folds, **_numbers(score)}


def _brainscore_metric(**splits):
    return load_metric("pls", crossvalidation_kwargs={"stratification_coord": "object_name", **splits})


def _source(values: np.ndarray, size: MetricSize) -> NeuroidAssembly:
    numbers = np.arange(values.shape[1])
    coords = {
        **_presentations(size),
        "gram_row": ("presentation", np.arange(size.n_stimuli)),
        "neuroid_num": ("neuroid", numbers),
        "neuroid_id": ("neuroid", [f"bench.layer.{number}" for number in numbers]),
        "layer": ("neuroid", ["layer"] * len(numbers)),
    }
    return NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid"])


def _target(inputs: Path, size: MetricSize) -> NeuroidAssembly:
    coords = {
        **_presentations(size),
        "neuroid_id": ("neuroid", [f"n{i:04d}" for i in range(size.n_neuroids)]),
        "region": ("neuroid", ["IT"] * size.n_neuroids),
    }
    return NeuroidAssembly(np.load(inputs / "responses.npy"), coords=coords, dims=["presentation", "neuroid"])


def _presentations(size: MetricSize) -> dict:
    return {
        "stimulus_id": ("presentation", [f"s{i:05d}" for i in range(size.n_stimuli)]),
        "object_name": ("presentation", [f"object{i % size.n_strata:03d}" for i in range(size.n_stimuli)]),
    }


def _numbers(score) -> dict:
    r = score.attrs["raw"].transpose("split", "neuroid")
    in_order = r.values[:, np.argsort(r["neuroid_id"].values)]
    return {"score": float(score), "error": float(score.attrs["error"]), "r": in_order.tolist()}
