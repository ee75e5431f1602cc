"""Forward passes of many minibatches that wait for each other at chosen layers: exact Gram matrices in one pass.

Each minibatch runs in a thread of its own, and one thread runs at a time. At a layer that is *parked*, a minibatch
stops inside the layer's hook; when all have arrived, the layer's Gram matrix is formed from their outputs, a block of
columns at a time, and all go on. So the features of a layer over all stimuli are never copied, let alone all layers':
what is held is what the forward passes themselves hold at that moment. It needs no knowledge of the network's
structure, only that its order of execution is always the same.

Torch and numpy only. Which layers are parked is decided in ``plan.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress

import numpy as np
import torch
from torch import Tensor, nn

from ..plugin.errors import UserError
from ..plugin.hooks import Firing, checked_output, exact_arithmetic, module_of
from .gram import GramAccumulator
from .stores import COLUMN_BLOCK_BYTES, DiskStore, MemoryStore

Projection = Callable[[Tensor], Tensor]
Store = MemoryStore | DiskStore


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
    """Some stimuli on their way through the network.

    Parameters
    ----------
    rows : where they stand among all stimuli
    show : callable, pixels -> None: the forward pass
    load : callable -> pixels
    """

    def __init__(self, rows: slice, load: Callable[[], Tensor], show: Callable[[Tensor], object]):
        self.rows = rows
        self.arrived: str | None = None
        self.features: Tensor | None = None
        self.fired: dict[str, int] = {}
        self._load = load
        self._show = show
        self._walker = Walker(self._forward)

    def advance(self) -> str | None:
        """Go on to the next parked layer: its name, or None at the end of the pass."""
        self.arrived = self.features = None
        self._walker.advance()
        return self.arrived

    def park(self, layer: str, features: Tensor) -> None:
        """Wait at a layer."""
        self.arrived, self.features = layer, features
        self._walker.pause()

    def check(self) -> None:
        """Stop if the others have been given up."""
        self._walker.check()

    def abandon(self) -> None:
        """Give up."""
        self._walker.abandon()
        self.features = None

    def _forward(self, _walker: Walker) -> None:
        with torch.inference_mode(), suppress(_AllFired):  # inference mode belongs to a thread
            self._show(self._load())


class Sweep:
    """All minibatches through the network once, as deep as the layers wanted.

    Parameters
    ----------
    network : nn.Module, in eval mode
    firings : layer -> Firing for the layers wanted, in the order of execution
    parked : those at which the minibatches wait for each other
    stores : for each of the others, where its features wait
    projections : layer -> what is kept of its features (n_stimuli, n_features) instead of all of them
    columns : of the (projected) features, if not all
    device : where Gram matrices of stored features are formed
    around : makes the context in which minibatches run; what it sets is global, so it is not set in their threads

    Attributes
    ----------
    layer : the layer whose Gram matrix is being formed
    """

    def __init__(
        self,
        network: nn.Module,
        firings: Mapping[str, Firing],
        parked: Sequence[str] = (),
        stores: Mapping[str, Store] | None = None,
        projections: Mapping[str, Projection] | None = None,
        columns: slice = slice(None),
        device: str = "cpu",
        around: Callable[[], AbstractContextManager] = exact_arithmetic,
    ):
        self.layer: str | None = None
        self._network = network
        self._firings = firings
        self._parked = set(parked)
        self._stores = dict(stores or {})
        self._projections = projections or {}
        self._columns = columns
        self._device = device
        self._around = around
        self._running: Minibatch | None = None

    def run(
        self,
        n_stimuli: int,
        loaders: Sequence[tuple[slice, Callable[[], Tensor]]],
        show: Callable[[Tensor], object] | None = None,
        shown: Callable[[slice], None] = lambda rows: None,
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each layer's Gram matrix, in the order of execution, as soon as it is whole.

        Parameters
        ----------
        n_stimuli : rows in all
        loaders : for each minibatch its rows and a callable that gives its pixels; without parked layers, minibatches
            whose rows the stores already hold may be missing
        show : the forward pass, default the network itself
        shown : told the rows of each minibatch when its pixels have been asked for

        Raises
        ------
        UserError
            If the order of execution depends on the image.
        """
        minibatches = [
            Minibatch(rows, self._announced(rows, load, shown), show or self._network) for rows, load in loaders
        ]
        with ExitStack() as stack:
            for layer in self._firings:
                hook = module_of(self._network, layer).register_forward_hook(self._hook(layer))
                stack.callback(hook.remove)
            for minibatch in minibatches:
                stack.callback(minibatch.abandon)
            waiting: list[str] = []
            for layer in self._firings:
                if layer not in self._parked:
                    waiting.append(layer)
                    continue
                self._advance(minibatches, layer)
                yield from self._empty_stores(waiting)
                yield layer, self._gram_of_parked(layer, minibatches, n_stimuli)
            self._advance(minibatches, None)
            yield from self._empty_stores(waiting)

    def _announced(self, rows: slice, load: Callable[[], Tensor], shown: Callable[[slice], None]):
        def announced() -> Tensor:
            shown(rows)
            return load()

        return announced

    def _advance(self, minibatches: Sequence[Minibatch], layer: str | None) -> None:
        for minibatch in minibatches:
            self._running = minibatch
            with self._around():
                arrived = minibatch.advance()
            if arrived != layer:
                raise _out_of_turn(arrived or layer)

    def _hook(self, layer: str):
        def receive(_module: nn.Module, _inputs: object, output: object) -> None:
            self._receive(layer, output)

        return receive

    def _receive(self, layer: str, output: object) -> None:
        minibatch = self._running
        minibatch.check()
        minibatch.fired[layer] = minibatch.fired.get(layer, 0) + 1
        if minibatch.fired[layer] < self._firings[layer].count:
            return  # the last output counts
        n_images = minibatch.rows.stop - minibatch.rows.start
        features = checked_output(layer, output, n_images).flatten(1).float()
        features = self._projections.get(layer, _unchanged)(features)[:, self._columns]
        if layer in self._parked:
            minibatch.park(layer, features)
        else:
            self._stores[layer].write(list(range(minibatch.rows.start, minibatch.rows.stop)), features)
        if len(minibatch.fired) == len(self._firings) and self._all_fired(minibatch):
            raise _AllFired

    def _all_fired(self, minibatch: Minibatch) -> bool:
        return all(minibatch.fired[layer] == firing.count for layer, firing in self._firings.items())

    def _empty_stores(self, waiting: list[str]) -> Iterator[tuple[str, np.ndarray]]:
        while waiting:
            self.layer = waiting.pop(0)
            store = self._stores.pop(self.layer)
            store.flush()
            if not store.done.all():
                raise _out_of_turn(self.layer)
            accumulator = GramAccumulator(store.shape[0])
            for block in store.columns():
                accumulator.add(torch.as_tensor(block).to(self._device))
            store.discard()
            yield self.layer, accumulator.result()

    def _gram_of_parked(self, layer: str, minibatches: Sequence[Minibatch], n_stimuli: int) -> np.ndarray:
        self.layer = layer
        first = minibatches[0].features
        accumulator = GramAccumulator(n_stimuli)
        width = block_width(n_stimuli, first.shape[1])
        for start in range(0, first.shape[1], width):
            stop = min(start + width, first.shape[1])
            block = torch.empty(n_stimuli, stop - start, dtype=torch.float32, device=first.device)
            for minibatch in minibatches:
                block[minibatch.rows] = minibatch.features[:, start:stop]
            accumulator.add(block)
        return accumulator.result()


def block_width(n_stimuli: int, n_features: int) -> int:
    """Columns in a block: the same whatever the plan, so that the sums are the same to the last bit."""
    return max(1, min(n_features, COLUMN_BLOCK_BYTES // (4 * max(1, n_stimuli))))


def _out_of_turn(layer: str) -> UserError:
    return UserError(
        f"the network's order of execution depends on the image: layer '{layer}' fired out of turn. "
        "Search fewer layers at a time with --layers, or give more --memory."
    )


def _unchanged(features: Tensor) -> Tensor:
    return features


def minibatch_rows(n_stimuli: int, batch_size: int) -> list[slice]:
    """Consecutive rows, `batch_size` at a time.

    >>> minibatch_rows(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    starts = np.arange(0, n_stimuli, batch_size).tolist()
    return [slice(start, min(start + batch_size, n_stimuli)) for start in starts]
