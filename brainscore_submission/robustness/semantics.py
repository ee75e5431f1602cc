"""Perturbations as pictures, for other networks to classify: what a perturbation shows (Debenedetti et al. 2023)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..plugin.errors import UserError


def perturbation_pictures(adversarial: Tensor, pixels: Tensor, eps: float) -> Tensor:
    """The negated perturbation, stretched from -eps … eps to 0 … 255: (x - x_adv + eps) / (2 eps).

    An untargeted perturbation takes evidence for the class away, so its negative shows that evidence.

    Parameters
    ----------
    adversarial, pixels : Tensor of shape (n, channels, height, width)
    eps : linf radius that no perturbation leaves, in units of the pixels

    Returns
    -------
    uint8 Tensor of shape (n, channels, height, width); no change is 128

    Raises
    ------
    UserError
        a radius of 0 or less, or one that a perturbation leaves

    Examples
    --------
    >>> image = torch.full((1, 1, 1, 3), 0.5)
    >>> perturbation_pictures(image + torch.tensor([-0.1, 0.0, 0.1]), image, eps=0.1).flatten().tolist()
    [255, 128, 0]
    """
    delta = pixels.double() - adversarial.double()
    largest = float(delta.abs().max()) if delta.numel() else 0.0
    if not eps > 0 or largest > eps * (1 + 1e-6):
        raise UserError(f"a perturbation of {largest:g} does not fit a radius of {eps:g}: give the attack's own eps.")
    levels = (255 * (delta + eps) / (2 * eps)).clamp(0, 255)
    return (levels + 0.5).floor().to(torch.uint8)  # 127.5, no change, goes up to 128
