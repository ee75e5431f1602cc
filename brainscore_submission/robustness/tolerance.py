"""How large a perturbation must be, over images of which some resisted: Kaplan-Meier, never dropped, never capped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..plugin.errors import UserError


@dataclass(frozen=True)
class Tolerance:
    """Size of the smallest perturbations over images.

    Parameters
    ----------
    mean : restricted to `limit`: the area under the share of images that still resist, from 0 to `limit`
    error : standard error of `mean` over images (Greenwood)
    median : the size at which half of the images have given way; NaN if more than half resist to the end
    limit : up to which size the mean looks
    n, n_resisted : images, and those of which no perturbation was found
    """

    mean: float
    error: float
    median: float
    limit: float
    n: int
    n_resisted: int


def resisting(sizes: ArrayLike, found: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Share of images that resist perturbations of each size (Kaplan & Meier 1958).

    Parameters
    ----------
    sizes : shape (n,): the smallest perturbation found; of an image that resisted, the largest size that was searched
    found : bool of shape (n,)

    Returns
    -------
    at : different sizes at which images gave way, ascending
    share : share of images that resist more than that, at each
    at_risk : images not yet given way nor lost to the search, at each
    fallen : images that gave way, at each

    Examples
    --------
    Four images; the third was searched up to 2 only, so the last one stands for both.

    >>> at, share, *_ = resisting([1, 2, 2, 4], [True, True, False, True])
    >>> at.tolist(), share.tolist()
    ([1.0, 2.0, 4.0], [0.75, 0.5, 0.0])
    """
    sizes, found = np.asarray(sizes, dtype=float), np.asarray(found, dtype=bool)
    if sizes.shape != found.shape or sizes.ndim != 1 or not len(sizes):
        raise UserError(f"sizes of shape {sizes.shape} and found of shape {found.shape}: one of each for each image.")
    if not (np.isfinite(sizes).all() and (sizes >= 0).all()):
        raise UserError(
            "a size is negative or NaN: for an image whose perturbation was not found, give the largest size searched."
        )
    at, fallen = np.unique(sizes[found], return_counts=True)
    at_risk = (sizes[None] >= at[:, None]).sum(1)  # who resisted up to this very size was still at risk
    return at, np.cumprod(1 - fallen / at_risk), at_risk, fallen


def tolerance(sizes: ArrayLike, found: ArrayLike, limit: float) -> Tolerance:
    """Mean and median of the smallest perturbations, images that resisted included.

    The released code of Linsley et al. (2023) drops such images for some networks and counts them with the largest
    size for others; the first makes a robust network look weak.

    Parameters
    ----------
    sizes, found : as in `resisting`
    limit : size up to which every image was searched; the mean is restricted to it, so that networks can be compared

    Raises
    ------
    UserError
        an image that resisted was searched less far than `limit`, and nothing fell later: the mean is not known

    Examples
    --------
    >>> found = tolerance([1.0, 2.0, 3.0, 8.0], [True, True, True, False], limit=8.0)
    >>> found.mean, found.median, found.n_resisted
    (3.5, 2.0, 1)
    """
    at, share, at_risk, fallen = resisting(sizes, found)
    sizes, found = np.asarray(sizes, dtype=float), np.asarray(found, dtype=bool)
    if not limit > 0 or not np.isfinite(limit):
        raise UserError(f"a limit of {limit} is not possible: give the size up to which every image was searched.")
    unknown_from = sizes[~found].max(initial=0) if (~found).any() and (not len(share) or share[-1] > 0) else np.inf
    if unknown_from < limit:
        raise UserError(
            f"the images that resisted were searched up to {unknown_from:g}, not to the limit of {limit:g}: "
            "lower the limit or search on."
        )
    inside = at < limit
    edges = np.concatenate([[0.0], at[inside], [limit]])
    levels = np.concatenate([[1.0], share[inside]])
    areas = levels * np.diff(edges)  # between one fall and the next
    ahead = areas[1:][::-1].cumsum()[::-1]  # area beyond each fall
    risk, gone = at_risk[inside], fallen[inside]
    some_left = risk > gone  # where all are gone, nothing lies ahead
    variance = np.sum(ahead[some_left] ** 2 * gone[some_left] / (risk * (risk - gone))[some_left])
    half = at[share <= 0.5 + 1e-12]
    return Tolerance(
        mean=float(areas.sum()),
        error=float(np.sqrt(variance)),
        median=float(half[0]) if len(half) else float("nan"),
        limit=float(limit),
        n=len(sizes),
        n_resisted=int((~found).sum()),
    )
