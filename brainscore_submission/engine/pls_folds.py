"""The kernel form of scikit-learn's PLS2, several folds of one Gram matrix at a time, on CPU or GPU.

Notation, for one fold: K is the Gram matrix centred on the training stimuli, Y (targets x stimuli) the centred
training targets, T (components x stimuli) the orthonormal scores of the components so far, L = Y Tᵀ their loadings.
Deflating the features projects them off T. The deflated targets Yₖ = Y - L T are orthogonal to T already, so K is never
deflated:

* scikit-learn's weights are w = Xᵀ Yₖᵀ a for some a in the space of targets, with ‖w‖² = aᵀ S a, S = Yₖ K Yₖᵀ;
* one step of its power iteration is a <- S a, and ‖w - w'‖² needs nothing but S;
* the scores of the component are K Yₖᵀ a, projected off T.

Stimuli come last in every array, and targets are zero at the stimuli a fold does not train on: so one product with the
whole Gram matrix serves all folds, and gives the scores of their test stimuli along the way.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..plugin.errors import UserError
from .devices import row_numbers

EPS = float(np.finfo(np.float64).eps)
CONSTANT = 10 * EPS  # scikit-learn's: a target whose residuals stay below is constant
SUSPECT_VARIANCE = 1e-5  # share of the features' variance left at which their rank is looked at
# Eigenvalues below 4 x |the most negative one| count as rounding errors: a Gram matrix has no negative ones of its own.
NOISE_MARGIN = 4.0
STRIDE = 16  # power iterations between two looks at the stopping rule
DOUBLING = 5  # on a GPU: powers S², S⁴ … S³² take 62 iterations in five products


@dataclass(frozen=True)
class Settings:
    """scikit-learn's three numbers; `converged` replaces the last two by the exact eigenvector."""

    n_components: int = 25
    tol: float = 1e-6
    max_iter: int = 500
    converged: bool = False


class Folds:
    """PLS of several training sets among the stimuli of one Gram matrix.

    Parameters
    ----------
    kernel : Tensor of shape (n_stimuli, n_stimuli), float64; its device is where everything runs
    targets : ndarray of shape (n_stimuli, n_targets)
    basis : ndarray of shape (n_given, n_targets)
        Row j gives the j-th target that the user gave, in terms of `targets`.
    trains : list of n_folds integer arrays
    varies : ndarray of shape (n_folds, n_given), bool
        Which given targets are not constant over the training stimuli.
    settings : Settings
    noise : Tensor of shape (n_stimuli, n_stimuli), optional
        What the last fold's matrix has on top.
    """

    def __init__(self, kernel, targets, basis, trains, varies, settings: Settings, noise=None):
        n_folds, n_targets, n_components = len(trains), targets.shape[1], settings.n_components
        self.kernel, self.settings, self._noise = kernel, settings, noise
        self.basis = torch.from_numpy(basis).to(kernel.device)
        self.varies = torch.from_numpy(varies).to(kernel.device)
        self.one_target = len(basis) == 1  # scikit-learn does not iterate then
        train = np.zeros((n_folds, len(targets)))
        for fold, indices in enumerate(trains):
            train[fold, indices] = 1
        self.train = torch.from_numpy(train).to(kernel.device)  # 1 for a training stimulus
        self.targets = torch.from_numpy(targets).to(kernel.device).mT.repeat(n_folds, 1, 1)
        for _ in range(2):  # the mean of a large offset rounds, and what is left over is no constant to a Gram matrix
            self.targets -= self._training_means(self.targets)
            self.targets *= self.train[:, None]
        self.kernel_targets = self._times_kernel(self.targets)  # (n_folds, n_targets, n_stimuli)
        self.scores = kernel.new_zeros(n_folds, n_components, len(targets))  # orthonormal over the training stimuli
        self.kernel_scores = torch.zeros_like(self.scores)
        self.loadings = kernel.new_zeros(n_folds, n_components, n_targets)
        self.directions = torch.zeros_like(self.loadings)  # a of each component
        self.n_iterations = np.zeros((n_folds, n_components), dtype=np.int64)
        self.n_fitted = np.full(n_folds, n_components)
        self.unrelated = np.zeros(n_folds, dtype=bool)  # whether a target was passed over for rounding errors
        self._variance = self._total_variance()  # (n_folds,)
        self._ranks = [None] * n_folds  # of the features; known where it had to be looked at
        self._column = torch.zeros(n_folds, dtype=torch.int64, device=kernel.device)  # the first one not yet constant

    def fit(self) -> None:
        """Fit all components of all folds, or as many as their features and targets have."""
        covariance = self.targets @ self.kernel_targets.mT  # S, (n_folds, n_targets, n_targets)
        with _single_thread():
            self._fit_components(covariance)

    def _fit_components(self, covariance) -> None:
        left = self._variance.clone()  # of the features, off the scores so far
        for k in range(self.settings.n_components):
            start = self._start_vectors(covariance, k)
            running = start.any(dim=1) & self._below_rank(k, left)
            self.n_fitted[~running.cpu().numpy() & (self.n_fitted > k)] = k
            if not running.any():
                return
            direction, self.n_iterations[:, k] = self._dominant(covariance, start, running)
            self.directions[:, k] = direction
            score = self._score(k, direction)
            trained = score * self.train
            kernel_score = self._times_kernel(trained[:, None])[:, 0]
            loading = _matvec(self.targets, trained)
            covariance = self._deflate(covariance, k, trained, kernel_score, loading)
            left = left - (trained * kernel_score).sum(dim=1)
            self.scores[:, k], self.kernel_scores[:, k], self.loadings[:, k] = score, kernel_score, loading

    def predict(self, fold: int, stimuli: np.ndarray) -> np.ndarray:
        """Targets of some stimuli, less the means of the training targets.

        Returns
        -------
        ndarray of shape (n_stimuli, n_given)
        """
        scores = self.scores[fold][:, row_numbers(stimuli, self.kernel.device)]
        with _single_thread():
            prediction = scores.mT @ self.loadings[fold] @ self.basis.mT
        return (prediction * self.varies[fold]).cpu().numpy()

    def dual(self, fold: int) -> tuple[np.ndarray, np.ndarray]:
        """The fit as coefficients of the training stimuli: scores T = Kc A over the centred matrix Kc, targets = L T.

        The components follow each other as in `fit`: u = Yₖᵀ a, less the components before, divided by its norm.

        Returns
        -------
        coefficients : A, ndarray of shape (n_train, n_fitted)
        loadings : L, ndarray of shape (n_given, n_fitted), 0 for a target that is constant
        """
        train, fitted = self.train[fold].nonzero()[:, 0], self.n_fitted[fold]
        kernel = self.kernel[train][:, train]
        kernel = kernel - kernel.mean(dim=0) - kernel.mean(dim=1, keepdim=True) + kernel.mean()
        scores, targets = self.scores[fold][:fitted, train], self.targets[fold][:, train]
        coefficients = kernel.new_zeros(fitted, len(train))
        for k in range(fitted):
            direction = self.directions[fold, k]
            one = direction @ targets - (self.loadings[fold, :k] @ direction) @ scores[:k]
            for _ in range(2):  # once more for the rounding errors of the first time
                one = one - (scores[:k] @ (kernel @ one)) @ coefficients[:k]
            coefficients[k] = one / (kernel @ one).norm()
        loadings = (self.loadings[fold, :fitted] @ self.basis.mT) * self.varies[fold]
        return coefficients.mT.cpu().numpy(), loadings.mT.cpu().numpy()

    def notes(self) -> Iterator[tuple[int, str]]:
        """What a reader of the score should know: (fold, sentence)."""
        wanted, max_iter = self.settings.n_components, self.settings.max_iter
        for fold, fitted in enumerate(self.n_fitted):
            rank = self._ranks[fold]
            if fitted < wanted and rank is not None and fitted == rank:
                yield (
                    fold,
                    (
                        f"the activations have rank {rank} as far as inner products tell, so the fit stopped after "
                        f"{rank} of {wanted} components; scikit-learn fits rounding errors then, or refuses "
                        "(--engine brainscore shows it)"
                    ),
                )
            elif fitted < wanted and self.unrelated[fold]:
                yield (
                    fold,
                    (
                        f"after {fitted} of {wanted} components what is left of the targets has to do with the "
                        "activations no more than rounding errors have, and the fit stopped; scikit-learn may go on "
                        "from the activations themselves (--engine brainscore)"
                    ),
                )
            elif fitted < wanted:
                yield (
                    fold,
                    f"nothing is left of the targets after {fitted} of {wanted} components; the fit stopped there",
                )
            if unfinished := int((self.n_iterations[fold] == max_iter).sum() * (not self.one_target)):
                yield fold, f"{unfinished} components stopped at the limit of {max_iter} iterations, as in scikit-learn"

    def _total_variance(self) -> torch.Tensor:
        """Trace of K: the sum of squares of the features around their training means, (n_folds,)."""
        squares = self.train @ self.kernel.diagonal()
        variance = squares - (self.train @ self.kernel * self.train).sum(dim=1) / self.train.sum(dim=1)
        if not (variance > len(self.kernel) * EPS * squares).all():
            raise UserError(
                "the activations are the same for all training stimuli of a split, so they predict nothing: "
                "choose another layer, or check the weights"
            )
        return variance

    def _times_kernel(self, vectors) -> torch.Tensor:
        """K v for vectors that sum to zero over the training stimuli and are zero elsewhere, at all stimuli.

        (x - m)·Σⱼ vⱼ (xⱼ - m) = x·Σⱼ vⱼ xⱼ - m·Σⱼ vⱼ xⱼ, where m is the mean of the training stimuli: centring the
        matrix comes to centring the product.
        """
        product = vectors @ self.kernel  # (n_folds, n_vectors, n_stimuli)
        if self._noise is not None:
            product[-1] += vectors[-1] @ self._noise
        return product.sub_(self._training_means(product))

    def _training_means(self, vectors) -> torch.Tensor:
        """(n_folds, n_vectors, n_stimuli) -> (n_folds, n_vectors, 1)"""
        return (vectors @ self.train[:, :, None]) / self.train.sum(dim=1)[:, None, None]

    def _start_vectors(self, covariance, k: int) -> torch.Tensor:
        """scikit-learn starts from the first target that is not constant: (n_folds, n_targets), zero if none is left.

        A target that has nothing to do with the features but rounding errors (a large constant less its mean) is passed
        over: scikit-learn's start is random then.
        """
        n_given, noise = len(self.basis), len(self.kernel) * EPS * self._variance
        while True:
            exists = self._column < n_given
            column = self._column.clamp(max=n_given - 1)
            allowed = exists & self.varies.gather(1, column[:, None])[:, 0]
            start = self.basis[column] * allowed[:, None]
            residual = _vecmat(start, self.targets)  # (n_folds, n_stimuli)
            residual -= _vecmat(_vecmat(start, self.loadings[:, :k].mT), self.scores[:, :k]) * self.train
            varies = residual.abs().amax(dim=1) >= CONSTANT
            related = (start * _matvec(covariance, start)).sum(dim=1) > noise * residual.square().sum(dim=1)
            passed = exists & ~(varies & related)
            if not passed.any():
                return start
            self.unrelated |= (passed & varies).cpu().numpy()
            self._column += passed

    def _below_rank(self, k: int, left) -> torch.Tensor:
        """Whether the features of each fold have a k-th dimension that is not rounding error."""
        for fold in (left < SUSPECT_VARIANCE * self._variance).nonzero()[:, 0].tolist():
            if self._ranks[fold] is None:
                self._ranks[fold] = self._rank(fold)
        below = [rank is None or k < rank for rank in self._ranks]
        return torch.tensor(below, device=self.kernel.device)

    def _rank(self, fold: int) -> int:
        """Eigenvalues above the rounding errors, which the negative ones show: a Gram matrix has none of its own."""
        train = self.train[fold].nonzero()[:, 0]
        matrix = self.kernel[train][:, train]
        matrix = matrix - matrix.mean(dim=0) - matrix.mean(dim=1, keepdim=True) + matrix.mean()
        eigenvalues = torch.linalg.eigvalsh(matrix)
        noise = max(len(train) * EPS * eigenvalues[-1].item(), -NOISE_MARGIN * eigenvalues[0].item())
        return int((eigenvalues > noise).sum())

    def _dominant(self, covariance, start, running) -> tuple[torch.Tensor, np.ndarray]:
        """The direction in the space of targets that scikit-learn stops at, and its number of iterations."""
        settings = self.settings
        if settings.converged:
            return torch.linalg.eigh(covariance)[1][:, :, -1] * running[:, None], 0
        limit = 1 if self.one_target else settings.max_iter
        start = start * running[:, None]
        if covariance.is_cuda:  # each launch costs more than its work: all folds in one
            direction, n_iterations = power_iteration(covariance, start, settings.tol, limit, DOUBLING)
            return direction, (n_iterations * running).cpu().numpy()
        direction, n_iterations = torch.zeros_like(start), np.zeros(len(start), dtype=np.int64)
        for fold in running.nonzero()[:, 0].tolist():  # each ends at its own step
            one = slice(fold, fold + 1)
            direction[one], n_iterations[one] = power_iteration(covariance[one], start[one], settings.tol, limit)
        return direction, n_iterations

    def _score(self, k: int, direction) -> torch.Tensor:
        """K Yₖᵀ a, off the scores before and of norm 1 over the training stimuli: (n_folds, n_stimuli)."""
        score = _vecmat(direction, self.kernel_targets)
        score -= _vecmat(_vecmat(direction, self.loadings[:, :k].mT), self.kernel_scores[:, :k])
        for _ in range(2):  # once more for the rounding errors of the first time
            overlap = _matvec(self.scores[:, :k], score * self.train)
            score -= _vecmat(overlap, self.scores[:, :k])
        norm = (score * self.train).norm(dim=1, keepdim=True)
        return score / torch.where(norm > 0, norm, 1.0)

    def _deflate(self, covariance, k, trained, kernel_score, loading) -> torch.Tensor:
        """S of the targets less the component: Yₖ₊₁ = Yₖ - l tᵀ."""
        kernel_trained = kernel_score * self.train
        cross = _matvec(self.targets, kernel_trained)  # Yₖ K t
        cross -= _vecmat(_matvec(self.scores[:, :k], kernel_trained), self.loadings[:, :k])
        half = cross - loading * (trained * kernel_score).sum(dim=1, keepdim=True) / 2
        update = loading[:, :, None] * half[:, None, :]
        return covariance - update - update.mT


def power_iteration(matrices, start, tol: float, max_iter: int, doubling: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """scikit-learn's `_get_first_singular_vectors_power_method`, from S alone.

    Its weights after i steps are wᵢ ~ Xᵀ Yᵀ Sⁱ a, with wᵢ·wⱼ ~ aᵀ Sⁱ⁺ʲ⁺¹ a; it stops when ‖wᵢ - wᵢ₋₁‖² < tol for
    unit wᵢ. With uᵢ = Sⁱ a that is 2 - 2 uᵢ·uᵢ / √(uᵢ·uᵢ₊₁ uᵢ₋₁·uᵢ), so several steps are taken before one looks.

    Parameters
    ----------
    matrices : Tensor of shape (n, n_targets, n_targets), positive semidefinite
    start : Tensor of shape (n, n_targets)
    tol, max_iter : as in scikit-learn
    doubling : int
        How many powers of S are formed, each the square of the one before, to take twice as many steps at a time: fewer
        products, of more work. 0 takes one step after the other.

    Returns
    -------
    direction : Tensor of shape (n, n_targets), of norm 1 (0 for a start of 0)
    n_iterations : Tensor of shape (n,), int64
    """
    n, n_targets = start.shape
    n_iterations = torch.ones(n, dtype=torch.int64, device=start.device)
    if max_iter == 1:
        return start, n_iterations
    # Its largest eigenvalue stays between 1/√n_targets and 1, so that no power of it leaves the range of numbers.
    scaled = matrices / matrices.flatten(1).norm(dim=1)[:, None, None]
    powers = [scaled]
    for _ in range(doubling):
        powers.append(powers[-1] @ powers[-1])
    stride = 2 ** (doubling + 1) - 2 if doubling else STRIDE
    direction, running = torch.zeros_like(start), start.any(dim=1)
    steps = start.new_zeros(stride + 2, n, n_targets)
    columns = steps[..., None].unbind(0)
    steps[0] = start
    torch.bmm(scaled, columns[0], out=columns[1])
    for done in range(0, max_iter, stride):
        for exponent in range(1, doubling + 1):
            known = 2**exponent
            steps[known : 2 * known] = (steps[:known].transpose(0, 1) @ powers[exponent]).transpose(0, 1)
        for step in range(1, stride + 1 if not doubling else 0):
            torch.bmm(scaled, columns[step], out=columns[step + 1])
        size = (steps[:-1] * steps[1:]).sum(dim=2).sqrt()  # ‖wᵢ‖, (STRIDE + 1, n)
        moved = 2 - 2 * steps[1:-1].square().sum(dim=2) / (size[1:] * size[:-1])  # (STRIDE, n)
        stops = moved < tol
        stops[max_iter - 1 - done - 1 :] = True
        first = stops.int().argmax(dim=0)  # (n,)
        ends = running & stops.any(dim=0)
        direction = torch.where(ends[:, None], steps[first + 1, torch.arange(n, device=start.device)], direction)
        n_iterations = torch.where(ends, done + first + 2, n_iterations)
        running = running & ~ends
        if not running.any():
            break
        steps[:2] = steps[-2:] / steps[-2].norm(dim=1, keepdim=True)
    norm = direction.norm(dim=1, keepdim=True)
    return direction / torch.where(norm > 0, norm, 1.0), n_iterations


def _matvec(matrices, vectors) -> torch.Tensor:
    """(n, i, j), (n, j) -> (n, i)"""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def _vecmat(vectors, matrices) -> torch.Tensor:
    """(n, i), (n, i, j) -> (n, j)"""
    return (vectors[:, None, :] @ matrices)[:, 0]


@contextlib.contextmanager
def _single_thread() -> Iterator[None]:
    """Waiting for each other costs threads more than these small products, and far more on a busy machine."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
