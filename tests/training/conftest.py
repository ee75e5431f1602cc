"""Digits as image files, a small network as a card, recipes with values changed, the command in this process."""

from functools import partial

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from brainscore_submission.training.recipes import RECIPES

CARD = """identifier = "{identifier}"
architecture = "{architecture}"
num_classes = 10
behavior_layer = "{behavior}"
[weights]
file = "none.pt"
layout = "bare"
[preprocessing]
name = "digits"
resize_px = {px}
interpolation = "nearest"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
"""
LAYERS = '{"V1": "layer1", "V2": "layer2", "V4": "layer3", "IT": "layer4"}'


@pytest.fixture(autouse=True)
def _one_thread():
    """Small networks are slower on two threads, and results of other numbers of threads differ in the last bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_digits(folder, n_images, px):
    """scikit-learn's digits, one folder a class."""
    data = load_digits()
    for number in range(n_images):
        place = folder / str(data.target[number])
        place.mkdir(parents=True, exist_ok=True)
        levels = (data.images[number] * 255 / 16).round().astype("uint8")
        Image.fromarray(levels).resize((px, px), Image.Resampling.NEAREST).convert("RGB").save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """600 digits of 16 x 16 px."""
    return write_digits(tmp_path_factory.mktemp("digits") / "images", 600, 16)


@pytest.fixture(scope="session")
def all_digits(tmp_path_factory):
    """All 1797."""
    return write_digits(tmp_path_factory.mktemp("digits") / "images", 1797, 16)


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A card of timm's smallest ResNet for digits, its layer map beside it: what is typed after --model."""
    folder = tmp_path_factory.mktemp("network")
    text = CARD.format(identifier="tiny_digits", architecture="test_resnet", behavior="layer4", px=16)
    (folder / "tiny_digits.toml").write_text(text)
    (folder / "tiny_digits.json").write_text(LAYERS)
    return folder / "tiny_digits.toml"


@pytest.fixture(scope="session")
def without_batchnorm(tmp_path_factory):
    """A card of timm's smallest ConvNeXt: LayerNorm alone."""
    path = tmp_path_factory.mktemp("network") / "tiny_convnext.toml"
    path.write_text(CARD.format(identifier="tiny_convnext", architecture="test_convnext", behavior="head", px=32))
    return path


@pytest.fixture
def recipe(tmp_path):
    """`recipe(old=new, …)`: the recipe `tiny` with texts replaced, as a file to be typed."""

    def write(*changes, name="mine.toml"):
        text = (RECIPES / "tiny.toml").read_text()
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.fixture
def typed(monkeypatch, in_this_process):
    """Run the command in this process: exit code, standard output, standard error."""
    from brainscore_submission.cli import app

    monkeypatch.setenv("COLUMNS", "120")
    return partial(in_this_process, app)
