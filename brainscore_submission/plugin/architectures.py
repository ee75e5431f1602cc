"""Networks that timm can build and has no name for: registered under one, so that a card can say it."""

from functools import partial
from typing import Any

from timm.layers import HybridEmbed, LayerNorm2d
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import ConvStem
from torch import nn

# What timm's own factory passes on, and no network takes.
OF_THE_HUB = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


@register_model
def vit_small_convstem(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """ViT-S/16 with four convolutions of stride 2 instead of its patch embedding, after Singh et al. (2023)."""
    if pretrained:
        raise RuntimeError("vit_small_convstem has no pretrained weights")
    stem = ConvStem(
        depth=4,
        channels=(48, 96, 192, 384),
        kernel_size=3,
        stride=(2, 2, 2, 2),
        padding=1,
        norm_layer=LayerNorm2d,
        act_layer=nn.GELU,
    )
    given = {name: value for name, value in options.items() if name not in OF_THE_HUB}
    embed = partial(HybridEmbed, backbone=stem, proj=False)
    return VisionTransformer(
        **{"patch_size": 1, "embed_dim": 384, "depth": 12, "num_heads": 6, "embed_layer": embed} | given
    )
