"""Promises of selection.py and confirmation.py: the best is named, and not believed more than it deserves."""

import numpy as np
import pytest

from brainscore_submission.layer_search.confirmation import to_confirm
from brainscore_submission.layer_search.selection import AreaScores, choose_layers, nested_scores, tied_with_best

CEILING = 0.8


def nested_score(scores):
    return nested_scores([scores])[scores.area]


def area_scores(r, area="V4", spread=0.05, positions=None, halves=None, resamples=None):
    """One benchmark: r of shape (n_layers, n_splits, n_neuroids)."""
    raw = np.median(r, axis=2).mean(axis=1)
    to_score = lambda values: np.sign(values) * values**2 / CEILING  # noqa: E731
    return AreaScores(
        area=area,
        layers=tuple(f"layer{i}" for i in (positions if positions is not None else range(len(r)))),
        signed=to_score(raw),
        r=(r,),
        halves=(halves,),
        resamples=(resamples,),
        to_score=(to_score,),
        average=lambda values: values[0],
        error=np.full(len(r), 0.01),
        z=raw / spread,
        position=np.arange(len(r)) if positions is None else np.asarray(positions),
    )


def noisy(means, seed=0, noise=0.1, n_splits=10, n_neuroids=40):
    """Layers of given mean r; neuroids differ, in the same way for all layers, and splits are noisy."""
    generator = np.random.default_rng(seed)
    neuroids = generator.normal(0, 0.1, n_neuroids)
    return np.array(means)[:, None, None] + neuroids + generator.normal(0, noise, (len(means), n_splits, n_neuroids))


def test_the_best_layer_is_chosen_and_the_rule_named():
    choice = choose_layers([area_scores(noisy([0.2, 0.7, 0.4]))])["V4"]
    assert (choice.layer, choice.best, choice.n_layers) == ("layer1", "layer1", 3)
    assert choice.rule == "the layer with the highest signed score"
    assert choice.chosen_score == choice.best_score == pytest.approx(0.49 / CEILING, abs=0.1)


def test_a_strongly_negative_layer_never_wins():
    assert choose_layers([area_scores(noisy([-0.9, 0.3, 0.1]))])["V4"].layer == "layer1"


def test_the_nested_score_takes_off_what_choosing_among_equals_adds():
    """200 layers that are all alike: the best one's score is luck, and the nested one is not."""
    best, nested = [], []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        scores = area_scores(0.5 + generator.normal(0, 0.1, (200, 10, 1)).repeat(3, axis=2))
        best.append(scores.signed.max())
        nested.append(nested_score(scores))
    truth = 0.25 / CEILING
    assert min(best) > truth + 0.05
    assert np.mean(nested) == pytest.approx(truth, abs=0.02)


def on_halves(means, seed, noise=0.05):
    """Layers of given mean r: a whole, and halves whose noise is twice its variance, independent of each other."""
    generator = np.random.default_rng(seed)
    means = np.array(means)[:, None, None, None]
    halves = means + generator.normal(0, noise * 2**0.5, (len(means), 1, 2, 1))
    r = halves.mean(axis=(1, 2))[:, :, None].repeat(10, axis=1)
    return area_scores(r, halves=halves)


def test_on_halves_nothing_is_left_of_what_choosing_among_equals_adds():
    made = [on_halves([0.5] * 20, seed) for seed in range(300)]
    best, nested = np.mean([[scores.signed.max(), nested_score(scores)] for scores in made], axis=0)
    truth = np.mean([scores.signed.mean() for scores in made])
    assert best > truth + 0.08
    assert abs(nested - truth) < 0.1 * (best - truth)


def test_the_nested_value_follows_the_rule_that_chose():
    """In order, V1 gets layer 0, whose score it is; the best alone would be layer 3."""
    v1, it = (on_halves(means, 1, noise=1e-4) for means in ([0.5, 0.1, 0.1, 0.6], [0.1, 0.6, 0.1, 0.1]))
    v1, it = (AreaScores(**{**vars(one), "area": area}) for one, area in ((v1, "V1"), (it, "IT")))
    tied = {"V1": np.array([True, False, False, True]), "IT": np.array([False, True, False, False])}
    free, ordered = nested_scores([v1, it]), nested_scores([v1, it], tied)
    assert (free["V1"], ordered["V1"]) == pytest.approx((0.36 / CEILING, 0.25 / CEILING), abs=0.002)
    assert ordered["IT"] == pytest.approx(free["IT"])


def test_with_one_clear_winner_nested_and_best_agree():
    scores = area_scores(noisy([0.1, 0.7, 0.3], noise=0.01))
    assert nested_score(scores) == pytest.approx(scores.signed.max(), abs=0.01)


def test_equal_layers_are_tied_and_clearly_worse_ones_are_not():
    tied = np.mean([tied_with_best(area_scores(noisy([0.6, 0.6, 0.3], seed)), 300) for seed in range(30)], axis=0)
    assert tied[:2].min() > 0.85 and tied[2] == 0


def test_what_neuroids_share_cancels_in_the_comparison():
    """A difference that is small beside the spread over neuroids, but the same in every neuroid, is no tie."""
    generator = np.random.default_rng(0)
    shared = generator.normal(0.5, 0.3, (1, 10, 40))
    assert tied_with_best(area_scores(np.concatenate([shared, shared - 0.02]))).tolist() == [True, False]


def test_without_neuroids_ties_follow_the_errors_over_splits():
    scores = area_scores(noisy([0.5, 0.51, 0.2]))
    bare = AreaScores(
        **{
            **vars(scores),
            "r": (None,),
            "halves": (None,),
            "error": np.full(3, 0.03),
            "signed": np.array([0.5, 0.51, 0.2]),
        }
    )
    assert tied_with_best(bare).tolist() == [True, True, False]
    choice = choose_layers([bare])["V4"]
    assert choice.nested_score is None and "errors over splits" in choice.tied_over


def test_ordered_takes_tied_layers_in_the_order_of_the_areas():
    v1 = area_scores(noisy([0.3, 0.6, 0.3, 0.6], seed=1), "V1")  # layers 1 and 3 are tied, 3 a little better
    v4 = area_scores(noisy([0.3, 0.3, 0.7, 0.3]), "V4")
    free = choose_layers([v1, v4])
    ordered = choose_layers([v1, v4], ordered=True)
    assert (free["V1"].layer, free["V4"].layer) == ("layer3", "layer2")
    assert (ordered["V1"].layer, ordered["V4"].layer) == ("layer1", "layer2")
    assert ordered["V1"].best == "layer3" and "order V1, V2, V4, IT" in ordered["V1"].rule


def test_where_no_order_exists_the_best_stay_and_the_rule_says_so():
    v1 = area_scores(noisy([0.1, 0.1, 0.9]), "V1")
    it = area_scores(noisy([0.9, 0.1, 0.1]), "IT")
    choices = choose_layers([v1, it], ordered=True)
    assert (choices["V1"].layer, choices["IT"].layer) == ("layer2", "layer0")
    assert "no tied layers come in the order" in choices["V1"].rule


def test_order_is_that_of_the_network_where_areas_were_searched_over_different_layers():
    v1 = area_scores(noisy([0.6, 0.605]), "V1", positions=[2, 9])
    it = area_scores(noisy([0.1, 0.8]), "IT", positions=[0, 5])
    assert choose_layers([v1, it], ordered=True)["V1"].layer == "layer2"


def test_chance_is_counted_for_all_layers_that_were_tried():
    lucky = choose_layers([area_scores(noisy([0.0] * 199 + [0.15], noise=0.01), spread=0.06)])["V4"]
    assert lucky.chance_p > 0.05
    assert choose_layers([area_scores(noisy([0.0, 0.15], noise=0.01), spread=0.06)])["V4"].chance_p < 0.05


def test_the_winner_is_confirmed_exactly_however_far_the_sketch_was_off():
    """The sketch puts the best layer 12th; its error is large, so confirmation goes on until it is found."""
    generator = np.random.default_rng(3)
    truth = {f"layer{i}": 0.5 - 0.01 * i for i in range(40)}
    sketched = {layer: score + generator.normal(0, 0.05) for layer, score in truth.items()}
    sketched["layer0"] = sorted(sketched.values())[-12]
    exact: dict[str, float] = {}
    while wanted := to_confirm(sketched, exact, top=5):
        exact |= {layer: truth[layer] for layer in wanted}
    assert max(exact, key=exact.get) == "layer0"
    assert len(exact) < len(truth)


def test_an_interrupted_confirmation_ends_with_the_same_layers():
    generator = np.random.default_rng(5)
    truth = {f"layer{i}": float(score) for i, score in enumerate(generator.uniform(0, 0.5, 40))}
    sketched = {layer: score + generator.normal(0, 0.04) for layer, score in truth.items()}

    def confirmed(at_once: int) -> set[str]:
        exact: dict[str, float] = {}
        while wanted := to_confirm(sketched, exact, top=5):
            exact |= {layer: truth[layer] for layer in wanted[:at_once]}
        return set(exact)

    assert 7 < len(confirmed(len(truth))) < len(truth)
    assert confirmed(1) == confirmed(3) == confirmed(len(truth))
