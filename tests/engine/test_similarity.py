"""Promises of similarity.py: Brain-Score's RDMs, CKA and odd-one-out choices from few features."""

import numpy as np
import pandas as pd
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision import load_metric
from brainscore_vision.metrics.rdm.metric import RDM
from brainscore_vision.model_helpers.brain_transformation.behavior import OddOneOut

from brainscore_submission.engine.gram import surrogate
from brainscore_submission.engine.similarity import products_surrogate, rdm_surrogate, uncentred_products

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


def test_rdm_of_some_of_the_stimuli():
    features = make_features()
    some = np.array([3, 17, 4, 28, 0])
    rows = np.append(some, [-2, -1])
    stand_in = rdm_surrogate(framed_gram(features)[np.ix_(rows, rows)])
    theirs, ours = (RDM()(make_assembly(values)).values for values in (features[some], stand_in))
    assert np.abs(ours - theirs).max() < 1e-9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_brainscores_rdm_of_the_surrogate_is_that_of_the_features(dtype, offset):
    features = make_features(offset=offset, dtype=dtype)
    features[5] = 2.0
    stand_in = rdm_surrogate(framed_gram(features))
    assert stand_in.shape == (N_STIMULI, 2 * N_STIMULI)
    with np.errstate(invalid="ignore", divide="ignore"):
        theirs, ours = (RDM()(make_assembly(values)).values for values in (features, stand_in))
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.nanmax(np.abs(ours - theirs)) < 1e-9


@pytest.mark.parametrize("metric", ["cka", "cka_biased"])
@pytest.mark.parametrize("related", [True, False])
def test_brainscores_cka_of_the_surrogate_is_that_of_the_features(metric, related):
    features, other = make_features(), make_features(seed=5)
    other = make_assembly(features[:, :60] + other[:, :60] if related else other[:, :60])
    stand_in = surrogate(centred_gram(features))
    theirs, ours = (float(load_metric(metric)(make_assembly(values), other)) for values in (features, stand_in))
    assert ours == pytest.approx(theirs, abs=1e-9)


class Features:
    """An activations model in Brain-Score's sense whose activations are given."""

    def __init__(self, assembly):
        self._assembly = assembly

    def __call__(self, stimuli, layers, require_variance):
        row_of = {stimulus: row for row, stimulus in enumerate(self._assembly["stimulus_id"].values)}
        return self._assembly[[row_of[stimulus] for stimulus in stimuli["stimulus_id"]]]


@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_brainscore_makes_the_same_choices_from_the_surrogate_of_the_products(offset):
    features = make_features(n_features=448, offset=offset)
    rng = np.random.default_rng(3)
    ids = make_assembly(features)["stimulus_id"].values
    triplets = pd.DataFrame(
        {"stimulus_id": ids[[rng.choice(N_STIMULI, 3, replace=False) for _ in range(4000)]].ravel()}
    )
    of_features = OddOneOut("judge", Features(make_assembly(features)), layer="readout")
    small = make_assembly(products_surrogate(framed_gram(features)))
    of_surrogate = OddOneOut("judge", Features(small), layer="readout")
    theirs, ours = of_features.look_at(triplets).values, of_surrogate.look_at(triplets).values
    assert np.array_equal(theirs, ours) and len(set(ours.ravel())) > 3
