"""How much of a strong attack's loss a cheap one reaches: the effectiveness of Debenedetti et al. (2023)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..plugin.errors import UserError


def effectiveness_gap(losses: ArrayLike, steps: Sequence[int]) -> np.ndarray:
    """Relative difference of the adversarial loss to the strongest attack's: 100 |L_strongest - L_s| / L_strongest.

    Debenedetti, Sehwag & Mittal (2023), "A light recipe to train robust vision transformers", section 5: near 0 where
    an attack of s steps is as good as the strongest, large where the network hides from cheap attacks.

    Parameters
    ----------
    losses : array of shape (..., len(steps)), mean cross-entropy of the attacked images in nats; the leading axes are
        models, epochs, seeds
    steps : PGD steps of each column; the largest number is the strongest attack

    Returns
    -------
    array of the shape of `losses`, in per cent; 0 in the strongest attack's column

    Raises
    ------
    UserError
        columns that do not fit the steps, fewer than two different steps, a loss that is not finite or, for the
        strongest attack, not above 0

    Examples
    --------
    >>> effectiveness_gap([2.0, 2.4, 2.5], steps=[1, 10, 200]).round(1).tolist()
    [20.0, 4.0, 0.0]
    """
    losses = np.asarray(losses, dtype=float)
    if losses.ndim == 0 or losses.shape[-1] != len(steps) or len(set(steps)) != len(steps) or len(steps) < 2:
        raise UserError(
            f"losses of shape {losses.shape} do not fit the steps {list(steps)}: one column for each of two or more "
            "different numbers of steps."
        )
    strongest = losses[..., [int(np.argmax(steps))]]
    if not (np.isfinite(losses).all() and (strongest > 0).all()):
        raise UserError("the effectiveness needs finite losses, and above 0 for the strongest attack.")
    return 100 * np.abs(strongest - losses) / strongest
