"""Responses to new images from a kept mapping: scikit-learn's own, in a new process, from new images alone."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest
from PIL import ExifTags, Image
from sklearn.cross_decomposition import PLSRegression

from brainscore_submission.cli import app
from brainscore_submission.engine.gram import gram
from brainscore_submission.engine.images import Request, read_stimuli
from brainscore_submission.engine.pls import fit
from brainscore_submission.models.opening import open_model
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.prediction import kept_or_fitted, predict_responses
from brainscore_submission.scoring.score import ScoreOptions, score_suite
from brainscore_submission.scoring.sidecar import Sidecar
from brainscore_submission.scoring.suites import load, single_benchmarks

ROOT = Path(__file__).parents[2]
BENCHMARK = "demo.V4-pls"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (192, 192, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def cache(demo_cache, monkeypatch):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    return demo_cache


def by_scikit_learn(images, layer="V4"):
    """Features straight from a recorder without a cache, the benchmark's responses, and scikit-learn's regression."""
    model = open_model("demo:ground_truth")
    assembly = load(BENCHMARK, single_benchmarks([BENCHMARK]))._assembly.transpose("presentation", "neuroid")
    assembly = assembly[:, np.argsort(assembly["neuroid_id"].values)]
    shown = read_stimuli([assembly.stimulus_set.get_stimulus(one) for one in assembly["stimulus_id"].values])
    new = read_stimuli(sorted(images.iterdir()))
    requests = [Request(tuple(stimuli), features=frozenset([layer])) for stimuli in (shown, new)]
    recording = model.recorder(None).record(requests)
    regression = PLSRegression(25, scale=False).fit(recording.features(layer, shown).astype(float), assembly.values)
    return regression.predict(recording.features(layer, new).astype(float)), assembly["neuroid_id"].values.astype(str)


@pytest.fixture
def predict(cache, tmp_path, monkeypatch, in_this_process):
    monkeypatch.chdir(tmp_path)
    return partial(in_this_process, app, "predict")


def predict_apart(*words, cache, folder):
    command = [sys.executable, "-c", "from brainscore_submission.cli import main; main()", "predict", *map(str, words)]
    environment = os.environ | {"BRAINSCORE_SUBMISSION_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def test_predictions_are_scikit_learns_from_what_is_kept_in_a_new_process(images, cache, tmp_path):
    words = ["--model", "demo:ground_truth", "--benchmark", BENCHMARK, "--images", images]
    first = predict_apart(*words, "-o", "first.csv", cache=cache, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    again = predict_apart(*words, "-o", "again.nc", "--json", cache=cache, folder=tmp_path)
    assert "fitting" in first.stderr and ": 4 of 4" in first.stderr
    assert "fitting" not in again.stderr and "recording" not in again.stderr
    facts = json.loads(again.stdout)
    assert (facts["images"], facts["marks"], facts["layer"]) == (4, "SIMULATED", "V4")

    expected, neuroid_id = by_scikit_learn(images)
    with netCDF4.Dataset(tmp_path / "again.nc") as found:
        np.testing.assert_allclose(found["prediction"][:], expected, rtol=0, atol=1e-8)
        assert list(found["neuroid"][:]) == list(neuroid_id)
        assert [Path(name).name for name in found["image"][:]] == ["0.png", "1.png", "2.png", "3.png"]
        assert np.std(expected) > 0.01
        r = np.asarray(found["r"][:])
    table = pd.read_csv(tmp_path / "first.csv").pivot(index="image", columns="neuroid", values="prediction")
    np.testing.assert_allclose(table[list(neuroid_id)].to_numpy(), expected, rtol=0, atol=1e-8)

    suite = single_benchmarks([BENCHMARK])
    (record,) = score_suite(open_model("demo:ground_truth"), suite, ScoreOptions(results=tmp_path / "results"))
    sidecar = Sidecar.load(record.path(tmp_path / "results").with_suffix(".npz"))
    np.testing.assert_allclose(r, sidecar.r.mean(axis=0))  # as evaluate scores each neuroid


@pytest.mark.parametrize(("n_stimuli", "n_features", "n_neuroids"), [(60, 500, 8), (60, 500, 90), (40, 200, 1)])
def test_a_fit_as_coefficients_of_the_stimuli_predicts_what_scikit_learn_predicts(n_stimuli, n_features, n_neuroids):
    generator = np.random.default_rng(n_neuroids)
    latent = generator.standard_normal((n_stimuli + 20, 12))
    x = np.tanh(latent @ generator.standard_normal((12, n_features))) + 0.3 * generator.standard_normal(
        (n_stimuli + 20, n_features)
    )
    y = latent @ generator.standard_normal((12, n_neuroids)) + generator.standard_normal((n_stimuli + 20, n_neuroids))
    train, new = slice(0, n_stimuli), slice(n_stimuli, None)
    coefficients, loadings = fit(gram(x[train]), y[train])
    centred = x[train] - x[train].mean(axis=0)
    found = (x[new] - x[train].mean(axis=0)) @ centred.T @ coefficients @ loadings.T + y[train].mean(axis=0)
    expected = PLSRegression(25, scale=False).fit(x[train], y[train]).predict(x[new]).reshape(20, -1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_a_damaged_mapping_is_fitted_again(images, cache, caplog):
    model, suite = open_model("demo:ground_truth"), single_benchmarks([BENCHMARK])
    options = ScoreOptions(cache=cache)
    first = kept_or_fitted(model, suite, BENCHMARK, options)
    (path,) = (path for path in (cache / "mappings").iterdir() if path.stat().st_size > 100)
    path.write_bytes(path.read_bytes()[:2000])
    again = kept_or_fitted(model, suite, BENCHMARK, options)
    assert "is damaged" in caplog.text and "computing it again" in caplog.text
    files = sorted(images.iterdir())
    one, other = (predict_responses(model, "V4", mapping, files, options) for mapping in (first, again))
    np.testing.assert_allclose(one, other)


def test_images_shown_larger_are_other_images(images, cache):
    model, suite, options = open_model("demo:ground_truth"), single_benchmarks([BENCHMARK]), ScoreOptions(cache=cache)
    mapping = kept_or_fitted(model, suite, BENCHMARK, options)
    usual, half = (
        predict_responses(model, "V4", mapping, sorted(images.iterdir()), options, degrees)
        for degrees in (None, model.card.visual_degrees / 2)
    )
    assert np.abs(usual - half).max() > 1e-3


def _folder_with(tmp_path, name, save):
    folder = tmp_path / "shown"
    for place in (folder / "a" / "1.png", folder / "b" / name):
        place.parent.mkdir(parents=True)
    Image.new("RGB", (20, 20), "red").save(folder / "a" / "1.png")
    save(folder / "b" / name)
    return folder


def deep(path):
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(path)


def turned(path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (20, 20)).save(path, exif=exif)


@pytest.mark.parametrize(
    ("name", "save", "message"),
    [
        ("2.png", deep, "b/2.png: mode I;16 is not 8 bits a channel"),
        ("2.gif", Image.new("P", (20, 20)).save, "1 file beside the images cannot be read as image: b/2.gif"),
        ("1.png", Image.new("RGB", (20, 20)).save, "two images share the file name 1.png: a/1.png and b/1.png"),
        ("2.jpg", turned, "EXIF data turn it"),
    ],
)
def test_images_that_would_be_shown_otherwise_are_refused_before_any_work(predict, tmp_path, name, save, message):
    folder = _folder_with(tmp_path, name, save)
    code, _, err = predict("--model", "991", "--benchmark", BENCHMARK, "--images", folder, "-o", "x.csv")
    assert code == 1 and message in err and len(err.splitlines()) <= 3


@pytest.mark.filterwarnings("ignore:`cumproduct` is deprecated:DeprecationWarning")  # xarray, where it makes a table
def test_images_that_are_converted_and_files_beside_them_are_named(predict, tmp_path):
    folder = _folder_with(tmp_path, "2.jpg", Image.new("CMYK", (20, 20)).save)
    (folder / "notes.txt").write_text("")
    words = ["--model", "demo:ground_truth", "--benchmark", BENCHMARK, "--images", folder, "-o", "x.csv"]
    code, out, err = predict(*words)
    assert code == 0 and "2 images x" in out
    assert "not read: notes.txt" in err and "1 image of other colours than RGB: b/2.jpg" in err


def test_what_has_no_mapping_or_no_images_is_said(predict, tmp_path):
    model = open_model("demo:ground_truth")
    with pytest.raises(UserError, match="has no PLS from a layer to neuroids"):
        kept_or_fitted(model, single_benchmarks(["demo.behavior-i2n"]), "demo.behavior-i2n", ScoreOptions())
    for place, message in ((tmp_path, "holds no images"), (tmp_path / "absent", "there is no such folder")):
        code, _, err = predict("--model", "991", "--benchmark", BENCHMARK, "--images", place, "-o", "x.csv")
        assert code == 1 and message in err
    code, _, err = predict("--model", "991", "--benchmark", "x", "--images", ".", "-o", "x.mat")
    assert code == 1 and "written as .nc (netCDF) or .csv" in err
