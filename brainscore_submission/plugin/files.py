"""Files: whole ones or none, a place that cannot be written is a user error, and what a file's bytes are known by."""

import contextlib
import errno
import hashlib
import json
import os
import re
import socket
import stat
import tempfile
import tomllib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .errors import UserError

MOST_TEXT = 10_000_000  # bytes of a card, a map, a list
# In the name of a file that is being written, so that what a kill has left can be told from what another writes.
THIS_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]
_UNFINISHED = re.compile(r"\..*\.([0-9a-f]{6})\.(\d+)\.[0-9a-f]{8}\.part")


@contextlib.contextmanager
def writing_to(path: str | Path, option: str = "-o") -> Iterator[None]:
    """Turn an error of the file system into one that names the output and the option that gives another.

    Raises
    ------
    UserError
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror or error}. Give another with {option}.") from error


def require_writable(path: str | Path, option: str = "-o") -> None:
    """See that a file can be written there, before long work; its folder has to be there.

    Raises
    ------
    UserError
    """
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise UserError(f"there is no folder {path.parent}. Make it first, or write elsewhere.")
    with writing_to(path, option):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass


def require_writable_later(folder: str | Path, option: str) -> None:
    """See that a folder can be made, or written into, without making it yet.

    Raises
    ------
    UserError
    """
    there = next(place for place in (Path(folder), *Path(folder).absolute().parents) if place.exists())
    with writing_to(folder, option), tempfile.TemporaryFile(dir=there):
        pass


def require_writable_folder(folder: str | Path, option: str) -> None:
    """Make a folder and see that files can be written into it, before long work.

    Raises
    ------
    UserError
    """
    with writing_to(folder, option):
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


@contextlib.contextmanager
def whole_file(path: str | Path, option: str = "-o") -> Iterator[Path]:
    """A name to write to; it becomes `path` when everything is written, and vanishes if not.

    Raises
    ------
    UserError
    """
    path = Path(path)
    require_writable(path, option)
    unfinished = path.with_name(f".{path.name}.{THIS_HOST}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
    with writing_to(path, option):
        try:
            yield unfinished
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def sweep(folder: str | Path) -> list[Path]:
    """Remove what writers of this machine left unfinished when they were killed; those that run keep theirs.

    Parameters
    ----------
    folder : and all below it

    Returns
    -------
    list of Path, what was removed
    """
    removed = []
    for path in Path(folder).rglob(".*.part"):
        found = _UNFINISHED.fullmatch(path.name)
        if found and found[1] == THIS_HOST and not _runs(int(found[2])):
            with contextlib.suppress(OSError):  # somebody else was faster, or may
                path.unlink()
                removed.append(path)
    return removed


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def write_whole(path: str | Path, data: bytes, option: str = "-o") -> Path:
    """Write a file, on the disk when this returns, or nothing at all; its folder is made.

    Raises
    ------
    UserError
    """
    path = Path(path)
    with writing_to(path, option):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, option) as unfinished, unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


def read_document(path: str | Path, what: str, most: int = MOST_TEXT) -> str:
    """The text of a small file; a folder, a pipe, a device and endless files are refused before they are read.

    Parameters
    ----------
    what : it should be, for the message: "card"
    most : bytes

    Raises
    ------
    UserError
    """
    path = Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"cannot read {what} {path}: it is {'a folder' if path.is_dir() else 'no file'}.")
        if status.st_size > most:
            raise UserError(f"cannot read {what} {path}: it holds more than {most // 10**6} MB.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {what} {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name}: broken, not text in UTF-8: {error.reason} at byte {error.start}.") from error


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """The content of a small TOML file; see `read_document`."""
    return _parsed(tomllib.loads, path, what, "TOML")


def read_json(path: str | Path, what: str) -> Any:
    """The content of a small JSON file; see `read_document`."""
    return _parsed(json.loads, path, what, "JSON")


def _parsed(parse: Callable[[str], Any], path: str | Path, what: str, language: str) -> Any:
    try:
        return parse(read_document(path, what))
    except RecursionError as error:
        raise UserError(f"{path}: not a {language} file: it is nested too deep.") from error
    except ValueError as error:  # of its grammar, and numbers of thousands of digits
        said = str(error).encode("unicode_escape").decode("ascii")[:200]
        raise UserError(f"{path}: not a {language} file: {said}.") from error


def hash_file(path: str | Path) -> tuple[str, str]:
    """The sha1 and the sha256 of a file, in hex, in one reading."""
    sha1, sha256 = hashlib.sha1(), hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            sha1.update(chunk)
            sha256.update(chunk)
    return sha1.hexdigest(), sha256.hexdigest()


def file_sha256(path: str | Path) -> str:
    """The sha256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
