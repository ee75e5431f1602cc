"""The five models of the paper, at their real size: card -> zip -> accepted. Random weights stand in for theirs."""

import zipfile
from pathlib import Path

import pytest
import timm
import torch

from brainscore_submission.checking import check
from brainscore_submission.checking.dry_run import dry_run, evaluate_scores
from brainscore_submission.packaging import package
from brainscore_submission.plugin.card import all_cards, find_card
from brainscore_submission.plugin.layer_map import read_layer_map

LAYER_MAPS = Path(__file__).parent.parent / "layer_maps"
LOCATION = "s3:brainscore-storage/brainscore-vision/models/user_1/stand_in.pt@abc"
MODELS = [card.identifier for card in all_cards()]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """A checkpoint of the true format and size in a mirror folder."""
    path = tmp_path_factory.mktemp("mirror") / "stand_in.pt"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = timm.create_model("crossvit_18_dagger_408")
    torch.save({"state_dict": network.state_dict()}, path)
    return path


@pytest.fixture
def packed(stand_in, tmp_path, monkeypatch):
    """Model -> its zip; the plugin's weights come from the mirror."""
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", str(stand_in.parent))

    def build(model):
        card = find_card(model)
        layers = read_layer_map(LAYER_MAPS / f"{card.identifier}.json")
        return package(card, layers, "paper_model_again", tmp_path, LOCATION, weights=stand_in)

    return build


@pytest.mark.parametrize("model", MODELS)
def test_a_model_of_the_paper_passes_the_check(model, packed):
    verdict = check(packed(model), timeout=3600)
    assert verdict.passed, verdict.failures
    assert verdict.of("advice") == ()
    areas = {finding.rule: finding.message for finding in verdict.findings if finding.rule.startswith("area-")}
    assert all("258496 neuroids" in message for message in areas.values())
    assert len(areas) == 4


def test_the_leaderboards_dry_run_gives_the_evaluations_numbers(packed, tmp_path):
    with zipfile.ZipFile(packed("991")) as archive:
        archive.extractall(tmp_path)
    plugin = tmp_path / "paper_model_again" / "models" / "paper_model_again"
    assert dry_run(plugin, plugin.name) == evaluate_scores(plugin, plugin.name)
