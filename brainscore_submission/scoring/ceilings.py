"""Ceilings depend on the recordings alone: computed once, and kept by a fingerprint of what they are computed from.

Brain-Score keeps them by class and identifier, so that other data of the same name would get the ceiling of the first.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import logging
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from brainscore_core.metrics import Score
from brainscore_core.supported_data_standards.brainio.assemblies import walk_coords
from brainscore_vision.benchmarks import BenchmarkBase
from brainscore_vision.utils import LazyLoad

from ..engine import kept_arrays
from ..plugin.files import file_sha256
from .records import versions

_BRAINSCORE_CEILING = BenchmarkBase._ceiling
DATA = (str, bytes, int, float, bool, np.generic, np.ndarray, xr.DataArray, pd.DataFrame, pd.Series)
PLAIN = (str, bytes, int, float, bool, type(None), slice, np.generic)


@contextlib.contextmanager
def ceilings_kept(folder: Path | None) -> Iterator[None]:
    """While inside, a benchmark computes its ceiling once, and finds what an earlier run computed of the same data.

    Parameters
    ----------
    folder : for files; None keeps ceilings with their benchmark only
    """
    BenchmarkBase._ceiling = lambda self, identifier: _ceiling(self, folder)
    try:
        yield
    finally:
        # not what was there before: of two threads, the last to leave would put the first one's back
        BenchmarkBase._ceiling = _BRAINSCORE_CEILING


def _ceiling(benchmark: BenchmarkBase, folder: Path | None) -> Score:
    if "_own_ceiling" not in vars(benchmark):
        benchmark._own_ceiling = _found_or_computed(benchmark, folder)
    return benchmark._own_ceiling


def _found_or_computed(benchmark: BenchmarkBase, folder: Path | None) -> Score:
    try:
        content = None if folder is None else fingerprint(benchmark._ceiling_func)
    except Unknown:
        content = None
    if content is None:
        return benchmark._ceiling_func()
    path, meta = folder / "ceilings" / f"{content}.npz", {"ceiling": content}
    arrays = kept_arrays.load(path, meta)
    if arrays is not None:
        return _from_arrays(arrays)
    ceiling = benchmark._ceiling_func()
    if (arrays := _to_arrays(ceiling)) is not None:
        kept_arrays.save(path, arrays, meta)
    return ceiling


# --- what a function computes from ---


class Unknown(Exception):  # noqa: N818  (a signal, not an error)
    """Something whose content cannot be told."""


def fingerprint(function: Any) -> str:
    """Hash of a function with all that it closes over, data included, and of the versions of what it calls.

    Raises
    ------
    Unknown
        It holds something else than data, plain values, functions and objects made of these.
    """
    digest = hashlib.sha256(repr(sorted(versions().items())).encode())
    _add(digest, function, {})
    return digest.hexdigest()


def _add(digest: Any, value: Any, seen: dict[int, Any]) -> None:
    if issubclass(type(value), LazyLoad):
        value = value._ensure_loaded() or value.content
    if isinstance(value, PLAIN):
        digest.update(f"{type(value).__name__}:{value!r};".encode())
        return
    digest.update(f"{_code_of(type(value).__module__)}.{type(value).__qualname__}(".encode())
    if id(value) in seen:
        return
    seen[id(value)] = value  # held, so that no other object gets its number meanwhile
    for part in _parts(value):
        if isinstance(part, np.ndarray):
            _add_array(digest, part)
        else:
            _add(digest, part, seen)
    digest.update(b")")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, xr.DataArray):
        coords = [[name, list(dims), np.asarray(values)] for name, dims, values in walk_coords(value)]
        attrs = {name: one for name, one in value.attrs.items() if isinstance(one, PLAIN)}
        return [list(value.dims), np.asarray(value.values), coords, attrs]
    if isinstance(value, pd.DataFrame | pd.Series):
        return [list(map(str, getattr(value, "columns", []))), value.index.to_numpy(), value.to_numpy()]
    if isinstance(value, pd.Index):
        return [value.to_numpy()]
    if isinstance(value, Mapping):
        return [item for pair in value.items() for item in pair]
    if isinstance(value, list | tuple | set | frozenset):
        return sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value)
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        named = [
            (name, value.__globals__[name]) for name in sorted(_names(value.__code__)) if name in value.__globals__
        ]
        data = [pair for pair in named if isinstance(pair[1], DATA)]
        called = [_code_of(getattr(one, "__module__", None)) for _, one in named]
        code = [_code_of(value.__module__), value.__qualname__, *_instructions(value.__code__)]
        return [*code, value.__defaults__, value.__kwdefaults__, cells, data, called]
    if isinstance(value, logging.Logger):  # Brain-Score's splits hold theirs: no part of a result
        return [value.name]
    if inspect.isclass(value) or isinstance(value, BuiltinFunctionType | np.ufunc) or inspect.ismodule(value):
        return [_code_of(getattr(value, "__module__", None)), getattr(value, "__qualname__", value.__name__)]
    if hasattr(value, "__dict__"):
        return [{name: one for name, one in vars(value).items() if name != "_own_ceiling"}]
    raise Unknown(type(value).__name__)


def _instructions(code: CodeType) -> list[Any]:
    constants = [_instructions(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return [code.co_code, list(code.co_names), constants]


def _constant(one: Any) -> str:
    return f"{sorted(map(repr, one))}" if isinstance(one, frozenset) else repr(one)


def _names(code: CodeType) -> set[str]:
    """Of globals that a function may use, and the functions within it."""
    return {*code.co_names}.union(*(_names(one) for one in code.co_consts if isinstance(one, CodeType)))


@functools.cache
def _code_of(module: str | None) -> str:
    """A module's name and the hash of its file: what an edit of a function, class or constant in it changes."""
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    return f"{module} {file_sha256(Path(file)) if file and Path(file).is_file() else ''}"


def _add_array(digest: Any, array: np.ndarray) -> None:
    if array.dtype == object:
        with np.printoptions(threshold=sys.maxsize):
            array = np.array([f"{type(one).__name__}:{one!r}" for one in array.ravel()], dtype=str)
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)


# --- a score as arrays, and back ---


def _to_arrays(score: Any, name: str = "score") -> dict[str, np.ndarray] | None:
    """Values, coordinates and the scores within a score; None where it holds anything else."""
    if not isinstance(score, xr.DataArray) or np.asarray(score.values).dtype == object:
        return None
    arrays = {f"{name}|values": np.asarray(score.values), f"{name}|dims": np.array(list(score.dims), dtype=str)}
    for coord, dims, values in walk_coords(score):
        values = np.asarray(values)
        if values.dtype == object:
            if not all(isinstance(one, str) for one in values.ravel()):
                return None
            values = values.astype(str)
        arrays[f"{name}|coord|{coord}"] = values
        arrays[f"{name}|coord dims|{coord}"] = np.array(list(dims), dtype=str)
    for key, value in score.attrs.items():
        inner = _to_arrays(value, f"{name}/{key}") if isinstance(value, xr.DataArray) else None
        if inner is None and not isinstance(value, float | int | np.floating):
            return None
        arrays |= inner if inner is not None else {f"{name}|number|{key}": np.array(value)}
    return arrays


def _from_arrays(arrays: Mapping[str, np.ndarray], name: str = "score") -> Score:
    own = {key.removeprefix(f"{name}|"): value for key, value in arrays.items() if key.startswith(f"{name}|")}
    coords = {
        key.removeprefix("coord|"): (tuple(own[f"coord dims|{key.removeprefix('coord|')}"].tolist()), value)
        for key, value in own.items()
        if key.startswith("coord|")
    }
    score = Score(own["values"], coords=coords, dims=own["dims"].tolist())
    inner = {key.removeprefix(f"{name}/").split("|")[0].split("/")[0] for key in arrays if key.startswith(f"{name}/")}
    score.attrs |= {key.removeprefix("number|"): value[()] for key, value in own.items() if key.startswith("number|")}
    score.attrs |= {key: _from_arrays(arrays, f"{name}/{key}") for key in inner}
    return score
