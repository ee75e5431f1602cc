"""Promise of gram_ridge.py: the scores of Brain-Score's ridge metrics on features, from a Gram matrix."""

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision import load_metric
from brainscore_vision.benchmarks.igustibagus2024.domain_transfer_neural import _preprocess_indices
from brainscore_vision.metrics.regression_correlation.metric import (
    ALPHA_LIST,
    CrossRegressedCorrelation,
    dual_ridge_cv_regression,
    pearsonr_correlation,
    ridge_cv_regression,
    ridge_regression,
)

from brainscore_submission.engine import ridge
from brainscore_submission.scoring import gram_ridge
from brainscore_submission.scoring.gram_ridge import covers, with_gram_ridge
from brainscore_submission.scoring.recorded_model import Products

N_STIMULI, N_FEATURES, N_NEUROIDS = 60, 400, 6


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(N_STIMULI, 15)) @ rng.normal(size=(15, N_FEATURES))
    return 2 + latent + 0.5 * rng.normal(size=(N_STIMULI, N_FEATURES))


def ids_of(stimuli):
    order = np.random.default_rng(3).permutation(N_STIMULI)
    return [f"s{order[i]:02d}" for i in stimuli]


def source(values, stimuli, **neuroid_coords):
    return NeuroidAssembly(
        values[stimuli],
        coords={
            "stimulus_id": ("presentation", ids_of(stimuli)),
            "object_name": ("presentation", [f"object{i % 3}" for i in stimuli]),
            "background_id": ("presentation", [i % 5 for i in stimuli]),
            "gram_row": ("presentation", stimuli),
            "neuroid_num": ("neuroid", np.arange(values.shape[1])),
            "neuroid_id": ("neuroid", [f"m{i}" for i in range(values.shape[1])]),
            **{name: ("neuroid", coord) for name, coord in neuroid_coords.items()},
        },
        dims=["presentation", "neuroid"],
    )


def gram_source(products, stimuli):
    """Numbers of rows of the Gram matrix of all stimuli."""
    return source(np.arange(N_STIMULI)[:, None], stimuli, products=np.array([products]))


@pytest.fixture(scope="module")
def products(features):
    return products_of(features)


def products_of(features):
    centred = features - features.mean(axis=0)
    return Products(centred @ centred.T)


def target(features, stimuli, neuroids=slice(None)):
    rng = np.random.default_rng(1)
    signal = features @ rng.normal(size=(N_FEATURES, N_NEUROIDS)) / 20
    responses = signal + 0.7 * signal.std() * rng.normal(size=signal.shape)
    return NeuroidAssembly(
        responses[stimuli],
        coords={
            "stimulus_id": ("presentation", ids_of(stimuli)),
            "object_name": ("presentation", [f"object{i % 3}" for i in stimuli]),
            "neuroid_id": ("neuroid", [f"n{i}" for i in (3, 1, 4, 0, 2, 5)]),
            "region": ("neuroid", ["IT"] * N_NEUROIDS),
        },
        dims=["presentation", "neuroid"],
    )[:, neuroids]


def cross_validated(regression, **kwargs):
    kwargs = {"splits": 3, "stratification_coord": None} | kwargs
    return CrossRegressedCorrelation(regression, pearsonr_correlation(), crossvalidation_kwargs=kwargs)


CROSS_VALIDATED = {
    "ridge": lambda: cross_validated(ridge_regression()),
    "ridge, stratified": lambda: cross_validated(ridge_regression(), stratification_coord="object_name"),
    "ridge CV": lambda: cross_validated(ridge_cv_regression()),
    "Li2026": lambda: cross_validated(dual_ridge_cv_regression()),
    "Igustibagus2024": lambda: cross_validated(
        ridge_regression(), stratification_coord="object_name", preprocess_indices=_preprocess_indices
    ),
}
SPLIT = {
    "ridge": lambda: load_metric("ridge_split", alphas=ALPHA_LIST),  # Papale2025, Hebart2023_fmri, Gifford2022
    "ridge CV": lambda: load_metric("ridgecv_split", alphas=ALPHA_LIST),
    "dual ridge": lambda: load_metric("dual_ridge_split", alphas=ALPHA_LIST),  # Allen2022_fmri
    "dual ridge CV": lambda: load_metric("dual_ridgecv_split", alphas=ALPHA_LIST),  # LAION-fMRI
}


def assert_same(ours, theirs):
    assert float(ours) == pytest.approx(float(theirs), abs=1e-10)
    assert list(ours.raw["neuroid_id"].values) == list(theirs.raw["neuroid_id"].values)
    assert np.abs(ours.raw.transpose(*theirs.raw.dims).values - theirs.raw.values).max() < 1e-8


@pytest.mark.parametrize("name", CROSS_VALIDATED)
def test_cross_validated_metrics(features, products, name):
    everything = np.random.default_rng(2).permutation(N_STIMULI)
    metric = CROSS_VALIDATED[name]()
    assert covers(metric)
    theirs = metric(source(features, everything), target(features, everything))
    ours = with_gram_ridge(metric)(gram_source(products, everything), target(features, everything))
    assert_same(ours, theirs)
    assert float(ours.error) == pytest.approx(float(theirs.error), abs=1e-10)


@pytest.mark.parametrize("name", SPLIT)
def test_metrics_with_training_and_test_images(features, products, name):
    train, test = np.arange(0, 45), np.arange(45, N_STIMULI)
    metric = SPLIT[name]()
    assert covers(metric)
    fast = with_gram_ridge(metric)
    for subject in (slice(0, 4), slice(4, 6)):
        parts = {"target_train": target(features, train, subject), "target_test": target(features, test, subject)}
        theirs = metric(source_train=source(features, train), source_test=source(features, test), **parts)
        ours = fast(source_train=gram_source(products, train), source_test=gram_source(products, test), **parts)
        assert_same(ours, theirs)
        assert ours.raw.attrs.get("alpha") == theirs.raw.attrs.get("alpha")
        assert ("alpha" in theirs.raw.attrs) == name.endswith("CV")


def test_subjects_share_a_decomposition_and_layers_do_not(features, products, monkeypatch):
    calls = []
    monkeypatch.setattr(gram_ridge, "decompose", lambda *a, **k: calls.append(1) or ridge.decompose(*a, **k))
    train, test = np.arange(0, 45), np.arange(45, N_STIMULI)
    fast = with_gram_ridge(SPLIT["ridge CV"]())

    def score(products, subject):
        fast(
            source_train=gram_source(products, train),
            source_test=gram_source(products, test),
            target_train=target(features, train, subject),
            target_test=target(features, test, subject),
        )
        return len(calls)

    assert score(products, slice(0, 4)) == 1
    assert score(products, slice(4, 6)) == 1
    assert score(products_of(features**2), slice(4, 6)) == 2


def test_the_metric_itself_keeps_its_regression():
    metric = SPLIT["ridge"]()
    before = metric.regression._regression
    with_gram_ridge(metric)
    assert metric.regression._regression is before


@pytest.mark.parametrize(
    "metric",
    [
        load_metric("pls"),
        load_metric("reverse_pls_split"),
        cross_validated(ridge_regression({"positive": True})),
        cross_validated(ridge_regression({"fit_intercept": False})),
        cross_validated(ridge_regression({"alpha": 0.0})),
        cross_validated(ridge_cv_regression({"alpha_per_target": True})),
        cross_validated(ridge_cv_regression({"scoring": "r2"})),
        cross_validated(dual_ridge_cv_regression({"fit_intercept": False})),
        load_metric("rdm"),
    ],
)
def test_what_is_not_covered(metric):
    assert not covers(metric)
