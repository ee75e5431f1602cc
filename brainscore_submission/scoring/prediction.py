"""What the recorded neurons would answer to new images: a PLS fitted once to a benchmark, kept, and applied.

The fit is made from the Gram matrix (`engine.pls.fit`); kept are its directions in the layer's features, so that new
images alone have to go through the network.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.screen import place_on_screen

from ..engine import kept_arrays
from ..engine.gram import gram
from ..engine.images import Request, read_stimuli
from ..engine.pls import fit
from ..models.model import Model
from ..plugin.errors import UserError
from .fast_metrics import Job, make_job
from .kept import ScoreOptions, layer_of, record_fingerprint
from .measured import score_job
from .recorded_model import Recorded, RecordedActivations
from .score import asked_by, describe_record
from .suites import NoAccess, Suite, load

logger = logging.getLogger(__name__)

BLOCK_COLUMNS = 4096  # features that are centred at a time, in float64


@dataclass(frozen=True)
class Mapping:
    """From a layer's features to the neuroids of a benchmark: (x - mean) rotations loadingsᵀ + target_mean.

    Shapes: neuroid_id, r, target_mean (n_neuroids,); mean (n_features,); rotations (n_features, n_components); loadings
    (n_neuroids, n_components). `r` is the cross-validated Pearson r of each neuroid, mean over splits; `visual_degrees`
    the width of the field of view in which the benchmark shows its images.
    """

    neuroid_id: np.ndarray
    r: np.ndarray
    mean: np.ndarray
    rotations: np.ndarray
    loadings: np.ndarray
    target_mean: np.ndarray
    visual_degrees: np.ndarray

    def predict(self, features) -> np.ndarray:
        """Responses to stimuli, in the units of the recordings.

        Parameters
        ----------
        features : array of shape (n_stimuli, n_features)

        Returns
        -------
        ndarray of shape (n_stimuli, n_neuroids), float64
        """
        scores = (np.asarray(features, dtype=float) - self.mean) @ self.rotations
        return scores @ self.loadings.T + self.target_mean


def kept_or_fitted(model: Model, suite: Suite, identifier: str, options: ScoreOptions) -> Mapping:
    """The mapping of a model to a benchmark, from the cache or fitted now, which shows all images of the benchmark.

    Parameters
    ----------
    suite : that holds the benchmark
    options : `cache` keeps the mapping; `rerun` "all" fits it anew

    Raises
    ------
    UserError
        The benchmark has no PLS over neuroids, or its data cannot be had.
    """
    area = suite.leaves[identifier]
    layer = layer_of(identifier, area, model)
    fingerprint = record_fingerprint(model, suite, area, "gram", layer)
    key = hashlib.sha256(json.dumps([fingerprint, identifier]).encode()).hexdigest()
    path, facts = options.cache and options.cache / "mappings" / f"{key}.mapping", {"mapping": key}
    if path and options.rerun != "all" and (arrays := kept_arrays.load(path, facts)) is not None:
        return Mapping(**arrays)
    mapping = _fitted(model, suite, identifier, layer, options)
    if path:
        arrays = {field.name: getattr(mapping, field.name) for field in dataclasses.fields(mapping)}
        kept_arrays.save(path, arrays, facts)
    return mapping


def _fitted(model: Model, suite: Suite, identifier: str, layer: str, options: ScoreOptions) -> Mapping:
    options.watcher.stage(f"loading {identifier}")
    area = suite.leaves[identifier]
    try:
        job = make_job(identifier, area, load(identifier, suite), "gram", model.device)
    except NoAccess as error:
        raise UserError(f"{identifier}: no access, {error}. The demo suite needs no data: demo.V4-pls.") from error
    if job.metric is None:
        raise UserError(
            f"{identifier} has no PLS from a layer to neuroids, so there is no mapping to predict with.\n"
            "Those that have: brainscore-submission benchmarks --search pls; and demo.V1-pls to demo.IT-pls."
        )
    recorder = model.recorder(options.cache, options.budget, options.watcher.recorded)
    recorded = Recorded(recorder.record)
    stimuli = {one.sha256: one for request in asked_by(job, model, recorded) for one in request.stimuli}
    basis = tuple(stimuli.values())
    options.watcher.stage("recording")
    recorded.recording.update(recorder.record([Request(basis, grams=frozenset([layer]), features=frozenset([layer]))]))
    options.watcher.stage("fitting")
    r = _cross_validated(job, model, suite, recorded, basis)
    rows, target, neuroid_id, settings = job.metric.fitted_to()
    features = recorded.recording.features(layer, basis)[rows]  # (n_stimuli, n_features)
    coefficients, loadings = fit(gram(features), target, **settings, device=model.device)
    mean = features.mean(axis=0, dtype=float)
    blocks = [slice(at, at + BLOCK_COLUMNS) for at in range(0, features.shape[1], BLOCK_COLUMNS)]
    rotations = [(features[:, block].astype(float) - mean[block]).T @ coefficients for block in blocks]
    recorder.discard_leftovers()
    return Mapping(
        neuroid_id=neuroid_id,
        r=r,
        mean=mean,
        rotations=np.concatenate(rotations),
        loadings=loadings,
        target_mean=target.mean(axis=0),
        visual_degrees=np.array(float(getattr(job.benchmark, "_visual_degrees", model.card.visual_degrees))),
    )


def _cross_validated(job: Job, model: Model, suite: Suite, recorded: Recorded, basis: tuple) -> np.ndarray:
    """r of each neuroid on images that its fit has not seen, mean over splits: (n_neuroids,), by their ids."""
    candidate = model.commit(RecordedActivations(model.cache_identifier, job.form, recorded, basis))
    envelope = describe_record(job.identifier, job.area, model, suite, job.engine)
    _, sidecar = score_job(job, candidate, envelope, n_resamples=2)
    return sidecar.r.mean(axis=0)


def predict_responses(
    model: Model,
    layer: str,
    mapping: Mapping,
    images: Sequence[Path],
    options: ScoreOptions,
    visual_degrees: float | None = None,
) -> np.ndarray:
    """Responses of a benchmark's neuroids to image files.

    Parameters
    ----------
    layer : that the mapping was fitted to
    images : files
    visual_degrees : width at which they are shown; default as the benchmark shows its own

    Returns
    -------
    ndarray of shape (n_images, n_neuroids)
    """
    names = [str(path) for path in images]
    shown = StimulusSet({"stimulus_id": names})
    shown.stimulus_paths = dict(zip(names, map(str, images), strict=True))
    content = [stimulus.sha256 for stimulus in read_stimuli(images)]
    shown.identifier = f"predict-{hashlib.sha256(json.dumps([names, content]).encode()).hexdigest()[:16]}"
    placed = place_on_screen(
        shown,
        target_visual_degrees=model.card.visual_degrees,
        source_visual_degrees=visual_degrees or float(mapping.visual_degrees),
    )
    stimuli = tuple(read_stimuli([placed.get_stimulus(name) for name in names]))
    recorder = model.recorder(options.cache, options.budget, options.watcher.recorded)
    options.watcher.stage("showing the images")
    recording = recorder.record([Request(stimuli, features=frozenset([layer]))])
    found = mapping.predict(recording.features(layer, list(stimuli)))
    recorder.discard_leftovers()
    return found
