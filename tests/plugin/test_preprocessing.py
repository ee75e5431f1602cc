"""Image files -> pixels -> network input. The judges are torchvision, Brain-Score's image loader and timm."""

import numpy as np
import pytest
import timm
import torch
from brainscore_vision.model_helpers.activations.pytorch import load_image, load_preprocess_images
from PIL import Image
from torchvision import transforms

from brainscore_submission.plugin.card import IMAGENET_MEAN, IMAGENET_STD
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.preprocessing import PREPROCESSINGS, Preprocessing, load_pixels, normalise

CROP, SQUASH = PREPROCESSINGS["crop224"], PREPROCESSINGS["squash224"]


def picture(mode="RGB", size=(301, 187), seed=0):
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, size=(size[1], size[0], channels), dtype=np.uint8)
    return Image.frombytes(mode, size, pixels.tobytes())


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    picture().save(path)
    return path


def test_crop224_is_what_was_submitted(photo):
    as_submitted = transforms.Compose(
        [
            transforms.Resize((256, 256)),
            transforms.CenterCrop((224, 224)),
            transforms.ToTensor(),
            transforms.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        ]
    )
    assert torch.equal(normalise(load_pixels(photo, CROP), CROP), as_submitted(load_image(photo)))


def test_squash224_is_brainscores_own(photo):
    theirs = load_preprocess_images([photo], image_size=224)[0]
    assert np.array_equal(normalise(load_pixels(photo, SQUASH), SQUASH).numpy(), theirs)


def test_the_two_preprocessings_differ(photo):
    assert load_pixels(photo, CROP).shape == load_pixels(photo, SQUASH).shape == (3, 224, 224)
    assert not torch.equal(load_pixels(photo, CROP), load_pixels(photo, SQUASH))


def test_pixels_lie_between_0_and_1(tmp_path):
    Image.fromarray(np.array([[[0, 128, 255]]], dtype=np.uint8)).save(tmp_path / "one.png")
    pixels = load_pixels(tmp_path / "one.png", Preprocessing("one", resize_px=2))
    assert pixels.dtype == torch.float32
    assert pixels[:, 0, 0].tolist() == pytest.approx([0, 128 / 255, 1])


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_colours_are_brainscores(tmp_path, mode):
    path = tmp_path / "image.png"
    image = picture("RGB").convert("P") if mode == "P" else picture(mode)
    image.save(path)
    with Image.open(path) as stored:
        assert stored.mode == mode
    as_brainscore = transforms.ToTensor()(transforms.Resize((256, 256))(load_image(path)))
    assert torch.equal(load_pixels(path, Preprocessing("plain", resize_px=256)), as_brainscore)


def test_transparent_palette_keeps_its_colours(tmp_path):
    path = tmp_path / "image.gif"
    picture("RGB").convert("P").save(path, transparency=0)
    as_brainscore = transforms.ToTensor()(transforms.Resize((64, 64))(load_image(path)))
    assert torch.equal(load_pixels(path, Preprocessing("plain", resize_px=64)), as_brainscore)


@pytest.mark.parametrize(("mode", "file"), [("1", "image.png"), ("CMYK", "image.jpg")])
def test_modes_brainscore_cannot_read_become_rgb(tmp_path, mode, file):
    picture("RGB").convert(mode).save(tmp_path / file)
    with Image.open(tmp_path / file) as stored:
        expected = transforms.ToTensor()(stored.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR))
    assert torch.equal(load_pixels(tmp_path / file, Preprocessing("plain", resize_px=64)), expected)


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(path)
    with pytest.raises(UserError, match=r"deep\.png: mode I;16 is not 8 bits a channel; save it as 8-bit RGB"):
        load_pixels(path, CROP)


def test_lab_and_float_are_refused(tmp_path):
    for mode in ("LAB", "F"):
        Image.new(mode, (8, 8)).save(tmp_path / "other.tif")
        with pytest.raises(UserError, match=rf"other\.tif: mode {mode} is not 8 bits a channel"):
            load_pixels(tmp_path / "other.tif", CROP)


def test_other_formats_reach_no_program(tmp_path):
    # Pillow would hand this to Ghostscript.
    (tmp_path / "image.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(UserError, match=r"image\.png: not a readable image \(cannot identify image file"):
        load_pixels(tmp_path / "image.png", CROP)


def test_too_many_pixels_are_refused_before_they_are_read(tmp_path):
    Image.new("1", (10_000, 10_000)).save(tmp_path / "wall.png")
    with pytest.raises(UserError, match=r"wall\.png: (10000 x 10000 pixels are too many|not a readable image)"):
        load_pixels(tmp_path / "wall.png", CROP)


def test_text_is_no_image(tmp_path):
    (tmp_path / "notes.png").write_text("not an image")
    with pytest.raises(UserError, match=r"notes\.png: not a readable image"):
        load_pixels(tmp_path / "notes.png", CROP)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif"])
def test_half_an_image_is_refused(tmp_path, suffix):
    path = tmp_path / f"half.{suffix}"
    picture().save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"half\.{suffix}: not a readable image"):
        load_pixels(path, CROP)


def test_missing_image_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png: no such image file"):
        load_pixels(tmp_path / "gone.png", CROP)


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(UserError, match="not a readable image"):
        load_pixels(tmp_path, CROP)


@pytest.mark.parametrize("shape", [(3, 5, 5), (2, 3, 5, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalising_is_torchvisions(shape, dtype):
    pixels = torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    expected = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)(pixels)
    assert torch.equal(normalise(pixels, CROP), expected)


def test_a_gradient_reaches_the_pixels():
    pixels = torch.rand(1, 3, 4, 4, requires_grad=True)
    normalise(pixels, CROP).sum().backward()
    expected = (1 / torch.tensor(IMAGENET_STD))[None, :, None, None].expand_as(pixels)
    torch.testing.assert_close(pixels.grad, expected)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("mode", ["center", "squash"])
def test_keeping_the_aspect_is_timms(photo, interpolation, mode):
    theirs = timm.data.create_transform((3, 48, 48), interpolation=interpolation, crop_pct=0.875, crop_mode=mode)
    ours = Preprocessing("timm", 54, 48, interpolation, keep_aspect=mode == "center")
    with Image.open(photo) as image:
        expected = theirs(image)
    assert torch.equal(normalise(load_pixels(photo, ours), ours), expected)
