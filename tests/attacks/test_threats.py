"""Threats as typed and as kept: radii, ranges, random starts."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainscore_submission.attacks.threats import NORMS, Threat, generators_of, parse_number, parse_threat
from brainscore_submission.plugin.errors import UserError


@pytest.mark.parametrize("text", ["linf:4/255", "l2:3.0", "linf:0.1", "l2:0.25", "linf:2/255"])
def test_a_threat_is_written_as_it_is_typed(text):
    assert str(parse_threat(text)) == text


def test_fractions_are_exact_and_case_does_not_matter():
    assert parse_threat(" LINF:4/255 ") == Threat("linf", 4 / 255)
    assert parse_number("1e-3/2") == 0.0005


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("linf:4", "Did you mean 4/255?"),
        ("linf:1", "Did you mean 1/255?"),
        ("lnf:4/255", "Did you mean linf?"),
        ("4/255", "write norm:radius"),
        ("linf:", "is no number"),
        ("linf:4/0", "is no number"),
        ("linf:four", "is no number"),
        ("linf:nan", "is no number"),
        ("l2:inf", "is no number"),
        ("l2:-1", "0 or more"),
        ("linf:__import__('os').getpid()", "is no number"),
        ("linf:4/255/2", "is no number"),
    ],
)
def test_what_is_no_threat_is_refused_with_the_way_out(text, answer):
    with pytest.raises(UserError) as error:
        parse_threat(text)
    assert answer in str(error.value) and "\n" not in str(error.value)


@settings(max_examples=150, deadline=None)
@given(
    norm=st.sampled_from(sorted(NORMS)),
    eps=st.floats(0, 0.999),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    shape=st.sampled_from([(0, 3, 4, 4), (1, 7), (5, 1, 8, 8), (2, 3, 16, 16)]),
    far=st.sampled_from([0.0, 1e-3, 1.0, 1e6]),
    saturated=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_a_projected_image_is_within_radius_and_range(norm, eps, dtype, shape, far, saturated, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(shape, generator=generator, dtype=dtype)
    pixels = pixels.round() if saturated else pixels
    threat = Threat(norm, eps)
    adversarial = threat.project(pixels + far * torch.randn(shape, generator=generator, dtype=dtype), pixels)
    size = NORMS[norm].size(adversarial.double() - pixels.double())
    assert bool((size <= eps * (1 + 1e-6)).all())
    assert adversarial.dtype == dtype and bool(((adversarial >= 0) & (adversarial <= 1)).all())


def test_projection_moves_nothing_that_is_inside_and_reaches_the_radius_from_outside():
    pixels = torch.full((2, 1, 4, 4), 0.5, dtype=torch.float64)
    for norm, full in (("linf", 0.1), ("l2", 0.1 / 4)):
        threat = Threat(norm, 0.1)
        inside = pixels + full * 0.9
        torch.testing.assert_close(threat.project(inside, pixels), inside, rtol=0, atol=1e-15)
        torch.testing.assert_close(threat.project(pixels + 0.3, pixels), pixels + full, rtol=0, atol=1e-14)


def test_random_starts_fill_the_ball_evenly():
    threat, pixels = Threat("l2", 2.0, low=-9, high=9), torch.zeros(4000, 3)
    radii = NORMS["l2"].size(threat.random_start(pixels, generators_of(0, range(4000)))) / 2
    # uniform in a ball of three dimensions: radius cubed is uniform in 0 … 1
    assert abs(float((radii**3).mean()) - 0.5) < 3 * math.sqrt(1 / 12 / 4000)
    threat = Threat("linf", 2.0, low=-9, high=9)
    values = threat.random_start(pixels, generators_of(0, range(4000)))
    assert abs(float(values.mean())) < 3 * 2 / math.sqrt(3 * 12000) and abs(float(values.abs().mean()) - 1) < 0.03


def test_noise_depends_on_seed_image_and_restart_alone():
    threat, pixels = Threat("linf", 0.1), torch.full((3, 1, 4, 4), 0.5)
    names = ["a.png", "b.png", "c.png"]
    together = threat.random_start(pixels, generators_of(7, names, restart=2))
    alone = threat.random_start(pixels[:1], generators_of(7, ["b.png"], restart=2))
    assert torch.equal(together[1], alone[0])
    others = [(8, "b.png", 2), (7, "c.png", 2), (7, "b.png", 1)]
    for seed, name, restart in others:
        assert not torch.equal(threat.random_start(pixels[:1], generators_of(seed, [name], restart)), alone)


def test_every_precision_starts_from_the_same_noise():
    threat, pixels = Threat("l2", 0.1), torch.full((1, 1, 4, 4), 0.5)
    single = threat.random_start(pixels, generators_of(0, [0]))
    double = threat.random_start(pixels.double(), generators_of(0, [0]))
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-6)


def test_a_tiny_gradient_keeps_its_direction_and_a_zero_gradient_has_none():
    gradient = torch.tensor([[3.0, 4.0], [3e-30, 4e-30], [0.0, 0.0]])
    expected = torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]])
    torch.testing.assert_close(NORMS["l2"].direction(gradient), expected)
    assert torch.equal(NORMS["linf"].direction(gradient), torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]))
