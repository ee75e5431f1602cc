"""Promises of sketch.py: seeded, right on average, with the error it states."""

import numpy as np
import pytest
import torch

from brainscore_submission.engine.gram import gram
from brainscore_submission.engine.sketch import Sketch


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    # Correlated neighbours and a few large features, as in a transformer.
    x = torch.randn((12, 5000), generator=generator).cumsum(dim=1) / 30
    x[:, ::97] *= 5
    return x - x.mean(dim=0)


def test_the_same_seed_gives_the_same_sketch(features):
    first, second, other = Sketch(64, 1), Sketch(64, 1), Sketch(64, 2)
    a, b, c = (sketch.projection(5000)(features) for sketch in (first, second, other))
    assert a.shape == (12, 64)
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert first == second != other


def test_minibatches_are_projected_alike(features):
    project = Sketch(64).projection(5000)
    parts = torch.cat([project(features[:5]), project(features[5:])])
    assert torch.allclose(parts, project(features), rtol=0, atol=1e-5)


def test_inner_products_are_right_on_average_with_the_stated_error(features):
    expected = gram(features)
    columns = 256
    sketched = np.stack([gram(Sketch(columns, seed).projection(5000)(features)) for seed in range(60)])
    lengths = np.sqrt(np.diagonal(expected))
    errors = (sketched - expected) / np.outer(lengths, lengths)
    assert np.abs(errors.mean(axis=0)).max() < 4 * np.sqrt(2) * Sketch(columns).relative_error / np.sqrt(60)
    off_diagonal = errors[:, ~np.eye(12, dtype=bool)]
    bound = np.sqrt((1 + (expected / np.outer(lengths, lengths)) ** 2) / columns)[~np.eye(12, dtype=bool)]
    assert np.sqrt((off_diagonal**2).mean(axis=0)).max() < 1.35 * bound.max()


def test_a_layer_no_larger_than_the_sketch_stays_as_it_is():
    assert Sketch(2048).projection(2048) is None
