"""TFRecord files, written here by the rules of the format; and damaged ones."""

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.tfrecord import crc32c, read_records

# By hand from the encoding of protocol buffers: label = int64 [291, 255], raw = three bytes, heat = float [-0.5].
EXAMPLE = bytes.fromhex(
    "0a35"  # Example.features, 53 bytes
    "0a11" "0a056c6162656c" "1208" "1a060a04a302ff01"  # "label": int64_list, packed: 291, 255
    "0a0e" "0a03726177" "1207" "0a050a03000102"  # "raw": bytes_list: 00 01 02
    "0a10" "0a0468656174" "1208" "12060a04000000bf"  # "heat": float_list, packed: -0.5
)  # fmt: skip


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(message):
    length = struct.pack("<Q", len(message))
    return length + masked(length) + message + masked(message)


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def example(**features):
    entries = b""
    for name, (kind, values) in features.items():
        entries += field(1, field(1, name.encode()) + field(2, field(kind, values)))
    return field(1, entries)


@pytest.fixture
def write(tmp_path):
    def write(data):
        path = tmp_path / "clickme.tfrecords"
        path.write_bytes(data)
        return path

    return write


def test_the_checksum_is_the_standards():
    """The test vectors of RFC 3720, appendix B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_a_message_by_hand_is_read(write):
    (features,) = read_records(write(record(EXAMPLE)))
    assert features["label"].tolist() == [291, 255] and features["raw"] == [b"\x00\x01\x02"]
    assert features["heat"].tolist() == [-0.5] and features["heat"].dtype == np.float32


def test_clickme_shaped_records_are_read_in_order(write):
    rng = np.random.default_rng(0)
    images, maps = rng.random((3, 8, 8, 3), np.float32), rng.random((3, 8, 8, 1), np.float32)
    data = b"".join(
        record(
            example(
                image=(1, field(1, image.tobytes())),
                heatmap=(1, field(1, heat.tobytes())),
                label=(3, varint(1 << 3) + varint(900 + i)),  # not packed, as protocol buffers 2 write it
            )
        )
        for i, (image, heat) in enumerate(zip(images, maps, strict=True))
    )
    read = list(read_records(write(data)))
    assert [features["label"].tolist() for features in read] == [[900], [901], [902]]
    for features, image, heat in zip(read, images, maps, strict=True):
        assert np.frombuffer(features["image"][0], np.float32).tolist() == image.ravel().tolist()
        assert np.frombuffer(features["heatmap"][0], np.float32).tolist() == heat.ravel().tolist()


def test_negative_numbers_and_empty_features(write):
    (features,) = read_records(write(record(example(a=(3, field(1, varint(2**64 - 7))), b=(1, b"")))))
    assert features["a"].tolist() == [-7] and features["b"] == []


def test_an_empty_file_has_no_records(write):
    assert list(read_records(write(b""))) == []


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda data: data[:-3], "ends inside record 1: it was cut short"),
        (lambda data: data[:-65], "is damaged at record 1"),
        (lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:], "record 0 is damaged"),
        (lambda data: b"\x1f\x8b" + data, "is no TFRecord file"),
        (lambda data: data + b"more", "is damaged at record 2"),
        (lambda data: record(b"\x0a\xff\x01") + data, "record 0 is no tf.train.Example"),
        (lambda data: record(b"\x0b" * 9) + data, "record 0 is no tf.train.Example"),
        (lambda data: record(field(1, field(1, field(2, b"no name")))), "record 0 is no tf.train.Example"),
        (lambda data: b"\xff" * 12 + data, "is no TFRecord file"),
    ],
)
def test_damage_is_named(write, change, match):
    path = write(change(2 * record(EXAMPLE)))
    with pytest.raises(UserError, match=match) as error:
        list(read_records(path))
    assert "\n" not in str(error.value)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=20).map(lambda data: field(1, field(1, data)))))
def test_any_message_is_read_or_refused(write, message):
    try:
        list(read_records(write(record(message))))
    except UserError as error:
        assert "record 0 is no tf.train.Example" in str(error)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        next(read_records(tmp_path / "none.tfrecords"))
