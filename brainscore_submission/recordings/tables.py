"""The tables that describe the axes of the responses: stimuli.csv and neuroids.csv."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..plugin.errors import suggest
from ..words import count, few
from .findings import Finding, FolderError, named
from .heads import find_heads
from .images import Image, file_names
from .manifest import Manifest
from .response_tables import cells_to_numbers, read_cells
from .responses import own_names

TABLE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table, every cell as text without blanks around."""
    table = read_cells(path)
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise FolderError(
            f"{path.name}: two columns are called {few(named(twice))}.", "Give every column its own name."
        )
    return table


def optional_table(path: Path | None, folder: Path, name: str) -> Path | None:
    """Where a table lies: as recordings.toml says, else under its usual name; None where there is none."""
    paths = [folder / f"{name}{suffix}" for suffix in TABLE_SUFFIXES]
    present = [path for path in paths if path.exists() or path.is_symlink()]  # a link to nowhere is not passed over
    if path is None and len(present) > 1:
        raise FolderError(f"{folder} holds both {present[0].name} and {present[1].name}.", "Keep one of them.")
    return path or (present[0] if present else None)


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
    path = optional_table(manifest.stimuli_table, manifest.folder, "stimuli")
    table = _from_names(images, ids) if path is None else _from_table(path, images, manifest.columns)
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
    for how, order in USUAL_ORDERS.items():
        first = next((pair for pair in zip(names, sorted(images, key=order), strict=True) if pair[0] != pair[1]), None)
        if first is not None:
            raise FolderError(
                f"the images' order is unclear: sorted by letter it differs from sorted {how} "
                f"('{first[0]}' or '{first[1]}').",
                "Write stimuli.csv with a column file that lists the images in the order of the responses.",
            )
    return pd.DataFrame({"stimulus_id": names, "image": names})


def _natural(name: str) -> list:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


# How else a file manager or a program may have listed the images; Python and MATLAB do it by letter.
USUAL_ORDERS = {
    "by number": _natural,
    "without regard to capitals": str.casefold,
    "by number and without regard to capitals": lambda name: _natural(name.casefold()),
}


def usual_order(manifest: Manifest, images: dict[str, Image]) -> list[str]:
    """The images in the order in which they are counted: that of stimuli.csv, else of their names.

    Returns
    -------
    list of names, empty where the usual orders differ
    """
    try:
        return list(list_stimuli(manifest, images, None)["image"])
    except FolderError:
        return []


def _from_table(path: Path, images: dict[str, Image], columns: dict[str, str]) -> pd.DataFrame:
    table = read_table(path)
    heads = find_heads(table.columns, ("stimulus", "file", "object_name"), columns)
    identifier, file = heads.get("stimulus"), heads.get("file")
    if identifier is None and file is None:
        raise FolderError(
            f"{path.name} does not name the images: its columns are {', '.join(named(table.columns))}.",
            'Name one column file (the image files), or say in recordings.toml: columns = { file = "<yours>" }',
        )
    given = list(table[file or identifier])
    ids = list(table[identifier or file])
    repeated = pd.Series(ids)[pd.Series(ids).duplicated()]
    if len(repeated):
        raise FolderError(
            f"{path.name}: {count(len(repeated), 'stimulus', 'stimuli')} listed twice: {few(named(repeated))}.",
            "List every stimulus once; repetitions belong into the responses' third axis.",
        )
    found = {"stimulus_id": ids, "image": file_names(given, images, path.name)}
    if "object_name" in heads:
        found["object_name"] = list(table[heads["object_name"]])
    rest = {name: list(table[name]) for name in table.columns if name not in (identifier, file, *found)}
    return pd.DataFrame(found | rest)


def _in_order(table: pd.DataFrame, ids: tuple[str, ...], where: str) -> pd.DataFrame:
    table = table.set_index("stimulus_id", drop=False)
    missing = [name for name in ids if name not in table.index]
    if missing:
        raise FolderError(
            f"{where} lacks {count(len(missing), 'stimulus', 'stimuli')} of the responses: {few(named(missing))}.",
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
    path = optional_table(manifest.neuroids_table, manifest.folder, "neuroids")
    if path is None:
        return stated, []
    given = read_table(path)
    heads = find_heads(given.columns, ("neuroid", "area", "subject", "ceiling_r", "ceiling_r2"), manifest.columns)
    table = pd.DataFrame({name: list(given[head]) for name, head in heads.items()}, index=given.index)
    table = table.rename(columns={"neuroid": "neuroid_id"})
    if "neuroid_id" in table:
        table["neuroid_id"] = own_names(table)
    table = _with_ceilings(table, path)
    ignored = [name for name in given.columns if name not in heads.values()]
    _refuse_unsaid_ceilings(path, ignored)
    findings = [Finding("note", f"{path.name}: columns not used: {few(ignored)}.")] if ignored else []
    if stated is not None and "neuroid_id" in stated and "neuroid_id" in table:
        table = _as_stated(table, list(stated["neuroid_id"]), path.name)
    elif stated is not None and len(stated) == len(table):
        table = pd.concat([table, stated[[name for name in stated if name not in table]]], axis=1)
    return table, findings


def _with_ceilings(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Noise ceilings as Brain-Score counts them: the share of the variance that can be explained, `ceiling`."""
    given = [name for name in ("ceiling_r", "ceiling_r2") if name in table]
    if not given:
        return table
    if len(given) > 1:
        raise FolderError(f"{path.name} gives noise ceilings twice, as r and as r².", "Keep one column.")
    values = cells_to_numbers(path, table[given[0]])
    outside = ~((values > 0) & (values <= 1))
    if outside.any():
        raise FolderError(
            f"{path.name}: the noise ceiling {table[given[0]][int(np.argmax(outside))]!r} is not above 0 and up to 1.",
            "Divide percentages by 100, and leave out what has no signal: exclude_neuroids in recordings.toml.",
        )
    return table.drop(columns=given).assign(ceiling=values**2 if given == ["ceiling_r"] else values)


def _refuse_unsaid_ceilings(path: Path, names: list[str]) -> None:
    unsaid = [name for name in names if re.fullmatch(r"(noise_?)?ceilings?|nc|ncsnr|reliability", name, re.IGNORECASE)]
    if unsaid:
        raise FolderError(
            f"{path.name}: is {unsaid[0]} on the scale of r or of r² (explained variance)?",
            "Call it noise_ceiling_r or noise_ceiling_r2, or say in recordings.toml: "
            f'columns = {{ ceiling_r2 = "{unsaid[0]}" }}',
        )


def _as_stated(table: pd.DataFrame, ids: list[str], where: str) -> pd.DataFrame:
    _refuse_repeated(table["neuroid_id"], where)
    missing = [name for name in ids if name not in set(table["neuroid_id"])]
    if missing:
        raise FolderError(
            f"{where} lacks {count(len(missing), 'neuroid')} of the responses: {few(named(missing))}.",
            "Add the lines, or mend the names.",
        )
    return table.set_index("neuroid_id", drop=False).loc[ids].reset_index(drop=True)


def complete_neuroids(table: pd.DataFrame | None, number: int, manifest: Manifest) -> pd.DataFrame:
    """Fill in what the tables left open: ids by position, area and subject from recordings.toml.

    Returns
    -------
    DataFrame with the columns `neuroid_id`, `area`, `subject`, all text, and `ceiling` where neuroids.csv gives it
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
    return table[["neuroid_id", "area", "subject", *(["ceiling"] if "ceiling" in table else [])]]


def _refuse_repeated(ids: pd.Series, where: str) -> None:
    repeated = list(ids[ids.duplicated()])
    if repeated:
        raise FolderError(
            f"{where}: {count(len(repeated), 'neuroid')} named twice: {few(named(repeated))}.",
            "Give every neuroid its own neuroid_id.",
        )
