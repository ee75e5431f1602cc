"""Image files -> network inputs on the device, read ahead of the forward pass by threads or, for a GPU, processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..plugin.errors import UserError

AHEAD = 3  # batches being read by threads while one is shown
WORTH_PROCESSES = 512  # images; starting processes for fewer takes longer than it saves


@contextmanager
def decoded(
    read: Callable[[Path], Tensor],
    prepare: Callable[[Tensor], Tensor],
    batches: Sequence[Sequence[Path]],
    device: str = "cpu",
    apart: bool = False,
) -> Iterator[Callable[[int], Tensor]]:
    """Batches of images by their number, to be asked for in order.

    Threads read while a CPU computes. A GPU is faster than the threads of one Python, which share its lock: there,
    processes do it, where they may. Both give the same numbers.

    Parameters
    ----------
    read : callable, path -> Tensor of shape (3, height, width), uint8 where pixels are bytes
    prepare : callable, what `read` gives of several images, on the device -> network input
    batches : paths of the images of each batch
    device : "cpu", "cuda[:i]" or "mps"
    apart : whether `read` may go to other processes: it pickles to a few bytes, a network is not among them, and what
        it gives depends on nothing that this process has done
    """
    on_gpu = torch.device(device).type == "cuda"
    reading = _in_processes if on_gpu and apart and sum(map(len, batches)) >= WORTH_PROCESSES else _in_threads
    with reading(read, batches) as pixels:

        def inputs(number: int) -> Tensor:
            images = pixels(number)
            return prepare(images.pin_memory().to(device, non_blocking=True) if on_gpu else images.to(device))

        yield inputs


@contextmanager
def _in_threads(read: Callable[[Path], Tensor], batches: Sequence[Sequence[Path]]) -> Iterator[Callable[[int], Tensor]]:
    waiting: dict[int, list[Future]] = {}
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:

        def pixels(number: int) -> Tensor:
            for soon in range(number, min(number + 1 + AHEAD, len(batches))):
                if soon not in waiting:
                    waiting[soon] = [pool.submit(read, path) for path in batches[soon]]
            return torch.stack([future.result() for future in waiting.pop(number)])

        try:
            yield pixels
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _in_processes(
    read: Callable[[Path], Tensor], batches: Sequence[Sequence[Path]]
) -> Iterator[Callable[[int], Tensor]]:
    workers = min(16, os.cpu_count() or 1, len(batches))
    loader = DataLoader(
        _Batches(read, batches), batch_size=None, num_workers=workers, multiprocessing_context=_fresh_processes(read)
    )
    coming = iter(loader)

    def pixels(_number: int) -> Tensor:
        images = next(coming)
        if isinstance(images, str):
            raise UserError(images)
        return images

    yield pixels


def _fresh_processes(read: Callable[[Any], Tensor]) -> BaseContext:
    """Processes that are no copies of this one: a copy could use neither its GPU nor locks that its threads hold.

    They are forked from a server that has loaded what `read` needs, and has started no thread and no GPU.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, getattr(read, "func", read).__module__])  # heeded before it starts
    return context


class _Batches(torch.utils.data.Dataset):
    """Each item is a batch, or what is wrong with one of its files: an exception would come back with its traceback."""

    def __init__(self, read: Callable[[Path], Tensor], batches: Sequence[Sequence[Path]]):
        self._read, self._batches = read, batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Tensor | str:
        try:
            return torch.stack([self._read(path) for path in self._batches[number]])
        except UserError as error:
            return str(error)
