"""A model as users name it -> the function that is attacked; and what it answers to clean images."""

from __future__ import annotations

import torch
from torch import Tensor

from ..attacks.classifier import Classifier
from ..models.model import Model
from ..plugin.errors import UserError
from ..plugin.hooks import exact_arithmetic


def classifier_of(model: Model) -> Classifier:
    """Normalisation and network of a model, on its device: pixels in [0, 1] -> logits.

    The pixels are those of the card's own preprocessing, so that what is attacked is what is scored.

    Raises
    ------
    UserError
        another precision than float32: an attack on rounded arithmetic measures the rounding
    """
    if model.precision != "float32":
        raise UserError(f"attacks are computed in float32, not {model.precision}.")
    preprocessing = model.card.preprocessing
    return Classifier(model.network.to(model.device).eval(), preprocessing.mean, preprocessing.std)


def clean_logits(classifier: Classifier, pixels: Tensor) -> Tensor:
    """What the classifier says of images as they are: float32 of shape (n, classes)."""
    with torch.no_grad(), exact_arithmetic():
        return classifier(pixels)
