"""What opening a model and a suite gave, noted in the cache: a command with nothing left to do opens neither.

A note lies under a hash of all that opening depends on: what was typed and where, the content of every file that it
names (weights, cards, layer maps, suites, recordings), the versions of the packages, our own files. Whoever asks for
anything else finds no note, and opens as ever. What only somebody's code or a server can describe (`.py`, `hf-hub:`),
and layers that are searched, are not noted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..asked import Asked
from ..models.layer_maps import origin_path
from ..plugin.card import Card, Preprocessing, Source, Weights
from ..plugin.errors import UserError
from ..plugin.files import file_sha256, read_toml, write_whole

if TYPE_CHECKING:
    from ..models.model import Model
    from ..scoring.kept import Described
    from ..scoring.suites import Suite

SEARCH = "search"  # instead of layers: those that a layer search on the same suite finds
FOLDER = "opened"  # of the cache
_OPENED_EACH_TIME = (".py", "hf-hub:")
_NO_MATTER = ("command", "memory", "disk")  # of `Asked`: what is opened does not depend on them
_WHERE_FILES_LIE = ("BRAINSCORE_", "HF_", "HOME", "TORCH_", "XDG_")
_PACKAGE = Path(__file__).parents[1]


def note_of(asked: Asked, engine: str) -> Path | None:
    """Where the note of what is asked for would lie; None for what is opened each time.

    Parameters
    ----------
    engine : of the scores
    """
    from ..plugin.fetching import cache_folder
    from ..scoring.records import versions

    if asked.layers == SEARCH or any(one in asked.model for one in _OPENED_EACH_TIME):
        return None
    facts = {
        "asked": {name: value for name, value in dataclasses.asdict(asked).items() if name not in _NO_MATTER},
        "engine": engine,
        "folder": str(Path.cwd()),
        "environment": {name: value for name, value in os.environ.items() if name.startswith(_WHERE_FILES_LIE)},
        "versions": versions(),
        "ours": [(str(path), status.st_size, status.st_mtime_ns) for path, status in _ours()],
        "files": {str(path): _content(path) for path in _named_by(asked)},
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return cache_folder() / FOLDER / f"{digest}.json"


def recall(note: Path | None) -> tuple[Described, Suite] | None:
    """The model without its network and the suite without its data, or None where there is no note that holds."""
    from ..scoring.kept import Described
    from ..scoring.suite_files import SuiteFile
    from ..scoring.suites import Suite

    try:
        digest, _, body = note.read_bytes().partition(b"\n") if note else (b"", b"", b"")
    except OSError:
        return None
    if hashlib.sha256(body).hexdigest().encode() != digest:  # none, or not what was noted
        return None
    facts = json.loads(body)
    model, suite = facts["model"], facts["suite"]
    card = _card(model.pop("card"))
    if facts["weights_file"] and not _holds(card, Path(facts["weights_file"]), model["origin"]["sha256"]):
        return None
    described = Described(**model | {"card": card, "marks": tuple(model["marks"])})
    read = {"simulated_leaves": frozenset(suite["simulated_leaves"])}
    read["file"] = suite["file"] and SuiteFile(**suite["file"])
    return described, Suite(**suite | read)


def remember(note: Path | None, asked: Asked, model: Model, suite: Suite) -> None:
    """Note what opening gave; a cache that cannot be written makes the next command slow, and no more.

    Parameters
    ----------
    note : from `note_of`, the same before and after opening, so that no file was changed meanwhile
    """
    from ..scoring.kept import Described

    if note is None:
        return
    described = {field.name: getattr(model, field.name) for field in dataclasses.fields(Described)}
    tables = {name: getattr(suite, name) for name in ("name", "areas", "caveat", "data", "source", "partial")}
    facts = {
        "model": described | {"card": dataclasses.asdict(model.card)},
        "suite": tables
        | {"simulated_leaves": sorted(suite.simulated_leaves), "file": suite.file and suite.file.model_dump()},
        # One that was given is part of the note's name.
        "weights_file": str(model.weights_file.absolute()) if model.weights_file and not asked.weights else None,
    }
    body = json.dumps(facts, ensure_ascii=False).encode()
    try:
        write_whole(note, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    except UserError:
        return


def _holds(card: Card, noted: Path, sha256: str) -> bool:
    """Whether the file that opening would take has the bytes that it took: our cache is looked at first."""
    from ..plugin.fetching import weights_path

    ours = weights_path(card)
    file = ours if ours.is_file() else noted
    return file.is_file() and file_sha256(file) == sha256


def _card(facts: Mapping[str, Any]) -> Card:
    """A card of the fields of its JSON."""
    weights, preprocessing = dict(facts["weights"]), dict(facts["preprocessing"])
    weights["sources"] = tuple(Source(**source) for source in weights["sources"])
    preprocessing |= {key: tuple(preprocessing[key]) for key in ("mean", "std")}
    return Card(**facts | {"weights": Weights(**weights), "preprocessing": Preprocessing(**preprocessing)})


def _ours() -> Iterator[tuple[Path, os.stat_result]]:
    """Our own files, from which cards, maps, suites and all of opening come."""
    for place in (_PACKAGE, _PACKAGE.parent / "layer_maps"):  # maps lie beside the package in a checkout
        for path in sorted(place.rglob("*")):
            if path.suffix in (".py", ".toml", ".json"):
                yield path, path.stat()


def _named_by(asked: Asked) -> Iterator[Path]:
    """Files and folders that opening reads because of what was typed, whether they exist or not."""
    yield Path("layer_maps")  # of the current folder, where a search writes
    if asked.weights:
        yield Path(asked.weights).expanduser()
    if asked.model.endswith(".toml"):
        yield Path(asked.model)
        yield Path(asked.model).with_suffix(".json")
    if asked.layer_map.endswith(".json"):
        yield Path(asked.layer_map)
        yield origin_path(Path(asked.layer_map))
    if asked.suite and asked.suite.endswith(".toml"):
        yield Path(asked.suite)
    if asked.recordings:
        folder = Path(asked.recordings)
        yield folder
        try:
            manifest = read_toml(folder / "recordings.toml", "recordings")
        except UserError:  # opening says what is wrong
            return
        yield from (folder / value for value in manifest.values() if isinstance(value, str))  # may lie elsewhere


def _content(path: Path) -> str | dict[str, str] | None:
    """Hash of a file, or of each file of a folder and where links lead; None for what is neither."""
    if path.is_file():
        return file_sha256(path)
    if not path.is_dir():
        return None
    found: dict[str, str] = {}
    for folder, below, files in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in found.values():
            below.clear()  # a link back: it was or will be walked under another name
        found[folder] = real
        found |= {str(file): file_sha256(file) for name in files if (file := Path(folder, name)).is_file()}
    return found
