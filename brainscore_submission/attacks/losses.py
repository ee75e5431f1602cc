"""Losses, one value an image: what an attack makes larger.

All take logits of shape (n, classes) and classes of shape (n,), and give shape (n,).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..plugin.errors import UserError, suggest


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p(label), in nats."""
    return functional.cross_entropy(logits, labels, reduction="none")


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """log((1 - p) / p) with p = p(label): the cross-entropy on another scale, CE = softplus(log odds).

    Same order and same direction of the gradient as the cross-entropy, whose gradient is this one times (1 - p). That
    factor rounds to 0 in float32 once a network is sure by 17 nats, and an attack on the cross-entropy stands still;
    Croce & Hein (2020), section 4.1, show networks that look robust for this reason alone.
    """
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.logsumexp(1) - own.squeeze(1)


def logit_difference(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest other logit minus the label's: above 0 where the label lost."""
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - own.squeeze(1)


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio: the logit difference over largest minus third largest logit.

    Croce & Hein (2020), equation 6; neither shift nor scale of the logits changes it.
    """
    _require_classes(logits, 3, "the DLR loss")
    top = logits.topk(3, dim=1).values
    return logit_difference(logits, labels) / (top[:, 0] - top[:, 2] + 1e-12)


def targeted_log_odds(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """log(p / (1 - p)) with p = p(target)."""
    return -log_odds(logits, targets)


def targeted_difference(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The target's logit minus the largest other one."""
    return -logit_difference(logits, targets)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The target's logit minus the label's, over largest logit minus mean of third and fourth.

    Croce & Hein (2020), equation 7.
    """
    _require_classes(logits, 4, "the targeted DLR loss")
    top = logits.topk(4, dim=1).values
    gap = (logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)
    return gap / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + 1e-12)


def kl_divergence(logits: Tensor, clean_logits: Tensor) -> Tensor:
    """KL(clean ‖ adversarial) in nats, which TRADES (Zhang et al. 2019) makes larger, then smaller."""
    clean = clean_logits.log_softmax(1)
    return (clean.exp() * (clean - logits.log_softmax(1))).sum(1)


LOSSES = {"ce": log_odds, "difference": logit_difference, "dlr": dlr}
TARGETED_LOSSES = {"ce": targeted_log_odds, "difference": targeted_difference, "dlr": targeted_dlr}

Objective = Callable[[Tensor], Tensor]
"""logits -> one value an image, larger = nearer to what the attack wants."""

Loss = str | Callable[[Tensor, Tensor], Tensor]
"""A key of `LOSSES`, or a function of (logits, rows), where `rows` says which images of the batch the logits are of."""


def objective(loss: Loss, labels: Tensor, targets: Tensor | None, rows: Tensor) -> Objective:
    """What an attack on some images of a batch makes larger.

    Parameters
    ----------
    loss : a key of `LOSSES`, or a function
    labels : Tensor of shape (n,)
    targets : Tensor of shape (n,), the classes wanted, or None where any other class will do
    rows : Tensor of shape (m,), indices of the images that are attacked

    Raises
    ------
    UserError
        an unknown loss
    """
    if callable(loss):
        return lambda logits: loss(logits, rows)
    if loss not in LOSSES:
        raise UserError(f"unknown loss '{loss}'.{suggest(loss, LOSSES)}")
    if targets is None:
        return lambda logits: LOSSES[loss](logits, labels[rows])
    return lambda logits: TARGETED_LOSSES[loss](logits, labels[rows], targets[rows])


def _require_classes(logits: Tensor, least: int, what: str) -> None:
    if logits.shape[1] < least:
        raise UserError(
            f"{what} needs at least {least} classes, the network has {logits.shape[1]}: "
            "use the loss 'ce' or 'difference' (attacks pgd and apgd)."
        )
