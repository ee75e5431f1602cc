"""Brain-Score's image-level behavioural metrics (i1, i2n) and their ceilings as array operations.

Same numbers to the last bit, in seconds instead of minutes: at 2160 images x 24 objects Brain-Score calls the scalar
normal quantile 829,440 times. Halves, repetitions, aggregation and the score object stay Brain-Score's own code; what
`covers` does not vouch for is handed to it whole.
"""

from __future__ import annotations

import copy
import types
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.stats
from brainscore_core.metrics import Score
from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly
from brainscore_vision.metrics.i1i2.metric import _I

CAP = 5  # d' is clipped to ±5, as in Brain-Score


class Trials(NamedTuple):
    """Behavioural trials with names turned into numbers that sort as the names do.

    Parameters
    ----------
    images : ndarray of str, the n_images different stimulus ids, sorted
    objects : ndarray of str, the n_objects different names, sorted
    truth : int array of shape (n_images,), the object on each image
    image, choice, sample, distractor : int arrays of shape (n_trials,), indices into `images` and `objects`
    """

    images: np.ndarray
    objects: np.ndarray
    truth: np.ndarray
    image: np.ndarray
    choice: np.ndarray
    sample: np.ndarray
    distractor: np.ndarray


class Responses(NamedTuple):
    """d' of some images and choices, in the order of their source.

    Parameters
    ----------
    image : int array of shape (n_rows,), indices into `Trials.images`
    choice : int array of shape (n_columns,), indices into `Trials.objects`
    dprime : ndarray of shape (n_rows, n_columns), NaN where the choice is the truth; (n_rows,) if collapsed
    """

    image: np.ndarray
    choice: np.ndarray
    dprime: np.ndarray


class ArrayI2n(_I):
    """In place of Brain-Score's i1 or i2n: same score, error, raw and ceiling.

    Parameters
    ----------
    metric : Brain-Score's metric object, as `load_metric("i2n")` gives it

    Notes
    -----
    Everything that is not overridden here is Brain-Score's. When an input is not covered, or is one that Brain-Score
    stops at (a half without trials of some image, a choice that is nobody's truth), its own code runs and its own
    error appears.
    """

    def __init__(self, metric: _I):
        super().__init__(metric._collapse_distractors, normalize=metric._normalize, repetitions=metric._repetitions)

    def __call__(self, source_probabilities: DataAssembly, target: DataAssembly) -> Score:
        """Score of choice probabilities (presentation x choice) against human trials (presentation)."""
        trials = _coded(target)
        if trials is None or not _source_is_covered(source_probabilities, trials):
            return super().__call__(source_probabilities, target)
        source = self._source_responses(source_probabilities, trials)
        self.add_source_meta(source_probabilities, target)

        def against_half(random_state):
            before = random_state.get_state()
            first, _ = _halves(len(target), random_state)
            r = self._correlation(source, self._half_responses(trials, first), skipna=False)
            if r is None:
                random_state.set_state(before)
                return self._call_single(source_probabilities, target, random_state)
            return r

        return self._repeat(against_half)

    def ceiling(self, assembly: DataAssembly, skipna: bool = False) -> Score:
        """Agreement of random halves of the human trials.

        Parameters
        ----------
        assembly : choices of shape (presentation,), one a trial
        skipna : whether cells missing in the first half are left out, too
        """
        trials = _coded(assembly)
        if trials is None:
            return super().ceiling(assembly, skipna=skipna)

        def between_halves(random_state):
            before = random_state.get_state()
            first, second = [self._half_responses(trials, rows) for rows in _halves(len(assembly), random_state)]
            r = self._correlation(first, second, skipna)
            if r is None:
                random_state.set_state(before)
                return self.compute_ceiling(assembly, random_state, skipna=skipna)
            return r

        return self._repeat(between_halves)

    def _source_responses(self, probabilities: DataAssembly, trials: Trials) -> Responses | None:
        image = pd.Index(trials.images).get_indexer(probabilities["stimulus_id"].values)
        choice = pd.Index(trials.objects).get_indexer(probabilities["choice"].values)
        p = probabilities.values.astype(np.float64)  # (image, choice)
        column = _column_of_truth(trials.truth[image], choice, len(trials.objects))
        if column is None:
            return None
        p = p / (p + np.take_along_axis(p, column[:, None], axis=1))
        p[np.arange(len(p)), column] = np.nan  # the object itself is no distractor
        return Responses(image, choice, self._dprimes(p, column))

    def _half_responses(self, trials: Trials, rows: np.ndarray) -> Responses | None:
        """How often each object was chosen where it was offered: choices / trials that show it, then d'."""
        n_objects, shape = len(trials.objects), (len(trials.images), len(trials.objects))
        cell = trials.image[rows] * n_objects

        def count(names):
            return np.bincount(cell + names[rows], minlength=np.prod(shape)).reshape(shape)

        chosen, offered = count(trials.choice), count(trials.sample) + count(trials.distractor)
        with np.errstate(invalid="ignore", divide="ignore"):
            p = np.where(offered > 0, chosen / offered, np.nan)
        p[np.arange(len(p)), trials.truth] = np.nan
        image = np.flatnonzero(offered.any(axis=1))
        choice = np.flatnonzero(chosen.any(axis=0))
        column = _column_of_truth(trials.truth[image], choice, n_objects)
        return None if column is None else Responses(image, choice, self._dprimes(p[np.ix_(image, choice)], column))

    def _dprimes(self, p: np.ndarray, column: np.ndarray) -> np.ndarray:
        """d' = z(hit) - z(mean false alarm), clipped, and normalised or collapsed as the metric wants.

        Parameters
        ----------
        p : ndarray of shape (n_images, n_choices), how often a choice is taken for the truth
        column : int array of shape (n_images,), which choice is the truth
        """
        groups = [np.flatnonzero(column == truth) for truth in range(p.shape[1])]
        false_alarm = np.stack([_nanmean_columns(p[rows]) for rows in groups])  # (truth, choice)
        # of the distractor's own images, how many are taken for this image's object
        with np.errstate(invalid="ignore"):  # inf - inf where neither rate left any doubt
            dprime = self.z_score(1 - p) - self.z_score(false_alarm.T)[column]
        dprime = dprime.clip(-CAP, CAP)
        if self._normalize:
            for rows in groups:
                dprime[rows] -= _nanmean_columns(dprime[rows])
        return _nanmean_columns(dprime.T) if self._collapse_distractors else dprime

    def _correlation(self, source: Responses | None, target: Responses | None, skipna: bool) -> float | None:
        """Pearson r over the cells of images x choices, sorted by name; None where Brain-Score would stop."""
        if source is None or target is None or not np.array_equal(np.sort(source.image), np.sort(target.image)):
            return None
        if not self._collapse_distractors and not np.array_equal(np.sort(source.choice), np.sort(target.choice)):
            return None
        source, target = self._sorted_cells(source), self._sorted_cells(target)
        kept = ~np.isnan(target)
        if skipna:
            kept &= ~np.isnan(source)
        if np.isnan(source[kept]).any():
            return None
        return scipy.stats.pearsonr(source[kept], target[kept])[0]

    def _sorted_cells(self, responses: Responses) -> np.ndarray:
        rows = np.argsort(responses.image)
        if self._collapse_distractors:
            return responses.dprime[rows]
        return responses.dprime[np.ix_(rows, np.argsort(responses.choice))].ravel()


def covers(metric: Any, target: DataAssembly, source_probabilities: DataAssembly | None = None) -> bool:
    """Whether `ArrayI2n` gives Brain-Score's number without Brain-Score's loops.

    Parameters
    ----------
    metric : Brain-Score's metric; only the image-level ones (i1, i1n, i2, i2n) are covered, not o1 and o2
    target : trials, of shape (presentation,), with stimulus_id, truth, sample_obj, dist_obj: all named by strings, and
        one truth an image
    source_probabilities : of shape (presentation, choice), each stimulus_id and choice once, each known from `target`
    """
    if type(metric) not in (_I, ArrayI2n):
        return False
    trials = _coded(target)
    return trials is not None and (source_probabilities is None or _source_is_covered(source_probabilities, trials))


def with_array_i2n(benchmark: Any) -> Any:
    """The benchmark with `ArrayI2n` for its metric, in its score and in its ceiling; itself, if that is another metric.

    Parameters
    ----------
    benchmark : Brain-Score benchmark, which is left as it is

    Returns
    -------
    a shallow copy
    """
    if type(getattr(benchmark, "_metric", None)) is not _I:
        return benchmark
    fast = copy.copy(benchmark)
    fast._metric = ArrayI2n(benchmark._metric)
    # The ceiling is a function that remembers the benchmark it was made in: let it remember the copy.
    ceiling = benchmark._ceiling_func
    cells = [types.CellType(fast) if cell.cell_contents is benchmark else cell for cell in ceiling.__closure__ or ()]
    fast._ceiling_func = types.FunctionType(
        ceiling.__code__, ceiling.__globals__, ceiling.__name__, ceiling.__defaults__, tuple(cells)
    )
    return fast


def _coded(target: DataAssembly) -> Trials | None:
    """The trials as numbers, or None if they are not what `covers` asks for."""
    names = ("stimulus_id", "truth", "sample_obj", "dist_obj")
    if tuple(target.dims) != ("presentation",) or not all(hasattr(target, name) for name in names):
        return None
    stimulus_id, *objects = (target[name].values for name in names)
    image, images = pd.factorize(_as_objects(stimulus_id), sort=True)
    codes, objects = pd.factorize(np.concatenate([_as_objects(column) for column in [target.values, *objects]]))
    if not all(isinstance(name, str) for name in [*images, *objects]) or min(codes.min(), image.min()) < 0:
        return None
    order = np.argsort(objects)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    choice, truth, sample, distractor = rank[codes].reshape(4, -1)
    truth_of_image = np.empty(len(images), dtype=truth.dtype)
    truth_of_image[image] = truth
    if not np.array_equal(truth_of_image[image], truth):
        return None
    return Trials(images, objects[order], truth_of_image, image, choice, sample, distractor)


def _as_objects(names: np.ndarray) -> np.ndarray:
    return names.astype(object, copy=False)


def _source_is_covered(probabilities: DataAssembly, trials: Trials) -> bool:
    if tuple(probabilities.dims) != ("presentation", "choice") or not hasattr(probabilities, "stimulus_id"):
        return False
    return probabilities.dtype.kind == "f" and all(
        pd.Index(values).is_unique and np.isin(_as_objects(values), known).all()
        for values, known in (
            (probabilities["stimulus_id"].values, trials.images),
            (probabilities["choice"].values, trials.objects),
        )
    )


def _halves(n_trials: int, random_state: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(n_trials)
    random_state.shuffle(rows)  # the same order as of Brain-Score's list: the draws depend on the length only
    return rows[: n_trials // 2], rows[n_trials // 2 :]


def _column_of_truth(truth: np.ndarray, choice: np.ndarray, n_objects: int) -> np.ndarray | None:
    """Which column each image's truth is; None if the truths are not the choices, where Brain-Score has no key."""
    if not np.array_equal(np.unique(truth), np.sort(choice)):
        return None
    column = np.empty(n_objects, dtype=np.intp)
    column[choice] = np.arange(len(choice))
    return column[truth]


def _nanmean_columns(values: np.ndarray) -> np.ndarray:
    """Mean of each column without its NaN; each sum runs over consecutive memory, as that of Brain-Score's lists."""
    values = np.ascontiguousarray(values.T)
    missing = np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(missing, 0.0, values).sum(axis=1) / (~missing).sum(axis=1)
