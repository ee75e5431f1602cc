"""recordings.toml: what a recording folder says about itself. Reads no recordings."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..plugin.areas import AREAS
from ..plugin.errors import suggest
from .damage import read_text, reading
from .findings import FolderError

FILE_NAME = "recordings.toml"
AXES = ("neuroid", "stimulus", "repetition", "time_bin")
TEMPLATE = 'visual_degrees = 8, time_window_ms = [70, 170], area = "V4"'


def area_name(value: str, where: str) -> str:
    """Accept one of the areas that a layer map commits a layer to, as Brain-Score spells it."""
    if value in AREAS:
        return value
    if value.upper() in AREAS:
        raise FolderError(f"{where}: the area '{value}' is spelt otherwise.", f'Write "{value.upper()}".')
    raise FolderError(
        f"{where}: models commit no layer to the area {value!r}, only to {', '.join(AREAS)}.",
        'Give the area whose layer is to be tested, such as "IT", and the true one in subject or source.',
    )


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise FolderError(
            f"{FILE_NAME}: the name {value!r} cannot become part of a benchmark's name.",
            'Set a name of letters, digits, "_" and "-": name = "my_v4_session"',
        )
    return value


def _window(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise ValueError
    if value[1] - value[0] < 1:
        in_ms = f"[{1000 * value[0]:g}, {1000 * value[1]:g}]"
        raise FolderError(
            f"{FILE_NAME}: time_window_ms = {list(value)} is shorter than 1 ms: are these seconds?",
            f"Write milliseconds: time_window_ms = {in_ms}",
        )
    return value


def _bins(value: Any) -> Any:
    return (value["start"], value["width"]) if isinstance(value, dict) and set(value) == {"start", "width"} else value


def _axes(value: tuple[str, ...]) -> tuple[str, ...]:
    if not {"neuroid", "stimulus"} <= set(value) <= set(AXES) or len(set(value)) < len(value):
        raise ValueError
    return value


FromList = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)  # TOML has no tuples
Text = Annotated[str, Field(pattern=r"\S")]
Ids = Annotated[tuple[str, ...], FromList]


class Manifest(BaseModel):
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
    columns : our name of a column -> the name it has in the tables
    ignore_columns : columns of the responses' table that are left out
    strata : column of the stimuli table that the cross-validation balances
    exclude_neuroids : ids to leave out, or "empty" for those that never answer
    exclude_stimuli : ids to leave out
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    folder: Path
    name: Annotated[Text, AfterValidator(_name)]
    visual_degrees: float = Field(gt=0, description="a number above 0 (degrees of visual angle)")
    area: Annotated[Text, AfterValidator(lambda value: area_name(value, FILE_NAME))] | None = None
    subject: Text | None = None
    time_window_ms: Annotated[tuple[float, float], FromList, AfterValidator(_window)] | None = Field(
        None, description="[start, end] in ms after stimulus onset, start before end: [70, 170]"
    )
    unit: Text | None = None
    source: Text | None = None
    licence: Text | None = None
    responses: Path | None = None
    variable: Text | None = None
    axes: Annotated[Ids, AfterValidator(_axes)] | None = Field(
        None,
        description=f'the array\'s axes in order, out of {", ".join(AXES)}: ["neuroid", "stimulus", "repetition"]',
    )
    time_bins_ms: Annotated[tuple[float, Annotated[float, Field(gt=0)]], BeforeValidator(_bins)] | None = Field(
        None, description="the first bin's start and the bins' width in ms: { start = 0, width = 10 }"
    )
    stimuli: Path | None = None
    stimuli_table: Path | None = None
    neuroids_table: Path | None = None
    trials: Path | None = None
    columns: dict[str, Text] = Field({}, description='our names of columns and yours: { stimulus = "picture" }')
    ignore_columns: Ids = Field((), description='a list of names in quotes: ["comment"]')
    strata: Text | None = None
    exclude_neuroids: Ids | Literal["empty"] = Field(
        (), description='a list of ids in quotes: ["3", "17"], or "empty" for those that never answer'
    )
    exclude_stimuli: Ids = Field((), description='a list of ids in quotes: ["3", "17"]')


# What nothing can be scored without -> the question it answers, and a line that does.
WANTED = {
    "visual_degrees": ("how wide were the images, in degrees of visual angle?", "visual_degrees = 8"),
    "time_window_ms": ("which time after stimulus onset do the responses cover?", "time_window_ms = [70, 170]"),
    "area": ("where do the neuroids lie?", 'area = "V4"'),
}
KEYS = tuple(name for name in Manifest.model_fields if name != "folder")
PATHS = ("responses", "stimuli", "stimuli_table", "neuroids_table", "trials")


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
    fields = {"name": folder.resolve().name} | content | {"folder": folder}
    # An absolute path stays as it is.
    fields |= {key: folder / value for key, value in content.items() if key in PATHS and isinstance(value, str)}
    try:
        manifest = Manifest(**fields)
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        wanted = Manifest.model_fields[key].description or 'a text in quotes, such as "…"'
        raise FolderError(
            f"{FILE_NAME}: {key} = {content[key]!r} cannot be used.", f"{key} must be {wanted}."
        ) from None
    for key in PATHS:
        path = getattr(manifest, key)
        if path is not None and not (path.is_file() or path.is_dir()):  # a pipe is neither
            raise FolderError(
                f"{FILE_NAME}: {key} = {content[key]!r}: there is no file or folder {path}.",
                "Mend the path, or put the file there.",
            )
    return manifest


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
    timeless = suffixes and suffixes <= {".npy", ".mat"} and not {"time_window_ms", "time_bins_ms"} & content.keys()
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
        raise FolderError(
            f"{folder} holds no {FILE_NAME}.",
            f"Write one with at least: {TEMPLATE} (one a line), or let it be written: recordings init {folder}",
        )
    with reading(path, "TOML", 'Write one setting a line: area = "V4".'):
        return tomllib.loads(read_text(path, most=1_000_000))
