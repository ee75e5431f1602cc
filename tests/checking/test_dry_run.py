"""The leaderboard's dry run: through Brain-Score's registry, equal to evaluate.py to the last digit."""

import hashlib
import zipfile

import pytest
import timm
import torch

from brainscore_submission.checking.dry_run import dry_run, evaluate_scores, own_scores_of
from brainscore_submission.packaging import package
from brainscore_submission.plugin.card import Card, Preprocessing, Source, Weights
from brainscore_submission.plugin.errors import UserError

NAME = "tiny_resnet_of_ours"
LAYERS = {"V1": "layer1", "V2": "layer2", "V4": "layer3", "IT": "layer4"}


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


def test_the_dry_run_gives_the_evaluations_numbers_to_the_last_digit(plugin):
    scores = dry_run(plugin, NAME)
    assert list(scores) == ["demo.V1-pls", "demo.V2-pls", "demo.V4-pls", "demo.IT-pls", "demo.behavior-i2n"]
    assert len(set(scores.values())) == 5
    assert scores == evaluate_scores(plugin, NAME)


def test_a_plugin_that_cannot_be_loaded_is_a_user_error(plugin):
    (plugin / "region_layer_map" / f"{NAME}.json").unlink()
    with pytest.raises(UserError, match="stops after 0 benchmarks.*region_layer_map"):
        dry_run(plugin, NAME)


def test_only_this_projects_plugins_have_numbers_to_compare_with(plugin):
    assert own_scores_of(plugin) is evaluate_scores
    (plugin / "card.py").unlink()
    assert own_scores_of(plugin) is None
