"""Augmentation: the same crops and colours as torchvision draws, the laws of rotation and greyscale, pure functions."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest, chisquare
from torchvision import transforms

from brainscore_submission.engine import decoding
from brainscore_submission.plugin.card import load_card
from brainscore_submission.training.augmentation import augmented, crop_box, jittered, quarter_turns
from brainscore_submission.training.images import OfEpoch, open_images
from brainscore_submission.training.recipes import Augmentation, read_recipe

DRAWS = 4000


def picture(width=341, height=256, seed=0):
    pixels = np.random.default_rng(seed).integers(1, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [(256, 341), (20, 300), (300, 20)])
def test_crops_are_those_torchvision_draws(size):
    image = torch.zeros(3, *size)
    for seed in range(50):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            theirs = transforms.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3])
        assert crop_box(*size, (0.08, 1.0), generator(seed)) == tuple(theirs)


def test_colours_are_those_torchvision_draws():
    image = picture(32, 32)
    for seed in range(20):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            theirs = transforms.ColorJitter(0.4, 0.4, 0.4)(image)
        assert np.array_equal(np.asarray(jittered(image, 0.4, generator(seed))), np.asarray(theirs))


def test_the_four_rotations_are_as_likely():
    turns = Counter(quarter_turns(generator(seed)) for seed in range(DRAWS))
    assert set(turns) == {0, 1, 2, 3} and chisquare(list(turns.values())).pvalue > 0.001


def test_the_share_of_grey_images():
    plan = Augmentation(0, (1.0, 1.0), grey=read_recipe("rotation_adv_grey").augmentation.grey)
    image = picture(8, 8)
    grey = 0
    for seed in range(DRAWS):
        red, green, blue = augmented(image, plan, 8, generator(seed))
        grey += bool(torch.equal(red, green) and torch.equal(green, blue))
    assert binomtest(grey, DRAWS, 0.25).pvalue > 0.001


def test_a_rotated_crop_is_the_crop_turned_and_has_no_black_bars():
    plan, image = Augmentation(256, (1.0, 1.0), flip=0.0, rotations=True), picture()
    upright = augmented(image, Augmentation(256, (1.0, 1.0), flip=0.0), 224, generator(0))
    seen = set()
    for seed in range(20):
        turned = augmented(image, plan, 224, generator(seed))
        quarters = quarter_turns(generator(seed))
        assert torch.equal(turned, torch.rot90(upright, quarters, (1, 2)))
        seen.add(quarters)
    assert seen == {0, 1, 2, 3}


def test_the_released_way_has_its_black_bars():
    """A picture of 341 x 256 turned on its own canvas: 24.9 % of it are bars."""
    from brainscore_submission.training.augmentation import transforms as functional

    turned = np.asarray(functional.rotate(picture(), 90))
    assert (turned == 0).all(2).mean() == pytest.approx(0.249, abs=0.001)
    plan = Augmentation(256, (1.0, 1.0), flip=0.0, rotations=True, rotation_canvas="as_released")
    quarter = next(seed for seed in range(20) if quarter_turns(generator(seed)) == 1)
    tall = picture(256, 341)
    assert (augmented(tall, plan, 224, generator(quarter)) == 0).all(0).float().mean() < 0.01  # the centre square
    wide = Augmentation(256, (0.999, 1.0), flip=0.0, rotations=True, rotation_canvas="as_released")
    assert (augmented(picture(), wide, 224, generator(quarter)) == 0).all(0).float().mean() > 0.2


def test_an_image_depends_on_its_generator_alone():
    plan = Augmentation(64, (0.08, 1.0), grey=0.25, rotations=True, jitter=0.4)
    torch.manual_seed(1)
    first = augmented(picture(), plan, 48, generator(5))
    before = torch.get_rng_state()
    torch.rand(3)
    assert torch.equal(first, augmented(picture(), plan, 48, generator(5)))
    torch.set_rng_state(before)
    augmented(picture(), plan, 48, generator(6))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.dtype == torch.uint8 and first.shape == (3, 48, 48)
    assert not torch.equal(first, augmented(picture(), plan, 48, generator(6)))


def test_images_of_an_epoch_are_the_same_when_processes_read_them(digits, network):
    recipe = read_recipe("tiny")
    images, _ = open_images(digits, None, recipe, load_card(network).preprocessing, 10)
    read, rows = OfEpoch(images.source.picture, recipe, images.px, epoch=1), list(images.rows[:6])
    assert images.source.apart
    with decoding._in_processes(read, [rows]) as held:
        assert torch.equal(held(0), torch.stack([read(row) for row in rows]))
