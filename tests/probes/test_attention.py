"""Attention is what the network computes: by hand from its queries and keys, of plain transformers and of CrossViT."""

import numpy as np
import pytest
import torch

from brainscore_submission.models.model import Model
from brainscore_submission.models.opening import open_model
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.probes.attention import ClassAttention, on_grid

PIXELS = torch.rand(3, 3, 160, 160, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def transformer():
    return open_model("timm:vit_tiny_patch16_224", weights="untrained", areas=(), device="cpu")


@torch.no_grad()
def test_the_class_token_of_a_vision_transformer(transformer):
    network = transformer.network.eval()
    pixels = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    kept = []
    handle = network.blocks[-1].attn.register_forward_pre_hook(lambda _module, args: kept.append(args[0]))
    before = network(transformer.prepare((pixels * 255).round().to(torch.uint8)))
    handle.remove()
    attn = network.blocks[-1].attn
    qkv = attn.qkv(kept[0]).unflatten(-1, (3, attn.num_heads, -1))
    query, key = qkv[:, :, 0].transpose(1, 2), qkv[:, :, 1].transpose(1, 2)
    wanted = (query @ key.transpose(-2, -1) * attn.head_dim**-0.5).softmax(-1)[:, :, 0, 1:]
    exact = (pixels * 255).round() / 255
    found = ClassAttention(transformer)(exact)
    assert found.shape == (2, 3, 14, 14)
    torch.testing.assert_close(found.flatten(2), wanted, atol=1e-6, rtol=1e-4)
    assert attn.fused_attn  # as it was
    torch.testing.assert_close(network(transformer.prepare((pixels * 255).round().to(torch.uint8))), before)


def test_both_class_tokens_of_a_crossvit(tiny_network, tiny_card):
    model = Model("tiny", tiny_card, tiny_network, {}, {})
    pixels = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    fine, coarse = (ClassAttention(model, source)(pixels) for source in ("cross-0", "cross-1"))
    assert fine.shape == (2, 2, 2, 2) and coarse.shape == (2, 2, 4, 4)  # over the patches of the other branch
    assert (fine > 0).all() and (fine.sum((2, 3)) < 1).all()
    torch.testing.assert_close(ClassAttention(model)(pixels), fine)
    with pytest.raises(UserError, match="unknown source of attention 'cross-3'. Did you mean cross-"):
        ClassAttention(model, "cross-3")


def test_any_batch_and_any_size_of_image(transformer):
    attention = ClassAttention(transformer)
    whole = attention(PIXELS)  # 160 px, shown at 224
    alone = torch.cat([attention(one[None]) for one in PIXELS])
    torch.testing.assert_close(whole, alone, atol=1e-6, rtol=1e-4)


def test_maps_on_another_grid_and_in_a_window():
    maps = torch.arange(16.0).reshape(1, 4, 4)
    np.testing.assert_allclose(on_grid(maps, (4, 4), 16)[0], maps[0] / 120)
    np.testing.assert_allclose(on_grid(maps, (2, 2), 16)[0], np.array([[10, 18], [42, 50]]) / 120)
    middle = on_grid(maps, (2, 2), 16, (slice(4, 12), slice(4, 12)))[0]
    np.testing.assert_allclose(middle, np.array([[5, 6], [9, 10]]) / 30)


def test_a_network_without_a_class_token_is_refused():
    resnet = open_model("timm:test_resnet", weights="untrained", areas=(), device="cpu")
    with pytest.raises(UserError, match="no class token whose attention could be read"):
        ClassAttention(resnet)
