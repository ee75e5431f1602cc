"""What a machine could do at best: FLOPs needed, and FLOPs a second in a plain matrix product.

Torch, timm and the hooks only, so that `bench.gpu` may use it. One multiplication and one addition count as 2 FLOPs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from brainscore_submission.plugin.hooks import layer_outputs, probe

from .architectures import ARCHITECTURES, LAYERS, Architecture

CPU_SIZE, GPU_SIZE = 2048, 8192
REPEATS = 3


def measure(inputs: None, scratch: Path, networks: list[str], device: str) -> dict:
    """Rates of this machine, and the FLOPs of one image up to each area's layer, by network and area."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "device": device,
        "gpu": torch.cuda.get_device_name() if device.startswith("cuda") else None,
        "float32": product_rate(torch.float32, device),
        "float64": product_rate(torch.float64, device),
        "forward_flops": {network: architecture_flops(ARCHITECTURES[network]) for network in networks},
    }


def architecture_flops(architecture: Architecture) -> dict[str, int]:
    """FLOPs of one image up to the layer of each area."""
    network = timm.create_model(architecture.name).eval()
    side = architecture.preprocessing.input_px
    flops = forward_flops(network, torch.zeros(1, 3, side, side), LAYERS.values())
    return {area: flops[layer] for area, layer in LAYERS.items()}


def forward_flops(network: nn.Module, image: Tensor, layers: Iterable[str]) -> dict[str, int]:
    """FLOPs of a forward pass that stops when a layer has fired, for each layer; counted by torch."""
    firings = probe(network, image, layers)
    flops = {}
    for layer in firings:
        with FlopCounterMode(display=False) as counter:
            layer_outputs(network, image, [layer], firings)
        flops[layer] = counter.get_total_flops()
    return flops


def product_rate(dtype: torch.dtype, device: str) -> float:
    """FLOPs a second in the best of a few square matrix products."""
    size = GPU_SIZE if device.startswith("cuda") else CPU_SIZE
    left, right = (torch.rand(size, size, dtype=dtype, device=device) for _ in range(2))
    best = min(timed(lambda: left @ right, device) for _ in range(REPEATS))
    return 2 * size**3 / best


def timed(function, device: str) -> float:
    """Seconds a function takes, the GPU's queue included."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    started = time.perf_counter()
    function()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - started


def gram_flops(n_stimuli: int, n_features: int) -> int:
    """Products of one triangle of the Gram matrix: the other is its mirror."""
    return n_stimuli * (n_stimuli + 1) * n_features


def pls_flops(n_stimuli: int, n_neuroids: int, n_splits: int = 10, n_components: int = 25) -> int:
    """Products with the Gram matrix, with the targets and with their covariance; power iterations left out.

    A split multiplies the Gram matrix with its targets once and with a score for each component.
    """
    n_targets = min(n_stimuli, n_neuroids)
    start = 2 * n_stimuli**2 * n_targets + 2 * n_stimuli * n_targets**2
    component = 2 * n_stimuli**2 + 2 * n_stimuli * n_targets + 2 * n_targets**2
    return n_splits * (start + n_components * component)
