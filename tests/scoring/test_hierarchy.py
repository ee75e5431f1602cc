"""The rho-hierarchy against scipy, the paper's printed values, and its edge cases."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from brainscore_submission.plugin.areas import AREAS, AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.hierarchy import rho_hierarchy, rho_of
from brainscore_submission.scoring.published import PUBLISHED, published_model

DEPTH = np.arange(1, 5)
score_lists = st.lists(st.sampled_from([-0.2, 0.1, 0.3, 0.5, 0.7]), min_size=4, max_size=4)


def named(values, areas=AREAS):
    return dict(zip(areas, values, strict=True))


@pytest.mark.parametrize("row", [row for row in PUBLISHED if row.printed_rho is not None])
def test_every_printed_rho_of_the_paper_is_recomputed_exactly(row):
    assert rho_hierarchy(row.scores).rho == row.printed_rho


@pytest.mark.parametrize(
    "description, rho",
    [("CrossViT-18†", 0.8), ("CrossViT-18† + Rotation", 0.8), ("CrossViT-18† + Adv", 0.8)]
    + [("AlexNet", -0.2), ("voneresnet-50-robust", -0.2), ("Pixels", -0.4)],
)
def test_rows_without_a_printed_rho_have_the_recomputed_one(description, rho):
    (row,) = (row for row in PUBLISHED if row.description == description)
    assert rho_hierarchy(row.scores).rho == rho


@pytest.mark.parametrize("competition_id, rho", [(1057, 0.9), (1095, 0.9), (1084, 0.2), (991, 0.9)])
def test_behaviour_as_a_fifth_level_is_an_option(competition_id, rho):
    row = published_model(competition_id)
    assert rho_hierarchy(row.scores, AREAS_AND_BEHAVIOR).rho == pytest.approx(rho, abs=1e-15)
    assert rho_hierarchy(row.scores).rho == 0.8


@pytest.mark.parametrize("order", list(itertools.permutations([0.1, 0.2, 0.3, 0.4])))
def test_exact_p_agrees_with_scipys_permutation_test(order):
    ours = rho_hierarchy(named(order))
    for alternative, p in [("two-sided", ours.p_two_sided), ("greater", ours.p_one_sided)]:
        assert p == pytest.approx(permutation_p(order, alternative))


@pytest.mark.parametrize("values", [[0.1, 0.1, 0.3, 0.4], [0.4, 0.1, 0.1, 0.1], [0.2, 0.1, 0.2, 0.1]])
def test_exact_p_agrees_with_scipy_where_scores_are_tied(values):
    ours = rho_hierarchy(named(values))
    assert ours.ties
    assert ours.p_two_sided == pytest.approx(permutation_p(values, "two-sided"))
    assert ours.p_one_sided == pytest.approx(permutation_p(values, "greater"))


def permutation_p(values, alternative):
    def statistic(scores):
        return stats.spearmanr(scores, DEPTH).statistic

    return stats.permutation_test(
        (np.array(values),), statistic, permutation_type="pairings", alternative=alternative
    ).pvalue


@pytest.mark.parametrize("rho, count", [(1.0, 2), (0.8, 8), (0.4, 18), (0.2, 22)])
def test_two_sided_p_is_the_known_share_of_the_24_orders(rho, count):
    order = next(o for o in itertools.permutations(DEPTH) if rho_of(np.array(o, float)) == rho)
    assert rho_hierarchy(named(order)).p_two_sided == pytest.approx(count / 24)


@given(score_lists)
def test_rho_and_tau_agree_with_scipy(values):
    ours = rho_hierarchy(named(values))
    if len(set(values)) == 1:
        assert (ours.rho, ours.tau, ours.p_two_sided) == (None, None, None)
        return
    assert ours.rho == pytest.approx(stats.spearmanr(values, DEPTH).statistic)
    assert ours.tau == pytest.approx(stats.kendalltau(values, DEPTH).statistic)
    assert ours.ties == (len(set(values)) < 4)


@given(score_lists, st.floats(0.01, 100), st.floats(-10, 10))
def test_rho_depends_on_the_order_of_the_scores_only(values, scale, shift):
    moved = [math.atan(scale * value) + shift for value in values]
    if len(set(moved)) == len(set(values)):
        assert rho_hierarchy(named(moved)).rho == rho_hierarchy(named(values)).rho


def test_all_equal_scores_have_no_rho_but_a_reason():
    hierarchy = rho_hierarchy(named([0.5] * 4))
    assert hierarchy.rho is None and "equal" in hierarchy.reason


@pytest.mark.parametrize("hole", [None, math.nan, math.inf])
def test_an_area_without_a_number_is_refused_by_name(hole):
    with pytest.raises(UserError, match="missing or not a number: V4"):
        rho_hierarchy({"V1": 0.1, "V2": 0.2, "V4": hole, "IT": 0.4})
    with pytest.raises(UserError, match="missing or not a number: V4, IT"):
        rho_hierarchy({"V1": 0.1, "V2": 0.2, "V4": hole})
