"""The rho-hierarchy of one set of scores: rank correlation with depth, exact p, Kendall's tau.

Pure numbers. Resampling, tables and the command line are in `analysis.hierarchy`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ..plugin.areas import AREAS
from ..plugin.errors import UserError


@dataclass(frozen=True)
class Hierarchy:
    """How well scores rise with depth; `rho` is None, with a `reason`, where it is undefined."""

    rho: float | None
    p_two_sided: float | None
    p_one_sided: float | None
    tau: float | None
    ties: bool
    reason: str | None = None


def rho_hierarchy(scores: Mapping[str, float], areas=AREAS) -> Hierarchy:
    """Spearman correlation between the scores of the areas and their depth 1, 2, 3, …

    Berrios & Deza 2022 (arXiv 2203.06649), footnote 2. Ties get mean ranks and are flagged. The p values
    are exact: all orders of the scores are equally likely under the null. With four areas a rho of +1 has
    a two-sided p of 2/24, so significance at .05 is out of reach: read rho with its interval.

    Parameters
    ----------
    scores : mapping from area to score
        Other keys are ignored. An area that is missing, None, NaN or infinite is refused.
    areas : sequence of str, shallow to deep

    Returns
    -------
    Hierarchy
        `p_one_sided` is the probability of a rho at least as large, `p_two_sided` of one at least as far
        from 0.

    Examples
    --------
    Model 991 as printed in the paper; one of V1 and V2 is out of order:

    >>> rho_hierarchy({"V1": .493, "V2": .342, "V4": .514, "IT": .531})
    ... # doctest: +NORMALIZE_WHITESPACE
    Hierarchy(rho=0.8, p_two_sided=0.3333333333333333, p_one_sided=0.16666666666666666,
              tau=0.6666666666666666, ties=False, reason=None)

    Two equal scores share a rank, 1.5 each; the largest rho there is then 0.949:

    >>> tied = rho_hierarchy({"V1": .3, "V2": .3, "V4": .4, "IT": .5})
    >>> round(tied.rho, 3), tied.ties
    (0.949, True)

    >>> rho_hierarchy({"V1": .5, "V2": .5, "V4": .5, "IT": .5}).reason
    'all scores are equal, so they have no order'
    """
    values = _values(scores, areas)
    if np.ptp(values) == 0:
        reason = "all scores are equal, so they have no order"
        return Hierarchy(None, None, None, None, ties=True, reason=reason)
    rho = float(rho_of(values))
    orders = rho_of(np.array(list(permutations(values))))
    slack = 1e-12
    return Hierarchy(
        rho=rho,
        p_two_sided=float(np.mean(np.abs(orders) >= abs(rho) - slack)),
        p_one_sided=float(np.mean(orders >= rho - slack)),
        tau=kendall_tau(values),
        ties=len(np.unique(values)) < len(values),
    )


def _values(scores, areas):
    def usable(area):
        value = scores.get(area)
        return value is not None and np.isfinite(value)

    unusable = [area for area in areas if not usable(area)]
    if unusable:
        raise UserError(
            f"the hierarchy needs a score for each of {', '.join(areas)}; missing or not a number: "
            f"{', '.join(unusable)}.\nScore these areas first: a rho over fewer areas is another quantity."
        )
    return np.array([scores[area] for area in areas], dtype=float)


def rho_of(scores):
    """Spearman correlation of many sets of scores with depth; ties get mean ranks.

    Parameters
    ----------
    scores : array of shape (..., n_areas), shallow to deep

    Returns
    -------
    array of shape (...), NaN where all scores of a set are equal

    Examples
    --------
    >>> rho_of([[1., 2., 3., 4.], [2., 1., 3., 4.], [4., 3., 2., 1.]]).tolist()
    [1.0, 0.8, -1.0]
    """
    scores = np.asarray(scores, dtype=float)
    n_areas = scores.shape[-1]
    # Twice the centred ranks are whole numbers, so rho is exact: 0.8, not 0.7999999999999999.
    ranks = np.sign(scores[..., :, None] - scores[..., None, :]).sum(axis=-1)
    depth = 2.0 * np.arange(n_areas) - (n_areas - 1)
    spread = np.sqrt((ranks**2).sum(axis=-1) * (depth**2).sum())
    return np.divide(ranks @ depth, spread, out=np.full(spread.shape, np.nan), where=spread > 0)


def kendall_tau(values):
    """Kendall's tau-b between scores and depth: concordant minus discordant pairs of areas.

    Parameters
    ----------
    values : array of shape (n_areas,), shallow to deep, not all equal

    Returns
    -------
    float

    Examples
    --------
    >>> kendall_tau([2., 1., 3., 4.])
    0.6666666666666666
    """
    shallow, deep = np.triu_indices(len(values), k=1)
    signs = np.sign(np.asarray(values, dtype=float)[deep] - np.asarray(values, dtype=float)[shallow])
    return float(signs.sum() / np.sqrt(len(signs) * np.count_nonzero(signs)))
