"""The Gram matrices of many layers, one after the other: what the cache holds first, then sweep by sweep.

Rows of every matrix: the content hashes of the stimuli, each once, sorted, as in ``recording.py``, whose cache is used.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..plugin.errors import UserError
from ..plugin.hooks import exact_arithmetic
from .budget import Budget
from .gram import GramAccumulator, NonFiniteActivations, load_gram, save_gram
from .images import Request, Stimulus
from .lockstep import Sweep, minibatch_rows
from .plan import Plan, PlannedSweep, Speed, make_plan
from .recorder import PRECISIONS, Recorder, Sink
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
    preferred : patterns of the names to go by, see `candidates.survey`
    """
    noise = torch.randn((PROBE_IMAGES, *shape), generator=torch.Generator().manual_seed(seed)).to(recorder.device)
    with PRECISIONS[recorder.precision](noise.device.type):
        return survey(recorder.network, noise, preferred)


class GramSource:
    """Exact or sketched Gram matrices of the layers of one network.

    Parameters
    ----------
    recorder : Recorder, whose network, images, budget and cache are used
    survey : of its network
    sketch : Sketch, or None for exact matrices
    keep : whether the matrices go into the recorder's cache, where a search that was killed finds them
    progress : callable (images begun in this sweep, in all)

    Attributes
    ----------
    image_passes : images that went through the network, each time a part of the way counted as one
    """

    def __init__(
        self,
        recorder: Recorder,
        survey: Survey,
        sketch: Sketch | None = None,
        *,
        keep: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.image_passes = 0
        self._recorder = recorder
        self._survey = survey
        self._sketch = sketch
        self._keep = keep and recorder.cache is not None
        self._progress = progress or (lambda done, total: None)
        self._speeds: dict[int, Speed] = {}

    def plan(self, candidates: Sequence[Candidate], stimuli: Sequence[Stimulus]) -> Plan:
        """How the matrices that the cache lacks will be recorded.

        Raises
        ------
        UserError
            If the budget is too small for anything.
        """
        hashes = Request(tuple(stimuli)).hashes
        missing = [candidate for candidate in candidates if not self._is_kept(candidate, hashes)]
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
            gram = self._kept(candidate, hashes)
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
                    self._save(candidate, hashes, gram)
                    missing = [other for other in missing if other is not candidate]
                    yield candidate, gram
            except torch.OutOfMemoryError as error:
                budget = self._smaller(budget, error)
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
            paths = [stimulus.path for stimulus in stimuli[: self._recorder.batch_size]]
            pixels = torch.stack([self._recorder._load(path) for path in paths]).to(self._recorder.device)
            image_seconds = self._image_seconds(pixels)
            columns = torch.randn(n_stimuli, max(64, 2**22 // n_stimuli), device=pixels.device)
            gram_seconds = _seconds(lambda: GramAccumulator(n_stimuli).add(columns), pixels)
            self._speeds[n_stimuli] = Speed(image_seconds, gram_seconds / (n_stimuli * columns.numel()))
        return self._speeds[n_stimuli]

    def _image_seconds(self, pixels: Tensor) -> float:
        while True:
            try:
                batch = pixels[: self._recorder.batch_size]
                return _seconds(partial(self._show, batch), batch) / len(batch)
            except torch.OutOfMemoryError as error:
                self._halve_batches(error)
                logger.warning("out of GPU memory: batches of %d from here on", self._recorder.batch_size)

    def _show(self, pixels: Tensor) -> None:
        with torch.inference_mode():
            self._forward(pixels)

    def _smaller(self, budget: Budget, error: torch.OutOfMemoryError) -> Budget:
        self._halve_batches(error)
        logger.warning(
            "out of GPU memory: planned again for batches of %d and half the memory", self._recorder.batch_size
        )
        return Budget(budget.memory_bytes // 2, budget.disk_bytes, budget.scratch)

    def _halve_batches(self, error: torch.OutOfMemoryError) -> None:
        recorder = self._recorder
        if recorder.batch_size == 1:
            raise UserError(
                f"the memory of {recorder.device} does not hold what was planned. Give less --memory, or --device cpu."
            ) from error
        recorder.batch_size //= 2
        torch.cuda.empty_cache()

    # --- recording ----------------------------------------------------------------------------------------------

    def _recorded(
        self, candidates: Sequence[Candidate], stimuli: Sequence[Stimulus], plan: Plan
    ) -> Iterator[tuple[Candidate, np.ndarray]]:
        by_layer = {candidate.layer: candidate for candidate in candidates}
        path_of = {stimulus.sha256: stimulus.path for stimulus in stimuli}
        hashes = Request(tuple(stimuli)).hashes
        parts: dict[str, np.ndarray] = {}
        for planned in plan.sweeps:
            wanted = [by_layer[layer] for layer in planned.layers]
            for layer, gram in self._swept(planned, plan.batch_size, wanted, hashes, path_of):
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
        path_of: Mapping[str, Path],
    ) -> Iterator[tuple[str, np.ndarray]]:
        parked = set(planned.parked)
        stores = {c.layer: self._store(c, planned, hashes) for c in candidates if c.layer not in parked}
        rows = minibatch_rows(len(hashes), batch_size)
        if not parked:  # what a killed run left on disk need not be shown again
            rows = [part for part in rows if not all(store.done[part].all() for store in stores.values())]
        sweep = Sweep(
            self._recorder.network,
            {candidate.layer: candidate.firing for candidate in candidates},
            planned.parked,
            stores,
            self._projections(candidates),
            slice(*planned.columns) if planned.columns else slice(None),
            self._recorder.device,
            self._around,
        )
        paths = [path_of[sha] for sha in hashes]
        with _Decoder(self._recorder, paths, rows, self._count) as decoder:
            try:
                yield from sweep.run(len(hashes), decoder.loaders(), self._forward)
            except NonFiniteActivations as error:
                raise _not_finite(sweep.layer, paths[error.stimulus]) from error

    def _count(self, done: int, total: int, n_images: int) -> None:
        self.image_passes += n_images
        self._progress(done, total)

    def _forward(self, pixels: Tensor) -> object:
        with self._around():  # autocast belongs to a thread
            return self._recorder.network(pixels)

    @contextmanager
    def _around(self) -> Iterator[None]:
        with PRECISIONS[self._recorder.precision](torch.device(self._recorder.device).type), exact_arithmetic():
            yield

    def _projections(self, candidates: Sequence[Candidate]) -> dict[str, Callable[[Tensor], Tensor]]:
        if self._sketch is None:
            return {}
        made = {candidate.layer: self._sketch.projection(candidate.n_features) for candidate in candidates}
        return {layer: projection for layer, projection in made.items() if projection is not None}

    def _store(self, candidate: Candidate, planned: PlannedSweep, hashes: tuple[str, ...]) -> MemoryStore | DiskStore:
        start, stop = planned.columns or (0, self._n_kept(candidate))
        if not planned.on_disk:
            return MemoryStore(len(hashes), stop - start, self._recorder.device)
        folder = self._recorder._spool(self._sink(candidate, hashes))
        return DiskStore(folder.with_name(f"{folder.name}-{start}-{stop}"), len(hashes), stop - start)

    def _n_kept(self, candidate: Candidate) -> int:
        return candidate.n_features if self._sketch is None else min(candidate.n_features, self._sketch.columns)

    # --- the cache ------------------------------------------------------------------------------------------------

    def _sink(self, candidate: Candidate, hashes: tuple[str, ...]) -> Sink:
        layer = candidate.layer
        if self._n_kept(candidate) < candidate.n_features:
            layer = f"{layer}, sketch of {self._sketch.columns} columns, seed {self._sketch.seed}"
        return Sink(layer, hashes, "gram", candidate.n_features)

    def _is_kept(self, candidate: Candidate, hashes: tuple[str, ...]) -> bool:
        return self._recorder.cache is not None and self._recorder._gram_path(self._sink(candidate, hashes)).exists()

    def _kept(self, candidate: Candidate, hashes: tuple[str, ...]) -> np.ndarray | None:
        if self._recorder.cache is None:
            return None
        sink = self._sink(candidate, hashes)
        return load_gram(self._recorder._gram_path(sink), self._recorder._meta(sink))

    def _save(self, candidate: Candidate, hashes: tuple[str, ...], gram: np.ndarray) -> None:
        if self._keep:
            sink = self._sink(candidate, hashes)
            save_gram(self._recorder._gram_path(sink), gram, self._recorder._meta(sink))


class _Decoder:
    """Pixels of minibatches, read from their files one minibatch ahead of the forward pass."""

    def __init__(
        self,
        recorder: Recorder,
        paths: Sequence[Path],
        rows: Sequence[slice],
        begun: Callable[[int, int, int], None],
    ):
        self._recorder, self._paths, self._rows, self._begun = recorder, paths, rows, begun
        self._reading: dict[int, list[Future]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> _Decoder:
        self._pool = self._stack.enter_context(ThreadPoolExecutor(min(8, os.cpu_count() or 1)))
        return self

    def __exit__(self, *_: object) -> None:
        for futures in self._reading.values():
            for future in futures:
                future.cancel()
        self._stack.close()

    def loaders(self) -> list[tuple[slice, Callable[[], Tensor]]]:
        return [(part, lambda index=index: self._load(index)) for index, part in enumerate(self._rows)]

    def _load(self, index: int) -> Tensor:
        part = self._rows[index]
        done, total = (sum(rows.stop - rows.start for rows in some) for some in (self._rows[: index + 1], self._rows))
        self._begun(done, total, part.stop - part.start)
        for soon in (index, index + 1):
            self._read(soon)
        return self._recorder._stack(self._reading.pop(index))

    def _read(self, index: int) -> None:
        if index < len(self._rows) and index not in self._reading:
            paths = self._paths[self._rows[index]]
            self._reading[index] = [self._pool.submit(self._recorder._load, path) for path in paths]


def _not_finite(layer: str | None, path: Path) -> UserError:
    return UserError(
        f"layer '{layer}' yields NaN or infinite activations, first for {path}. "
        "Check the checkpoint; with --precision float16, use float32."
    )


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
