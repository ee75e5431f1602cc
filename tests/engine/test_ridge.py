"""Promises of ridge.py: Brain-Score's and scikit-learn's predictions and penalties, from inner products alone."""

import doctest

import numpy as np
import pytest
import torch
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision.benchmarks.gifford2022.benchmark import REDUCED_ALPHA_LIST
from brainscore_vision.benchmarks.laion_fmri.benchmark import LAION_ALPHA_LIST
from brainscore_vision.metrics.regression_correlation.metric import (
    ALPHA_LIST,
    CrossRegressedCorrelation,
    DualRidgeCVRegression,
    DualRidgeRegression,
    TrainTestSplitCorrelation,
    dual_ridge_cv_regression,
    pearsonr_correlation,
    ridge_cv_regression,
    ridge_regression,
)
from sklearn.linear_model import Ridge, RidgeCV

from brainscore_submission.engine import ridge as module
from brainscore_submission.engine.ridge import (
    TrainTestProducts,
    cross_validate,
    leave_one_out_errors,
    predict,
    ridge,
    ridge_cv,
    train_test_products,
)
from brainscore_submission.plugin.errors import UserError


def make_data(n_train=50, n_test=12, n_features=300, n_targets=7, noise=1.0, seed=0):
    """Features with a mean far from zero and correlated dimensions, targets that they predict in part."""
    rng = np.random.default_rng(seed)
    n = n_train + n_test
    features = 3 + rng.normal(size=(n, 20)) @ rng.normal(size=(20, n_features)) + 0.3 * rng.normal(size=(n, n_features))
    targets = features @ rng.normal(size=(n_features, n_targets)) / np.sqrt(n_features)
    targets = 5 + targets + noise * targets.std() * rng.normal(size=targets.shape)
    return features, targets, np.arange(n_train), np.arange(n_train, n)


def centred(features):
    features = features - features.mean(axis=0)
    return features @ features.T


JUDGES = {
    "Ridge": lambda alpha: Ridge(alpha=alpha),
    "DualRidgeRegression": lambda alpha: DualRidgeRegression(alpha=alpha),
}


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize("n_features", [300, 30])  # fewer than stimuli: the judges take another way
@pytest.mark.parametrize("alpha", [0.01, 1.0, 1e4])
def test_fixed_penalty(name, n_features, alpha):
    features, targets, train, test = make_data(n_features=n_features)
    judge = JUDGES[name](alpha)
    judge.fit(features[train], targets[train])
    train_gram, cross_gram = train_test_products(centred(features), train, test)
    prediction = predict(ridge(train_gram, targets[train], alpha), cross_gram)
    assert np.abs(prediction - judge.predict(features[test])).max() < 1e-8


ALPHAS = {"Brain-Score's list": ALPHA_LIST, "Gifford2022": REDUCED_ALPHA_LIST, "LAION": LAION_ALPHA_LIST}


@pytest.mark.parametrize("judge", [RidgeCV, DualRidgeCVRegression])
@pytest.mark.parametrize("alphas", ALPHAS)
@pytest.mark.parametrize("noise", [0.03, 1.0, 30.0])
def test_penalty_is_chosen_as_by_the_judge(judge, alphas, noise):
    features, targets, train, test = make_data(noise=noise)
    judge = judge(alphas=ALPHAS[alphas])
    judge.fit(features[train], targets[train])
    train_gram, cross_gram = train_test_products(centred(features), train, test)
    fit = ridge_cv(train_gram, targets[train], ALPHAS[alphas])
    assert fit.alpha == judge.alpha_
    assert np.abs(predict(fit, cross_gram) - judge.predict(features[test])).max() < 1e-8


@pytest.mark.parametrize("mode", ["eigen", "svd"])
@pytest.mark.parametrize("n_features", [20, 49, 300])
@pytest.mark.parametrize("n_targets", [1, 7, 90])  # more targets than stimuli are rotated
def test_leave_one_out_errors_are_scikit_learns(mode, n_features, n_targets):
    features, targets, train, test = make_data(n_features=n_features, n_targets=n_targets)
    alphas = [0.1, 1.0, 10.0, 1e3]
    judge = RidgeCV(alphas=alphas, gcv_mode=mode, store_cv_results=True).fit(features[train], targets[train])
    train_gram, cross_gram = train_test_products(centred(features), train, test)
    fit = ridge_cv(train_gram, targets[train], alphas)
    assert fit.errors == pytest.approx(judge.cv_results_.mean(axis=(0, 1)), rel=1e-9)
    assert fit.alpha == judge.alpha_
    assert np.abs(predict(fit, cross_gram) - judge.predict(features[test])).max() < 1e-8


def test_leave_one_out_error_is_the_error_at_a_stimulus_left_out():
    features, targets, train, _ = make_data(n_train=15)
    left_out = []
    for one in train:
        others = np.setdiff1d(train, one)
        judge = Ridge(alpha=2.0).fit(features[others], targets[others])
        left_out.append((judge.predict(features[[one]]) - targets[one]) ** 2)
    train_gram, _ = train_test_products(centred(features), train, [])
    spectrum = module.decompose(train_gram)
    (error,) = leave_one_out_errors(spectrum, targets[train], np.array([2.0]))
    assert error == pytest.approx(np.mean(left_out), rel=1e-9)


def test_stimuli_shown_twice_and_features_of_low_rank():
    features, targets, train, test = make_data(n_train=60)
    features[30:60] = features[:30]  # eigenvalues of 0 beside that of the constant vector
    train_gram, cross_gram = train_test_products(centred(features), train, test)
    for alphas in ([0.01, 1.0, 100.0], [1e4]):
        judge = RidgeCV(alphas=alphas).fit(features[train], targets[train])
        fit = ridge_cv(train_gram, targets[train], alphas)
        assert fit.alpha == judge.alpha_
        assert np.abs(predict(fit, cross_gram) - judge.predict(features[test])).max() < 1e-8


def test_of_equally_good_penalties_the_first_is_taken():
    features, targets, train, test = make_data()
    no_feature_varies = np.zeros((50, 50))
    assert ridge_cv(no_feature_varies, targets[train], [4.0, 1.0, 2.0]).alpha == 4.0
    judge = RidgeCV(alphas=[4.0, 1.0, 2.0]).fit(np.zeros_like(features[train]), targets[train])
    assert judge.alpha_ == 4.0


def test_a_penalty_below_the_rounding_errors_is_fitted_all_the_same():
    features, targets, train, test = make_data(n_features=20)
    train_gram, cross_gram = train_test_products(centred(features), train, test)
    fit = ridge(train_gram, targets[train], alpha=1e-14)
    judge = Ridge(alpha=1e-14, solver="svd").fit(features[train], targets[train])
    assert np.abs(predict(fit, cross_gram) - judge.predict(features[test])).max() < 1e-8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("n_targets", [7, 90])
def test_gpu_agrees_with_cpu(n_targets):
    features, targets, train, test = make_data(n_targets=n_targets)
    train_gram, cross_gram = train_test_products(centred(features), train, test)
    cpu = ridge_cv(train_gram, targets[train], ALPHA_LIST)
    gpu = ridge_cv(train_gram, targets[train], ALPHA_LIST, device="cuda")
    assert gpu.alpha == cpu.alpha
    assert np.abs(predict(gpu, cross_gram) - predict(cpu, cross_gram)).max() < 1e-9


@pytest.mark.parametrize("origin", ["none", "mean of all", "mean of the test stimuli"])
def test_products_around_any_origin_will_do(origin):
    features, _, train, test = make_data()
    shift = {"none": 0, "mean of all": features.mean(axis=0), "mean of the test stimuli": features[test].mean(axis=0)}
    shifted = features - shift[origin]
    train_gram, cross_gram = train_test_products(shifted @ shifted.T, train, test)
    around_train = features - features[train].mean(axis=0)
    assert np.allclose(train_gram, around_train[train] @ around_train[train].T, atol=1e-9)
    assert np.allclose(cross_gram, around_train[test] @ around_train[train].T, atol=1e-9)


KINDS = {
    "float32": lambda features: features.astype(np.float32),
    "float64": lambda features: features,
    "bfloat16 tensor": lambda features: torch.from_numpy(features).bfloat16(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_features_in_chunks_and_tiles_give_the_same_products(monkeypatch, kind):
    monkeypatch.setattr(module, "TILE", 16)
    features, _, train, test = make_data()
    features = KINDS[kind](features)
    products = TrainTestProducts(len(train), len(test))
    for start in range(0, features.shape[1], 64):
        products.add(features[train, start : start + 64], features[test, start : start + 64])
    train_gram, cross_gram = products.result()
    exact = torch.as_tensor(features).double().numpy()
    around_train = exact - exact[train].mean(axis=0)
    assert np.allclose(train_gram, around_train[train] @ around_train[train].T, rtol=1e-12, atol=1e-10)
    assert np.allclose(cross_gram, around_train[test] @ around_train[train].T, rtol=1e-12, atol=1e-10)
    assert np.array_equal(train_gram, train_gram.T)


def test_blocks_of_rows_and_the_large_decomposition_change_nothing(monkeypatch):
    features, targets, train, test = make_data()
    train_gram, _ = train_test_products(centred(features), train, test)
    whole = ridge_cv(train_gram, targets[train], ALPHA_LIST)
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 50 * 7)  # seven rows
    monkeypatch.setattr(module, "LARGE", 0)
    blocks = ridge_cv(train_gram, targets[train], ALPHA_LIST)
    assert blocks.alpha == whole.alpha
    assert np.allclose(blocks.weights, whole.weights, rtol=1e-9)
    assert np.allclose(blocks.errors, whole.errors, rtol=1e-10)


def test_subjects_share_a_decomposition():
    features, targets, train, test = make_data()
    train_gram, _ = train_test_products(centred(features), train, test)
    spectrum = module.decompose(train_gram)
    for subject in (targets[train, :3], targets[train, 3:]):
        shared, own = ridge_cv(spectrum, subject, ALPHA_LIST), ridge_cv(train_gram, subject, ALPHA_LIST)
        assert shared.alpha == own.alpha
        assert np.array_equal(shared.weights, own.weights)


def test_gram_matrix_is_kept_unless_it_may_be_overwritten():
    features, targets, train, test = make_data()
    train_gram, _ = train_test_products(centred(features), train, test)
    before = train_gram.copy()
    fit = ridge_cv(train_gram, targets[train], [1.0, 10.0])
    ridge(train_gram, targets[train])
    assert np.array_equal(train_gram, before)
    again = ridge_cv(train_gram, targets[train], [1.0, 10.0], overwrite=True)
    assert np.array_equal(again.weights, fit.weights)


def assembly(values, columns="neuroid_id"):
    ids = [f"s{i:03d}" for i in range(len(values))]
    return NeuroidAssembly(
        values,
        coords={
            "stimulus_id": ("presentation", ids),
            "object_name": ("presentation", ["x"] * len(ids)),
            "neuroid_id": ("neuroid", np.arange(values.shape[1])),
            "region": ("neuroid", ["IT"] * values.shape[1]),
        },
        dims=["presentation", "neuroid"],
    )


REGRESSIONS = {
    "ridge": (ridge_regression, 1.0),
    "ridge CV": (ridge_cv_regression, ALPHA_LIST),
    "dual ridge CV": (dual_ridge_cv_regression, ALPHA_LIST),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_brainscores_cross_validated_metric(name):
    make_regression, alphas = REGRESSIONS[name]
    features, targets, *_ = make_data()
    kwargs = {"stratification_coord": None, "splits": 3}
    judge = CrossRegressedCorrelation(make_regression(), pearsonr_correlation(), crossvalidation_kwargs=kwargs)
    raw = judge(assembly(features), assembly(targets)).raw.transpose("split", "neuroid").values
    _, splits = judge.cross_validation._split.build_splits(assembly(targets))
    predictions, chosen = cross_validate(centred(features), targets, splits, alphas)
    for split, (_, test) in enumerate(splits):
        r = [np.corrcoef(p, t)[0, 1] for p, t in zip(predictions[split].T, targets[test].T, strict=True)]
        assert np.abs(np.array(r) - raw[split]).max() < 1e-8
    assert chosen.shape == (3,)


def test_brainscores_train_test_metric():
    features, targets, train, test = make_data()
    judge = TrainTestSplitCorrelation(dual_ridge_cv_regression(), pearsonr_correlation())
    score = judge(
        source_train=assembly(features[train]),
        source_test=assembly(features[test]),
        target_train=assembly(targets[train]),
        target_test=assembly(targets[test]),
    )
    train_gram, cross_gram = train_test_products(centred(features), train, test)
    fit = ridge_cv(train_gram, targets[train], ALPHA_LIST)
    assert fit.alpha == score.raw.attrs["alpha"]
    r = [np.corrcoef(p, t)[0, 1] for p, t in zip(predict(fit, cross_gram).T, targets[test].T, strict=True)]
    assert np.median(r) == pytest.approx(float(score), abs=1e-10)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"targets": np.full((50, 7), np.nan)}, "NaN or infinity, first in target 0"),
        ({"targets": np.zeros((49, 7))}, r"expected K of shape \(n, n\)"),
        ({"train": np.full((50, 50), np.nan)}, "inner products hold NaN"),
        ({"alphas": [1.0, 0.0]}, "penalties must be above 0"),
    ],
)
def test_what_cannot_be_fitted_is_said(change, message):
    given = {
        "train": np.zeros((50, 50)),
        "targets": np.zeros((50, 7)),
        "alphas": [1.0, 2.0],
    }
    with pytest.raises(UserError, match=message):
        ridge_cv(**given | change)


def test_products_with_other_training_stimuli_are_refused():
    with pytest.raises(UserError, match=r"expected products of shape \(n_test, 4\), got \(2, 3\)"):
        predict(ridge(np.zeros((4, 4)), np.ones((4, 1))), np.zeros((2, 3)))


def test_chunks_of_other_sizes_are_refused():
    with pytest.raises(UserError, match="expected columns of shape"):
        TrainTestProducts(3, 2).add(np.zeros((3, 4)), np.zeros((2, 5)))


def test_examples_in_the_docstrings():
    assert doctest.testmod(module).failed == 0
