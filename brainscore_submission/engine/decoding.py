"""Image files -> network inputs, read ahead of the forward pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

AHEAD = 3  # batches being read while one is shown


class Decoder:
    """Batches of images, read in their order by threads of their own, some batches ahead of the one asked for.

    Parameters
    ----------
    load : callable, path -> network input of shape (3, height, width)
    batches : paths of the images of each batch
    device : where the inputs are wanted
    """

    def __init__(self, load: Callable[[Path], Tensor], batches: Sequence[Sequence[Path]], device: str = "cpu"):
        self._load = load
        self._batches = batches
        self._device = torch.device(device)
        self._reading: dict[int, list[Future]] = {}

    def __enter__(self) -> Decoder:
        self._pool = ThreadPoolExecutor(min(16, os.cpu_count() or 1))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def batch(self, number: int) -> Tensor:
        """The inputs of a batch: Tensor of shape (n_images, 3, height, width), on the device."""
        for soon in range(number, min(number + 1 + AHEAD, len(self._batches))):
            if soon not in self._reading:
                self._reading[soon] = [self._pool.submit(self._load, path) for path in self._batches[soon]]
        pixels = torch.stack([future.result() for future in self._reading.pop(number)])
        if self._device.type == "cuda":
            return pixels.pin_memory().to(self._device, non_blocking=True)
        return pixels.to(self._device)
