"""The three tables of a recording folder: stimuli.csv, neuroids.csv and trials.csv."""

import re
from pathlib import Path

import pandas as pd

from ..plugin.errors import suggest
from ..words import count, few
from .findings import Finding, FolderError
from .formats import AREA_FIELDS, NEUROID_FIELDS, STIMULUS_FIELDS, SUBJECT_FIELDS
from .images import Image, file_names
from .manifest import Manifest

FILE_FIELDS = ("file", "file_name", "filename", "image_file_name", "image_current_relative_file_path")
OBJECT_FIELDS = ("object_name", "object", "image_label")
TRIAL_FIELDS = {
    "stimulus": STIMULUS_FIELDS,
    "sample_object": ("sample_object", "sample_obj"),
    "distractor": ("distractor", "dist_obj"),
    "choice": ("choice",),
}


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file, every cell as text."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise FolderError(
            f"{path.name} is not a table: {error}.", "Save it as CSV in UTF-8, with one header line."
        ) from error
    return table.rename(columns=str.strip)


def _optional(path: Path | None, folder: Path, name: str) -> Path | None:
    default = folder / name
    return path or (default if default.is_file() else None)


def _first(table: pd.DataFrame, candidates: tuple[str, ...]) -> str | None:
    return next((name for name in candidates if name in table.columns), None)


def list_stimuli(manifest: Manifest, images: dict[str, Image], ids: tuple[str, ...] | None) -> pd.DataFrame:
    """List the stimuli in the order of the responses' axis.

    Parameters
    ----------
    manifest : Manifest
    images : the images found
    ids : the stimuli's names where the file of responses states them

    Returns
    -------
    DataFrame
        Columns `stimulus_id`, `image` (a key of `images`) and those of the stimuli table, among them
        `object_name` where it names objects.
    """
    path = _optional(manifest.stimuli_table, manifest.folder, "stimuli.csv")
    table = _from_names(images, ids) if path is None else _from_table(path, images)
    if ids is not None and path is not None:
        table = _in_order(table, ids, path.name)
    if manifest.strata is not None and manifest.strata not in table.columns:
        raise FolderError(
            f"recordings.toml: strata = '{manifest.strata}' is no column of the stimuli table.",
            "Mend it." + suggest(manifest.strata, [name for name in table.columns if name not in ("image",)]),
        )
    return table.reset_index(drop=True)


def _from_names(images: dict[str, Image], ids: tuple[str, ...] | None) -> pd.DataFrame:
    if ids is not None:
        return pd.DataFrame({"stimulus_id": ids, "image": file_names(list(ids), images, "the responses")})
    names = sorted(images)
    if names != sorted(names, key=_natural):
        raise FolderError(
            "the images' order is unclear: sorted by letter it differs from sorted by number (2 after 10).",
            "Write stimuli.csv with a column file that lists the images in the order of the responses.",
        )
    return pd.DataFrame({"stimulus_id": names, "image": names})


def _natural(name: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _from_table(path: Path, images: dict[str, Image]) -> pd.DataFrame:
    table = read_table(path)
    identifier, file = _first(table, STIMULUS_FIELDS), _first(table, FILE_FIELDS)
    if identifier is None and file is None:
        raise FolderError(
            f"{path.name} does not name the images: its columns are {', '.join(table.columns)}.",
            "Name one column file (the image files), or stimulus_id.",
        )
    given = list(table[file or identifier])
    ids = list(table[identifier or file])
    repeated = pd.Series(ids)[pd.Series(ids).duplicated()]
    if len(repeated):
        raise FolderError(
            f"{path.name}: {count(len(repeated), 'stimulus', 'stimuli')} listed twice: {few(repeated)}.",
            "List every stimulus once; repetitions belong into the responses' third axis.",
        )
    columns = {"stimulus_id": ids, "image": file_names(given, images, path.name)}
    objects = _first(table, OBJECT_FIELDS)
    if objects is not None:
        columns["object_name"] = list(table[objects])
    rest = {name: list(table[name]) for name in table.columns if name not in (identifier, file, *columns)}
    return pd.DataFrame(columns | rest)


def _in_order(table: pd.DataFrame, ids: tuple[str, ...], where: str) -> pd.DataFrame:
    table = table.set_index("stimulus_id", drop=False)
    missing = [name for name in ids if name not in table.index]
    if missing:
        raise FolderError(
            f"{where} lacks {count(len(missing), 'stimulus', 'stimuli')} of the responses: {few(missing)}.",
            f"Add the lines, or mend the names.{suggest(missing[0], table.index, limit=5)}",
        )
    return table.loc[list(ids)]


def list_neuroids(manifest: Manifest, stated: pd.DataFrame | None) -> tuple[pd.DataFrame | None, list[Finding]]:
    """List the neuroids in the order of the responses' axis, as far as a table or the responses state them.

    Parameters
    ----------
    manifest : Manifest
    stated : what the file of responses states

    Returns
    -------
    table : DataFrame with some of the columns `neuroid_id`, `area`, `subject`; None where nothing is stated
    findings : list of Finding
    """
    path = _optional(manifest.neuroids_table, manifest.folder, "neuroids.csv")
    if path is None:
        return stated, []
    given = read_table(path)
    fields = {"neuroid_id": NEUROID_FIELDS, "area": AREA_FIELDS, "subject": SUBJECT_FIELDS}
    found = {column: _first(given, candidates) for column, candidates in fields.items()}
    table = pd.DataFrame({column: list(given[name]) for column, name in found.items() if name}, index=given.index)
    ignored = [name for name in given.columns if name not in found.values()]
    findings = [Finding("note", f"{path.name}: columns not used: {few(ignored)}.")] if ignored else []
    if stated is not None and "neuroid_id" in stated and "neuroid_id" in table:
        table = _as_stated(table, list(stated["neuroid_id"]), path.name)
    elif stated is not None and len(stated) == len(table):
        table = pd.concat([table, stated[[name for name in stated if name not in table]]], axis=1)
    return table, findings


def _as_stated(table: pd.DataFrame, ids: list[str], where: str) -> pd.DataFrame:
    _refuse_repeated(table["neuroid_id"], where)
    missing = [name for name in ids if name not in set(table["neuroid_id"])]
    if missing:
        raise FolderError(
            f"{where} lacks {count(len(missing), 'neuroid')} of the responses: {few(missing)}.",
            "Add the lines, or mend the names.",
        )
    return table.set_index("neuroid_id", drop=False).loc[ids].reset_index(drop=True)


def complete_neuroids(table: pd.DataFrame | None, number: int, manifest: Manifest) -> pd.DataFrame:
    """Fill in what the tables left open: ids by position, area and subject from recordings.toml.

    Returns
    -------
    DataFrame with the columns `neuroid_id`, `area`, `subject`, all text
    """
    table = pd.DataFrame(index=range(number)) if table is None else table.copy()
    if "neuroid_id" not in table:
        table["neuroid_id"] = [str(index) for index in range(number)]
    _refuse_repeated(table["neuroid_id"], "the neuroids")
    if "area" not in table:
        if manifest.area is None:
            raise FolderError(
                "no brain area is given for the neuroids.",
                'Add area = "V4" to recordings.toml, or a column area to neuroids.csv.',
            )
        table["area"] = manifest.area
    if "subject" not in table:
        table["subject"] = manifest.subject or "unknown"
    return table[["neuroid_id", "area", "subject"]]


def _refuse_repeated(ids: pd.Series, where: str) -> None:
    repeated = list(ids[ids.duplicated()])
    if repeated:
        raise FolderError(
            f"{where}: {count(len(repeated), 'neuroid')} named twice: {few(repeated)}.",
            "Give every neuroid its own neuroid_id.",
        )


def read_trials(manifest: Manifest, stimuli: pd.DataFrame, images: dict[str, Image]) -> pd.DataFrame | None:
    """Read human choices: one line a trial.

    Parameters
    ----------
    manifest : Manifest
    stimuli : DataFrame with `stimulus_id` and `image`
    images : the images found

    Returns
    -------
    DataFrame with the columns `stimulus_id`, `sample_object`, `distractor`, `choice`, `subject`, or None
    where the folder holds no trials
    """
    path = _optional(manifest.trials, manifest.folder, "trials.csv")
    if path is None:
        return None
    given = read_table(path)
    found = {column: _first(given, candidates) for column, candidates in TRIAL_FIELDS.items()}
    lacking = [column for column, name in found.items() if name is None]
    if lacking:
        raise FolderError(
            f"{path.name} lacks the column {lacking[0]}; it has {', '.join(given.columns)}.",
            f"Give the columns {', '.join(TRIAL_FIELDS)} and perhaps subject.",
        )
    trials = pd.DataFrame({column: list(given[name]) for column, name in found.items()})
    subject = _first(given, SUBJECT_FIELDS)
    trials["subject"] = list(given[subject]) if subject else "unknown"
    ids = dict(zip(stimuli["stimulus_id"], stimuli["stimulus_id"], strict=True))
    unknown = [name for name in dict.fromkeys(trials["stimulus"]) if name not in ids]
    by_file = dict(zip(stimuli["image"], stimuli["stimulus_id"], strict=True))
    for name, image in zip(unknown, file_names(unknown, images, path.name), strict=True):
        if image not in by_file:
            raise FolderError(f"{path.name}: {name} is no line of the stimuli table.", "Add it there.")
        ids[name] = by_file[image]
    trials["stimulus_id"] = [ids[name] for name in trials.pop("stimulus")]
    _check_trials(trials, path.name)
    return trials


def _check_trials(trials: pd.DataFrame, where: str) -> None:
    third = trials[(trials["choice"] != trials["sample_object"]) & (trials["choice"] != trials["distractor"])]
    if len(third):
        row = third.iloc[0]
        raise FolderError(
            f"{where}: line {third.index[0] + 2}: the choice '{row['choice']}' is neither the sample "
            f"'{row['sample_object']}' nor the distractor '{row['distractor']}'.",
            "A trial offers two objects and the choice is one of them.",
        )
    same = trials[trials["sample_object"] == trials["distractor"]]
    if len(same):
        raise FolderError(
            f"{where}: line {same.index[0] + 2}: sample and distractor are both '{same.iloc[0]['distractor']}'.",
            "Give the object that was not shown as distractor.",
        )
    objects = trials.groupby("stimulus_id")["sample_object"].nunique()
    if (objects > 1).any():
        raise FolderError(
            f"{where}: stimulus {objects.idxmax()} has {objects.max()} sample objects.",
            "A stimulus shows one object: use the same name in all its trials.",
        )
