"""Learning rate and radius of the attack, as functions of the time in epochs: nothing is kept between steps."""

from __future__ import annotations

import math

from .recipes import Adversary, LearningRate


def learning_rate(rate: LearningRate, epoch: float, epochs: int, batch: int) -> float:
    """The learning rate at a time.

    Parameters
    ----------
    rate : LearningRate
    epoch : time in epochs; step / steps of an epoch
    epochs : of the whole run
    batch : images of a step; the peak of a cosine grows with it

    Examples
    --------
    >>> round(learning_rate(LearningRate(knots=((0, 8e-5), (1, 2e-4))), 0.5, 6, 64), 9)
    0.00014

    After a warm-up, half of a cosine counted from epoch 0, as timm's scheduler:

    >>> cosine = LearningRate(peak=5e-4, per_images=512, warmup_epochs=10, start=1e-6, end=1e-5)
    >>> learning_rate(cosine, 0, 100, 1024), learning_rate(cosine, 100, 100, 1024)
    (1e-06, 1e-05)
    """
    if rate.knots:
        return _between(rate.knots, epoch)
    peak = rate.peak * (batch / rate.per_images if rate.per_images else 1.0)
    if epoch < rate.warmup_epochs:
        return rate.start + (peak - rate.start) * epoch / rate.warmup_epochs
    done = min(epoch / (rate.decay_epochs or epochs), 1.0)
    return rate.end + 0.5 * (peak - rate.end) * (1 + math.cos(math.pi * done))


def radius_share(adversary: Adversary, epoch: float) -> float:
    """The radius of the attack at a time, as a share of its final one.

    With u = (epoch - delay) / (warm-up - delay) within 0 and 1: u, or (1 + sin(pi (u - 1/2))) / 2. The released code of
    Debenedetti et al. (2023) divides by the warm-up alone, and jumps at its end where there is a delay.

    Examples
    --------
    >>> linear = Adversary(warmup="linear", warmup_epochs=10)
    >>> [radius_share(linear, epoch) * 4 for epoch in (0, 1, 9, 10, 50)]
    [0.0, 0.4, 3.6, 4.0, 4.0]
    """
    if adversary.warmup == "none":
        return 1.0
    done = (epoch - adversary.delay_epochs) / (adversary.warmup_epochs - adversary.delay_epochs)
    done = min(max(done, 0.0), 1.0)
    return done if adversary.warmup == "linear" else 0.5 * (1 + math.sin(math.pi * (done - 0.5)))


def _between(knots: tuple[tuple[float, float], ...], epoch: float) -> float:
    """Linear between knots, constant beyond them."""
    for (left, low), (right, high) in zip(knots, knots[1:], strict=False):
        if epoch < right:
            return low + (high - low) * max(epoch - left, 0.0) / (right - left)
    return knots[-1][1]
