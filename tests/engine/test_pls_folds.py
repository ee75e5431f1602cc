import numpy as np
import pytest
import torch
from sklearn.cross_decomposition._pls import _get_first_singular_vectors_power_method

from brainscore_submission.engine.pls_folds import DOUBLING, STRIDE, power_iteration


def problem(seed, n_targets=6):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(40, 100)), rng.normal(size=(40, n_targets))
    covariance = torch.from_numpy(y.T @ x @ x.T @ y)
    start = torch.zeros(n_targets, dtype=torch.float64)
    start[0] = 1
    return x, y, covariance, start


@pytest.mark.filterwarnings("ignore:Maximum number of iterations reached")
@pytest.mark.parametrize("doubling", [0, 1, DOUBLING])
@pytest.mark.parametrize("max_iter", [1, 2, 3, STRIDE, STRIDE + 1, STRIDE + 2, 2 * STRIDE + 1, 62, 63, 64, 500])
def test_one_power_iteration_ends_where_scikit_learns_ends(max_iter, doubling):
    for seed in range(5):
        x, y, covariance, start = problem(seed)
        weights, _, expected = _get_first_singular_vectors_power_method(x, y, max_iter=max_iter)
        direction, n_iterations = power_iteration(covariance[None], start[None], 1e-6, max_iter, doubling)
        assert n_iterations.tolist() == [expected]
        ours = x.T @ y @ direction[0].numpy()
        np.testing.assert_allclose(ours / np.linalg.norm(ours), weights, atol=1e-12)


@pytest.mark.parametrize("doubling", [0, DOUBLING])
def test_problems_together_end_where_each_ends_alone(doubling):
    _, _, covariances, starts = zip(*(problem(seed) for seed in range(6)), strict=True)
    covariances, starts = torch.stack(covariances), torch.stack(starts)
    starts[2] = 0  # a fold that is done
    covariances[4] = 0  # and one of which nothing is left
    starts[4] = 0
    together, n_together = power_iteration(covariances, starts, 1e-6, 500, doubling)
    for index in (0, 1, 3, 5):
        one = slice(index, index + 1)
        alone, n_alone = power_iteration(covariances[one], starts[one], 1e-6, 500)
        torch.testing.assert_close(together[one], alone)
        assert n_together[index] == n_alone[0]
    assert len(set(n_together.tolist())) > 2
    assert not together[[2, 4]].any()


def test_powers_of_many_targets_stay_within_the_range_of_numbers():
    covariance = torch.eye(900, dtype=torch.float64)[None] * 1e-9  # nothing dominates: the smallest share of each
    covariance[0, 0, 0] *= 1.02
    start = torch.ones(1, 900, dtype=torch.float64)
    expected, n_expected = power_iteration(covariance, start, 1e-12, 500)
    direction, n_iterations = power_iteration(covariance, start, 1e-12, 500, DOUBLING)
    assert 62 < n_iterations == n_expected
    torch.testing.assert_close(direction, expected)
