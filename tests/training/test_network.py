"""What recipes start from: the networks they name are there, with their classes, sizes and dropped paths."""

import dataclasses

import pytest
import torch
from timm.layers import DropPath

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.training.cost import flops_per_image
from brainscore_submission.training.network import open_network
from brainscore_submission.training.recipes import read_recipe


def untrained(recipe_name, **model):
    recipe = read_recipe(recipe_name)
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, weights="untrained", **model))


@pytest.mark.parametrize(
    ("name", "px", "classes", "passes"),
    [
        ("vit_s_convstem", 224, 1000, 2.4),  # two attack passes of 2 forward passes each, one step of 3
        ("light_xcit", 224, 1000, 1.67),
        ("light_trades_cifar", 32, 10, 3.67),  # and one pass for the clean logits, and a second trained on
    ],
)
def test_recipes_open_their_networks(name, px, classes, passes):
    recipe = untrained(name)
    opened = open_network(recipe)
    assert opened.card.preprocessing.input_px == px and opened.card.num_classes == classes
    assert opened.network(torch.zeros(2, 3, px, px)).shape == (2, classes)
    dropped = {part.drop_prob for part in opened.network.modules() if isinstance(part, DropPath)} - {0.0}
    assert max(dropped, default=0.0) == pytest.approx(recipe.model.drop_path)
    flops = flops_per_image(opened, recipe)
    assert 1.4 < flops["step"] / flops["clean_step"] <= passes


def test_another_number_of_classes_keeps_all_else(network):
    recipe = untrained("tiny", name=str(network))
    before = open_network(recipe).network.state_dict()
    opened = open_network(dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, num_classes=3)))
    after = opened.network.state_dict()
    fresh = [name for name, tensor in after.items() if tensor.shape != before[name].shape]
    assert fresh == ["fc.weight", "fc.bias"] and "random to begin with: fc.weight, fc.bias" in opened.notes
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items() if name not in fresh)


def test_dropped_paths_of_a_network_that_has_none_are_refused():
    with pytest.raises(UserError, match="takes no drop_path"):
        open_network(untrained("tiny", name="timm:vgg11", drop_path=0.1))
    with pytest.raises(UserError, match="are for networks of timm"):
        open_network(untrained("tiny", name="torchvision:resnet18", drop_path=0.1))
