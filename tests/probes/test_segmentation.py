"""The Jaccard index: the toy case, planted attention on the exact masks of the demo objects, random attention."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import jaccard_score

from brainscore_submission.demo.stimuli import object_stimuli
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.preprocessing import PREPROCESSINGS
from brainscore_submission.probes.segmentation import (
    attended_pixels,
    jaccard,
    masked_images,
    measure_segmentation,
    on_objects,
)
from brainscore_submission.robustness.recording import RecordBook

PREPROCESSING = PREPROCESSINGS["squash224"]


@pytest.fixture
def objects(tmp_path):
    """Six demo objects at 224 px with their exact masks, one image without an object, one without a mask."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number, one in enumerate(object_stimuli()[::20]):
        mask = (one.mask() > 0.5).astype(np.uint8) * (number + 1)
        Image.fromarray(one.draw()).convert("RGB").save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    Image.new("RGB", (256, 256)).save(tmp_path / "images" / "empty.png")
    Image.new("L", (256, 256), 255).save(tmp_path / "masks" / "empty.png")
    Image.new("RGB", (256, 256)).save(tmp_path / "images" / "lonely.png")
    images, mask_of = masked_images(tmp_path / "images", tmp_path / "masks", PREPROCESSING)
    return SimpleNamespace(images=images, mask_of=mask_of, path=tmp_path)


def test_scikit_learn_agrees_where_nothing_is_void():
    rng = np.random.default_rng(0)
    mask, attended = rng.integers(0, 2, (20, 20)).astype(np.uint8), rng.random((3, 20, 20)) < 0.4
    best = max(jaccard_score(mask.ravel() == 1, head.ravel()) for head in attended)
    assert jaccard(attended, mask) == {1: pytest.approx(best)}
    assert jaccard(attended, np.where(mask == 1, 255, 0)) == {}


def test_planted_attention_reaches_1_on_exact_masks(objects):
    """One of two heads gives every pixel of the object the same attention, patches of one pixel."""
    truth = [objects.mask_of(row) > 0 for row in range(len(objects.images) - 1)]

    def planted(pixels):
        heads = [np.stack([mask, np.ones_like(mask)]) for mask in truth] + [np.ones((2, 224, 224))]
        return torch.from_numpy(np.stack(heads[: len(pixels)]).astype(float))

    (batch,) = objects.images.batches(16)
    found = on_objects(planted, objects.mask_of, mass=1.0)(batch)
    assert found["objects"].tolist() == [1] * 6 + [0]
    np.testing.assert_array_equal(found["jaccard"][:6], 1)
    assert np.isnan(found["jaccard"][6])


def test_random_attention_is_near_its_closed_form(objects):
    """A share q of pixels, whatever the object, which has a share p: pq / (p + q - pq)."""
    rng = np.random.default_rng(0)
    for row in range(6):
        mask = objects.mask_of(row)
        p, attended = (mask > 0).mean(), attended_pixels(rng.random((1, 224, 224)), 224, mass=0.75)
        q = attended.mean()
        assert jaccard(attended, mask)[row + 1] == pytest.approx(p * q / (p + q - p * q), abs=0.02)


def test_patches_are_the_fewest_that_hold_the_mass():
    attention = np.array([[[0.6, 0.3], [0.06, 0.04]]])
    np.testing.assert_array_equal(attended_pixels(attention, 4)[0], np.kron([[1, 1], [0, 0]], np.ones((2, 2))) > 0)


def test_the_record_counts_what_has_no_object(objects, tmp_path):
    model = SimpleNamespace(
        name="m", batch_size=4, fingerprint="f", marks=(), origin={}, precision="float32", device="cpu",
        card=SimpleNamespace(identifier="m", competition_id=None, preprocessing=PREPROCESSING),
    )  # fmt: skip
    book = RecordBook(model, objects.images, tmp_path / "results", suite="probes")
    everywhere = lambda pixels: torch.ones(len(pixels), 1, 14, 14)  # noqa: E731
    found = measure_segmentation(book, everywhere, objects.mask_of, {"source": "even"}, mass=1.0).record.measured
    shares = [(objects.mask_of(row) > 0).mean() for row in range(6)]
    assert found.value == pytest.approx(np.mean(shares)) and found.n == 6
    assert found.settings["n_without_objects"] == 1 and found.interval[0] < found.value < found.interval[1]
    assert objects.images.notes == ("1 image without a mask left out: lonely.png",)


def test_wrong_folders_and_masks_are_named(objects):
    images, masks = objects.path / "images", objects.path / "masks"
    with pytest.raises(UserError, match="there is no folder"):
        masked_images(images, objects.path / "none", PREPROCESSING)
    with pytest.raises(UserError, match="no image of .* has a mask of its name"):
        masked_images(images, objects.path, PREPROCESSING)
    Image.new("L", (10, 10)).save(masks / "0.png")
    with pytest.raises(UserError, match="needed are numbers"):
        objects.mask_of(0)
