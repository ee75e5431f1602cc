"""One training in several processes, as `torchrun` starts them: the one file that knows of torch.distributed.

Each process takes every n-th image of a batch; losses are sums over the global batch, so the sum of the processes'
gradients is the gradient of one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Processes:
    """Which process this is.

    Parameters
    ----------
    rank : 0 to world - 1; the first one writes
    world : how many there are
    device : of this one
    """

    rank: int
    world: int
    device: str

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in one exchange."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, values in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(values.view_as(tensor))

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes that `torchrun` started; without it, this one is alone.

    Parameters
    ----------
    device : "cpu" or "cuda[:i]"; of several processes each takes the GPU of its number
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1:
        yield Processes(0, 1, device)
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Processes(distributed.get_rank(), world, device)
    finally:
        distributed.destroy_process_group()
