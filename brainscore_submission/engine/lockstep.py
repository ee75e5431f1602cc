"""One pass of many minibatches through a network: every layer wanted ends in a store or in its Gram matrix.

A layer wanted is either *stored*, its features wait in a store, or *parked*. Then each minibatch runs in a thread of
its own, one at a time, and stops inside the layer's hook; when all have arrived, the layer's Gram matrix is formed from
their outputs, a block of columns at a time, and all go on. So the features of a parked layer over all stimuli are never
copied: what is held is what the forward passes themselves hold at that moment. It needs no knowledge of the network's
structure, only that its order of execution is always the same. Which layers are parked is decided in ``plan.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..plugin.errors import UserError
from ..plugin.hooks import Firing, checked_output, exact_arithmetic, module_of
from .devices import OnItsWay, exact_device, row_numbers
from .gram import GramAccumulator, NonFiniteActivations
from .images import CONSTANT
from .stores import COLUMN_BLOCK_BYTES, DiskStore, MemoryStore

Store = MemoryStore | DiskStore


@dataclass(frozen=True)
class Sink:
    """One matrix to be filled: some of a layer's features over one set of stimuli.

    Parameters
    ----------
    layer : name
    hashes : content hashes of the stimuli, sorted: the rows
    form : "gram" or "features"
    start, stop : columns, of the features or of their projection
    projection : (n_images, n_features) -> what is kept of them instead; None keeps all
    """

    layer: str
    hashes: tuple[str, ...]
    form: str
    start: int
    stop: int
    projection: Callable[[Tensor], Tensor] | None = None

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        return self.layer, self.hashes

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.hashes), self.stop - self.start

    @property
    def n_bytes(self) -> int:
        return 4 * len(self.hashes) * (self.stop - self.start)

    def parts(self, room: int) -> list[Sink]:
        """The same in several, each of no more bytes than `room`."""
        width = max(1, room // (4 * len(self.hashes)))
        starts = range(self.start, self.stop, width)
        return [Sink(*self.key, self.form, at, min(at + width, self.stop), self.projection) for at in starts]


@dataclass(frozen=True)
class Batch:
    """Images that are shown together, and the layers wanted of them."""

    hashes: tuple[str, ...]
    layers: tuple[str, ...]


class Walker:
    """Work in a thread of its own that runs only while someone waits for it: a generator for code with callbacks.

    Parameters
    ----------
    work : callable, called with the walker; it calls `pause` wherever it wants to wait

    Examples
    --------
    >>> said = []
    >>> walker = Walker(lambda walker: (said.append("one"), walker.pause(), said.append("two")))
    >>> walker.advance(), said
    (True, ['one'])
    >>> walker.advance(), said
    (False, ['one', 'two'])
    """

    def __init__(self, work: Callable[[Walker], object]):
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._abandoned = False
        self._over = False
        self._error: BaseException | None = None

    def advance(self) -> bool:
        """Run to the next pause; False when the work is over. What the work raises is raised here."""
        if self._over:
            return False
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._back.acquire()
        if self._error is not None:
            raise self._error
        return not self._over

    def pause(self) -> None:
        """Wait until somebody calls `advance`. To be called by the work."""
        self._back.release()
        self._go.acquire()
        self.check()

    def check(self) -> None:
        """Leave the work if it has been abandoned. To be called by the work."""
        if self._abandoned:
            raise _Abandoned

    def abandon(self) -> None:
        """End the work at its next pause or check, and wait for that."""
        self._abandoned = True
        if self._thread.ident is not None:
            self._go.release()
            self._thread.join()

    def _run(self) -> None:
        try:
            self._work(self)
        except _Abandoned:
            pass
        except BaseException as error:  # noqa: BLE001  (handed to whoever waits in `advance`)
            self._error = error
        self._over = True
        self._back.release()


class _Abandoned(BaseException):
    """Ends the work of a walker that nobody waits for any more; past any `except Exception` of a network."""


class _AllFired(BaseException):
    """Leaves the forward pass once every layer wanted has fired."""


class Minibatch:
    """A batch on its way through the network.

    Parameters
    ----------
    batch : Batch
    pixels : callable -> network input
    show : callable, pixels -> None: the forward pass
    """

    def __init__(self, batch: Batch, pixels: Callable[[], Tensor], show: Callable[[Tensor], object]):
        self.batch = batch
        self.arrived: Sink | None = None
        self.features: Tensor | None = None
        self.fired: dict[str, int] = {}
        self._pixels = pixels
        self._show = show
        self._walker: Walker | None = None

    def run(self, _walker: Walker | None = None) -> None:
        """Go through the network, as deep as is wanted."""
        with torch.inference_mode(), suppress(_AllFired):  # inference mode belongs to a thread
            self._show(self._pixels())

    def advance(self) -> Sink | None:
        """Go on, in a thread, to the next parked layer or to the end of the pass: None."""
        self.arrived = self.features = None
        if self._walker is None:
            self._walker = Walker(self.run)
        self._walker.advance()
        return self.arrived

    def park(self, sink: Sink, features: Tensor) -> None:
        """Wait at a layer."""
        self.arrived, self.features = sink, features
        self._walker.pause()

    def check(self) -> None:
        """Stop if the others have been given up."""
        if self._walker is not None:
            self._walker.check()

    def abandon(self) -> None:
        """Give up, and let go of everything."""
        if self._walker is not None:
            self._walker.abandon()
        self._walker = self.features = None


class Sweep:
    """One pass of batches through the network, as deep as the layers wanted of each.

    Parameters
    ----------
    network : nn.Module, in eval mode
    firings : layer -> Firing for the layers wanted, in the order of execution
    stores : sink -> where its features wait; None for a sink that is parked, one a layer
    paths : content hash -> file, for messages
    device : where Gram matrices of stored features are formed
    around : makes the context of a forward pass (precision, kernels)
    """

    def __init__(
        self,
        network: nn.Module,
        firings: Mapping[str, Firing],
        stores: Mapping[Sink, Store | None],
        paths: Mapping[str, Path],
        device: str = "cpu",
        around: Callable[[], AbstractContextManager] = exact_arithmetic,
    ):
        self._network = network
        self._firings = firings
        self._stores = stores
        self._sinks = {layer: [sink for sink in stores if sink.layer == layer] for layer in firings}
        self._row_of = {hashes: {sha: row for row, sha in enumerate(hashes)} for hashes in {s.hashes for s in stores}}
        self._paths = paths
        self._device = device
        self._around = around
        self._running: Minibatch | None = None
        self._finite: list[tuple[OnItsWay, str, list[str]]] = []  # of the batch before, and of this one
        for sink, store in stores.items():
            rows, kept = self._constant(sink)
            if store is not None and rows:
                store.write(rows, kept)
                store.flush()

    def fill(self, batches: Sequence[Batch], pixels: Callable[[int], Tensor]) -> None:
        """Show batches, one after the other; all sinks have stores.

        Parameters
        ----------
        batches : of images, all or some of the sinks' stimuli
        pixels : callable, number of a batch -> network input

        Raises
        ------
        UserError
            If activations are not finite: layer and first stimulus.
        """
        with ExitStack() as stack:
            self._hook_up(stack)
            stack.callback(self._forget_running)  # its stores' files are to be closed with this object
            for number, batch in enumerate(batches):
                before = len(self._finite)
                self._running = Minibatch(batch, lambda number=number: pixels(number), self._show)
                self._running.run()
                self._require_finite(before)  # one batch late, so that the host never waits for the device
        self._require_finite(len(self._finite))
        for store in self._stores.values():
            store.flush()

    def run(self, batches: Sequence[Batch], pixels: Callable[[int], Tensor]) -> Iterator[tuple[Sink, np.ndarray]]:
        """Show batches side by side; each sink's Gram matrix as soon as it is whole, in the order of execution.

        Parameters
        ----------
        batches : of images, together each sink's stimuli
        pixels : callable, number of a batch -> network input

        Raises
        ------
        UserError
            If the order of execution depends on the image, or activations are not finite.
        """
        minibatches = [
            Minibatch(batch, lambda number=number: pixels(number), self._show) for number, batch in enumerate(batches)
        ]
        waiting: list[Sink] = []
        with ExitStack() as stack:
            self._hook_up(stack)
            stack.callback(self._forget_running)
            for minibatch in minibatches:
                stack.callback(minibatch.abandon)
            for sink in (sink for layer in self._firings for sink in self._sinks[layer]):
                if self._stores[sink] is not None:
                    waiting.append(sink)
                    continue
                self._advance(minibatches, sink)
                yield from self._emptied(waiting)
                yield sink, self._gram_of_parked(sink, minibatches)
            self._advance(minibatches, None)
            yield from self._emptied(waiting)

    def _hook_up(self, stack: ExitStack) -> None:
        for layer in self._firings:
            receive = lambda _module, _inputs, output, layer=layer: self._receive(layer, output)  # noqa: E731
            stack.callback(module_of(self._network, layer).register_forward_hook(receive).remove)

    def _forget_running(self) -> None:
        self._running = None

    def _show(self, pixels: Tensor) -> None:
        with self._around():  # in the minibatch's own thread: autocast belongs to a thread
            self._network(pixels)

    def _advance(self, minibatches: Sequence[Minibatch], sink: Sink | None) -> None:
        for minibatch in minibatches:
            self._running, before = minibatch, len(self._finite)
            arrived = minibatch.advance()
            self._require_finite(before)
            if arrived is not sink:
                raise _out_of_turn((arrived or sink).layer)
        self._require_finite(len(self._finite))

    def _receive(self, layer: str, output: object) -> None:
        minibatch = self._running
        batch = minibatch.batch
        minibatch.check()
        minibatch.fired[layer] = minibatch.fired.get(layer, 0) + 1
        if layer not in batch.layers or minibatch.fired[layer] < self._firings[layer].count:
            return  # the last output counts
        features = checked_output(layer, output, len(batch.hashes)).flatten(1).float()
        for sink in self._sinks[layer]:
            self._take(sink, features, minibatch)
        if all(minibatch.fired.get(wanted) == self._firings[wanted].count for wanted in batch.layers):
            raise _AllFired

    def _take(self, sink: Sink, features: Tensor, minibatch: Minibatch) -> None:
        row_of, store = self._row_of[sink.hashes], self._stores[sink]
        hashes = [sha for sha in minibatch.batch.hashes if sha in row_of]
        if store is not None:
            hashes = [sha for sha in hashes if not store.done[row_of[sha]]]
        if not hashes:
            return
        if len(hashes) < len(features):
            features = features[row_numbers([minibatch.batch.hashes.index(sha) for sha in hashes], features.device)]
        kept = (features if sink.projection is None else sink.projection(features))[:, sink.start : sink.stop]
        if store is None:
            minibatch.park(sink, kept)
            return
        self._finite.append((OnItsWay(torch.isfinite(kept).all(dim=1)), sink.layer, hashes))
        store.write([row_of[sha] for sha in hashes], kept)

    def _constant(self, sink: Sink) -> tuple[list[int], Tensor]:
        """The rows of a sink that no image fills, and what is kept of their features."""
        rows = [row for row, sha in enumerate(sink.hashes) if sha in CONSTANT]
        values = torch.tensor([CONSTANT[sink.hashes[row]] for row in rows])
        features = values[:, None].expand(-1, self._firings[sink.layer].n_features).to(self._device)
        kept = features if sink.projection is None or not rows else sink.projection(features)
        return rows, kept[:, sink.start : sink.stop]

    def _require_finite(self, first: int) -> None:
        """Look at the first entries of what was written, and forget them."""
        for sent, layer, hashes in self._finite[:first]:
            finite = sent.arrived()
            if not finite.all():
                for store in filter(None, self._stores.values()):
                    store.discard()  # a row that is not finite must not be taken for done by the next run
                raise self._not_finite(layer, hashes[int(torch.nonzero(~finite)[0])])
        del self._finite[:first]

    def _not_finite(self, layer: str, sha: str) -> UserError:
        return UserError(
            f"layer '{layer}' yields NaN or infinite activations, first for {self._paths.get(sha, sha)}. "
            "Check the checkpoint; with --precision float16, use float32."
        )

    def _emptied(self, waiting: list[Sink]) -> Iterator[tuple[Sink, np.ndarray]]:
        while waiting:
            sink = waiting.pop(0)
            store = self._stores[sink]
            store.flush()
            if not store.done.all():
                raise _out_of_turn(sink.layer)
            gram = gram_of_store(store, self._device)
            store.discard()
            yield sink, gram

    def _gram_of_parked(self, sink: Sink, minibatches: Sequence[Minibatch]) -> np.ndarray:
        first, row_of = minibatches[0].features, self._row_of[sink.hashes]
        rows = [row_numbers([row_of[sha] for sha in minibatch.batch.hashes], first.device) for minibatch in minibatches]
        constant_rows, constant = self._constant(sink)
        constant_rows = row_numbers(constant_rows, first.device)
        accumulator = GramAccumulator(len(sink.hashes))
        width = block_width(len(sink.hashes), first.shape[1])
        try:
            for start in range(0, first.shape[1], width):
                stop = min(start + width, first.shape[1])
                block = torch.empty(len(sink.hashes), stop - start, dtype=torch.float32, device=first.device)
                for minibatch, places in zip(minibatches, rows, strict=True):
                    block[places] = minibatch.features[:, start:stop]
                block[constant_rows] = constant[:, start:stop].to(block)
                accumulator.add(block)
            return accumulator.result()
        except NonFiniteActivations as error:
            raise self._not_finite(sink.layer, sink.hashes[error.stimulus]) from error


def gram_of_store(store: Store, device: str) -> np.ndarray:
    """The Gram matrix of the features in a store: ndarray of shape (n_stimuli, n_stimuli), float64."""
    accumulator = GramAccumulator(store.shape[0])
    for block in store.columns():
        accumulator.add(torch.as_tensor(block).to(exact_device(device)))
    return accumulator.result()


def block_width(n_stimuli: int, n_features: int) -> int:
    """Columns in a block: the same whatever the plan, so that the sums are the same to the last bit."""
    return max(1, min(n_features, COLUMN_BLOCK_BYTES // (4 * max(1, n_stimuli))))


def _out_of_turn(layer: str) -> UserError:
    return UserError(
        f"the network's order of execution depends on the image: layer '{layer}' fired out of turn. "
        "Search fewer layers at a time with --layers, or give more --memory."
    )


def batches_of(hashes: Sequence[str], layers: Sequence[str], batch_size: int) -> list[Batch]:
    """Consecutive images, `batch_size` at a time; what is no image is left out.

    >>> [batch.hashes for batch in batches_of("abcde", ["layer"], 2)]
    [('a', 'b'), ('c', 'd'), ('e',)]
    """
    hashes = [sha for sha in hashes if sha not in CONSTANT]
    starts = range(0, len(hashes), batch_size)
    return [Batch(tuple(hashes[at : at + batch_size]), tuple(layers)) for at in starts]
