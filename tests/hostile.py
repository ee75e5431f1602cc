"""Hostile inputs for any reader: damaged bytes, odd things where a file should be, and the limits a reader must keep.

    for what, damaged in mutated(valid, seed=3, number=50):      # `what` names the damage, for the message
        path.write_bytes(damaged)
        require_read_or_refused(lambda: read(path), what)
    for what in in_place_of_a_file(path):                        # path is a folder, a FIFO, a loop, /dev/zero, …
        require_read_or_refused(lambda: read(path), what)

The same valid bytes and seed give the same damage. Nothing here knows a reader.
"""

from __future__ import annotations

import io
import os
import random
import re
import resource
import shutil
import signal
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brainscore_submission.plugin.errors import UserError

MOST_SECONDS, MOST_BYTES, MOST_LINES = 10, 10**9, 3
NUMBERS = (0, 1, -1, 127, -128, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1)
WORDS = (
    "9" * 400, "-" + "9" * 400, "9" * 5000, "1e400", "nan", "NaN", "inf", "-inf", "-1", "0", "1.5", "true", "null",
    "''", '""', "1,5", "0x7f", "١", "\u202e", "\x00", "\x1b[2J", "\ufeff", "[", "]", "{", "}", '"', "'", ",", ";", "="
)  # fmt: skip


def mutated(valid: bytes, seed: int, number: int) -> Iterator[tuple[str, bytes]]:
    """Damage a file in many ways.

    Parameters
    ----------
    valid : what a reader accepts
    seed : of the damage
    number : how many files; each kind of damage comes up about equally often

    Yields
    ------
    what : the damage in words, and the seed that makes it again
    damaged : bytes
    """
    kinds = [*DAMAGE, *(_within_zip,) * 4 * _is_zip(valid), *(_within_png,) * 4 * valid.startswith(b"\x89PNG")]
    kinds += [*TEXT_DAMAGE] * 2 * _is_text(valid)
    for index in range(number):
        rng = random.Random(f"{seed} {index}")
        kind = kinds[(seed + index) % len(kinds)] if index < len(kinds) else rng.choice(kinds)
        yield f"{kind.__name__.strip('_')} (seed {seed}, file {index})", kind(valid, rng)


def _nothing(valid: bytes, rng: random.Random) -> bytes:
    return b""


def _noise(valid: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice([1, 10, 1000, 100_000]))


def _cut(valid: bytes, rng: random.Random) -> bytes:
    return valid[: rng.randrange(len(valid) + 1)]


def _cut_near_the_start(valid: bytes, rng: random.Random) -> bytes:
    return valid[: rng.randrange(min(200, len(valid)) + 1)]


def _only_the_end(valid: bytes, rng: random.Random) -> bytes:
    return valid[rng.randrange(len(valid) + 1) :]


def _flipped_bit(valid: bytes, rng: random.Random) -> bytes:
    return _changed(valid, rng.randrange(len(valid)), lambda byte: byte ^ (1 << rng.randrange(8)))


def _flipped_bit_near_the_start(valid: bytes, rng: random.Random) -> bytes:
    return _changed(valid, rng.randrange(min(400, len(valid))), lambda byte: byte ^ (1 << rng.randrange(8)))


def _changed_bytes(valid: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice([1, 2, 8, 64])):
        valid = _changed(valid, rng.randrange(len(valid)), lambda byte: rng.randrange(256))
    return valid


def _blotted(valid: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(valid)), rng.choice([4, 16, 512, 4096])
    return valid[:start] + rng.choice([b"\0", b"\xff", b" "]) * length + valid[start + length :]


def _lost_part(valid: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(valid))
    return valid[:start] + valid[start + rng.choice([1, 3, 64, 1000]) :]


def _noise_within(valid: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(valid))
    return valid[:start] + rng.randbytes(rng.choice([1, 7, 100, 10_000])) + valid[start:]


def _twice(valid: bytes, rng: random.Random) -> bytes:
    return valid + valid


def _part_twice(valid: bytes, rng: random.Random) -> bytes:
    start, stop = sorted(rng.randrange(len(valid) + 1) for _ in range(2))
    return valid[:stop] + valid[start:]


def _noise_after_the_start(valid: bytes, rng: random.Random) -> bytes:
    return valid[: rng.choice([4, 8, 16, 128, 256])] + rng.randbytes(rng.choice([0, 50, 5000]))


def _hostile_number(valid: bytes, rng: random.Random) -> bytes:
    """A number of 1 to 8 bytes, such as a length or a shape, becomes another."""
    size = rng.choice([1, 2, 4, 8])
    start = 0 if len(valid) <= size else rng.randrange(len(valid) - size) // size * size  # mostly aligned
    if rng.random() < 0.5:
        start = min(start, rng.randrange(0, 400) // size * size)
    written = (rng.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size, rng.choice(["little", "big"]))
    return valid[:start] + written + valid[start + size :]


def _hostile_digits(valid: bytes, rng: random.Random) -> bytes:
    """Digits, as of a shape in a numpy header, become others, of the same length or not."""
    found = list(re.finditer(rb"\d+", valid[:100_000]))
    if not found:
        return _changed_bytes(valid, rng)
    match = rng.choice(found)
    length = match.end() - match.start()
    new = rng.choice([b"9" * length, b"0" * length, b"9" * (length + 11), b"9" * 400, b"-1", b"1" + b"0" * 12])
    return valid[: match.start()] + new + valid[match.end() :]


def _changed(valid: bytes, index: int, change: Callable[[int], int]) -> bytes:
    return valid[:index] + bytes([change(valid[index]) & 255]) + valid[index + 1 :]


DAMAGE = (
    _nothing, _noise, _cut, _cut_near_the_start, _only_the_end, _flipped_bit, _flipped_bit_near_the_start,
    _changed_bytes, _blotted, _lost_part, _noise_within, _twice, _part_twice, _noise_after_the_start, _hostile_number,
    _hostile_number, _hostile_number, _hostile_digits,
)  # fmt: skip


# --- text -------------------------------------------------------------------------------------------------------


def _is_text(valid: bytes) -> bool:
    try:
        return bool(valid) and valid.decode("utf-8").isprintable() or b"\0" not in valid and valid.isascii()
    except UnicodeDecodeError:
        return False


def _word_within(valid: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(valid) + 1)
    return valid[:start] + rng.choice(WORDS).encode() + valid[start:]


def _word_instead(valid: bytes, rng: random.Random) -> bytes:
    """A value, between two separators, becomes another."""
    found = list(re.finditer(rb'[^\s,;:=\[\]{}"]+', valid))
    match = rng.choice(found) if found else re.search(rb"", valid)
    return valid[: match.start()] + rng.choice(WORDS).encode() + valid[match.end() :]


def _lost_line(valid: bytes, rng: random.Random) -> bytes:
    lines = valid.splitlines(keepends=True)
    return b"".join(lines[:-1] if len(lines) < 2 else [*lines[: (at := rng.randrange(len(lines)))], *lines[at + 1 :]])


def _line_twice(valid: bytes, rng: random.Random) -> bytes:
    lines = valid.splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    return b"".join([*lines[: at + 1], *lines[at : at + 1] * rng.choice([1, 1000]), *lines[at + 1 :]])


def _lines_exchanged(valid: bytes, rng: random.Random) -> bytes:
    lines = valid.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines)


def _deeply_nested(valid: bytes, rng: random.Random) -> bytes:
    found = list(re.finditer(rb'[^\s,;:=\[\]{}"]+', valid))
    match = rng.choice(found) if found else re.search(rb"", valid)
    left, right, depth = *rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b"{a=", b"}"), (b"(", b")")]), 100_000
    nested = left * depth + (b"1" + right * depth if rng.random() < 0.7 else b"")
    return valid[: match.start()] + nested + valid[match.end() :]


def _other_encoding(valid: bytes, rng: random.Random) -> bytes:
    text = valid.decode("utf-8") + rng.choice(["", "µ", "e\u0301"])
    return text.encode(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp1252"]), errors="replace")


def _other_line_ends(valid: bytes, rng: random.Random) -> bytes:
    return valid.replace(b"\n", rng.choice([b"\r", b"\r\n", b"\n\n", b"\x0b", b""]))


def _other_separators(valid: bytes, rng: random.Random) -> bytes:
    return valid.replace(b",", rng.choice([b";", b"\t", b"|", b" ", b",,"]))


def _long_line(valid: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(valid) + 1)
    return valid[:start] + rng.choice([b"x", b",", b'"', b" "]) * 2_000_000 + valid[start:]


TEXT_DAMAGE = (
    _word_within, _word_instead, _word_instead, _word_instead, _lost_line, _line_twice, _lines_exchanged,
    _deeply_nested, _other_encoding, _other_line_ends, _other_separators, _long_line,
)  # fmt: skip


# --- below a checksum -------------------------------------------------------------------------------------------


def _is_zip(valid: bytes) -> bool:
    return zipfile.is_zipfile(io.BytesIO(valid))


def _within_zip(valid: bytes, rng: random.Random) -> bytes:
    """A member is damaged and packed again, so that its checksum fits; or a member is lost, doubled or renamed."""
    with zipfile.ZipFile(io.BytesIO(valid)) as archive:
        members = [(item.filename, archive.read(item)) for item in archive.infolist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    what = rng.random()
    if what < 0.7 and content:
        members[at] = name, rng.choice(DAMAGE)(content, rng)
    elif what < 0.8:
        members.pop(at)
    elif what < 0.9:
        renamed = ("../" + name, "/" + name, "a\\" + name, "x" * 300 + name, name + "/", "e\u0301" + name)
        members[at] = rng.choice(renamed), content
    else:
        members[at] = name, b"\0" * 300_000_000  # a small file that grows
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def _within_png(valid: bytes, rng: random.Random) -> bytes:
    """A chunk is damaged and its checksum made to fit: among them the picture's width and height."""
    chunks, start = [], 8
    while start + 12 <= len(valid):
        (length,) = struct.unpack(">I", valid[start : start + 4])
        chunks.append((valid[start + 4 : start + 8], valid[start + 8 : start + 8 + length]))
        start += 12 + length
    at = 0 if rng.random() < 0.6 else rng.randrange(len(chunks))
    kind, content = chunks[at]
    damage = rng.choice((_hostile_number, _hostile_number, _changed_bytes, _cut))
    chunks[at] = kind, damage(content, rng) if content else b"x"
    packed = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    return valid[:8] + b"".join(packed)


# --- no file at all ---------------------------------------------------------------------------------------------


def in_place_of_a_file(path: Path) -> Iterator[str]:
    """Put other things where a file should be, one after the other; the file is back at the end.

    Yields
    ------
    what lies there now, in words
    """
    kept = path.with_name(f".kept-{path.name}")
    path.rename(kept)
    makers: dict[str, Callable[[], Any]] = {
        "nothing": lambda: None,
        "an empty folder": path.mkdir,
        "a FIFO": lambda: os.mkfifo(path),
        "a link to nowhere": lambda: path.symlink_to("nowhere"),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a link to /dev/zero": lambda: path.symlink_to("/dev/zero"),
        "an empty file": path.touch,
        "a file of terabytes without content": lambda: _sparse(path),
    }
    makers[UNREADABLE] = lambda: (shutil.copy(kept, path), path.chmod(0))
    try:
        for what, make in makers.items():
            make()
            if what != UNREADABLE or not os.access(path, os.R_OK):  # root may read everything
                yield what
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
    finally:
        path.unlink(missing_ok=True)
        kept.rename(path)


UNREADABLE = "a file that may not be read"


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        try:
            file.truncate(15 * 10**12)
        except OSError:  # more than this file system's files may hold
            file.truncate(10**12)


# --- the promise ------------------------------------------------------------------------------------------------


class TooSlow(BaseException):
    """Raised in a reader that does not end; no `except` of a reader catches it."""


def require_read_or_refused(
    read: Callable[[], Any], what: str = "", seconds: float = MOST_SECONDS, n_bytes: int = MOST_BYTES
) -> UserError | None:
    """A reader reads, or raises a `UserError` of at most three lines, in time and within a growth of memory.

    Returns
    -------
    UserError, or None where it was read
    """
    started, before, refusal = time.monotonic(), _resident(reset=True), None
    handler = signal.signal(signal.SIGALRM, _too_slow)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    # Spares the machine: what asks for terabytes is refused by the system instead of being tried.
    resource.setrlimit(resource.RLIMIT_AS, (_mapped() + 4 * n_bytes, limits[1]))
    try:
        read()
    except UserError as error:
        refusal = error
    except TooSlow:
        pytest.fail(f"{what}: not done after {seconds} s")
    except BaseException as error:
        raise AssertionError(f"{what}: {type(error).__name__} instead of a UserError: {error}") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    taken = time.monotonic() - started
    assert taken < seconds, f"{what}: {taken:.1f} s"
    growth = _resident() - before
    assert growth < n_bytes, f"{what}: memory grew by {growth / 1e9:.2f} GB"
    if refusal is not None:
        lines = str(refusal).splitlines()
        assert 1 <= len(lines) <= MOST_LINES, f"{what}: a message of {len(lines)} lines: {refusal}"
        assert len(str(refusal)) < 2000, f"{what}: a message of {len(str(refusal))} signs: {str(refusal)[:300]} …"
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", str(refusal)), f"{what}: control signs in {str(refusal)!r}"
    return refusal


def _too_slow(*_signal: object) -> None:
    raise TooSlow


def _mapped() -> int:
    return _of_this_process("VmSize")


def _resident(reset: bool = False) -> int:
    """The peak of memory in use since the last reset, bytes; 0 where the system does not tell."""
    if reset and Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")
    return _of_this_process("VmHWM")


def _of_this_process(field: str) -> int:
    status = Path("/proc/self/status")
    found = re.search(rf"{field}:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0
