"""mCE: a network whose errors are planted, numpy on them, the baseline itself, and folders that lack something."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from brainscore_submission.labelled_images.images import read_labelled_images
from brainscore_submission.models.model import Model
from brainscore_submission.plugin.card import Card, Preprocessing, Weights
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.probes.corruptions import (
    ALEXNET,
    SEVERITIES,
    corrupted_folders,
    measure_mce,
    together,
    whole_picture,
)
from brainscore_submission.robustness.classifiers import classifier_of
from brainscore_submission.robustness.recording import RecordBook

N_IMAGES, SIDE = 20, 8


class Dark(nn.Module):
    """Class 1 where the mean pixel is below one half, else class 0."""

    def __init__(self):
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(0.5))
        self.shown = 0

    def forward(self, pixels):
        self.shown += len(pixels)
        mean = pixels.flatten(1).mean(1)
        return torch.stack([mean, self.threshold.expand(len(mean))], 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of class 0; of a corruption at a severity some are dark, which the network errs about: see `planted`."""
    where = tmp_path_factory.mktemp("imagenet-c")
    for number, name in enumerate(ALEXNET):
        for severity in SEVERITIES:
            to = where / ("noise" if number < 3 else "") / name / str(severity) / "0"
            to.mkdir(parents=True)
            for image in range(N_IMAGES):
                grey = 40 if image < planted(number, severity) else 200
                Image.new("RGB", (SIDE, SIDE), (grey,) * 3).save(to / f"{image:02}.png")
    return where


def planted(number, severity):
    """How many of the images are dark."""
    return (3 * number + 2 * severity) % (N_IMAGES + 1)


@pytest.fixture
def opened(folder, tmp_path):
    card = Card(
        identifier="dark",
        architecture="dark",
        weights=Weights(file="none"),
        preprocessing=Preprocessing("crop", resize_px=10, crop_px=SIDE, mean=(0.0,) * 3, std=(1.0,) * 3),
        num_classes=2,
    )
    model = Model("dark", card, Dark().eval(), {"sha256": "of the test"}, {}, batch_size=8)
    sets = {
        place: read_labelled_images(where, whole_picture(card.preprocessing), 2)
        for place, where in corrupted_folders(folder).items()
    }

    def book(images):
        return RecordBook(model, images, tmp_path / "results", suite="probes")

    return model, sets, book


def test_planted_errors_over_alexnets(opened):
    model, sets, book = opened
    found = measure_mce(book, together("imagenet-c", sets), classifier_of(model)).record.measured
    rates = np.array([[planted(number, one) / N_IMAGES for one in SEVERITIES] for number in range(15)])
    wanted = (rates.sum(1) / (5 * np.array(list(ALEXNET.values())))).mean()
    assert found.value == pytest.approx(wanted, abs=1e-12) and found.n == N_IMAGES
    assert found.settings["errors"]["fog"] == pytest.approx(rates[list(ALEXNET).index("fog")].mean())
    assert [point["value"] for point in found.settings["curve"]] == pytest.approx(list(1 - rates.mean(0)))
    # an image's own part of it: resampling images gives its standard error
    each = np.zeros(N_IMAGES)
    for number, error in enumerate(ALEXNET.values()):
        each += sum(np.arange(N_IMAGES) < planted(number, one) for one in SEVERITIES) / (5 * error) / 15
    draws = np.random.default_rng(0).integers(0, N_IMAGES, (20000, N_IMAGES))
    assert found.error == pytest.approx(each[draws].mean(1).std(), rel=0.05)


def test_the_baseline_itself_has_1(opened):
    model, sets, book = opened
    corrupted, classifier = together("imagenet-c", sets), classifier_of(model)
    own = measure_mce(book, corrupted, classifier).record.measured.settings["errors"]
    again = measure_mce(book, corrupted, classifier, own, "itself").record
    assert again.measured.value == pytest.approx(1) and again.benchmark == "imagenet-c.corruptions.of.itself"
    with pytest.raises(UserError, match="AlexNet makes no errors under fog"):
        measure_mce(book, corrupted, classifier, dict(ALEXNET) | {"fog": 0.0}, "AlexNet")


def test_a_killed_run_goes_on_and_a_record_is_shown_again(opened):
    model, sets, book = opened
    corrupted, classifier, network = together("imagenet-c", sets), classifier_of(model), model.network
    stop = network.register_forward_hook(
        lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()) if network.shown > 700 else None
    )
    with pytest.raises(KeyboardInterrupt):
        measure_mce(book, corrupted, classifier)
    stop.remove()
    before = network.shown
    resumed = measure_mce(book, corrupted, classifier).record
    assert network.shown - before == 75 * N_IMAGES - 700 and "these are 20" in resumed.notes[-1]
    done = network.shown
    assert measure_mce(book, corrupted, classifier).record.checksum == resumed.checksum and network.shown == done
    assert not (book(corrupted).folder / "unfinished").exists()


def test_corrupted_images_fill_the_input_whole():
    card = Preprocessing("crop224", resize_px=256, crop_px=224)
    whole = whole_picture(card)
    assert (whole.resize_px, whole.crop_px, whole.input_px, whole.mean) == (224, None, 224, card.mean)


def test_folders_that_lack_something(tmp_path, opened):
    with pytest.raises(UserError, match="there is no folder"):
        corrupted_folders(tmp_path / "none")
    for name in list(ALEXNET)[1:]:
        for one in SEVERITIES[: 4 if name == "fog" else 5]:
            (tmp_path / "c" / name / str(one)).mkdir(parents=True)
    with pytest.raises(UserError, match="missing are gaussian_noise, fog/5. mCE is a mean over 15"):
        corrupted_folders(tmp_path / "c")
    _, sets, _ = opened
    with pytest.raises(UserError, match="snow/2 holds other images than gaussian_noise/1"):
        together("c", sets | {("snow", 2): sets["snow", 2].sample(5)})
