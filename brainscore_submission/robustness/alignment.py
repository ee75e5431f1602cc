"""Whether a perturbation lies where people look: Spearman's rank correlation with importance maps, image by image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from ..plugin.errors import UserError

HUMAN_CEILING = 0.65753
"""Agreement of people with people on ClickMe maps, by which Linsley et al. (2023) divide what they plot."""


def perturbation_maps(adversarial: ArrayLike, pixels: ArrayLike) -> np.ndarray:
    """Mean over channels of the absolute perturbation: two of (n, channels, height, width) -> (n, height, width).

    The released code takes the absolute value of the mean over channels, in which changes of opposite sign cancel.
    """
    return np.abs(np.asarray(adversarial, dtype=float) - np.asarray(pixels, dtype=float)).mean(1)


def rank_correlations(one: ArrayLike, other: ArrayLike) -> np.ndarray:
    """Spearman's ρ of two maps of each image; ties share their mean rank.

    Parameters
    ----------
    one, other : shape (n, height, width)

    Returns
    -------
    array of shape (n,); NaN where a map is constant, since it has no ranks to compare

    Examples
    --------
    >>> rank_correlations([[[1, 2], [3, 4]], [[1, 2], [3, 4]]], [[[1, 4], [9, 16]], [[5, 5], [5, 5]]]).tolist()
    [1.0, nan]
    """
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if one.shape != other.shape or one.ndim != 3:
        raise UserError(
            f"maps of shape {one.shape} and {other.shape} cannot be compared: both must be (images, height, width)."
        )
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other)]
    centred = [rank - rank.mean(1, keepdims=True) for rank in ranks]
    lengths = np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
    products = (centred[0] * centred[1]).sum(1)
    return np.divide(products, lengths, out=np.full(len(one), np.nan), where=lengths > 0)


def alignment(
    adversarial: ArrayLike, pixels: ArrayLike, found: ArrayLike, importance: ArrayLike
) -> tuple[np.ndarray, list[str | None]]:
    """ρ between each image's smallest perturbation and its importance map.

    Parameters
    ----------
    adversarial, pixels : shape (n, channels, height, width)
    found : bool of shape (n,); images without a perturbation have no ρ
    importance : shape (n, height, width), in the frame of `pixels`: see `labelled_images.images.framed_maps`

    Returns
    -------
    rho : shape (n,), NaN where undefined
    reasons : for each image why its ρ is undefined, or None

    Raises
    ------
    UserError
        an importance map that is not finite
    """
    importance = np.asarray(importance, dtype=float)
    if not np.isfinite(importance).all():
        raise UserError("an importance map holds NaN or infinity.")
    maps = perturbation_maps(adversarial, pixels)
    rho = np.where(found, rank_correlations(maps, importance), np.nan)
    flat = [maps.reshape(len(maps), -1), importance.reshape(len(importance), -1)]
    moved, varies = (np.ptp(values, axis=1) > 0 for values in flat)
    reasons = [
        "no perturbation was found" if not has
        else "the importance map is constant" if not map_varies
        else "the perturbation is the same at every pixel" if not delta_varies
        else None
        for has, map_varies, delta_varies in zip(np.asarray(found, dtype=bool), varies, moved, strict=True)
    ]  # fmt: skip
    return rho, reasons


def mean_alignment(rho: ArrayLike) -> tuple[float, float, int]:
    """Mean ρ over the images that have one, its standard error over images, and their number.

    Divide mean and error by `HUMAN_CEILING` for the scale of the paper's plots.

    Examples
    --------
    >>> mean, error, n = mean_alignment([0.2, 0.4, float("nan")])
    >>> round(mean, 3), round(error, 3), n, round(mean / HUMAN_CEILING, 4)
    (0.3, 0.1, 2, 0.4563)
    """
    rho = np.asarray(rho, dtype=float)
    rho = rho[~np.isnan(rho)]
    mean = float(rho.mean()) if len(rho) else float("nan")
    error = float(rho.std(ddof=1) / np.sqrt(len(rho))) if len(rho) > 1 else float("nan")
    return mean, error, len(rho)
