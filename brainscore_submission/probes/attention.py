"""Where a transformer's class token looks: attention over patches, of each head, in the frame of an image."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from timm.utils.attention_extract import AttentionExtract
from torch import Tensor, nn

from ..models.model import Model
from ..plugin.errors import UserError, suggest
from ..plugin.hooks import exact_arithmetic
from ..plugin.preprocessing import normalise
from .perturbations import WHOLE, Grid, Window

LAST_BLOCK = "class"
CROSS = ("cross-0", "cross-1")  # CrossViT: the class token of the fine branch over coarse patches, and the reverse


class ClassAttention:
    """Attention of the class token in the last block, read by timm's extractor with fused attention off.

    Parameters
    ----------
    model : a vision transformer of timm with a class token, or a CrossViT, with its own preprocessing
    source : "class"; of a CrossViT one of `CROSS`, by default the first

    Raises
    ------
    UserError
        it has no class token whose attention can be read, or no such source
    """

    def __init__(self, model: Model, source: str | None = None):
        # A copy: the network itself may be at work in another thread while this one reads from it.
        self.network = copy.deepcopy(model.network).to(model.device).eval()
        self.preprocessing = model.card.preprocessing
        self.device = model.device
        known = sources_of(self.network)
        if not known:
            raise UserError(
                f"{model.name} has no class token whose attention could be read: name a vision transformer of timm or "
                "a CrossViT, --saliency-model timm:deit_tiny_patch16_224."
            )
        self.source = source or next(iter(known))
        if self.source not in known:
            raise UserError(f"unknown source of attention '{self.source}'.{suggest(self.source, known)}")
        self.n_prefix = getattr(self.network, "num_prefix_tokens", 1)
        self._extract = AttentionExtract(self.network, names=[known[self.source]], method="hook")
        self._one_at_a_time = threading.Lock()  # images are read by several threads

    def __call__(self, pixels: Tensor) -> Tensor:
        """Attention of each head over the patches.

        Parameters
        ----------
        pixels : shape (n, 3, height, width), square, in [0, 1]; resized where this network sees another size

        Returns
        -------
        Tensor of shape (n, heads, rows, columns), on the CPU; what the class token gives to itself is left out
        """
        side = self.preprocessing.input_px
        pixels = pixels.to(self.device)
        if pixels.shape[-1] != side:
            pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True).clamp(0, 1)
        with self._one_at_a_time, unfused(self.network), torch.no_grad(), exact_arithmetic():
            (attention,) = self._extract(normalise(pixels, self.preprocessing)).values()
        over_patches = attention[:, :, 0, self.n_prefix :].float().cpu()
        rows = math.isqrt(over_patches.shape[-1])
        if rows * rows != over_patches.shape[-1]:
            raise UserError(f"{over_patches.shape[-1]} patches are no square: their attention has no place.")
        return over_patches.unflatten(-1, (rows, rows))

    def on(self, grid: Grid, window: Window = WHOLE) -> Callable[[Tensor], np.ndarray]:
        """The mean over heads on the cells of a grid: pixels (n, 3, height, width) -> (n, rows, columns)."""
        return lambda pixels: on_grid(self(pixels).mean(1), grid, pixels.shape[-1], window)


@contextmanager
def unfused(network: nn.Module) -> Iterator[None]:
    """While inside, attention is computed step by step, so that it can be read."""
    fused = [module for module in network.modules() if getattr(module, "fused_attn", False)]
    for module in fused:
        module.fused_attn = False
    try:
        yield
    finally:
        for module in fused:
            module.fused_attn = True


def sources_of(network: nn.Module) -> dict[str, str]:
    """Source of attention -> the module that it comes out of; empty where there is none."""
    modules = dict(network.named_modules())
    blocks = getattr(network, "blocks", None)
    if blocks is None or not len(blocks):
        return {}
    last = f"blocks.{len(blocks) - 1}"
    cross = {name: f"{last}.fusion.{number}.attn.attn_drop" for number, name in enumerate(CROSS)}
    if set(cross.values()) <= set(modules):
        return cross
    own = f"{last}.attn.attn_drop"
    return {LAST_BLOCK: own} if own in modules and getattr(network, "cls_token", None) is not None else {}


def on_grid(maps: Tensor, grid: Grid, side_px: int, window: Window = WHOLE) -> np.ndarray:
    """Maps of shape (n, rows, columns) over a square image, as sums over the cells of another grid on a window of it.

    Examples
    --------
    >>> on_grid(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), (1, 2), 8).tolist()
    [[[0.4, 0.6]]]
    """
    pixels = F.interpolate(maps[:, None].double(), size=(side_px, side_px), mode="nearest-exact")[..., *window]
    cells = F.adaptive_avg_pool2d(pixels, grid)[:, 0]
    return (cells / cells.sum((1, 2), keepdim=True)).numpy()
