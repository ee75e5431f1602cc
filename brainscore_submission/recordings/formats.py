"""Files of responses: npy, npz, NetCDF, MATLAB v5 and v7.3, and tables of text. One reader a format, one result."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends.netCDF4_ import NetCDF4BackendEntrypoint

from ..plugin.errors import suggest
from ..words import few
from .damage import GROWTH, in_own_process, reading
from .findings import FolderError
from .heads import FIELDS, find_heads
from .manifest import AXES, Manifest
from .matlab import matlab_arrays
from .response_tables import read_csv
from .responses import Responses, own_names, stack_repetitions, to_numbers

# What labs have beside, and how it becomes a file that is read.
TO_NUMPY = 'np.save("responses.npy", …), neuroid x stimulus x repetition'
OTHER_FORMATS = {
    ".nwb": ("Neurodata Without Borders", f"count each unit's spikes an image with pynwb, then {TO_NUMPY}"),
    ".fif": ("MNE", f"mne.read_epochs(…).get_data(), then {TO_NUMPY}"),
    ".nii": ("NIfTI", f"nibabel.load(…).get_fdata()[mask], then {TO_NUMPY}"),
    ".parquet": ("Parquet", 'pandas.read_parquet(…).to_csv("responses.csv", index=False)'),
    ".feather": ("Feather", 'pandas.read_feather(…).to_csv("responses.csv", index=False)'),
    ".xlsx": ("an Excel sheet", 'save it there as "CSV UTF-8"'),
    ".xls": ("an Excel sheet", 'save it there as "CSV UTF-8"'),
    ".ods": ("a spreadsheet", "save it there as CSV in UTF-8"),
    ".pkl": ("a pickle, which may run any program and is never opened", TO_NUMPY),
    ".h5": ("HDF5 of unknown layout", f"name it .mat if MATLAB wrote it, .nc if xarray did; else {TO_NUMPY}"),
    ".hdf5": ("HDF5 of unknown layout", f"name it .mat if MATLAB wrote it, .nc if xarray did; else {TO_NUMPY}"),
    ".zarr": ("Zarr", 'xarray.open_zarr(…).to_netcdf("responses.nc")'),
    ".rds": ("R", 'write.csv(readRDS(…), "responses.csv", row.names = FALSE)'),
}


def suffix_of(path: Path) -> str:
    """The suffix that tells the format, without a packing's.

    >>> suffix_of(Path("bold.nii.gz")), suffix_of(Path("responses.CSV"))
    ('.nii', '.csv')
    """
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_responses(path: Path, manifest: Manifest) -> Responses:
    """Read a file of responses.

    Parameters
    ----------
    path : file whose suffix is a key of `READERS`
    manifest : says which array or column is meant, where the file holds several

    Returns
    -------
    Responses
    """
    suffix = suffix_of(path)
    if suffix in READERS and (path.suffix.lower() != ".gz" or READERS[suffix] is read_csv):
        return READERS[suffix](path, manifest)
    what, how = OTHER_FORMATS.get(suffix, (f"no format that is known ({path.suffix or 'no suffix'})", TO_NUMPY))
    raise FolderError(
        f"{path.name}: responses in this format cannot be read: it is {what}.",
        f"Convert it: {how}. Read are {', '.join(READERS)}.",
    )


def _read_npy(path: Path, manifest: Manifest) -> Responses:
    with reading(path, "a numpy array of numbers", 'Save it again: np.save("responses.npy", array)'):
        with path.open("rb") as file:
            values = _array(file, path.stat().st_size)
        return Responses(to_numbers(path, values))


def _read_npz(path: Path, manifest: Manifest) -> Responses:
    with reading(path, "a numpy archive of numbers", 'Save it again: np.savez("responses.npz", responses=array)'):
        content = {}
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.file_size > GROWTH / 2 + 100 * member.compress_size:
                    raise ValueError(f"{member.filename} unpacks to {member.file_size / 1e9:.0f} GB")
                with archive.open(member) as stream:
                    content[member.filename.removesuffix(".npy")] = _array(stream, member.file_size)
    return _chosen(path, content, manifest)


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """An array as numpy writes it; one that is announced larger than the file is refused before memory is taken.

    Raises
    ------
    ValueError
    """
    version = np.lib.format.read_magic(file)
    reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if reader is None:
        raise ValueError(f"its version is {version}")
    shape, fortran, dtype = reader(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    number = int(np.prod([int(side) for side in shape], dtype=object))
    if min(shape, default=1) < 0 or number * dtype.itemsize > size:
        raise ValueError(f"it announces {shape} and holds {size} bytes")
    content = file.read(number * dtype.itemsize)
    if dtype.kind == "U":
        codes = np.frombuffer(content, np.dtype("u4").newbyteorder(dtype.byteorder))
        if ((codes > 0x10FFFF) | (codes >> 11 == 0xD800 >> 11)).any():  # no signs of Unicode
            raise ValueError("its texts are damaged")
    return np.frombuffer(content, dtype, number).reshape(shape, order="F" if fortran else "C")


def _read_mat(path: Path, manifest: Manifest) -> Responses:
    with reading(path, "a MATLAB file", "Save it again: save('responses.mat', 'responses')"):
        content = in_own_process(matlab_arrays, path)
    return _chosen(path, content, manifest)


def _chosen(path: Path, content: dict[str, np.ndarray], manifest: Manifest) -> Responses:
    """The array of responses, and beside it what else lies there."""
    name = _choose(path, content, manifest.variable)
    beside = {other: value for other, value in content.items() if other != name}
    return Responses(to_numbers(path, content[name]), beside=beside)


def _choose(path: Path, arrays: dict[str, np.ndarray], variable: str | None) -> str:
    """Take the named array, or the only one that can be responses."""
    if variable is not None:
        if variable not in arrays:
            raise FolderError(f"{path.name} has no variable '{variable}'.", "Mend it." + suggest(variable, arrays))
        return variable
    labels = {name for names in FIELDS.values() for name in names if name != "response"}
    fitting = {
        name: value
        for name, value in arrays.items()
        if np.issubdtype(value.dtype, np.number) and sum(side > 1 for side in value.shape) >= 2 and name not in labels
    }
    if len(fitting) != 1:
        listed = [f"{name} {value.shape}" for name, value in fitting.items()] or ["none is an array of numbers"]
        raise FolderError(
            f"{path.name} holds {len(fitting)} arrays that may be the responses: {few(listed, 8)}.",
            'Say which: variable = "…" in recordings.toml.',
        )
    return next(iter(fitting))


def _read_netcdf(path: Path, manifest: Manifest) -> Responses:
    with reading(path, "a NetCDF file", 'Save it again: assembly.to_netcdf("responses.nc")'):
        dataset = in_own_process(_dataset, path)
        dataset = dataset.reset_index(
            [name for name in dataset.dims if isinstance(dataset.indexes.get(name), pd.MultiIndex)]
        )
    content = {str(name): item.values for name, item in dataset.data_vars.items()}
    return _from_array(path, dataset[_choose(path, content, manifest.variable)], manifest)


def _dataset(path: Path) -> xr.Dataset:
    # By class: xarray's look-up by name warns under Python 3.11. Times stay numbers: they are milliseconds here.
    with xr.open_dataset(path, engine=NetCDF4BackendEntrypoint, decode_times=False) as opened:
        announced, held = opened.nbytes, path.stat().st_size
        if announced > GROWTH / 2 + 100 * held:
            raise ValueError(f"it announces {announced / 1e9:.0f} GB and holds {held / 1e6:.0f} MB")
        return opened.load()


def _from_array(path: Path, array: xr.DataArray, manifest: Manifest) -> Responses:
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
    dims = dict(zip(axes, array.dims, strict=True))
    of_stimuli = _labels(array, dims["stimulus"], ("stimulus", "repetition", "condition"), manifest)
    of_neuroids = _labels(array, dims["neuroid"], ("neuroid", "area", "subject"), manifest)
    if "stimulus" not in of_stimuli:
        raise FolderError(
            f"{path.name} does not name its stimuli.", f"Add the coordinate {' or '.join(FIELDS['stimulus'][:2])}."
        )
    order = [axis for axis in AXES if axis in axes]
    values = to_numbers(path, array.transpose(*[dims[axis] for axis in order]).values)
    stimuli = tuple(map(str, of_stimuli["stimulus"]))
    _refuse_conditions(path, of_stimuli, stimuli)
    if "repetition" not in order:
        values, stimuli = stack_repetitions(values, stimuli, of_stimuli.get("repetition"), path.name)
        order.insert(2, "repetition")
    neuroids = None
    if of_neuroids:
        columns = {"neuroid_id" if name == "neuroid" else name: values for name, values in of_neuroids.items()}
        neuroids = pd.DataFrame(columns).astype(str)
        if "neuroid_id" in neuroids:
            neuroids["neuroid_id"] = own_names(neuroids)
    return Responses(values, tuple(order), stimuli, neuroids, _bins_of(array))


def _labels(array: xr.DataArray, dim: str, fields: tuple[str, ...], manifest: Manifest) -> dict[str, np.ndarray]:
    along = [str(name) for name, coordinate in array.coords.items() if coordinate.dims == (dim,)]
    return {field: array[name].values for field, name in find_heads(along, fields, manifest.columns).items()}


def _refuse_conditions(path: Path, labels: dict[str, np.ndarray], stimuli: tuple[str, ...]) -> None:
    if "condition" not in labels:
        return
    conditions = pd.Series(labels["condition"]).astype(str)
    if conditions.groupby(list(stimuli)).nunique().gt(1).any():
        raise FolderError(
            f"{path.name}: stimuli were shown under several conditions ({few(conditions.unique(), 3)}), which are no "
            "repetitions of one another.",
            "Keep one condition a folder, or make it part of the stimulus' name.",
        )


def _bins_of(array: xr.DataArray) -> tuple[tuple[float, float], ...] | None:
    if not {"time_bin_start", "time_bin_end"} <= set(array.coords):
        return None
    starts, ends = np.atleast_1d(array["time_bin_start"].values), np.atleast_1d(array["time_bin_end"].values)
    return tuple((float(start), float(end)) for start, end in zip(starts, ends, strict=True))


READERS: dict[str, Callable[[Path, Manifest], Responses]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".nc": _read_netcdf,
    ".mat": _read_mat,
    ".csv": read_csv,
    ".tsv": read_csv,
}
