"""A classifier that sees whether anything is bright, and images with planted bright cells."""

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

PX, SIDE, N_IMAGES, PLANTED = 8, 4, 600, 2


class AnythingBright(nn.Module):
    """Class 1 if the brightest pixel is above .5, else class 0. Counts the images it sees."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 2)
        self.linear.weight.data, self.linear.bias.data = torch.tensor([[0.0], [1.0]]), torch.tensor([0.5, 0.0])
        self.seen = 0

    def forward(self, pixels):
        self.seen += len(pixels)
        return self.linear(pixels.flatten(1).amax(1, keepdim=True))


@pytest.fixture
def planted(tmp_path):
    """600 black images of 4 x 4 cells, 2 cells of each white, all of class 1; and what a command would open of them."""
    rng = np.random.default_rng(0)
    cells = np.zeros((N_IMAGES, SIDE * SIDE), dtype=bool)
    for row in cells:
        row[rng.permutation(SIDE * SIDE)[:PLANTED]] = True
    cells = cells.reshape(-1, SIDE, SIDE)
    images = np.repeat(255 * np.kron(cells, np.ones((2, 2), dtype=np.uint8))[..., None], 3, axis=-1)
    np.savez(tmp_path / "planted.npz", image=images.astype(np.uint8), label=np.ones(N_IMAGES, dtype=np.int64))
    card = Card(
        identifier="bright",
        architecture="bright",
        weights=Weights(file="none"),
        preprocessing=Preprocessing("eight", resize_px=PX, mean=(0.0,) * 3, std=(1.0,) * 3),
        num_classes=2,
    )
    network = AnythingBright().eval()

    def model(batch_size=64):
        return Model("bright", card, network, {"sha256": "of the test"}, {}, batch_size=batch_size)

    shown = read_labelled_images(tmp_path / "planted.npz", card.preprocessing, 2)

    def book(folder="results", images=shown, batch_size=64, **options):
        return RecordBook(model(batch_size), images, tmp_path / folder, suite="probes", **options)

    return SimpleNamespace(book=book, classifier=classifier_of(model()), images=shown, cells=cells, network=network)
