"""A network, ready to be shown images: what the cache holds, then one pass for all layers wanted.

Early exit, bounded memory, resumable. Torch, numpy and scipy only, so the engine runs on any GPU machine. What is asked
for and what comes back is in ``images.py``, a pass in ``lockstep.py``, how features wait in ``stores.py``, how they
become a Gram matrix in ``gram.py``; the matrices of many layers at a time are recorded by ``many_layers.py``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..plugin.errors import UserError, suggest
from ..plugin.hooks import Firing, exact_arithmetic, layer_outputs, probe, tf32_arithmetic
from .budget import Budget
from .decoding import decoded, read_once
from .devices import release_memory
from .images import CONSTANT, Recording, Request
from .lockstep import Batch, Sink, Store, Sweep, batches_of, gram_of_store
from .recording_cache import RecordingCache
from .stores import DiskStore, MemoryStore

logger = logging.getLogger(__name__)

# What the forward pass computes in. float32 is Brain-Score's; the others move the score (bfloat16 by 3e-4 to 6e-4).
PRECISIONS: dict[str, Callable[[str], object]] = {
    "float32": lambda device: nullcontext(),
    "tf32": lambda device: tf32_arithmetic(),
    "bfloat16": lambda device: torch.autocast(device, torch.bfloat16),
    "float16": lambda device: torch.autocast(device, torch.float16),
}


# How far the same image may be from itself in another batch: matrix products of other sizes round otherwise.
STEADY = {"float32": 1e-3, "tf32": 1e-2}


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
    read : callable, path -> image, Tensor of shape (3, height, width)
    prepare : callable, several images on the device -> network input; default: they are that already
    fingerprint : hash of everything that determines an activation besides layer and image (card and weights):
        the key of what is kept on disk
    device : "cpu", "cuda[:i]" or "mps"
    batch_size : images in a forward pass; halves by itself when the GPU's memory runs out
    budget : how much may be held; default `Budget.default`
    cache : folder for Gram matrices, few features, and the features of an unfinished recording; None keeps nothing
    precision : one of `PRECISIONS`
    progress : callable (images done, images in all), called before each batch
    fresh : whether what the cache holds is recorded again
    apart : whether `read` may go to other processes, see `decoding.decoded`
    """

    def __init__(
        self,
        network: nn.Module,
        read: Callable[[Path], Tensor],
        fingerprint: str,
        *,
        prepare: Callable[[Tensor], Tensor] = lambda images: images,
        device: str = "cpu",
        batch_size: int = 8,
        budget: Budget | None = None,
        cache: Path | None = None,
        precision: str = "float32",
        progress: Callable[[int, int], None] | None = None,
        fresh: bool = False,
        apart: bool = False,
    ):
        require_precision(precision)
        self.network = network.to(device).eval()
        self._read = read
        self._prepare = prepare
        self._apart = apart
        self.device = str(device)
        self.batch_size = batch_size
        self.precision = precision
        self.cache = RecordingCache(cache and Path(cache), {"model": fingerprint, "precision": precision}, fresh)
        self.budget = budget or Budget.default(self.cache.folder, self.device)
        self.progress = progress
        self.image_passes = 0
        self.unsteady: str | None = None  # what a reader of anything recorded should know
        self._firings: dict[str, Firing] = {}
        self._leftovers: list[DiskStore] = []

    def record(self, requests: Sequence[Request]) -> Recording:
        """Show each image once and bring every layer that is wanted of it.

        Images that several requests share are shown once, and each image's forward pass stops after the deepest
        layer wanted of it. What the cache holds is not recorded again.

        Raises
        ------
        UserError
            For unknown or silent layers, unreadable images, and activations that are not finite (layer and first
            stimulus named).
        """
        requests = _merged(requests)
        self.probe(requests)
        recording = Recording()
        for layer in {layer for request in requests for layer in request.grams | request.features}:
            recording.n_features[layer] = self._firings[layer].n_features
            recording.shapes[layer] = self._firings[layer].shape
        wanted = [sink for request in requests for sink in self._sinks(request, recording)]
        paths = {stimulus.sha256: stimulus.path for request in requests for stimulus in request.stimuli}
        before = self.image_passes
        for group in self.groups(wanted):
            self._record_group(group, paths, recording)
        for sink in wanted:
            recorded = recording.grams if sink.form == "gram" else recording.matrices
            self.cache.save(*sink.key, recorded[sink.key], sink.form)
        recording.image_passes = self.image_passes - before
        return recording

    def probe(self, requests: Sequence[Request]) -> dict[str, Firing]:
        """Show one stimulus and see how often each layer fires and what it yields; asked once a layer."""
        layers = {layer for request in requests for layer in request.grams | request.features} - set(self._firings)
        if layers:
            shown = {stimulus.sha256: stimulus.path for request in requests for stimulus in request.stimuli}
            images = self.inputs([path for sha, path in shown.items() if sha not in CONSTANT][:2])
            first = not self._firings
            try:
                with PRECISIONS[self.precision](torch.device(self.device).type):
                    self._firings |= probe(self.network, images[:1], sorted(layers))
            except (RuntimeError, AssertionError, ValueError) as error:
                if isinstance(error, UserError | torch.OutOfMemoryError):
                    raise
                size, said = (
                    " x ".join(map(str, images.shape[-2:])),
                    (str(error) or type(error).__name__).splitlines()[0],
                )
                raise UserError(f"the network does not take an image of {size} pixels: {said[:200]}") from error
            if first:
                self._see_whether_steady(images)
        return self._firings

    def _see_whether_steady(self, images: Tensor) -> None:
        """Show an image alone, and again behind another one: the deepest layer should answer alike."""
        deepest = list(self._firings)[-1]
        alone = self._answers(images[:1], deepest)
        behind = self._answers(torch.cat([images[-1:], images[:1]]), deepest)[1:]
        moved = (alone - behind).abs().max() / alone.abs().max().clamp(min=torch.finfo().tiny)
        if not moved <= STEADY.get(self.precision, 5e-2):
            self.unsteady = (
                f"the network does not answer the same image alike: alone and in a batch, {deepest} differs by "
                f"{moved:.1g} of its largest value. Its scores depend on chance or on the batch"
            )
            logger.warning("%s.", self.unsteady)

    def _answers(self, images: Tensor, layer: str) -> Tensor:
        with self.around():
            return layer_outputs(self.network, images, [layer], self._firings)[layer].flatten(1).float()

    def inputs(self, paths: Sequence[Path]) -> Tensor:
        """Network input for a few image files, on the device."""
        read = partial(read_once, self._read) if self._apart else self._read
        return self._prepare(torch.stack([read(path) for path in paths]).to(self.device))

    def groups(self, sinks: Sequence[Sink]) -> list[list[Sink]]:
        """Cut what is wanted into passes over the stimuli that each stay within the budget, shallow layers first.

        A Gram matrix whose layer does not fit as a whole is made of some of its features at a time.
        """
        depth = {layer: position for position, layer in enumerate(self._firings)}
        room = max(self.budget.memory_bytes, self.budget.disk_bytes)
        groups: list[list[Sink]] = []
        taken = 0
        for sink in sorted(sinks, key=lambda sink: depth[sink.layer]):
            parts = sink.parts(room) if sink.form == "gram" else [sink]
            if len(parts) > 1:
                logger.warning("layer %s does not fit the budget: recorded in %d passes", sink.layer, len(parts))
            for part in parts:
                if not groups or taken + part.n_bytes > room:
                    groups.append([])
                    taken = 0
                groups[-1].append(part)
                taken += part.n_bytes
        return groups

    def discard_leftovers(self) -> None:
        """Remove the features that were kept on disk so that a killed run could resume."""
        for store in self._leftovers:
            store.discard()
        self._leftovers = []

    @contextmanager
    def around(self) -> Iterator[None]:
        """The context of a forward pass: the precision, and kernels that are the same each time."""
        with PRECISIONS[self.precision](torch.device(self.device).type), exact_arithmetic():
            yield

    def sweep(self, stores: Mapping[Sink, Store | None], firings: Mapping[str, Firing], paths) -> Sweep:
        """A pass of this network for some sinks; parameters as of `Sweep`."""
        return Sweep(self.network, firings, stores, paths, self.device, self.around)

    @contextmanager
    def decoding(self, batches: Sequence[Batch], paths: Mapping[str, Path]) -> Iterator[Callable[[int], Tensor]]:
        """The pixels of batches by their number, read ahead; images are counted as they are asked for."""
        total, asked = sum(len(batch.hashes) for batch in batches), 0
        files = [[paths[sha] for sha in batch.hashes] for batch in batches]
        with decoded(self._read, self._prepare, files, self.device, self._apart) as inputs:

            def pixels(number: int) -> Tensor:
                nonlocal asked
                asked += len(batches[number].hashes)
                self.image_passes += len(batches[number].hashes)
                if self.progress:
                    self.progress(asked, total)
                return inputs(number)

            yield pixels

    def halve_batches(self, error: torch.OutOfMemoryError, what: str) -> None:
        """Go on with smaller batches after the GPU's memory has run out.

        Raises
        ------
        UserError
            If a batch is one image already; `what` does not fit.
        """
        if self.batch_size == 1:
            raise UserError(
                f"{what} does not fit into the memory of {self.device}. Use --device cpu, or free the GPU."
            ) from error
        self.batch_size //= 2
        logger.warning("out of GPU memory: the batch size is now %d", self.batch_size)
        release_memory()

    def spool(self, sink: Sink, name: str | None = None) -> Path:
        """The folder in which a sink's features wait on disk; `name` of what is kept of the layer, if not the layer."""
        # With the form: a layer wanted as Gram matrix and as features has two stores.
        key = self.cache.key(name or sink.layer, sink.hashes, form=sink.form, columns=[sink.start, sink.stop])
        return self.budget.scratch / "spool" / key

    # --- one pass -------------------------------------------------------------------------------------------

    def _record_group(self, sinks: Sequence[Sink], paths: Mapping[str, Path], recording: Recording) -> None:
        started = time.perf_counter()
        stores = self._stores(sinks)
        sweep = self.sweep(stores, self._firings_of(sinks), paths)
        while not self._filled(sweep, stores, paths):
            pass
        recording.seconds["forward"] += time.perf_counter() - started
        started = time.perf_counter()
        for sink, store in stores.items():
            if sink.form == "gram":  # of several parts; centred each, so they add up
                gram = gram_of_store(store, self.device)
                recording.grams[sink.key] = gram + recording.grams.get(sink.key, 0)
                store.discard()
            else:
                recording.matrices[sink.key] = store.features()
                if isinstance(store, DiskStore):
                    self._leftovers.append(store)
        recording.seconds["gram"] += time.perf_counter() - started

    def _filled(self, sweep: Sweep, stores: Mapping[Sink, Store], paths: Mapping[str, Path]) -> bool:
        """Show what the stores lack; False if the memory ran out, to be called again."""
        batches = [
            batch
            for layers, hashes in _by_layers_wanted(stores).items()
            for batch in batches_of(hashes, layers, self.batch_size)
        ]
        try:
            with self.decoding(batches, paths) as pixels:
                sweep.fill(batches, pixels)
        except torch.OutOfMemoryError as error:
            self.halve_batches(error, "one image")
            return False
        return True

    def _firings_of(self, sinks: Iterable[Sink]) -> dict[str, Firing]:
        layers = {sink.layer for sink in sinks}
        return {layer: firing for layer, firing in self._firings.items() if layer in layers}

    # --- where features wait ----------------------------------------------------------------------------------

    def _sinks(self, request: Request, recording: Recording) -> list[Sink]:
        """What the cache does not hold; what it holds goes straight into the recording."""
        sinks = []
        for form, layers, recorded in (
            ("features", request.features, recording.matrices),
            ("gram", request.grams, recording.grams),
        ):
            for layer in layers:
                kept = self.cache.load(layer, request.hashes, form)
                if kept is None:
                    sinks.append(Sink(layer, request.hashes, form, 0, self._firings[layer].n_features))
                else:
                    recorded[layer, request.hashes] = kept
        return sinks

    def _stores(self, sinks: Sequence[Sink]) -> dict[Sink, Store]:
        n_bytes = sum(sink.n_bytes for sink in sinks)
        on_gpu = torch.device(self.device).type == "cuda"
        if on_gpu and n_bytes <= self.budget.memory_bytes:
            return {sink: MemoryStore(*sink.shape, self.device) for sink in sinks}
        if self.budget.scratch is not None and n_bytes <= self.budget.disk_bytes:
            return {sink: DiskStore(self.spool(sink), *sink.shape) for sink in sinks}
        return {sink: MemoryStore(*sink.shape) for sink in sinks}


def _merged(requests: Iterable[Request]) -> list[Request]:
    """Requests over the same images become one."""
    merged: dict[tuple[str, ...], Request] = {}
    for request in requests:
        before = merged.get(request.hashes, Request(request.stimuli))
        merged[request.hashes] = Request(
            before.stimuli, before.grams | request.grams, before.features | request.features
        )
    return list(merged.values())


def _by_layers_wanted(stores: Mapping[Sink, Store]) -> dict[tuple[str, ...], list[str]]:
    """Images still to be shown, grouped by the layers wanted of them: each group has one depth to stop at."""
    wanted: dict[str, set[str]] = {}
    for sink, store in stores.items():
        for row, sha in enumerate(sink.hashes):
            if not store.done[row]:
                wanted.setdefault(sha, set()).add(sink.layer)
    groups: dict[tuple[str, ...], list[str]] = {}
    for sha, layers in wanted.items():
        groups.setdefault(tuple(sorted(layers)), []).append(sha)
    return groups
