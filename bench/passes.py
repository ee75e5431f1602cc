"""Counting what goes through a network, whoever sends it."""

from __future__ import annotations

import time

import torch
from torch import nn


class Passes:
    """Images that went through a network since, and the seconds spent inside it.

    Parameters
    ----------
    network : nn.Module; its `forward` is replaced by one that counts
    """

    def __init__(self, network: nn.Module):
        self.images = 0
        self.seconds = 0.0
        forward = network.forward

        def counted(images, *args, **kwargs):
            self.images += len(images)
            started = time.perf_counter()
            try:
                return forward(images, *args, **kwargs)
            finally:  # an early exit leaves by an exception
                if images.is_cuda:
                    torch.cuda.synchronize()
                self.seconds += time.perf_counter() - started

        network.forward = counted
