"""A network fine-tuned, as it was, and untrained: scored by one command, and told apart by one."""

import json

import pytest
import torch
from torch.nn import functional as F

from analysis.differences import main as differences
from brainscore_submission.cli import EVALUATE_HELP
from brainscore_submission.cli import evaluate as evaluate_command
from brainscore_submission.models.opening import describe
from brainscore_submission.plugin.checkpoint import build_network

LIST = """
[[models]]
model = "timm:test_resnet"
name = "fine-tuned"
weights = "tuned.pth"

[[models]]
model = "timm:test_resnet"
name = "as it was"
weights = "before.pth"

[[models]]
model = "timm:test_resnet"
weights = "untrained:3"
"""


@pytest.fixture
def typed(demo_cache, tmp_path, monkeypatch, in_this_process):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run_here(command, help_text, *words):
        code, out, _ = in_this_process(command, *words, program="evaluate.py", help_text=help_text)
        assert code == 0
        return out

    return run_here


def fine_tuned(network, steps=3):
    """The network after a few steps of gradient descent on noise with labels: other weights, near the old ones."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 160, 160, generator=random)
    labels = torch.arange(8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network


def test_three_states_of_one_network_stand_side_by_side_and_every_pair_has_a_verdict(typed, tmp_path):
    network = build_network(describe("timm:test_resnet"), seed=5)
    torch.save(network.state_dict(), "before.pth")
    torch.save(fine_tuned(network).state_dict(), "tuned.pth")
    (tmp_path / "models.toml").write_text(LIST)
    layers = ("--layers", "V4=layer3,IT=layer4")
    table = typed(
        evaluate_command, EVALUATE_HELP, "--models", "models.toml", "--suite", "demo", "--areas", "V4", *layers
    )
    names = ["fine-tuned", "as it was", "timm_test_resnet_r160_in1k-untrained-3"]
    for name in names[:2]:
        assert name in table
    records = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("demo.V4-pls.json")]
    assert {record["model"] for record in records} == set(names)
    assert len({record["weights"]["sha256"] for record in records if not record["weights"]["untrained"]}) == 2
    assert [record["model"] for record in records if "UNTRAINED" in record["marks"]] == names[2:]
    said = typed(differences, None, "results")
    verdicts = [line for line in said.splitlines() if " is better than " in line or "cannot tell" in line]
    assert len(verdicts) == 3, said
