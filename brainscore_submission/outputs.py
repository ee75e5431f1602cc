"""Where a command writes: whole files or none, and a place that cannot be written is a user error."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .plugin.errors import UserError


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


@contextlib.contextmanager
def whole_file(path: str | Path, option: str = "-o") -> Iterator[Path]:
    """A name to write to; it becomes `path` when everything is written, and vanishes if not.

    Raises
    ------
    UserError
    """
    path = Path(path)
    require_writable(path, option)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    with writing_to(path, option):
        try:
            yield unfinished
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
