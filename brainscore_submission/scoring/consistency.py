"""Brain-Score's internal consistency, the ceiling of most neural benchmarks, as array operations.

Same ceiling to the last bit, raw values per split and neuroid included, in seconds instead of a minute: Brain-Score
averages the repetitions of each stimulus with a loop in Python. Halves, correction, aggregation and the score object
stay Brain-Score's own code; what `covers` does not vouch for is handed to it whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
import scipy.stats
from brainscore_core.metrics import Score
from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly, walk_coords
from brainscore_vision.metric_helpers.transformations import apply_aggregate
from brainscore_vision.metrics.internal_consistency.ceiling import (
    InternalConsistency,
    PearsonCorrelation,
    SpearmanBrownCorrection,
)

BLOCK_VALUES = 2**22  # responses that are correlated at once, which bounds the copies that scipy makes
_COMPARABLE = ("string", "integer", "floating", "boolean")
_BRAINSCORE_CALL = InternalConsistency.__call__


class Repetitions(NamedTuple):
    """Responses to repeated stimuli, with names turned into numbers that sort as the names do.

    Parameters
    ----------
    responses : float array of shape (n_presentations, n_neuroids), 0 instead of NaN
    valid : bool array of the same shape, or None if there is no NaN
    group : int array of shape (n_presentations,): same number, same stimulus in all its coordinates
    stimulus : int array of shape (n_groups,), the rank of the group's stimulus id
    repetition : array of shape (n_presentations,)
    neuroids : int array of shape (n_neuroids,), the order of the neuroid ids
    coords : neuroid coordinates as xarray takes them, in that order
    """

    responses: np.ndarray
    valid: np.ndarray | None
    group: np.ndarray
    stimulus: np.ndarray
    repetition: np.ndarray
    neuroids: np.ndarray
    coords: dict


class ArrayConsistency(InternalConsistency):
    """In place of Brain-Score's ceiler: the same ceiling, error and raw values.

    Parameters
    ----------
    ceiler : Brain-Score's, as `load_ceiling("internal_consistency")` gives it
    """

    def __init__(self, ceiler: InternalConsistency):
        self._consistency = ceiler._consistency

    def __call__(self, assembly: DataAssembly) -> Score:
        return internal_consistency(self, assembly)


def internal_consistency(ceiler: InternalConsistency, assembly: DataAssembly) -> Score:
    """Split-half reliability of each neuroid, Spearman-Brown corrected; median over neuroids, mean over splits.

    r(half 1, half 2) over stimuli, repetitions averaged within each half, then 2r / (1 + r).

    Parameters
    ----------
    ceiler : Brain-Score's; its splits, correction and aggregation are used
    assembly : of shape (presentation, neuroid)

    Returns
    -------
    Score, with error and raw of shape (split, neuroid), equal to `ceiler(assembly)` in every bit
    """
    split_halves = ceiler._consistency
    repetitions = _coded(ceiler, assembly)
    if repetitions is None:
        return split_halves(assembly)
    values, splits = split_halves._cross_validation._split.build_splits(assembly)
    scores = []
    for number, halves in enumerate(splits):
        averages = [_average(repetitions, np.isin(repetitions.repetition, values.values[half])) for half in halves]
        r = _correlation(*averages, repetitions.neuroids)
        if r is None:  # the halves hold other stimuli: Brain-Score stops, with its own error
            return split_halves(assembly)
        score = split_halves._consistency._correction(Score(r, coords=repetitions.coords, dims=["neuroid"]), n=2)
        score = score.expand_dims("split")
        score["split"] = [number]
        scores.append(score)
    raw = Score.merge(*scores)
    score = raw if split_halves._aggregate is None else apply_aggregate(split_halves._aggregate, raw)
    return apply_aggregate(split_halves._cross_validation.aggregate, score)


def covers(ceiler: Any, assembly: DataAssembly) -> bool:
    """Whether `internal_consistency` does without Brain-Score's loops.

    Parameters
    ----------
    ceiler : only Pearson correlation with Brain-Score's own correction is covered
    assembly : float32 or float64 of shape (presentation, neuroid), two neuroids or more (numpy sums a single one in
        another order), no NaN among the coordinates of presentations and neuroid ids; NaN responses are fine
    """
    return _coded(ceiler, assembly) is not None


@contextlib.contextmanager
def array_ceilings() -> Iterator[None]:
    """While this lasts, every internal consistency that Brain-Score computes in this process goes through arrays.

    For benchmarks that make their ceilers on the way, or hide them in their parts: sessions, time bins, filters of
    neuroids. Time bins, which Brain-Score gives to other processes, stay in this one, as threads.
    """
    InternalConsistency.__call__ = internal_consistency
    try:
        with joblib.parallel_config(backend="threading"):
            yield
    finally:
        # not what was there before: of two threads, the last to leave would put the first one's back
        InternalConsistency.__call__ = _BRAINSCORE_CALL


def _coded(ceiler: Any, assembly: DataAssembly) -> Repetitions | None:
    """The assembly as numbers, or None if it is not what `covers` asks for."""
    if type(ceiler) not in (InternalConsistency, ArrayConsistency):
        return None
    wrapper = ceiler._consistency._consistency
    metric, split_coord = wrapper._consistency_metric, wrapper._split_coord
    if type(metric) is not PearsonCorrelation or type(wrapper._correction) is not SpearmanBrownCorrection:
        return None
    if not isinstance(assembly, DataAssembly) or tuple(assembly.dims) != ("presentation", "neuroid"):
        return None
    if assembly.dtype not in (np.float32, np.float64):
        return None
    coords = {name: (tuple(dims), values) for name, dims, values in walk_coords(assembly)}
    presentation = {name: values for name, (dims, values) in coords.items() if dims == ("presentation",)}
    neuroid = {name: values for name, (dims, values) in coords.items() if dims == ("neuroid",)}
    stimulus_id, neuroid_id = metric._correlation._correlation_coord, metric._correlation._neuroid_coord
    if split_coord not in presentation or stimulus_id not in presentation or neuroid_id not in neuroid:
        return None
    if len(neuroid[neuroid_id]) < 2 or not all(map(_is_sortable, [*presentation.values(), neuroid[neuroid_id]])):
        return None
    group, first = _groups([values for name, values in presentation.items() if name != split_coord])
    neuroids = np.argsort(neuroid[neuroid_id], kind="stable")
    responses = np.ascontiguousarray(assembly.values)
    valid = ~np.isnan(responses)
    if valid.all():
        valid = None
    else:
        responses = np.where(valid, responses, np.zeros((), responses.dtype))
    return Repetitions(
        responses,
        valid,
        group,
        pd.factorize(presentation[stimulus_id], sort=True)[0][first],
        presentation[split_coord],
        neuroids,
        {name: ("neuroid", values[neuroids]) for name, values in neuroid.items()},
    )


def _is_sortable(values: np.ndarray) -> bool:
    """Whether tuples of such values group and sort in Brain-Score as numbers do here: NaN equals nothing there."""
    return pd.api.types.infer_dtype(values, skipna=False) in _COMPARABLE and not pd.isna(values).any()


def _groups(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Number rows by their values in all columns, ranked as tuples are, and find the first row of each number.

    Returns
    -------
    group : int array of shape (n_rows,)
    first : int array of shape (n_groups,)
    """
    group = np.zeros(len(columns[0]), dtype=np.int64)
    for values in columns:
        codes, uniques = pd.factorize(values, sort=True)
        _, first, group = np.unique(group * len(uniques) + codes, return_index=True, return_inverse=True)
    return group, first


def _average(repetitions: Repetitions, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean response to each stimulus over the chosen presentations, without NaN.

    Returns
    -------
    stimulus : int array of shape (n_shown,), sorted
    mean : ndarray of shape (n_shown, n_neuroids), in the precision of the responses; NaN where all were
    """
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(repetitions.group[rows], kind="stable")]
    shown, start, n_rows = np.unique(repetitions.group[rows], return_index=True, return_counts=True)
    total = repetitions.responses[rows[start]]
    count = n_rows[:, None] if repetitions.valid is None else repetitions.valid[rows[start]].astype(np.intp)
    # One presentation after the other, in their order in the assembly, as numpy adds the rows of a stimulus.
    for number in range(1, n_rows.max(initial=0)):
        more = np.flatnonzero(n_rows > number)
        nth = rows[start[more] + number]
        everywhere = slice(None) if len(more) == len(shown) else more
        total[everywhere] += repetitions.responses[nth]
        if repetitions.valid is not None:
            count[everywhere] += repetitions.valid[nth]
    with np.errstate(invalid="ignore", divide="ignore"):
        np.divide(total, count, out=total, casting="unsafe")  # float32 is divided in float64 and rounded, as in nanmean
    stimulus = repetitions.stimulus[shown]
    order = np.argsort(stimulus, kind="stable")
    return stimulus[order], total[order]


def _correlation(half1, half2, neuroids: np.ndarray) -> np.ndarray | None:
    """Pearson r of each neuroid over stimuli, in the order of `neuroids`; None if the halves hold other stimuli."""
    (stimulus1, mean1), (stimulus2, mean2) = half1, half2
    if not np.array_equal(stimulus1, stimulus2):
        return None
    width = max(1, BLOCK_VALUES // max(1, len(stimulus1)))
    blocks = [neuroids[start : start + width] for start in range(0, len(neuroids), width)]
    # rows of consecutive memory: each neuroid is summed as if it were alone
    return np.concatenate(
        [scipy.stats.pearsonr(*(mean.T[block] for mean in (mean2, mean1)), axis=1).statistic for block in blocks]
    )
