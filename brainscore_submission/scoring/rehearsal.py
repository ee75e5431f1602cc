"""Rehearsing the benchmarks of a model, which finds what scoring it will take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from ..engine.images import CONSTANT, Request
from ..engine.recording_cache import MOST_FEATURE_BYTES
from ..models.model import Model
from ..plugin.errors import UserError
from .fast_metrics import make_job
from .kept import ScoreOptions, kept_records, say_nothing
from .plan import Plan
from .recorded_model import NeedsVariance, Recorded
from .score import asked_by
from .suites import NoAccess, Suite, load

TIMED_IMAGES = 2


def plan_scoring(model: Model, suite: Suite, options: ScoreOptions, note: str = "") -> Plan:
    """Rehearse the benchmarks of a model without recording anything: what they will show it, and what that costs.

    Benchmarks whose data cannot be had are counted as missing scores that take nothing.
    """
    kept = kept_records(model, suite, options, say_nothing)  # the run itself says what it replaces
    todo = [leaf for leaf in suite.leaves if leaf not in kept and options.rerun != "never"]
    recorder = model.recorder(options.cache, options.budget, fresh=options.rerun == "all")
    requests = _requests(todo, model, suite, options, Recorded(recorder.record))
    firings = recorder.probe(requests) if requests else {}
    stimuli = [stimulus for request in requests for stimulus in request.stimuli if stimulus.sha256 not in CONSTANT]
    shown = {stimulus.sha256: stimulus.path for stimulus in stimuli}
    passed: set[str] = set()
    features_bytes = kept_bytes = 0
    for request in requests:
        asked = {"gram": request.grams, "features": request.features}
        for form, layers in asked.items():
            for layer in (layer for layer in layers if not recorder.cache.has(layer, request.hashes, form)):
                passed.update(request.hashes)
                n_bytes = 4 * len(request.hashes) * firings[layer].n_features
                features_bytes += n_bytes
                if form == "gram":
                    kept_bytes += 8 * len(request.hashes) ** 2
                elif n_bytes <= MOST_FEATURE_BYTES:
                    kept_bytes += n_bytes
    passes = len(passed & set(shown))
    seconds = passes * _seconds_an_image(model, list(shown.values())) if passes else 0.0
    return Plan(model.name, len(suite.leaves), len(todo), len(shown), passes, seconds, features_bytes, kept_bytes, note)


def _requests(
    todo: Sequence[str], model: Model, suite: Suite, options: ScoreOptions, recorded: Recorded
) -> list[Request]:
    found: dict[tuple[str, ...], Request] = {}
    for leaf in todo:
        try:
            job = make_job(leaf, suite.leaves[leaf], load(leaf, suite), options.engine, model.device)
            asked = asked_by(job, model, recorded)
        except (NoAccess, NeedsVariance, UserError):  # the run itself says why
            continue
        if job.form != "features":  # one Gram matrix over all that it shows
            stimuli = tuple({stimulus.sha256: stimulus for one in asked for stimulus in one.stimuli}.values())
            layers = frozenset(layer for one in asked for layer in one.grams)
            asked = [Request(stimuli, grams=layers)] if layers else []
        for one in asked:
            before = found.get(one.hashes, Request(one.stimuli))
            found[one.hashes] = Request(one.stimuli, before.grams | one.grams, before.features | one.features)
    return list(found.values())


def _seconds_an_image(model: Model, paths: Sequence[Path]) -> float:
    recorder = model.recorder(None)
    images = recorder.inputs(paths[:TIMED_IMAGES])
    with torch.no_grad(), recorder.around():
        recorder.network(images)  # the first pass of a network is slower
        started = time.perf_counter()
        recorder.network(images)
        if images.is_cuda:
            torch.cuda.synchronize()
    return (time.perf_counter() - started) / len(images)
