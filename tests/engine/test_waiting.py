"""The host never waits for a GPU inside a pass; shown without one, by tensors that say they are there and are empty."""

from contextlib import nullcontext, suppress

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from brainscore_submission.engine import devices
from brainscore_submission.engine.gram import GramAccumulator
from brainscore_submission.engine.lockstep import Sink, Sweep, batches_of
from brainscore_submission.engine.stores import MemoryStore
from brainscore_submission.plugin.card import Preprocessing
from brainscore_submission.plugin.hooks import Firing
from brainscore_submission.plugin.preprocessing import normalise, unit_range

N_IMAGES, SIDE = 12, 8
HASHES = tuple(f"{number:03d}" for number in range(N_IMAGES))
PREPROCESSING = Preprocessing("small", resize_px=SIDE, crop_px=SIDE)


class Waits(TorchDispatchMode):
    """Notes every operation that makes the host wait for a GPU's queue."""

    def __init__(self):
        super().__init__()
        self.noted = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, given = function.overloadpacket.__name__, [x for x in tree_leaves(args) if isinstance(x, torch.Tensor)]
        if name in ("_local_scalar_dense", "nonzero") and given[0].is_cuda:
            self.noted.append(name)
            return torch.zeros(()) if name == "nonzero" else 1
        if name.startswith("index") and any(x.dtype == torch.bool for x in given[1:]):  # how many are True?
            self.noted.append(name)
        result = function(*args, **kwargs)
        made = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        crossed = len({x.device.type for x in (*given, *made) if x.ndim}) > 1
        said = dict(zip([argument.name for argument in function._schema.arguments], args, strict=False)) | kwargs
        if crossed and not said.get("non_blocking"):
            self.noted.append(name)
        return result


class Queue:
    """The stream of a GPU that is not there; an event of it says when it is waited for."""

    def __init__(self, log):
        self._log = log

    def record_event(self):
        self._log.append("sent")
        return self

    def synchronize(self):
        self._log.append("waited")


@pytest.fixture
def log(monkeypatch):
    """What was sent to the host and waited for, in order; nothing can be pinned where there is no GPU."""
    log = []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Queue(log))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    return log


@pytest.fixture
def waits(log):
    with FakeTensorMode(), Waits() as waits:
        yield waits


def network():
    with torch.device("cuda"):
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()


def sweep_of(stores, shown):
    shapes = {"0": (4, 6, 6), "1": (4, 6, 6), "3": (5,)}
    firings = {layer: Firing(1, shape) for layer, shape in shapes.items() if layer in {s.layer for s in stores}}
    return Sweep(shown, firings, stores, {}, "cuda", around=nullcontext)


def pixels(number):
    images = torch.empty(4, 3, SIDE, SIDE, dtype=torch.uint8).pin_memory().to("cuda", non_blocking=True)
    return normalise(unit_range(images), PREPROCESSING)


@pytest.mark.parametrize(
    "wait", [lambda x: bool(x.any()), lambda x: x.cpu(), lambda x: x[[0, 1]], lambda x: x.nonzero(), lambda x: x[x > 0]]
)
def test_what_waits_is_noted(waits, wait):
    x = torch.empty(3, 4, device="cuda")
    assert not waits.noted
    with suppress(RuntimeError, IndexError):  # there are no numbers
        wait(x)
    assert waits.noted


def test_a_pass_into_the_gpus_memory_waits_for_nothing_but_what_the_batch_before_sent(waits, log):
    stores = {
        Sink("0", HASHES, "gram", 0, 144): MemoryStore(N_IMAGES, 144, "cuda"),
        Sink("3", HASHES[1::2], "features", 0, 5): MemoryStore(N_IMAGES // 2, 5, "cuda"),
    }
    sweep, batches = sweep_of(stores, network()), batches_of(HASHES, ["0", "3"], 4)
    waits.noted.clear()
    with pytest.MonkeyPatch.context() as patch:  # what arrived is finite: there are no numbers here
        patch.setattr(devices.OnItsWay, "arrived", lambda self: (self._event.synchronize(), np.ones(4, bool))[1])
        sweep.fill(batches, pixels)
    assert waits.noted == []
    assert log == ["sent", "sent"] + ["sent", "sent", "waited", "waited"] * 2 + ["waited", "waited"]
    assert all(store.done.all() for store in stores.values())


def test_a_gram_matrix_on_the_device_asks_for_nothing_until_it_is_whole(waits):
    accumulator = GramAccumulator(N_IMAGES)
    for _ in range(3):
        accumulator.add(torch.empty(N_IMAGES, 20_000, device="cuda"))
    assert waits.noted == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_torch_itself_sees_nobody_wait_for_a_real_gpu():
    store, accumulator = MemoryStore(N_IMAGES, 144, "cuda"), GramAccumulator(N_IMAGES)
    sweep = sweep_of({Sink("0", HASHES, "gram", 0, 144): store}, network())
    torch.cuda.set_sync_debug_mode("error")
    try:
        sweep.fill(batches_of(HASHES, ["0"], 4), pixels)
        for columns in store.columns():
            accumulator.add(columns)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert accumulator.result().shape == (N_IMAGES, N_IMAGES)
