"""Files of responses: npy, npz, NetCDF, MATLAB v5 and v7.3, CSV. One reader a format, one result for all."""

import csv
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.io
import xarray as xr
from xarray.backends.netCDF4_ import NetCDF4BackendEntrypoint

from ..plugin.errors import suggest
from ..words import count, few
from .findings import FolderError
from .manifest import AXES

STIMULUS_FIELDS = ("stimulus_id", "image_id", "stimulus", "image")  # `image_id` is Brain-Score's name of 2019
NEUROID_FIELDS = ("neuroid_id", "neuroid", "neuron", "unit")
AREA_FIELDS = ("region", "area")
SUBJECT_FIELDS = ("animal", "subject")


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
    """

    values: np.ndarray
    axes: tuple[str, ...] | None = None
    stimulus_ids: tuple[str, ...] | None = None
    neuroids: pd.DataFrame | None = None
    time_bins_ms: tuple[tuple[float, float], ...] | None = None


def read_responses(path: Path, variable: str | None = None) -> Responses:
    """Read a file of responses.

    Parameters
    ----------
    path : file whose suffix is a key of `READERS`
    variable : the array's name, where the file holds several

    Returns
    -------
    Responses
    """
    if path.suffix.lower() not in READERS:
        raise FolderError(
            f"{path.name}: responses in this format cannot be read.",
            f"Save them as one of: {', '.join(READERS)}.",
        )
    return READERS[path.suffix.lower()](path, variable)


def _read_npy(path: Path, variable: str | None) -> Responses:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise _not(path, "a numpy array of numbers", 'np.save("responses.npy", array)') from error
    return Responses(_numbers(path, values))


def _read_npz(path: Path, variable: str | None) -> Responses:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in arrays.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _not(path, "a numpy archive of numbers", 'np.savez("responses.npz", responses=array)') from error
    return Responses(_numbers(path, _choose(path, content, variable)))


def _read_mat(path: Path, variable: str | None) -> Responses:
    if h5py.is_hdf5(path):  # v7.3 is HDF5
        with h5py.File(path) as file:
            # MATLAB lays arrays out column by column: HDF5 shows their axes in reverse.
            content = {name: item[()].T for name, item in file.items() if isinstance(item, h5py.Dataset)}
    else:
        try:
            content = scipy.io.loadmat(path)
        except (ValueError, TypeError, OSError, NotImplementedError) as error:
            raise _not(path, "a MATLAB file", "save('responses.mat', 'responses')") from error
    content = {name: value for name, value in content.items() if not name.startswith(("__", "#"))}
    return Responses(_numbers(path, _choose(path, content, variable)))


def _choose(path: Path, content: dict, variable: str | None) -> np.ndarray:
    """Take the named array, or the only one that can be responses."""
    arrays = {name: value for name, value in content.items() if isinstance(value, np.ndarray)}
    if variable is not None:
        if variable not in arrays:
            raise FolderError(f"{path.name} has no variable '{variable}'.", "Mend it." + suggest(variable, arrays))
        return arrays[variable]
    fitting = {
        name: value
        for name, value in arrays.items()
        if np.issubdtype(value.dtype, np.number) and np.sum(np.array(value.shape) > 1) >= 2
    }
    if len(fitting) != 1:
        listed = ", ".join(f"{name} {value.shape}" for name, value in fitting.items()) or "none is an array of numbers"
        raise FolderError(
            f"{path.name} holds {len(fitting)} arrays that may be the responses: {listed}.",
            'Say which: variable = "…" in recordings.toml.',
        )
    return next(iter(fitting.values()))


def _read_netcdf(path: Path, variable: str | None) -> Responses:
    try:
        # By class: xarray's look-up by name warns under Python 3.11.
        with xr.open_dataset(path, engine=NetCDF4BackendEntrypoint) as opened:
            dataset = opened.load()
    except (OSError, ValueError) as error:
        raise _not(path, "a NetCDF file", 'assembly.to_netcdf("responses.nc")') from error
    dataset = dataset.reset_index(
        [name for name in dataset.dims if isinstance(dataset.indexes.get(name), pd.MultiIndex)]
    )
    content = {str(name): item.values for name, item in dataset.data_vars.items()}
    chosen = _choose(path, content, variable)
    name = next(name for name, values in content.items() if values is chosen)
    return _from_array(path, dataset[name])


def _from_array(path: Path, array: xr.DataArray) -> Responses:
    stimulus_dims = [
        name for name in ("presentation", "stimulus", "stimulus_id", "image", "image_id") if name in array.dims
    ]
    names = {stimulus_dims[0]: "stimulus"} if stimulus_dims else {}
    names |= {"neuroid_id": "neuroid"} if "neuroid_id" in array.dims else {}
    axes = tuple(names.get(dim, dim) for dim in array.dims)
    if not {"neuroid", "stimulus"} <= set(axes) <= set(AXES):
        raise FolderError(
            f"{path.name}: the dimensions are {', '.join(map(str, array.dims))}.",
            "Name them neuroid and presentation (or stimulus), and perhaps repetition and time_bin.",
        )
    inverse = dict(zip(axes, array.dims, strict=True))
    ids = _coordinate(array, inverse["stimulus"], STIMULUS_FIELDS)
    if ids is None:
        raise FolderError(
            f"{path.name} does not name its stimuli.", f"Add the coordinate {' or '.join(STIMULUS_FIELDS[:2])}."
        )
    order = [axis for axis in AXES if axis in axes]
    values = _numbers(path, array.transpose(*[inverse[axis] for axis in order]).values)
    stimuli = tuple(map(str, ids))
    if "repetition" not in order:
        repetition = _coordinate(array, inverse["stimulus"], ("repetition",))
        values, stimuli = stack_repetitions(values, stimuli, repetition, path.name)
        order.insert(2, "repetition")
    return Responses(values, tuple(order), stimuli, _neuroids_of(array, inverse["neuroid"]), _bins_of(array))


def _coordinate(array: xr.DataArray, dim: str, candidates: tuple[str, ...]) -> np.ndarray | None:
    for name in candidates:
        if name in array.coords and array[name].dims == (dim,):
            return array[name].values
    return None


def _neuroids_of(array: xr.DataArray, dim: str) -> pd.DataFrame | None:
    columns = {"neuroid_id": NEUROID_FIELDS, "area": AREA_FIELDS, "subject": SUBJECT_FIELDS}
    found = {column: _coordinate(array, dim, candidates) for column, candidates in columns.items()}
    found = {column: [str(value) for value in values] for column, values in found.items() if values is not None}
    return pd.DataFrame(found) if found else None


def _bins_of(array: xr.DataArray) -> tuple[tuple[float, float], ...] | None:
    if not {"time_bin_start", "time_bin_end"} <= set(array.coords):
        return None
    starts, ends = np.atleast_1d(array["time_bin_start"].values), np.atleast_1d(array["time_bin_end"].values)
    return tuple((float(start), float(end)) for start, end in zip(starts, ends, strict=True))


def _read_csv(path: Path, variable: str | None) -> Responses:
    try:
        # The header is kept apart: pandas would rename the equal names that mark repetitions.
        text = io.StringIO(path.read_text(encoding="utf-8-sig"))
        header = [cell.strip() for cell in next(csv.reader(text), [])]
        # Ids stay the text they are: as a number, 001 would no longer be the name of 001.png.
        table = pd.read_csv(text, header=None, converters=dict.fromkeys(_id_columns(header), str.strip))
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise _not(path, f"a table ({error})", "as CSV in UTF-8, one header line, then one line a neuroid") from error
    if len(header) != table.shape[1]:
        raise FolderError(
            f"{path.name}: the first line has {count(len(header), 'cell')}, the others {table.shape[1]}.",
            "Give every column a name.",
        )
    if "response" in header:
        return _from_long(path, header, table)
    return _from_wide(path, header, table)


def _id_columns(header: list[str]) -> list[int]:
    """Positions of the columns of names: with one line a response those called so, else the first."""
    if "response" not in header:
        return [0]
    return [index for index, name in enumerate(header) if name in (*NEUROID_FIELDS, *STIMULUS_FIELDS)]


def _from_wide(path: Path, header: list[str], table: pd.DataFrame) -> Responses:
    """Rows are neuroids or stimuli, as the first cell says; a name that occurs twice is a repetition."""
    corner, across, down = header[0], header[1:], list(table.iloc[:, 0])
    values = _numbers(path, table.iloc[:, 1:].to_numpy())
    if corner in STIMULUS_FIELDS:
        across, down, values = down, across, values.T
    elif corner not in NEUROID_FIELDS:
        raise FolderError(
            f"{path.name}: the first cell says {corner!r}, so it is unclear what the rows are.",
            "Write neuroid in the first cell where rows are neuroids, stimulus where rows are stimuli.",
        )
    _refuse_repeated(path, down)
    values, stimuli = stack_repetitions(values, tuple(across), None, path.name)
    return Responses(values, AXES[:3], stimuli, pd.DataFrame({"neuroid_id": down}))


def _from_long(path: Path, header: list[str], table: pd.DataFrame) -> Responses:
    """One line a response: neuroid, stimulus, response and perhaps repetition."""
    table.columns = header
    neuroid = next((name for name in NEUROID_FIELDS if name in header), None)
    stimulus = next((name for name in STIMULUS_FIELDS if name in header), None)
    if neuroid is None or stimulus is None:
        raise FolderError(
            f"{path.name}: its columns are {', '.join(header)}.",
            "With one line a response they must be neuroid, stimulus, response and perhaps repetition.",
        )
    cell = [neuroid, stimulus]
    repetition = table["repetition"] if "repetition" in header else table.groupby(cell).cumcount()
    table = table.assign(repetition=repetition)
    twice = table[table.duplicated([*cell, "repetition"])]
    if len(twice):
        row = twice.iloc[0]
        raise _twice(path.name, row[stimulus], row["repetition"])
    neuroids, stimuli = (list(dict.fromkeys(table[name])) for name in cell)
    repetitions = sorted(set(table["repetition"]))
    values = np.full((len(neuroids), len(stimuli), len(repetitions)), np.nan)
    index = [
        pd.Index(known).get_indexer(given)
        for known, given in (
            (neuroids, table[neuroid]),
            (stimuli, table[stimulus]),
            (repetitions, table["repetition"]),
        )
    ]
    values[tuple(index)] = _numbers(path, table["response"].to_numpy())
    return Responses(values, AXES[:3], tuple(stimuli), pd.DataFrame({"neuroid_id": neuroids}))


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
    table["repetition"] = table.groupby("stimulus").cumcount() if repetition is None else repetition
    twice = table[table.duplicated()]
    if len(twice):
        raise _twice(where, *twice.iloc[0])
    order = tuple(dict.fromkeys(table["stimulus"]))
    repetitions = sorted(set(table["repetition"]))
    stacked = np.full((values.shape[0], len(order), len(repetitions), *values.shape[2:]), np.nan)
    rows, columns = (
        pd.Index(order).get_indexer(table["stimulus"]),
        pd.Index(repetitions).get_indexer(table["repetition"]),
    )
    stacked[:, rows, columns] = values
    return stacked, order


def _twice(where: str, stimulus: object, repetition: object) -> FolderError:
    return FolderError(
        f"{where}: two responses to stimulus {stimulus} carry the repetition {repetition}.",
        "Number the repetitions of a stimulus 0, 1, 2, …",
    )


def _refuse_repeated(path: Path, neuroids: list[str]) -> None:
    repeated = [name for name, number in pd.Series(neuroids).value_counts().items() if number > 1]
    if repeated:
        raise FolderError(
            f"{path.name}: {count(len(repeated), 'neuroid')} named twice: {few(repeated)}.",
            "Give every neuroid its own name.",
        )


def _numbers(path: Path, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "fiu":
        raise FolderError(
            f"{path.name}: the responses are {values.dtype}, not real numbers.",
            "Save an array of real numbers; leave a missing response as NaN (in a CSV: an empty cell).",
        )
    return values.astype(np.float64)


def _not(path: Path, what: str, example: str) -> FolderError:
    return FolderError(f"{path.name} is not {what}.", f"Save it again: {example}")


READERS: dict[str, Callable[[Path, str | None], Responses]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".nc": _read_netcdf,
    ".mat": _read_mat,
    ".csv": _read_csv,
}
