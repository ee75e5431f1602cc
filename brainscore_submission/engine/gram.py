"""Activations -> Gram matrix -> lossless surrogate.

PLS without scaling depends on the activations X (stimuli x features) only through X Xᵀ (SCIENCE.md, "What
is invariant"), so n_stimuli² numbers stand for n_stimuli x 258,496. Recording lives in `recorder.py`, the
regression in `pls.py`; nothing here knows of layers or benchmarks.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.linalg
import torch
from threadpoolctl import ThreadpoolController

from ..plugin.errors import UserError
from .devices import has_float64

BLOCK_BYTES = 32 * 2**20  # working memory of one thread for a centred block of columns
BLOCK_COLUMNS = 4096  # a float32 product sums no more columns than this before it is added up in float64
STRIPS = 4  # of the triangle on a device: 5/8 of the products, each still large enough to fill a GPU
PARALLEL_BYTES = 2**29  # working memory of all threads together


class NonFiniteActivations(UserError):
    """Some activation is NaN or infinite.

    Attributes
    ----------
    stimulus : int, the first stimulus (row) that holds one, in the block of columns where it was found
    """

    def __init__(self, stimulus: int):
        self.stimulus = int(stimulus)
        super().__init__(
            f"the activations of stimulus {self.stimulus} hold NaN or infinity, so no score exists; "
            "check the weights and the precision of the network"
        )


class GramAccumulator:
    """Sum the Gram matrix of centred features over chunks of columns, as they arrive.

    Each chunk holds *all* stimuli, so it is centred on its own and then needed no more: besides the chunk,
    the memory is three matrices of (n_stimuli, n_stimuli) and, for all threads together, `PARALLEL_BYTES` (more, if
    one thread alone needs more).

    Parameters
    ----------
    n_stimuli : int
    dtype : "float64" or "float32"
        Precision of the products; sums over blocks of columns are always float64.

    Notes
    -----
    float32 takes half the time and is nearly enough, because the features are centred first. Measured against float64
    on random ReLU features: the PLS score (10 splits) moved by 1e-10 for 640 x 40,000 x 50 and 315 x 200,000 x 103
    (stimuli x features x neuroids), by 4e-9 for 135 x 20,000 x 102, and by up to 3e-8 for some inputs of each size; a
    single neuroid's r by up to 8e-7; iteration counts were always equal. So float64, which agrees with scikit-learn to
    1e-13, is the default.

    Examples
    --------
    >>> gram = GramAccumulator(n_stimuli=2)
    >>> gram.add(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> gram.result()
    array([[ 1., -1.],
           [-1.,  1.]])
    """

    def __init__(self, n_stimuli: int, dtype: str = "float64"):
        if dtype not in ("float32", "float64"):
            raise UserError(f"Gram products in {dtype!r} are not exact enough; use float64 or float32")
        self.n_stimuli = n_stimuli
        self.n_features = 0
        self.dtype = np.dtype(dtype)
        self._sum = None  # (n_stimuli, n_stimuli), float64; on a device, its lower triangle
        self._finite = None  # of each stimulus so far, on a device

    def add(self, columns) -> None:
        """Add some features of all stimuli.

        Parameters
        ----------
        columns : floating array or Tensor of shape (n_stimuli, n_chunk); on a device without float64 it is fetched
        """
        if columns.ndim != 2 or len(columns) != self.n_stimuli:
            raise UserError(f"expected columns of shape ({self.n_stimuli}, n), got {tuple(columns.shape)}")
        if isinstance(columns, torch.Tensor) and not columns.is_cpu and has_float64(columns.device):
            self._add_on_device(columns)
        else:
            columns = _as_numpy(columns)
            shape = self.n_stimuli, self.n_stimuli
            product = _sum_blocks(lambda block: self._product(columns[:, block]), columns.shape[1], shape)
            self._sum = product if self._sum is None else self._sum + product
        self.n_features += columns.shape[1]

    def result(self) -> np.ndarray:
        """The Gram matrix so far.

        Returns
        -------
        ndarray of shape (n_stimuli, n_stimuli), float64, symmetric; rows and columns sum to zero
        """
        if self._sum is None:
            return np.zeros((self.n_stimuli, self.n_stimuli))
        if not isinstance(self._sum, torch.Tensor):
            return centre(self._sum)
        if not self._finite.all():
            raise NonFiniteActivations(self._finite.int().argmin())
        triangle = self._sum.tril()
        return centre(triangle + triangle.tril(-1).mT).cpu().numpy()

    def _product(self, block) -> np.ndarray:
        mean = block.mean(axis=0, dtype=np.float64)
        _refuse_nonfinite(mean, block)
        # A mean rounded to float32 leaves the same error in all stimuli, and `centre` takes it off the sum.
        centred = np.subtract(block, mean.astype(self.dtype), dtype=self.dtype, order="C")  # (n_stimuli, width)
        return centred @ centred.T  # numpy knows that this is symmetric, and computes one half

    def _add_on_device(self, columns) -> None:
        """Add to one triangle, a strip of rows at a time; nothing is asked for, so that the queue never runs dry."""
        if self._sum is None:
            self._sum = columns.new_zeros((self.n_stimuli, self.n_stimuli), dtype=torch.float64)
            self._finite = columns.new_ones(self.n_stimuli, dtype=torch.bool)
        dtype, strip = getattr(torch, self.dtype.name), -(-self.n_stimuli // STRIPS)
        for block in columns.split(BLOCK_COLUMNS * (2 if dtype is torch.float64 else 1), dim=1):
            self._finite &= torch.isfinite(block).all(dim=1)
            centred = block.to(dtype) - block.mean(dim=0, dtype=torch.float64).to(dtype)
            for first in range(0, self.n_stimuli, strip):
                rows = slice(first, first + strip)
                self._sum[rows, : first + strip] += centred[rows] @ centred[: first + strip].mT


def gram(features, dtype: str = "float64") -> np.ndarray:
    """Inner products between stimuli, of features centred over stimuli.

    K = (X - mean X)(X - mean X)ᵀ, in blocks of columns: no float64 copy of X is made.

    Parameters
    ----------
    features : floating array or Tensor of shape (n_stimuli, n_features)
    dtype : precision of the products, see `GramAccumulator`

    Returns
    -------
    ndarray of shape (n_stimuli, n_stimuli), float64
    """
    accumulator = GramAccumulator(len(features), dtype)
    accumulator.add(features)
    return accumulator.result()


def centre(matrix) -> np.ndarray:
    """The Gram matrix of centred features from that of uncentred ones: H K H with H = I - 1/n.

    Parameters
    ----------
    matrix : ndarray or Tensor of shape (n_stimuli, n_stimuli)

    Returns
    -------
    the same kind of shape (n_stimuli, n_stimuli), float64, exactly symmetric

    Raises
    ------
    NonFiniteActivations
        NaN and infinity in the features show on the diagonal of their Gram matrix.
    """
    library = torch if isinstance(matrix, torch.Tensor) else np
    finite = library.isfinite(library.diagonal(matrix))
    if not finite.all():
        raise NonFiniteActivations((~finite).nonzero()[0][0])
    mean = matrix.mean(axis=0, dtype=library.float64)
    # Symmetric to the last bit, because a + b = b + a.
    return matrix - (mean[:, None] + mean[None, :]) + mean.mean()


def surrogate(gram, tol: float | None = None) -> np.ndarray:
    """Few features that have the same Gram matrix: Z Zᵀ = K.

    K = Q Λ Qᵀ, Z = Q Λ^½. Any metric that depends on the features through their inner products gives on Z
    what it gives on the features.

    Parameters
    ----------
    gram : ndarray of shape (n_stimuli, n_stimuli)
    tol : float
        Eigenvalues below `tol` x the largest are rounding errors and become 0, small negative ones among them.
        Default: n_stimuli x 2.2e-16.

    Returns
    -------
    ndarray of shape (n_stimuli, n_stimuli), float64; by falling variance, and past the rank the columns are zero
    """
    gram = np.asarray(gram, dtype=np.float64)
    tol = len(gram) * np.finfo(np.float64).eps if tol is None else tol
    eigenvalues, eigenvectors = scipy.linalg.eigh(gram)
    eigenvalues, eigenvectors = eigenvalues[::-1], eigenvectors[:, ::-1]
    kept = np.where(eigenvalues > tol * eigenvalues[0], eigenvalues, 0.0)
    return eigenvectors * np.sqrt(kept)


def _sum_blocks(product: Callable[[slice], np.ndarray], n_columns: int, shape: tuple[int, int]) -> np.ndarray:
    """Sum of `product(block)` over blocks of columns, in float64.

    Each thread multiplies blocks of its own. Threads that share one product wait for each other many times within it,
    which on a busy machine costs ten times the product.

    Parameters
    ----------
    product : takes a slice of columns, returns an array of `shape`
    n_columns : int
    shape : (n_rows, n_columns of the result)

    Returns
    -------
    ndarray of `shape`, float64
    """
    width = max(1, min(BLOCK_COLUMNS, BLOCK_BYTES // (8 * max(shape))))
    blocks = [slice(start, start + width) for start in range(0, n_columns, width)]
    n_cores, share = torch.get_num_threads(), 2 * BLOCK_BYTES + 2 * 8 * shape[0] * shape[1]
    n_threads = max(1, min(n_cores, PARALLEL_BYTES // share, len(blocks)))

    def work(own_blocks):
        total = np.zeros(shape)
        with np.errstate(invalid="ignore", over="ignore"):  # shows on the diagonal, see `centre`
            for block in own_blocks:
                total += product(block)
        return total

    with _blas().limit(limits=max(1, n_cores // n_threads), user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        return sum(pool.map(work, [blocks[first::n_threads] for first in range(n_threads)]))


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


def _as_numpy(features) -> np.ndarray:
    """CPU array of float32 or float64; half precisions become float32, which holds them exactly."""
    if isinstance(features, torch.Tensor):
        features = features.detach()
        features = (features if features.dtype == torch.float64 else features.float()).cpu().numpy()
    return features if features.dtype in (np.float32, np.float64) else features.astype(np.float32)


def _refuse_nonfinite(column_means, block) -> None:
    # One NaN or infinity makes its column's mean so: a test of n_chunk numbers stands for all of them.
    if not np.isfinite(column_means).all():
        raise NonFiniteActivations((~np.isfinite(block)).any(1).nonzero()[0][0])
