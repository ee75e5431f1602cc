"""Brain-Score's stored data: what went wrong with it, in words, which file, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import boto3.exceptions
import botocore.exceptions

_SHA1_MISMATCH = re.compile(r"SHA1 mismatch\. Expected: (\w+), Actual: (\w+)")
_BROKEN = (
    boto3.exceptions.RetriesExceededError,  # boto has tried five times already
    botocore.exceptions.ConnectionClosedError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ReadTimeoutError,
    botocore.exceptions.ResponseStreamingError,
)


def find_netcdf_readers() -> None:
    """Let Brain-Score's xarray, which is older than Python 3.12, ask for what reads netCDF as that Python wants it."""
    from xarray.backends import plugins

    plugins.entry_points = lambda: {"xarray.backends": entry_points(group="xarray.backends")}


def reason_for_no_access(error: Exception) -> str | None:
    """S3's refusal or the missing connection in words; None if the error is something else."""
    last = _last_answer(error)
    if isinstance(last, _BROKEN):  # there is a connection, and it was cut
        return None
    if isinstance(last, botocore.exceptions.EndpointConnectionError | botocore.exceptions.HTTPClientError):
        return "no internet connection"
    if isinstance(last, botocore.exceptions.NoCredentialsError):
        return "no credentials"
    if isinstance(last, botocore.exceptions.ClientError) and last.response["Error"]["Code"] in ("403", "AccessDenied"):
        return "no credentials for this data"
    return None


def reason_for_bad_data(error: Exception) -> str | None:
    """A file that came broken, is another one than registered, or is missing; None if the error is something else."""
    if mismatch := _SHA1_MISMATCH.fullmatch(str(error)):
        return _wrong_file(*mismatch.groups())
    from brainscore_core.supported_data_standards.brainio.fetch import BotoFetcher  # heavy, and loaded by now

    for name, value in _local_variables(error):
        if name == "self" and issubclass(type(value), BotoFetcher):  # isinstance would wake a LazyLoad up
            return _not_fetched(value, _last_answer(error))
        # Brain-Score unpacks once and, if killed meanwhile, takes what is there for all of it ever after.
        if name == "stimuli_directory" and isinstance(error, AssertionError):
            return f"{value} does not hold the pictures of its table: delete that folder and run again"
    return None


def _wrong_file(registered: str, found: str) -> str:
    """Brain-Score checks the hash of what it fetched, but leaves the file where it looks first the next time."""
    from brainscore_core.supported_data_standards.brainio.fetch import get_local_data_path

    folder = Path(get_local_data_path()) / registered
    name = next((path.name for path in sorted(folder.glob("*")) if path.is_file()), "a file")
    return (
        f"{name} is not the file that Brain-Score registers: its sha1 is {found}, not {registered}. "
        f"It stays in Brain-Score's cache and is not fetched again: delete {folder} and run again"
    )


def _not_fetched(fetcher: Any, last: Exception) -> str:
    name = f"s3://{fetcher.bucketname}/{fetcher.relative_path}"
    if isinstance(last, _BROKEN):
        return f"the connection broke before all of {name} had come. Nothing of it is kept: run again"
    said = " ".join(str(last).split())
    return f"{name} could not be fetched: {said or type(last).__name__}"


def _last_answer(error: Exception) -> Exception:
    """Brain-Score downloads signed first and unsigned last, and wraps both answers into a bare Exception."""
    answers = error.args[0] if error.args and isinstance(error.args[0], list) else [error]
    return answers[-1] if answers else error


def _local_variables(error: Exception) -> Iterator[tuple[str, Any]]:
    """Names and values on the way to an error, outermost first: Brain-Score's own messages name no file."""
    step = error.__traceback__
    while step is not None:
        yield from step.tb_frame.f_locals.items()
        step = step.tb_next
