"""Kaplan-Meier against scipy's, and what it says of images that resisted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.tolerance import resisting, tolerance


def scipy_share(sizes, found):
    data = stats.CensoredData(uncensored=sizes[found], right=sizes[~found])
    return stats.ecdf(data).sf


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 60), ties=st.booleans(), resist=st.floats(0, 0.9))
def test_the_share_that_resists_is_scipys(seed, n, ties, resist):
    rng = np.random.default_rng(seed)
    sizes = rng.exponential(size=n)
    sizes = np.round(sizes, 1) if ties else sizes
    found = rng.random(n) >= resist
    at, share, _, _ = resisting(sizes, found)
    if found.any():
        np.testing.assert_allclose(share, scipy_share(sizes, found).evaluate(at), atol=1e-12)


def test_the_mean_is_the_area_under_scipys_curve():
    rng = np.random.default_rng(0)
    sizes, found = rng.exponential(size=300), rng.random(300) > 0.3
    limit = float(np.quantile(sizes, 0.8))
    grid = np.linspace(0, limit, 200_001)
    area = float(np.mean(scipy_share(sizes, found).evaluate((grid[1:] + grid[:-1]) / 2)) * limit)
    assert tolerance(sizes, found, limit).mean == pytest.approx(area, rel=1e-4)


def test_when_all_gave_way_it_is_the_plain_mean_and_its_plain_error():
    sizes = np.random.default_rng(1).exponential(size=500)
    result = tolerance(sizes, np.ones(500, bool), limit=100.0)
    assert result.mean == pytest.approx(sizes.mean()) and result.n_resisted == 0
    assert result.error == pytest.approx(sizes.std() / np.sqrt(500))
    assert result.median == pytest.approx(np.median(sizes), rel=0.01)


def test_images_that_resist_raise_the_mean_instead_of_leaving_it():
    sizes = np.random.default_rng(2).exponential(size=2000)
    limit = 1.0
    found = sizes < limit
    seen = np.minimum(sizes, limit)
    result = tolerance(seen, found, limit)
    expected = 1 - np.exp(-1)  # of the exponential distribution, restricted to 1
    assert result.mean == pytest.approx(expected, abs=3 * result.error)
    assert seen[found].mean() < expected - 10 * result.error  # what dropping them would give
    assert result.n_resisted == int((~found).sum()) and result.median == pytest.approx(np.log(2), abs=0.05)


def test_the_error_is_the_spread_over_samples():
    rng = np.random.default_rng(3)
    results = []
    for _ in range(400):
        sizes, cut = rng.exponential(size=100), rng.exponential(scale=2.0, size=100)
        results.append(tolerance(np.minimum(sizes, cut), sizes <= cut, limit=0.8))
    spread = np.std([result.mean for result in results])
    assert np.mean([result.error for result in results]) == pytest.approx(spread, rel=0.15)


def test_all_resisting_images_have_the_limit_as_mean_and_no_median():
    result = tolerance([5.0, 5.0], [False, False], limit=5.0)
    assert result.mean == 5.0 and np.isnan(result.median) and result.n_resisted == 2


@pytest.mark.parametrize(
    ("sizes", "found", "limit", "match"),
    [
        ([1.0, float("nan")], [True, False], 5.0, "give the largest size searched"),
        ([1.0, 2.0], [True, False], 5.0, "searched up to 2, not to the limit of 5"),
        ([1.0, 2.0], [True], 5.0, "one of each"),
        ([], [], 5.0, "one of each"),
        ([1.0], [True], float("inf"), "a limit of inf is not possible"),
    ],
)
def test_what_has_no_answer_is_refused(sizes, found, limit, match):
    with pytest.raises(UserError, match=match):
        tolerance(sizes, found, limit)
