"""Promises of plugin/hooks.py: the right output of the right module, and no forward pass past the deepest one."""

import contextlib

import pytest
import torch
from torch import nn

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.hooks import layer_outputs, module_of, probe, tf32_arithmetic

LAYERS = ["blocks.1.blocks.1.4.norm2", "blocks.1.blocks.1.0.norm1"]


@pytest.fixture
def images():
    return torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def test_logits_are_the_mean_of_both_heads_where_brainscores_default_is_one_head(tiny_network, images):
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper

    heads = {}
    for i, head in enumerate(tiny_network.head):
        head.register_forward_hook(lambda _m, _i, output, i=i: heads.__setitem__(i, output))
    with torch.no_grad():
        expected = tiny_network(images)
    logits = layer_outputs(tiny_network, images, ["logits"])["logits"]
    assert torch.equal(logits, expected)
    assert torch.allclose(logits, (heads[0] + heads[1]) / 2, atol=1e-6)

    brainscores = PytorchWrapper(tiny_network, preprocessing=None, identifier="default")
    theirs = torch.from_numpy(brainscores.get_activations(list(images), ["logits"])["logits"])
    assert torch.equal(theirs, heads[1])
    assert (theirs - logits).abs().max() > 0.01


def test_early_exit_changes_no_bit_and_runs_nothing_deeper(tiny_network, images):
    ran = []
    for name, module in tiny_network.named_modules():
        module.register_forward_hook(lambda _m, _i, _o, name=name: ran.append(name))
    firings = probe(tiny_network, images[:1], LAYERS)
    full = layer_outputs(tiny_network, images, LAYERS)
    ran.clear()
    early = layer_outputs(tiny_network, images, LAYERS, firings)
    assert all(torch.equal(full[layer], early[layer]) for layer in LAYERS)
    assert "blocks.1.blocks.1.4.norm2" in ran
    assert not [name for name in ran if name.startswith(("blocks.1.blocks.1.4.mlp", "blocks.2", "head"))]


def test_probe_tells_execution_order_and_shapes(tiny_network, images):
    firings = probe(tiny_network, images, LAYERS)
    assert list(firings) == LAYERS[::-1]
    assert firings[LAYERS[0]].shape == (5, 16)
    assert firings[LAYERS[0]].n_features == 80


def test_a_layer_that_fires_twice_yields_its_last_output_with_and_without_early_exit():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.twofold = nn.Linear(2, 2, bias=False)
            nn.init.eye_(self.twofold.weight)
            self.twofold.weight.data *= 2
            self.after = nn.Identity()

        def forward(self, x):
            return self.after(self.twofold(self.twofold(x)))

    network, ones = Twice().eval(), torch.ones(1, 2)
    firings = probe(network, ones, ["twofold"])
    assert firings["twofold"].count == 2
    assert layer_outputs(network, ones, ["twofold"], firings)["twofold"].tolist() == [[4.0, 4.0]]
    assert layer_outputs(network, ones, ["twofold"])["twofold"].tolist() == [[4.0, 4.0]]


def test_an_in_place_layer_that_follows_does_not_overwrite_the_output():
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(inplace=True)).eval()
    nn.init.constant_(network[0].weight, -1.0)
    outputs = layer_outputs(network, torch.ones(1, 2), ["0", "1"])
    assert outputs["0"].tolist() == [[-2.0, -2.0]]
    assert outputs["1"].tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("blocks.1", "yields a list, not one tensor"),
        ("blocks.1.blocks", "never fires"),
        ("blocks.1.blocks.1.0.norm3", "Did you mean blocks.1.blocks.1.0.norm"),
        ("", "unknown layer"),
    ],
)
def test_unusable_layers_are_named(tiny_network, images, layer, message):
    with pytest.raises(UserError, match=message):
        layer_outputs(tiny_network, images, [layer])
    assert not any(module._forward_hooks for module in tiny_network.modules())


def test_hooks_are_gone_after_an_error_in_the_network(tiny_network):
    with pytest.raises(RuntimeError):
        layer_outputs(tiny_network, torch.ones(1, 5, 48, 48), LAYERS)  # five channels
    assert not any(module._forward_hooks for module in tiny_network.modules())


def test_logits_stand_for_the_whole_network(tiny_network):
    assert module_of(tiny_network, "logits") is tiny_network


@pytest.mark.filterwarnings("ignore:Please use the new API settings:UserWarning")
@pytest.mark.parametrize(("arithmetic", "tf32"), [(contextlib.nullcontext, False), (tf32_arithmetic, True)])
def test_products_and_convolutions_agree_on_tf32_whatever_the_environment_set(tiny_network, images, arithmetic, tf32):
    seen = []
    tiny_network.register_forward_hook(
        lambda *_: seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
    )
    torch.set_float32_matmul_precision("medium")
    try:
        with arithmetic():
            layer_outputs(tiny_network, images, ["logits"])
        assert seen == [("high" if tf32 else "highest", tf32)]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
