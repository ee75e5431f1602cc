"""Cross-validated PLS predictivity from a Gram matrix, with the numbers that Brain-Score's metric gives.

Brain-Score fits `PLSRegression(n_components=25, scale=False)` of scikit-learn 1.5 on the features. The same numbers
follow from inner products between stimuli: `cross_validate` replays scikit-learn's power iteration, its start
column, stopping rule and iteration limit included, in the space of targets. Splits are the caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..plugin.errors import UserError
from .devices import exact_device
from .pls_folds import CONSTANT, Folds, Settings

PROMISED = 1e-6  # of a neuroid's r, beside scikit-learn on the activations
SHAKEN_MARGIN = 4  # the real error was up to 2.5 times what shaking shows, over inputs of many scales
FAINT = 1e-12  # residuals of targets, beside the 2.2e-15 below which scikit-learn takes them for constant
FOLD_BYTES = 2**30  # folds run together as long as their targets fit in this


@dataclass(frozen=True)
class Predictivity:
    """How well the features predict each neuroid, on each split.

    Attributes
    ----------
    r : ndarray of shape (n_splits, n_neuroids)
        Pearson correlation over the test stimuli; NaN for a constant neuroid.
    prediction : list of n_splits arrays of shape (n_test, n_neuroids)
    n_iterations : ndarray of shape (n_splits, n_components), int
        Power iterations per component, scikit-learn's `n_iter_`; 0 for a component that was not fitted.
    notes : list of str, one sentence each: what a reader of the score should know
    """

    r: np.ndarray
    prediction: list[np.ndarray]
    n_iterations: np.ndarray
    notes: list[str] = field(default_factory=list)


def cross_validate(
    gram,
    targets,
    splits: Sequence[tuple],
    *,
    n_components: int = 25,
    tol: float = 1e-6,
    max_iter: int = 500,
    device: str = "cpu",
    converged: bool = False,
) -> Predictivity:
    """Fit PLS on the training stimuli of every split and correlate its predictions on the test stimuli.

    Parameters
    ----------
    gram : ndarray of shape (n_stimuli, n_stimuli)
        Inner products of the features, centred over all stimuli (`gram.gram`); centring on the training stimuli of a
        split is done here.
    targets : ndarray of shape (n_stimuli, n_neuroids)
    splits : sequence of (train, test), integer indices of stimuli
    n_components, tol, max_iter : scikit-learn's, and its and Brain-Score's defaults
    device : of the network; float64 there, or on the CPU where it has none
    converged : bool
        Use the exact dominant eigenvector for each component instead of stopping where scikit-learn stops. This is the
        mathematical PLS2, *not* Brain-Score's number: a neuroid's r moves by up to .02, a score by up to 3e-4.

    Returns
    -------
    Predictivity

    Notes
    -----
    Where the training features have a rank below `n_components`, scikit-learn fits the remaining components to
    rounding errors and its predictions mean nothing. Here the fit stops at the rank, and a note says so.

    Inner products square the range of the features, so that one channel or stimulus 1e5 times as large as the others
    leaves too few digits for the rest. Whether it does is measured: the first split is fitted again to a matrix whose
    last digits were changed, and a note says how far r moves where 1e-6 cannot be promised.
    """
    kernel, targets = _check_inputs(gram, targets, device)
    splits = [_check_split(split, len(kernel), n_components) for split in splits]
    settings = Settings(n_components, tol, max_iter, converged)
    rotated, basis = _rotate_to_rank(targets)
    group_size = max(1, FOLD_BYTES // (3 * rotated.nbytes))
    means = np.array([targets[train].mean(axis=0) for train, _ in splits])
    varies = np.array([_varies(targets[train]) for train, _ in splits])
    predictions, n_iterations, notes = [], [], {}
    for first in range(0, len(splits), group_size):
        group = list(range(first, min(first + group_size, len(splits))))
        # The first split again, beside the others: on a GPU it takes no longer than without.
        fitted, noise = (group, None) if first else ([*group, 0], _last_digits(kernel))
        folds = Folds(kernel, rotated, basis, [splits[fold][0] for fold in fitted], varies[fitted], settings, noise)
        folds.fit()
        predictions += [folds.predict(index, splits[fold][1]) + means[fold] for index, fold in enumerate(group)]
        n_iterations.append(folds.n_iterations[: len(group)])
        for index, note in folds.notes():
            if index < len(group):
                notes.setdefault(note, []).append(group[index])
        if noise is not None:
            shaken = folds.predict(len(group), splits[0][1]) + means[0]
    r = np.stack([pearson(p, targets[test]) for p, (_, test) in zip(predictions, splits, strict=True)])
    notes = _say(notes, len(splits)) + _limits(targets, varies.all(axis=0))
    moved = np.abs(pearson(shaken, targets[splits[0][1]]) - r[0])
    error = SHAKEN_MARGIN * np.nanmax(moved, initial=0)
    if error > PROMISED:
        notes.append(
            f"inner products in float64 hold these activations too coarsely: a neuroid's r may be off by {error:.0e} "
            "(--engine brainscore computes from the activations themselves)"
        )
    return Predictivity(r, predictions, np.concatenate(n_iterations), notes)


def fit(gram, targets, *, n_components: int = 25, tol: float = 1e-6, max_iter: int = 500, device: str = "cpu"):
    """PLS on all stimuli, as coefficients of them: predictions of new stimuli need no second fit.

    Parameters
    ----------
    gram, targets, n_components, tol, max_iter, device : as of `cross_validate`

    Returns
    -------
    coefficients : A, ndarray of shape (n_stimuli, n_fitted)
    loadings : L, ndarray of shape (n_neuroids, n_fitted)
        The prediction of a stimulus x is its inner products with the features, both less their mean m, times both, and
        the targets' mean added: (x - m) (X - m)ᵀ A Lᵀ + ȳ.

    Raises
    ------
    UserError
        See `cross_validate`.
    """
    kernel, targets = _check_inputs(gram, targets, device)
    rotated, basis = _rotate_to_rank(targets)
    settings = Settings(n_components, tol, max_iter)
    folds = Folds(kernel, rotated, basis, [np.arange(len(targets))], _varies(targets)[None], settings)
    folds.fit()
    return folds.dual(0)


def pearson(prediction, target) -> np.ndarray:
    """Pearson correlation of each column, in the odd cases too what `scipy.stats.pearsonr` gives.

    r = x·y / (‖x‖ ‖y‖) of the centred columns x and y; NaN where one of them is constant; clipped to [-1, 1]; exactly
    ±1 for two stimuli.

    Parameters
    ----------
    prediction, target : ndarray of shape (n_stimuli, n_neuroids)

    Returns
    -------
    ndarray of shape (n_neuroids,)

    Examples
    --------
    >>> pearson(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), np.array([[2.0, 5.0], [4.0, 5.0], [6.0, 5.0]]))
    array([ 1., nan])
    """
    constant = (prediction == prediction[0]).all(axis=0) | (target == target[0]).all(axis=0)
    x = prediction - prediction.mean(axis=0)
    y = target - target.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = ((x / np.linalg.norm(x, axis=0)) * (y / np.linalg.norm(y, axis=0))).sum(axis=0)
    r = np.where(constant, np.nan, np.clip(r, -1, 1))
    return np.round(r) if len(x) == 2 else r


def aggregate(r) -> tuple[float, float]:
    """Brain-Score's score of a predictivity: median over neuroids, then mean over splits.

    The error is the standard deviation over splits (ddof 0) divided by √n_splits. NaN neuroids are left out, as xarray
    leaves them out; a split of NaN alone has no median and is left out of mean and deviation, but counts in n_splits.

    Parameters
    ----------
    r : ndarray of shape (n_splits, n_neuroids)

    Returns
    -------
    score, error : float; NaN if no split has a score

    Examples
    --------
    >>> aggregate([[0.0, 0.25, 0.9], [0.5, np.nan, 1.0]])  # medians 0.25 and 0.75
    (0.5, 0.17677669529663687)
    """
    r = np.asarray(r, dtype=np.float64)
    medians = np.array([np.median(split[~np.isnan(split)]) for split in r if not np.isnan(split).all()])
    if len(medians) == 0:
        return float("nan"), float("nan")
    return float(medians.mean()), float(medians.std() / np.sqrt(len(r)))


def _limits(targets: np.ndarray, varies: np.ndarray) -> list[str]:
    """What scikit-learn would do with targets that are nearly constant."""
    faint = varies & (np.abs(targets - targets.mean(axis=0)).max(axis=0) < FAINT)
    if not faint.any():
        return []
    return [
        f"the targets of {faint.sum()} neuroids vary by less than {FAINT:g}, where scikit-learn takes more and more of "
        "them for constant: give them in other units"
    ]


def _last_digits(kernel: torch.Tensor) -> torch.Tensor:
    """What the matrix may be off by: each x·y by up to twice a rounding error of ‖x‖ ‖y‖, at random."""
    length = kernel.diagonal().clamp(min=0).sqrt()
    noise = torch.empty_like(kernel).uniform_(-1, 1, generator=torch.Generator(kernel.device).manual_seed(0))
    return np.finfo(np.float64).eps * (noise + noise.mT) * length[:, None] * length


def _check_inputs(gram, targets, device: str) -> tuple[torch.Tensor, np.ndarray]:
    """The Gram matrix where it is computed with, and the targets; both finite, of shapes that fit."""
    gram = np.ascontiguousarray(gram, dtype=np.float64)
    targets = np.ascontiguousarray(targets, dtype=np.float64)
    if targets.ndim != 2 or gram.shape != (len(targets), len(targets)):
        raise UserError(
            f"a Gram matrix of shape {gram.shape} and targets of shape {targets.shape} do not fit: "
            "they must be (n_stimuli, n_stimuli) and (n_stimuli, n_neuroids)"
        )
    kernel = torch.from_numpy(gram).to(exact_device(device))
    if not torch.isfinite(kernel).all():
        stimulus = np.argmin(np.isfinite(gram).all(axis=1))
        raise UserError(f"the Gram matrix holds NaN or infinity, first in the row of stimulus {stimulus}")
    if not np.isfinite(targets).all():
        stimulus, neuroid = np.argwhere(~np.isfinite(targets))[0]
        raise UserError(
            f"the targets hold NaN or infinity, first for stimulus {stimulus}, neuroid {neuroid}: drop such neuroids"
        )
    return kernel, targets


def _check_split(split, n_stimuli: int, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    train, test = (np.asarray(part, dtype=np.int64) for part in split)
    for part in (train, test):
        if len(part) and not 0 <= part.min() <= part.max() < n_stimuli:
            raise UserError(f"a split names stimuli {part.min()} to {part.max()}; there are 0 to {n_stimuli - 1}")
    if len(np.unique(train)) < len(train):
        raise UserError("a split trains on the same stimulus twice; name each presentation once")
    if len(train) < n_components:
        raise UserError(
            f"{n_components} PLS components need at least as many training stimuli, and a split has {len(train)}: "
            "give more stimuli or ask for fewer components"
        )
    if len(test) < 2:
        raise UserError(f"a split has {len(test)} test stimuli; a correlation needs at least 2")
    return train, test


def _rotate_to_rank(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets in as few columns as their rank can need: targets = rotated basisᵀ, up to the mean of each column.

    PLS turns with its targets, so the loop may run on n_stimuli columns however many targets there are; only the start
    of a power iteration is a column of the *given* targets, which the basis gives back.

    Parameters
    ----------
    targets : ndarray of shape (n_stimuli, n_targets)

    Returns
    -------
    rotated : ndarray of shape (n_stimuli, min(n_stimuli, n_targets))
    basis : ndarray of shape (n_targets, min(n_stimuli, n_targets)), orthonormal columns
    """
    n_stimuli, n_targets = targets.shape
    if n_targets <= n_stimuli:
        return targets, np.eye(n_targets)
    basis, triangle = np.linalg.qr((targets - targets.mean(axis=0)).T)
    return np.ascontiguousarray(triangle.T), basis


def _varies(y_train: np.ndarray) -> np.ndarray:
    """Which columns scikit-learn does not take for constant, (n_targets,)."""
    return (np.abs(y_train - y_train.mean(axis=0)) >= CONSTANT).any(axis=0)


def _say(notes: dict[str, list[int]], n_splits: int) -> list[str]:
    def which(splits):
        return "all splits" if len(splits) == n_splits else "split " + ", ".join(map(str, splits))

    return [f"{which(splits)}: {note}" for note, splits in notes.items()]
