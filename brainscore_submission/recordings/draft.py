"""A first recordings.toml from what lies in a folder: what can be told is written, what only its owner knows asked."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..plugin.files import write_whole
from ..words import few
from .damage import reading_folder
from .findings import FolderError, shown
from .formats import READERS, suffix_of
from .heads import FIELDS, find_heads
from .images import PLACES, SUFFIXES
from .manifest import FILE_NAME, WANTED, Manifest
from .reading import Recordings, read_described
from .response_tables import cells_to_numbers, read_cells, read_csv

TABLES = ("stimuli", "neuroids", "trials")
ASKED = ("subject", "unit", "source", "licence")


@dataclass(frozen=True)
class Draft:
    """A manifest as it was written.

    Attributes
    ----------
    path : of recordings.toml
    text : its content
    guesses : what was guessed, a sentence each
    to_fill_in : keys whose lines wait for a value
    problem : what still stops the reading once they have one; None where nothing does
    """

    path: Path
    text: str
    guesses: tuple[str, ...]
    to_fill_in: tuple[str, ...]
    problem: str | None


def write_draft(folder: str | Path) -> Draft:
    """Write `folder`/recordings.toml from what lies there.

    Raises
    ------
    FolderError
        where there is no folder, or a recordings.toml already
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FolderError(f"no folder at {folder}.", "Give the folder with your images and responses.")
    path = folder / FILE_NAME
    if path.exists() or path.is_symlink():
        raise FolderError(f"{path} is there already.", f"Check it: brainscore-submission recordings check '{folder}'")
    guesses: list[str] = []
    settings = {"name": re.sub(r"[^A-Za-z0-9_-]+", "_", folder.resolve().name).strip("_") or "recordings"}
    with reading_folder(folder):
        lying = sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    settings |= _images(lying, guesses) | _responses(lying, guesses)
    found, problem = _read(folder, settings, guesses)
    missing = ["visual_degrees"]
    if found is None or len(found.neuroids):
        missing += ["time_window_ms"] * (found is None or found.time_window_ms == _ANY_WINDOW)
        missing += ["area"] * (found is None or found.areas == (_ANY_AREA,))
    guesses = [shown(sentence) for sentence in guesses]
    text = _text(settings, guesses, missing, problem)
    write_whole(path, text.encode())
    return Draft(path, text, tuple(guesses), tuple(missing), problem)


# Values that let a folder be read before its owner has given the true ones; none of them is written.
_ANY_WINDOW, _ANY_AREA = (-1e9, 1e9), "V1"


def _images(lying: list[Path], guesses: list[str]) -> dict[str, str]:
    names = {child.name for child in lying}
    if names & set(PLACES):
        return {}
    holding = [
        child
        for child in lying
        if child.suffix == ".zip"
        or child.is_dir()
        and any(path.suffix.lower() in SUFFIXES for path in child.rglob("*") if path.is_file())
    ]
    if len(holding) != 1:
        return {}
    guesses.append(f"the images are those in {holding[0].name}.")
    return {"stimuli": holding[0].name}


def _responses(lying: list[Path], guesses: list[str]) -> dict[str, Any]:
    files = [child for child in lying if child.is_file() and suffix_of(child) in READERS]
    files = [child for child in files if child.name.split(".")[0] not in TABLES]
    named = [child for child in files if child.name.split(".")[0] == "responses"] or files
    if len(named) != 1:
        if named:
            guesses.append(f"which file holds the responses is not clear: {few([child.name for child in named])}.")
        return {}
    (path,) = named
    settings: dict[str, Any] = {}
    if path.name.split(".")[0] != "responses":
        settings["responses"] = path.name
        guesses.append(f"the responses are those in {path.name}.")
    if READERS[suffix_of(path)] is read_csv:
        settings |= _columns(path, guesses)
    return settings


def _columns(path: Path, guesses: list[str]) -> dict[str, dict[str, str]]:
    """The column of responses, where stimuli and neuroids have one and it is the only other one of numbers."""
    table = read_cells(path)
    heads = find_heads(table.columns, [name for name in FIELDS if name != "file"], {})
    if "response" in heads or not {"stimulus", "neuroid"} <= heads.keys():
        return {}
    others = [name for name in table.columns if name not in heads.values() and _is_numeric(path, table[name])]
    if len(others) != 1:
        return {}
    guesses.append(f"in {path.name} the column {others[0]} holds the responses.")
    return {"columns": {"response": others[0]}}


def _is_numeric(path: Path, column: Any) -> bool:
    try:
        return bool(np.isfinite(cells_to_numbers(path, column)).any())
    except FolderError:
        return False


def _read(folder: Path, settings: dict[str, Any], guesses: list[str]) -> tuple[Recordings | None, str | None]:
    """Read the folder as it would be with the settings, and say what was understood."""
    fields = {key: folder / value if key in ("stimuli", "responses") else value for key, value in settings.items()}
    known: dict[str, Any] = {"folder": folder, "visual_degrees": 8.0, "time_window_ms": _ANY_WINDOW}
    try:
        try:
            found = read_described(Manifest(**known, **fields))
        except FolderError as error:
            if "area" not in error.finding.message:
                raise
            found = read_described(Manifest(**known, **fields, area=_ANY_AREA))
    except FolderError as error:
        return None, str(error)
    n_neuroids, n_stimuli, n_repetitions = found.responses.shape
    if n_neuroids:
        guesses.append(f"{n_neuroids} neuroids x {n_stimuli} stimuli x {n_repetitions} repetitions.")
    guesses += [finding.message for finding in found.findings]
    return found, None


def _text(settings: dict[str, Any], guesses: list[str], missing: list[str], problem: str | None) -> str:
    lines = ["# Written by `recordings init`, which guessed:", *(f"#   {sentence}" for sentence in guesses)]
    lines += [f"# To be mended: {line}" for line in (problem or "").splitlines()]
    for key, value in settings.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in value.items())
            lines.append(f"{key} = {{ {inner} }}")
        else:
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    lines += [f"# {WANTED[key][1]}  # fill in: {WANTED[key][0]}" for key in missing]
    lines += [f'# {key} = "…"' for key in ASKED]
    return "\n".join(lines) + "\n"
