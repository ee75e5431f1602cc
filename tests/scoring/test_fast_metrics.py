"""Promises of fast_metrics.py and recorded_model.py: Brain-Score's number, whatever stands in for the features."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision import load_ceiling, load_metric
from brainscore_vision.benchmark_helpers.neural_common import NeuralBenchmark, average_repetition
from brainscore_vision.metric_helpers.xarray_utils import XarrayCorrelation
from brainscore_vision.metrics.regression_correlation.metric import (
    CrossRegressedCorrelation,
    pearsonr_correlation,
    pls_regression,
    ridge_cv_regression,
)
from brainscore_vision.model_helpers.activations.pytorch import disable_activation_caching
from PIL import Image

from brainscore_submission.models.model import Model
from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.fast_metrics import NotedPLS, make_job
from brainscore_submission.scoring.recorded_model import Recorded, RecordedActivations, rehearse
from brainscore_submission.scoring.sidecar import Sidecar
from brainscore_submission.scoring.uncertainty import percentiles, raw_resamples

LAYERS = {
    "V1": "blocks.0.blocks.1.0.norm1",
    "V2": "blocks.1.blocks.1.0.norm1",
    "V4": "blocks.1.blocks.1.0.norm1",
    "IT": "blocks.1.blocks.1.4.norm2",
}
N_STIMULI, N_NEUROIDS, N_REPETITIONS = 60, 7, 4


@pytest.fixture
def model(tiny_card):
    loaded = load_network(tiny_card, "untrained")
    return Model("tiny", tiny_card, loaded.network, loaded.origin, LAYERS)


@pytest.fixture
def stimulus_set(tmp_path):
    paths = {}
    for i in range(N_STIMULI):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        paths[f"s{i:02d}"] = tmp_path / f"s{i:02d}.png"
        Image.fromarray(pixels).save(paths[f"s{i:02d}"])
    table = pd.DataFrame({"stimulus_id": list(paths), "object_name": ["car", "face", "tree"] * (N_STIMULI // 3)})
    stimuli = StimulusSet(table)
    stimuli.stimulus_paths = paths
    stimuli.identifier = f"engine-test-{tmp_path.name}"
    return stimuli


@pytest.fixture
def responses(stimulus_set):
    """Repeated responses in Brain-Score's format, presentations in another order than the stimulus set's."""
    rng = np.random.default_rng(0)
    order = np.tile(rng.permutation(N_STIMULI), N_REPETITIONS)
    signal = rng.normal(size=(N_STIMULI, N_NEUROIDS))
    assembly = NeuroidAssembly(
        (signal[order] + 0.5 * rng.normal(size=(len(order), N_NEUROIDS)))[:, :, None],
        coords={
            "stimulus_id": ("presentation", stimulus_set["stimulus_id"].values[order]),
            "object_name": ("presentation", stimulus_set["object_name"].values[order]),
            "repetition": ("presentation", np.repeat(np.arange(N_REPETITIONS), N_STIMULI)),
            # Not in sorted order: Brain-Score sorts neuroids by their id.
            "neuroid_id": ("neuroid", [f"n{i}" for i in (3, 1, 6, 0, 2, 5, 4)]),
            "region": ("neuroid", ["IT"] * N_NEUROIDS),
            "time_bin_start": ("time_bin", [70]),
            "time_bin_end": ("time_bin", [170]),
        },
        dims=["presentation", "neuroid", "time_bin"],
    ).squeeze("time_bin")
    assembly.attrs["stimulus_set"] = stimulus_set
    return assembly


@pytest.fixture
def make_benchmark(responses):
    def make(metric, assembly=None):
        averaged = average_repetition(responses) if assembly is None else assembly
        averaged.attrs["stimulus_set"] = responses.attrs["stimulus_set"]
        return NeuralBenchmark(
            identifier="engine-test.IT",
            assembly=averaged,
            similarity_metric=metric,
            visual_degrees=8,
            number_of_trials=N_REPETITIONS,
            version=1,
            parent="IT",
            ceiling_func=lambda: load_ceiling("internal_consistency")(responses),
            bibtex=None,
        )

    return make


def a_job(benchmark, engine="gram"):
    return make_job("made.IT", "IT", benchmark, engine)


def scored(benchmark, model, engine):
    job = a_job(benchmark, engine)
    if engine == "brainscore":
        uncached = disable_activation_caching(model.activations_model())  # the stimuli of each test have one name
        return job, job.benchmark(model.commit(uncached))
    recorded = Recorded(model.recorder(None).record)
    return job, job.benchmark(model.commit(RecordedActivations(model.cache_identifier, job.form, recorded)))


def by_rank():
    return XarrayCorrelation(scipy.stats.spearmanr)


METRICS = {
    "stratified PLS": (
        lambda: load_metric("pls", crossvalidation_kwargs={"stratification_coord": "object_name"}),
        "gram",
    ),
    "PLS": (lambda: load_metric("pls", crossvalidation_kwargs={"stratification_coord": None}), "gram"),
    "ridge": (lambda: load_metric("ridge", crossvalidation_kwargs={"stratification_coord": None}), "gram"),
    "ridge CV": (
        lambda: CrossRegressedCorrelation(ridge_cv_regression(alphas=[0.1, 1, 10]), pearsonr_correlation()),
        "gram",
    ),
    "PLS that standardises": (
        lambda: CrossRegressedCorrelation(pls_regression({"scale": True}), pearsonr_correlation()),
        "brainscore",
    ),
    "PLS by rank": (lambda: CrossRegressedCorrelation(pls_regression(), by_rank()), "brainscore"),
    "PLS over other splits": (
        lambda: load_metric("pls", crossvalidation_kwargs={"split_coord": "object_name", "stratification_coord": None}),
        "brainscore",
    ),
    "reverse PLS": (lambda: load_metric("reverse_pls"), "brainscore"),
    "neuron to neuron": (lambda: load_metric("neuron_to_neuron"), "brainscore"),
}


@pytest.mark.parametrize("name", ["stratified PLS", "PLS", "ridge", "ridge CV"])
@pytest.mark.parametrize("engine", ["gram", "surrogate"])
def test_every_engine_gives_brainscores_score_and_neuroids(make_benchmark, model, name, engine):
    make_metric, _ = METRICS[name]
    _, reference = scored(make_benchmark(make_metric()), model, "brainscore")
    _, ours = scored(make_benchmark(make_metric()), model, engine)
    assert float(ours) == pytest.approx(float(reference), abs=1e-6)
    assert float(ours.ceiling) == float(reference.ceiling)
    assert float(ours.raw.attrs["error"]) == pytest.approx(float(reference.raw.attrs["error"]), abs=1e-6)
    theirs, mine = reference.raw.raw, ours.raw.raw
    assert list(mine["neuroid_id"].values) == list(theirs["neuroid_id"].values)
    assert np.abs(mine.transpose(*theirs.dims).values - theirs.values).max() < 1e-5


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_that_is_no_function_of_the_gram_matrix_gets_the_features(make_benchmark, name):
    make_metric, engine = METRICS[name]
    job = a_job(make_benchmark(make_metric()))
    assert job.engine == engine
    forms = {"gram": "rows" if name.startswith("ridge") else "gram", "surrogate": "surrogate", "brainscore": "features"}
    assert job.form == forms[engine]


def test_the_benchmark_itself_keeps_its_metric(make_benchmark):
    benchmark = make_benchmark(METRICS["PLS"][0]())
    metric = benchmark._similarity_metric
    a_job(benchmark)
    assert benchmark._similarity_metric is metric


def test_a_constant_neuroid_is_nan_and_left_out_of_the_median_as_in_brainscore(make_benchmark, responses, model):
    averaged = average_repetition(responses)
    averaged[:, 2] = 1.0
    make_metric = METRICS["PLS"][0]
    with np.errstate(invalid="ignore"):
        with pytest.warns(Warning, match="constant"):
            _, reference = scored(make_benchmark(make_metric(), averaged), model, "brainscore")
    _, ours = scored(make_benchmark(make_metric(), averaged), model, "gram")
    assert float(ours) == pytest.approx(float(reference), abs=1e-6)
    nan = np.isnan(ours.raw.raw.values)
    assert nan.any()
    assert np.array_equal(nan, np.isnan(reference.raw.raw.values))


def test_held_out_predictions_reproduce_r(make_benchmark, model):
    job, score = scored(make_benchmark(METRICS["PLS"][0]()), model, "gram")
    kept = job.metric.held_out()
    for split, rows in enumerate(kept["test_index"]):
        for neuroid in range(N_NEUROIDS):
            r = np.corrcoef(kept["prediction"][split, :, neuroid], kept["target"][rows, neuroid])[0, 1]
            assert r == pytest.approx(float(score.raw.raw[split, neuroid]), abs=1e-5)


def test_an_offset_of_the_responses_moves_no_interval(make_benchmark, responses, model):
    def interval(offset):
        averaged = average_repetition(responses)
        averaged.values += offset
        job, score = scored(make_benchmark(METRICS["PLS"][0](), averaged), model, "gram")
        raw = score.raw.raw.transpose("split", "neuroid")
        sidecar = Sidecar(r=raw.values, neuroid_id=raw["neuroid_id"].values, **job.metric.held_out())
        return percentiles(raw_resamples(sidecar))

    low, high = interval(1e8)
    assert (low, high) == pytest.approx(interval(0), abs=1e-5) and high - low > 0.01


@pytest.mark.filterwarnings("ignore:Maximum number of iterations reached")
def test_a_surrogate_of_too_few_dimensions_is_noted(responses):
    target = average_repetition(responses)
    latent = np.random.default_rng(0).normal(size=(len(target), 10))
    coords = {"stimulus_id": ("presentation", target["stimulus_id"].values)}
    coords |= {"object_name": ("presentation", target["object_name"].values)}
    neuroids = {"neuroid_id": ("neuroid", np.arange(40)), "layer": ("neuroid", ["a"] * 40)}

    def notes_of(columns):
        padded = np.pad(columns, ((0, 0), (0, 40 - columns.shape[1])))
        metric = NotedPLS(METRICS["PLS"][0]())
        metric(NeuroidAssembly(padded, coords=coords | neuroids, dims=["presentation", "neuroid"]), target)
        return metric.notes

    assert "rank 10" in notes_of(latent)[0]
    assert notes_of(latent @ np.ones((10, 30)) + np.eye(len(target), 30)) == []


def test_responses_with_nan_name_the_neuroid(make_benchmark, responses, model):
    averaged = average_repetition(responses)
    averaged[5, 2] = np.nan
    with pytest.raises(UserError, match="NaN, first in neuroid n"):
        scored(make_benchmark(METRICS["PLS"][0](), averaged), model, "gram")


def test_repeated_presentations_are_refused_with_the_way_out(make_benchmark, responses, model):
    with pytest.raises(UserError, match="Average repetitions first"):
        scored(make_benchmark(METRICS["PLS"][0](), responses), model, "gram")


def test_two_areas_on_one_layer_work_across_benchmarks(make_benchmark, model):
    recorded = Recorded(model.recorder(None).record)
    candidate = model.commit(RecordedActivations(model.cache_identifier, "gram", recorded))
    scores = {}
    for area in ("V2", "V4"):
        job = a_job(make_benchmark(METRICS["PLS"][0]()))
        job.benchmark.region = area
        scores[area] = float(job.benchmark(candidate))
    assert scores["V2"] == scores["V4"]
    assert recorded.recording.image_passes == N_STIMULI


def test_a_rehearsal_tells_the_requests_without_a_forward_pass(make_benchmark, model):
    job = a_job(make_benchmark(METRICS["PLS"][0]()))
    (request,) = rehearse(job.benchmark, model.commit, job.form, Recorded(record=None), job.calls)
    assert request.grams == {LAYERS["IT"]}
    assert len(request.hashes) == N_STIMULI


def test_unknown_engine():
    from brainscore_submission.scoring.fast_metrics import require_engine

    with pytest.raises(UserError, match="unknown engine 'gramm'. Did you mean gram?"):
        require_engine("gramm")
