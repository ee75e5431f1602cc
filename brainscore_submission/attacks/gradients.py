"""The one place where an attack asks for a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from ..plugin.errors import UserError
from .classifier import Classifier, require_finite
from .losses import Objective


def gradient_at(classifier: Classifier, pixels: Tensor, objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
    """One pass forward and one back, to the pixels alone: no gradient is left on a weight.

    Parameters
    ----------
    classifier : Classifier
    pixels : Tensor of shape (n, …)
    objective : logits -> (n,)

    Returns
    -------
    gradient : Tensor like `pixels`
    values : Tensor of shape (n,)
    logits : Tensor of shape (n, classes)

    Raises
    ------
    UserError
        no gradient reaches the pixels, or one that is not finite
    """
    pixels = pixels.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = classifier(pixels)
        values = objective(logits)
        # unused: the network looks at something else than its input
        gradient = torch.autograd.grad(values.sum(), pixels, allow_unused=True)[0] if values.requires_grad else None
    if gradient is None:
        raise UserError(
            "no gradient reaches the pixels: the network detaches its input or runs without autograd "
            "(torch.no_grad, numpy, TorchScript for inference). Gradient attacks cannot judge it."
        )
    require_finite(gradient, "gradients")
    return gradient, values.detach(), logits.detach()


def values_at(classifier: Classifier, pixels: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
    """One pass forward: values of shape (n,) and logits of shape (n, classes)."""
    with torch.no_grad():
        logits = classifier(pixels)
        return objective(logits), logits
