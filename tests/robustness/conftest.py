"""Linear networks as models, whose robust accuracy has a closed form, and their images as an npz."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from brainscore_submission.labelled_images.images import read_labelled_images
from brainscore_submission.models.model import Model
from brainscore_submission.plugin.card import Card, Preprocessing, Weights
from brainscore_submission.robustness.classifiers import classifier_of
from brainscore_submission.robustness.recording import RecordBook

PX, N_CLASSES = 8, 5
SIZE = PX * PX * 3


@pytest.fixture
def linear(tmp_path):
    """A linear network, 30 images of which it gets about two thirds right, and what a command would open of them."""
    rng = np.random.default_rng(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIZE, N_CLASSES, bias=False))
    network[1].weight.data = torch.from_numpy(rng.standard_normal((N_CLASSES, SIZE))).float()
    card = Card(
        identifier="linear",
        architecture="linear",
        weights=Weights(file="none"),
        preprocessing=Preprocessing("eight", resize_px=PX, mean=(0.5,) * 3, std=(0.25,) * 3),
        num_classes=N_CLASSES,
    )
    model = Model("linear", card, network.eval(), {"sha256": "of the test"}, {}, batch_size=7)
    images = rng.integers(60, 196, (30, PX, PX, 3), dtype=np.uint8)
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        labels = network((pixels - 0.5) / 0.25).argmax(1).numpy()
    labels[::3] = (labels[::3] + 1) % N_CLASSES
    np.savez(tmp_path / "drawn.npz", image=images, label=labels)

    def read(where=tmp_path / "drawn.npz"):
        return read_labelled_images(where, card.preprocessing, N_CLASSES)

    def book(results=tmp_path / "results", images=None, **options):
        return RecordBook(model, read() if images is None else images, results, **options)

    return SimpleNamespace(
        model=model, classifier=classifier_of(model), read=read, book=book, path=tmp_path / "drawn.npz",
        pixels=pixels, labels=torch.from_numpy(labels), weights=network[1].weight.data / 0.25, images=images,
    )  # fmt: skip


@pytest.fixture
def margins(linear):
    """Each image's smallest difference of logits to another class, as pairs (difference, |w|_1 and |w|_2 of it)."""
    logits = (linear.pixels.flatten(1) - 0.5) @ linear.weights.T
    own = linear.weights[linear.labels]
    gaps = logits.gather(1, linear.labels[:, None]) - logits
    between = own[:, None] - linear.weights[None]  # (n, classes, pixels)
    return gaps.double(), between.double()
