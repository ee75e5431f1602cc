"""Arrays on disk with what they were made of: read back only if that is the same and every byte is what was written."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..plugin.files import write_whole

logger = logging.getLogger(__name__)

# What numpy raises for an npz that is none, or is damaged: its headers are Python that it reads.
NPZ_DAMAGE = (
    OSError, ValueError, EOFError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError, NotImplementedError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_DIGEST_BYTES = hashlib.sha256().digest_size


def canonical(meta: Mapping) -> str:
    """JSON that is the same for the same facts."""
    return json.dumps(meta, sort_keys=True, allow_nan=False)


def save(path: str | Path, arrays: Mapping[str, np.ndarray], meta: Mapping) -> None:
    """Write arrays and what they were made of; the file appears whole or not at all.

    The file is an npz (the arrays, and `meta` as JSON) followed by the sha256 of all bytes before.

    Raises
    ------
    UserError
        If the disk is full.
    """
    buffer = io.BytesIO()
    np.savez(buffer, meta=np.array(canonical(meta)), **arrays)
    buffer.write(hashlib.sha256(buffer.getvalue()).digest())
    write_whole(path, buffer.getvalue(), "BRAINSCORE_SUBMISSION_CACHE")


def load(path: str | Path, meta: Mapping) -> dict[str, np.ndarray] | None:
    """Read arrays, if they are there and were made of the same things.

    Returns
    -------
    dict; None, to be computed again, if there is no file, if it was made of something else, or (with a warning) if its
    content is not what was written
    """
    path = Path(path)
    if not path.is_file():
        return None
    status = path.stat()
    if status.st_blocks * 512 < status.st_size // 100:  # a hole of a file, which may announce any size
        logger.warning("%s is damaged (it holds next to nothing): computing it again", path)
        return None
    data = path.read_bytes()
    content, digest = memoryview(data)[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        logger.warning("%s is damaged (its checksum does not fit): computing it again", path)
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        if str(arrays["meta"]) != canonical(meta):
            logger.info("%s was made of other inputs: computing it again", path)
            return None
        return {name: arrays[name] for name in arrays.files if name != "meta"}
