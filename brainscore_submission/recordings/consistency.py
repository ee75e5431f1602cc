"""How well the recordings predict themselves: the reliability of a neuroid, the ceiling of an area."""

import numpy as np
from brainscore_core.metrics import Score
from brainscore_vision.metrics import Ceiling
from sklearn.model_selection import ShuffleSplit

from ..scoring.uncertainty import median_without_nan, percentiles

MIN_STIMULI = 10  # fewer repeated stimuli than this give no ceiling


def split_half_correlations(values: np.ndarray, n_splits: int = 10) -> np.ndarray:
    """Correlate two random halves of the repetitions, per neuroid.

    Brain-Score's `InternalConsistency` splits the repetition numbers in halves; with missing repetitions
    its halves are unequal, and a neuroid without a value in one half gets NaN. Here the same random halves
    are dealt out over the repetitions that a neuroid has for a stimulus, so the halves differ by one at
    most; without missing repetitions they are Brain-Score's halves and the numbers are equal.

    Parameters
    ----------
    values : ndarray of shape (n_neuroids, n_stimuli, n_repetitions), NaN where missing
    n_splits : number of random halves

    Returns
    -------
    ndarray of shape (n_splits, n_neuroids)
        Pearson r; NaN where a neuroid has two repetitions for fewer than `MIN_STIMULI` stimuli.
    """
    n_repetitions = values.shape[2]
    splits = ShuffleSplit(n_splits, train_size=0.5, random_state=1).split(np.empty(n_repetitions))
    return np.array([[_correlate_halves(neuroid, *halves) for neuroid in values] for halves in splits])


def _correlate_halves(neuroid: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    dealt = np.empty(neuroid.shape[1], dtype=int)
    dealt[0::2], dealt[1::2] = second, first  # `second` is the larger half of an odd number
    neuroid = neuroid[:, dealt]  # (n_stimuli, n_repetitions)
    valid = ~np.isnan(neuroid)
    turn = np.cumsum(valid, axis=1) % 2  # 1 for the first valid repetition, 0 for the second, …
    one, other = (_mean_where(neuroid, valid & (turn == parity)) for parity in (0, 1))
    both = ~(np.isnan(one) | np.isnan(other))
    one, other = one[both], other[both]
    if len(one) < MIN_STIMULI or np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan
    return float(np.corrcoef(one, other)[0, 1])


def _mean_where(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    number = chosen.sum(axis=1)
    total = np.where(chosen, values, 0).sum(axis=1)
    return np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 0)


def spearman_brown(correlation: np.ndarray) -> np.ndarray:
    """Extrapolate the correlation of two halves to the whole: 2r / (1 + r).

    Examples
    --------
    >>> float(spearman_brown(np.array(0.5)))
    0.6666666666666666
    """
    return 2 * correlation / (1 + correlation)


def reliability(values: np.ndarray, n_splits: int = 100) -> np.ndarray:
    """Estimate the reliability of each neuroid: mean over random halves of the Spearman-Brown corrected r.

    This is Brain-Score's neuroid-wise ceiling with more halves than its ten, because the halves of a noisy
    neuroid scatter. An area's ceiling is another number than the median of these: there the median over
    neuroids comes first, within each split.

    Parameters
    ----------
    values : ndarray of shape (n_neuroids, n_stimuli, n_repetitions), NaN where missing
    n_splits : number of random halves

    Returns
    -------
    ndarray of shape (n_neuroids,)
    """
    return spearman_brown(split_half_correlations(values, n_splits)).mean(axis=0)


def is_repeated(values: np.ndarray) -> np.ndarray:
    """Say which neuroids have two repetitions for at least `MIN_STIMULI` stimuli.

    Parameters
    ----------
    values : ndarray of shape (n_neuroids, n_stimuli, n_repetitions)

    Returns
    -------
    boolean ndarray of shape (n_neuroids,)
    """
    return ((~np.isnan(values)).sum(axis=2) >= 2).sum(axis=1) >= MIN_STIMULI


def has_ceiling(values: np.ndarray) -> bool:
    """Say whether half of the neuroids or more are repeated: the ceiling is the median over those."""
    return bool(is_repeated(values).mean() >= 0.5)


def ceiling_interval(raw: np.ndarray, n_resamples: int = 1000) -> tuple[float, float]:
    """The 95 % interval of an area's ceiling over draws of its neuroids.

    Parameters
    ----------
    raw : ndarray of shape (n_splits, n_neuroids), Spearman-Brown corrected; NaN is left out
    n_resamples : number of draws, with replacement

    Returns
    -------
    (low, high)
    """
    n_neuroids = raw.shape[1]
    drawn = np.random.default_rng(0).integers(n_neuroids, size=(n_resamples, n_neuroids))
    medians = [median_without_nan(split[drawn]) for split in raw]
    return percentiles(np.nanmean(medians, axis=0))


class ValidRepetitionsConsistency(Ceiling):
    """Brain-Score's internal consistency over the repetitions there are: median over neuroids, mean over splits.

    Parameters
    ----------
    values : ndarray of shape (n_neuroids, n_stimuli, n_repetitions)
    """

    def __init__(self, values: np.ndarray):
        self._values = values

    def __call__(self, assembly) -> Score:
        """Return the ceiling; its `raw` holds split x neuroid under the coordinates of `assembly`'s neuroids."""
        raw = spearman_brown(split_half_correlations(self._values))
        coords = {name: ("neuroid", assembly[name].values) for name in ("neuroid_id", "region", "animal")}
        raw = Score(raw, coords={"split": np.arange(len(raw)), **coords}, dims=["split", "neuroid"])
        per_split = np.nanmedian(raw.values, axis=1)
        ceiling = Score(per_split.mean())
        ceiling.attrs["error"] = Score(per_split.std() / np.sqrt(len(per_split)))
        ceiling.attrs[Score.RAW_VALUES_KEY] = raw
        return ceiling


class StatedCeiling(Ceiling):
    """Noise ceilings that neuroids.csv gives, as Brain-Score would take its own: the median over neuroids.

    Parameters
    ----------
    ceilings : ndarray of shape (n_neuroids,), the share of each neuroid's variance that can be explained, in (0, 1]
    """

    def __init__(self, ceilings: np.ndarray):
        self._ceilings = ceilings

    def __call__(self, assembly) -> Score:
        """Return the ceiling; its `raw` holds a single split."""
        coords = {name: ("neuroid", assembly[name].values) for name in ("neuroid_id", "region", "animal")}
        raw = Score(self._ceilings[np.newaxis], coords={"split": [0], **coords}, dims=["split", "neuroid"])
        ceiling = Score(np.median(self._ceilings))
        ceiling.attrs[Score.RAW_VALUES_KEY] = raw
        return ceiling
