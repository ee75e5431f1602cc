"""Which formula makes a score of the raw value and the ceiling that its object carries: tried, not guessed."""

import numpy as np
import xarray as xr
from brainscore_core.metrics import Score

FORMULAS = {
    "r": lambda r, c: r,
    "r/c": lambda r, c: r / c,
    "r^2/c": lambda r, c: r**2 / c,
    "(r/c)^2": lambda r, c: (r / c) ** 2,
    "r/sqrt(c)": lambda r, c: r / np.sqrt(c),
    "(r-1/3)/(c-1/3)": lambda r, c: (r - 1 / 3) / (c - 1 / 3),
}
TOLERANCE = 1e-9


def formula_of(score: Score, sessions=()) -> dict:
    """Which formulas reproduce the score: of the whole, of its parts, or of other things it carries."""
    value, raw, ceiling = numbers(score), numbers(score.attrs.get("raw")), numbers(score.attrs.get("ceiling"))
    result = {"whole": fitting(value, raw, ceiling)}
    if value.ndim and raw is not None and ceiling is not None and value.shape == raw.shape == ceiling.shape:
        result["elementwise"] = fitting(value, raw, ceiling, scalar=False)
    if raw is not None and raw.size > 1 and value.ndim == 0:
        result["mean of raw"] = float(abs(raw.mean() - value)) < TOLERANCE
    if "aggregation" in score.coords and raw is not None:
        result["centre is mean of raw"] = (
            float(abs(np.nanmean(raw) - score.sel(aggregation="center").item())) < TOLERANCE
        )
    parts = parts_of(score) | ({"sessions, run again": sessions} if sessions else {})
    for kind, triples in parts.items():
        names = {}
        for name, formula in FORMULAS.items():
            each = [formula(r, c) for _, r, c in triples]
            if abs(np.mean(each) - value) < TOLERANCE:
                own = [abs(e - v) for e, (v, _, _) in zip(each, triples, strict=True) if v is not None]
                names[name] = {"mean": float(abs(np.mean(each) - value)), "each": max(own) if own else None}
        result[kind] = {"n": len(triples), "mean of": names}
    return result


def names(formula: dict) -> dict:
    """The names alone of what reproduces a score, by whole and parts, without what had to be run again."""
    return {
        kind: found if isinstance(found, bool) else sorted(found.get("mean of", found))
        for kind, found in formula.items()
        if "run again" not in kind
    }


def numbers(value):
    """The values as float64, or None where there are none."""
    if value is None:
        return None
    try:
        return np.asarray(getattr(value, "values", value), dtype=float)
    except (TypeError, ValueError):
        return None


def fitting(value, raw, ceiling, scalar: bool = True) -> dict:
    """Formulas that give the value of raw and ceiling, within the tolerance: name to the largest difference."""
    matches = {}
    for name, formula in FORMULAS.items():
        if raw is None or (ceiling is None and name != "r"):
            continue
        if scalar and (np.size(raw) > 1 or (ceiling is not None and np.size(ceiling) > 1)):
            continue
        with np.errstate(all="ignore"):
            found = formula(raw, ceiling)
        if close(found, value):
            matches[name] = float(np.max(np.abs(found - value)))
        elif close(np.clip(found, 0, 1), value):
            matches[f"{name} clipped to [0, 1]"] = float(np.max(np.abs(np.clip(found, 0, 1) - value)))
    return matches


def close(found, value) -> bool:
    """Of the same shape and within the tolerance everywhere; NaN is close to nothing."""
    return np.shape(found) == np.shape(value) and bool(np.all(np.abs(found - value) < TOLERANCE))


def parts_of(score: Score) -> dict:
    """Parts with (value or None, raw, ceiling): nested scores of subjects, or splits."""
    parts = {}
    nested = [
        value
        for key, value in score.attrs.items()
        if key not in ("raw", "ceiling")
        and isinstance(value, Score)
        and "raw" in value.attrs
        and "ceiling" in value.attrs
    ]
    if nested:
        parts["subjects"] = [
            (float(np.mean(s.values)), float(np.mean(s.attrs["raw"])), float(np.mean(s.attrs["ceiling"])))
            for s in nested
        ]
    raw, ceiling = score.attrs.get("raw"), score.attrs.get("ceiling")
    inner, outer = getattr(raw, "attrs", {}).get("raw"), getattr(ceiling, "attrs", {}).get("raw")
    if isinstance(inner, xr.DataArray) and isinstance(outer, xr.DataArray) and inner.dims == outer.dims == ("split",):
        parts["splits"] = [(None, float(r), float(c)) for r, c in zip(inner.values, outer.values, strict=True)]
    return parts
