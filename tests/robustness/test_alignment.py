"""A planted map: a linear network whose weights are the map, attacked for real."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from torch import nn

from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.attacks.minimal import minimal_l2
from brainscore_submission.labelled_images.images import framed_maps as framed
from brainscore_submission.plugin.card import Preprocessing
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.preprocessing import load_pixels
from brainscore_submission.robustness.alignment import alignment, mean_alignment, perturbation_maps, rank_correlations

CROPPED = Preprocessing("cropped", resize_px=128, crop_px=112)
SQUASHED = Preprocessing("squashed", resize_px=112)


@pytest.fixture(scope="module")
def planted():
    """A map of blobs in the frame of the files; a network that looks where it says; its smallest perturbations."""
    rng = np.random.default_rng(0)
    blobs = gaussian_filter(rng.standard_normal((150, 150)), 3, mode="wrap")
    heat = np.maximum(blobs / blobs.std(), 0.0)
    weights = framed(heat[None], CROPPED)[0].clamp(min=0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 112 * 112, 2))
    signed = weights * torch.tensor([1.0, -0.5, 2.0]).view(
        3, 1, 1
    )  # of both signs: the mean over channels may not cancel
    network[1].weight.data = torch.stack([signed, -signed]).flatten(1)
    network[1].bias.data.zero_()
    pixels = 0.35 + 0.3 * torch.rand(12, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    classifier = Classifier(network.eval(), mean=0.5)
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    return heat, pixels, minimal_l2(classifier, pixels, labels)


def test_the_perturbation_of_a_planted_map_lies_on_it(planted):
    heat, pixels, attack = planted
    maps = framed(np.repeat(heat[None], 12, 0), CROPPED)
    rho, reasons = alignment(attack.adversarial, pixels, attack.found, maps)
    assert reasons == [None] * 12 and rho.min() > 0.9


def test_a_shuffled_map_is_aligned_with_nothing(planted):
    heat, pixels, attack = planted
    maps = framed(np.repeat(heat[None], 12, 0), CROPPED).flatten(1)
    order = torch.stack([torch.randperm(112 * 112, generator=torch.Generator().manual_seed(i)) for i in range(12)])
    rho, _ = alignment(attack.adversarial, pixels, attack.found, maps.gather(1, order).view(12, 112, 112))
    assert abs(mean_alignment(rho)[0]) < 0.05


def test_a_map_without_the_crop_is_off_by_much(planted):
    heat, pixels, attack = planted
    heat = np.repeat(heat[None], 12, 0)
    right, wrong = (
        mean_alignment(alignment(attack.adversarial, pixels, attack.found, framed(heat, geometry))[0])[0]
        for geometry in (CROPPED, SQUASHED)
    )
    assert wrong < right - 0.2, (right, wrong)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("keep_aspect", [True, False])
def test_a_map_meets_what_its_image_meets(tmp_path, interpolation, keep_aspect):
    """The image of a map, through the project's own reader, lands on the map framed here."""
    rng = np.random.default_rng(1)
    heat = gaussian_filter(rng.random((90, 140)), 4)
    heat = (heat - heat.min()) / np.ptp(heat)
    Image.fromarray(np.uint8(np.round(heat * 255))).save(tmp_path / "heat.png")
    geometry = Preprocessing("any", 64, 56, interpolation=interpolation, keep_aspect=keep_aspect)
    image = load_pixels(tmp_path / "heat.png", geometry)[0]
    torch.testing.assert_close(framed(heat[None], geometry)[0], image, rtol=0, atol=1.5 / 255)


def test_rho_is_scipys_with_ties_too():
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 4, (5, 6, 7)), rng.random((5, 6, 7))
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(rank_correlations(one, other), expected, atol=1e-12)


def test_an_undefined_rho_has_a_reason():
    pixels = np.full((4, 3, 2, 2), 0.5)
    adversarial = pixels.copy()
    adversarial[[0, 1, 3], :, 0, 0] += 0.1
    importance = np.arange(16.0).reshape(4, 2, 2)
    importance[1] = 7
    adversarial[3] = pixels[3] + 0.1
    rho, reasons = alignment(adversarial, pixels, [True, True, False, True], importance)
    assert reasons == [
        None,
        "the importance map is constant",
        "no perturbation was found",
        "the perturbation is the same at every pixel",
    ]
    assert np.isnan(rho).tolist() == [False, True, True, True]
    mean, error, n = mean_alignment(rho)
    assert n == 1 and mean == rho[0] and np.isnan(error)


def test_changes_of_opposite_sign_do_not_cancel():
    pixels = np.full((1, 2, 1, 2), 0.5)
    delta = np.array([[[[0.1, 0.0]], [[-0.1, 0.0]]]])
    np.testing.assert_allclose(perturbation_maps(pixels + delta, pixels), [[[0.1, 0.0]]])


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="cannot be compared"):
        rank_correlations(np.zeros((2, 3, 3)), np.zeros((2, 4, 4)))
    with pytest.raises(UserError, match="finite numbers"):
        framed(np.full((1, 4, 4), np.nan), CROPPED)
    with pytest.raises(UserError, match="NaN or infinity"):
        alignment(np.zeros((1, 3, 2, 2)), np.zeros((1, 3, 2, 2)), [True], np.full((1, 2, 2), np.nan))
