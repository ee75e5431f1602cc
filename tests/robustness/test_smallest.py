"""Tolerance of a linear network against its exact distances; alignment with a planted map, through an npz."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from brainscore_submission.labelled_images.images import read_labelled_images
from brainscore_submission.models.model import Model
from brainscore_submission.plugin.card import Card, Preprocessing, Weights
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.alignment import HUMAN_CEILING
from brainscore_submission.robustness.classifiers import classifier_of
from brainscore_submission.robustness.recording import RecordBook
from brainscore_submission.robustness.smallest import measure_tolerance, searched_up_to, tolerance_of


def test_the_tolerance_of_a_linear_network_is_its_mean_distance(linear, margins):
    gaps, between = margins
    distance = gaps / between.norm(dim=2)
    distance = distance.scatter(1, linear.labels[:, None], torch.inf).amin(1)
    correct = torch.arange(30) % 3 != 0
    clean, found = measure_tolerance(linear.book(), linear.classifier)
    assert clean.record.measured.value == 20 / 30
    measured = found.record.measured
    assert (measured.metric, measured.n) == ("l2_tolerance", 20)
    assert measured.value == pytest.approx(float(distance[correct].mean()), rel=1e-3)
    assert measured.settings["median"] == pytest.approx(sorted(distance[correct].tolist())[9], rel=1e-3)
    assert measured.error == pytest.approx(float(distance[correct].std(correction=0)) / 20**0.5, rel=1e-2)
    np.testing.assert_allclose(found.table["l2"][correct.numpy()], distance[correct].numpy(), rtol=1e-3)
    assert np.isnan(found.table["l2"][~correct.numpy()]).all()
    assert measure_tolerance(linear.book(), linear.classifier)[-1].record == found.record


def test_images_that_resist_are_counted_and_said():
    table = {
        "correct": np.array([True, True, True, False]),
        "found": np.array([True, False, True, False]),
        "l2": np.array([1.0, np.nan, 3.0, np.nan]),
        "linf": np.array([0.1, np.nan, 0.3, np.nan]),
        "passes": np.full(4, 10.0),
    }
    measured, facts, notes = tolerance_of(table, reach=100.0, limit=10.0)
    assert measured["value"] == pytest.approx((1 + 3 + 10) / 3) and measured["n"] == 3
    assert facts["n_resisted"] == 1 and facts["median"] == 3.0
    assert notes == ["1 image of 3 resisted: counted as such up to 100, not dropped."]


class Flat(nn.Module):
    """Class 0 always, whatever the image: nothing to follow, everything resists."""

    def forward(self, images):
        return images.flatten(1)[:, :5] * 0 + torch.tensor([1.0, 0, 0, 0, 0])


def test_a_network_that_nothing_moves_resists_to_the_limit(linear):
    model = Model("flat", linear.model.card, Flat().eval(), {"sha256": "flat"}, {}, batch_size=8)
    book = linear.book()
    book.model = model
    _, found = measure_tolerance(book, classifier_of(model), steps=50, limit=8.0)
    measured = found.record.measured
    assert measured.value == 8.0 and measured.settings["median"] is None
    assert measured.settings["n_resisted"] == measured.n > 0 and "resisted" in found.record.notes[-1]
    assert measured.settings["mean_linf_of_found"] is None


def test_limits_and_searches_that_are_not_possible(linear):
    with pytest.raises(UserError, match="a limit of 200 is not possible: minimal with these steps searches up to 125"):
        measure_tolerance(linear.book(), linear.classifier, limit=200)
    with pytest.raises(UserError, match="unknown search 'minimum'. Did you mean minimal"):
        measure_tolerance(linear.book(), linear.classifier, search="minimum")
    with pytest.raises(UserError, match="none of 10 images is classified correctly"):
        measure_tolerance(linear.book(images=linear.read().of(range(0, 30, 3))), linear.classifier)


def test_a_resisting_image_is_searched_as_far_as_is_said(linear):
    """The radius that DDN reaches on a network that gives the label whatever it sees, counted through its pixels."""
    seen = []

    class Climbing(nn.Module):
        def forward(self, images):
            seen.append(images.detach().clone())
            return torch.stack([torch.ones(len(images)) * 100, images.sum((1, 2, 3))], 1)

    from brainscore_submission.attacks.classifier import Classifier
    from brainscore_submission.attacks.minimal import minimal_l2

    image = torch.full((1, 1, 2, 2), 0.5)
    found = minimal_l2(
        Classifier(Climbing().eval()), image, torch.tensor([0]), steps=30, fmn_steps=0, low=-1e6, high=1e6
    )
    assert bool(found.found) is False or len(seen) > 30
    reach = max(float((one - image).norm()) for one in seen)
    assert reach >= searched_up_to("minimal", 30)


# --- alignment -------------------------------------------------------------------------------------------------------

CROPPED = Preprocessing("cropped", resize_px=64, crop_px=56, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture
def planted(tmp_path):
    """A network that looks where a map of blobs says, in the frame of files of 72 x 72."""
    rng = np.random.default_rng(0)
    blobs = gaussian_filter(rng.standard_normal((72, 72)), 3, mode="wrap")
    heat = np.maximum(blobs / blobs.std(), 0.0)
    images = rng.integers(90, 166, (12, 72, 72, 3), dtype=np.uint8)
    labels = np.zeros(12, dtype=np.int64)

    def measured(maps, name="maps"):
        np.savez(tmp_path / f"{name}.npz", image=images, label=labels, heatmap=maps)
        shown = read_labelled_images(tmp_path / f"{name}.npz", CROPPED, 2)
        weights = next(read_labelled_images(tmp_path / "planted.npz", CROPPED, 2).batches(1)).maps[0].clamp(min=0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 56 * 56, 2))
        network[1].weight.data = torch.stack([weights.repeat(3, 1, 1), -weights.repeat(3, 1, 1)]).flatten(1)
        pixels = next(shown.batches(12)).pixels
        with torch.no_grad():
            network[1].bias.data = torch.tensor([0.0, 0.0])
            middle = network(pixels)[:, 0].min() - 1
            network[1].bias.data = torch.stack([-middle, middle])
        card = Card("planted", "planted", Weights(file="none"), CROPPED, num_classes=2)
        model = Model("planted", card, network.eval(), {"sha256": "planted"}, {}, batch_size=8)
        book = RecordBook(model, shown, tmp_path / "results" / name)
        return measure_tolerance(book, classifier_of(model), steps=20, limit=2.0)[-1]

    np.savez(tmp_path / "planted.npz", image=images[:1], label=labels[:1], heatmap=heat[None])
    return measured, heat


def test_a_planted_map_is_found_a_shuffled_one_is_not(planted):
    measured, heat = planted
    aligned = measured(np.repeat(heat[None], 12, 0))
    assert (aligned.record.measured.metric, aligned.record.measured.n) == ("alignment", 12)
    assert aligned.record.measured.value > 0.9
    settings = aligned.record.measured.settings
    assert settings["of_ceiling"] == pytest.approx(aligned.record.measured.value / HUMAN_CEILING)
    shuffled = np.random.default_rng(1).permuted(np.repeat(heat.reshape(1, -1), 12, 0), axis=1).reshape(12, 72, 72)
    # the crop's resizing leaves a little correlation between neighbours: the mean over images is what is small
    assert abs(measured(shuffled, "shuffled").record.measured.value) < 0.05


def test_a_map_that_skipped_the_crop_is_lower(planted):
    measured, heat = planted
    right = measured(np.repeat(heat[None], 12, 0)).record.measured.value
    edge = (72 - 63) // 2
    stretched = np.kron(heat, np.ones((8, 8)))[edge * 8 : -edge * 8, edge * 8 : -edge * 8]
    index = np.linspace(0, len(stretched) - 1, 72).round().astype(int)
    other = measured(np.repeat(stretched[np.ix_(index, index)][None], 12, 0), "no_crop").record.measured.value
    assert other < right - 0.2


def test_a_constant_map_has_no_rho_and_says_why(planted):
    measured, heat = planted
    maps = np.repeat(heat[None], 12, 0)
    maps[3] = 1.0
    one = measured(maps)
    assert one.record.measured.n == 11
    assert "no ρ for 1 image: the importance map is constant." in one.record.notes
    assert one.table["reason"][3] == "the importance map is constant" and np.isnan(one.table["rho"][3])
    with pytest.raises(UserError, match="no image has a ρ with its map"):
        measured(np.ones((12, 72, 72)), "constant")
