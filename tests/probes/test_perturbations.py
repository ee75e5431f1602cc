"""Pixels are changed as said: counts are exact, nothing else moves, and an image's mask is its own."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.probes.perturbations import (
    SHUFFLES,
    WHOLE,
    Grey,
    Occlusion,
    Rotation,
    Shuffle,
    area_under,
    drop,
    facts,
    piece_order,
    random_cells,
    require_fitting,
    salient_cells,
    shuffle,
)

PIXELS = torch.from_numpy(np.random.default_rng(0).integers(1, 256, (3, 224, 224), dtype=np.uint8))
WINDOW = (slice(56, 168), slice(50, 171))  # a picture of 112 x 121 px within a border


@pytest.mark.parametrize(("tenths", "cells"), list(enumerate([0, 19, 39, 58, 78, 98, 117, 137, 156, 176])))
def test_published_counts_of_hidden_cells(tenths, cells):
    changed = Occlusion(tenths / 10)(PIXELS, "a")
    black = (changed == 0).all(0).unfold(0, 16, 16).unfold(1, 16, 16).flatten(2).float().mean(-1)
    assert int((black == 1).sum()) == cells and int(((black > 0) & (black < 1)).sum()) == 0
    assert torch.equal(changed[changed != 0], PIXELS[changed != 0])


@pytest.mark.parametrize("pieces", SHUFFLES)
def test_a_shuffle_back_is_the_image_bit_for_bit(pieces):
    grid = SHUFFLES[pieces]
    assert grid[0] * grid[1] == pieces
    order = piece_order(grid, 0, "a")
    assert sorted(order) == list(range(pieces))
    for window in (WHOLE, WINDOW):
        there = shuffle(PIXELS, grid, order, window)
        assert torch.equal(there, PIXELS) == (pieces == 1)
        assert torch.equal(shuffle(there, grid, np.argsort(order), window), PIXELS)


def test_pieces_come_where_the_order_says():
    image = torch.arange(16).reshape(1, 4, 4)
    moved = shuffle(image, (2, 2), np.array([3, 2, 1, 0]))
    assert moved[0].tolist() == [[10, 11, 8, 9], [14, 15, 12, 13], [2, 3, 0, 1], [6, 7, 4, 5]]


@pytest.mark.parametrize("level", [Occlusion(1.0), Occlusion(0.5, offset_px=8), Shuffle(64), Rotation(180), Grey(1)])
def test_the_border_stays(level):
    window = (slice(56, 168), slice(56, 168))
    changed = level(PIXELS, "a", window)
    border = torch.ones(224, 224, dtype=bool)
    border[window] = False
    assert torch.equal(changed[:, border], PIXELS[:, border])
    assert not torch.equal(changed, PIXELS)


@given(st.floats(0, 1), st.integers(1, 20), st.integers(1, 20))
def test_any_window_loses_its_share_of_cells(share, rows, columns):
    hidden = random_cells((rows, columns), share, 0, "a")
    changed = drop(torch.ones(1, 61, 53), hidden)
    assert hidden.sum() == int(share * hidden.size + 1e-9)
    cell_px = (-(-61 // rows)) * (-(-53 // columns))
    assert (61 // rows) * (53 // columns) * hidden.sum() <= int((changed == 0).sum()) <= cell_px * hidden.sum()


def test_an_offset_moves_cells_and_keeps_their_area():
    there = Occlusion(0.5, offset_px=8)(PIXELS, "a")
    assert torch.equal((there == 0), (Occlusion(0.5)(PIXELS, "a") == 0).roll((8, 8), (1, 2)))


def test_each_image_seed_and_share_has_its_own_mask():
    masks = [random_cells((14, 14), share, seed, name) for share in (0.4, 0.5) for seed in (0, 1) for name in "ab"]
    assert len({mask.tobytes() for mask in masks}) == 8
    assert np.array_equal(masks[0], random_cells((14, 14), 0.4, 0, "a"))
    assert not (random_cells((14, 14), 0.4, 0, "a") <= random_cells((14, 14), 0.5, 0, "a")).all()


def test_nested_masks_grow():
    masks = [random_cells((14, 14), share, 0, "a", nested=True) for share in (0.1, 0.2, 0.5, 1.0)]
    assert all((less <= more).all() for less, more in zip(masks, masks[1:], strict=False))


@pytest.mark.parametrize("most", [True, False])
def test_salient_cells_hold_the_mass(most):
    attention = np.random.default_rng(1).random((14, 14))
    for mass in (0.0, 0.1, 0.5, 0.9, 1.0):
        cells = salient_cells(attention, mass, most)
        held = attention[cells].sum() / attention.sum()
        if most:  # the fewest: without the last there is less
            assert held >= mass - 1e-9 and (not cells.any() or held - attention[cells].min() / attention.sum() < mass)
        else:
            assert held <= mass + 1e-9
            assert cells.all() or held + attention[~cells].min() / attention.sum() > mass
    half, sign = salient_cells(attention, 0.5, most), 1 if most else -1
    assert (sign * attention[half]).min() > (sign * attention[~half]).max()


def test_grey_and_turns():
    grey = Grey(1)(PIXELS, "a").float()
    wanted = (PIXELS.float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)  # ITU-R BT.601
    assert (grey - wanted).abs().max() < 1.1 and torch.equal(grey[0], grey[2])
    assert torch.equal(Rotation(90)(Rotation(270)(PIXELS, "a"), "a"), PIXELS)
    assert np.array_equal(Rotation(90)(PIXELS, "a").numpy(), np.rot90(PIXELS.numpy(), 1, (1, 2)))


@pytest.mark.parametrize("level", [Occlusion(0.0), Shuffle(1), Rotation(0), Grey(0)])
def test_the_first_level_is_the_image(level):
    assert level.intact and torch.equal(level(PIXELS, "a"), PIXELS)
    assert facts(level)["kind"] == level.kind


def test_area_under_a_straight_line():
    shares = [Occlusion(share) for share in (0.0, 0.1, 0.4, 1.0)]
    assert area_under(shares, np.array([1.0, 0.9, 0.6, 0.0])) == pytest.approx(0.5)
    assert area_under([Shuffle(n) for n in (1, 4, 16, 256)], np.array([8.0, 6, 4, 0])) == pytest.approx(4)
    assert area_under([Rotation(n) for n in (0, 90, 180, 270)], np.array([1.0, 0, 0, 1])) == 0.5


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Occlusion(50), "a share of 50 cannot be hidden: give 0 to 1"),
        (lambda: Occlusion(0.5, saliency="sailent"), "Did you mean salient?"),
        (lambda: Shuffle(9), "no image is cut into 9 pieces. Possible are 1, 4, 8, 16"),
        (lambda: Rotation(45), "0, 90, 180 or 270 degrees, not 45"),
        (lambda: Grey(2), "grey (1) or left as it is (0)"),
        (lambda: require_fitting((14, 14), 240), "Rows and columns that do: 2, 3, 4, 5, 6, 8, 10, 12, 15"),
        (lambda: salient_cells(np.zeros((2, 2)), 0.5), "not all of them 0"),
        (lambda: Rotation(90)(PIXELS, "a", WINDOW), "no square"),
    ],
)
def test_wrong_input_is_named(wrong, says):
    with pytest.raises(UserError) as error:
        wrong()
    assert says in str(error.value)
