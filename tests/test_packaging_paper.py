"""The five models of the paper, at their real size: card -> zip -> accepted. Random weights stand in for theirs."""

import zipfile

import pytest
import timm
import torch

from brainscore_submission.checking import check, running
from brainscore_submission.checking.dry_run import evaluate_scores, weights_of
from brainscore_submission.checking.running import Trial
from brainscore_submission.checking.sandbox import Sandbox
from brainscore_submission.checking.wall import why_no_wall
from brainscore_submission.models.opening import committed_model
from brainscore_submission.packaging import package
from brainscore_submission.plugin.card import all_cards

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
        card, layers, _ = committed_model(model)
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
    weights = weights_of(plugin, plugin.name, print)
    sandbox = Sandbox(tmp_path / "sandbox", wall=why_no_wall() is None, weights=weights)
    scores, findings = running.dry_run(Trial(sandbox, Sandbox(tmp_path / "court"), plugin, plugin.name, timeout=3600))
    assert scores == evaluate_scores(plugin, plugin.name), findings
