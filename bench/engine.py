"""Our engine alone, without Brain-Score, on a CPU or a GPU: the networks, what a machine can do, Gram and PLS by size.

One multiplication and one addition count as 2 FLOPs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from brainscore_submission.engine.gram import GramAccumulator
from brainscore_submission.engine.pls import Predictivity, aggregate, cross_validate
from brainscore_submission.engine.stores import COLUMN_BLOCK_BYTES
from brainscore_submission.plugin.hooks import layer_outputs, probe

from .inputs import Activations, shuffled_splits
from .sizes import MetricSize

if TYPE_CHECKING:
    from brainscore_submission.models.model import Model

# Name on the command line -> what `open_model` takes. The tiny one has one layer for V1, V2 and V4, as the paper has.
NETWORKS = {
    "crossvit": {"typed": "crossvit_18_dagger_408"},
    "tiny": {
        "typed": "timm:test_vit",
        "layers": dict.fromkeys(("V1", "V2", "V4"), "blocks.1.norm1") | {"IT": "blocks.4.norm2", "behavior": "fc_norm"},
    },
}


def open_network(name: str, device: str, batch_size: int | None = None, seed: int = 0) -> Model:
    """Open one of `NETWORKS`, untrained; the same weights each time for a seed."""
    from brainscore_submission.models.opening import open_model  # with timm, which Gram and PLS do without

    torch.manual_seed(0)
    return open_model(**NETWORKS[name], weights=f"untrained:{seed}", device=device, batch_size=batch_size)


class Passes:
    """Counts the images that go through a network, and the seconds spent inside it: its `forward` is replaced."""

    def __init__(self, network: nn.Module):
        self.images, self.seconds = 0, 0.0
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

    def since(self, started: float) -> dict[str, float]:
        """Seconds since, those inside the network, and image passes."""
        took = time.perf_counter() - started
        return {"seconds": took, "forward_seconds": self.seconds, "passes": self.images}


def limits(inputs: None, scratch: Path, networks: list[str], device: str) -> dict[str, Any]:
    """A job: rates of this machine, and the FLOPs of one image up to each area's layer, by network and area."""
    models = {network: open_network(network, device) for network in networks}
    device = next(iter(models.values())).device  # "auto" resolved
    return {
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "float32": product_rate(torch.float32, device),
        "float64": product_rate(torch.float64, device),
        "forward_flops": {network: forward_flops(model) for network, model in models.items()},
    }


def forward_flops(model: Model) -> dict[str, int]:
    """FLOPs of one image up to the layer of each area, of a model just opened (on the CPU); counted by torch."""
    image = torch.zeros(1, 3, *2 * [model.card.preprocessing.input_px])
    firings = probe(model.network, image, model.layers.values())
    flops = {}
    for area, layer in model.layers.items():
        with FlopCounterMode(display=False) as counter:
            layer_outputs(model.network, image, [layer], firings)
        flops[area] = counter.get_total_flops()
    return flops


def product_rate(dtype: torch.dtype, device: str) -> float:
    """FLOPs a second in the best of a few square matrix products."""
    size = 8192 if device.startswith("cuda") else 2048
    left, right = (torch.rand(size, size, dtype=dtype, device=device) for _ in range(2))
    return 2 * size**3 / fastest(lambda: left @ right, device, 3)


def fastest(function: Callable[[], object], device: str, repeats: int | None = None) -> float:
    """Seconds a function takes in the best of a few calls, by default one on a CPU and, to warm up, three on a GPU."""
    cuda, took = device.startswith("cuda"), []
    for _ in range(repeats or (3 if cuda else 1)):
        started = time.perf_counter()
        function()
        if cuda:
            torch.cuda.synchronize()
        took.append(time.perf_counter() - started)
    return min(took)


def peak_of(device: str) -> Callable[[], int]:
    """Forget what a GPU held at most so far; what is returned tells it from now on (0 for a CPU)."""
    if not device.startswith("cuda"):
        return lambda: 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return lambda: torch.cuda.max_memory_allocated(device)


def scaling(inputs: None, scratch: Path, size: dict) -> dict[str, float]:
    """A job: what `gram_and_pls` takes on the CPU."""
    return gram_and_pls(MetricSize(**size))[2]


def gram_and_pls(
    size: MetricSize, device: str = "cpu", dtype: str = "float64"
) -> tuple[np.ndarray, Predictivity, dict[str, float]]:
    """Gram matrix and ten folds of PLS of the same input on any device; and what they took, with their FLOPs.

    The same block of columns is added again and again, so that features beyond memory can be counted.
    """
    width = max(1, min(size.n_features, COLUMN_BLOCK_BYTES // (4 * size.n_stimuli)))
    activations = Activations(size._replace(n_features=width))
    block = torch.from_numpy(activations.rows()).to(device)  # (n_stimuli, width)
    made = {}

    def gram() -> None:
        accumulator = GramAccumulator(size.n_stimuli, dtype)
        for start in range(0, size.n_features, width):
            accumulator.add(block[:, : min(width, size.n_features - start)])
        made["gram"] = accumulator.result()

    def pls() -> None:
        splits = shuffled_splits(size.n_stimuli)
        made["pls"] = cross_validate(made["gram"], activations.responses, splits, device=device)

    peak = peak_of(device)
    took = {
        "gram_seconds": fastest(gram, device),
        "pls_seconds": fastest(pls, device),
        "gram_flops": size.n_stimuli * (size.n_stimuli + 1) * size.n_features,  # one triangle, the other is its mirror
        "pls_flops": pls_flops(size.n_stimuli, size.n_neuroids),
        "gpu_bytes": peak(),
        "score": aggregate(made["pls"].r)[0],
    }
    return made["gram"], made["pls"], took


def pls_flops(n_stimuli: int, n_neuroids: int, n_splits: int = 10, n_components: int = 25) -> int:
    """Products with the Gram matrix, with the targets and with their covariance; power iterations left out.

    A split multiplies the Gram matrix with its targets once and with a score for each component.
    """
    n_targets = min(n_stimuli, n_neuroids)
    start = 2 * n_stimuli**2 * n_targets + 2 * n_stimuli * n_targets**2
    component = 2 * n_stimuli**2 + 2 * n_stimuli * n_targets + 2 * n_targets**2
    return n_splits * (start + n_components * component)
