"""One benchmark run on one committed model, and what its score holds: value, raw, ceiling, errors, neuroids."""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..plugin.errors import UserError
from . import uncertainty
from .ceilings import ceilings_kept
from .consistency import array_ceilings
from .fast_metrics import Job
from .formulas import FORMULAS, OF_2022_BY_CLASS, UNCEILED, UNKNOWN, Found, by_class, ceiled, read_score
from .placement import placed_safely
from .records import Predictivity, Record
from .registry import known_benchmarks
from .sidecar import Sidecar
from .units import Units, read_units, units_interval


@contextlib.contextmanager
def _seeded(identifier: str) -> Iterator[None]:
    """Some metrics draw from the global generators (Marques2020): the same numbers for a benchmark each time."""
    kept = random.getstate(), np.random.get_state()
    number = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:4], "big")
    random.seed(number)
    np.random.seed(number)
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])


def score_job(
    job: Job,
    candidate: Any,
    envelope: dict[str, Any],
    n_features: int | None = None,
    seconds: dict[str, float] | None = None,
    cache: Path | None = None,
    **resampling: Any,
) -> tuple[Record, Sidecar | None]:
    """Run a benchmark on a committed model: its record, and the numbers of its neuroids where it keeps them.

    Parameters
    ----------
    job : Job
    candidate : Brain-Score model
    envelope : of the record, as `describe_record` gives it
    n_features : of the layer
    seconds : spent before
    cache : folder where ceilings are kept
    **resampling : options of `uncertainty.raw_resamples`
    """
    started = time.perf_counter()
    with contextlib.ExitStack() as run:
        for context in (_seeded(job.identifier), placed_safely(), ceilings_kept(None if job.reference else cache)):
            run.enter_context(context)
        if not job.reference:
            run.enter_context(array_ceilings())
        score = job.benchmark(candidate)
    sidecar = _sidecar(score, job)
    found = read_score(score, job.benchmark)
    numbers = _numbers(score, found, job)
    units = None if sidecar else read_units(score, found, job.benchmark)
    notes = _notes(score, found, job)
    below = _splits_below_0(score)
    if len(below) and (~below).sum() < 2:  # Brain-Score leaves those out: nothing to tell a spread from
        numbers["score_error"] = units = None
    if units is not None:
        _put_interval_over(units, numbers)
    else:
        numbers["interval"], numbers["interval_over"], numbers["raw_spread"] = uncertainty.score_interval(
            sidecar,
            score=numbers.get("score"),
            score_error=numbers.get("score_error"),
            ceiling=numbers.get("ceiling"),
            formula=numbers["formula"],
            **resampling,
        )
        if numbers["interval"] is None and numbers.get("score") is not None:
            notes += ("no interval: the score keeps no values of subjects, sessions, neuroids or images",)
    measured = Predictivity(**numbers, engine=job.engine, n_features=n_features)
    seconds = {"scoring": round(time.perf_counter() - started, 3), **(seconds or {})}
    return Record(**envelope, measured=measured, notes=notes, seconds=seconds), sidecar


def _numbers(score: Any, found: Found, job: Job) -> dict[str, Any]:
    """What Brain-Score's score holds: value, signed raw, ceiling, and errors on their own scales."""
    unceilable = found.raw is not None and found.ceiling is None and score.attrs.get("ceiling") is not None
    if not np.isfinite(found.value) and not unceilable:
        raise UserError("the score is NaN.")
    raw = score.attrs.get("raw", score)
    numbers: dict[str, Any] = {
        "raw": found.raw,
        "raw_error": _error(raw),
        "raw_per_split": _per_split(raw),
        "metric": known.metric if (known := known_benchmarks().get(job.identifier)) else job.identifier.rsplit("-")[-1],
        **_sizes(job.benchmark),
    }
    ceiling = score.attrs.get("ceiling")
    no_signal = found.ceiling is not None and found.ceiling <= 0  # the recordings do not agree with themselves
    if getattr(job.benchmark, "unceiled", False) or no_signal or not np.isfinite(found.value):
        return numbers | {"formula": UNCEILED}
    numbers |= {"score": found.value, "ceiling": found.ceiling, "formula": found.formula}
    if len(found.parts) > 1:
        numbers |= {"parts": found.parts, "parts_over": found.over}
    numbers |= {"ceiling_error": None if found.ceiling is None else _error(ceiling)}
    numbers |= {"score_error": _score_error(found, found.formula, numbers["raw_error"], _error(score))}
    then = by_class(job.benchmark, OF_2022_BY_CLASS)
    if then is not None and found.parts:
        raw_parts, ceilings = np.array(found.parts).T
        numbers["score_2022"] = float(np.mean(ceiled(raw_parts, ceilings, then)))
        numbers["score_2022_error"] = _score_error(found, then, numbers["raw_error"], _error(score))
    return numbers


def _put_interval_over(units: Units, numbers: dict[str, Any]) -> None:
    """Interval and errors from subjects, sessions or images; Brain-Score's own error is their spread, not divided."""
    interval, error = units_interval(units)
    if units.of_raw:
        numbers["raw_error"] = error
    if numbers.get("score") is None:
        return
    if units.of_raw:
        formula, ceiling = numbers["formula"], numbers["ceiling"]
        error *= float(FORMULAS[formula].slope(numbers["raw"], ceiling))
        interval = uncertainty.carried_over(*interval, ceiling, formula)
    numbers.update(interval=interval, interval_over=units.over, score_error=error)


def _score_error(found: Found, formula: str, raw_error: float | None, own: float | None) -> float | None:
    """The error of raw times the derivative of the formula.

    Brain-Score copies the error of raw unscaled to most scores, so its own is kept only where nothing else is known.
    """
    if len(found.parts) == 1:
        slope = FORMULAS[formula].slope(found.raw, found.ceiling)
        return None if raw_error is None else float(slope * raw_error)
    return own


def _notes(score: Any, found: Found, job: Job) -> tuple[str, ...]:
    notes = []
    if found.ceiling is not None and found.ceiling <= 0:
        notes.append(f"the ceiling is {found.ceiling:.3f}: no reliable signal in the recordings, so there is no score")
    below = _splits_below_0(score)
    if below.any():
        notes.append(
            f"the ceiling of {below.sum()} of {len(below)} splits is not above 0, so the score is that of the others "
            "alone: the recordings hardly agree with themselves"
        )
    notes += score.attrs.get("notes", ())
    if found.formula == UNKNOWN:
        notes.append("the score is Brain-Score's own; no known formula makes it of the raw value and the ceiling")
    if job.engine == "converged":
        notes.append("PLS by the book, iterated to convergence: not Brain-Score's number")
    return (*notes, *(job.metric.notes if job.metric else ()))


def _splits_below_0(score: Any) -> np.ndarray:
    """Which splits have a ceiling that is 0 or less, where a score is a mean over splits with a ceiling each."""
    ceilings = getattr(score.attrs.get("ceiling"), "attrs", {}).get("raw")
    if getattr(ceilings, "dims", None) != ("split",):
        return np.zeros(0, dtype=bool)
    return ~(ceilings.values > 0)


def _error(score: Any) -> float | None:
    error = np.asarray(getattr(score, "attrs", {}).get("error", np.nan), dtype=float)
    return float(error) if error.size == 1 and np.isfinite(error) else None


def _per_split(raw: Any) -> tuple[float, ...] | None:
    values = getattr(raw, "attrs", {}).get("raw")
    if not {"split"} < set(getattr(values, "dims", ())) <= {"split", "neuroid"}:
        return None
    per_split = values.median("neuroid") if "neuroid" in values.dims else values
    return tuple(float(value) for value in per_split.values)


def _sizes(benchmark: Any) -> dict[str, int | None]:
    assembly = getattr(benchmark, "_assembly", None)
    if assembly is None:
        return {"n_stimuli": None, "n_neuroids": None}
    n_neuroids = assembly.sizes["neuroid"] if "neuroid" in assembly.dims else None
    try:
        n_stimuli = len(set(assembly["stimulus_id"].values))
    except KeyError:
        n_stimuli = None
    return {"n_stimuli": n_stimuli, "n_neuroids": n_neuroids}


def _sidecar(score: Any, job: Job) -> Sidecar | None:
    raw = getattr(score.attrs.get("raw", score), "attrs", {}).get("raw")
    if set(getattr(raw, "dims", ())) != {"split", "neuroid"}:
        return None
    raw = raw.transpose("split", "neuroid")
    r, neuroid_id = raw.values.astype(float), raw["neuroid_id"].values.astype(str)
    return Sidecar(r=r, neuroid_id=neuroid_id, **(job.metric.held_out() if job.metric else {}))
