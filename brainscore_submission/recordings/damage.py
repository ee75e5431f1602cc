"""Files of any bytes: no file, a foreign reader's error, its crash, its hunger become one message each."""

import contextlib
import csv
import gzip
import os
import pickle
import select
import signal
import struct
import time
import tokenize
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scipy.io.matlab import MatReadError

from ..words import size_in_words
from .findings import FolderError

MOST_TEXT = 2_000_000_000  # bytes of a table; more belongs into an array
GROWTH = 1_000_000_000  # bytes that any reader may take, and 20 times the file beside
# numpy, scipy, h5py, netCDF4, pandas and Pillow raise any of these at damaged bytes; found by tests/hostile.py.
DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    SyntaxError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    csv.Error,
    tokenize.TokenError,
    MatReadError,
    Warning,  # where warnings are made errors
)


@contextlib.contextmanager
def reading(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Turn whatever a reader of a foreign format raises into "x is not `what`" and the remedy.

    Raises
    ------
    FolderError
    """
    require_file(path)
    try:
        yield
    except DAMAGE as error:
        said = str(error).strip().splitlines()
        raise FolderError(
            f"{path.name} is not {what} ({said[0] if said else type(error).__name__}).", remedy
        ) from error


@contextlib.contextmanager
def reading_folder(path: Path) -> Iterator[None]:
    """Turn an error of the file system into one that names the folder.

    Raises
    ------
    FolderError
    """
    try:
        yield
    except OSError as error:
        raise FolderError(
            f"{path} cannot be read: {error.strerror}.", "See that it is there and yours to read."
        ) from error


def require_file(path: Path) -> None:
    """Refuse folders, pipes, devices, links to nowhere, and files that take no room on the disk.

    Raises
    ------
    FolderError
    """
    try:
        status = path.stat()
    except OSError as error:
        raise FolderError(f"{path.name} cannot be read: {error.strerror}.", "Put the file itself there.") from error
    if not path.is_file():
        raise FolderError(f"{path.name} is no file.", "Put the file itself there.")
    if not os.access(path, os.R_OK):
        raise FolderError(f"{path.name} may not be read by you.", f"Give yourself the right: chmod u+r {path}")
    if status.st_size > GROWTH / 2 and status.st_blocks * 512 < status.st_size // 100:
        raise FolderError(
            f"{path.name} claims {size_in_words(status.st_size)} and holds next to nothing.", "Copy the file anew."
        )


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The text of a file in UTF-8, with or without mark, packed by gzip or not.

    Raises
    ------
    FolderError, UnicodeDecodeError, OSError, EOFError
    """
    require_file(path)
    packed = path.suffix == ".gz"
    most = min(most, GROWTH // 4 + 20 * path.stat().st_size) if packed else most
    with gzip.open(path) if packed else path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise FolderError(
            f"{path.name} holds more than {size_in_words(most)} of text.",
            'Save an array instead: np.save("responses.npy", array)',
        )
    return content.decode("utf-8-sig")


def in_own_process(read: Callable[[Path], Any], path: Path) -> Any:
    """Call a reader in a process of its own: HDF5 and scipy's MATLAB reader may crash or hang on damaged bytes.

    Raises
    ------
    What the reader raised; RuntimeError where it crashed, hung or took too much memory
    """
    size = path.stat().st_size
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        _answer(read, path, sending, GROWTH + 20 * size)
    os.close(sending)
    deadline = time.monotonic() + 8 + size / 5e6
    with os.fdopen(receiving, "rb") as pipe:
        try:
            content = b"".join(iter(lambda: _chunk(pipe, deadline), b""))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    try:
        refusal, value = pickle.loads(content)  # written by this very program
    except (EOFError, pickle.UnpicklingError):
        raise RuntimeError("its reader crashed on it") from None
    if refusal is None:
        return value
    raise FolderError(*refusal) if isinstance(refusal, tuple) else RuntimeError(refusal)


def _chunk(pipe: Any, deadline: float) -> bytes:
    if not select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
        raise RuntimeError("its reader does not come to an end")
    return os.read(pipe.fileno(), 1 << 20)


def _answer(read: Callable[[Path], Any], path: Path, sending: int, growth: int) -> None:
    """In the child: send what the reader gives or says, and end."""
    try:
        _take_no_more_than(growth)
        try:
            answer = None, read(path)
        except FolderError as error:
            answer = (error.finding.message, error.finding.remedy), None
        except DAMAGE as error:
            answer = str(error).strip() or type(error).__name__, None
        with os.fdopen(sending, "wb") as pipe:
            pickle.dump(answer, pipe, protocol=5)
    except BaseException:
        traceback.print_exc()  # a bug of ours: the parent knows only that nothing came
        raise
    finally:
        os._exit(0)


def _take_no_more_than(n_bytes: int) -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere than on Linux the system does not hold to this limit
        import resource  # not everywhere there is one

        mapped = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + n_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
