"""The targeted attack on photos: what is kept of it, and that it is the descent that the paper describes."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.blocks import image_by_image
from brainscore_submission.robustness.targeted import frame_steps, read_photos, towards

STEPS = 12


@pytest.fixture
def photos(linear, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.fromarray(linear.images[number]).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "photos" / "readme.txt").write_text("x")
    return tmp_path / "photos"


def seen_by(linear, photos, target=2, eps=300.0, step=0.05):
    images = read_photos([photos], linear.model.card.preprocessing)
    return images, image_by_image(images, towards(linear.classifier, target, eps=eps, steps=STEPS, step=step), size=2)


def test_it_is_normalised_descent_of_the_cross_entropy(linear, photos):
    """Against a loop of six lines, in float64."""
    _, seen = seen_by(linear, photos)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 5, bias=False)).double()
    network[1].weight.data = linear.weights.double()
    losses, norms, x = [], [], linear.pixels[:3].double()
    for _ in range(STEPS + 1):
        x.requires_grad_(True)
        loss = functional.cross_entropy(network(x - 0.5), torch.full((3,), 2), reduction="none")
        (gradient,) = torch.autograd.grad(loss.sum(), x)
        losses.append(loss.detach())
        norms.append((x.detach() - linear.pixels[:3]).flatten(1).norm(dim=1))
        x = (x.detach() - 0.05 * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp(0, 1)
    np.testing.assert_allclose(seen["curve"], torch.stack(losses, 1).numpy(), rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(seen["norms"], torch.stack(norms, 1).numpy(), rtol=1e-3, atol=1e-6)


def test_what_is_shown_is_what_a_png_holds(linear, photos):
    _, seen = seen_by(linear, photos)
    pixels = torch.from_numpy(seen["adversarial"]).float() / 255
    with torch.no_grad():
        p = linear.classifier(pixels).softmax(1)[:, 2]
    np.testing.assert_allclose(seen["p_target"], p.numpy(), rtol=1e-5)
    np.testing.assert_allclose(seen["norm"], (pixels - linear.pixels[:3]).flatten(1).norm(dim=1), rtol=1e-5)
    assert (seen["p_target"] > 0.9).all()
    possible = torch.maximum(linear.pixels[:3], 1 - linear.pixels[:3]).flatten(1).norm(dim=1)
    np.testing.assert_allclose(seen["possible"], possible, rtol=1e-5)
    assert (seen["norm"] <= seen["possible"]).all()
    assert seen["frames"].shape == (3, len(frame_steps(STEPS)), 3, 8, 8)
    np.testing.assert_array_equal(np.moveaxis(seen["frames"][:, 0], 1, -1), linear.images[:3])


def test_a_radius_that_binds_is_kept(linear, photos):
    _, seen = seen_by(linear, photos, eps=0.1)
    assert seen["norms"].max() <= 0.1 * (1 + 1e-6) and seen["norms"].max() > 0.099


def test_photos_that_cannot_be_used(photos, linear, tmp_path):
    preprocessing = linear.model.card.preprocessing
    assert read_photos([photos], preprocessing).notes == ("passed over, no photos: readme.txt.",)
    assert read_photos([photos / "0.png", photos / "2.png"], preprocessing).identities == ("0.png", "2.png")
    (tmp_path / "empty").mkdir()
    for where, says in (
        ([tmp_path / "none.png"], "no such image file"),
        ([tmp_path / "empty"], "no photos there"),
        ([photos, photos / "0.png"], "0.png is there twice"),
    ):
        with pytest.raises(UserError, match=says):
            read_photos(where, preprocessing)
    (photos / "1.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"1\.png: not a readable image"):
        read_photos([photos], preprocessing)


def test_frames_begin_close_and_end_at_the_end():
    kept = frame_steps(500)
    gaps = np.diff(kept)
    assert kept[0] == 0 and kept[-1] == 500 and len(kept) <= 26 and (np.diff(gaps[5:]) >= -1).all()
    assert frame_steps(1) == [0, 1]
