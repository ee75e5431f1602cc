"""TFRecord files of tf.train.Example messages, read without TensorFlow: ClickMe's images and maps come in them.

A file is a row of records: length (8 bytes), its checksum (4), the message, its checksum (4), little-endian; checksums
are CRC-32C, masked. A message holds named features, each a list of bytes, floats or whole numbers (protocol buffers).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..plugin.errors import UserError

Feature = list[bytes] | np.ndarray
POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed


def read_records(path: str | Path) -> Iterator[dict[str, Feature]]:
    """Yield the features of each record, in the order of the file.

    Parameters
    ----------
    path : of the TFRecord file, uncompressed

    Yields
    ------
    dict : name -> list of bytes, or array of float32 or int64

    Raises
    ------
    UserError
        the file is missing, no TFRecord file, cut short or damaged; the message names the record
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115  (closed below, after the last record)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    with file:
        left, number = Path(path).stat().st_size, 0
        while left:
            header = file.read(12)
            if len(header) < 12 or not _intact(header[:8], header[8:]):
                what = "is no TFRecord file (or a compressed one)" if number == 0 else f"is damaged at record {number}"
                raise UserError(f"{path} {what}.")
            (length,) = struct.unpack("<Q", header[:8])
            if length + 16 > left:
                raise UserError(f"{path} ends inside record {number}: it was cut short. Fetch it again.")
            message = file.read(length)
            if not _intact(message, file.read(4)):
                raise UserError(f"{path}: record {number} is damaged (its checksum differs). Fetch the file again.")
            try:
                features = _features(memoryview(message))
            except (IndexError, ValueError) as error:  # UnicodeDecodeError is a ValueError
                raise UserError(f"{path}: record {number} is no tf.train.Example.") from error
            yield features
            left, number = left - length - 16, number + 1


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of some bytes; a megabyte takes a tenth of a second.

    Examples
    --------
    >>> hex(crc32c(b"123456789"))  # the check value of the standard
    '0xe3069283'
    """
    state = 0xFFFFFFFF
    for byte in data:
        state = _CRC_OF_BYTE[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (POLYNOMIAL if byte & 1 else 0)
    return byte


_CRC_OF_BYTE = [_crc_of(byte) for byte in range(256)]


def _intact(data: bytes, checksum: bytes) -> bool:
    crc = crc32c(data)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF  # TFRecord's mask
    return len(checksum) == 4 and masked == struct.unpack("<I", checksum)[0]


def _features(example: memoryview) -> dict[str, Feature]:
    """Example { features = 1 { feature = 1 { key = 1, value = 2 } … } }."""
    found: dict[str, Feature] = {}
    for _, features in _fields(example, only=1):
        for _, entry in _fields(features, only=1):
            pair = dict(_fields(entry))
            if not isinstance(pair.get(1), memoryview):
                raise ValueError("a feature without a name")
            found[bytes(pair[1]).decode()] = _values(pair.get(2, memoryview(b"")))
    return found


def _values(feature: memoryview) -> Feature:
    """Feature { bytes_list = 1 | float_list = 2 | int64_list = 3 }, each { value = 1 … }, numbers packed or not."""
    for kind, values in _fields(feature):
        parts = [value for _, value in _fields(values, only=1)]
        if kind in (1, 2) and any(isinstance(part, int) for part in parts):
            raise ValueError("a number where bytes belong")
        if kind == 1:
            return [bytes(part) for part in parts]
        if kind == 2:
            return np.frombuffer(b"".join(bytes(part) for part in parts), "<f4")
        if kind == 3:
            numbers = [number for part in parts for number in ([part] if isinstance(part, int) else _varints(part))]
            return np.array(numbers, np.uint64).astype(np.int64)
    return []


def _fields(message: memoryview | int, only: int | None = None) -> Iterator[tuple[int, memoryview | int]]:
    """Fields of a message: (number, its bytes), or a whole number for a field of that kind."""
    if not isinstance(message, memoryview):
        raise ValueError("a number where a message belongs")
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
        elif kind in (1, 2, 5):
            length, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value = message[at : at + length]
            at += length
            if len(value) != length:
                raise ValueError("a field reaches beyond its message")
        else:
            raise ValueError(f"field of unknown kind {kind}")
        if only is None or number == only:
            yield number, value


def _varints(packed: memoryview) -> Iterator[int]:
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A whole number of 7 bits a byte, least first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
