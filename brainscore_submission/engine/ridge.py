"""Ridge regression from inner products between stimuli, with the predictions that Brain-Score's metrics give.

Brain-Score fits scikit-learn's `Ridge` and `RidgeCV`, or its own dual forms of them, on the features. All centre
features and targets on the training stimuli, so they depend on the features through inner products only. With

    K (n_train, n_train)  inner products of training stimuli, features centred on the training stimuli
    C (n_test, n_train)   those of test with training stimuli, centred on the *training* stimuli, too

the predictions are C (K + alpha I)⁻¹ (Y - mean Y) + mean Y. K and C come from `TrainTestProducts` while features
stream, or from `train_test_products` out of one matrix over all stimuli. What is needed there: products of training
*and* test stimuli around one common origin (none, or any mean). Two Gram matrices, of training and of test stimuli,
each centred on its own, do not hold C.

Regression and correlation only: splits, subjects, medians and ceilings are the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch

from ..plugin.errors import UserError

TILE = 2048  # rows and columns of a matrix product's tile
BLOCK_BYTES = 2**28  # working memory of one block in a loop
COLUMNS = 1024  # columns of a product that several penalties share
LARGE = 10_000  # from here on eigenvectors in 2/3 of the memory, at about half the speed


class RidgeFit(NamedTuple):
    """Ridge in its dual form: what is needed to predict, whatever the features.

    Parameters
    ----------
    weights : ndarray of shape (n_train, n_targets), (K + alpha I)⁻¹ (Y - mean Y)
    intercept : ndarray of shape (n_targets,), mean Y
    alpha : float, the penalty
    errors : ndarray of shape (n_alphas,), mean squared leave-one-out error of each penalty; None if there was one only
    """

    weights: np.ndarray
    intercept: np.ndarray
    alpha: float
    errors: np.ndarray | None = None


class Spectrum(NamedTuple):
    """Eigenvalues and eigenvectors of a training Gram matrix: all that many penalties and targets have in common.

    Parameters
    ----------
    eigenvalues : Tensor of shape (n_train,); infinite in the direction of the constant vector, which ridge with an
        intercept leaves out
    eigenvectors : Tensor of shape (n_train, n_train), one a column
    """

    eigenvalues: torch.Tensor
    eigenvectors: torch.Tensor


class TrainTestProducts:
    """Sum K and C over chunks of features, as they arrive.

    Parameters
    ----------
    n_train, n_test : int

    Notes
    -----
    float64 throughout. Memory beside the chunk, in bytes: 8 (n_train² + n_test n_train) for the results,
    8 (n_train + n_test) n_chunk for its centred copy, 8 · 2048² for a tile. Papale2025 (22,248 training and 100 test
    images) in chunks of 1,024 features: 3.96 + .02 + .18 + .03 = 4.2 GB, where the features themselves, 258,496 in
    float32, are 23 GB.

    Examples
    --------
    >>> products = TrainTestProducts(n_train=2, n_test=1)
    >>> products.add(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[4.0, 9.0]]))
    >>> products.result()[0]
    array([[ 1., -1.],
           [-1.,  1.]])
    >>> products.result()[1]
    array([[-2.,  2.]])
    """

    def __init__(self, n_train: int, n_test: int):
        self._train = np.zeros((n_train, n_train))  # lower triangle of tiles, until `result`
        self._test = np.zeros((n_test, n_train))

    def add(self, train_columns, test_columns) -> None:
        """Add some features of all stimuli.

        Parameters
        ----------
        train_columns : floating array or CPU Tensor of shape (n_train, n_chunk)
        test_columns : floating array or CPU Tensor of shape (n_test, n_chunk), the same features
        """
        train, test = (
            columns.detach().cpu().double().numpy() if isinstance(columns, torch.Tensor) else columns
            for columns in (train_columns, test_columns)
        )
        if train.shape[:1] + test.shape[:1] != self._test.shape[::-1] or train.shape[1:] != test.shape[1:]:
            raise UserError(
                f"expected columns of shape ({len(self._train)}, n) and ({len(self._test)}, n), got {train.shape} and "
                f"{test.shape}"
            )
        mean = train.mean(axis=0, dtype=np.float64)
        train, test = train - mean, test - mean  # float64, as the mean is
        for start in range(0, len(train), TILE):
            rows = slice(start, start + TILE)
            for column in range(0, start + 1, TILE):
                columns = slice(column, column + TILE)
                self._train[rows, columns] += train[rows] @ train[columns].T
            self._test[:, rows] += test @ train[rows].T

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """The matrices themselves, no copies.

        Returns
        -------
        K : ndarray of shape (n_train, n_train), symmetric; rows and columns sum to zero
        C : ndarray of shape (n_test, n_train)
        """
        for start in range(0, len(self._train), TILE):
            rows = slice(start, start + TILE)
            self._train[:start, rows] = self._train[rows, :start].T
        return self._train, self._test


def train_test_products(products: np.ndarray, train, test) -> tuple[np.ndarray, np.ndarray]:
    """K and C out of inner products between all stimuli.

    Parameters
    ----------
    products : ndarray of shape (n_stimuli, n_stimuli)
        Uncentred, or centred on any mean: that of all stimuli, as `gram.GramAccumulator` gives it, is good, and better
        than none, because a large mean costs digits.
    train, test : integer indices of stimuli

    Returns
    -------
    K : ndarray of shape (n_train, n_train), float64
    C : ndarray of shape (n_test, n_train), float64
    """
    train_gram = np.asarray(products[np.ix_(train, train)], dtype=np.float64)
    cross_gram = np.asarray(products[np.ix_(test, train)], dtype=np.float64)
    # (x - m)·(y - m) = x·y - x·m - m·y + m·m, m the mean training stimulus
    mean = train_gram.mean(axis=0)
    cross_gram -= cross_gram.mean(axis=1, keepdims=True)
    cross_gram -= mean - mean.mean()
    train_gram -= mean[:, None]
    train_gram -= mean - mean.mean()
    return train_gram, cross_gram


def ridge(train_gram, targets, alpha: float = 1.0) -> RidgeFit:
    """Ridge regression with a given penalty and an intercept: `Ridge(alpha)`, `DualRidgeRegression(alpha)`.

    Parameters
    ----------
    train_gram : ndarray of shape (n_train, n_train), K
    targets : ndarray of shape (n_train, n_targets)
    alpha : float, above 0

    Notes
    -----
    scikit-learn's `Ridge` computes in float32 when the features are float32; its predictions then differ from these by
    its own rounding. The dual forms and `RidgeCV` are float64 always.
    """
    targets, (alpha,) = _checked(train_gram, targets, [alpha])
    intercept = targets.mean(axis=0)
    if alpha < len(train_gram) * np.finfo(np.float64).eps * np.trace(train_gram):
        # the rounding errors of K outweigh the penalty where K's own eigenvalues are 0
        return RidgeFit(_weights(decompose(train_gram), targets, alpha), intercept, alpha)
    penalised = np.array(train_gram, dtype=np.float64)
    penalised[np.diag_indices_from(penalised)] += alpha
    weights = scipy.linalg.solve(penalised, targets - intercept, assume_a="pos", overwrite_a=True, check_finite=False)
    return RidgeFit(weights, intercept, alpha)


def ridge_cv(train, targets, alphas, device: str = "cpu", overwrite: bool = False) -> RidgeFit:
    """Ridge regression with one penalty of several, chosen by leave-one-out error over all targets together.

    `RidgeCV(alphas)` and `DualRidgeCVRegression(alphas)`: scoring None, any gcv_mode, with an intercept, one penalty
    for all targets. A penalty for each target would give another number.

    Parameters
    ----------
    train : K, of shape (n_train, n_train), or its `Spectrum`, where several subjects saw the same training stimuli
    targets : ndarray of shape (n_train, n_targets)
    alphas : sequence of float, above 0; of equally good ones the first is taken
    device : where the products run, in float64: "cuda[:i]", or the CPU for all others
    overwrite : whether K may be destroyed

    Notes
    -----
    Memory in bytes beside K and `targets`: 8 n_train² (16 n_train² below 10,000 training stimuli, where the
    faster decomposition is used), once more 8 n_train² unless `overwrite`, and 24 n_train max(1024, min(n_targets,
    n_train)). Papale2025, 22,248 training images and 1,000 targets: 4.0 + .5 GB beside the 4.0 GB of K itself.

    Where two penalties are so small beside all eigenvalues that their errors differ by rounding only, scikit-learn's
    choice between them is chance, and so is this one; the predictions are the same.
    """
    targets, alphas = _checked(train, targets, alphas)
    spectrum = train if isinstance(train, Spectrum) else decompose(train, device=device, overwrite=overwrite)
    errors = leave_one_out_errors(spectrum, targets, alphas)
    best = float(alphas[np.argmin(errors)])
    return RidgeFit(_weights(spectrum, targets, best), targets.mean(axis=0), best, errors)


def predict(fit: RidgeFit, cross_gram) -> np.ndarray:
    """C (K + alpha I)⁻¹ (Y - mean Y) + mean Y.

    Parameters
    ----------
    cross_gram : ndarray of shape (n_test, n_train), C

    Returns
    -------
    ndarray of shape (n_test, n_targets), float64
    """
    if cross_gram.ndim != 2 or cross_gram.shape[1] != len(fit.weights):
        raise UserError(f"expected products of shape (n_test, {len(fit.weights)}), got {cross_gram.shape}")
    return cross_gram @ fit.weights + fit.intercept


def cross_validate(
    products, targets, splits: Sequence[tuple], alphas, device: str = "cpu"
) -> tuple[list[np.ndarray], np.ndarray]:
    """Predictions for the test stimuli of every split, each from a fit to its training stimuli.

    Parameters
    ----------
    products : ndarray of shape (n_stimuli, n_stimuli), see `train_test_products`
    targets : ndarray of shape (n_stimuli, n_targets)
    splits : sequence of (train, test), integer indices of stimuli
    alphas : float, or several of which each split chooses its own

    Returns
    -------
    predictions : list of n_splits arrays of shape (n_test, n_targets)
    alphas : ndarray of shape (n_splits,), the penalties used
    """
    predictions, penalties = [], []
    for train, test in splits:
        train_gram, cross_gram = train_test_products(products, train, test)
        if np.ndim(alphas):
            fit = ridge_cv(train_gram, targets[train], alphas, device, overwrite=True)
        else:
            fit = ridge(train_gram, targets[train], alphas)
        predictions.append(predict(fit, cross_gram))
        penalties.append(fit.alpha)
    return predictions, np.array(penalties)


def decompose(train_gram, device: str = "cpu", overwrite: bool = False) -> Spectrum:
    """Eigenvalues and eigenvectors of K, the constant vector one of them: once for each set of training stimuli.

    Parameters
    ----------
    train_gram : ndarray of shape (n_train, n_train), float64, rows and columns sum to zero
    device : "cpu" or "cuda[:i]"
    overwrite : whether `train_gram` may be destroyed; it must be a C-contiguous float64 array then
    """
    gram = train_gram if overwrite else np.array(train_gram, dtype=np.float64, order="C")
    n_train = len(gram)
    # K has the constant vector for an eigenvector, but where other eigenvalues are 0, too, a solver mixes it with
    # theirs. The reflection I - 2 u uᵀ takes it to the first axis, whose row and column are then exactly 0.
    u = np.full(n_train, n_train**-0.5)
    u[0] += 1
    u /= np.linalg.norm(u)
    image = gram @ u
    image = 2 * (image - (u @ image) * u)
    for rows in _row_blocks(n_train, n_train):
        gram[rows] -= u[rows, None] * image
        gram[rows] -= image[rows, None] * u
    gram[0], gram[:, 0] = 0, 0
    eigenvalues, eigenvectors = _eigh(gram, device)
    for rows in _row_blocks(n_train, n_train):
        if rows.start == 0:
            constant = int(eigenvectors[0].abs().argmax())
            reflected = torch.from_numpy(u).to(eigenvectors) @ eigenvectors
        eigenvectors[rows] -= 2 * torch.from_numpy(u[rows, None]).to(eigenvectors) * reflected
    rounding = n_train * np.finfo(np.float64).eps * eigenvalues.max()
    eigenvalues = torch.where(eigenvalues > rounding, eigenvalues, 0.0)
    eigenvalues[constant] = torch.inf
    return Spectrum(eigenvalues, eigenvectors)


def leave_one_out_errors(spectrum: Spectrum, targets, alphas) -> np.ndarray:
    """Mean over stimuli and targets of the squared error at each stimulus, had it been left out of the fit.

    error_i = c_i / (G⁻¹)_ii with G = K + alpha I and c = G⁻¹ (Y - mean Y), without the constant vector, as in
    scikit-learn's `_RidgeGCV`. A sum of squares over targets stays what it is when targets are rotated, so of more
    targets than stimuli only as many as there are stimuli are left.

    Parameters
    ----------
    targets : ndarray of shape (n_train, n_targets)
    alphas : ndarray of shape (n_alphas,)

    Returns
    -------
    ndarray of shape (n_alphas,)
    """
    eigenvalues, eigenvectors = spectrum
    n_train, n_targets = targets.shape
    projected = eigenvectors.mT @ torch.from_numpy(targets - targets.mean(axis=0)).to(eigenvectors)
    if n_targets > n_train:
        projected = torch.linalg.qr(projected.mT, mode="r").R.mT  # (n_train, n_train), same products between its rows
    weights = 1 / (eigenvalues[:, None] + torch.from_numpy(alphas).to(eigenvalues))  # (n_train, n_alphas)
    diagonal = torch.cat([eigenvectors[rows].square() @ weights for rows in _row_blocks(n_train, n_train)])
    errors = []
    for some in torch.arange(len(alphas)).split(max(1, COLUMNS // projected.shape[1])):
        weighted = weights[:, some, None] * projected[:, None, :]  # (n_train, penalties, n_targets)
        dual = (eigenvectors @ weighted.flatten(1)).view_as(weighted)
        errors.append((dual.square_().sum(dim=2) / diagonal[:, some].square()).sum(dim=0))
    return (torch.cat(errors) / (n_train * n_targets)).cpu().numpy()


def _weights(spectrum: Spectrum, targets: np.ndarray, alpha: float) -> np.ndarray:
    eigenvalues, eigenvectors = spectrum
    projected = eigenvectors.mT @ torch.from_numpy(targets - targets.mean(axis=0)).to(eigenvectors)
    # where an eigenvalue is 0, the training features have no extent, and no stimulus reaches out of it
    shrunk = torch.where(eigenvalues > 0, 1 / (eigenvalues + alpha), 0.0)
    return (eigenvectors @ (shrunk[:, None] * projected)).cpu().numpy()


def _eigh(gram: np.ndarray, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    if torch.device(device).type == "cuda":
        return torch.linalg.eigh(torch.from_numpy(gram).to(device))
    driver = "evd" if len(gram) < LARGE else "evr"
    # the transpose of a symmetric matrix is the same matrix, and in LAPACK's order: it needs no copy
    eigenvalues, eigenvectors = scipy.linalg.eigh(gram.T, overwrite_a=True, check_finite=False, driver=driver)
    return torch.from_numpy(eigenvalues), torch.from_numpy(eigenvectors)


def _row_blocks(n_rows: int, n_columns: int) -> list[slice]:
    height = max(1, BLOCK_BYTES // (8 * max(1, n_columns)))
    return [slice(start, min(start + height, n_rows)) for start in range(0, n_rows, height)]


def _checked(train, targets, alphas) -> tuple[np.ndarray, np.ndarray]:
    targets, alphas = np.asarray(targets, dtype=np.float64), np.asarray(alphas, dtype=np.float64)
    gram = train.eigenvectors if isinstance(train, Spectrum) else train
    n_train = len(gram)
    if gram.shape != (n_train, n_train) or targets.ndim != 2 or len(targets) != n_train or n_train < 2:
        raise UserError(
            f"expected K of shape (n, n) and targets of shape (n, n_targets) with n of 2 or more, got "
            f"{tuple(gram.shape)} and {targets.shape}"
        )
    finite = np.isfinite(targets).all(axis=0)
    if not finite.all():
        raise UserError(
            f"the responses to be predicted hold NaN or infinity, first in target {np.argmin(finite)}: leave out the "
            "stimuli or neuroids without responses"
        )
    if gram is train and not np.isfinite(np.diagonal(gram)).all():
        raise UserError("the inner products hold NaN or infinity: so did the features; check weights and precision")
    if alphas.ndim != 1 or len(alphas) == 0 or not (alphas > 0).all():
        raise UserError(f"penalties must be above 0, got {alphas.tolist()}")
    return targets, alphas
