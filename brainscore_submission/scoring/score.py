"""Model x suite -> records: one recording for what is missing, then benchmark by benchmark, each kept at once."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from brainscore_vision.model_helpers.activations.pytorch import disable_activation_caching

from ..engine.budget import Budget
from ..engine.images import Request
from ..engine.recorder import Recorder
from ..models.model import Model
from ..plugin.areas import AREAS_AND_BEHAVIOR
from ..plugin.errors import UserError, suggest
from ..plugin.files import require_writable_folder
from . import uncertainty
from .fast_metrics import Fitted, GramPredictivity, fit_engine, require_engine
from .recorded_model import RecordedActivations
from .records import Record, RecordError, record_path, versions
from .sidecar import Sidecar
from .suites import NoAccess, Suite, load

logger = logging.getLogger(__name__)

RERUN = {
    "missing": "score what has no record, or one made from other weights, layers, data or versions (default)",
    "all": "score everything again",
    "never": "show what is recorded",
}


@dataclass
class Watcher:
    """What a front end wants to hear of; every call has a default that does nothing."""

    stage: Callable[[str], None] = lambda text: None
    recorded: Callable[[int, int], None] = lambda done, total: None
    scored: Callable[[Record], None] = lambda record: None


@dataclass(frozen=True)
class Job:
    """One benchmark to be scored."""

    identifier: str
    area: str
    fitted: Fitted


@dataclass(frozen=True)
class Options:
    """How to score.

    Parameters
    ----------
    engine : one of `engines.ENGINES`
    results : folder for the records
    rerun : one of `RERUN`
    cache : folder for Gram matrices and unfinished recordings; None keeps nothing
    budget : how much recorded features may take; default half of what is free
    """

    engine: str = "gram"
    results: Path = Path("results")
    rerun: str = "missing"
    cache: Path | None = None
    budget: Budget | None = None
    watcher: Watcher = field(default_factory=Watcher)


def score_suite(model: Model, suite: Suite, options: Options) -> list[Record]:
    """Score a model on every benchmark of a suite.

    Returns
    -------
    list of Record, in the order of the suite; also written to `options.results` the moment each exists

    Raises
    ------
    UserError
        For unknown engines or rerun policies, unusable activations, a full disk.
    """
    require_engine(options.engine)
    if options.engine == "brainscore" and model.precision != "float32":
        raise UserError(
            f"the engine 'brainscore' is the reference and computes in float32, not {model.precision}. "
            "Choose --engine gram or surrogate, or --precision float32."
        )
    kept = _kept_records(model, suite, options)
    todo = {leaf: area for leaf, area in suite.leaves.items() if leaf not in kept}
    if options.rerun == "never":
        todo = {}
    if kept:
        options.watcher.stage(
            f"{len(kept)} of {len(suite.leaves)} scores are there already; --rerun all makes them anew"
        )
    jobs, refused = _load_jobs(todo, model, suite, options)
    if jobs:
        require_writable_folder(options.results, "--results")
    made = [*refused, *_score_jobs(jobs, model, suite, options)]
    records = kept | {record.benchmark: record for record in made}
    return [records[leaf] for leaf in suite.leaves if leaf in records]


def record_fingerprint(model: Model, suite: Suite, area: str, engine: str) -> str:
    """Hash of everything a score depends on besides the benchmark: a record with another one is stale."""
    now = versions()
    facts = {
        "model": model.fingerprint,
        "layer": model.layer_of(area),
        "visual_degrees": model.card.visual_degrees,
        "precision": model.precision,
        "engine": engine,
        "data": suite.data,
        "versions": {name: now.get(name) for name in ("brainscore_submission", "brainscore_vision", "brainscore_core")},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


# --- what is there already ------------------------------------------------------------------------------------


def _kept_records(model: Model, suite: Suite, options: Options) -> dict[str, Record]:
    if options.rerun not in RERUN:
        raise UserError(f"unknown rerun policy '{options.rerun}'.{suggest(options.rerun, RERUN)}")
    if options.rerun == "all":
        return {}
    kept = {}
    for leaf, area in suite.leaves.items():
        path = record_path(options.results, model.card.identifier, suite.name, leaf)
        if not path.exists():
            continue
        try:
            record = Record.from_json(path)
        except RecordError as error:
            logger.warning("scored again: %s", error)
            continue
        if area not in AREAS_AND_BEHAVIOR:  # a benchmark given by id, which said itself which area it is about
            area = record.area
        fresh = record.fingerprint == record_fingerprint(model, suite, area, options.engine)
        if not fresh and record.status == "scored":
            logger.warning(
                "%s: %s, from other weights, layers, data or versions",
                leaf,
                "shown as recorded" if options.rerun == "never" else "replaces a record (--results elsewhere keeps it)",
            )
        if options.rerun == "never" or (fresh and record.status == "scored"):
            kept[leaf] = record
    return kept


# --- benchmarks -------------------------------------------------------------------------------------------------


def _load_jobs(todo: dict[str, str], model: Model, suite: Suite, options: Options) -> tuple[list[Job], list[Record]]:
    jobs, refused = [], []
    for identifier, area in todo.items():
        options.watcher.stage(f"loading {identifier}")
        try:
            benchmark = load(identifier, suite)
        except NoAccess as error:
            refused.append(_refusal(identifier, area, str(error), model, suite, options))
            continue
        area = _area_of(benchmark, area)
        if model.layer_of(area) is None:
            raise UserError(f"{identifier} needs a layer for {area}: give one, --layers {area}=<layer>.")
        jobs.append(Job(identifier, area, fit_engine(benchmark, options.engine, model.device)))
    return jobs, refused


def _area_of(benchmark: Any, area: str) -> str:
    """A benchmark given by id alone says itself which area it is about."""
    region = getattr(benchmark, "region", None) or getattr(benchmark, "parent", None)
    return str(region) if area not in AREAS_AND_BEHAVIOR and region is not None else area


def _refusal(identifier: str, area: str, reason: str, model: Model, suite: Suite, options: Options) -> Record:
    record = Record(**_origin(identifier, area, model, suite, options.engine), status="no access", reason=reason)
    record.write(options.results)
    options.watcher.scored(record)
    return record


# --- recording and scoring --------------------------------------------------------------------------------------


def _score_jobs(jobs: Sequence[Job], model: Model, suite: Suite, options: Options) -> list[Record]:
    if not jobs:
        return []
    recorder = model.recorder(options.cache, options.budget, options.watcher.recorded)
    activations = RecordedActivations(model.cache_identifier, recorder.record)
    candidate = model.commit(activations)
    started = time.perf_counter()
    if options.engine != "brainscore":
        _record_all(jobs, candidate, activations, recorder, options.watcher)
    recording_seconds = time.perf_counter() - started
    reference = model.commit(disable_activation_caching(model.activations_model()))
    records = []
    for job in jobs:
        options.watcher.stage(f"scoring {job.identifier}")
        activations.form = job.fitted.form
        record, sidecar = _score_one(
            job, reference if options.engine == "brainscore" else candidate, model, suite, options.engine
        )
        seconds = {**record.pop("seconds"), "recording": round(recording_seconds, 3)}
        n_features = activations.recording.n_features.get(record["layer"])
        finished = Record(**record, seconds=seconds, n_features=n_features)
        finished.write(options.results, sidecar)
        options.watcher.scored(finished)
        records.append(finished)
    recorder.discard_leftovers()
    return records


def _record_all(
    jobs: Sequence[Job], candidate: Any, activations: RecordedActivations, recorder: Recorder, watcher: Watcher
) -> None:
    """Each stimulus image goes through the network once for all benchmarks."""
    requests: list[Request] = []
    for job in jobs:
        watcher.stage(f"preparing the stimuli of {job.identifier}")
        requests += activations.rehearse(job.fitted.benchmark, candidate, job.fitted.form)
    watcher.stage("recording")
    activations.recording.update(recorder.record(requests))


def _score_one(
    job: Job, candidate: Any, model: Model, suite: Suite, engine: str
) -> tuple[dict[str, Any], Sidecar | None]:
    started = time.perf_counter()
    score = job.fitted.benchmark(candidate)
    sidecar = _sidecar(score, job.fitted.metric)
    fields = _origin(job.identifier, job.area, model, suite, engine) | _numbers(score, job)
    fields["interval"], fields["interval_over"] = uncertainty.score_interval(
        sidecar,
        score=fields.get("score"),
        score_error=fields.get("score_error"),
        ceiling=fields.get("ceiling"),
        formula=fields["formula"],
    )
    fields["engine"] = job.fitted.engine
    fields["notes"] = _notes(score, job)
    fields["seconds"] = {"scoring": round(time.perf_counter() - started, 3)}
    return fields, sidecar


def _origin(identifier: str, area: str, model: Model, suite: Suite, engine: str) -> dict[str, Any]:
    return {
        "model": model.card.identifier,
        "competition_id": model.card.competition_id,
        "suite": suite.name,
        "benchmark": identifier,
        "area": area,
        "layer": model.layer_of(area),
        "layer_map": model.layer_map_name,
        "visual_degrees": model.card.visual_degrees,
        "weights": dict(model.origin),
        "preprocessing": model.card.preprocessing.name,
        "simulated": identifier in suite.simulated_leaves,
        "fingerprint": record_fingerprint(model, suite, area, engine),
        "precision": model.precision,
        "device": model.device,
        "versions": versions(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _numbers(score: Any, job: Job) -> dict[str, Any]:
    """What Brain-Score's score holds: ceiled value, signed raw r, ceiling, and errors on their own scales."""
    raw = score.attrs.get("raw", score)
    ceiling = score.attrs.get("ceiling")
    r, r_error = _value(raw), _error(raw)
    numbers: dict[str, Any] = {
        "raw": r,
        "raw_error": r_error,
        "raw_per_split": _per_split(raw),
        "metric": job.identifier.rsplit("-", 1)[-1],
        **_sizes(job.fitted.benchmark),
    }
    c = None if ceiling is None or getattr(job.fitted.benchmark, "unceiled", False) else _value(ceiling)
    if c is None or not np.isfinite(c) or c <= 0:  # below 0 the recordings do not agree with themselves
        return numbers | {"formula": "r"}
    numbers |= {"score": _value(score), "ceiling": c, "ceiling_error": _error(ceiling)}
    if hasattr(job.fitted.benchmark, "_similarity_metric"):
        return numbers | _both_formulas(r, r_error, c)
    return numbers | {"score_2022": _value(score), "score_error": _error(score), "score_2022_error": _error(score),
                      "formula": "r/sqrt(c)"}  # fmt: skip


def _notes(score: Any, job: Job) -> tuple[str, ...]:
    notes = []
    ceiling = score.attrs.get("ceiling")
    if ceiling is not None and _value(ceiling) <= 0:
        notes.append(
            f"the ceiling is {_value(ceiling):.3f}: no reliable signal in the recordings, so there is no score"
        )
    if job.fitted.engine == "converged":
        notes.append("PLS by the book, iterated to convergence: not Brain-Score's number")
    return (*notes, *(job.fitted.metric.predictivity.notes if job.fitted.metric else ()))


def _both_formulas(r: float, r_error: float | None, c: float) -> dict[str, Any]:
    """Today's r²/c is Brain-Score's own value; (r/c)² is 2022's. Errors: derivative times the error of r."""
    slope = None if r_error is None else 2 * abs(r) * r_error
    return {
        "score_error": None if slope is None else slope / c,
        "score_2022": (r / c) ** 2,
        "score_2022_error": None if slope is None else slope / c**2,
        "formula": "r^2/c",
    }


def _value(score: Any) -> float:
    return float(np.asarray(score.values if hasattr(score, "values") else score))


def _error(score: Any) -> float | None:
    error = score.attrs.get("error")
    return None if error is None else float(np.asarray(error))


def _per_split(raw: Any) -> tuple[float, ...] | None:
    values = raw.attrs.get("raw")
    if values is None or "split" not in values.dims:
        return None
    per_split = values.median("neuroid") if "neuroid" in values.dims else values
    return tuple(float(value) for value in per_split.values)


def _sizes(benchmark: Any) -> dict[str, int | None]:
    assembly = getattr(benchmark, "_assembly", None)
    if assembly is None:
        return {"n_stimuli": None, "n_neuroids": None}
    n_neuroids = assembly.sizes["neuroid"] if "neuroid" in assembly.dims else None
    return {"n_stimuli": len(set(assembly["stimulus_id"].values)), "n_neuroids": n_neuroids}


def _sidecar(score: Any, metric: GramPredictivity | None) -> Sidecar | None:
    raw = score.attrs.get("raw", score).attrs.get("raw")
    if raw is None or not {"split", "neuroid"} <= set(raw.dims):
        return None
    raw = raw.transpose("split", "neuroid")
    r, neuroid_id = raw.values.astype(float), raw["neuroid_id"].values.astype(str)
    if metric is None:
        return Sidecar(r=r, neuroid_id=neuroid_id)
    return Sidecar(r=r, neuroid_id=neuroid_id, **metric.held_out())
