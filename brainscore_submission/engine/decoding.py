"""Image files -> network inputs on the device, read ahead of the forward pass by threads or, for a GPU, processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..plugin.errors import UserError

Read = Callable[[Path], Tensor]

AHEAD = 3  # batches being read by threads while one is shown
WORTH_PROCESSES = 512  # images; starting processes for fewer takes longer than it saves


class _Kept:
    """Pixels by how they were read, path, and the file's size and time of change."""

    def __init__(self, most_bytes: int):
        self._room = most_bytes
        self._pixels: dict[Hashable, Tensor] = {}
        self._lock = threading.Lock()

    def get(self, read: Read, path: Path) -> Tensor | None:
        try:
            return self._pixels.get(_key(read, path))
        except OSError:  # whoever reads it says so
            return None

    def put(self, read: Read, path: Path, pixels: Tensor) -> None:
        key = _key(read, path)
        with self._lock:
            if key not in self._pixels and pixels.nbytes <= self._room:
                self._room -= pixels.nbytes
                self._pixels[key] = pixels


def _key(read: Read, path: Path) -> Hashable:
    status = Path(path).stat()
    return read, str(path), status.st_mtime_ns, status.st_size


_kept: _Kept | None = None


@contextmanager
def pixels_kept(most_bytes: int) -> Iterator[None]:
    """While this lasts, images that were read stay in memory: for the next model, pass or perturbation.

    Of any reader that hashes by how it reads, a frozen dataclass; images beyond `most_bytes` are read again. Within
    another one of these, that one goes on.
    """
    global _kept
    before = _kept
    _kept = before or _Kept(most_bytes)
    try:
        yield
    finally:
        _kept = before


def read_once(read: Read, path: Path) -> Tensor:
    """What `read` gives of a file, from memory where it was kept."""
    return _read_once(_kept, read, path)


def _read_once(kept: _Kept | None, read: Read, path: Path) -> Tensor:
    if kept is None:
        return read(path)
    pixels = kept.get(read, path)
    if pixels is None:
        kept.put(read, path, pixels := read(path))
    return pixels


@contextmanager
def decoded(
    read: Read,
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
        it gives depends on the file alone (so it may be kept as well, see `pixels_kept`)
    """
    on_gpu = torch.device(device).type == "cuda"
    kept = _kept if apart else None
    unread = sum(kept is None or kept.get(read, path) is None for batch in batches for path in batch)
    in_processes = on_gpu and apart and unread >= WORTH_PROCESSES
    reading = _in_processes(read, batches) if in_processes else _in_threads(partial(_read_once, kept, read), batches)
    with reading as pixels:

        def inputs(number: int) -> Tensor:
            images = pixels(number)
            if kept is not None and in_processes:
                for path, image in zip(batches[number], images, strict=True):
                    kept.put(read, path, image.clone())  # not a view: the batch is in memory that processes share
            return prepare(images.pin_memory().to(device, non_blocking=True) if on_gpu else images.to(device))

        yield inputs


@contextmanager
def _in_threads(read: Read, batches: Sequence[Sequence[Path]]) -> Iterator[Callable[[int], Tensor]]:
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
def _in_processes(read: Read, batches: Sequence[Sequence[Path]]) -> Iterator[Callable[[int], Tensor]]:
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
