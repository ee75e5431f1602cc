"""How sure a score is: bootstrap over neuroids and stimuli.

A score is the mean over splits of the median over neuroids of Pearson r, then ceiled. Brain-Score's own
error (`raw_error`) is the spread over its splits divided by the root of their number. The splits share
their images and all their neuroids, so it tells how the score moves with the choice of split, not with
other neuroids or other images; the intervals made here do tell that, and are wider.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from ..plugin.errors import UserError, suggest
from .formulas import TODAY, UNCEILED, ceiled
from .sidecar import Sidecar

LEVEL = 0.95
N_RESAMPLES = 1000
COUNTED = 10  # fewer resamples beyond 0 are no count to rely on


@dataclass(frozen=True)
class Difference:
    """A score of model A minus that of model B, its 95 % interval and its two-sided p; positive: A is better."""

    difference: float
    low: float
    high: float
    p: float


def score_interval(sidecar, *, score, score_error, ceiling, formula=TODAY, **options):
    """The interval a record holds, on the scale of its score, what it was resampled over, and the spread of raw r.

    The interval is that of r, with the formula applied to its ends: squaring folds an interval of r around 0 into one
    of the score that begins at 0. The ceiling is held fixed.

    Parameters
    ----------
    sidecar : Sidecar or None
        With predictions: bootstrap over neuroids and stimuli. With r only: over neuroids. None: normal
        errors of size `score_error`, Brain-Score's own, which understate.
    score, score_error, ceiling : float, or None for an unceiled record
    formula : a key of `FORMULAS`; of an unceiled record "r", and the interval is that of raw r
    **options : see `raw_resamples`

    Returns
    -------
    interval : tuple (low, high), or None without a score
    over : "neuroids and stimuli", "neuroids", "normal" or None
    spread : standard deviation of raw r over the resamples, or None without a sidecar

    Examples
    --------
    >>> score_interval(None, score=.61, score_error=.01, ceiling=.8)
    ((0.5904, 0.6296), 'normal', None)
    """
    if sidecar is None:
        if score is None or score_error is None:
            return None, None, None
        return (round(score - 1.96 * score_error, 12), round(score + 1.96 * score_error, 12)), "normal", None
    resamples = raw_resamples(sidecar, **options)
    spread = float(np.std(resamples))
    if score is None and formula != UNCEILED:
        return None, None, spread
    return carried_over(*percentiles(resamples), ceiling, formula), resampled_over(sidecar), spread


def carried_over(low, high, ceiling, formula=TODAY) -> tuple[float, float]:
    """An interval of r as one of the score; squaring folds an interval around 0.

    Examples
    --------
    >>> carried_over(-.2, .4, .8, "r^2/c")
    (0.0, 0.2)
    """
    marks = [low, high] + ([0.0] if low < 0 < high else [])
    scores = [float(ceiled(mark, ceiling, formula)) for mark in marks]
    return round(min(scores), 12), round(max(scores), 12)


def resampled_over(sidecar: Sidecar) -> str:
    """What the sidecar lets us resample, in words."""
    return "neuroids and stimuli" if sidecar.has_stimuli else "neuroids"


def percentiles(resamples, level=LEVEL) -> tuple[float, float]:
    """The middle `level` of resamples."""
    tail = (1 - level) / 2
    low, high = np.quantile(resamples, [tail, 1 - tail])
    return float(low), float(high)


def raw_resamples(sidecar: Sidecar, *, over=None, n_resamples=N_RESAMPLES, seed=0):
    """Bootstrap of raw r: the mean over splits of the median over neuroids.

    Neuroids are drawn with replacement, and so are stimuli: a stimulus drawn twice counts twice in every
    test set that holds it. The regression is not fitted again. Draws depend on the ids and the seed alone:
    two models on one benchmark, and two areas that saw the same images, are resampled together.
    A stimulus counted twice makes r noisier and so biased; the resamples are therefore moved to have raw r
    as their mean.

    Parameters
    ----------
    sidecar : Sidecar
    over : "neuroids", "stimuli" or "neuroids and stimuli"; None for all the sidecar holds
    n_resamples, seed : int

    Returns
    -------
    array of shape (n_resamples,)
    """
    over = over or resampled_over(sidecar)
    known = ("neuroids", "stimuli", "neuroids and stimuli")
    if over not in known:
        raise UserError(f"cannot resample over '{over}'.{suggest(over, known)}")
    if "stimuli" in over and not sidecar.has_stimuli:
        raise UserError("cannot resample over stimuli: the sidecar holds no predictions. Resample neuroids.")
    chosen = _chosen_neuroids(sidecar, n_resamples, seed) if "neuroids" in over else None
    counts = _stimulus_counts(sidecar, n_resamples, seed) if "stimuli" in over else None
    medians = np.stack([_medians(sidecar, split, chosen, counts) for split in range(len(sidecar.r))])
    resamples = _mean_without_nan(medians)
    observed = float(_mean_without_nan(median_without_nan(sidecar.r)))
    shifts = resamples - np.nanmean(resamples)
    # A resample without a single usable split (a handful of stimuli) says nothing: no shift, still paired.
    return np.clip(observed + np.nan_to_num(shifts), -1, 1)


def _chosen_neuroids(sidecar, n_resamples, seed):
    """Neuroids of every resample, (n_resamples, n_neuroids)."""
    n_neuroids = sidecar.r.shape[1]
    counts = _counts(sidecar.neuroid_id, n_resamples, seed)
    return np.repeat(np.tile(np.arange(n_neuroids), n_resamples), counts.ravel()).reshape(-1, n_neuroids)


def _stimulus_counts(sidecar, n_resamples, seed):
    """How often every resample holds a stimulus, (n_resamples, n_stimuli)."""
    ids = sidecar.stimulus_id if sidecar.stimulus_id is not None else np.arange(len(sidecar.target))
    return _counts(ids, n_resamples, seed)


def _counts(ids, n_resamples, seed):
    names = np.asarray(ids).astype(str)
    order = np.argsort(names, kind="stable")
    digest = hashlib.sha256("\0".join(names[order]).encode()).digest()
    generator = np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
    counts = np.empty((n_resamples, len(names)), dtype=np.int64)
    counts[:, order] = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), n_resamples)
    return counts


def _medians(sidecar, split, chosen, counts):
    """Median r of one split in every resample, (n_resamples,)."""
    r = sidecar.r[split][None]
    if counts is not None:
        test = sidecar.test_index[split]
        r = weighted_pearson(sidecar.prediction[split], sidecar.target[test], counts[:, test])
    if chosen is not None:
        r = np.take_along_axis(np.broadcast_to(r, (len(chosen), r.shape[1])), chosen, axis=1)
    return median_without_nan(r)


def weighted_pearson(prediction, target, weights):
    """Pearson r of every neuroid under many weightings of the stimuli.

    Parameters
    ----------
    prediction, target : arrays of shape (n_stimuli, n_neuroids)
    weights : array of shape (n_weightings, n_stimuli)

    Returns
    -------
    array of shape (n_weightings, n_neuroids), NaN where a weighting leaves no variance

    Examples
    --------
    >>> x, y = np.array([[1.], [2.], [4.]]), np.array([[1.], [3.], [2.]])
    >>> weighted_pearson(x, y, np.ones((1, 3))).round(4).item()
    0.3273
    """
    weights = np.asarray(weights, dtype=float)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, total, out=np.full(weights.shape, np.nan), where=total > 0)
    # Centred first: the moments below would otherwise cancel.
    x = prediction.astype(float) - prediction.mean(axis=0, dtype=float)
    y = target.astype(float) - target.mean(axis=0, dtype=float)
    mean_x, mean_y = weights @ x, weights @ y
    covariance = weights @ (x * y) - mean_x * mean_y
    variance_x = weights @ (x * x) - mean_x**2
    variance_y = weights @ (y * y) - mean_y**2
    product = variance_x * variance_y
    enough = (variance_x > 1e-12 * (x * x).mean(axis=0)) & (variance_y > 1e-12 * (y * y).mean(axis=0))
    r = np.full(product.shape, np.nan)
    return np.divide(covariance, np.sqrt(np.where(enough, product, 1)), out=r, where=enough)


def median_without_nan(values):
    """Median over the last axis, NaN left out; NaN where nothing is left. As numpy's, without its warning.

    Examples
    --------
    >>> median_without_nan(np.array([3., 1., np.nan, 2., 9.])).item()
    2.5
    """
    ordered = np.sort(values, axis=-1)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=-1)[..., None]
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(count // 2, ordered.shape[-1] - 1), axis=-1)
    return ((low + high) / 2)[..., 0]


def _mean_without_nan(values):
    """Mean over the first axis, NaN left out; NaN where nothing is left."""
    count = np.isfinite(values).sum(axis=0)
    total = np.nansum(values, axis=0)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def paired_difference(a, b) -> Difference:
    """Score of model A minus score of model B, from resamples that were drawn together.

    What the two share (hard images, noisy neuroids) cancels, so the interval is narrower than that of two separate
    scores. p is twice the smaller share of resamples beyond 0; where fewer than ten lie there, the tail of a normal
    distribution of their spread, so that a p below 1 / n_resamples can be told (Efron & Tibshirani 1993, chapter 15).

    Parameters
    ----------
    a, b : arrays of shape (n_resamples,) or (..., n_resamples), from `raw_resamples` of one seed, on any one scale

    Returns
    -------
    Difference, of numbers or of arrays of shape (...)
    """
    differences = np.asarray(a) - np.asarray(b)
    n_resamples, mean, spread = differences.shape[-1], differences.mean(axis=-1), differences.std(axis=-1)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(differences, [tail, 1 - tail], axis=-1)
    # Resamples of exactly 0 lie half on either side.
    below = ((differences < 0).sum(axis=-1) + (differences == 0).sum(axis=-1) / 2) / n_resamples
    counted = 2 * np.minimum(below, 1 - below)
    z = np.divide(np.abs(mean), spread, out=np.zeros_like(mean), where=spread > 0)
    p = np.where((counted * n_resamples < 2 * COUNTED) & (spread > 0), 2 * ndtr(-z), counted)
    return Difference(mean[()], low[()], high[()], p[()])


def holm(p_values) -> np.ndarray:
    """p values corrected for their number (Holm 1979): the chance of any false claim among them stays below the level.

    Examples
    --------
    >>> holm([.01, .04, .03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values, kind="stable")
    stepwise = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(stepwise), 1)
    return corrected


def rank_intervals(draws) -> list[tuple[int, int]]:
    """For each model the ranks that the data cannot exclude.

    A model ranks behind those that are better than it and before those that are worse, each told by the paired
    difference, corrected for the number of the others (marginal confidence sets for ranks: Mogstad, Romano, Shaikh &
    Wilhelm 2024, Review of Economic Studies 91).

    Parameters
    ----------
    draws : array of shape (n_models, n_resamples), drawn together; higher is better

    Returns
    -------
    list of (best rank, worst rank), 1 is best

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((3, 500))
    >>> rank_intervals(noise + np.array([[0.], [.1], [9.]]))
    [(2, 3), (2, 3), (1, 1)]
    """
    found = []
    for number, own in enumerate(draws):
        others = np.delete(draws, number, axis=0)
        difference = paired_difference(others, own)
        certain = holm(difference.p) < 1 - LEVEL
        better, worse = (certain & (difference.difference * sign > 0) for sign in (1, -1))
        found.append((1 + int(better.sum()), len(draws) - int(worse.sum())))
    return found
