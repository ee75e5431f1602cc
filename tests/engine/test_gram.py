import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from brainscore_submission.engine import gram as gram_module
from brainscore_submission.engine.gram import (
    GramAccumulator,
    NonFiniteActivations,
    centre,
    gram,
    surrogate,
)
from brainscore_submission.plugin.errors import UserError


def features_with_a_large_mean(n_stimuli, n_features, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n_stimuli, n_features)) + 10 * rng.normal(size=n_features)).astype(dtype)


def reference(features):
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    return centred @ centred.T


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    n_stimuli=st.integers(2, 30),
    n_features=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    block_columns=st.integers(1, 20),
    seed=st.integers(0, 100),
)
def test_any_chunks_in_any_blocks_give_numpys_gram_matrix(n_stimuli, n_features, cuts, block_columns, seed):
    features = features_with_a_large_mean(n_stimuli, n_features, np.float64, seed)
    accumulator = GramAccumulator(n_stimuli)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gram_module, "BLOCK_COLUMNS", block_columns)
        for chunk in np.split(features, sorted(min(cut, n_features) for cut in cuts), axis=1):
            accumulator.add(chunk)
    np.testing.assert_allclose(accumulator.result(), reference(features), atol=1e-11)
    assert accumulator.n_features == n_features


@pytest.mark.parametrize("convert", [np.asarray, np.asfortranarray, torch.from_numpy, lambda x: x[:, ::-1]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layout_and_container_do_not_matter(convert, dtype):
    features = features_with_a_large_mean(20, 300, dtype)
    np.testing.assert_allclose(gram(convert(features)), reference(features), rtol=1e-12, atol=1e-9)


def test_a_slice_of_columns_of_a_tensor_is_a_chunk():
    features = torch.from_numpy(features_with_a_large_mean(20, 300))
    accumulator = GramAccumulator(20)
    for columns in features.split(70, dim=1):
        accumulator.add(columns)
    np.testing.assert_allclose(accumulator.result(), reference(features.numpy()), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_taken_as_they_are(dtype):
    features = torch.from_numpy(features_with_a_large_mean(20, 300)).to(dtype)
    np.testing.assert_allclose(gram(features), reference(features.double().numpy()), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_threads_change_nothing_and_are_given_back(n_threads, monkeypatch):
    monkeypatch.setattr(gram_module, "BLOCK_COLUMNS", 30)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    features = features_with_a_large_mean(20, 1000)
    before = threadpool_info()
    first, second = gram(features), gram(features)
    assert threadpool_info() == before
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, reference(features), atol=1e-9)


def test_products_are_float64_unless_told_otherwise():
    features = features_with_a_large_mean(300, 3000)
    exact = reference(features)
    scale = exact.diagonal().mean()
    assert abs(gram(features) - exact).max() / scale < 1e-13
    assert 1e-10 < abs(gram(features, "float32") - exact).max() / scale < 1e-6


def test_features_are_left_as_they_were():
    features = features_with_a_large_mean(10, 50)
    before = features.copy()
    gram(features)
    np.testing.assert_array_equal(features, before)


def test_the_matrix_is_symmetric_to_the_last_bit_and_centred():
    matrix = gram(features_with_a_large_mean(300, 1000))
    np.testing.assert_array_equal(matrix, matrix.T)
    assert abs(matrix.sum(axis=0)).max() < 1e-10 * matrix.trace()


def test_constant_features_add_exactly_nothing():
    features = np.tile(np.float32([0.1, 1234.567, -3e5]), (300, 20))
    assert not gram(features).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
def test_nonfinite_activations_name_their_first_stimulus(value, convert):
    features = features_with_a_large_mean(10, 50)
    features[[7, 4], [20, 30]] = value
    with pytest.raises(NonFiniteActivations, match="stimulus 4 ") as caught:
        gram(convert(features))
    assert caught.value.stimulus == 4
    assert isinstance(caught.value, UserError)
    with pytest.raises(NonFiniteActivations, match="stimulus 4 "):
        centre(features @ features.T)


def test_infinities_of_both_signs_are_found():
    features = features_with_a_large_mean(10, 50)
    features[[3, 6], 9] = np.inf, -np.inf
    with pytest.raises(NonFiniteActivations, match="stimulus 3 "):
        gram(features)


def test_a_product_that_overflows_is_found():
    features = features_with_a_large_mean(300, 50)
    features[3] = 1e30
    with pytest.raises(NonFiniteActivations):
        gram(features, "float32")


def test_wrong_shapes_and_low_precision_are_refused():
    with pytest.raises(UserError, match=r"expected columns of shape \(5, n\), got \(4, 3\)"):
        GramAccumulator(5).add(np.zeros((4, 3)))
    with pytest.raises(UserError, match="bfloat16"):
        GramAccumulator(5, dtype="bfloat16")


@pytest.mark.parametrize("rank", [3, 19, 40])
def test_the_surrogate_has_the_same_gram_matrix(rank):
    rng = np.random.default_rng(0)
    matrix = gram(rng.normal(size=(20, rank)) @ rng.normal(size=(rank, 500)))
    features = surrogate(matrix)
    assert features.shape == (20, 20)
    np.testing.assert_allclose(features @ features.T, matrix, atol=1e-12 * matrix.trace())
    assert features.any(axis=0).sum() == min(rank, 19)


def test_the_surrogate_ignores_small_negative_eigenvalues_and_keeps_what_tol_allows():
    matrix = np.diag([4.0, 1.0, 1e-6, -1e-16])
    assert np.isfinite(surrogate(matrix)).all()
    np.testing.assert_allclose(abs(surrogate(matrix)).max(axis=0), [2, 1, 1e-3, 0])
    np.testing.assert_allclose(abs(surrogate(matrix, tol=1e-3)).max(axis=0), [2, 1, 0, 0])


def test_no_features_vary_gives_an_empty_surrogate():
    assert not surrogate(np.zeros((4, 4))).any()


def test_the_engine_runs_where_brainscore_is_not_installed():
    code = (
        "import sys, brainscore_submission.engine.pls, brainscore_submission.engine.gram;"
        "print(sorted({'brainscore_vision', 'brainscore_core', 'xarray', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def on_a_device(monkeypatch):
    """Tensors of the CPU take the way of those of a GPU."""
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda self: False))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_stimuli", [2, 3, 9, 30])
def test_strips_of_a_triangle_give_numpys_gram_matrix(on_a_device, monkeypatch, n_stimuli, dtype):
    monkeypatch.setattr(gram_module, "BLOCK_COLUMNS", 11)
    features = features_with_a_large_mean(n_stimuli, 60)
    accumulator = GramAccumulator(n_stimuli, dtype)
    for columns in torch.from_numpy(features).split(25, dim=1):
        accumulator.add(columns)
    matrix = accumulator.result()
    np.testing.assert_allclose(matrix, reference(features), atol=1e-11 if dtype == "float64" else 1e-3)
    np.testing.assert_array_equal(matrix, matrix.T)


def test_nonfinite_activations_on_a_device_are_found_when_the_matrix_is_wanted(on_a_device):
    features = torch.from_numpy(features_with_a_large_mean(300, 50))
    overflowing = features * 1e30
    features[[7, 4], [20, 30]] = torch.inf
    with pytest.raises(NonFiniteActivations, match="stimulus 4 "):
        gram(features)
    with pytest.raises(NonFiniteActivations):
        gram(overflowing, "float32")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_and_cpu_give_the_same_matrix():
    features = features_with_a_large_mean(300, 5000)
    on_gpu = gram(torch.from_numpy(features).cuda())
    np.testing.assert_allclose(on_gpu, gram(features, "float64"), atol=1e-11 * on_gpu.trace())
    features[4, 30] = np.nan
    with pytest.raises(NonFiniteActivations, match="stimulus 4 "):
        gram(torch.from_numpy(features).cuda())
