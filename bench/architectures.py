"""The networks that are measured, and their layers: torch and timm only, so that `bench.gpu` may use them.

How one is opened for an evaluation is in `networks`.
"""

from __future__ import annotations

from dataclasses import dataclass

from timm.models import register_model
from timm.models.crossvit import CrossVit

from brainscore_submission.plugin.card import PREPROCESSINGS, Preprocessing

LAYERS = {
    "V1": "blocks.1.blocks.1.0.norm1",
    "V2": "blocks.1.blocks.1.0.norm1",
    "V4": "blocks.1.blocks.1.0.norm1",
    "IT": "blocks.1.blocks.1.4.norm2",
    "behavior": "blocks.2.revert_projs.1.2",
}
"""The paper's layer map and readout, of either network."""


@dataclass(frozen=True)
class Architecture:
    """A network by timm's name, and what its images go through."""

    name: str
    preprocessing: Preprocessing


ARCHITECTURES = {
    "crossvit": Architecture("crossvit_18_dagger_408", PREPROCESSINGS["crop224"]),
    "tiny": Architecture("crossvit_tiny_bench", Preprocessing("tiny", resize_px=56, crop_px=48)),
}


@register_model
def crossvit_tiny_bench(pretrained: bool = False, **kwargs) -> CrossVit:
    """CrossViT-18† for 48 px, 4 x 4 + 1 and 2 x 2 + 1 tokens: its module names, 1/500 of its parameters."""
    sizes = {
        "img_size": 48,
        "img_scale": (1.0, 32 / 48),
        "patch_size": (12, 16),
        "embed_dim": (8, 16),
        "depth": ((1, 6, 0),) * 3,
        "num_heads": (2, 2),
        "mlp_ratio": (3, 3, 1),
        "multi_conv": True,
    }
    hub = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
    return CrossVit(**sizes | {key: value for key, value in kwargs.items() if key not in hub})
