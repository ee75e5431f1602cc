"""How to record many layers within a budget: which go together in a pass, and where minibatches wait for each other.

A *sweep* is one pass over the stimuli, as deep as its last layer, for a run of consecutive layers. Within it, a layer
is recorded in one of two ways: all minibatches wait at it (parked: it costs the memory that the waiting forward passes
hold, see ``lockstep.py``), or its features wait in a store, in memory or on disk, until the next parked layer or the
end. Early layers are large and their sweep is short; later ones are many and small enough to be parked: so the plan is
usually one or two short sweeps and a long one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..plugin.errors import UserError
from ..words import duration_in_words, size_in_words
from .budget import Budget
from .stores import COLUMN_BLOCK_BYTES
from .survey import Candidate, Survey

MOST_MINIBATCHES = 64  # a thread each
TRANSIENT_MARGIN = 1.5  # convolutions' own buffers, which no hook sees
DISK_BYTES_PER_SECOND = 5e8
LEAST_FEATURES = 1024  # fewer features of a layer in a sweep would never end


@dataclass(frozen=True)
class PlannedSweep:
    """One pass over the stimuli.

    Parameters
    ----------
    layers : consecutive, in the order of execution
    parked : those at which all minibatches wait for each other
    on_disk : whether the features of the others wait on disk, else in memory
    depth : share of a forward pass that it needs
    memory_bytes, disk_bytes : most that waits there
    columns : part (start, stop) of the features of the only layer, where that layer fits nowhere as a whole
    """

    layers: tuple[str, ...]
    parked: tuple[str, ...]
    on_disk: bool
    depth: float
    memory_bytes: int
    disk_bytes: int
    columns: tuple[int, int] | None = None


@dataclass(frozen=True)
class Speed:
    """What was timed before the plan was made.

    Parameters
    ----------
    image_seconds : forward pass of one image
    multiply_add_seconds : of the Gram matrix: one multiplication and addition
    """

    image_seconds: float
    multiply_add_seconds: float


@dataclass(frozen=True)
class Plan:
    """Sweeps over one set of stimuli, and what they are expected to cost."""

    n_stimuli: int
    batch_size: int
    sweeps: tuple[PlannedSweep, ...]
    transient_bytes: int
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """In the order of execution."""
        return tuple(dict.fromkeys(layer for sweep in self.sweeps for layer in sweep.layers))

    @property
    def image_passes(self) -> int:
        """Images that will go through the network, each time a part of the way counted as one."""
        return self.n_stimuli * len(self.sweeps)

    @property
    def forward_passes(self) -> float:
        """Whole forward passes over the stimuli that the sweeps add up to."""
        return sum(sweep.depth for sweep in self.sweeps)

    @property
    def memory_bytes(self) -> int:
        return self.transient_bytes + max((sweep.memory_bytes for sweep in self.sweeps), default=0)

    @property
    def disk_bytes(self) -> int:
        return max((sweep.disk_bytes for sweep in self.sweeps), default=0)

    def lines(self) -> list[str]:
        """The plan in words: sums, a line a sweep, and what it is expected to cost."""
        steps = [f"  - {words}" for words in _in_words(self.sweeps)]
        return [self._sums(), *steps, f"  expected: {self._costs()}"]

    def _sums(self) -> str:
        if not self.sweeps:
            return f"nothing to record: the Gram matrices over {self.n_stimuli} stimuli are in the cache"
        passes = f"{len(self.sweeps)} {'pass' if len(self.sweeps) == 1 else 'passes'} over them"
        shares = f"{self.forward_passes:.2f} whole forward passes, {self.image_passes} image passes"
        return f"{len(self.layers)} layers, {self.n_stimuli} stimuli, {passes} ({shares})"

    def _costs(self) -> str:
        stages = ", ".join(f"{stage} {duration_in_words(seconds)}" for stage, seconds in self.seconds.items())
        time = f"{duration_in_words(sum(self.seconds.values()))} ({stages}), " if stages else ""
        memory, disk = size_in_words(self.memory_bytes), size_in_words(self.disk_bytes)
        return f"{time}{memory} of memory beside the network, {disk} of disk"


def make_plan(
    survey: Survey,
    candidates: Sequence[Candidate],
    n_stimuli: int,
    batch_size: int,
    budget: Budget,
    speed: Speed,
    columns: int | None = None,
) -> Plan:
    """The fastest plan that stays within the budget.

    Parameters
    ----------
    survey : of the network
    candidates : layers wanted, in the order of execution
    n_stimuli, batch_size : int
    budget : memory for everything beside the network itself, and disk
    speed : Speed
    columns : of a sketch, kept instead of all features of a layer that has more

    Raises
    ------
    UserError
        If not even one layer can be recorded a part at a time.
    """
    batch_size = min(n_stimuli, max(batch_size, -(-n_stimuli // MOST_MINIBATCHES)))
    if not candidates:
        return Plan(n_stimuli, batch_size, (), 0)
    transient = int(TRANSIENT_MARGIN * batch_size * survey.peak_bytes) + 3 * 8 * n_stimuli**2 + COLUMN_BLOCK_BYTES
    room = budget.memory_bytes - transient
    smallest = 4 * n_stimuli * LEAST_FEATURES
    if room < smallest:
        raise UserError(
            f"{size_in_words(budget.memory_bytes)} of memory is too little to record {n_stimuli} stimuli, "
            f"{batch_size} at a time: give --memory {size_in_words(transient + 4 * smallest)} or more, "
            "or a smaller --batch-size."
        )
    disk = budget.disk_bytes if budget.scratch is not None else 0
    layers = [_Layer.of(candidate, n_stimuli, columns) for candidate in candidates]
    seconds_per_pass = n_stimuli * speed.image_seconds
    sweeps = _cheapest(layers, room, disk, seconds_per_pass)
    spooled = sum(sweep.disk_bytes for sweep in sweeps)
    seconds = {
        "forward": seconds_per_pass * sum(sweep.depth for sweep in sweeps),
        "Gram matrices": n_stimuli**2 * sum(layer.n_features for layer in layers) * speed.multiply_add_seconds,
        "disk": 2 * spooled / DISK_BYTES_PER_SECOND,
    }
    return Plan(n_stimuli, batch_size, tuple(sweeps), transient, seconds)


def readout_plan(candidates: Sequence[Candidate], n_stimuli: int, budget: Budget) -> Plan:
    """Layers whose features themselves are held: as many in a sweep as fit in half of the memory."""
    groups: list[list[Candidate]] = []
    taken = 0
    for candidate in candidates:
        n_bytes = 4 * n_stimuli * candidate.n_features
        if not groups or taken + n_bytes > budget.memory_bytes // 2:
            groups.append([])
            taken = 0
        groups[-1].append(candidate)
        taken += n_bytes
    return Plan(n_stimuli, 0, tuple(_held(group, n_stimuli) for group in groups), 0)


def _held(group: Sequence[Candidate], n_stimuli: int) -> PlannedSweep:
    n_bytes = 4 * n_stimuli * sum(candidate.n_features for candidate in group)
    return PlannedSweep(tuple(c.layer for c in group), (), False, group[-1].depth, n_bytes, 0)


@dataclass(frozen=True)
class _Layer:
    name: str
    depth: float
    n_features: int  # kept
    n_bytes: int  # of them, over all stimuli
    live_bytes: int  # over all stimuli

    @classmethod
    def of(cls, candidate: Candidate, n_stimuli: int, columns: int | None) -> _Layer:
        kept = min(candidate.n_features, columns or candidate.n_features)
        live_bytes = n_stimuli * candidate.live_bytes
        return cls(candidate.layer, candidate.depth, kept, 4 * n_stimuli * kept, live_bytes)


def _cheapest(layers: Sequence[_Layer], room: int, disk: int, seconds_per_pass: float) -> list[PlannedSweep]:
    """Cut the layers into runs so that the sum of the sweeps' seconds is least (dynamic programming over the cuts)."""
    # best[i]: seconds and sweeps for the first i layers
    best: list[tuple[float, list[PlannedSweep]] | None] = [(0.0, []), *[None] * len(layers)]
    for start in range(len(layers)):
        run = _Run(room, disk)
        seconds_before, sweeps_before = best[start]
        for stop in range(start + 1, len(layers) + 1):
            if not run.extend(layers[stop - 1]):
                break
            sweep = run.sweep()
            cost = seconds_before + seconds_per_pass * sweep.depth + 2 * sweep.disk_bytes / DISK_BYTES_PER_SECOND
            if best[stop] is None or cost < best[stop][0]:
                best[stop] = cost, [*sweeps_before, sweep]
        if best[start + 1] is None:  # fits nowhere as a whole
            parts = _parts(layers[start], max(room, disk), on_disk=disk > room)
            best[start + 1] = (
                seconds_before + len(parts) * seconds_per_pass * layers[start].depth,
                [
                    *sweeps_before,
                    *parts,
                ],
            )
    return best[-1][1]


class _Run:
    """Consecutive layers that may share a sweep, and what they need where."""

    def __init__(self, room: int, disk: int):
        self._room, self._disk = room, disk
        self._layers: list[_Layer] = []
        self._parked: list[_Layer] = []
        self._total = 0  # if every layer waits in memory
        self._stored = 0  # since the last parked layer
        self._most_stored = 0
        self._most_live = 0
        self._most_of_both = 0

    def extend(self, layer: _Layer) -> bool:
        """Take one more layer; False if that fits nowhere."""
        self._layers.append(layer)
        self._total += layer.n_bytes
        parked_live = self._parked[-1].live_bytes if self._parked else 0
        if layer.live_bytes <= self._room:
            self._parked.append(layer)
            self._most_live = max(self._most_live, layer.live_bytes)
            self._most_of_both = max(self._most_of_both, max(layer.live_bytes, parked_live) + self._stored)
            self._stored = 0
        else:
            self._stored += layer.n_bytes
            self._most_stored = max(self._most_stored, self._stored)
            self._most_of_both = max(self._most_of_both, parked_live + self._stored)
        return self._all_in_memory or self._most_of_both <= self._room or self._most_stored <= self._disk

    @property
    def _all_in_memory(self) -> bool:
        return self._total <= self._room

    def sweep(self) -> PlannedSweep:
        names = tuple(layer.name for layer in self._layers)
        depth = self._layers[-1].depth
        if self._all_in_memory:
            return PlannedSweep(names, (), False, depth, self._total, 0)
        parked = tuple(layer.name for layer in self._parked)
        if self._most_of_both <= self._room:
            return PlannedSweep(names, parked, False, depth, self._most_of_both, 0)
        return PlannedSweep(names, parked, True, depth, self._most_live, self._most_stored)


def _parts(layer: _Layer, room: int, on_disk: bool) -> list[PlannedSweep]:
    """A layer too large for any place: some of its columns in each sweep."""
    n_stimuli_bytes = layer.n_bytes // layer.n_features
    width = max(1, room // n_stimuli_bytes)
    parts = []
    for start in range(0, layer.n_features, width):
        stop = min(start + width, layer.n_features)
        n_bytes = (stop - start) * n_stimuli_bytes
        memory, disk = (0, n_bytes) if on_disk else (n_bytes, 0)
        parts.append(PlannedSweep((layer.name,), (), on_disk, layer.depth, memory, disk, (start, stop)))
    return parts


def _in_words(sweeps: Sequence[PlannedSweep]) -> list[str]:
    """A line a sweep; the parts of one layer share a line."""
    lines = []
    for layers, same in itertools.groupby(sweeps, key=lambda sweep: sweep.layers):
        sweep, *others = same
        times = f", in {1 + len(others)} sweeps of some features each" if sweep.columns else ""
        name = layers[0] if len(layers) == 1 else f"{layers[0]} … {layers[-1]} ({len(layers)} layers)"
        lines.append(f"{name}{times}: {sweep.depth:.0%} of the forward pass; {_ways(sweep)}")
    return lines


def _ways(sweep: PlannedSweep) -> str:
    stored, ways = len(sweep.layers) - len(sweep.parked), []
    if stored:
        where = f"on disk ({size_in_words(sweep.disk_bytes)})" if sweep.on_disk else "in memory"
        ways.append(f"features{f' of {stored}' if sweep.parked else ''} wait {where}")
    if sweep.parked:
        ways.append(f"minibatches wait for each other at {len(sweep.parked)}")
    return f"{', '.join(ways)} ({size_in_words(sweep.memory_bytes)} of memory)"
