"""What a file of responses holds, whatever its format, and what all its readers share."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..words import count, few
from .findings import Finding, FolderError, named


@dataclass(frozen=True)
class Responses:
    """What a file of responses holds, before its axes are put in order.

    Attributes
    ----------
    values : ndarray, float64, two to four axes
    axes : the axes' names where the file states them
    stimulus_ids : the stimuli's names in the order of their axis, where the file states them
    neuroids : DataFrame with `neuroid_id`, perhaps `area` and `subject`, where the file states them
    time_bins_ms : ((start, end), …) where the file states them
    beside : vectors that lie beside the array, by name; `labels` finds out what they say
    findings : remarks made while reading
    """

    values: np.ndarray
    axes: tuple[str, ...] | None = None
    stimulus_ids: tuple[str, ...] | None = None
    neuroids: pd.DataFrame | None = None
    time_bins_ms: tuple[tuple[float, float], ...] | None = None
    beside: dict[str, np.ndarray] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def to_numbers(path: Path, values: np.ndarray) -> np.ndarray:
    """Responses as float64; other than real numbers are refused."""
    if values.dtype.kind not in "fiu":
        raise FolderError(
            f"{path.name}: the responses are {values.dtype}, not real numbers.",
            "Save an array of real numbers; leave a missing response as NaN (in a CSV: an empty cell).",
        )
    return values.astype(np.float64)


def own_names(neuroids: pd.DataFrame) -> pd.Series:
    """A name for each line: where two animals, or two areas, number their neuroids alike, with the animal or area.

    Examples
    --------
    >>> own_names(pd.DataFrame({"neuroid_id": ["1", "2", "1"], "subject": ["a", "a", "b"]})).tolist()
    ['a.1', 'a.2', 'b.1']
    """
    names = neuroids["neuroid_id"].astype(str)
    for column in ("subject", "area"):
        if column in neuroids and neuroids.assign(neuroid_id=names).groupby("neuroid_id")[column].nunique().gt(1).any():
            names = neuroids[column].astype(str) + "." + names
    return names


def stack_repetitions(values, stimuli, repetition, where):
    """Turn an axis of presentations into an axis of stimuli and one of repetitions.

    Parameters
    ----------
    values : ndarray of shape (n_neuroids, n_presentations, …)
    stimuli : the presentations' stimuli
    repetition : the presentations' repetition numbers; counted where None
    where : the file's name, for the message

    Returns
    -------
    values : ndarray of shape (n_neuroids, n_stimuli, n_repetitions, …), NaN where there was no presentation
    stimuli : tuple of str, in the order in which they occur first

    Examples
    --------
    >>> values, stimuli = stack_repetitions(np.array([[1.0, 2.0, 3.0]]), ("b", "a", "b"), None, "x.nc")
    >>> stimuli, values.tolist()
    (('b', 'a'), [[[1.0, 3.0], [2.0, nan]]])
    """
    table = pd.DataFrame({"stimulus": list(stimuli)})
    if repetition is None:
        table["repetition"] = table.groupby("stimulus").cumcount()
    else:
        table["repetition"] = numbers_of(table.assign(repetition=np.asarray(repetition)), where)
    refuse_twice(table, where)
    order = tuple(dict.fromkeys(table["stimulus"]))
    repetitions = sorted(set(table["repetition"]))
    stacked = np.full((values.shape[0], len(order), len(repetitions), *values.shape[2:]), np.nan)
    rows, columns = (
        pd.Index(order).get_indexer(table["stimulus"]),
        pd.Index(repetitions).get_indexer(table["repetition"]),
    )
    stacked[:, rows, columns] = values
    return stacked, order


def numbers_of(table: pd.DataFrame, where: str) -> pd.Series:
    """The column `repetition` as numbers, where all are; trials counted through a session are counted by `stimulus`.

    Raises
    ------
    FolderError
        where one is blank or NaN
    """
    given = table["repetition"]
    blank = given.isna() | (given.astype(str).str.strip() == "") | (given.astype(str).str.lower() == "nan")
    if blank.any():
        raise FolderError(
            f"{where}: {count(int(blank.sum()), 'response')} without a repetition number, first in row "
            f"{int(np.argmax(blank)) + 1} of the data.",
            "Number the repetitions of a stimulus 0, 1, 2, …, or leave the column out: then they are counted.",
        )
    numbers = pd.to_numeric(given, errors="coerce")
    numbers = given.astype(str) if numbers.isna().any() else numbers
    by_stimulus = numbers.groupby(table["stimulus"])
    if numbers.nunique() > 2 * by_stimulus.nunique().max():
        return by_stimulus.rank("dense").astype(int)
    return numbers


def refuse_twice(table: pd.DataFrame, where: str) -> None:
    """Refuse a table with two lines alike in `stimulus`, `repetition` and whatever else it tells apart."""
    twice = table[table.duplicated()]
    if len(twice):
        row = twice.iloc[0]
        raise FolderError(
            f"{where}: two responses to stimulus {row['stimulus']} carry the repetition {row['repetition']}.",
            "Number the repetitions of a stimulus 0, 1, 2, …",
        )


def refuse_repeated(where: str, neuroids) -> None:
    """Refuse a neuroid's name that stands twice."""
    repeated = [name for name, number in pd.Series(list(neuroids)).value_counts().items() if number > 1]
    if repeated:
        raise FolderError(
            f"{where}: {count(len(repeated), 'neuroid')} named twice: {few(named(repeated))}.",
            "Give every neuroid its own name, or say in which animal it lies.",
        )
