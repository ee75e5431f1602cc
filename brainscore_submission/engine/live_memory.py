"""How many bytes of intermediate results a forward pass holds at any moment. Torch only."""

from __future__ import annotations

import weakref
from collections.abc import Iterable

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Count the storages that operations make, from their birth until Python lets them go.

    Parameters
    ----------
    ignored : nn.Module
        Its weights and buffers are not counted, nor are views of them.

    Attributes
    ----------
    now : bytes alive at this moment
    peak : most bytes that were alive after any operation

    Examples
    --------
    >>> import torch
    >>> with LiveMemory(nn.Identity()) as live:
    ...     kept = torch.zeros(10) + 1
    >>> live.now, live.peak
    (40, 80)
    """

    def __init__(self, ignored: nn.Module):
        super().__init__()
        self.now = 0
        self.peak = 0
        weights: Iterable[Tensor] = (*ignored.parameters(), *ignored.buffers())
        self._ignored = {tensor.untyped_storage()._cdata for tensor in weights}
        self._alive: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Run an operation and take note of the storages of its results."""
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self.note(value)
        return result

    def note(self, tensor: Tensor) -> None:
        """Count a tensor's storage, if it is not counted already."""
        storage = tensor.untyped_storage()
        key, n_bytes = storage._cdata, storage.nbytes()
        if key in self._alive or key in self._ignored:
            return

        def gone(_: weakref.ref) -> None:
            self.now -= n_bytes
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, gone)
        self.now += n_bytes
        self.peak = max(self.peak, self.now)
