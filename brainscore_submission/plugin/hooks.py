"""Module outputs of a network by name: one forward pass, stopped after the last layer wanted.

Torch only: both the Brain-Score activations model and the recorder stand on this file.
"""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .areas import LOGITS
from .errors import UserError, suggest


def module_of(network: nn.Module, layer: str) -> nn.Module:
    """The module that a layer name stands for.

    Parameters
    ----------
    network : nn.Module
    layer : str
        A dotted module path as in ``network.named_modules()``, or ``"logits"`` for the whole network.

    Raises
    ------
    UserError
        If the network has no such module.
    """
    if layer == LOGITS:
        return network
    modules = dict(network.named_modules())
    if not layer or layer not in modules:
        known = [name for name in modules if name]
        raise UserError(f"unknown layer '{layer}'.{suggest(layer, known)}")
    return modules[layer]


@dataclass(frozen=True)
class Firing:
    """What one full forward pass showed of a layer.

    Parameters
    ----------
    count : how often it fired
    shape : of its last output, for one image, without the batch axis
    """

    count: int
    shape: tuple[int, ...]

    @property
    def n_features(self) -> int:
        return math.prod(self.shape)


def probe(network: nn.Module, images: Tensor, layers: Iterable[str]) -> dict[str, Firing]:
    """How often each layer fires in one full forward pass and what it yields, in the order of execution.

    Raises
    ------
    UserError
        If a layer never fires, or yields something other than one tensor with a batch axis.
    """
    layers = list(dict.fromkeys(layers))
    firings: dict[str, Firing] = {}

    def receive(layer: str, output: object) -> None:
        output = checked_output(layer, output, len(images))
        before = firings.pop(layer, None)  # put back at the end: a layer stands where it fired last
        firings[layer] = Firing(count=1 + (before.count if before else 0), shape=tuple(output.shape[1:]))

    with _hooked(network, layers, receive), torch.inference_mode(), exact_arithmetic():
        network(images)
    _require_fired(layers, firings)
    return firings


def layer_outputs(
    network: nn.Module, images: Tensor, layers: Iterable[str], firings: Mapping[str, Firing] | None = None
) -> OrderedDict[str, Tensor]:
    """Outputs of the named layers for one batch, in the order in which they fire.

    Parameters
    ----------
    network : nn.Module, in eval mode
    images : Tensor of shape (n_images, 3, height, width), on the network's device
    layers : names of modules, or ``"logits"``
    firings : what `probe` found of these layers, optional
        When given, the forward pass stops after the last firing that is needed. A layer that fires more than
        once yields its last output, as in Brain-Score.

    Returns
    -------
    OrderedDict of Tensor of shape (n_images, ...)

    Raises
    ------
    UserError
        If a layer never fires, or yields something other than one tensor with a batch axis.
    """
    layers = list(dict.fromkeys(layers))
    remaining = sum(firings[layer].count for layer in layers) if firings is not None else math.inf
    outputs: OrderedDict[str, Tensor] = OrderedDict()

    def receive(layer: str, output: object) -> None:
        nonlocal remaining
        # A copy: an in-place ReLU that follows would overwrite what this layer said. Brain-Score keeps a view on
        # the CPU and a copy on the GPU, so for such layers its own two numbers differ.
        outputs[layer] = checked_output(layer, output, len(images)).clone()
        outputs.move_to_end(layer)
        remaining -= 1
        if remaining == 0:
            raise _AllFired

    stop = contextlib.suppress(_AllFired)  # the hook's signal: nothing past the deepest layer is computed
    with _hooked(network, layers, receive), torch.inference_mode(), exact_arithmetic(), stop:
        network(images)
    _require_fired(layers, outputs)
    return outputs


def checked_output(layer: str, output: object, n_images: int) -> Tensor:
    """The output itself if it is one tensor with a batch axis, else a UserError that names the module."""
    if not isinstance(output, Tensor):
        raise UserError(
            f"layer '{layer}' yields a {type(output).__name__}, not one tensor. "
            "Choose a module inside it, for example its last norm."
        )
    if output.ndim < 2 or output.shape[0] != n_images:
        raise UserError(
            f"layer '{layer}' yields shape {tuple(output.shape)} for {n_images} images: its first axis is "
            "not the batch. Choose a module that keeps the batch axis first."
        )
    return output


class _AllFired(Exception):  # noqa: N818  (a signal, not an error)
    """Raised inside a hook to leave the forward pass once every layer wanted has fired."""


@contextmanager
def _hooked(network: nn.Module, layers: Iterable[str], receive) -> Iterator[None]:
    handles = []
    try:
        for layer in layers:
            handles.append(
                module_of(network, layer).register_forward_hook(
                    lambda _module, _input, output, layer=layer: receive(layer, output)
                )
            )
        yield
    finally:
        for handle in handles:
            handle.remove()


_TF32_WANTED = ContextVar("tf32_wanted", default=False)


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """float32 as float32, and the same kernels each time.

    Otherwise cuDNN uses TF32 for convolutions and picks kernels by timing, and an environment variable can turn on
    TF32 for matrix products. Inside `tf32_arithmetic` both use TF32.
    """
    wanted = _TF32_WANTED.get()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if wanted else "highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=wanted):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def tf32_arithmetic() -> Iterator[None]:
    """Let `exact_arithmetic` inside use TF32, on GPUs that have it."""
    token = _TF32_WANTED.set(True)
    try:
        yield
    finally:
        _TF32_WANTED.reset(token)


def _require_fired(layers: Iterable[str], fired: Iterable[str]) -> None:
    silent = sorted(set(layers) - set(fired))
    if silent:
        raise UserError(
            f"layer '{silent[0]}' never fires in a forward pass (containers do not, nor does attention dropout "
            "under fused attention). Choose another: "
            "`brainscore-submission search --list-layers` lists those that do."
        )
