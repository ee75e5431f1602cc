"""The weights file of a card: found in the cache or fetched, verified by its hash, never half a file.

Order: the cache, the mirror (`BRAINSCORE_SUBMISSION_MIRROR`), the card's sources as listed. What is inside the
file is the business of ``checkpoint.py``.
"""

import contextlib
import errno
import json
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock
from huggingface_hub import constants as hub
from huggingface_hub import try_to_load_from_cache

from .card import Card, Source, all_cards
from .errors import UserError
from .files import hash_file
from .streams import ConnectionCut, SourceError, open_stream

CACHE_VARIABLE = "BRAINSCORE_SUBMISSION_CACHE"
MIRROR_VARIABLE = "BRAINSCORE_SUBMISSION_MIRROR"
ATTEMPTS = 4  # connections in a row that bring nothing new
RETRY_SECONDS = 1.0

Progress = Callable[[int, int | None], None]  # bytes done, bytes in all (None: not known)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsFile:
    """A file on this machine, its hashes (hex), and where it came from."""

    path: Path
    sha1: str
    sha256: str
    source: str


def cache_folder(cache: str | Path | None = None) -> Path:
    """The folder everything fetched or generated is kept in: `cache`, else the environment's, else the user's."""
    chosen = cache or os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("brainscore_submission")


def weights_path(card: Card, cache: str | Path | None = None) -> Path:
    """Where the card's weights lie in the cache, or would."""
    return cache_folder(cache) / "weights" / card.identifier / card.weights.file


def is_present(card: Card, cache: str | Path | None = None) -> bool:
    """Whether the weights are on this machine already (not whether they are sound)."""
    if weights_path(card, cache).is_file():
        return True
    # Asked for a list of models, so without timm, which takes seconds to import: its weights lie in timm/<name>.<tag>.
    of_timm = f"timm/{card.architecture.partition('.')[0]}"
    places = [
        (source.repo, card.weights.file) if source.repo else (f"{of_timm}.{source.tag}", "model.safetensors")
        for source in card.weights.sources
        if source.kind in ("hub", "hf")
    ]
    return any(isinstance(try_to_load_from_cache(*place), str) for place in places)


def fetch(card: Card, cache: str | Path | None = None, progress: Progress | None = None) -> Path:
    """Make sure the card's weights are on this machine, verified.

    Parameters
    ----------
    cache : see `cache_folder`
    progress : called with (bytes done, bytes in all) as a download goes on

    Raises
    ------
    UserError
        what each source answered and the ways on; or: the disk is full
    """
    return fetch_file(card, cache, progress).path


def fetch_file(card: Card, cache: str | Path | None = None, progress: Progress | None = None) -> WeightsFile:
    """As `fetch`, with the hashes and the origin of the file."""
    target = weights_path(card, cache)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        kept = _from_cache(card, target)  # without the lock: a cache may be read-only
        if kept is not None:
            return kept
        with FileLock(f"{target}.lock"):  # of two runs at once, one downloads
            return _from_cache(card, target) or _from_sources(card, target, progress)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _part(target).unlink(missing_ok=True)
            raise UserError(
                f"the disk is full: {card.weights.file} does not fit into {target.parent}; nothing was kept. "
                f"Free some space or set {CACHE_VARIABLE} to a folder on another disk."
            ) from error
        raise UserError(
            f"cannot use the cache folder {target.parent}: {error.strerror or error}. "
            f"Set {CACHE_VARIABLE} to a folder that can be written."
        ) from error


def owner(sha1: str, besides: Card) -> Card | None:
    """The other known model this hash belongs to, if any."""
    if sha1 == besides.weights.sha1:
        return None
    return next((card for card in all_cards() if card.weights.sha1 == sha1), None)


def _fault(card: Card, sha1: str, sha256: str) -> str | None:
    """What is wrong with a file of these hashes; None if it is the card's, or the card states no hash."""
    stated = card.weights
    if sha1 == (stated.sha1 or sha1) and sha256 == (stated.sha256 or sha256):
        return None
    other = owner(sha1, card)
    if other:
        return f"this is {other.name}'s checkpoint; you asked for {card.name}"
    if stated.sha1 not in (None, sha1):
        return f"wrong file: sha1 {sha1}, expected {stated.sha1}"
    return f"wrong file: sha256 {sha256}, expected {stated.sha256}"


# --- the cache ---


def _from_cache(card: Card, target: Path) -> WeightsFile | None:
    """The cached file, if it is there and whole."""
    if not target.is_file():
        return None
    receipt = _read_receipt(target)
    sha1, sha256 = hash_file(target)
    as_fetched = _states_hash(card) or receipt.get("sha256", sha256) == sha256
    if _fault(card, sha1, sha256) or not as_fetched:
        return None
    return WeightsFile(target, sha1, sha256, receipt.get("source", "cache"))


def _states_hash(card: Card) -> bool:
    return bool(card.weights.sha1 or card.weights.sha256)


def _receipt(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _read_receipt(target: Path) -> dict[str, str]:
    """Where the file came from, and its hash then. A missing or broken receipt says nothing."""
    try:
        receipt = json.loads(_receipt(target).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return receipt if isinstance(receipt, dict) else {}


# --- the sources ---


def _from_sources(card: Card, target: Path, progress: Progress | None) -> WeightsFile:
    answers = []
    if target.is_file():
        _logger.warning("%s is damaged or not %s's; fetching it again.", target, card.name)
        answers.append(f"{target}: damaged")
    for source in (*_mirror(card), *card.weights.sources):
        try:
            return FETCHERS[source.kind](card, source, target, progress)
        except SourceError as error:
            _logger.info("%s: %s", source, error)
            answers.append(f"{source}: {error}")
    tried = "".join(f"\n  {answer}" for answer in answers) or " nothing: the card names no source"
    raise UserError(
        f"cannot fetch {card.weights.file} for {card.name}. Tried:{tried}\n"
        f"Ways on: --weights PATH with a file you have; {MIRROR_VARIABLE}=<folder or web address that holds "
        f"{card.weights.file}>; or --weights untrained for a seeded random network."
    )


def _mirror(card: Card) -> list[Source]:
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    if not mirror:
        return []
    if mirror.startswith(("http://", "https://")):
        return [Source("url", url=f"{mirror.rstrip('/')}/{card.weights.file}")]
    return [Source("folder", url=str(Path(mirror).expanduser() / card.weights.file))]


def _from_folder(card: Card, source: Source, target: Path, progress: Progress | None) -> WeightsFile:
    path = Path(source.url or source.path)
    if not path.is_file():
        raise SourceError("no such file")
    try:
        return _accept(card, path, str(path))
    except OSError as error:
        raise SourceError(str(error.strerror)) from error


def _from_hub(card: Card, source: Source, target: Path, progress: Progress | None) -> WeightsFile:
    kept = _in_hub_cache(card, source)
    if kept is not None:
        return _accept(card, kept, str(source))
    if hub.HF_HUB_OFFLINE:
        raise SourceError("HF_HUB_OFFLINE is set and the file is not in the Hugging Face cache")
    # Over plain HTTPS rather than hf_hub_download: our progress, our resume, and no 23 s of retries when offline.
    repo, file = _hub_file(card, source)
    address = Source("url", url=f"{hub.ENDPOINT}/{repo}/resolve/main/{file}")
    return _download(card, address, target, progress)


def _in_hub_cache(card: Card, source: Source) -> Path | None:
    """The file in Hugging Face's own cache, if it is there and whole: a blob is named by its sha256."""
    try:
        kept = try_to_load_from_cache(*_hub_file(card, source))
    except SourceError:
        return None
    if not isinstance(kept, str):
        return None
    path = Path(kept)
    name = path.resolve().name
    damaged = re.fullmatch("[0-9a-f]{64}", name) is not None and hash_file(path)[1] != name
    return None if damaged else path


def _hub_file(card: Card, source: Source) -> tuple[str, str]:
    if source.repo:
        return source.repo, card.weights.file
    import timm  # takes seconds, and a list of models must not

    name = f"{card.architecture.partition('.')[0]}.{source.tag}"
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # timm: "Invalid pretrained tag"
        raise SourceError(f"timm knows no weights {name}") from error
    if config is None or not config.hf_hub_id:
        raise SourceError(f"timm knows no hub repository of {name}")
    return config.hf_hub_id, config.hf_hub_filename or "model.safetensors"


def _accept(card: Card, path: Path, source: str) -> WeightsFile:
    sha1, sha256 = hash_file(path)
    fault = _fault(card, sha1, sha256)
    if fault:
        raise SourceError(fault)
    return WeightsFile(path, sha1, sha256, source)


# --- the download ---


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _download(card: Card, source: Source, target: Path, progress: Progress | None) -> WeightsFile:
    part = _part(target)
    if not _states_hash(card):
        part.unlink(missing_ok=True)  # only a hash can prove that two halves belong together
    resumed = part.exists()
    if not (resumed and _fault(card, *hash_file(part)) is None):
        _fill(part, source, progress)
    try:
        arrived = _accept(card, part, str(source))
    except SourceError:
        part.unlink()
        if not resumed:
            raise
        return _download(card, source, target, progress)  # the old half was bad: once more from the start
    _keep(arrived, target)
    return WeightsFile(target, arrived.sha1, arrived.sha256, arrived.source)


def _keep(arrived: WeightsFile, target: Path) -> None:
    """Move the whole, verified file to its place, its receipt first."""
    receipt = {"source": arrived.source, "sha1": arrived.sha1, "sha256": arrived.sha256}
    waiting = target.with_name(f"{target.name}.json.part")
    try:
        waiting.write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
        waiting.replace(_receipt(target))
        arrived.path.replace(target)
    finally:
        with contextlib.suppress(OSError):
            waiting.unlink(missing_ok=True)


def _fill(part: Path, source: Source, progress: Progress | None) -> None:
    """Download into `part`, going on where it ends, until the source has no more."""
    failures = 0
    while True:
        before = _size(part)
        try:
            return _append(part, source, before, progress)
        except ConnectionCut as cut:
            after = _size(part)
            failures = 0 if after > before else failures + 1
            _logger.info("%s: cut after %d bytes (%s)", source, after, cut)
            if failures == ATTEMPTS:
                raise SourceError(f"the connection broke {failures} times at {after} bytes") from cut
            time.sleep(RETRY_SECONDS)


def _append(part: Path, source: Source, offset: int, progress: Progress | None) -> None:
    with contextlib.closing(open_stream(source, offset)) as reply:
        done = reply.offset
        with part.open("r+b" if done else "wb") as file:
            file.seek(done)
            while chunk := reply.read():
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, reply.total)
    if reply.total is not None and done < reply.total:
        raise ConnectionCut(f"{done} of {reply.total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


FETCHERS = {
    "s3": _download,
    "url": _download,
    "hub": _from_hub,
    "hf": _from_hub,
    "folder": _from_folder,
    "file": _from_folder,
}
