"""What is confirmed exactly after a sketch has ranked the layers, and how far the sketch was off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SAFETY = 3.0  # standard errors of the sketch within which a layer may still be the best


@dataclass(frozen=True)
class Confirmation:
    """How a sketch did in one area.

    Parameters
    ----------
    n_confirmed : layers of which both numbers are known
    error : root mean square of sketched minus exact signed score over them; NaN without any
    columns, seed : of the sketch
    """

    n_confirmed: int
    error: float
    columns: int
    seed: int


def sketch_error(sketched: Mapping[str, float], exact: Mapping[str, float]) -> tuple[int, float]:
    """Number of layers with both values, and the root mean square of their difference.

    >>> sketch_error({"a": 0.5, "b": 0.25, "c": 0.1}, {"a": 0.25, "b": 0.5})
    (2, 0.25)
    """
    both = [layer for layer in sketched if layer in exact]
    if not both:
        return 0, float("nan")
    return len(both), float(np.sqrt(np.mean([(sketched[layer] - exact[layer]) ** 2 for layer in both])))


def to_confirm(sketched: Mapping[str, float], exact: Mapping[str, float], top: int) -> list[str]:
    """Layers whose exact score is still needed to name the best.

    First the `top` of the ranking, and half as many spread over the rest of it, which tell how far the sketch is off
    everywhere; then those whose sketched score lies within `SAFETY` errors of the best of them. So the winner is always
    one confirmed exactly, and which layers are confirmed does not depend on where a search was interrupted.

    Parameters
    ----------
    sketched : layer -> signed score, of the layers that a sketch made smaller
    exact : layer -> signed score, of the layers known exactly
    top : int

    Examples
    --------
    >>> to_confirm({"a": 0.5, "b": 0.4, "c": 0.1, "d": 0.0}, {}, top=2)
    ['a', 'b', 'c']
    >>> to_confirm({"a": 0.5, "b": 0.3, "c": 0.29}, {"a": 0.4, "b": 0.35}, top=1)
    ['c']
    """
    first = _first_round(sketched, exact, top)
    missing = [layer for layer in first if layer not in exact]
    if missing or not first:
        return missing
    _, error = sketch_error({layer: sketched[layer] for layer in first}, exact)
    best = max(score for layer, score in exact.items() if layer in first or layer not in sketched)
    return [layer for layer, score in sketched.items() if layer not in exact and score + SAFETY * error > best]


def _first_round(sketched: Mapping[str, float], exact: Mapping[str, float], top: int) -> list[str]:
    """Sketched layers among the `top` of all, and some of the rest from its best to its last."""
    known = {**exact, **sketched}
    ranking = sorted(known, key=lambda layer: -known[layer])
    rest = [layer for layer in ranking[top:] if layer in sketched]
    spread = [rest[round(place)] for place in np.linspace(0, len(rest) - 1, max(1, top // 2))] if rest else []
    return [layer for layer in dict.fromkeys([*ranking[:top], *spread]) if layer in sketched]
