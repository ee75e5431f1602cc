"""What devices can do: which of them has float64, how much memory is free, and what comes and goes without waiting.

A GPU works through a queue, and whoever asks for a number of it waits for all that was queued before. So inside a pass
nothing is asked for: numbers leave by `OnItsWay`, and rows are named by `row_numbers`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from ..plugin.errors import UserError

WITHOUT_FLOAT64 = ("mps",)  # Apple's GPU


def has_float64(device: str | torch.device) -> bool:
    """Whether numbers of float64 can be held there.

    >>> has_float64("cuda:1"), has_float64("mps")
    (True, False)
    """
    return torch.device(device).type not in WITHOUT_FLOAT64


def require_float64(device: str, what: str) -> None:
    """
    Raises
    ------
    UserError
        There is no float64 on the device, and `what` counts in it there.
    """
    if device.partition(":")[0] in WITHOUT_FLOAT64:  # as typed: "auto", or no device at all
        raise UserError(f"{what} count in float64, which the device '{device}' does not have. Use --device cpu.")


def exact_device(device: str) -> str:
    """Where sums in float64 are formed of what a network on `device` gives: there, or on the CPU."""
    return device if has_float64(device) else "cpu"


class OnItsWay:
    """A tensor that leaves its device when all before it is done; nobody waits for it until it is asked for.

    Parameters
    ----------
    tensor : Tensor

    Examples
    --------
    >>> OnItsWay(torch.ones(2) + 1).arrived()
    tensor([2., 2.])
    """

    def __init__(self, tensor: Tensor):
        self._there = tensor.to("cpu", non_blocking=tensor.is_cuda)
        self._event = torch.cuda.current_stream(tensor.device).record_event() if tensor.is_cuda else None

    def arrived(self) -> Tensor:
        """The tensor, on the CPU."""
        if self._event is not None:
            self._event.synchronize()
        return self._there


def row_numbers(rows: Sequence[int], device: str | torch.device) -> Tensor:
    """Rows of a tensor on a device, to index it with: a list would make the host wait for the device."""
    numbers = torch.tensor(rows, dtype=torch.int64)
    on_gpu = torch.device(device).type == "cuda"
    return numbers.pin_memory().to(device, non_blocking=True) if on_gpu else numbers.to(device)


def release_memory() -> None:
    """Give back what torch holds on to of a GPU's memory, after it has run out."""
    torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def free_memory(device: str) -> int:
    """Bytes that are free: of a CUDA GPU's memory, otherwise of the machine's.

    macOS does not say how much is free, and has half of all for the taking then.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(torch.device(device))[0]
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
