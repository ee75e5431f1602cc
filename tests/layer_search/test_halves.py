"""Choosing among layers that are equal by construction, from features to the table: what is left of the luck."""

import numpy as np
import pytest
from sklearn.model_selection import ShuffleSplit

from brainscore_submission.layer_search.halves import halves_of
from brainscore_submission.layer_search.selection import AreaScores, nested_scores, tied_with_best
from brainscore_submission.scoring.sidecar import Sidecar
from brainscore_submission.scoring.uncertainty import raw_resamples

N_IMAGES, N_FEATURES, N_NEUROIDS, N_LAYERS, N_LATENT = 150, 200, 40, 20, 12
SPLITS = list(ShuffleSplit(10, train_size=0.9, random_state=1).split(np.zeros(N_IMAGES)))


def dataset(seed, planted=0.0):
    """Layers see the latent causes of the responses, each through weights and noise of its own; one may see better."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(N_IMAGES, N_LATENT))
    responses = latent @ rng.normal(size=(N_LATENT, N_NEUROIDS)) / np.sqrt(N_LATENT)
    responses += 1.6 * rng.normal(size=responses.shape)
    layers = []
    for layer in range(N_LAYERS):
        features = latent @ rng.normal(size=(N_LATENT, N_FEATURES)) / np.sqrt(N_LATENT)
        features += 1.5 * (1 - planted * (layer == 7)) * rng.normal(size=features.shape)
        layers.append(sidecar(features, responses))
    return layers


def sidecar(features, responses, penalty=60.0):
    """Held-out predictions of ridge regression, from its closed form."""
    predictions = []
    for train, test in SPLITS:
        mean_x, mean_y = features[train].mean(0), responses[train].mean(0)
        x, y = features[train] - mean_x, responses[train] - mean_y
        dual = np.linalg.solve(x @ x.T + penalty * np.eye(len(train)), y)
        predictions.append((features[test] - mean_x) @ x.T @ dual + mean_y)
    r = [
        [np.corrcoef(p[:, n], responses[test][:, n])[0, 1] for n in range(N_NEUROIDS)]
        for p, (_, test) in zip(predictions, SPLITS, strict=True)
    ]
    return Sidecar(
        r=np.array(r),
        neuroid_id=np.array([f"n{n}" for n in range(N_NEUROIDS)]),
        stimulus_id=np.array([f"s{i:03d}" for i in range(N_IMAGES)]),
        test_index=np.stack([test for _, test in SPLITS]),
        prediction=np.stack(predictions),
        target=responses,
    )


def area_scores(layers):
    r = np.stack([layer.r for layer in layers])
    signed = np.median(r, axis=2).mean(axis=1)
    return AreaScores(
        area="V4",
        layers=tuple(f"layer{number}" for number in range(len(layers))),
        signed=signed,
        r=(r,),
        halves=(np.stack([halves_of(layer) for layer in layers]),),
        resamples=(np.stack([raw_resamples(layer, n_resamples=200) for layer in layers]),),
        to_score=(lambda values: values,),
        average=lambda values: values[0],
        error=np.zeros(len(layers)),
        z=signed,
        position=np.arange(len(layers)),
    )


def test_halves_are_those_of_images_and_neuroids_whatever_their_order():
    one = dataset(0)[0]
    order, neuroids = np.random.default_rng(1).permutation(N_IMAGES), np.random.default_rng(2).permutation(N_NEUROIDS)
    place = np.argsort(order)
    other = Sidecar(
        r=one.r[:, neuroids],
        neuroid_id=one.neuroid_id[neuroids],
        stimulus_id=one.stimulus_id[order],
        test_index=place[one.test_index],
        prediction=one.prediction[:, :, neuroids],
        target=one.target[order][:, neuroids],
    )
    np.testing.assert_allclose(halves_of(other), halves_of(one), atol=1e-12)
    assert halves_of(one).shape == (10, 2, 10)


@pytest.mark.parametrize("n_sets", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_among_equal_layers_no_optimism_is_left_and_all_are_tied(n_sets):
    made = [area_scores(dataset(seed)) for seed in range(n_sets)]
    truth = np.mean([scores.signed.mean() for scores in made])
    best = np.array([scores.signed.max() for scores in made]) - truth
    nested = np.array([nested_scores([scores])["V4"] for scores in made]) - truth
    tied = np.array([tied_with_best(scores) for scores in made])
    error = nested.std(ddof=1) / np.sqrt(n_sets)
    assert best.mean() > 0.02
    assert abs(nested.mean()) < 0.1 * best.mean() + 2 * error * (n_sets < 100)
    assert tied.mean() > (0.93 if n_sets > 100 else 0.85)


@pytest.mark.parametrize("n_sets", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_a_planted_better_layer_is_chosen_and_few_others_are_tied_with_it(n_sets):
    made = [area_scores(dataset(seed, planted=0.6)) for seed in range(n_sets)]
    assert np.mean([np.argmax(scores.signed) == 7 for scores in made]) > 0.95
    assert np.mean([tied_with_best(scores).mean() for scores in made]) < 0.3
    gaps = [scores.signed.max() - nested_scores([scores])["V4"] for scores in made]
    assert abs(np.mean(gaps)) < 0.02


def test_where_halves_have_no_three_images_half_of_the_splits_stands_for_them():
    """20 images, 2 of them in a test set: a search over such recordings must not end in a traceback."""
    layers = dataset(0)
    few = [
        Sidecar(**{**vars(layer), "test_index": layer.test_index[:, :2], "prediction": layer.prediction[:, :2]})
        for layer in layers
    ]
    assert halves_of(few[0]) is None
    scores = area_scores(layers)
    bare = AreaScores(**{**vars(scores), "halves": (None,)})
    assert nested_scores([bare])["V4"] < scores.signed.max()


def test_a_layer_that_always_wins_keeps_its_score():
    scores = area_scores(dataset(0, planted=1.0))
    assert nested_scores([scores])["V4"] == pytest.approx(scores.signed.max(), abs=1e-12)
