"""Auto-PGD: momentum, and a step that halves where the climb stalls (Croce & Hein 2020, algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ..plugin.errors import UserError
from .classifier import Classifier, admitted
from .found import Attack, Strongest, choose, until_found
from .gradients import gradient_at, values_at
from .losses import Loss, Objective, objective, targeted_dlr
from .threats import NORMS, Threat, generators_of, per_image

MOMENTUM = 0.75
RISES_WANTED = 0.75


def apgd(
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    threat: Threat,
    *,
    loss: Loss = "ce",
    steps: int = 100,
    restarts: int = 1,
    targets: Tensor | int | None = None,
    seed: int = 0,
    identities: Sequence[int | str] | None = None,
) -> Attack:
    """Auto-PGD on the cross-entropy ("ce"), the DLR loss ("dlr") or the logit difference ("difference").

    Parameters, result and errors as in `pgd`. The DLR loss needs three classes, four if targeted.
    """
    _require_positive(steps, restarts)
    identities = range(len(pixels)) if identities is None else identities

    def attempt(restart: int, rows: Tensor) -> Attack:
        around, wanted = pixels[rows], None if targets is None else targets[rows]
        start = threat.random_start(around, generators_of(seed, [identities[row] for row in rows.tolist()], restart))
        strongest = Strongest(labels[rows], wanted)
        _auto_climb(classifier, start, around, objective(loss, labels, targets, rows), threat, steps, strongest)
        return strongest.result(around, threat.norm, steps + 1)

    with admitted(classifier, pixels, labels, targets, threat.low, threat.high) as (pixels, labels, targets):
        tries = (partial(attempt, restart) for restart in range(restarts))
        return until_found(pixels, tries, targeted=targets is not None)


def apgd_targeted(
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    threat: Threat,
    *,
    steps: int = 100,
    n_targets: int = 9,
    seed: int = 0,
    identities: Sequence[int | str] | None = None,
) -> Attack:
    """Auto-PGD on the targeted DLR loss, towards the likeliest other classes one after the other.

    An image counts as found once any class but its label wins, whichever was aimed at.

    Parameters
    ----------
    n_targets : how many other classes are tried, likeliest first; of fewer there are, all
    steps, seed, identities : as in `pgd`

    Returns
    -------
    Attack, with steps + 1 passes a target and one to rank the classes

    Raises
    ------
    UserError
        fewer than four classes; and what `pgd` refuses
    """
    _require_positive(steps, n_targets)
    identities = range(len(pixels)) if identities is None else identities

    def attempt(rank: int, rows: Tensor) -> Attack:
        around, own, aim = pixels[rows], labels[rows], ranked[rows, rank]
        start = threat.random_start(around, generators_of(seed, [identities[row] for row in rows.tolist()], rank))
        strongest = Strongest(own)
        _auto_climb(classifier, start, around, lambda logits: targeted_dlr(logits, own, aim), threat, steps, strongest)
        return strongest.result(around, threat.norm, steps + 1 + (rank == 0))

    with admitted(classifier, pixels, labels, None, threat.low, threat.high) as (pixels, labels, _):
        if not len(pixels):
            return until_found(pixels, (), targeted=False)
        with torch.no_grad():
            others = classifier(pixels).scatter(1, labels[:, None], -torch.inf)
        ranked = others.argsort(dim=1, descending=True)
        tries = (partial(attempt, rank) for rank in range(min(n_targets, others.shape[1] - 1)))
        return until_found(pixels, tries, targeted=False)


def checkpoints(steps: int) -> list[int]:
    """Steps after which the climb is judged: w = ceil(p N), p from 0 and .22 on by gaps .03 smaller, at least .06.

    Examples
    --------
    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    found, share, gap = [], 22, 22  # in per cent: sums of .03 would not be exact
    while share <= 100:
        found.append(math.ceil(share * steps / 100))
        gap = max(gap - 3, 6)
        share += gap
    return sorted(set(found))


def _auto_climb(
    classifier: Classifier,
    start: Tensor,
    pixels: Tensor,
    objective: Objective,
    threat: Threat,
    steps: int,
    strongest: Strongest,
) -> None:
    direction = NORMS[threat.norm].direction
    gradient, values, logits = gradient_at(classifier, start, objective)
    strongest.meet(start, values, logits)
    before = adversarial = start
    top, top_values, top_gradient = start, values, gradient  # x_max of the paper: the largest loss, found or not
    top_then, halved_then = values, torch.zeros_like(strongest.found)  # at the last checkpoint
    step = torch.full_like(values, 2 * threat.eps)
    rises, judged = torch.zeros_like(values), 0
    judgements = checkpoints(steps)
    for k in range(1, steps + 1):
        ahead = threat.project(adversarial + per_image(step, pixels) * direction(gradient), pixels)
        if k > 1:
            momentum = MOMENTUM * (ahead - adversarial) + (1 - MOMENTUM) * (adversarial - before)
            ahead = threat.project(adversarial + momentum, pixels)
        before, adversarial, earlier = adversarial, ahead, values
        if k == steps:
            strongest.meet(adversarial, *values_at(classifier, adversarial, objective))
            return
        gradient, values, logits = gradient_at(classifier, adversarial, objective)
        strongest.meet(adversarial, values, logits)
        rises += values > earlier
        higher = values > top_values
        top, top_gradient = choose(higher, adversarial, top), choose(higher, gradient, top_gradient)
        top_values = values.maximum(top_values)
        if k in judgements:
            stalled = (rises < RISES_WANTED * (k - judged)) | (~halved_then & (top_values == top_then))
            step = torch.where(stalled, step / 2, step)
            adversarial, gradient = choose(stalled, top, adversarial), choose(stalled, top_gradient, gradient)
            values = torch.where(stalled, top_values, values)
            top_then, halved_then, judged = top_values, stalled, k
            rises = torch.zeros_like(values)


def _require_positive(steps: int, repeats: int) -> None:
    if steps < 1 or repeats < 1:
        raise UserError(f"apgd takes 1 or more steps and restarts (or targets), not {steps} and {repeats}.")
