"""Where the features of one layer wait until every stimulus has been seen: memory, or a file that survives a kill.

A store is a matrix (n_stimuli, n_features) of float32, filled by rows as the batches come, read by columns when
the Gram matrix is formed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from ..plugin.errors import UserError
from .devices import row_numbers

logger = logging.getLogger(__name__)

COLUMN_BLOCK_BYTES = 64 * 2**20
ROWS_PER_SYNC = 64
FILES = ("features.f32", "done")
LOCK = "lock"


class MemoryStore:
    """Features in memory: the host's, or the GPU's when it has room.

    Parameters
    ----------
    n_stimuli, n_features : int
    device : torch device that holds the matrix
    """

    def __init__(self, n_stimuli: int, n_features: int, device: str | torch.device = "cpu"):
        self.shape = (n_stimuli, n_features)
        self.done = np.zeros(n_stimuli, dtype=bool)
        self._rows = torch.empty(self.shape, dtype=torch.float32, device=device)

    def write(self, rows: list[int], features: Tensor) -> None:
        """Put features of shape (len(rows), n_features) at the given rows."""
        device = self._rows.device
        self._rows[row_numbers(rows, device)] = features.to(device, torch.float32)
        self.done[rows] = True

    def flush(self) -> None:
        """Nothing to do: memory does not outlive the process."""

    def columns(self) -> Iterator[Tensor]:
        """Column blocks of shape (n_stimuli, n_block)."""
        yield from self._rows.split(_columns_per_block(self.shape), dim=1)

    def features(self) -> np.ndarray:
        """The whole matrix."""
        return self._rows.cpu().numpy()

    def discard(self) -> None:
        """Let the memory go."""
        self._rows = torch.empty(0)


class DiskStore:
    """Features in a file, with a journal of the rows that are safely in it.

    A run that was killed finds its rows again: the journal holds the checksum of a row, only after the data has been
    synced, and a row that does not fit its checksum is not there. A second
    process that comes to a folder in use records into files of its own, which are gone when it ends.

    Parameters
    ----------
    folder : where ``features.f32`` and ``done`` lie; one folder for each (network, layer, stimuli, form)
    n_stimuli, n_features : int

    Raises
    ------
    UserError
        If the disk has no room: before anything is computed.
    """

    def __init__(self, folder: Path, n_stimuli: int, n_features: int):
        self.shape = (n_stimuli, n_features)
        self._folder = Path(folder)
        self._row_bytes = 4 * n_features
        self._unsynced: list[int] = []
        self._open()

    def write(self, rows: list[int], features: Tensor) -> None:
        """Put features of shape (len(rows), n_features) at the given rows."""
        block = np.ascontiguousarray(features.to("cpu", torch.float32).numpy())
        for row, values in zip(rows, block, strict=True):
            data = values.tobytes()
            _write_all(self._data, data, row * self._row_bytes, self._folder)
            self._checksums[row] = _checksum(data)
        self._unsynced += rows
        if len(self._unsynced) >= ROWS_PER_SYNC:
            self.flush()

    def flush(self) -> None:
        """Make the rows written so far survive a kill."""
        os.fdatasync(self._data)
        self.done[self._unsynced] = True
        os.pwrite(self._journal, np.where(self.done, self._checksums, 0).tobytes(), 0)
        self._unsynced = []

    def columns(self) -> Iterator[np.ndarray]:
        """Column blocks of shape (n_stimuli, n_block). A mapped file would count as this process's memory."""
        n_stimuli, n_features = self.shape
        width = _columns_per_block(self.shape)
        for start in range(0, n_features, width):
            n_bytes = 4 * (min(start + width, n_features) - start)
            block = np.empty((n_stimuli, n_bytes // 4), dtype=np.float32)
            for row in range(n_stimuli):
                os.preadv(self._data, [block[row]], row * self._row_bytes + 4 * start)
            yield block

    def features(self) -> np.ndarray:
        """The whole matrix."""
        return np.concatenate(list(self.columns()), axis=1)

    def discard(self) -> None:
        """Remove the files."""
        if self._lock is not None:
            for name in (*FILES, LOCK):
                (self._folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # another process has begun anew in it
                self._folder.rmdir()
        self._close()  # last: the lock goes with it

    def _checksum_on_disk(self, row: int) -> int:
        return _checksum(os.pread(self._data, self._row_bytes, int(row) * self._row_bytes))

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._folder / LOCK)
        if self._lock is None:  # another store has this folder
            self._data, self._journal = (_nameless_file(self._folder.parent) for _ in FILES)
        else:
            self._data, self._journal = (os.open(self._folder / name, os.O_RDWR | os.O_CREAT) for name in FILES)
        self._close = weakref.finalize(self, _close, self._lock, self._data, self._journal)
        n_stimuli = self.shape[0]
        journal = os.pread(self._journal, 8 * n_stimuli, 0)
        whole = os.fstat(self._data).st_size == n_stimuli * self._row_bytes and len(journal) == 8 * n_stimuli
        self._checksums = np.frombuffer(journal if whole else bytes(8 * n_stimuli), dtype=np.uint64).copy()
        self.done = self._checksums != 0
        damaged = [row for row in self.done.nonzero()[0] if self._checksum_on_disk(row) != self._checksums[row]]
        self.done[damaged] = False
        if damaged:
            logger.warning("%s: %d rows are not what was written, and are recorded again", self._folder, len(damaged))
        if not whole:
            os.ftruncate(self._journal, 0)  # first: it must not speak of rows that are about to go
            _reserve(self._data, n_stimuli * self._row_bytes, self._folder)


def _checksum(data: bytes) -> int:
    """Never 0, which stands for a row that is not there."""
    return zlib.crc32(data) | 1 << 32


def _locked(path: Path) -> FileLock | None:
    """The lock, held; None if another store has it, or the file system knows no locks."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError, NotImplementedError):
        return None
    return lock


def _nameless_file(folder: Path) -> int:
    handle, path = tempfile.mkstemp(dir=folder)
    Path(path).unlink()
    return handle


def _close(lock: FileLock | None, *handles: int) -> None:
    for handle in handles:
        os.close(handle)
    if lock is not None:
        lock.release()


def _columns_per_block(shape: tuple[int, int]) -> int:
    n_stimuli, n_features = shape
    return max(1, min(n_features, COLUMN_BLOCK_BYTES // (4 * max(1, n_stimuli))))


def _reserve(handle: int, n_bytes: int, folder: Path) -> None:
    """Claim the space now: a full disk is found before hours of computing, not after."""
    try:
        os.ftruncate(handle, 0)
        if n_bytes:
            os.posix_fallocate(handle, 0, n_bytes)
    except OSError as error:
        raise _disk_error(error, folder) from error


def _write_all(handle: int, data: bytes, offset: int, folder: Path) -> None:
    view = memoryview(data)
    try:
        while view:
            written = os.pwrite(handle, view, offset)
            view, offset = view[written:], offset + written
    except OSError as error:
        raise _disk_error(error, folder) from error


def _disk_error(error: OSError, folder: Path) -> Exception:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return UserError(
        f"no room on the disk for recorded features in {folder}. Free some space, point BRAINSCORE_SUBMISSION_CACHE "
        "at another disk, or lower --disk."
    )
