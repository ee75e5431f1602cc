"""Promises of similarity.py: Brain-Score's RDMs, CKA and odd-one-out choices from inner products alone."""

import doctest

import numpy as np
import pandas as pd
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision import load_metric
from brainscore_vision.metrics.cka.metric import linear_CKA, unbiased_linear_CKA
from brainscore_vision.metrics.rdm.metric import RDM, RDMSimilarity
from brainscore_vision.model_helpers.brain_transformation.behavior import OddOneOut

from brainscore_submission.engine import similarity as module
from brainscore_submission.engine.similarity import (
    cka,
    odd_one_out,
    rdm,
    rdm_similarity,
    rdm_surrogate,
    uncentred_products,
)
from brainscore_submission.plugin.errors import UserError

N_STIMULI = 30


def make_features(n_stimuli=N_STIMULI, n_features=500, offset=0.0, seed=0, dtype=np.float64):
    """Features whose mean stimulus outweighs the differences, around an offset common to all."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n_stimuli, 8)) @ rng.normal(size=(8, n_features))
    return (offset + 4 * rng.normal(size=n_features) + latent + rng.normal(size=latent.shape)).astype(dtype)


def make_assembly(features):
    """Stimuli not in the order of their ids."""
    ids = np.random.default_rng(1).permutation(len(features))
    return NeuroidAssembly(
        features,
        coords={
            "stimulus_id": ("presentation", [f"s{i:03d}" for i in ids]),
            "object_name": ("presentation", ["x"] * len(ids)),
            "neuroid_id": ("neuroid", np.arange(features.shape[1])),
            "region": ("neuroid", ["IT"] * features.shape[1]),
        },
        dims=["presentation", "neuroid"],
    )


def centred_gram(features):
    centred = features.astype(float) - features.astype(float).mean(axis=0)
    return centred @ centred.T


def framed_gram(features):
    """With the two stimuli that have no image."""
    constants = np.stack([np.zeros(features.shape[1]), np.ones(features.shape[1])])
    return centred_gram(np.concatenate([features, constants]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_uncentred_products_come_back(dtype, offset):
    features = make_features(offset=offset, dtype=dtype).astype(float)
    products = uncentred_products(framed_gram(features))
    assert np.abs(products[:-1, :-1] / (features @ features.T) - 1).max() < 1e-13
    assert products[-1, :-1] == pytest.approx(features.sum(axis=1), rel=1e-9, abs=1e-9)
    assert products[-1, -1] == pytest.approx(features.shape[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_rdm_is_brainscores(dtype, offset):
    features = make_features(offset=offset, dtype=dtype)
    theirs = RDM()(make_assembly(features)).values
    ours = rdm(framed_gram(features))
    assert np.abs(ours - theirs).max() < 1e-9
    assert np.array_equal(ours, ours.T)
    assert not ours.diagonal().any()


def test_rdm_of_some_of_the_stimuli():
    features = make_features()
    some = np.array([3, 17, 4, 28, 0])
    rows = np.append(some, [-2, -1])
    ours = rdm(framed_gram(features)[np.ix_(rows, rows)])
    assert np.abs(ours - RDM()(make_assembly(features[some])).values).max() < 1e-9


def test_a_stimulus_whose_features_are_all_the_same_has_no_correlation():
    features = make_features()
    features[5] = 2.0
    with np.errstate(invalid="ignore", divide="ignore"):
        theirs = RDM()(make_assembly(features)).values
    ours = rdm(framed_gram(features))
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.isnan(ours[5]).all()


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_brainscores_rdm_of_the_surrogate_is_that_of_the_features(offset):
    features = make_features(offset=offset)
    features[5] = 2.0
    stand_in = rdm_surrogate(framed_gram(features))
    assert stand_in.shape == (N_STIMULI, 2 * N_STIMULI)
    with np.errstate(invalid="ignore", divide="ignore"):
        theirs, ours = (RDM()(make_assembly(values)).values for values in (features, stand_in))
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.nanmax(np.abs(ours - theirs)) < 1e-9


def test_similarity_of_rdms_is_brainscores():
    features, other = make_features(), make_features(seed=5)[:, :40]
    model, neural = make_assembly(features), make_assembly(other)
    ours = rdm_similarity(rdm(framed_gram(features)), rdm(framed_gram(other)))
    assert ours == pytest.approx(float(load_metric("rdm")(model, neural)), abs=1e-9)
    assert ours == pytest.approx(RDMSimilarity()(RDM()(model), RDM()(neural)), abs=1e-9)


@pytest.mark.parametrize("metric, unbiased", [("cka", True), ("cka_biased", False)])
@pytest.mark.parametrize("centring", ["centred", "uncentred"])
@pytest.mark.parametrize("related", [True, False])
def test_cka_is_brainscores(metric, unbiased, centring, related):
    features, other = make_features(), make_features(seed=5)
    other = features[:, :60] + other[:, :60] if related else other[:, :60]
    theirs = float(load_metric(metric)(make_assembly(features), make_assembly(other)))
    make = centred_gram if centring == "centred" else lambda x: x @ x.T
    assert cka(make(features), make(other), unbiased) == pytest.approx(theirs, abs=1e-9)


def test_cka_leaves_its_inputs_alone():
    gram = centred_gram(make_features())
    before = gram.copy()
    cka(gram, gram)
    assert np.array_equal(gram, before)


@pytest.mark.parametrize("n_features", [1, 2])
def test_cka_of_few_stimuli(n_features):
    x, y = make_features(4, n_features), make_features(4, n_features, seed=3)
    assert cka(x @ x.T, y @ y.T) == pytest.approx(unbiased_linear_CKA(x, y), abs=1e-9)
    assert cka(x @ x.T, y @ y.T, unbiased=False) == pytest.approx(linear_CKA(x, y), abs=1e-9)
    with pytest.raises(UserError, match="needs 4 stimuli or more, got 3"):
        cka(np.eye(3), np.eye(3))
    with pytest.raises(UserError, match="the same stimuli, got 4 and 5"):
        cka(np.eye(4), np.eye(5))


class Features:
    """An activations model in Brain-Score's sense whose activations are given."""

    def __init__(self, assembly):
        self._assembly = assembly

    def __call__(self, stimuli, layers, require_variance):
        row_of = {stimulus: row for row, stimulus in enumerate(self._assembly["stimulus_id"].values)}
        return self._assembly[[row_of[stimulus] for stimulus in stimuli["stimulus_id"]]]


@pytest.mark.parametrize("measure", ["dot", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_odd_one_out_choices_are_brainscores(measure, dtype):
    features = make_features(n_features=448, dtype=dtype)
    assembly = make_assembly(features)
    rng = np.random.default_rng(2)
    triplets = np.array([rng.choice(N_STIMULI, 3, replace=False) for _ in range(4000)])
    ids = assembly["stimulus_id"].values
    judge = OddOneOut("judge", Features(assembly), layer="readout")
    judge.set_similarity_measure(measure)
    theirs = judge.look_at(pd.DataFrame({"stimulus_id": ids[triplets.ravel()]})).values.ravel()
    products = uncentred_products(framed_gram(features))[:-1, :-1]
    choice, gap = odd_one_out(products, triplets, cosine=measure == "cosine")
    ours = ids[np.take_along_axis(triplets, choice[:, None], axis=1).ravel()]
    clear = gap > (1e-7 * np.sqrt(448) if dtype == np.float32 else 0)
    assert np.array_equal(ours[clear], theirs[clear])
    assert clear.mean() > 0.99
    assert len(set(choice)) == 3


def test_of_equally_similar_pairs_the_first_counts_as_in_brainscore():
    features = np.eye(4)  # all products 0
    assembly = make_assembly(features)
    judge = OddOneOut("judge", Features(assembly), layer="readout")
    theirs = judge.look_at(pd.DataFrame({"stimulus_id": assembly["stimulus_id"].values[:3]})).values.ravel()
    choice, gap = odd_one_out(features @ features.T, np.array([[0, 1, 2]]))
    assert assembly["stimulus_id"].values[choice[0]] == theirs[0]
    assert gap == [0]


def test_examples_in_the_docstrings():
    assert doctest.testmod(module).failed == 0
