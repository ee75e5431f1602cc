"""Responses as text: CSV and TSV, one line a response, a neuroid, a stimulus or a presentation.

A column is a name, a number, or is known to say something else; what would turn other conditions, areas, animals or
times into repetitions is used or refused.
"""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..words import count, few
from .damage import read_text, reading
from .findings import Finding, FolderError, named
from .heads import find_heads, lacking
from .manifest import AXES, Manifest
from .responses import (
    Responses,
    numbers_of,
    own_names,
    refuse_repeated,
    refuse_twice,
    stack_repetitions,
)

LONG = ("stimulus", "neuroid", "response", "repetition", "area", "subject", "session", "condition")
TIMES = ("time_bin", "time_bin_start", "time_bin_end")
APART = ("session", "condition", "time_bin")
NEEDED = "stimulus, neuroid, response, and perhaps repetition, area, animal, time_bin_start and _end"
MISSING = ("", "nan", "na", "n/a", "null")
DECIMAL_COMMA = re.compile(r"^([+-]?\d+),(\d+(?:[eE][+-]?\d+)?)$")
WIDE_DOWN = ("stimulus", "repetition", "subject", "area", "session", "condition", *TIMES)


def read_cells(path: Path) -> pd.DataFrame:
    """Read a table of text: CSV or TSV, perhaps packed by gzip; separated by commas, semicolons or tabs.

    Returns
    -------
    DataFrame of str without blanks around, columns named by the first line; equal names stay. `1,5` is 1.5 where
    semicolons or tabs separate.
    """
    with reading(path, "a table", "Save it as CSV in UTF-8, with one header line."):
        csv.field_size_limit(10_000_000)
        text = read_text(path)
        separator = _separator(path, text.split("\n", 1)[0])
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(line)]
        if not lines:
            raise ValueError("No columns to parse from file")
        header = [cell.strip() for cell in lines[0]]
        uneven = [line for line in lines[1:] if len(line) != len(header)]
        if uneven:
            raise FolderError(
                f"{path.name}: the first line has {count(len(header), 'cell')}, another has {len(uneven[0])}: "
                f"{few(named(uneven[0]), 3)}.",
                "Give every column a name and every line as many cells.",
            )
        cells = [[cell.strip() for cell in line] for line in lines[1:]]
        if separator != ",":  # where the comma is free to be the decimal sign
            cells = [[DECIMAL_COMMA.sub(r"\1.\2", cell) for cell in line] for line in cells]
        return pd.DataFrame(cells, columns=header, dtype=str)


def _separator(path: Path, head: str) -> str:
    if ".tsv" in path.suffixes:
        return "\t"
    return max(",;\t", key=lambda sign: (head.count(sign), sign == ","))


def cells_to_numbers(path: Path, cells: pd.Series | pd.DataFrame) -> np.ndarray:
    """Numbers of cells, NaN where a cell is empty.

    Raises
    ------
    FolderError
    """
    texts = cells.to_numpy(dtype=object)
    try:
        return np.array(
            ["nan" if text.lower() in MISSING else text for text in texts.ravel()], dtype=np.float64
        ).reshape(texts.shape)
    except ValueError as error:
        raise FolderError(
            f"{path.name}: not every response is a number ({error}).",
            "Save real numbers with a decimal point; leave a missing response empty.",
        ) from error


def read_csv(path: Path, manifest: Manifest) -> Responses:
    """Read responses from a table of text."""
    table = read_cells(path)
    ignored = [name for name in manifest.ignore_columns if name not in table]
    if ignored:
        raise FolderError(
            f"ignore_columns names '{ignored[0]}', but {path.name} has {few(named(table.columns))}.", "Mend it."
        )
    table = table.loc[:, ~table.columns.isin(manifest.ignore_columns)]
    heads = find_heads(table.columns, (*LONG, *TIMES), manifest.columns)
    if "response" in heads or {"stimulus", "neuroid"} <= heads.keys():
        return _from_long(path, table, heads, manifest)
    if "stimulus" in heads:
        return _from_stimuli_down(path, table, manifest)
    if "neuroid" in heads:
        return _from_neuroids_down(path, table, manifest)
    raise FolderError(
        f"{path.name}: no column names stimuli or neuroids, so it is unclear what the rows are: its columns are "
        f"{few(named(table.columns))}.",
        "Write neuroid in the first cell where rows are neuroids, stimulus where rows are stimuli, or add to "
        'recordings.toml: columns = { stimulus = "<yours>" }',
    )


def _from_long(path: Path, table: pd.DataFrame, heads: dict[str, str], manifest: Manifest) -> Responses:
    """One line a response."""
    for needed in ("stimulus", "neuroid", "response"):
        if needed not in heads:
            raise lacking(path.name, table.columns, needed, NEEDED)
    if table.columns.duplicated().any():
        raise FolderError(f"{path.name}: two columns have one name.", "Name every column once.")
    cells = pd.DataFrame({field: table[name] for field, name in heads.items()})
    _refuse_blank(path, cells)
    values = cells_to_numbers(path, cells["response"])
    neuroids = cells[[name for name in ("neuroid", "area", "subject") if name in cells]]
    neuroids = neuroids.rename(columns={"neuroid": "neuroid_id"})
    cells["neuroid"] = own_names(neuroids)
    findings = _named_anew(path, neuroids["neuroid_id"], cells["neuroid"])
    bins, cells["bin"] = _time_bins(path, cells)
    cell = ["neuroid", "stimulus", "bin"]
    numbered = "repetition" in cells
    cells["repetition"] = numbers_of(cells, path.name) if numbered else cells.groupby(cell).cumcount()
    findings += _settle_the_rest(path, cells, heads, table.drop(columns=list(heads.values())), numbered)
    refuse_twice(cells[[*cell, "repetition"]], path.name)
    names = {field: list(dict.fromkeys(cells[field])) for field in ("neuroid", "stimulus")}
    names |= {"repetition": sorted(set(cells["repetition"])), "bin": list(range(len(bins or [0])))}
    stacked = np.full([len(listed) for listed in names.values()], np.nan)
    stacked[tuple(pd.Index(listed).get_indexer(cells[field]) for field, listed in names.items())] = values
    lines = neuroids.assign(neuroid_id=cells["neuroid"]).drop_duplicates("neuroid_id").reset_index(drop=True)
    axes = AXES if bins else AXES[:3]
    return Responses(
        stacked if bins else stacked[..., 0], axes, tuple(names["stimulus"]), lines, bins, findings=tuple(findings)
    )


def _refuse_blank(path: Path, cells: pd.DataFrame) -> None:
    for field in ("stimulus", "neuroid", "area", "subject"):
        if field in cells and (cells[field] == "").any():
            row = int(np.argmax(cells[field] == "")) + 2
            raise FolderError(f"{path.name}: line {row} has an empty {field}.", "Fill it in, or remove the line.")


def _named_anew(path: Path, before: pd.Series, after: pd.Series) -> list[Finding]:
    if before.equals(after):
        return []
    example = f"{before.iloc[0]} is {after.iloc[0]}"
    return [Finding("note", f"{path.name}: neuroids of several animals or areas share numbers, so {example}.")]


def _time_bins(path: Path, cells: pd.DataFrame) -> tuple[tuple[tuple[float, float], ...] | None, np.ndarray]:
    """The bins there are, in order, and the number of each line's."""
    if not {"time_bin_start", "time_bin_end"} <= set(cells):
        return None, np.zeros(len(cells), dtype=int)
    spans = np.stack([cells_to_numbers(path, cells[name]) for name in ("time_bin_start", "time_bin_end")], axis=1)
    if not (spans[:, 0] < spans[:, 1]).all():
        raise FolderError(f"{path.name}: a time bin ends before it starts, or has no time.", "Mend the columns, in ms.")
    bins, number = np.unique(spans, axis=0, return_inverse=True)
    return tuple((float(start), float(end)) for start, end in bins), number.ravel()


def _settle_the_rest(
    path: Path, cells: pd.DataFrame, heads: dict[str, str], rest: pd.DataFrame, numbered: bool
) -> list[Finding]:
    """Columns that neither name nor number a response: the same for all of a neuroid and stimulus, or refused.

    Where repetitions are numbered, an unknown column may say more of each.
    """
    cell = [cells["neuroid"], cells["stimulus"], cells["bin"]]
    for kind in APART:
        if kind in heads:
            within = cells["neuroid"] if kind == "session" else cell
            if cells[kind].groupby(within).nunique().gt(1).any():
                raise _refused_column(path, heads[kind], cells[kind])
    for name in rest:
        if not numbered and rest[name].groupby(cell).nunique().gt(1).any():
            raise _refused_column(path, name, rest[name])
    unused = [*(heads[kind] for kind in APART if kind in heads), *rest]
    return [Finding("note", f"{path.name}: columns not used: {few(named(unused))}.")] if unused else []


def _refused_column(path: Path, name: str, column: pd.Series) -> FolderError:
    values = list(dict.fromkeys(column))
    return FolderError(
        f"{path.name}: the column {name} tells responses of one neuroid apart ({few(named(values), 3)}): they are no "
        "repetitions of one another, and it is not known how to use them.",
        f"Keep one {name} a folder, or make it part of the neuroid's or the stimulus' name; if they are repetitions: "
        f'ignore_columns = ["{name}"] in recordings.toml.',
    )


def _from_neuroids_down(path: Path, table: pd.DataFrame, manifest: Manifest) -> Responses:
    """Rows are neuroids; a stimulus named twice is a repetition."""
    heads = find_heads(table.columns[:6], ("neuroid", "area", "subject", "session", "condition"), manifest.columns)
    labels = table.columns.isin(list(heads.values()))
    neuroids = pd.DataFrame({kind: table.iloc[:, list(table.columns).index(name)] for kind, name in heads.items()})
    neuroids = neuroids.rename(columns={"neuroid": "neuroid_id"})
    names = own_names(neuroids)
    findings = _named_anew(path, neuroids["neuroid_id"], names)
    for kind in ("session", "condition"):
        if kind in neuroids and names.duplicated().any():
            raise _refused_column(path, heads[kind], neuroids[kind])
    if names.duplicated().any() and table.shape[1] < 10:  # rather one line a response, under other heads
        raise lacking(path.name, table.columns, "stimulus", NEEDED)
    refuse_repeated(path.name, names)
    values = cells_to_numbers(path, table.loc[:, ~labels])
    values, stimuli = stack_repetitions(values, tuple(table.columns[~labels]), None, path.name)
    lines = neuroids.assign(neuroid_id=names).drop(columns=["session", "condition"], errors="ignore")
    return Responses(values, AXES[:3], stimuli, lines, findings=tuple(findings))


def _from_stimuli_down(path: Path, table: pd.DataFrame, manifest: Manifest) -> Responses:
    """Rows are stimuli or presentations of them; the other columns are neuroids."""
    heads = find_heads(table.columns, WIDE_DOWN, manifest.columns)
    others = {kind: name for kind, name in heads.items() if kind not in ("stimulus", "repetition")}
    for name in others.values():
        if table[name].nunique() > 1:
            raise _refused_column(path, name, table[name])
    neuroids = [name for name in table.columns if name not in heads.values()]
    refuse_repeated(path.name, neuroids)
    if not neuroids:
        raise lacking(path.name, table.columns, "response", "stimulus, and a column of numbers for each neuroid")
    repetition = table[heads["repetition"]] if "repetition" in heads else None
    stimuli = table[heads["stimulus"]]
    values, stimuli = stack_repetitions(cells_to_numbers(path, table[neuroids]).T, stimuli, repetition, path.name)
    used = {kind: table[name].iloc[0] for kind, name in others.items() if kind in ("area", "subject")}
    unused = [name for kind, name in others.items() if kind not in used]
    findings = (
        [Finding("note", f"{path.name}: columns not used, one value each: {few(named(unused))}.")] if unused else []
    )
    lines = pd.DataFrame({"neuroid_id": neuroids}).assign(**used)
    return Responses(values, AXES[:3], stimuli, lines, findings=tuple(findings))
