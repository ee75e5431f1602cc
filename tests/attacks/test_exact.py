"""Linear networks, whose answers are known exactly: one step, and the distance to the boundary."""

import pytest
import torch
from torch import nn

from brainscore_submission.attacks.apgd import apgd
from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.attacks.linsley2023 import linsley2023
from brainscore_submission.attacks.minimal import minimal_l2
from brainscore_submission.attacks.pgd import fgsm, pgd
from brainscore_submission.attacks.threats import Threat


def linear(n_classes, dtype=torch.float64, seed=0, mean=0.0, std=1.0, scale=1.0):
    """Weights of shape (classes, 64) from the standard normal; the network sees (pixels - mean) / std."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, n_classes)).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        weight.data = scale * torch.randn(weight.shape, generator=generator, dtype=dtype)
    return Classifier(network.eval(), mean, std, dtype=dtype)


def images(n=200, dtype=torch.float64, seed=1):
    """Far enough from 0 and 1 that the range of pixels is in nobody's way."""
    return 0.2 + 0.6 * torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def margins(classifier, pixels, labels):
    """Label's logit minus each other one's: (n, classes), infinite for the label itself."""
    with torch.no_grad():
        logits = classifier(pixels)
    gaps = logits.gather(1, labels[:, None]) - logits
    return gaps.scatter(1, labels[:, None], torch.inf)


def weight_gaps(classifier, labels, order):
    """Norms of w_label - w_other in pixels: (n, classes)."""
    weights = classifier.network[1].weight.detach() / classifier.std
    return torch.linalg.vector_norm(weights[labels][:, None] - weights[None], ord=order, dim=2)


@pytest.mark.parametrize(("norm", "order"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("loss", ["ce", "difference"])
def test_one_step_takes_eps_times_the_dual_norm_from_the_margin(norm, order, loss):
    classifier, pixels = linear(2, mean=0.4, std=0.3), images()
    labels = torch.arange(200) % 2
    attack = pgd(
        classifier, pixels, labels, Threat(norm, 0.01), steps=1, step=0.01, start="image", loss=loss, keep="last"
    )
    rows, other = torch.arange(200), 1 - labels
    expected = margins(classifier, pixels, labels) - 0.01 * weight_gaps(classifier, labels, order)
    found = margins(classifier, attack.adversarial, labels)
    torch.testing.assert_close(found[rows, other], expected[rows, other], rtol=0, atol=1e-11)


@pytest.mark.parametrize(("norm", "order"), [("linf", 1), ("l2", 2)])
def test_one_targeted_step_gives_the_target_eps_times_the_dual_norm(norm, order):
    classifier, pixels = linear(2), images()
    labels = torch.zeros(200, dtype=torch.long)
    attack = fgsm(classifier, pixels, labels, Threat(norm, 0.01), targets=1)
    expected = margins(classifier, pixels, labels)[:, 1] - 0.01 * weight_gaps(classifier, labels, order)[:, 1]
    torch.testing.assert_close(margins(classifier, attack.adversarial, labels)[:, 1], expected, rtol=0, atol=1e-11)
    assert torch.equal(attack.found, expected < 0)


def test_one_step_in_float32_is_exact_to_rounding():
    classifier, pixels = linear(2, torch.float32), images(dtype=torch.float32)
    labels = torch.zeros(200, dtype=torch.long)
    for norm, order in (("linf", 1), ("l2", 2)):
        attack = fgsm(classifier, pixels, labels, Threat(norm, 8 / 255))
        expected = margins(classifier, pixels, labels) - 8 / 255 * weight_gaps(classifier, labels, order)
        got = margins(classifier, attack.adversarial, labels)[:, 1]
        torch.testing.assert_close(got, expected[:, 1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_smallest_perturbation_of_a_linear_network_is_its_distance(dtype):
    classifier, pixels = linear(10, dtype), images(dtype=dtype)
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    exact = (margins(classifier, pixels, labels) / weight_gaps(classifier, labels, 2)).nan_to_num(torch.inf).amin(1)
    attack = minimal_l2(classifier, pixels, labels)
    ratio = attack.size / exact
    assert bool(attack.found.all()) and bool((attack.passes == 182).all())
    assert float(ratio.quantile(0.99)) <= 1.001 and float(ratio.min()) >= 0.999


@pytest.mark.parametrize("seed", range(2, 6))
def test_the_nearest_class_is_found_among_a_hundred(seed):
    classifier, pixels = linear(100, seed=seed), images(seed=seed)
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    exact = (margins(classifier, pixels, labels) / weight_gaps(classifier, labels, 2)).nan_to_num(torch.inf).amin(1)
    ratio = minimal_l2(classifier, pixels, labels).size / exact
    assert float(ratio.quantile(0.99)) <= 1.001 and float(ratio.min()) >= 0.999


def test_ddn_alone_is_farther_and_the_search_of_2023_farther_still():
    classifier, pixels = linear(10), images()
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    exact = (margins(classifier, pixels, labels) / weight_gaps(classifier, labels, 2)).nan_to_num(torch.inf).amin(1)
    worst = {
        "both": (minimal_l2(classifier, pixels, labels).size / exact).max(),
        "ddn": (minimal_l2(classifier, pixels, labels, fmn_steps=0).size / exact).max(),
        "2023": (linsley2023(classifier, pixels, labels).size / exact).max(),
        "2023, as released": (linsley2023(classifier, pixels, labels, as_released=True).size / exact).max(),
    }
    assert worst["both"] < worst["ddn"] < worst["2023"] < worst["2023, as released"], worst


def test_the_search_of_2023_stops_at_its_tolerance():
    """Two classes: with more, its three steps of .5 chase whichever class is ahead."""
    classifier, pixels = linear(2), images()
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    exact = (margins(classifier, pixels, labels) / weight_gaps(classifier, labels, 2)).nan_to_num(torch.inf).amin(1)
    attack = linsley2023(classifier, pixels, labels)
    assert bool(attack.found.all()) and bool((attack.passes == 36).all())
    assert bool((attack.size >= exact * (1 - 1e-9)).all())
    assert 0.001 < float((attack.size - exact).median()) < 0.01


@pytest.mark.parametrize("attack", [fgsm, apgd])
@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_larger_logits_hide_nothing(attack, scale):
    """At 1e5 the network is sure by thousands of nats: the cross-entropy's gradient rounds to zero in float32."""
    classifier, pixels = linear(2, torch.float32, scale=scale), images(dtype=torch.float32)
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    threat = Threat("linf", 0.1)
    broken = margins(classifier, pixels, labels).amin(1) < 0.1 * weight_gaps(classifier, labels, 1).amax(1) * 0.999
    found = attack(classifier, pixels, labels, threat).found
    assert float(broken.float().mean()) > 0.5 and bool(found[broken].all())
