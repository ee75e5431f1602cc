"""A benchmark from a folder scores as one written by hand with Brain-Score over the same arrays."""

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision import load_ceiling, load_metric
from brainscore_vision.benchmark_helpers import PrecomputedFeatures
from brainscore_vision.benchmark_helpers.neural_common import NeuralBenchmark, average_repetition
from brainscore_vision.metrics.regression_correlation.metric import (
    CrossRegressedCorrelation,
    pearsonr_correlation,
    ridge_cv_regression,
)

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.recordings import FolderError, benchmarks, read_recordings, recordings_suite

OBJECTS = [f"o{index % 4}" for index in range(40)]


def candidate_for(responses, ids, objects=None, n_features=60, seed=0):
    """Build a model whose features are a noisy random projection of the responses."""
    random = np.random.default_rng(seed)
    averages = np.nanmean(responses, axis=2).T
    features = averages @ random.normal(size=(averages.shape[1], n_features))
    features += random.normal(size=features.shape)
    coords = {
        "stimulus_id": ("presentation", list(ids)),
        "object_name": ("presentation", objects or ["none"] * len(ids)),
        "neuroid_id": ("neuroid", np.arange(n_features)),
        "layer": ("neuroid", ["last"] * n_features),
    }
    assembly = NeuroidAssembly(features, coords=coords, dims=["presentation", "neuroid"])
    return PrecomputedFeatures(assembly, visual_degrees=8)


def by_hand(responses, ids, objects, metric):
    """Write the benchmark as Brain-Score's authors would."""
    n_neuroids, n_stimuli, n_repetitions = responses.shape
    assembly = NeuroidAssembly(
        responses.transpose(2, 1, 0).reshape(-1, n_neuroids)[:, :, np.newaxis],  # repetition by repetition
        coords={
            "stimulus_id": ("presentation", np.tile(ids, n_repetitions)),
            "object_name": ("presentation", np.tile(objects, n_repetitions)),
            "repetition": ("presentation", np.repeat(np.arange(n_repetitions), n_stimuli)),
            "neuroid_id": ("neuroid", [str(index) for index in range(n_neuroids)]),
            "region": ("neuroid", ["V4"] * n_neuroids),
            "time_bin_start": ("time_bin", [70]),
            "time_bin_end": ("time_bin", [170]),
        },
        dims=["presentation", "neuroid", "time_bin"],
    ).squeeze("time_bin")
    stimuli = StimulusSet({"stimulus_id": ids, "object_name": objects})
    stimuli.identifier = "by-hand"
    assembly.attrs["stimulus_set"] = stimuli
    return NeuralBenchmark(
        identifier="by-hand.V4",
        version=1,
        assembly=average_repetition(assembly),
        similarity_metric=metric,
        visual_degrees=8,
        number_of_trials=1,
        ceiling_func=lambda: load_ceiling("internal_consistency")(assembly),
        parent="V4",
    )


@pytest.fixture
def labelled(lab_folder, names):
    lines = [f"{name},{label}" for name, label in zip(names, OBJECTS, strict=True)]
    (lab_folder / "stimuli.csv").write_text("file,object_name\n" + "\n".join(lines))
    return lab_folder


def _ridge_cv(strata):
    return CrossRegressedCorrelation(
        ridge_cv_regression(), pearsonr_correlation(), crossvalidation_kwargs={"stratification_coord": strata}
    )


@pytest.mark.parametrize("strata", [None, "object_name"])
@pytest.mark.parametrize(
    ("metric", "judge"),
    [
        ("pls", lambda strata: load_metric("pls", crossvalidation_kwargs={"stratification_coord": strata})),
        ("ridge_cv", _ridge_cv),
    ],
)
def test_scores_equal_a_hand_written_benchmark(metric, judge, strata, labelled, write_toml, responses, names):
    recordings = read_recordings(write_toml(labelled, strata=strata))
    ((load_id, build),) = benchmarks(recordings, metric).items()
    candidate = candidate_for(responses, names, OBJECTS)
    ours, theirs = build()(candidate), by_hand(responses, names, OBJECTS, judge(strata))(candidate)
    assert load_id == build().load_id == f"recordings.my_session.V4-{metric}"
    assert float(ours) == pytest.approx(float(theirs), abs=1e-6)
    assert float(ours.raw) == pytest.approx(float(theirs.raw), abs=1e-6)
    assert float(ours.raw.attrs["error"]) == pytest.approx(float(theirs.raw.attrs["error"]), abs=1e-6)
    assert float(ours.ceiling) == pytest.approx(float(theirs.ceiling), abs=1e-6)
    assert 0.1 < float(ours.raw) < 1  # not equal because both are empty


@pytest.mark.parametrize(("metric", "judge"), [("cka", "cka"), ("rdm", "rdm")])
def test_similarity_of_geometries_is_brain_scores_and_unceiled(metric, judge, labelled, responses, names):
    recordings = read_recordings(labelled)
    (build,) = benchmarks(recordings, metric).values()
    benchmark, candidate = build(), candidate_for(responses, names, OBJECTS)
    score = benchmark(candidate)
    target = by_hand(responses, names, OBJECTS, None)._assembly
    expected = load_metric(judge)(candidate.features, target)
    assert float(score) == pytest.approx(float(expected), abs=1e-6)
    assert benchmark.unceiled and score.attrs["ceiling"] is None


def test_without_repetitions_the_score_is_the_raw_correlation(lab_folder, responses, names):
    np.save(lab_folder / "responses.npy", responses[:, :, 0])
    recordings = read_recordings(lab_folder)
    (build,) = benchmarks(recordings).values()
    candidate = candidate_for(responses[:, :, :1], names)
    score, benchmark = build()(candidate), build()
    metric = load_metric("pls", crossvalidation_kwargs={"stratification_coord": None})
    expected = by_hand(responses[:, :, :1], names, OBJECTS, metric)
    assert float(score) == pytest.approx(float(metric(candidate.features, expected._assembly)), abs=1e-6)
    assert benchmark.unceiled and score.attrs["ceiling"] is None
    assert float(score.raw) == float(score) and float(score.attrs["error"]) == float(score.raw.attrs["error"])


def test_features_of_other_stimuli_score_about_zero(lab_folder, names):
    random = np.random.default_rng(5)
    responses = random.normal(size=(30, 40, 1)) + 0.3 * random.normal(size=(30, 40, 5))
    np.save(lab_folder / "responses.npy", responses)
    (build,) = benchmarks(read_recordings(lab_folder), "ridge_cv").values()
    shuffled = responses[:, random.permutation(40)]
    assert abs(float(build()(candidate_for(shuffled, names)).raw)) < 0.3
    assert float(build()(candidate_for(responses, names)).raw) > 0.7


def test_each_area_is_a_benchmark(lab_folder, write_toml):
    (lab_folder / "neuroids.csv").write_text("area\nV4\nIT\nV4\nIT\nIT\nV4")
    suite = recordings_suite(read_recordings(write_toml(lab_folder, area=None, name="two")))
    assert suite.leaves == {"recordings.two.V4-pls": "V4", "recordings.two.IT-pls": "IT"}
    assert suite.loaders["recordings.two.IT-pls"]().region == "IT"
    assert suite.data and not suite.simulated


@pytest.mark.filterwarnings("ignore:Pandas doesn't allow columns:UserWarning")  # Brain-Score's place_on_screen
def test_stimuli_are_placed_on_the_models_field_of_view(lab_folder, responses, names, write_toml):
    (build,) = benchmarks(read_recordings(write_toml(lab_folder, visual_degrees=4))).values()
    candidate = candidate_for(responses, names)
    seen = []
    look_at = candidate.look_at
    candidate.look_at = lambda stimuli, number_of_trials: seen.append(stimuli) or look_at(stimuli)
    build()(candidate)
    assert (seen[0]["degrees"] == 8).all()


def test_an_unknown_metric_is_answered_with_the_known_ones(lab_folder):
    with pytest.raises(UserError, match="unknown metric 'plss'. Did you mean pls"):
        benchmarks(read_recordings(lab_folder), "plss")


@pytest.mark.parametrize(("kept", "metric", "message"), [(28, "pls", "needs 29"), (19, "ridge_cv", "needs 20")])
def test_too_few_stimuli_for_a_metric_are_refused(kept, metric, message, lab_folder, write_toml, names):
    recordings = read_recordings(write_toml(lab_folder, exclude_stimuli=names[kept:]))
    with pytest.raises(FolderError, match=message) as caught:
        benchmarks(recordings, metric)
    assert "cka" in caught.value.finding.remedy


def test_29_stimuli_are_enough_for_25_components(lab_folder, write_toml, names, responses):
    (build,) = benchmarks(read_recordings(write_toml(lab_folder, exclude_stimuli=names[29:]))).values()
    assert np.isfinite(float(build()(candidate_for(responses[:, :29], names[:29]))))


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["a"] * 39 + ["b"], "'b' has a single stimulus"), ([f"o{i % 5}" for i in range(40)], "5 strata do not fit")],
)
def test_strata_that_cannot_be_balanced_are_refused(labels, message, lab_folder, write_toml, names):
    lines = [f"{name},{label}" for name, label in zip(names, labels, strict=True)]
    (lab_folder / "stimuli.csv").write_text("file,kind\n" + "\n".join(lines))
    with pytest.raises(FolderError, match=message):
        benchmarks(read_recordings(write_toml(lab_folder, strata="kind")))
