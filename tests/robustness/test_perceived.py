"""Pictures of perturbations on disk, and what judges see in them."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from brainscore_submission.attacks.pgd import pgd
from brainscore_submission.attacks.threats import Threat
from brainscore_submission.models.model import Model
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.perceived import measure_semantics

THREAT = Threat("linf", 4 / 255)


@pytest.fixture
def judges(linear):
    """The network itself, one that has its weights with the opposite sign, and a constant one."""

    def model(name, weights):
        network = nn.Sequential(nn.Flatten(), nn.Linear(weights.shape[1], len(weights), bias=False))
        network[1].weight.data = weights.clone()
        return Model(name, linear.model.card, network.eval(), {"sha256": name}, {}, batch_size=8)

    own = linear.model.network[1].weight.data
    return [model("itself", own), model("opposite", -own), model("zero", own * 0)]


def test_a_linear_network_sees_the_class_in_its_own_negated_perturbation(linear, judges):
    found = {one.record.measured.settings["judge"]: one for one in measure_semantics(
        linear.book(), linear.classifier, THREAT, judges
    )}  # fmt: skip
    value = {name: one.record.measured.value for name, one in found.items()}
    assert value["itself"] > 0.9 and value["opposite"] < 0.1
    zeros = linear.labels.numpy()[np.arange(30) % 3 != 0] == 0
    assert value["zero"] == pytest.approx(zeros.mean())  # a tie goes to class 0
    assert all(
        one.record.measured.n == 20 and one.record.measured.metric == "perturbation_top1" for one in found.values()
    )
    assert found["itself"].record.measured.settings["top5"] == 1.0


def test_the_pictures_hold_the_perturbations(linear, judges):
    book = linear.book()
    measure_semantics(book, linear.classifier, THREAT, judges[:1])
    folder = book.folder / "drawn.perturbations.linf-4-255"
    rows = list(csv.DictReader((folder / "labels.csv").read_text().splitlines()))
    assert len(rows) == 20
    correct = torch.arange(30) % 3 != 0
    names = [str(number) for number in range(30) if number % 3]
    attack = pgd(
        linear.classifier, linear.pixels[correct], linear.labels[correct], THREAT, steps=100, identities=names
    )  # fmt: skip
    delta = attack.adversarial - linear.pixels[correct]
    saved = torch.stack([torch.from_numpy(np.array(Image.open(folder / row["file"]))) for row in rows])
    back = THREAT.eps * (1 - 2 * saved.permute(0, 3, 1, 2).double() / 255)
    assert float((back - delta).abs().max()) <= THREAT.eps / 255 * 1.001


def test_what_cannot_be_drawn(linear, judges):
    with pytest.raises(UserError, match="give for example linf:4/255, not l2:3.0"):
        measure_semantics(linear.book(), linear.classifier, Threat("l2", 3.0), judges)
    wrong = linear.book(images=linear.read().of(range(0, 30, 3)))
    with pytest.raises(UserError, match="none of 10 images is classified correctly"):
        measure_semantics(wrong, linear.classifier, THREAT, judges)
