"""The leaderboard's dry run: through Brain-Score's registry, equal to evaluate.py to the last digit."""

import hashlib
import zipfile

import pytest
import timm
import torch

from brainscore_submission.checking import running
from brainscore_submission.checking.dry_run import evaluate_scores, own_scores_of, weights_of
from brainscore_submission.checking.running import Trial
from brainscore_submission.checking.sandbox import Sandbox
from brainscore_submission.checking.wall import why_no_wall
from brainscore_submission.packaging import package
from brainscore_submission.plugin.card import Card, Preprocessing, Source, Weights

NAME = "tiny_resnet_of_ours"
LAYERS = {"V1": "layer1", "V2": "layer2", "V4": "layer3", "IT": "layer4", "behavior": "layer4"}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An extracted package of timm's smallest ResNet."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        torch.save({"state_dict": timm.create_model("test_resnet").state_dict()}, tmp_path / "tiny.pt")
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", str(tmp_path))
    sha1 = hashlib.sha1((tmp_path / "tiny.pt").read_bytes()).hexdigest()
    card = Card(
        identifier="tiny",
        architecture="test_resnet",
        weights=Weights("tiny.pt", sha1=sha1, sources=(Source("s3", "bucket", "tiny.pt", "v"),)),
        preprocessing=Preprocessing("small", resize_px=72, crop_px=64),
        behavior_layer="layer4",
    )
    with zipfile.ZipFile(package(card, LAYERS, NAME, tmp_path)) as archive:
        archive.extractall(tmp_path)
    return tmp_path / NAME / "models" / NAME


def dry_run(plugin, tmp_path):
    """Scores through Brain-Score's registry, in a process of its own, and what was found on the way."""
    weights = weights_of(plugin, NAME, print)
    sandbox = Sandbox(tmp_path / "sandbox", wall=why_no_wall() is None, weights=weights)
    return running.dry_run(Trial(sandbox, Sandbox(tmp_path / "court"), plugin, NAME, timeout=3600))


@pytest.mark.slow
def test_the_dry_run_gives_the_evaluations_numbers_to_the_last_digit(plugin, tmp_path):
    scores, _ = dry_run(plugin, tmp_path)
    assert list(scores) == ["demo.V1-pls", "demo.V2-pls", "demo.V4-pls", "demo.IT-pls", "demo.behavior-i2n"]
    assert len(set(scores.values())) == 5
    assert scores == evaluate_scores(plugin, NAME)


def test_a_plugin_that_cannot_be_loaded_has_no_scores_and_a_reason(plugin, tmp_path):
    (plugin / "region_layer_map" / f"{NAME}.json").unlink()
    scores, findings = dry_run(plugin, tmp_path)
    assert scores is None
    assert "stops after 0 benchmarks" in findings[0].message and "region_layer_map" in findings[0].message


def test_only_this_projects_plugins_have_numbers_to_compare_with(plugin):
    assert own_scores_of(plugin) is evaluate_scores
    assert [name for name in weights_of(plugin, NAME, print)] == ["tiny.pt"]
    (plugin / "card.py").unlink()
    assert own_scores_of(plugin) is None
    assert weights_of(plugin, NAME, print) == {}
