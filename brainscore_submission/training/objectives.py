"""What a step makes smaller: the loss on clean images, or on those that an attack within the step has made.

Every loss is (network, images, labels, epoch) -> (loss, clean logits, adversarial logits), where `images` are pixels in
[0, 1] and the noise that their attack starts from, `network` takes pixels, and the loss is of shape (n,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..attacks.losses import kl_divergence
from ..attacks.threats import NORMS
from .recipes import Adversary, Objective, Recipe
from .schedules import radius_share


class Images(NamedTuple):
    """Pixels in [0, 1], and noise uniform in the ball of radius 1, both of shape (n, 3, px, px)."""

    pixels: Tensor
    noise: Tensor


Loss = Callable[[nn.Module, Images, Tensor, float], tuple[Tensor, Tensor | None, Tensor | None]]


def loss_of(recipe: Recipe) -> Loss:
    """The loss that a recipe names, with its numbers."""
    return partial(LOSSES[recipe.objective.kind], recipe.objective, recipe.adversary)


def clean(
    objective: Objective, _adversary: Adversary, network: nn.Module, images: Images, labels: Tensor, _epoch: float
) -> tuple[Tensor, Tensor, None]:
    """Cross-entropy of the images as they are."""
    logits = network(images.pixels)
    return _cross_entropy(logits, labels, objective), logits, None


def fast(
    objective: Objective, adversary: Adversary, network: nn.Module, images: Images, labels: Tensor, epoch: float
) -> tuple[Tensor, None, Tensor]:
    """Fast adversarial training (Wong et al. 2020): one signed step from a random start, then a step on the result."""
    with attacked(network, adversary.mode):
        adversarial = fgsm_images(network, images, labels, adversary, radius_share(adversary, epoch))
    logits = network(adversarial)
    return _cross_entropy(logits, labels, objective), None, logits


def iterated(
    objective: Objective, adversary: Adversary, network: nn.Module, images: Images, labels: Tensor, epoch: float
) -> tuple[Tensor, None, Tensor]:
    """Adversarial training with PGD (Madry et al. 2018)."""
    with attacked(network, adversary.mode):
        adversarial = pgd_images(
            network,
            images,
            lambda logits: functional.cross_entropy(logits, labels, reduction="sum"),
            adversary,
            radius_share(adversary, epoch),
        )
    logits = network(adversarial)
    return _cross_entropy(logits, labels, objective), None, logits


def trades(
    objective: Objective, adversary: Adversary, network: nn.Module, images: Images, labels: Tensor, epoch: float
) -> tuple[Tensor, Tensor, Tensor]:
    """CE(clean) + beta KL(clean ‖ adversarial) (Zhang et al. 2019); the attack makes the same divergence larger."""
    with attacked(network, adversary.mode):
        with torch.no_grad():
            before = network(images.pixels)
        adversarial = pgd_images(
            network,
            images,
            lambda logits: kl_divergence(logits, before).sum(),
            adversary,
            radius_share(adversary, epoch),
        )
    logits, after = network(images.pixels), network(adversarial)
    loss = _cross_entropy(logits, labels, objective) + objective.beta * kl_divergence(_whole(after), _whole(logits))
    return loss, logits, after


LOSSES = {"clean": clean, "fgsm": fast, "pgd": iterated, "trades": trades}


def fgsm_images(network: nn.Module, images: Images, labels: Tensor, adversary: Adversary, share: float) -> Tensor:
    """Wong et al.'s order: x1 = clip(x + δ), δ = clip(δ + α sign ∂CE/∂δ, ±ε), x2 = clip(x + δ).

    The gradient goes through the first clip, so that saturated pixels have none, as in the released code. It is asked
    for δ alone: 1.74 instead of 2 clean steps for the whole step, and the same δ bit for bit.

    Parameters
    ----------
    share : of the threat's radius

    Returns
    -------
    Tensor like `images.pixels`
    """
    threat, norm = adversary.within, NORMS[adversary.within.norm]
    eps, pixels = threat.eps * share, images.pixels
    delta = _start(images, adversary, eps).requires_grad_(True)
    with torch.enable_grad():
        loss = functional.cross_entropy(network((pixels + delta).clamp(0, 1)), labels)
    (gradient,) = torch.autograd.grad(loss, delta)
    delta = norm.project(delta.detach() + adversary.step * eps * norm.direction(gradient), eps)
    return (pixels + delta).clamp(0, 1)


def pgd_images(
    network: nn.Module, images: Images, value: Callable[[Tensor], Tensor], adversary: Adversary, share: float
) -> Tensor:
    """Steps of x <- clip(x0 + project(x + s direction(gradient) - x0)) from the start; the last image counts.

    Parameters
    ----------
    value : logits -> a sum over images, to be made larger
    share : of the threat's radius

    Returns
    -------
    Tensor like `images.pixels`
    """
    threat, norm = adversary.within, NORMS[adversary.within.norm]
    eps, pixels = threat.eps * share, images.pixels
    adversarial = (pixels + _start(images, adversary, eps)).clamp(0, 1)
    for _ in range(adversary.steps):
        adversarial = adversarial.detach().requires_grad_(True)
        with torch.enable_grad():
            # a view, since torch's counter of FLOPs takes no leaf as a module's input
            gained = value(network(adversarial.view_as(adversarial)))
        (gradient,) = torch.autograd.grad(gained, adversarial)
        moved = adversarial.detach() + adversary.step * eps * norm.direction(gradient)
        adversarial = (pixels + norm.project(moved - pixels, eps)).clamp(0, 1)
    return adversarial


@contextmanager
def attacked(network: nn.Module, mode: str) -> Iterator[None]:
    """A network while it is attacked: in this mode, no gradient for its weights, and its buffers as they were after."""
    modes = {module: module.training for module in network.modules()}
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    held = [(buffer, buffer.clone()) for buffer in network.buffers()] if mode == "train" else []
    try:
        if mode == "eval":
            network.eval()
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
        for module, training in modes.items():
            module.training = training
        with torch.no_grad():
            for buffer, values in held:
                buffer.copy_(values)


def _start(images: Images, adversary: Adversary, eps: float) -> Tensor:
    if adversary.start == "image":
        return torch.zeros_like(images.pixels)
    return eps * images.noise.to(images.pixels)


def _cross_entropy(logits: Tensor, labels: Tensor, objective: Objective) -> Tensor:
    return functional.cross_entropy(_whole(logits), labels, label_smoothing=objective.label_smoothing, reduction="none")


def _whole(logits: Tensor) -> Tensor:
    """Logits of a pass in bfloat16 as float32."""
    return logits.float() if logits.dtype == torch.bfloat16 else logits
