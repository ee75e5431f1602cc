"""What an attack will cost, said before it starts: passes through the network, and the time they take here."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from torch import Tensor

from ..attacks.classifier import Classifier, admitted
from ..attacks.gradients import gradient_at
from ..attacks.losses import log_odds
from ..plugin.errors import UserError
from .classifiers import clean_logits


class Pace(NamedTuple):
    """Seconds of one image in a batch: through the network, and forward and back."""

    forward: float
    gradient: float

    def seconds(self, n_images: int, forward: int, backward: int) -> float:
        """Of so many images with so many passes forward, `backward` of them with the way back."""
        return n_images * ((forward - backward) * self.forward + backward * self.gradient)


def pace(classifier: Classifier, pixels: Tensor) -> Pace:
    """Time one batch, forward and forward and back, each the faster of two; half of one that does not fit.

    Raises
    ------
    UserError
        one image does not fit into the GPU's memory; and what an attack refuses
    """
    try:
        return _pace(classifier, pixels)
    except torch.OutOfMemoryError as error:
        if len(pixels) == 1:
            raise UserError("one image does not fit into the GPU's memory. Use --device cpu, or free it.") from error
    return pace(classifier, pixels[: len(pixels) // 2])


def _pace(classifier: Classifier, pixels: Tensor) -> Pace:
    labels = torch.zeros(len(pixels), dtype=torch.int64)
    with admitted(classifier, pixels, labels) as (pixels, labels, _):
        forward = _seconds(lambda: clean_logits(classifier, pixels), pixels)
        gradient = _seconds(lambda: gradient_at(classifier, pixels, lambda logits: log_odds(logits, labels)), pixels)
    return Pace(forward / len(pixels), gradient / len(pixels))


def _seconds(work, pixels: Tensor) -> float:
    def once() -> float:
        started = time.perf_counter()
        work()
        if pixels.device.type == "cuda":
            torch.cuda.synchronize(pixels.device)
        return time.perf_counter() - started

    return min(once(), once())
