"""Reading bytes from S3 and from the web, beginning anywhere in the file. Knows nothing of cards or hashes."""

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .card import Source

CHUNK_BYTES = 1 << 20
CONNECT_SECONDS = 10
READ_SECONDS = 30


class SourceError(Exception):
    """A source answered, or failed to: in its own words, for the list of what was tried."""


class ConnectionCut(Exception):
    """The connection ended before the file did. Worth another try from where it stands."""


@dataclass(frozen=True)
class Reply:
    """An open download.

    Parameters
    ----------
    body : has `read(n_bytes)` and `close()`
    offset : where in the file the first byte read lies; 0 if the source ignored the wish for another
    total : bytes in the whole file, None where the source does not say
    faults : what `body.read` raises when the connection breaks
    """

    body: Any
    offset: int
    total: int | None
    faults: tuple[type[Exception], ...]

    def read(self) -> bytes:
        """The next bytes; empty at the end."""
        try:
            return self.body.read(CHUNK_BYTES)
        except self.faults as error:
            raise ConnectionCut(str(error)) from error

    def close(self) -> None:
        """Give the connection back."""
        with contextlib.suppress(*self.faults):
            self.body.close()


def open_stream(source: Source, offset: int = 0) -> Reply:
    """Begin reading a source at byte `offset`.

    Raises
    ------
    SourceError
        the file is not there, may not be read, or nothing answers
    """
    return OPENERS[source.kind](source, offset)


def _open_s3(source: Source, offset: int) -> Reply:
    # Here, for a machine that has its weights needs no client of S3.
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    wish = {"Bucket": source.bucket, "Key": source.key}
    if source.version:
        wish["VersionId"] = source.version
    if offset:
        wish["Range"] = f"bytes={offset}-"
    try:
        # Unsigned: the buckets are public, and a user's own credentials are none of their business.
        client = boto3.client(
            "s3",
            config=Config(
                signature_version=UNSIGNED,
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"total_max_attempts": 2},
            ),
        )
        reply = client.get_object(**wish)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if offset and status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _open_s3(source, 0)
        raise SourceError(f"{status} {error.response.get('Error', {}).get('Code', '')}".strip()) from error
    except BotoCoreError as error:
        raise SourceError(f"no connection ({type(error).__name__})") from error  # its text repeats the address
    partial = "ContentRange" in reply
    total = _total(reply["ContentRange"]) if partial else reply["ContentLength"]
    return Reply(reply["Body"], offset if partial else 0, total, (BotoCoreError, http.client.HTTPException, OSError))


def _open_url(source: Source, offset: int) -> Reply:
    headers = {"User-Agent": "brainscore-submission"} | ({"Range": f"bytes={offset}-"} if offset else {})
    try:
        request = urllib.request.Request(source.url, headers=headers)
        reply = urllib.request.urlopen(request, timeout=READ_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if offset and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _open_url(source, 0)
        raise SourceError(f"{error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
        raise SourceError(f"no connection ({getattr(error, 'reason', error)})") from error
    partial = reply.status == http.HTTPStatus.PARTIAL_CONTENT
    length = reply.headers.get("Content-Length")
    total = _total(reply.headers["Content-Range"]) if partial else (int(length) if length else None)
    return Reply(reply, offset if partial else 0, total, (OSError, http.client.HTTPException))


def _total(content_range: str) -> int | None:
    """'bytes 4-9/10' -> 10; 'bytes 4-9/*' -> None."""
    total = content_range.rpartition("/")[2]
    return int(total) if total.isdigit() else None


OPENERS: dict[str, Callable[[Source, int], Reply]] = {"s3": _open_s3, "url": _open_url}
