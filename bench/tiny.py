"""The network of the paper made small: its module names, 1/500 of its parameters. timm only."""

from __future__ import annotations

from timm.models import register_model
from timm.models.crossvit import CrossVit

from brainscore_submission.plugin.card import Preprocessing

TINY = "crossvit_tiny_bench"
TINY_PREPROCESSING = Preprocessing("tiny", resize_px=56, crop_px=48)


@register_model
def crossvit_tiny_bench(pretrained: bool = False, **kwargs) -> CrossVit:
    """CrossViT-18† for 48 px: 4 x 4 + 1 and 2 x 2 + 1 tokens."""
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
