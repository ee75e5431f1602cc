"""TFRecord files as ClickMe's, written here by the rules of the format -> the npz that tolerance takes."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from brainscore_submission.labelled_images.images import read_labelled_images
from brainscore_submission.plugin.card import Preprocessing
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.clickme import check_maps, convert
from brainscore_submission.robustness.tfrecord import crc32c

PX = 16


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def record(**features):
    entries = b"".join(
        field(1, field(1, name.encode()) + field(2, field(kind, values))) for name, (kind, values) in features.items()
    )
    message = field(1, entries)
    length = struct.pack("<Q", len(message))

    def masked(data):
        crc = crc32c(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    return length + masked(length) + message + masked(message)


def as_picture(array, kind="png"):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def example(image, heatmap, label, **more):
    return record(
        image=(1, field(1, image)), heatmap=(1, field(1, heatmap)), label=(3, field(1, varint(label))), **more
    )


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, PX, PX, 3), dtype=np.uint8)
    return images, rng.integers(0, 256, (3, PX, PX), dtype=np.uint8)


@pytest.fixture
def write(tmp_path):
    def write(*records, name="val-0.tfrecords"):
        (tmp_path / name).write_bytes(b"".join(records))
        return tmp_path / name

    return write


def test_pictures_in_and_the_npz_that_tolerance_takes_out(drawn, write, tmp_path):
    images, maps = drawn
    records = [
        example(as_picture(i), as_picture(m), 300 + k) for k, (i, m) in enumerate(zip(images, maps, strict=True))
    ]
    facts = convert([write(*records[:2]), write(records[2], name="val-1.tfrecords")], tmp_path / "out.npz", blur_px=0)
    assert facts == {"images": 3, "size": [PX, PX], "classes": 3, "constant_maps": 0, "passed_over": []}
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_array_equal(file["image"], images)
        np.testing.assert_array_equal(file["heatmap"], maps)
        assert file["label"].tolist() == [300, 301, 302]
    batch = next(read_labelled_images(tmp_path / "out.npz", Preprocessing("p", resize_px=PX)).batches(3))
    np.testing.assert_array_equal(batch.maps.numpy(), maps)
    assert check_maps(tmp_path / "out.npz") == facts


def test_raw_floats_are_read_as_they_were_released_once(drawn, write, tmp_path):
    images, maps = drawn
    records = [
        example(image.astype("<f4").tobytes(), heat.astype("<f4").tobytes(), 1)
        for image, heat in zip(images, maps, strict=True)
    ]
    convert([write(*records)], tmp_path / "out.npz", blur_px=1.5)
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_array_equal(file["image"], images)
        np.testing.assert_allclose(file["heatmap"][0], gaussian_filter(maps[0].astype(np.float32), 1.5), rtol=1e-6)


def test_jpegs_of_three_channels_and_of_one(drawn, write, tmp_path):
    image, heat = drawn[0][0], np.full((PX, PX), 128, np.uint8)
    more = {"click_count": (3, field(1, varint(7)))}
    facts = convert(
        [write(example(as_picture(image, "jpeg"), as_picture(heat, "jpeg"), 2, **more))], tmp_path / "o.npz"
    )
    assert facts["constant_maps"] == 1 and facts["passed_over"] == ["click_count"]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (lambda i, m: record(image=(1, field(1, i)), label=(3, field(1, varint(1)))), "lacks heatmap; it holds image"),
        (lambda i, m: example(b"\xff\xd8broken", m, 1), "record 0, image: not a readable picture"),
        (lambda i, m: example(b"abc" * 7, m, 1), "are no JPEG, no PNG and no square of float32"),
        (lambda i, m: example(b"abcd" * 7, m, 1), "7 values are no JPEG, no PNG and no square of 3 channel"),
        (lambda i, m: example(i, as_picture(np.zeros((8, 8), np.uint8)), 1), "the map is .8, 8., its image .16, 16."),
        (lambda i, m: example(i, m, 1000), "labels lie in 1000 to 1000"),
        (lambda i, m: b"", "no records"),
        (lambda i, m: example(i, m, 1)[:-9], "ends inside record 0"),
    ],
)
def test_records_that_cannot_be_used(drawn, write, tmp_path, bad, says):
    data = bad(as_picture(drawn[0][0]), as_picture(drawn[1][0]))
    with pytest.raises(UserError, match=says):
        convert([write(data)], tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_an_npz_without_maps_is_named(tmp_path, drawn):
    np.savez(tmp_path / "a.npz", image=drawn[0], label=np.arange(3))
    with pytest.raises(UserError, match="lacks the array heatmap"):
        check_maps(tmp_path / "a.npz")
