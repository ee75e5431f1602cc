"""One pass over the stimuli for all layers wanted: early exit, bounded memory, resumable.

Torch, numpy and scipy only, so the engine runs on any GPU machine. What is asked for and what comes back is in
``requests.py``, how features wait in ``feature_stores.py``, how they become a Gram matrix in ``gram.py``; what
Brain-Score makes of a recording is in ``scoring.py``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..plugin.errors import UserError, suggest
from ..plugin.hooks import Firing, layer_outputs, probe, tf32_arithmetic
from .budget import Budget
from .gram import GramAccumulator, centre, cross_gram, load_gram, save_gram
from .images import Recording, Request
from .stores import DiskStore, MemoryStore

logger = logging.getLogger(__name__)

# What the forward pass computes in. float32 is Brain-Score's; the others move the score (bfloat16 by 3e-4 to 6e-4).
PRECISIONS: dict[str, Callable[[str], object]] = {
    "float32": lambda device: nullcontext(),
    "tf32": lambda device: tf32_arithmetic(),
    "bfloat16": lambda device: torch.autocast(device, torch.bfloat16),
    "float16": lambda device: torch.autocast(device, torch.float16),
}


def require_precision(name: str) -> None:
    """Refuse what is not one of `PRECISIONS`.

    Raises
    ------
    UserError
    """
    if name not in PRECISIONS:
        raise UserError(f"unknown precision '{name}'.{suggest(name, PRECISIONS)}")


class Recorder:
    """A network, ready to be shown stimuli.

    Parameters
    ----------
    network : nn.Module
    load : callable, path -> normalised image, Tensor of shape (3, height, width)
    fingerprint : hash of everything that determines an activation besides layer and image (card and weights):
        the key of what is kept on disk
    device : "cpu" or "cuda[:i]"
    batch_size : images in a forward pass; halves by itself when the GPU's memory runs out
    budget : how much may be held; default `Budget.default`
    cache : folder for Gram matrices and for the features of an unfinished recording; None keeps nothing on disk
    precision : one of `PRECISIONS`
    progress : callable (images done, images in all), called after each batch
    """

    def __init__(
        self,
        network: nn.Module,
        load: Callable[[Path], Tensor],
        fingerprint: str,
        *,
        device: str = "cpu",
        batch_size: int = 8,
        budget: Budget | None = None,
        cache: Path | None = None,
        precision: str = "float32",
        progress: Callable[[int, int], None] | None = None,
    ):
        require_precision(precision)
        self.network = network.to(device).eval()
        self.device = str(device)
        self.batch_size = batch_size
        self.precision = precision
        self.cache = None if cache is None else Path(cache)
        self.budget = budget or Budget.default(self.cache, self.device)
        self.progress = progress
        self._load = load
        self._fingerprint = fingerprint
        self._firings: dict[str, Firing] = {}
        self._leftovers: list[DiskStore] = []

    def record(self, requests: Sequence[Request]) -> Recording:
        """Show each image once and bring every layer that is wanted of it.

        Images that several requests share are shown once, and each image's forward pass stops after the deepest
        layer wanted of it. Gram matrices that the cache holds are not recorded again.

        Raises
        ------
        UserError
            For unknown or silent layers, unreadable images, and activations that are not finite (layer and first
            stimulus named).
        """
        requests = _merged(requests)
        self.probe(requests)
        recording = Recording()
        for request in requests:
            for layer in request.grams | request.features:
                recording.n_features[layer] = self._firings[layer].n_features
                recording.shapes[layer] = self._firings[layer].shape
        wanted = [sink for request in requests for sink in self._sinks(request, recording)]
        paths = {stimulus.sha256: stimulus.path for request in requests for stimulus in request.stimuli}
        for group in self.plan(wanted):
            if len(group) == 1 and not self._fits(group[0]):
                self._record_by_pairs(group[0], paths, recording)
            else:
                self._record_group(group, paths, recording)
        return recording

    def probe(self, requests: Sequence[Request]) -> dict[str, Firing]:
        """Show one stimulus and see how often each layer fires and what it yields; asked once a layer."""
        layers = {layer for request in requests for layer in request.grams | request.features} - set(self._firings)
        if layers:
            image = self._load(requests[0].stimuli[0].path)[None].to(self.device)
            with PRECISIONS[self.precision](torch.device(self.device).type):
                self._firings |= probe(self.network, image, sorted(layers))
        return self._firings

    def plan(self, sinks: Sequence[Sink]) -> list[list[Sink]]:
        """Cut what is wanted into passes over the stimuli that each stay within the budget, shallow layers first."""
        depth = {layer: position for position, layer in enumerate(self._firings)}
        room = max(self.budget.memory_bytes, self.budget.disk_bytes)
        groups: list[list[Sink]] = []
        taken = 0
        for sink in sorted(sinks, key=lambda sink: depth[sink.layer]):
            if not groups or taken + sink.n_bytes > room:
                groups.append([])
                taken = 0
            groups[-1].append(sink)
            taken += sink.n_bytes
        return groups

    def discard_leftovers(self) -> None:
        """Remove the features that were kept on disk so that a killed run could resume."""
        for store in self._leftovers:
            store.discard()
        self._leftovers = []

    # --- one pass -------------------------------------------------------------------------------------------

    def _record_group(self, sinks: Sequence[Sink], paths: Mapping[str, Path], recording: Recording) -> None:
        stores = self._stores(sinks)
        started = time.perf_counter()
        self._fill(list(zip(sinks, stores, strict=True)), paths, recording)
        recording.seconds["forward"] += time.perf_counter() - started
        started = time.perf_counter()
        for sink, store in zip(sinks, stores, strict=True):
            if sink.form == "gram":
                recording.grams[sink.key] = self._finish_gram(sink, store)
                store.discard()
            else:
                recording.matrices[sink.key] = store.features()
                if isinstance(store, DiskStore):
                    self._leftovers.append(store)
        recording.seconds["gram"] += time.perf_counter() - started

    def _fill(self, filling: list[tuple[Sink, object]], paths: Mapping[str, Path], recording: Recording) -> None:
        rows = [{sha: row for row, sha in enumerate(sink.hashes)} for sink, _ in filling]
        pending = _by_layers_wanted(filling, rows)
        total = sum(len(images) for images in pending.values())
        shown = 0
        for layers, images in pending.items():
            for batch, outputs in self._outputs(images, layers, paths):
                for (sink, store), row_of in zip(filling, rows, strict=True):
                    here = [i for i, sha in enumerate(batch) if sha in row_of and not store.done[row_of[sha]]]
                    if here and sink.layer in outputs:
                        features = outputs[sink.layer][here]
                        _require_finite(features, sink.layer, [paths[batch[i]] for i in here])
                        store.write([row_of[batch[i]] for i in here], features)
                shown += len(batch)
                recording.image_passes += len(batch)
                if self.progress:
                    self.progress(shown, total)
        for _, store in filling:
            store.flush()

    def _outputs(
        self, images: Sequence[str], layers: Iterable[str], paths: Mapping[str, Path]
    ) -> Iterator[tuple[list[str], dict[str, Tensor]]]:
        """Batches of images and their flattened features, decoded ahead of the forward pass."""
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            position = 0
            ahead = self._submit(pool, images, position, paths)
            while ahead:
                batch, loading = ahead
                position += len(batch)
                ahead = self._submit(pool, images, position, paths)
                yield list(batch), self._forward(self._stack(loading), layers)

    def _submit(self, pool, images, position, paths):
        batch = images[position : position + self.batch_size]
        return (batch, [pool.submit(self._load, paths[sha]) for sha in batch]) if batch else None

    def _stack(self, loading) -> Tensor:
        pixels = torch.stack([future.result() for future in loading])
        if torch.device(self.device).type == "cuda":
            return pixels.pin_memory().to(self.device, non_blocking=True)
        return pixels.to(self.device)

    def _forward(self, pixels: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        try:
            with PRECISIONS[self.precision](torch.device(self.device).type):
                outputs = layer_outputs(self.network, pixels, layers, self._firings)
            return {layer: output.flatten(1).float() for layer, output in outputs.items()}
        except torch.OutOfMemoryError as error:
            if len(pixels) == 1:
                raise UserError(
                    f"one image does not fit into the memory of {self.device}. Use --device cpu, or free the GPU."
                ) from error
        self.batch_size = max(1, len(pixels) // 2)
        logger.warning("out of GPU memory: the batch size is now %d", self.batch_size)
        torch.cuda.empty_cache()
        halves = [self._forward(half, layers) for half in pixels.split(self.batch_size)]
        return {layer: torch.cat([half[layer] for half in halves]) for layer in halves[0]}

    # --- where features wait ----------------------------------------------------------------------------------

    def _sinks(self, request: Request, recording: Recording) -> list[Sink]:
        """What the cache does not hold; what it holds goes straight into the recording."""
        sinks = [self._sink(layer, request.hashes, "features") for layer in request.features]
        for layer in request.grams:
            sink = self._sink(layer, request.hashes, "gram")
            kept = None if self.cache is None else load_gram(self._gram_path(sink), self._meta(sink))
            if kept is None:
                sinks.append(sink)
            else:
                recording.grams[sink.key] = kept
        return sinks

    def _sink(self, layer: str, hashes: tuple[str, ...], form: str) -> Sink:
        return Sink(layer, hashes, form, self._firings[layer].n_features)

    def _fits(self, sink: Sink) -> bool:
        return sink.form == "features" or sink.n_bytes <= max(self.budget.memory_bytes, self.budget.disk_bytes)

    def _stores(self, sinks: Sequence[Sink]) -> list[MemoryStore | DiskStore]:
        n_bytes = sum(sink.n_bytes for sink in sinks)
        on_gpu = torch.device(self.device).type == "cuda"
        if on_gpu and n_bytes <= self.budget.memory_bytes:
            return [MemoryStore(*sink.shape, self.device) for sink in sinks]
        if self.budget.scratch is not None and n_bytes <= self.budget.disk_bytes:
            return [DiskStore(self._spool(sink), *sink.shape) for sink in sinks]
        return [MemoryStore(*sink.shape) for sink in sinks]

    def _spool(self, sink: Sink) -> Path:
        # With the form: a layer wanted as Gram matrix and as features has two stores.
        return self.budget.scratch / "spool" / _digest({**self._meta(sink), "form": sink.form})

    def _finish_gram(self, sink: Sink, store: MemoryStore | DiskStore) -> np.ndarray:
        accumulator = GramAccumulator(len(sink.hashes))
        for block in store.columns():
            accumulator.add(torch.as_tensor(block).to(self.device))
        gram = accumulator.result()
        self._keep(sink, gram)
        return gram

    def _keep(self, sink: Sink, gram: np.ndarray) -> None:
        if self.cache is not None:
            save_gram(self._gram_path(sink), gram, self._meta(sink))

    def _gram_path(self, sink: Sink) -> Path:
        return self.cache / "grams" / f"{_digest(self._meta(sink))}.safetensors"

    def _meta(self, sink: Sink) -> dict[str, str]:
        return {
            "model": self._fingerprint,
            "layer": sink.layer,
            "stimuli": _digest(sink.hashes),
            "precision": self.precision,
        }

    # --- a layer that fits nowhere ------------------------------------------------------------------------------

    def _record_by_pairs(self, sink: Sink, paths: Mapping[str, Path], recording: Recording) -> None:
        """Blocks of stimuli, pair by pair: slow (each block is shown again for every earlier one), small."""
        per_stimulus = 4 * sink.n_features
        size = max(1, self.budget.memory_bytes // (2 * per_stimulus))
        logger.warning(
            "layer %s does not fit the budget: recorded in %d blocks of stimuli, pair by pair",
            sink.layer,
            -(-len(sink.hashes) // size),
        )
        started = time.perf_counter()
        n = len(sink.hashes)
        gram = np.zeros((n, n))
        for first in range(0, n, size):
            rows = self._block(sink, first, size, paths, recording)
            gram[first : first + size, first : first + size] = cross_gram(rows, rows)
            for second in range(first + size, n, size):
                columns = self._block(sink, second, size, paths, recording)
                tile = cross_gram(rows, columns)
                gram[first : first + size, second : second + size] = tile
                gram[second : second + size, first : first + size] = tile.T
        recording.grams[sink.key] = centre(gram)
        self._keep(sink, recording.grams[sink.key])
        recording.seconds["forward"] += time.perf_counter() - started

    def _block(self, sink: Sink, start: int, size: int, paths: Mapping[str, Path], recording: Recording) -> Tensor:
        part = Sink(sink.layer, sink.hashes[start : start + size], "features", sink.n_features)
        store = MemoryStore(*part.shape)
        self._fill([(part, store)], paths, recording)
        return torch.from_numpy(store.features())


@dataclass(frozen=True)
class Sink:
    """One matrix to be filled: a layer's features over one set of stimuli."""

    layer: str
    hashes: tuple[str, ...]
    form: str  # "gram" or "features"
    n_features: int

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        return self.layer, self.hashes

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.hashes), self.n_features

    @property
    def n_bytes(self) -> int:
        return 4 * len(self.hashes) * self.n_features


def _merged(requests: Iterable[Request]) -> list[Request]:
    """Requests over the same images become one."""
    merged: dict[tuple[str, ...], Request] = {}
    for request in requests:
        before = merged.get(request.hashes, Request(request.stimuli))
        merged[request.hashes] = Request(
            before.stimuli, before.grams | request.grams, before.features | request.features
        )
    return list(merged.values())


def _by_layers_wanted(filling, rows) -> dict[tuple[str, ...], list[str]]:
    """Images still to be shown, grouped by the layers wanted of them: each group has one depth to stop at."""
    wanted: dict[str, set[str]] = {}
    for (sink, store), row_of in zip(filling, rows, strict=True):
        for sha, row in row_of.items():
            if not store.done[row]:
                wanted.setdefault(sha, set()).add(sink.layer)
    groups: dict[tuple[str, ...], list[str]] = {}
    for sha, layers in wanted.items():
        groups.setdefault(tuple(sorted(layers)), []).append(sha)
    return groups


def _require_finite(features: Tensor, layer: str, paths: Sequence[Path]) -> None:
    finite = torch.isfinite(features).all(dim=1)
    if not finite.all():
        first = int(torch.nonzero(~finite)[0])
        raise UserError(
            f"layer '{layer}' yields NaN or infinite activations, first for {paths[first]}. "
            "Check the checkpoint; with --precision float16, use float32."
        )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
