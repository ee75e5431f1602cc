"""An image reaches the network as it was shown, on every way, or is refused with its name."""

import shutil
import struct
import zlib

import numpy as np
import pytest
from brainscore_vision.benchmark_helpers.screen import place_on_screen
from PIL import Image

from brainscore_submission.plugin.preprocessing import Preprocessing, read_pixels
from brainscore_submission.recordings import FolderError, check, read_recordings
from brainscore_submission.recordings.assembly import stimulus_set


@pytest.fixture
def pixels():
    return np.random.default_rng(4).integers(0, 256, size=(16, 16, 3), dtype=np.uint8)


def _frames(path, pixels):
    frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
    frames[0].save(path.with_suffix(".png"), save_all=True, append_images=frames[1:])


def _turned(path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path.with_suffix(".png"), exif=exif)


def _deep_rgb(path, pixels):
    # Pillow cannot write a PNG of 16 bits a channel, and cuts one to 8 without a word.
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels.astype(np.uint16) * 256 + 255)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    packed = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    path.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


REFUSED = {
    "16 bits": (
        lambda path, pixels: Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(path.with_suffix(".png")),
        "mode I;16 is not 8 bits a channel",
    ),
    "16 bits of colour": (_deep_rgb, "mode RGB of 16 bits is not 8 bits a channel"),
    "float": (
        lambda path, pixels: Image.fromarray(pixels[..., 0] / np.float32(255)).save(path.with_suffix(".tif")),
        "mode F is not 8 bits a channel",
    ),
    "LAB": (
        lambda path, pixels: Image.fromarray(pixels, "LAB").save(path.with_suffix(".tif")),
        "mode LAB is not 8 bits a channel",
    ),
    "frames": (_frames, "2 frames; save the one that was shown"),
    "orientation": (_turned, "EXIF data turn it (orientation 6)"),
    "GIF": (lambda path, pixels: Image.fromarray(pixels).save(path.with_suffix(".gif")), "1 file beside the images"),
    "JPEG 2000": (lambda path, pixels: path.with_suffix(".jp2").write_bytes(b"jp2"), "1 file beside the images"),
    "HEIC": (lambda path, pixels: path.with_suffix(".heic").write_bytes(b"heic"), "1 file beside the images"),
    "PostScript": (
        lambda path, pixels: path.with_suffix(".png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "not a readable image",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_shown_as_it_was_is_refused_by_name(kind, lab_folder, pixels):
    write, message = REFUSED[kind]
    (lab_folder / "stimuli" / "s05.png").unlink()
    write(lab_folder / "stimuli" / "s05", pixels)
    report = check(lab_folder)
    assert not report.ok
    assert message in report.findings[0].message and "s05" in report.findings[0].message


NAMED = {
    "RGBA": (lambda pixels: Image.fromarray(np.dstack([pixels, pixels[..., :1]])), "1 image with transparency: s05"),
    "a palette with transparency": (
        lambda pixels: Image.fromarray(pixels).convert("P"),
        "1 image with transparency: s05",
    ),
    "CMYK": (lambda pixels: Image.fromarray(pixels).convert("CMYK"), "1 image of other colours than RGB: s05"),
}


@pytest.mark.parametrize("kind", NAMED)
def test_what_is_converted_is_named_once(kind, lab_folder, pixels):
    make, message = NAMED[kind]
    (lab_folder / "stimuli" / "s05.png").unlink()
    options = {"transparency": 0} if "palette" in kind else {}
    make(pixels).save(lab_folder / "stimuli" / ("s05.tif" if kind == "CMYK" else "s05.png"), **options)
    found = [finding.message for finding in check(lab_folder).findings]
    assert sum(message in said for said in found) == 1


@pytest.mark.parametrize("kind", ["RGB", "L", "P", "RGBA", "1"])
def test_a_placed_image_is_the_image_in_the_middle_of_grey(kind, lab_folder, pixels):
    image = Image.fromarray(pixels)
    image = Image.merge("RGBA", [*image.split(), image.getchannel(0)]) if kind == "RGBA" else image.convert(kind)
    image.save(lab_folder / "stimuli" / "s05.png")
    stimuli = stimulus_set(read_recordings(lab_folder))
    with pytest.warns(UserWarning, match="Pandas"):
        placed = place_on_screen(stimuli, target_visual_degrees=16, source_visual_degrees=8)
    plain = Preprocessing("as it is", resize_px=16)
    own = read_pixels(lab_folder / "stimuli" / "s05.png", plain)
    on_screen = read_pixels(placed.get_stimulus("s05.png"), Preprocessing("placed", resize_px=32))
    assert (on_screen[:, 8:24, 8:24] == own).all()
    assert (on_screen[:, :8] == 128).all()


@pytest.mark.parametrize("name", ["images", "images.zip"])
def test_images_may_lie_under_that_name(name, lab_folder, responses):
    if name.endswith(".zip"):
        shutil.make_archive(str(lab_folder / "images"), "zip", lab_folder / "stimuli")
        shutil.rmtree(lab_folder / "stimuli")
    else:
        (lab_folder / "stimuli").rename(lab_folder / name)
    np.testing.assert_array_equal(read_recordings(lab_folder).responses, responses)


def test_a_file_beside_the_images_is_named(lab_folder):
    (lab_folder / "stimuli" / "readme.txt").write_text("shown on a CRT")
    assert "beside the images, not read: readme.txt." in [finding.message for finding in check(lab_folder).findings]


def test_an_empty_name_is_shown_as_such(lab_folder, names):
    (lab_folder / "stimuli.csv").write_text("\n".join(["file,label", ",x", *(f"{name},x" for name in names[1:])]))
    with pytest.raises(FolderError, match=r"no image for 1 name: '' \(empty\)"):
        read_recordings(lab_folder)
