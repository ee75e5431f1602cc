"""Shared fixtures: a CrossViT small enough for a second, its card, and a few images."""

import dataclasses
import hashlib
import os
import tempfile

os.environ["BS_INSTALL_DEPENDENCIES"] = "no"  # Brain-Score would run pip at import otherwise.
os.environ["TQDM_DISABLE"] = "1"
# Both are read at import. Brain-Score caches activations and placed stimuli by identifier: never across test runs.
os.environ["RESULTCACHING_HOME"] = tempfile.mkdtemp(prefix="test-result-caching-")
os.environ["BRAINSCORE_HOME"] = tempfile.mkdtemp(prefix="test-brain-score-")

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models import register_model
from timm.models.crossvit import CrossVit

from brainscore_submission.plugin.card import Card, Preprocessing, Weights

TINY = "crossvit_tiny_test"


@register_model
def crossvit_tiny_test(pretrained: bool = False, **kwargs) -> CrossVit:
    """The network of the paper with its module names and 384 tensors, and 1/500 of its parameters."""
    assert not pretrained
    sizes = {
        "img_size": 48,
        "img_scale": (1.0, 32 / 48),
        "patch_size": (12, 16),  # 4 x 4 + 1 and 2 x 2 + 1 tokens
        "embed_dim": (8, 16),
        "depth": ((1, 6, 0),) * 3,
        "num_heads": (2, 2),
        "mlp_ratio": (3, 3, 1),
        "multi_conv": True,
    }
    hub = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
    return CrossVit(**sizes | {key: value for key, value in kwargs.items() if key not in hub})


def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """What fixtures draw for many tests is the same whichever of these comes first."""
    _seed()


@pytest.fixture(autouse=True)
def _own_chance():
    """What a test draws, with fixtures of its own, is the same whatever ran before."""
    _seed()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test reads or fills the user's cache, or listens to the user's mirror and credentials."""
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("BRAINSCORE_SUBMISSION_MIRROR", raising=False)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory) -> Path:
    """A cache folder in which the demo suite's stimuli are drawn once for all tests: name it in the environment."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo-cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def tiny_card() -> Card:
    """A card of the tiny CrossViT, without hash or source: use it with ``weights="untrained"`` or a path."""
    return Card(
        identifier=TINY,
        architecture=TINY,
        weights=Weights(file="tiny.pt", layout="state_dict"),
        preprocessing=Preprocessing("tiny", resize_px=56, crop_px=48),
        title="CrossViT, tiny, for tests",
        training="none",
        behavior_layer="blocks.2.revert_projs.1.2",
    )


@pytest.fixture
def tiny_network():
    """The tiny CrossViT itself, in eval mode, the same random weights each time."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return timm.create_model(TINY).eval()


@pytest.fixture
def image_folder(tmp_path) -> Path:
    """Six different 64 x 64 RGB images, image_0.png to image_5.png."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(6):
        pixels = np.random.default_rng(index).integers(0, 256, size=(64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"image_{index}.png")
    return folder


@pytest.fixture
def content(tmp_path, tiny_network) -> bytes:
    """The bytes of a checkpoint of `tiny_network`."""
    import torch

    path = tmp_path / "content.pt"
    torch.save({"state_dict": tiny_network.state_dict()}, path)
    return path.read_bytes()


@pytest.fixture
def card_from(tiny_card, content, monkeypatch):
    """`card_from(*sources)`: the card of a checkpoint of these bytes, to be fetched from there without waiting."""
    from brainscore_submission.plugin import fetching

    monkeypatch.setattr(fetching, "RETRY_SECONDS", 0)

    def build(*sources, hashed=True) -> Card:
        sha1 = hashlib.sha1(content).hexdigest() if hashed else None
        return dataclasses.replace(tiny_card, weights=Weights("tiny.pt", "state_dict", sha1=sha1, sources=sources))

    return build


@pytest.fixture
def left_over():
    """`left_over(card)`: names of what lies in the card's folder of the cache, lock files aside."""
    from brainscore_submission.plugin.fetching import weights_path

    def names(card) -> list[str]:
        return sorted(path.name for path in weights_path(card).parent.iterdir() if path.suffix != ".lock")

    return names


@pytest.fixture
def in_this_process(monkeypatch, capsys):
    """`in_this_process(command, *words)`: as a program would run; exit code, standard output and error."""
    from brainscore_submission.cli import run

    def run_here(command, *words, program="brainscore-submission", help_text=None):
        monkeypatch.setattr(sys, "argv", [program, *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            run(command, help_text)
        return ended.value.code or 0, *capsys.readouterr()

    return run_here
