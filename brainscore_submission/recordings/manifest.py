"""recordings.toml: what a recording folder says about itself. Reads no recordings."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..plugin.areas import AREAS
from ..plugin.errors import suggest
from .findings import FolderError

FILE_NAME = "recordings.toml"
AXES = ("neuroid", "stimulus", "repetition", "time_bin")
TEMPLATE = 'visual_degrees = 8, time_window_ms = [70, 170], area = "V4"'


@dataclass(frozen=True)
class Manifest:
    """The checked content of recordings.toml, paths made absolute.

    Attributes
    ----------
    folder : where recordings.toml lies
    name : short name, used in benchmark ids; the folder's name unless given
    visual_degrees : width of the stimuli in degrees of visual angle
    area : brain area of every neuroid, or the area to keep where the data name several
    subject, unit, source, licence : free text
    time_window_ms : (start, end) after stimulus onset that the responses cover, or are averaged over
    responses, variable : the file of responses, and the array in it where it holds several
    axes : the names of the array's axes, a permutation out of `AXES`
    time_bins_ms : (start of the first bin, width of a bin), for arrays with a time axis
    stimuli : folder or zip of images
    stimuli_table, neuroids_table, trials : CSV files
    strata : column of the stimuli table that the cross-validation balances
    exclude_neuroids, exclude_stimuli : ids to leave out
    """

    folder: Path
    name: str
    visual_degrees: float
    area: str | None = None
    subject: str | None = None
    time_window_ms: tuple[float, float] | None = None
    unit: str | None = None
    source: str | None = None
    licence: str | None = None
    responses: Path | None = None
    variable: str | None = None
    axes: tuple[str, ...] | None = None
    time_bins_ms: tuple[float, float] | None = None
    stimuli: Path | None = None
    stimuli_table: Path | None = None
    neuroids_table: Path | None = None
    trials: Path | None = None
    strata: str | None = None
    exclude_neuroids: tuple[str, ...] = ()
    exclude_stimuli: tuple[str, ...] = ()


# What nothing can be scored without -> the question it answers, and a line that does.
WANTED = {
    "visual_degrees": ("how wide were the images, in degrees of visual angle?", "visual_degrees = 8"),
    "time_window_ms": ("which time after stimulus onset do the responses cover?", "time_window_ms = [70, 170]"),
    "area": ("where do the neuroids lie?", 'area = "V4"'),
}
KEYS = tuple(field.name for field in fields(Manifest) if field.name != "folder")


def read_manifest(folder: Path) -> Manifest:
    """Read and check `folder`/recordings.toml.

    Parameters
    ----------
    folder : a recording folder

    Returns
    -------
    Manifest

    Raises
    ------
    FolderError
        Where the file is missing, is not TOML, has an unknown key or a value that cannot be meant.
    """
    folder = Path(folder)
    content = _load(folder)
    unknown = [key for key in content if key not in KEYS]
    if unknown:
        known = suggest(unknown[0], KEYS, limit=len(KEYS)).strip()
        raise FolderError(f"{FILE_NAME}: unknown key '{unknown[0]}'.", known)
    if "visual_degrees" not in content:
        raise missing_keys(["visual_degrees", *_missing_of_responses(content, folder)])
    checked = {key: _READERS.get(key, _text)(key, value, folder) for key, value in content.items()}
    checked.setdefault("name", _name("name", folder.resolve().name, folder))
    return Manifest(folder=folder, **checked)


def missing_keys(keys: Sequence[str]) -> FolderError:
    """The error that asks for keys of `WANTED`, all at once."""
    questions = " ".join(f"{key} is missing: {WANTED[key][0]}" for key in keys)
    lines = " and ".join(WANTED[key][1] for key in keys)
    return FolderError(f"{FILE_NAME}: {questions}", f"Add {'a line' if len(keys) == 1 else 'lines'} such as: {lines}")


def _missing_of_responses(content: Mapping[str, Any], folder: Path) -> list[str]:
    """Keys that will be missing whatever the file of responses holds.

    Only NetCDF can state time bins, and .npy can state nothing but numbers.
    """
    given = content.get("responses")
    files = [folder / given] if isinstance(given, str) else list(folder.glob("responses.*"))
    suffixes = {file.suffix for file in files}
    timeless = suffixes and ".nc" not in suffixes and not {"time_window_ms", "time_bins_ms"} & content.keys()
    tables = "neuroids_table" in content or (folder / "neuroids.csv").exists()
    homeless = suffixes == {".npy"} and "area" not in content and not tables
    return ["time_window_ms"] * bool(timeless) + ["area"] * homeless


def _load(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise FolderError(
            f"no recording folder at {folder}.", f"Give a folder that holds {FILE_NAME}, images and responses."
        )
    path = folder / FILE_NAME
    if not path.is_file():
        raise FolderError(f"{folder} holds no {FILE_NAME}.", f"Write one with at least: {TEMPLATE} (one a line).")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FolderError(f"{path} is not TOML: {error}.", 'Write one setting a line: area = "V4".') from error


def _wrong(key: str, value: Any, wanted: str) -> FolderError:
    return FolderError(f"{FILE_NAME}: {key} = {value!r} cannot be used.", f"{key} must be {wanted}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _text(key: str, value: Any, folder: Path) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(key, value, 'a text in quotes, such as "…"')
    return value


def _name(key: str, value: Any, folder: Path) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise FolderError(
            f"{FILE_NAME}: the name {value!r} cannot become part of a benchmark's name.",
            'Set a name of letters, digits, "_" and "-": name = "my_v4_session"',
        )
    return value


def area_name(value: Any, where: str) -> str:
    """Accept one of the areas that a layer map commits a layer to, as Brain-Score spells it."""
    if value in AREAS:
        return value
    if isinstance(value, str) and value.upper() in AREAS:
        raise FolderError(f"{where}: the area '{value}' is spelt otherwise.", f'Write "{value.upper()}".')
    raise FolderError(
        f"{where}: models commit no layer to the area {value!r}, only to {', '.join(AREAS)}.",
        'Give the area whose layer is to be tested, such as "IT", and the true one in subject or source.',
    )


def _area(key: str, value: Any, folder: Path) -> str:
    return area_name(value, FILE_NAME)


def _positive(key: str, value: Any, folder: Path) -> float:
    if not _is_number(value) or value <= 0:
        raise _wrong(key, value, "a number above 0 (degrees of visual angle)")
    return float(value)


def _window(key: str, value: Any, folder: Path) -> tuple[float, float]:
    pair = isinstance(value, list) and len(value) == 2 and all(_is_number(item) for item in value)
    if not pair or value[0] >= value[1]:
        raise _wrong(key, value, "[start, end] in ms after stimulus onset, start before end: [70, 170]")
    return float(value[0]), float(value[1])


def _bins(key: str, value: Any, folder: Path) -> tuple[float, float]:
    table = isinstance(value, dict) and set(value) == {"start", "width"} and all(map(_is_number, value.values()))
    if not table or value["width"] <= 0:
        raise _wrong(key, value, "the first bin's start and the bins' width in ms: { start = 0, width = 10 }")
    return float(value["start"]), float(value["width"])


def _axes(key: str, value: Any, folder: Path) -> tuple[str, ...]:
    named = isinstance(value, list) and all(item in AXES for item in value) and len(set(value)) == len(value)
    if not named or not {"neuroid", "stimulus"} <= set(value):
        example = '["neuroid", "stimulus", "repetition"]'
        raise _wrong(key, value, f"the array's axes in order, out of {', '.join(AXES)}: {example}")
    return tuple(value)


def _ids(key: str, value: Any, folder: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(key, value, 'a list of ids in quotes: ["3", "17"]')
    return tuple(value)


def _path(key: str, value: Any, folder: Path) -> Path:
    path = folder / _text(key, value, folder)  # an absolute path stays as it is
    if not path.exists():
        raise FolderError(
            f"{FILE_NAME}: {key} = {value!r}: there is no {path}.", "Mend the path, or put the file there."
        )
    return path


_READERS = {
    "name": _name,
    "area": _area,
    "visual_degrees": _positive,
    "time_window_ms": _window,
    "time_bins_ms": _bins,
    "axes": _axes,
    "exclude_neuroids": _ids,
    "exclude_stimuli": _ids,
    **dict.fromkeys(("responses", "stimuli", "stimuli_table", "neuroids_table", "trials"), _path),
}
