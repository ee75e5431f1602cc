"""Few features that stand in for many, for code that computes RDMs or inner products itself.

The Gram matrix K that is kept of a layer is centred over stimuli: all that CKA needs. An RDM and a dot product see
where the origin is, too: two more stimuli, `ZEROS` and `ONES`, tell. Brain-Score's own metrics compute in the precision
of the features, float32; here all is float64.
"""

from __future__ import annotations

import numpy as np

from .gram import surrogate


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


def rdm_surrogate(framed: np.ndarray) -> np.ndarray:
    """Few features that have the same RDM: 1 - Pearson correlation of two stimuli over features.

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


def products_surrogate(framed: np.ndarray) -> np.ndarray:
    """Few features that have the same inner products, not centred.

    Parameters
    ----------
    framed : see `uncentred_products`

    Returns
    -------
    ndarray of shape (n_stimuli, n_stimuli), float64
    """
    return surrogate(uncentred_products(framed)[:-1, :-1])
