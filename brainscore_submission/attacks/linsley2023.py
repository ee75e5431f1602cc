"""The search of Linsley et al. (2023), "Adversarial alignment", for comparison with their numbers only.

Three steps a radius and a bisection of the radius: what it finds is bounded below by its own steps and tolerance. On
linear networks it lands at up to 13 times the exact distance; `minimal.minimal_l2` lands on it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .classifier import Classifier, admitted
from .found import Attack, Strongest, choose, nothing_found
from .losses import objective
from .pgd import climb
from .threats import l2_direction, per_image

STEPS, STEP = 3, 0.5
LARGEST, SMALLEST = 10.0, 0.001
HALVINGS = 7  # from .001 … 1 to a tolerance of .01, from 1 … 10 to .1, as released


def linsley2023(
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    *,
    low: float = 0.0,
    high: float = 1.0,
    as_released: bool = False,
) -> Attack:
    """Smallest radius at which three l2 steps change the answer, between .001 and 10.

    Each step goes .5 along the gradient of the cross-entropy, then onto the sphere of the radius around the image. An
    image that resists at a radius of 10 is not found.

    Parameters
    ----------
    classifier, pixels, labels : as in `pgd`
    as_released : the published notebook does not set the perturbation to the radius but lengthens it by the radius,
        three times, so that even a radius of .001 makes perturbations of up to 1.5

    Returns
    -------
    Attack; `size` is the perturbation's l2 norm. 4 to 36 passes
    """
    with admitted(classifier, pixels, labels, None, low, high) as (pixels, labels, _):
        found = nothing_found(pixels)
        adversarial, size, loss = found.adversarial, found.size, found.loss
        if not len(pixels):
            return found

        def at(radius: Tensor, rows: Tensor) -> Attack:
            around = pixels[rows]

            def move(images: Tensor, gradient: Tensor) -> Tensor:
                delta = images + STEP * l2_direction(gradient) - around
                outward = per_image(radius, delta) * l2_direction(delta)
                return (around + outward + (delta if as_released else 0)).clamp(low, high)

            last = Strongest(labels[rows], last=True)
            climb(classifier, around, objective("ce", labels, None, rows), move, STEPS, last)
            return last.result(around, "l2", STEPS + 1)

        def keep(tried: Attack, rows: Tensor) -> None:
            hit = tried.found
            adversarial[rows] = choose(hit, tried.adversarial, adversarial[rows])
            size[rows] = torch.where(hit, tried.size, size[rows])
            loss[rows] = torch.where(hit, tried.loss, loss[rows])
            found.found[rows] |= hit
            found.passes[rows] += tried.passes

        everyone = torch.arange(len(pixels), device=pixels.device)
        keep(at(torch.full_like(size, LARGEST), everyone), everyone)
        rows = found.found.nonzero().squeeze(1)
        if not len(rows):
            return found
        at_one = at(torch.ones_like(size[rows]), rows)
        keep(at_one, rows)
        inner = torch.where(at_one.found, SMALLEST, 1.0).to(size)
        outer = torch.where(at_one.found, 1.0, LARGEST).to(size)
        for _ in range(HALVINGS):
            middle = (inner + outer) / 2
            tried = at(middle, rows)
            keep(tried, rows)
            inner, outer = torch.where(tried.found, inner, middle), torch.where(tried.found, middle, outer)
        return found
