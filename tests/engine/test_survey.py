"""Promises of candidates.py: what can be recorded, in the order of execution, each thing once."""

import pytest
import torch
from torch import nn

from brainscore_submission.engine.live_memory import LiveMemory
from brainscore_submission.engine.survey import choose, same_values_in_words, survey
from brainscore_submission.plugin.errors import UserError


class Odd(nn.Module):
    """One of everything that makes a module no candidate."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout()
        self.identity = nn.Identity()
        self.flat = nn.Flatten()
        self.never = nn.Linear(2, 2)
        self.late, self.early = nn.Linear(144, 5), nn.Linear(144, 6)
        self.alias = self.early
        self.pair = Pair()
        self.transposed = Transposed()
        self.constant = Constant()
        self.counter = Counter()

    def forward(self, images):
        hidden = self.identity(self.drop(self.relu(self.conv(images))))
        flat = self.flat(hidden)
        self.pair(flat), self.transposed(flat), self.constant(flat), self.counter(flat)
        return self.late(flat) + self.early(flat).mean()


class Pair(nn.Module):
    def forward(self, flat):
        return [flat, flat]


class Transposed(nn.Module):
    def forward(self, flat):
        return flat.T


class Token(nn.Module):
    """Gives its parameter as it is, as CaiT's class token comes by."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(2, 3))

    def forward(self, images):
        return self.token


def test_a_module_may_give_a_parameter():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.passed, self.token, self.head = nn.Identity(), Token(), nn.Linear(12, 5)

        def forward(self, images):
            return self.head(images.flatten(1)) + self.passed(self.token(images)).mean()

    network = Network().eval()
    found = survey(network, torch.randn(2, 3, 2, 2))
    assert "token" in {candidate.layer for candidate in found.candidates}
    assert all(parameter.requires_grad for parameter in network.parameters())


class Constant(nn.Module):
    def forward(self, flat):
        return torch.zeros(len(flat), 7)


class Counter(nn.Module):
    def forward(self, flat):
        return (flat > 0).sum(1, keepdim=True)


@pytest.fixture
def odd():
    torch.manual_seed(0)
    return survey(Odd().eval(), torch.randn(3, 3, 8, 8))


def test_candidates_stand_in_the_order_of_execution_each_set_of_values_once(odd):
    assert [candidate.layer for candidate in odd.candidates] == ["conv", "relu", "late", "early", "logits"]


def test_what_is_left_out_has_a_reason(odd):
    assert odd.left_out == {
        "drop": "the same values as relu",
        "identity": "the same values as relu",
        "flat": "the same values as relu",
        "never": "it never fires in a forward pass",
        "alias": "another name of early",
        "pair": "it yields a list, not one tensor",
        "transposed": "the first axis of what it yields is not the batch",
        "constant": "it says the same for every image",
        "counter": "it yields torch.int64 numbers",
    }
    assert odd.same_as == {"drop": "relu", "identity": "relu", "flat": "relu", "alias": "early"}


def test_an_in_place_relu_does_not_change_what_the_layer_before_it_said(odd):
    conv, relu = odd.candidates[:2]
    assert conv.shape == relu.shape == (4, 6, 6)
    assert relu.n_features == 144


def test_a_duplicate_and_an_alias_are_found_under_their_own_names(odd):
    assert odd.candidate("flat").layer == "relu"
    assert [c.layer for c in choose(odd, ["fla*", "alias"])] == ["relu", "early"]


def test_a_layer_goes_by_the_name_that_was_asked_for():
    torch.manual_seed(0)
    found = survey(Odd().eval(), torch.randn(3, 3, 8, 8), preferred=["con?", "fla*", "re:^dro"])
    assert [c.layer for c in found.candidates] == ["conv", "drop", "late", "early", "logits"]
    assert {found.same_as[layer] for layer in ("relu", "identity", "flat")} == {"drop"}
    assert same_values_in_words(found, ["fla*"], found.candidates) == ["flat = drop (same values)"]
    assert same_values_in_words(found, ["fla*"], found.candidates[:1]) == []


def test_depth_is_the_share_of_the_flops(odd):
    conv, late, early = 2 * 4 * 36 * 27, 2 * 144 * 5, 2 * 144 * 6
    total = conv + late + early
    expected = {"conv": conv, "relu": conv, "late": conv + late, "early": total, "logits": total}
    assert {c.layer: c.depth for c in odd.candidates} == pytest.approx({k: v / total for k, v in expected.items()})
    assert odd.flops == total


@pytest.mark.slow
def test_depth_of_the_papers_layers():
    import timm

    found = survey(timm.create_model("crossvit_18_dagger_408").eval(), torch.randn(2, 3, 224, 224))
    depth = {c.layer: c.depth for c in found.candidates}
    assert depth["blocks.1.blocks.1.0.norm1"] == pytest.approx(0.403, abs=0.002)
    assert depth["blocks.1.blocks.1.4.norm2"] == pytest.approx(0.606, abs=0.002)
    assert depth["blocks.2.revert_projs.1.2"] > 0.999


def test_filters(tiny_network):
    found = survey(tiny_network, torch.randn(3, 3, 48, 48))
    names = [c.layer for c in found.candidates]
    assert [c.layer for c in choose(found, ["blocks.1.*norm1"])] == [
        n for n in names if n.startswith("blocks.1.") and n.endswith("norm1")
    ]
    assert [c.layer for c in choose(found, [r"re:^head\.\d$"])] == ["head.0", "head.1"]
    assert {kind for c in choose(found, kinds=["norm"]) for kind in c.kinds[:1]} == {"norm"}
    # What an attention module yields is what its projection yields: found by either's kind.
    assert "blocks.1.blocks.1.0.attn.proj" in [c.layer for c in choose(found, kinds=["attn"])]
    tenth = [c.layer for c in choose(found, every=10)]
    assert tenth == names[::-1][::10][::-1] and tenth[-1] == "logits"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patterns": ["blocks.7.*"]}, "matches no layer"),
        ({"patterns": ["re:("]}, "is no regular expression"),
        ({"patterns": ["pai?"]}, "layer 'pair' cannot be searched: it yields a list"),
        ({"kinds": ["nrom"]}, "unknown kind 'nrom'. Did you mean norm"),
        ({"kinds": ["pool"]}, "no layer is left"),
        ({"every": 0}, "--every 0"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(odd, arguments, message):
    with pytest.raises(UserError, match=message):
        choose(odd, **arguments)


def test_an_unknown_layer_is_refused_with_a_suggestion(odd):
    with pytest.raises(UserError, match="unknown layer 'con'. Did you mean conv"):
        odd.candidate("con")


def test_a_survey_leaves_no_hooks(tiny_network):
    survey(tiny_network, torch.randn(3, 3, 48, 48))
    assert not [name for name, module in tiny_network.named_modules() if module._forward_hooks]


def test_live_memory_counts_what_python_holds_and_no_weights():
    layer = nn.Linear(100, 100)
    with LiveMemory(layer) as live, torch.no_grad():
        kept = layer(torch.zeros(10, 100))
        view = kept.view(-1)
        assert (live.now, len(view)) == (4000, 1000)
        assert live.peak == 8000
        del kept, view
        assert live.now == 0
        _ = layer.weight.t()
        assert live.now == 0


def test_a_module_named_logits_is_not_taken_for_the_output():
    named = {"features": nn.Flatten(), "logits": nn.Linear(12, 5), "head": nn.Linear(5, 2)}
    network = nn.Sequential()
    for name, module in named.items():
        network.add_module(name, module)
    found = survey(network.eval(), torch.rand(3, 3, 2, 2))
    shapes = {candidate.layer: candidate.shape for candidate in found.candidates}
    assert (5,) not in shapes.values() and (2,) in shapes.values()
