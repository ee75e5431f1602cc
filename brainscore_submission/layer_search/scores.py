"""One layer on one benchmark: scored by the benchmark itself, and kept as one file the moment it exists."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.images import Recording, Request, Stimulus
from ..engine.sketch import Sketch
from ..engine.survey import Candidate
from ..models.model import Model
from ..plugin.areas import LOGITS
from ..plugin.errors import UserError
from ..plugin.files import write_whole
from ..scoring.ceilings import ceilings_kept
from ..scoring.fast_metrics import Job
from ..scoring.measured import score_job
from ..scoring.placement import placed_safely
from ..scoring.recorded_model import Recorded, RecordedActivations, nothing_kept
from ..scoring.records import Predictivity, Record, set_aside_older
from ..scoring.score import asked_by, describe_record
from ..scoring.sidecar import RecordError
from ..scoring.suites import Suite
from ..scoring.uncertainty import raw_resamples
from .halves import halves_of

logger = logging.getLogger(__name__)

N_RESAMPLES = 200
ARRAYS = ("r", "halves", "resamples")
EXACT = "gram"


@dataclass(frozen=True)
class LayerScore:
    """A layer's score on a benchmark.

    Parameters
    ----------
    record : Record, as `evaluate` writes it; its engine says whether the number is exact
    depth : share of the forward pass done when the layer has fired
    kinds, shape : of the layer
    exact : False for a score from a sketch
    r : for each split and neuroid, neuroids in the order of their ids; None where the benchmark has none
    halves, resamples : of its held-out predictions, see `halves_of` and `raw_resamples`; None where there are none
    """

    record: Record
    depth: float
    kinds: tuple[str, ...]
    shape: tuple[int, ...]
    exact: bool
    r: np.ndarray | None = dataclasses.field(default=None, compare=False)
    halves: np.ndarray | None = dataclasses.field(default=None, compare=False)
    resamples: np.ndarray | None = dataclasses.field(default=None, compare=False)

    @property
    def layer(self) -> str:
        return self.record.layer

    @property
    def benchmark(self) -> str:
        return self.record.benchmark

    @property
    def numbers(self) -> Predictivity:
        return self.record.measured

    @property
    def signed_score(self) -> float:
        """Score with the sign of r, which both formulas lose; raw r of an unceiled benchmark."""
        value = self.numbers.raw if self.numbers.score is None else self.numbers.score
        return float(np.copysign(value, self.numbers.raw))

    def write(self, folder: Path) -> Path:
        """Write to its place under a search's folder; the file appears whole or not at all."""
        path = score_path(folder, self.benchmark, self.layer, self.exact)
        fields = {
            "record": json.loads(self.record.to_json()),
            "depth": self.depth,
            "kinds": self.kinds,
            "shape": self.shape,
            "exact": self.exact,
            **{name: None if (one := getattr(self, name)) is None else one.tolist() for name in ARRAYS},
        }
        set_aside_older(path)
        # `r` may hold NaN, of a neuroid whose responses are constant in a test set: Python's JSON reads it back.
        return write_whole(path, json.dumps(fields).encode(), "--results")

    @classmethod
    def read(cls, path: Path) -> LayerScore | None:
        """What `write` wrote; None (with a warning) for anything else, to be computed again."""
        try:
            fields = json.loads(path.read_text())
            record = Record.from_fields(fields["record"])
            arrays = {name: None if fields[name] is None else np.array(fields[name], dtype=float) for name in ARRAYS}
            kinds, shape = tuple(fields["kinds"]), tuple(fields["shape"])
            return cls(record, fields["depth"], kinds, shape, fields["exact"], **arrays)
        except (ValueError, KeyError, TypeError, RecordError) as error:
            logger.warning("scored again: %s: %s", path, error)
            return None


def score_path(folder: Path, benchmark: str, layer: str, exact: bool) -> Path:
    """Where the score of a layer on a benchmark lies.

    >>> score_path(Path("s"), "demo.V1-pls", "blocks.0.norm1", exact=False).as_posix()
    's/records/demo.V1-pls/blocks.0.norm1.sketch.json'
    """
    benchmark, layer = (re.sub(r"[^\w.+-]+", "-", name) for name in (benchmark, layer))
    return Path(folder) / "records" / benchmark / f"{layer}{'' if exact else '.sketch'}.json"


def applied(sketch: Sketch | None, candidate: Candidate) -> Sketch | None:
    """The sketch itself if it makes a layer smaller, else None."""
    return sketch if sketch is not None and sketch.columns < candidate.n_features else None


def committed(model: Model, area: str, layer: str) -> Model:
    """The model with one area, or behaviour, committed to a layer."""
    return dataclasses.replace(model, layers={area: layer}, layer_map="search")


def requests_of(job: Job, model: Model, layer: str) -> list[Request]:
    """All that a benchmark will ask for, each request with the layer named.

    A benchmark that asks for features asks several times, each time after an answer: it is answered with noise.
    """
    asked: list[Request] = []

    def answer(requests: Sequence[Request]) -> Recording:
        asked.extend(requests)
        return Recording(matrices={(layer, request.hashes): _noise(request) for request in requests})

    recorded, model = Recorded(answer), committed(model, job.area, layer)
    if job.form != "features":
        return asked_by(job, model, recorded)
    candidate = model.commit(RecordedActivations(model.cache_identifier, job.form, recorded))
    with nothing_kept(), placed_safely(), warnings.catch_warnings(action="ignore"):  # of a readout fitted to noise
        job.benchmark(candidate)
    return asked


def _noise(request: Request, n_features: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(request.hashes), n_features)).astype(np.float32)


class LayerScorer:
    """Scores layers of one model on one benchmark.

    Parameters
    ----------
    model : Model, of any layer map
    suite : Suite that the benchmark belongs to
    job : Job, the benchmark made ready for its engine
    command : the command line, for the records
    cache : folder where ceilings are kept
    """

    def __init__(self, model: Model, suite: Suite, job: Job, command: str | None = None, cache: Path | None = None):
        self.job = job
        self._model = model
        self._suite = suite
        self._command = command
        self._cache = cache
        self._envelopes: dict[str, dict[str, Any]] = {}

    def fingerprint(self, layer: str, sketch: Sketch | None) -> str:
        """Of everything a score depends on besides the benchmark: a kept score with another one is stale."""
        facts = [self._envelope(self._engine(sketch))["fingerprint"], layer]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _engine(self, sketch: Sketch | None) -> str:
        if self.job.form == "features":
            return self.job.engine
        return EXACT if sketch is None else f"gram, sketch of {sketch.columns} columns, seed {sketch.seed}"

    def _envelope(self, engine: str) -> dict[str, Any]:
        """What the records of all layers share, as of an arbitrary layer; looked up once, it takes a while."""
        if engine not in self._envelopes:
            model = committed(self._model, self.job.area, LOGITS)
            self._envelopes[engine] = describe_record(
                self.job.identifier, self.job.area, model, self._suite, engine, self._command
            )
        return self._envelopes[engine]

    def from_gram(
        self, candidate: Candidate, stimuli: Sequence[Stimulus], gram: np.ndarray, sketch: Sketch | None = None
    ) -> LayerScore:
        """Score a layer from its Gram matrix over the stimuli (each once, by content hash).

        A layer with no more features than a sketch has columns is kept as it is: its number is exact.
        """
        sketch = applied(sketch, candidate)
        hashes = Request(tuple(stimuli)).hashes
        return self._score(candidate, Recording(grams={(candidate.layer, hashes): gram}), sketch, stimuli)

    def from_features(self, candidate: Candidate, recording: Recording) -> LayerScore:
        """Score a layer whose features have been recorded."""
        return self._score(candidate, recording, None)

    def seconds_on_noise(self, candidate: Candidate, requests: Sequence[Request]) -> float:
        """How long it takes to score a layer, once the benchmark has its ceiling."""
        shown = Request(tuple(stimulus for request in requests for stimulus in request.stimuli))
        if self.job.form == "features":
            width = max(5, min(candidate.n_features, 1000))
            recording = Recording(matrices={(candidate.layer, r.hashes): _noise(r, width) for r in requests})
        else:  # of full rank
            of_noise = np.cov(_noise(shown, 2 * len(shown.hashes)))
            recording = Recording(grams={(candidate.layer, shown.hashes): of_noise})
        with ceilings_kept(self._cache):
            _ = getattr(self.job.benchmark, "ceiling", None)
        with nothing_kept(), warnings.catch_warnings(action="ignore"):
            return self._score(candidate, recording, None, shown.stimuli).record.seconds["scoring"]

    def _score(
        self, candidate: Candidate, recording: Recording, sketch: Sketch | None, basis: Sequence[Stimulus] | None = None
    ) -> LayerScore:
        model = committed(self._model, self.job.area, candidate.layer)
        activations = RecordedActivations(model.cache_identifier, self.job.form, Recorded(_refuse, recording), basis)
        envelope = self._envelope(self._engine(sketch)) | {
            "layer": candidate.layer,
            "fingerprint": self.fingerprint(candidate.layer, sketch),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        job = dataclasses.replace(self.job, engine=self._engine(sketch))
        record, sidecar = score_job(
            job, model.commit(activations), envelope, candidate.n_features, cache=self._cache, n_resamples=N_RESAMPLES
        )
        arrays: dict[str, np.ndarray | None] = {}
        if sidecar is not None:
            arrays = {"r": sidecar.r, "halves": halves_of(sidecar)}
            if sidecar.has_stimuli:
                arrays["resamples"] = raw_resamples(sidecar, n_resamples=N_RESAMPLES)
        return LayerScore(record, candidate.depth, candidate.kinds, candidate.shape, sketch is None, **arrays)


def _refuse(requests: Sequence[Request]) -> Recording:
    layers = sorted({layer for request in requests for layer in request.grams | request.features})
    raise UserError(f"the benchmark asks again for {layers[0]}, of other stimuli than before: it cannot be searched.")


def kept_score(
    folder: Path, scorer: LayerScorer, candidate: Candidate, sketch: Sketch | None = None
) -> LayerScore | None:
    """The score that lies in a search's folder, if it is not stale."""
    sketch = applied(sketch, candidate)
    path = score_path(folder, scorer.job.identifier, candidate.layer, sketch is None)
    score = LayerScore.read(path) if path.exists() else None
    if score is None or score.record.fingerprint != scorer.fingerprint(candidate.layer, sketch):
        return None
    return score
