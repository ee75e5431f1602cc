"""The smallest l2 perturbation that changes the answer: DDN and FMN, each polished on the segment to the image."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..plugin.errors import UserError
from .classifier import Classifier, admitted
from .found import Attack, choose, nothing_found, outcome, reached, smaller
from .gradients import gradient_at, values_at
from .losses import Loss, Objective, objective
from .threats import l2_direction, l2_size, per_image

AIMS = 9  # classes that FMN chooses from, as many as AutoAttack's targeted attacks aim at
GAMMA = 0.05  # both papers: the radius changes by so much a step
OVERSHOOT = 1.001  # aimed at exactly, the boundary itself is reached, where the label still wins


def minimal_l2(
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    *,
    steps: int = 100,
    fmn_steps: int = 30,
    halvings: int = 20,
    targets: Tensor | int | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> Attack:
    """Smallest l2 perturbation that two searches find; of each image the smaller counts.

    DDN (Rony et al. 2019) climbs the cross-entropy and lets the radius grow by 5 % where the label still wins and
    shrink by 5 % where not. FMN (Pintor et al. 2021) climbs a logit difference and takes the radius from its linear
    estimate; it aims at the class whose boundary is nearest by that estimate, which need not be the likeliest one.
    Each ends with a bisection between the image and what was found. No random numbers are drawn.

    Parameters
    ----------
    classifier : Classifier
    pixels : Tensor of shape (n, …), within `low` and `high`
    labels : integer Tensor of shape (n,)
    steps, fmn_steps : of DDN and FMN; fmn_steps 0 leaves FMN out
    halvings : of the segment: its end is known to 2^-halvings of its length
    targets : the class to reach, or None for any class but the label

    Returns
    -------
    Attack; an image that is misclassified as it is has size 0. Passes: steps + fmn_steps + 2 (halvings + 1), and 10 to
    find the nearest of nine classes

    Raises
    ------
    UserError
        what `admitted` and `gradient_at` refuse

    Examples
    --------
    The distance to the boundary of a linear network is |margin| / |w|_2: here 0.2 / 2.

    >>> network = torch.nn.Linear(2, 2, bias=False)
    >>> _ = network.weight.data.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    >>> network = Classifier(network.eval(), mean=0.4)
    >>> found = minimal_l2(network, torch.tensor([[0.5, 0.5]]), torch.tensor([0]))
    >>> round(found.size.item(), 4)
    0.1
    """
    if steps < 1 or fmn_steps < 0 or halvings < 0:
        raise UserError(f"minimal takes 1 or more steps, not {steps} (FMN {fmn_steps}, halvings {halvings}).")

    def search(loss: Loss, next_radius: Callable, on_sphere: bool, n_steps: int, before: int) -> Attack:
        met = _search(classifier, pixels, labels, targets, loss, next_radius, on_sphere, n_steps, low, high)
        adversarial, logits = _polished(classifier, pixels, *met, labels, targets, halvings, low, high)
        empty = pixels.new_empty((len(pixels), 0))
        return outcome(adversarial, pixels, logits, labels, targets, "l2", empty, before + n_steps + 1 + halvings)

    with admitted(classifier, pixels, labels, targets, low, high) as (pixels, labels, targets):
        if not len(pixels):
            return nothing_found(pixels)
        best = search("ce", ddn_radius, True, steps, 0)
        if not fmn_steps:
            return best
        if targets is not None:
            return smaller(best, search("difference", fmn_radius, False, fmn_steps, 0))
        aim = nearest_class(classifier, pixels, labels)
        loss = partial(_difference, labels=labels, aim=aim)
        return smaller(best, search(loss, fmn_radius, False, fmn_steps, 1 + min(AIMS, classifier.n_classes - 1)))


def nearest_class(classifier: Classifier, pixels: Tensor, labels: Tensor) -> Tensor:
    """The class, of the nine likeliest others, whose boundary is nearest by the linear estimate.

    The estimate is DeepFool's (Moosavi-Dezfooli et al. 2016): difference of logits / l2 norm of its gradient. The
    runner-up is often not the nearest: on random linear networks with ten classes, aiming at it ends up to 15 % too
    far, aiming at the nearest one ends on the exact distance.

    Returns
    -------
    integer Tensor of shape (n,)
    """
    with torch.no_grad():
        others = classifier(pixels).scatter(1, labels[:, None], -torch.inf)
    ranked = others.argsort(dim=1, descending=True)
    nearest, least = ranked[:, 0], torch.full((len(pixels),), torch.inf, dtype=torch.float64, device=pixels.device)
    for rank in range(min(AIMS, others.shape[1] - 1)):
        loss = partial(_difference, rows=None, labels=labels, aim=ranked[:, rank])
        gradient, values, _ = gradient_at(classifier, pixels, loss)
        distance = _distance(values, gradient)
        nearest = torch.where(distance < least, ranked[:, rank], nearest)
        least = torch.minimum(distance, least)
    return nearest


def _difference(logits: Tensor, rows: Tensor | None, labels: Tensor, aim: Tensor) -> Tensor:
    return (logits.gather(1, aim[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)


def _distance(values: Tensor, gradient: Tensor) -> Tensor:
    """Linear estimate of how far ahead the values become 0; 0 from there on, else infinite without a gradient."""
    return torch.where(values < 0, -values.double() / l2_size(gradient), 0.0)


def ddn_radius(radius: Tensor, size: Tensor, found: Tensor, smallest: Tensor, distance: Tensor, gamma: float) -> Tensor:
    """The next radius: 5 % less where the label lost, 5 % more where it won (Rony et al. 2019, algorithm 1).

    Parameters
    ----------
    radius : float64 of shape (n,), the last one
    size : of the current perturbation
    found : bool, whether it is adversarial
    smallest : size of the smallest adversarial perturbation so far, infinite if none
    distance : linear estimate of how far the boundary lies ahead, logit difference / size of its gradient
    gamma : FMN's rate at this step
    """
    return radius * torch.where(found, 1 - GAMMA, 1 + GAMMA)


def fmn_radius(radius: Tensor, size: Tensor, found: Tensor, smallest: Tensor, distance: Tensor, gamma: float) -> Tensor:
    """The next radius (Pintor et al. 2021, algorithm 1): up to the linear estimate until the boundary was crossed once.

    Parameters as in `ddn_radius`.
    """
    known = torch.where(found, smallest * (1 - gamma), radius * (1 + gamma))
    return torch.where(smallest.isfinite(), known, (size + distance) * OVERSHOOT)


def _search(
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    targets: Tensor | None,
    loss: Loss,
    next_radius: Callable,
    on_sphere: bool,
    steps: int,
    low: float,
    high: float,
) -> tuple[Tensor, Tensor]:
    """The smallest adversarial images met, the images themselves where none was; and their logits."""
    climbed: Objective = objective(loss, labels, targets, torch.arange(len(pixels), device=pixels.device))
    adversarial, best, best_logits = pixels, pixels, None
    radius = torch.ones(len(pixels), dtype=torch.float64, device=pixels.device)
    smallest = torch.full_like(radius, torch.inf)
    for k in range(steps):
        gradient, values, logits = gradient_at(classifier, adversarial, climbed)
        size, found = l2_size(adversarial - pixels), reached(logits, labels, targets)
        nearer = found & (size < smallest)
        best = choose(nearer, adversarial, best)
        best_logits = logits if best_logits is None else choose(nearer, logits, best_logits)
        smallest = torch.where(nearer, size, smallest)
        cosine = (1 + math.cos(math.pi * k / steps)) / 2  # 1 … 0
        radius = next_radius(radius, size, found, smallest, _distance(values, gradient), GAMMA * cosine)
        delta = adversarial - pixels + (0.01 + 0.99 * cosine) * l2_direction(gradient)
        length = l2_size(delta)
        scale = radius / torch.where(length > 0, length, 1.0)
        delta = delta * per_image(scale if on_sphere else scale.clamp(max=1.0), delta)
        adversarial = (pixels + delta).clamp(low, high)
    _, logits = values_at(classifier, adversarial, climbed)
    nearer = reached(logits, labels, targets) & (l2_size(adversarial - pixels) < smallest)
    return choose(nearer, adversarial, best), choose(nearer, logits, best_logits)


def _polished(
    classifier: Classifier,
    pixels: Tensor,
    adversarial: Tensor,
    logits: Tensor,
    labels: Tensor,
    targets: Tensor | None,
    halvings: int,
    low: float,
    high: float,
) -> tuple[Tensor, Tensor]:
    """The adversarial image nearest to the image on the segment between them, by bisection; and its logits."""
    delta = adversarial - pixels
    inner = torch.zeros(len(pixels), dtype=torch.float64, device=pixels.device)
    outer = torch.ones_like(inner)
    for _ in range(halvings):
        middle = (inner + outer) / 2
        candidate = (pixels + per_image(middle, delta) * delta).clamp(low, high)
        with torch.no_grad():
            looked = classifier(candidate)
        hit = reached(looked, labels, targets)
        adversarial, logits = choose(hit, candidate, adversarial), choose(hit, looked, logits)
        inner, outer = torch.where(hit, inner, middle), torch.where(hit, middle, outer)
    return adversarial, logits
