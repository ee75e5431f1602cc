"""MATLAB files, v5 and v7.3, as arrays of numbers and texts by name; those in a struct as `data.resp`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import scipy.sparse

DEEPEST = 5  # structs in structs


def matlab_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read a MATLAB file, to be called in a process of its own.

    Returns
    -------
    dict from name to array
        Numbers in MATLAB's order of axes; char arrays and cells of texts as arrays of str. A struct array with one
        number or text an element gives a vector, with arrays of one shape an array with the elements first.
    """
    if h5py.is_hdf5(path):  # v7.3
        with h5py.File(path) as file:
            found = _flat("", {name: _of_hdf5(file, item) for name, item in file.items() if name != "#refs#"})
            return dict(found)
    content = scipy.io.loadmat(path, chars_as_strings=True)
    return dict(_flat("", {name: value for name, value in content.items() if not name.startswith("__")}))


def _flat(prefix: str, content: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    if prefix.count(".") > DEEPEST:
        return
    for name, value in content.items():
        value = _plain(value)
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        elif value is not None:
            yield prefix + name, value


def _plain(value: Any) -> Any:
    """Numbers, texts or a dict of a struct's fields; None where it is none of these, such as a function."""
    if scipy.sparse.issparse(value):
        return value.toarray()
    if isinstance(value, str):
        return np.array([value])
    if not isinstance(value, np.ndarray):
        return value if isinstance(value, dict) else None
    if value.dtype.names:  # a struct, or an array of them
        return {name: _plain(_cells(value[name].ravel())) for name in value.dtype.names}
    if value.dtype == object:
        return _plain(_cells(value.ravel()))
    return np.char.strip(value) if value.dtype.kind == "U" else value


def _cells(cells: np.ndarray) -> Any:
    """The elements of a cell or struct array together: a vector of texts or numbers, or a stack of equal arrays."""
    plain = [_plain(cell) for cell in cells]
    if len(plain) == 1:
        return plain[0]
    arrays = [one for one in plain if isinstance(one, np.ndarray)]
    if len(arrays) < len(plain) or len({array.shape for array in arrays}) != 1:
        texts = [str(one.item()) if isinstance(one, np.ndarray) and one.size == 1 else "" for one in plain]
        return np.array(texts) if all(texts) else None
    stacked = np.stack(arrays) if arrays else None
    return stacked.reshape(len(plain)) if stacked is not None and stacked.size == len(plain) else stacked


def _of_hdf5(file: h5py.File, item: Any, depth: int = 0) -> Any:
    """An item as MATLAB has it; HDF5 shows the axes in reverse."""
    kind = item.attrs.get("MATLAB_class", b"")
    if depth > DEEPEST:
        return None
    if isinstance(item, h5py.Group):
        if "MATLAB_sparse" in item.attrs:
            return _sparse(item)
        return {name: _of_hdf5(file, child, depth + 1) for name, child in item.items()}
    if item.attrs.get("MATLAB_empty", 0):
        return np.empty(0)
    _refuse_announced(item)
    if item.dtype == h5py.ref_dtype:
        cells = np.empty(item.size, dtype=object)
        for index, reference in enumerate(item[()].T.ravel()):
            cells[index] = _of_hdf5(file, file[reference], depth + 1)
        return _cells(cells)
    value = item[()]
    if kind == b"char":
        rows = np.atleast_2d(np.asarray(value).T)
        return np.array(["".join(map(chr, row)).strip() for row in rows])
    return value.T if isinstance(value, np.ndarray) else np.atleast_1d(value)


def _sparse(group: h5py.Group) -> np.ndarray:
    columns, rows = group["jc"][()], group["ir"][()] if "ir" in group else np.empty(0, int)
    values = group["data"][()] if "data" in group else np.empty(0)
    shape = int(group.attrs["MATLAB_sparse"]), len(columns) - 1
    return scipy.sparse.csc_matrix((values, rows, columns), shape=shape).toarray()


def _refuse_announced(item: h5py.Dataset) -> None:
    held = max(item.id.get_storage_size(), 1000)
    if item.nbytes > 1_000_000_000 and item.nbytes > 200 * held:
        raise ValueError(f"{item.name} announces {item.nbytes / 1e9:.0f} GB and holds {held / 1e6:.0f} MB")
