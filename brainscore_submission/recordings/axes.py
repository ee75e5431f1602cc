"""Which axis of an array is which, and the mean over a time window.

An array is neuroid x stimulus (x repetition). The number of stimuli tells whether it is so; where the
counts allow two readings the user is asked, never guessed for.
"""

import itertools

import numpy as np

from ..words import count
from .findings import Finding, FolderError
from .manifest import AXES

DOCUMENTED = AXES[:3]  # neuroid, stimulus, repetition


def find_axes(
    shape: tuple[int, ...],
    n_stimuli: int,
    n_neuroids: int | None = None,
    declared: tuple[str, ...] | None = None,
) -> tuple[tuple[str, ...], Finding | None]:
    """Name the axes of an array of responses.

    Parameters
    ----------
    shape : the array's shape
    n_stimuli : number of stimuli
    n_neuroids : number of neuroids where a table states it
    declared : the axes' names where recordings.toml or the file states them

    Returns
    -------
    axes : the axes' names in the array's own order
    finding : a remark where the array is transposed, else None

    Examples
    --------
    >>> find_axes((50, 640, 10), n_stimuli=640)
    (('neuroid', 'stimulus', 'repetition'), None)
    >>> axes, finding = find_axes((640, 50), n_stimuli=640)
    >>> axes, finding.message
    (('stimulus', 'neuroid'), 'the array (640, 50) is transposed: read as stimulus x neuroid.')
    """
    sizes = f"{count(n_stimuli, 'stimulus', 'stimuli')}" + (f", {count(n_neuroids, 'neuroid')}" if n_neuroids else "")
    if declared is not None:
        _check_declared(shape, declared, n_stimuli, n_neuroids, sizes)
        return declared, None
    if len(shape) not in (2, 3):
        raise FolderError(
            f"the array of responses has {count(len(shape), 'axis', 'axes')}: {shape}.",
            f"Say what they are: {_example(AXES)} in recordings.toml.",
        )
    documented = DOCUMENTED[: len(shape)]
    readings = [
        axes
        for axes in itertools.permutations(documented)
        if shape[axes.index("stimulus")] == n_stimuli and n_neuroids in (None, shape[axes.index("neuroid")])
    ]
    if not readings:
        raise FolderError(
            f"the array of responses is {shape}, which does not fit {sizes}.",
            "Give one image (or line of stimuli.csv) for every stimulus of the array, and no other.",
        )
    one_stimulus_axis = len({axes.index("stimulus") for axes in readings}) == 1
    if documented in readings and one_stimulus_axis:
        return documented, None
    if len(readings) > 1:
        either = " or ".join(" x ".join(axes) for axes in readings[:2])
        raise FolderError(
            f"the array of responses {shape} fits {sizes} in {len(readings)} ways: {either}.",
            f"Say which: {_example(readings[0])} in recordings.toml.",
        )
    return readings[0], Finding(
        "warning",
        f"the array {shape} is transposed: read as {' x '.join(readings[0])}.",
        f"If that is right, say so: {_example(readings[0])} in recordings.toml.",
    )


def _example(axes: tuple[str, ...]) -> str:
    return "axes = [" + ", ".join(f'"{axis}"' for axis in axes) + "]"


def _check_declared(shape, declared, n_stimuli, n_neuroids, sizes) -> None:
    if len(declared) != len(shape):
        raise FolderError(
            f"axes names {count(len(declared), 'axis', 'axes')}, but the array of responses is {shape}.",
            "Name every axis once, in order.",
        )
    stated = dict(zip(declared, shape, strict=True))
    if stated["stimulus"] != n_stimuli or n_neuroids not in (None, stated["neuroid"]):
        raise FolderError(
            f"with the axes {' x '.join(declared)} the array of responses {shape} does not fit {sizes}.",
            "Mend axes in recordings.toml, or the list of stimuli or neuroids.",
        )


def put_in_order(values: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
    """Bring an array into the order neuroid, stimulus, repetition (, time_bin), one repetition if none is named.

    Parameters
    ----------
    values : ndarray
    axes : names of its axes

    Returns
    -------
    ndarray of shape (n_neuroids, n_stimuli, n_repetitions) or with a fourth axis (…, n_time_bins)
    """
    values = values.transpose([axes.index(axis) for axis in AXES if axis in axes])
    return values if "repetition" in axes else np.expand_dims(values, 2)


def average_window(
    values: np.ndarray,
    bins: tuple[tuple[float, float], ...],
    window: tuple[float, float] | None,
) -> tuple[np.ndarray, tuple[float, float], Finding | None]:
    """Average the time bins that lie inside a window.

    Parameters
    ----------
    values : ndarray of shape (n_neuroids, n_stimuli, n_repetitions, n_time_bins)
    bins : (start, end) of every bin in ms
    window : (start, end) in ms; all bins where None

    Returns
    -------
    means : ndarray of shape (n_neuroids, n_stimuli, n_repetitions)
        NaN where a bin of the window is NaN: such a repetition counts as missing.
    covered : (start, end) in ms of the bins averaged
    finding : a warning where the window reaches outside the recorded time, else None
    """
    first, last = bins[0][0], bins[-1][1]
    window = window or (first, last)
    inside = [index for index, (start, end) in enumerate(bins) if start >= window[0] and end <= window[1]]
    if not inside:
        raise FolderError(
            f"time_window_ms = {_ms(window)} holds no whole time bin: "
            f"bins of {bins[0][1] - bins[0][0]:g} ms cover {_ms((first, last))}.",
            "Choose a window that spans at least one bin.",
        )
    covered = bins[inside[0]][0], bins[inside[-1]][1]
    finding = None
    if covered != window:
        outside = window[0] < first or window[1] > last
        reason = "reaches outside the recorded time" if outside else "cuts time bins"
        finding = Finding(
            "warning",
            f"time_window_ms = {_ms(window)} {reason} ({_ms((first, last))}): the mean is over {_ms(covered)}.",
            f"Set time_window_ms = {_ms(covered)}, if that is meant.",
        )
    return values[..., inside].mean(axis=-1), covered, finding


def _ms(span: tuple[float, float]) -> str:
    return f"[{span[0]:g}, {span[1]:g}]"
