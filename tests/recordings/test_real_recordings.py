"""Real recordings, read from ../shared/data through the same door."""

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision import load_metric
from brainscore_vision.benchmark_helpers import PrecomputedFeatures
from brainscore_vision.metrics.internal_consistency.ceiling import InternalConsistency
from PIL import Image

from brainscore_submission.models.opening import open_model
from brainscore_submission.recordings import benchmarks, check, read_recordings, recordings_suite
from brainscore_submission.recordings.assembly import assembly, stimulus_set
from brainscore_submission.scoring.score import ScoreOptions, score_suite

pytestmark = pytest.mark.real_data


def test_v4_session_is_read_whole(v4_session):
    recordings = read_recordings(v4_session)
    assert recordings.responses.shape == (50, 640, 10)
    present = (~np.isnan(recordings.responses)).sum(axis=2)
    assert (present.min(), present.max()) == (6, 10)
    assert assembly(recordings, "V4").shape == (present[0].sum(), 50)
    assert len(stimulus_set(recordings).stimulus_paths) == 640


def test_v4_session_ceiling_is_that_of_its_readme(v4_session):
    report = check(v4_session)
    assert report.ok
    assert report.ceilings["V4"] == pytest.approx(0.763, abs=0.02)
    assert report.neuroids["reliability"].median() == pytest.approx(0.763, abs=0.02)


def test_v4_session_scores_equal_brain_scores_own_metric(v4_session):
    recordings = read_recordings(v4_session)
    (build,) = benchmarks(recordings).values()
    pixels = _pixels(recordings)
    score = _score(build(), pixels)
    target = assembly(recordings, "V4", average=True)
    expected = load_metric("pls", crossvalidation_kwargs={"stratification_coord": None})(pixels, target)
    assert float(score.raw) == pytest.approx(float(expected), abs=1e-6)
    assert float(score) == pytest.approx(float(expected) ** 2 / float(score.ceiling), abs=1e-6)
    assert 0.1 < float(score.raw) < 0.5


@pytest.mark.filterwarnings("ignore:Pandas doesn't allow columns:UserWarning")
def test_v4_session_scores_a_network_and_both_engines_agree(v4_session, tmp_path):
    model = open_model("timm:test_resnet", weights="untrained", layers={"V4": "layer4"}, areas=["V4"], device="cpu")
    suite = recordings_suite(read_recordings(v4_session))
    ours, theirs = (
        score_suite(model, suite, ScoreOptions(engine=engine, results=tmp_path / engine))[0]
        for engine in ("gram", "brainscore")
    )
    assert ours.measured.ceiling == theirs.measured.ceiling == pytest.approx(0.763, abs=0.02)
    assert ours.measured.raw == pytest.approx(theirs.measured.raw, abs=1e-6)
    assert ours.score == pytest.approx(theirs.score, abs=1e-6)
    assert ours.marks == ("UNTRAINED",)


def test_v4_session_random_features_predict_nothing(v4_session):
    recordings = read_recordings(v4_session)
    (build,) = benchmarks(recordings).values()
    random = np.random.default_rng(0).normal(size=(640, 100))
    assert abs(float(_score(build(), _features(recordings, random)).raw)) < 0.05


def _score(benchmark, features):
    # In the stimuli's own field of view, so that nothing is placed on a screen.
    return benchmark(PrecomputedFeatures(features, visual_degrees=benchmark._visual_degrees))


def _pixels(recordings):
    rows = []
    for image in recordings.images:
        with Image.open(image.path) as opened:
            rows.append(np.asarray(opened.convert("L").resize((16, 16)), dtype=float).ravel() / 255)
    return _features(recordings, np.array(rows))


def _features(recordings, values):
    coords = {
        "stimulus_id": ("presentation", list(recordings.stimuli["stimulus_id"])),
        "stimulus_file_name": ("presentation", list(recordings.stimuli["image"])),
        "neuroid_id": ("neuroid", np.arange(values.shape[1])),
        "layer": ("neuroid", ["pixels"] * values.shape[1]),
    }
    return NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid"])


def test_majaj_hong_of_2019_is_read_as_it_is(majaj_hong):
    recordings = read_recordings(majaj_hong)
    areas = recordings.neuroids["area"].value_counts().to_dict()
    assert areas == {"IT": 168, "V4": 128}
    assert recordings.responses.shape == (296, 25, 28) and not np.isnan(recordings.responses).any()
    assert recordings.time_window_ms == (70, 170)
    assert set(recordings.stimuli["object_name"]) >= {"ship2", "airplane2"}
    assert all(image.name == f"{name}.png" for image, name in _pairs(recordings))


def _pairs(recordings):
    return zip(recordings.images, recordings.stimuli["stimulus_id"], strict=True)


@pytest.mark.parametrize(("area", "known"), [("IT", 0.735), ("V4", 0.613)])
def test_majaj_hong_reliability_is_that_of_its_readme(area, known, majaj_hong):
    neuroids = check(majaj_hong).neuroids
    assert neuroids.loc[neuroids["area"] == area, "reliability"].median() == pytest.approx(known, abs=0.02)


@pytest.mark.parametrize("area", ["IT", "V4"])
def test_majaj_hong_ceiling_is_brain_scores(area, majaj_hong):
    recordings = read_recordings(majaj_hong)
    benchmark = benchmarks(recordings, "ridge_cv")[f"recordings.majaj_hong.{area}-ridge_cv"]()
    assert float(benchmark.ceiling) == pytest.approx(float(InternalConsistency()(assembly(recordings, area))), abs=1e-9)


def test_majaj_hong_as_a_table_keeps_areas_and_animals_apart(majaj_hong, write_toml, tmp_path):
    expected = read_recordings(majaj_hong)
    rows = []
    for index, neuroid in enumerate(expected.neuroids.itertuples()):
        number = str(index % 60)  # numbered anew in each area and animal
        for stimulus, responses in zip(expected.stimuli["stimulus_id"], expected.responses[index], strict=True):
            rows += [f"{number},{neuroid.area},{neuroid.subject}.{index // 60},{stimulus},{one!r}" for one in responses]
    folder = tmp_path / "table"
    folder.mkdir()
    (folder / "responses.csv").write_text("\n".join(["channel,region,animal,image,response", *rows]))
    stimuli = str(expected.images[0].path.parent)
    found = read_recordings(write_toml(folder, area=None, stimuli=stimuli))
    assert found.neuroids["area"].value_counts().to_dict() == {"IT": 168, "V4": 128}
    order = found.stimuli.set_index("stimulus_id").index.get_indexer(expected.stimuli["stimulus_id"])
    np.testing.assert_array_equal(found.responses[:, order], expected.responses)


def test_v4_session_with_names_in_any_order_is_the_same_session(v4_session, write_toml, tmp_path):
    expected = read_recordings(v4_session)
    order = np.random.default_rng(0).permutation(640)
    names = [image.name for image in expected.images]
    folder = tmp_path / "shuffled"
    folder.mkdir()
    values, shuffled = expected.responses[:, order], np.array([names[index] for index in order])
    np.savez(folder / "responses.npz", responses=values, image_names=shuffled)
    stimuli = str(expected.manifest.stimuli)
    found = read_recordings(write_toml(folder, stimuli=stimuli, time_window_ms=[50, 150]))
    by_name = found.stimuli.set_index("image").index.get_indexer(names)
    np.testing.assert_array_equal(found.responses[:, by_name], expected.responses)
