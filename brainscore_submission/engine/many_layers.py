"""The Gram matrices of many layers, one after the other: what the cache holds first, then sweep by sweep.

Rows of every matrix: the content hashes of the stimuli, each once, sorted, as in ``recorder.py``, whose cache is used.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .budget import Budget
from .gram import GramAccumulator
from .images import CONSTANT, Request, Stimulus
from .lockstep import Sink, Store, batches_of
from .plan import Plan, PlannedSweep, Speed, make_plan
from .recorder import Recorder
from .sketch import Sketch
from .stores import DiskStore, MemoryStore
from .survey import PROBE_IMAGES, Candidate, Survey, survey

logger = logging.getLogger(__name__)


def survey_recorder(recorder: Recorder, shape: Sequence[int], preferred: Sequence[str] = (), seed: int = 0) -> Survey:
    """The layers of a recorder's network, found on noise: which layers are candidates never depends on the stimuli.

    Parameters
    ----------
    recorder : Recorder
    shape : of an image, (3, height, width)
    preferred : patterns of the names to go by, see `survey.survey`
    """
    noise = torch.randn((PROBE_IMAGES, *shape), generator=torch.Generator().manual_seed(seed)).to(recorder.device)
    with recorder.around():
        return survey(recorder.network, noise, preferred)


class GramSource:
    """Exact or sketched Gram matrices of the layers of one network.

    Parameters
    ----------
    recorder : Recorder, whose network, images, budget and cache are used
    survey : of its network
    sketch : Sketch, or None for exact matrices
    keep : whether the matrices go into the recorder's cache, where a search that was killed finds them
    """

    def __init__(self, recorder: Recorder, survey: Survey, sketch: Sketch | None = None, *, keep: bool = True):
        self._recorder = recorder
        self._survey = survey
        self._sketch = sketch
        self._keep = keep
        self._speeds: dict[int, Speed] = {}

    def plan(self, candidates: Sequence[Candidate], stimuli: Sequence[Stimulus]) -> Plan:
        """How the matrices that the cache lacks will be recorded.

        Raises
        ------
        UserError
            If the budget is too small for anything.
        """
        hashes = Request(tuple(stimuli)).hashes
        missing = [c for c in candidates if not self._recorder.cache.has(self._name(c), hashes)]
        return self._plan(missing, stimuli, self._recorder.budget)

    def grams(
        self, candidates: Sequence[Candidate], stimuli: Sequence[Stimulus], plan: Plan | None = None
    ) -> Iterator[tuple[Candidate, np.ndarray]]:
        """Each candidate with its Gram matrix, as soon as it is known.

        Parameters
        ----------
        candidates : in the order of execution
        stimuli : their order and repeats do not matter
        plan : what `plan` answered

        Raises
        ------
        UserError
            For unreadable images, activations that are not finite (layer and first stimulus named), a full disk, and
            networks whose order of execution depends on the image.
        """
        hashes = Request(tuple(stimuli)).hashes
        missing = []
        for candidate in candidates:
            gram = self._recorder.cache.load(self._name(candidate), hashes)
            if gram is None:
                missing.append(candidate)
            else:
                yield candidate, gram
        if plan is None or plan.layers != tuple(candidate.layer for candidate in missing):
            plan = self._plan(missing, stimuli, self._recorder.budget)
        budget = self._recorder.budget
        while missing:
            try:
                for candidate, gram in self._recorded(missing, stimuli, plan):
                    if self._keep:
                        self._recorder.cache.save(self._name(candidate), hashes, gram)
                    missing = [other for other in missing if other is not candidate]
                    yield candidate, gram
            except torch.OutOfMemoryError as error:
                self._recorder.halve_batches(error, "what was planned")
                budget = Budget(budget.memory_bytes // 2, budget.disk_bytes, budget.scratch)
                plan = self._plan(missing, stimuli, budget)

    # --- planning ---------------------------------------------------------------------------------------------

    def _plan(self, candidates: Sequence[Candidate], stimuli: Sequence[Stimulus], budget: Budget) -> Plan:
        n_stimuli = len(Request(tuple(stimuli)).hashes)
        speed = self._speed(stimuli, n_stimuli) if candidates else Speed(0.0, 0.0)
        columns = None if self._sketch is None else self._sketch.columns
        return make_plan(self._survey, candidates, n_stimuli, self._recorder.batch_size, budget, speed, columns)

    def _speed(self, stimuli: Sequence[Stimulus], n_stimuli: int) -> Speed:
        """Seconds of one batch and of one small product; timed once for a number of stimuli."""
        if n_stimuli not in self._speeds:
            recorder = self._recorder
            images = [stimulus for stimulus in stimuli if stimulus.sha256 not in CONSTANT]
            paths = [stimulus.path for stimulus in images[: recorder.batch_size]]
            pixels = recorder.inputs(paths)
            image_seconds = self._image_seconds(pixels)
            columns = torch.randn(n_stimuli, max(64, 2**22 // n_stimuli), device=pixels.device)
            gram_seconds = _seconds(lambda: GramAccumulator(n_stimuli).add(columns), pixels)
            self._speeds[n_stimuli] = Speed(image_seconds, gram_seconds / (n_stimuli * columns.numel()))
        return self._speeds[n_stimuli]

    def _image_seconds(self, pixels: Tensor) -> float:
        def show(batch: Tensor) -> None:
            with torch.inference_mode(), self._recorder.around():
                self._recorder.network(batch)

        while True:
            try:
                batch = pixels[: self._recorder.batch_size]
                return _seconds(partial(show, batch), batch) / len(batch)
            except torch.OutOfMemoryError as error:
                self._recorder.halve_batches(error, "one image")

    # --- recording ----------------------------------------------------------------------------------------------

    def _recorded(
        self, candidates: Sequence[Candidate], stimuli: Sequence[Stimulus], plan: Plan
    ) -> Iterator[tuple[Candidate, np.ndarray]]:
        by_layer = {candidate.layer: candidate for candidate in candidates}
        paths = {stimulus.sha256: stimulus.path for stimulus in stimuli}
        hashes = Request(tuple(stimuli)).hashes
        parts: dict[str, np.ndarray] = {}
        for planned in plan.sweeps:
            wanted = [by_layer[layer] for layer in planned.layers]
            for sink, gram in self._swept(planned, plan.batch_size, wanted, hashes, paths):
                layer = sink.layer
                if planned.columns is not None:  # of several parts; centred each, so they add up
                    gram = parts[layer] = parts.get(layer, 0) + gram
                    if planned.columns[1] < self._n_kept(by_layer[layer]):
                        continue
                yield by_layer[layer], gram

    def _swept(
        self,
        planned: PlannedSweep,
        batch_size: int,
        candidates: Sequence[Candidate],
        hashes: tuple[str, ...],
        paths: Mapping[str, Path],
    ) -> Iterator[tuple[Sink, np.ndarray]]:
        sinks = {candidate: self._sink(candidate, planned, hashes) for candidate in candidates}
        stores = {sink: self._store(sink, planned, self._name(candidate)) for candidate, sink in sinks.items()}
        batches = batches_of(hashes, planned.layers, batch_size)
        if not planned.parked:  # what a killed run left on disk need not be shown again
            lacking = [~store.done for store in stores.values()]
            shown = {sha for row, sha in enumerate(hashes) if not any(rows[row] for rows in lacking)}
            batches = [batch for batch in batches if not shown.issuperset(batch.hashes)]
        firings = {candidate.layer: candidate.firing for candidate in candidates}
        sweep = self._recorder.sweep(stores, firings, paths)
        with self._recorder.decoding(batches, paths) as pixels:
            yield from sweep.run(batches, pixels)

    def _sink(self, candidate: Candidate, planned: PlannedSweep, hashes: tuple[str, ...]) -> Sink:
        start, stop = planned.columns or (0, self._n_kept(candidate))
        projection = self._sketch.projection(candidate.n_features) if self._sketch else None
        return Sink(candidate.layer, hashes, "gram", start, stop, projection)

    def _store(self, sink: Sink, planned: PlannedSweep, name: str) -> Store | None:
        if sink.layer in planned.parked:
            return None
        if planned.on_disk:
            return DiskStore(self._recorder.spool(sink, name), *sink.shape)
        return MemoryStore(*sink.shape, self._recorder.device)

    def _n_kept(self, candidate: Candidate) -> int:
        return candidate.n_features if self._sketch is None else min(candidate.n_features, self._sketch.columns)

    def _name(self, candidate: Candidate) -> str:
        """Of the matrix in the cache: a sketched one is another."""
        if self._n_kept(candidate) == candidate.n_features:
            return candidate.layer
        return f"{candidate.layer}, sketch of {self._sketch.columns} columns, seed {self._sketch.seed}"


def _seconds(work: Callable[[], object], pixels: Tensor) -> float:
    """Of the second time: the first one warms up."""
    work()
    if pixels.is_cuda:
        torch.cuda.synchronize(pixels.device)
    started = time.perf_counter()
    work()
    if pixels.is_cuda:
        torch.cuda.synchronize(pixels.device)
    return time.perf_counter() - started
