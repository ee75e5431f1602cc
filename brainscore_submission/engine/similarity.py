"""Similarities of representations from inner products between stimuli: RDMs, CKA and odd-one-out choices.

The Gram matrix K that is kept of a layer is centred over stimuli. CKA needs no more. An RDM and a dot product see where
the origin is, too: two more stimuli, `ZEROS` and `ONES`, tell.
Brain-Score's own metrics compute CKA and dot products in the precision of the features, float32; here all is float64.
"""

from __future__ import annotations

import numpy as np
import scipy.stats

from ..plugin.errors import UserError
from .gram import surrogate

CKA_EPSILON = 1e-12  # Brain-Score adds it to the denominator of the unbiased CKA


def uncentred_products(framed: np.ndarray) -> np.ndarray:
    """Inner products of the features as they are, x_i · x_j.

    With o the stimulus `ZEROS`: x_i · x_j = K_ij - K_io - K_oj + K_oo.

    Parameters
    ----------
    framed : ndarray of shape (n_stimuli + 2, n_stimuli + 2), of features centred over stimuli; the last two are `ZEROS`
        and `ONES` (see ``images.py``)

    Returns
    -------
    ndarray of shape (n_stimuli + 1, n_stimuli + 1), float64, the last row and column with `ONES`: sums over features
    """
    products = framed - (framed[-2][:, None] + framed[-2][None, :]) + framed[-2, -2]
    return np.delete(np.delete(products, -2, axis=0), -2, axis=1)


def feature_centred_products(framed: np.ndarray) -> np.ndarray:
    """Inner products z_i · z_j, where z_i is x_i less its own mean over features.

    z_i · z_j = x_i · x_j - (sum of x_i)(sum of x_j) / n_features

    Parameters
    ----------
    framed : see `uncentred_products`

    Returns
    -------
    ndarray of shape (n_stimuli, n_stimuli), float64; rows and columns of 0 for a stimulus whose features are all the
    same
    """
    uncentred = uncentred_products(framed)
    feature_sum, n_features = uncentred[-1, :-1], np.rint(uncentred[-1, -1])  # a number: without rounding errors
    uncentred = uncentred[:-1, :-1]
    products = uncentred - np.outer(feature_sum, feature_sum) / n_features
    constant = products.diagonal() <= 1e-12 * (np.abs(uncentred.diagonal()) + framed.diagonal()[:-2])
    products[constant], products[:, constant] = 0, 0
    return products


def rdm(framed: np.ndarray) -> np.ndarray:
    """Representational dissimilarity matrix: 1 - Pearson correlation of two stimuli over features.

    Kriegeskorte et al. 2008; Brain-Score's `RDM`, whose values these are to 1e-12.

    Parameters
    ----------
    framed : see `uncentred_products`

    Returns
    -------
    ndarray of shape (n_stimuli, n_stimuli), 0 to 2, float64, symmetric, the diagonal 0; NaN in the row and column of a
    stimulus whose features are all the same
    """
    products = feature_centred_products(framed)
    norm = np.sqrt(products.diagonal())
    norm[norm == 0] = np.nan
    dissimilarity = 1 - np.clip(products / np.outer(norm, norm), -1, 1)
    dissimilarity[np.diag_indices_from(dissimilarity)] = norm * 0
    return dissimilarity


def rdm_surrogate(framed: np.ndarray) -> np.ndarray:
    """Few features that have the same RDM, for code that computes the RDM itself.

    With Z Zᵀ the feature-centred products, [Z, -Z] / √2 has the same products, and rows that sum to zero.

    Parameters
    ----------
    framed : see `uncentred_products`

    Returns
    -------
    ndarray of shape (n_stimuli, 2 n_stimuli), float64
    """
    products = feature_centred_products(framed)
    half = surrogate(products) / np.sqrt(2)
    half[products.diagonal() == 0] = 0
    return np.concatenate([half, -half], axis=1)


def rdm_similarity(rdm1: np.ndarray, rdm2: np.ndarray) -> float:
    """Spearman correlation of two RDMs over pairs of different stimuli: Brain-Score's `RDMSimilarity`.

    Parameters
    ----------
    rdm1, rdm2 : ndarray of shape (n_stimuli, n_stimuli), stimuli in the same order
    """
    pairs = np.triu_indices(len(rdm1), k=1)
    return float(scipy.stats.spearmanr(rdm1[pairs], rdm2[pairs]).statistic)


def cka(gram1: np.ndarray, gram2: np.ndarray, unbiased: bool = True) -> float:
    """Linear centred kernel alignment of two representations of the same stimuli.

    HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)). Biased: HSIC = sum of K ∘ L, both centred (Kornblith et al. 2019). Unbiased:
    the estimator of Song et al. 2007, in which the diagonal does not count, and in which products centred over stimuli
    and uncentred ones give the same.

    Parameters
    ----------
    gram1, gram2 : ndarray of shape (n_stimuli, n_stimuli), centred or not, stimuli in the same order
    unbiased : Brain-Score's default since January 2026

    Returns
    -------
    float; unbiased, it may be below 0, and is 0 where an estimate of HSIC(K, K) is not positive, as in Brain-Score

    Examples
    --------
    >>> cka(np.diag([1.0, 2.0, 3.0]), np.diag([1.0, 2.0, 3.0]), unbiased=False)
    1.0
    """
    if len(gram1) != len(gram2):
        raise UserError(f"CKA compares the same stimuli, got {len(gram1)} and {len(gram2)}")
    if unbiased and len(gram1) < 4:
        raise UserError(f"the unbiased CKA needs 4 stimuli or more, got {len(gram1)}")
    gram1, gram2 = _centred(gram1), _centred(gram2)
    if not unbiased:
        return float(np.vdot(gram1, gram2) / (np.linalg.norm(gram1) * np.linalg.norm(gram2)))
    np.fill_diagonal(gram1, 0)
    np.fill_diagonal(gram2, 0)
    normaliser = _unbiased_hsic(gram1, gram1) * _unbiased_hsic(gram2, gram2)
    if normaliser <= 0:
        return 0.0
    return float(_unbiased_hsic(gram1, gram2) / (np.sqrt(normaliser) + CKA_EPSILON))


def odd_one_out(products: np.ndarray, triplets: np.ndarray, cosine: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Which of three stimuli is the odd one: the one outside of the most similar pair.

    Brain-Score's `OddOneOut`: of equally similar pairs the first in the order (1, 2), (1, 3), (2, 3).

    Parameters
    ----------
    products : ndarray of shape (n_stimuli, n_stimuli), of features as they are (`uncentred_products`)
    triplets : int array of shape (n_triplets, 3), indices of stimuli
    cosine : whether similarity is the cosine, not the dot product, which is Brain-Score's default

    Returns
    -------
    choice : int array of shape (n_triplets,), 0 to 2, the place in the triplet
    gap : ndarray of shape (n_triplets,), 0 or more
        How far the most similar pair is ahead of the second, over the largest product of two norms in the triplet.
        Brain-Score's own float32 products are off by up to about 1e-7 x √n_features of that: choices whose gap is
        below are chance in Brain-Score, and may differ from these.

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]])
    >>> odd_one_out(x @ x.T, np.array([[0, 1, 2]]))[0]
    array([1])
    """
    i, j, k = np.asarray(triplets).T
    similarity = np.stack([products[i, j], products[i, k], products[j, k]])  # (3, n_triplets)
    norm = np.sqrt(products.diagonal())
    scale = np.stack([norm[i] * norm[j], norm[i] * norm[k], norm[j] * norm[k]])
    if cosine:
        similarity, scale = similarity / scale, np.ones_like(scale)
    _, second, first = np.sort(similarity, axis=0)
    return 2 - similarity.argmax(axis=0), (first - second) / scale.max(axis=0)


def _centred(gram: np.ndarray) -> np.ndarray:
    """A copy in float64 that is centred over stimuli."""
    mean = gram.mean(axis=0, dtype=np.float64)
    return gram - (mean[:, None] + mean[None, :]) + mean.mean()


def _unbiased_hsic(gram1: np.ndarray, gram2: np.ndarray) -> float:
    """Equation 5 of Song et al. 2007, for symmetric matrices whose diagonal is 0."""
    n = len(gram1)
    sums1, sums2 = gram1.sum(axis=0), gram2.sum(axis=0)
    product = np.vdot(gram1, gram2) + sums1.sum() * sums2.sum() / ((n - 1) * (n - 2)) - 2 * (sums1 @ sums2) / (n - 2)
    return float(product) / (n * (n - 3))
