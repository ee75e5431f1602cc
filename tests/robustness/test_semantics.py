"""Pictures of perturbations hold the perturbation, and its evidence."""

import pytest
import torch
from torch import nn

from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.attacks.pgd import pgd
from brainscore_submission.attacks.threats import Threat
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.semantics import perturbation_pictures

EPS = 4 / 255


def attacked():
    """A linear network that knows its classes by a pattern each, and PGD's images."""
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 5, bias=False))
    network[1].weight.data = torch.randn(5, 192, generator=generator)
    pixels = 0.2 + 0.6 * torch.rand(40, 3, 8, 8, generator=generator)
    classifier = Classifier(network.eval(), mean=0.5)
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    return classifier, pixels, labels, pgd(classifier, pixels, labels, Threat("linf", EPS), steps=20).adversarial


def test_a_picture_gives_its_perturbation_back():
    _, pixels, _, adversarial = attacked()
    pictures = perturbation_pictures(adversarial, pixels, EPS)
    assert pictures.dtype == torch.uint8 and pictures.shape == pixels.shape
    back = (EPS - pictures.double() / 255 * 2 * EPS).float()
    torch.testing.assert_close(back, adversarial - pixels, rtol=0, atol=EPS / 255)


def test_the_picture_of_a_perturbation_is_classified_as_the_class_it_took_away():
    classifier, pixels, labels, adversarial = attacked()
    pictures = perturbation_pictures(adversarial, pixels, EPS).float() / 255
    with torch.no_grad():
        assert float((classifier(pictures).argmax(1) == labels).float().mean()) > 0.95


def test_another_radius_is_refused():
    _, pixels, _, adversarial = attacked()
    with pytest.raises(UserError, match="give the attack's own eps"):
        perturbation_pictures(adversarial, pixels, EPS / 2)
    with pytest.raises(UserError, match="radius of 0"):
        perturbation_pictures(pixels, pixels, 0.0)
