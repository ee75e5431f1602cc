"""Model x suite -> records: one recording for what is missing, then benchmark by benchmark, each kept at once."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Sequence
from typing import Any

from brainscore_vision.model_helpers.activations.pytorch import disable_activation_caching

from ..engine.images import Request, Stimulus
from ..models.model import Model
from ..plugin.areas import AREAS_AND_BEHAVIOR, BEHAVIOR
from ..plugin.errors import UserError
from ..plugin.files import require_writable_folder, sweep
from .downloads import reason_for_bad_data
from .fast_metrics import Job, make_job, require_engine
from .kept import ENGINEERING, ScoreOptions, keep_averages, kept_records, layer_of, record_fingerprint, said_of_kept
from .measured import score_job
from .recorded_model import N_CLASSES, NeedsVariance, Recorded, RecordedActivations, rehearse
from .records import Record, versions
from .registry import Known, known_benchmarks
from .suites import BadData, NoAccess, Suite, load

logger = logging.getLogger(__name__)


def score_suite(model: Model, suite: Suite, options: ScoreOptions) -> list[Record]:
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
    kept_kinds = ("grams", "features", "ceilings") if options.cache else ()
    for folder in (options.results, *(options.cache / kind for kind in kept_kinds)):
        sweep(folder)  # of a run that was killed while it wrote
    kept = kept_records(model, suite, options)
    keep_averages(model, suite, options)
    todo = {leaf: area for leaf, area in suite.leaves.items() if leaf not in kept}
    if options.rerun == "never":
        todo = {}
    if kept:
        options.watcher.stage(said_of_kept(kept, suite))
    jobs, refused = _load_jobs(todo, model, suite, options)
    made = [*refused, *_score_jobs(jobs, model, suite, options)]
    records = kept | {record.benchmark: record for record in made}
    return [records[leaf] for leaf in suite.leaves if leaf in records]


# --- benchmarks -------------------------------------------------------------------------------------------------


def _load_jobs(
    todo: dict[str, str], model: Model, suite: Suite, options: ScoreOptions
) -> tuple[list[Job], list[Record]]:
    """What can be scored, and a record of each that cannot, with the reason."""
    jobs, refused = [], []
    for identifier, area in todo.items():
        options.watcher.stage(f"loading {identifier}")
        known = known_benchmarks().get(identifier)
        try:
            benchmark = load(identifier, suite)
            if area not in (*AREAS_AND_BEHAVIOR, ENGINEERING):  # newer than the table, it says itself what it is about
                area = _area_of(benchmark)
            _require_layer(identifier, area, known, model)
            job = make_job(identifier, area, benchmark, options.engine, model.device)
        except NoAccess as error:
            status = "failed" if isinstance(error, BadData) else "no access"
            refused.append(_refused(identifier, area, status, str(error), model, suite, options, len(todo)))
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001  (its reason becomes a record, and the other benchmarks go on)
            refused.append(_refused(identifier, area, "failed", _reason(error), model, suite, options, len(todo)))
        else:
            jobs.append(job)
    if jobs:
        require_writable_folder(options.results, "--results")
    return jobs, refused


def _area_of(benchmark: Any) -> str:
    """Of a benchmark that no table knows: its region, or the area its leaderboard node names, or behaviour."""
    named = [getattr(benchmark, name, None) for name in ("region", "parent")]
    return next((area for area in named if area in AREAS_AND_BEHAVIOR), BEHAVIOR)


def _require_layer(identifier: str, area: str, known: Known | None, model: Model) -> None:
    task = known.task if known else "recording"
    if task == "label":
        if model.card.num_classes != N_CLASSES:
            raise MissingHead(
                f"it reads the class output, of {N_CLASSES} classes; {model.name} has {model.card.num_classes}"
            )
        return
    needed = area if area in AREAS_AND_BEHAVIOR else {"recording": "IT"}.get(task, BEHAVIOR)
    if needed not in model.layers:
        raise UserError(f"{identifier} needs a layer for {needed}: give one, --layers {needed}=<layer>.")


class MissingHead(Exception):
    """A model without what a task reads."""


def _refused(
    identifier: str, area: str, status: str, reason: str, model: Model, suite: Suite, options: ScoreOptions, total: int
) -> Record:
    require_writable_folder(options.results, "--results")
    envelope = describe_record(identifier, area, model, suite, options.engine, options.command)
    record = Record(**envelope, status=status, reason=reason)
    record.write(options.results)
    options.watcher.scored(record, 1, total)
    return record


def _reason(error: Exception) -> str:
    """An error of somebody else's code in one line; its traceback goes to the log."""
    logger.info("failed", exc_info=error)
    if told := reason_for_bad_data(error):
        return told
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]


# --- recording and scoring --------------------------------------------------------------------------------------


def _score_jobs(jobs: list[Job], model: Model, suite: Suite, options: ScoreOptions) -> list[Record]:
    if not jobs:
        return []
    watcher = options.watcher
    recorder = model.recorder(options.cache, options.budget, watcher.recorded, fresh=options.rerun == "all")
    recorded = Recorded(recorder.record)
    started = time.perf_counter()
    bases: dict[str, tuple[Stimulus, ...]] = {}
    if options.engine != "brainscore":  # each image goes through the network once for all benchmarks
        requests: list[Request] = []
        for number, job in enumerate(jobs):
            watcher.stage(f"preparing the stimuli of {job.identifier}")
            try:
                asked = asked_by(job, model, recorded)
            except NeedsVariance:  # for Brain-Score's own code
                jobs[number] = make_job(job.identifier, job.area, job.benchmark, "brainscore")
                continue
            bases[job.identifier] = _basis(asked)
            requests += asked if job.form == "features" else _over(bases[job.identifier], asked)
        watcher.stage("recording")
        recorded.recording.update(recorder.record(requests))
    recording_seconds = round(time.perf_counter() - started, 3)
    records = []
    for number, job in enumerate(jobs, 1):
        watcher.stage(f"scoring {job.identifier}")
        if job.reference:
            candidate = model.commit(disable_activation_caching(model.activations_model()))
        else:
            basis = bases[job.identifier]
            candidate = model.commit(RecordedActivations(model.cache_identifier, job.form, recorded, basis))
        envelope = describe_record(job.identifier, job.area, model, suite, options.engine, options.command)
        n_features = recorded.recording.n_features.get(envelope["layer"])
        seconds = {"recording": recording_seconds}
        try:
            record, sidecar = score_job(job, candidate, envelope, n_features, seconds, options.cache)
            if recorder.unsteady:
                record = record.model_copy(update={"notes": (*record.notes, recorder.unsteady)})
        except Exception as error:
            # A run over many benchmarks survives each of them; alone, what is the user's to mend is said as ever.
            if len(jobs) == 1 and isinstance(error, UserError):
                raise
            reason = str(error) if isinstance(error, UserError) else _reason(error)
            record, sidecar = Record(**envelope, status="failed", reason=reason, seconds=seconds), None
        record.write(options.results, sidecar)
        watcher.scored(record, number, len(jobs))
        records.append(record)
    recorder.discard_leftovers()
    return records


def asked_by(job: Job, model: Model, recorded: Recorded) -> list[Request]:
    """Everything that a benchmark will ask for; of one made of several, what each of them will.

    Raises
    ------
    NeedsVariance
    """
    rehearsed = job.parts or (lambda: job.benchmark,)
    return [request for make in rehearsed for request in rehearse(make(), model.commit, job.form, recorded, job.calls)]


def _basis(asked: Sequence[Request]) -> tuple[Stimulus, ...]:
    """All images of a benchmark, each once."""
    return tuple({stimulus.sha256: stimulus for request in asked for stimulus in request.stimuli}.values())


def _over(basis: tuple[Stimulus, ...], asked: Sequence[Request]) -> list[Request]:
    layers = frozenset(layer for request in asked for layer in request.grams)
    return [Request(basis, grams=layers)] if layers else []


def describe_record(
    identifier: str, area: str, model: Model, suite: Suite, engine: str, command: str | None = None
) -> dict[str, Any]:
    """The envelope of a record: all of it that is known before anything is measured."""
    return {
        "model": model.name,
        "card": model.card.identifier,
        "competition_id": model.card.competition_id,
        "suite": suite.name,
        "benchmark": identifier,
        "area": area,
        "layer": layer_of(identifier, area, model),
        "layer_map": model.layer_map,
        "marks": (*model.marks, *(["SIMULATED"] if identifier in suite.simulated_leaves else [])),
        "visual_degrees": float(model.card.visual_degrees),
        "weights": dict(model.origin),
        "preprocessing": model.card.preprocessing.name,
        "perturbation": None if model.perturbation is None else dict(model.perturbation.facts),
        "precision": model.precision,
        "device": model.device,
        "batch_size": model.batch_size,
        "command": command,
        "data": suite.data,
        "fingerprint": record_fingerprint(model, suite, area, engine, layer_of(identifier, area, model)),
        "versions": versions(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
