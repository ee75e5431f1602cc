"""Attacks within a step and losses, against published formulations written out; and what they leave alone."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from brainscore_submission.plugin.card import find_card
from brainscore_submission.plugin.checkpoint import build_network
from brainscore_submission.training.cost import flops_per_image
from brainscore_submission.training.network import Opened
from brainscore_submission.training.objectives import Images, attacked, fgsm_images, loss_of
from brainscore_submission.training.recipes import Adversary, Objective, read_recipe, recipe_from

EPS, N = 8 / 255, 6


def with_batchnorm(dtype=torch.float32):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5)
        ).to(dtype)  # fmt: skip


@pytest.fixture(params=[torch.float32, torch.float64])
def made(request):
    """A network in train mode, images of which some pixels are saturated, labels."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(N, 3, 9, 9, generator=generator, dtype=request.param).mul(1.4).sub(0.2).clamp(0, 1)
    noise = torch.empty_like(pixels).uniform_(-1, 1, generator=generator)
    network = with_batchnorm(request.param)
    network(pixels)
    return network.train(), Images(pixels, noise), torch.randint(0, 5, (N,), generator=generator)


def recipe_of(kind, **adversary):
    facts = {"threat": "linf:8/255"} | adversary
    return recipe_from(
        {
            "name": "test", "about": "test", "epochs": 1, "batch": N, "model": {"name": "none"},
            "objective": {"kind": kind}, "learning_rate": {"peak": 1.0}, "adversary": facts,
        },
        "test",
    )  # fmt: skip


def released(network, images, labels, eps, alpha):
    """Fast adversarial training as Wong et al. (2020) released it: the whole backward pass, then delta's gradient."""
    delta = (eps * images.noise).requires_grad_(True)
    functional.cross_entropy(network((images.pixels + delta).clamp(0, 1)), labels).backward()
    delta.data = (delta.data + alpha * delta.grad.sign()).clamp(-eps, eps)
    return delta.detach()


def test_delta_is_that_of_the_two_backward_form_bit_for_bit(made):
    network, images, labels = made
    theirs = (images.pixels + released(copy.deepcopy(network), images, labels, EPS, 1.25 * EPS)).clamp(0, 1)
    with attacked(network, "train"):
        ours = fgsm_images(network, images, labels, Adversary("linf:8/255"), 1.0)
    assert torch.equal(ours, theirs)
    assert (images.pixels == 0).any() and (images.pixels == 1).any()  # the clip cuts gradients there


def test_flops_of_a_fast_step_of_the_papers_network():
    """Counted on the meta device; and by an own counter around the released form, 2 clean steps."""
    card, recipe = find_card("1057"), read_recipe("rotation_adv_grey")
    with torch.device("meta"):
        network = build_network(card)
    flops = flops_per_image(Opened(card, network, {}), recipe)
    assert flops["step"] / flops["clean_step"] <= 1.75
    pixels, labels = torch.zeros(1, 3, 224, 224, device="meta"), torch.zeros(1, dtype=torch.int64, device="meta")
    with FlopCounterMode(display=False) as counter:
        released(network.train(), Images(pixels, pixels), labels, 0.1, 0.1)
        functional.cross_entropy(network(pixels), labels).backward()
    assert counter.get_total_flops() / flops["clean_step"] == pytest.approx(2.0, abs=0.01)
    assert flops["forward"] == pytest.approx(64.8e9, rel=0.01)


def trades_written_out(network, images, labels, eps, steps, step, beta):
    """Zhang et al.'s trades_loss with functional.kl_div, the start and the mode of the attack as here."""
    before = functional.softmax(network(images.pixels).detach(), dim=1)
    x = (images.pixels + eps * images.noise).clamp(0, 1)
    for _ in range(steps):
        x.requires_grad_(True)
        kl = functional.kl_div(functional.log_softmax(network(x), dim=1), before, reduction="sum")
        x = x.detach() + step * torch.autograd.grad(kl, x)[0].sign()
        x = torch.min(torch.max(x, images.pixels - eps), images.pixels + eps).clamp(0, 1)
    clean = network(images.pixels)
    kl = functional.kl_div(network(x).log_softmax(1), clean.softmax(1), reduction="batchmean")
    return functional.cross_entropy(clean, labels) + beta * kl


def pgd_written_out(network, images, labels, eps, steps, step):
    x = (images.pixels + eps * images.noise).clamp(0, 1)
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        functional.cross_entropy(network(x), labels).backward()
        x = x.detach() + step * x.grad.sign()
        x = torch.min(torch.max(x, images.pixels - eps), images.pixels + eps).clamp(0, 1)
    network.zero_grad()
    return functional.cross_entropy(network(x), labels)


@pytest.mark.parametrize(
    ("kind", "written_out"),
    [
        ("trades", lambda *given: trades_written_out(*given, EPS, 3, 0.5 * EPS, 6.0)),
        ("pgd", lambda *given: pgd_written_out(*given, EPS, 3, 0.5 * EPS)),
    ],
)
def test_losses_and_gradients_are_those_written_out(made, kind, written_out):
    network, images, labels = made
    network.eval()  # the written-out attacks would change statistics
    theirs = copy.deepcopy(network)
    expected = written_out(theirs, images, labels)
    expected.backward()
    loss, _, adversarial = loss_of(recipe_of(kind, steps=3, step=0.5))(network, images, labels, 0.5)
    assert loss.shape == (N,) and adversarial.shape == (N, 5)
    loss.mean().backward()
    torch.testing.assert_close(loss.mean(), expected, rtol=1e-6, atol=1e-6)
    for ours, other in zip(network.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, other.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(("kind", "passes"), [("fgsm", "adversarial"), ("pgd", "adversarial"), ("trades", "both")])
def test_statistics_are_of_the_passes_that_are_trained_on_alone(made, kind, passes, mode):
    network, images, labels = made
    judge = copy.deepcopy(network)
    seen = []
    network.register_forward_pre_hook(lambda _module, given: seen.append(given[0].detach().clone()))
    loss, *_ = loss_of(recipe_of(kind, mode=mode, steps=2))(network, images, labels, 0.5)
    loss.sum().backward()
    with torch.no_grad():  # a network that has only ever seen the images of the last passes
        for shown in seen[-2:] if passes == "both" else seen[-1:]:
            judge(shown)
    assert len(seen) > 1
    for ours, other in zip(network.buffers(), judge.buffers(), strict=True):
        assert torch.equal(ours, other)
    assert network.training and all(weight.requires_grad for weight in network.parameters())


def test_an_attack_leaves_modes_weights_and_statistics_as_they_were(made):
    network, images, labels = made
    network[1].eval()  # one part is frozen
    before = copy.deepcopy(network.state_dict())
    with attacked(network, "eval"):
        fgsm_images(network, images, labels, Adversary("linf:8/255"), 1.0)
        assert not network.training
    assert network.training and not network[1].training
    assert all(torch.equal(now, before[name]) for name, now in network.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize(("threat", "size"), [("linf:8/255", torch.inf), ("l2:0.5", 2)])
def test_adversarial_images_stay_within_the_share_of_the_radius(made, threat, size):
    network, images, labels = made
    adversary = Adversary(threat)
    images = Images(images.pixels, images.noise / (1 if size == torch.inf else 30))
    for share in (0.0, 0.5, 1.0):
        ours = fgsm_images(network, images, labels, adversary, share)
        delta = (ours - images.pixels).flatten(1).norm(size, dim=1)
        assert (delta <= share * adversary.within.eps + 1e-6).all() and ours.min() >= 0 and ours.max() <= 1
    assert (delta > 0.3 * adversary.within.eps).all()


def test_label_smoothing_is_torchs(made):
    network, images, labels = made
    network.eval()
    recipe = recipe_of("clean")
    smooth = loss_of(recipe.__class__(**vars(recipe) | {"objective": Objective("clean", label_smoothing=0.1)}))
    expected = nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none")(network(images.pixels), labels)
    assert torch.equal(smooth(network, images, labels, 0.0)[0], expected)
