"""Apple's GPU has no float64: what is exact stays on the CPU. There is none here, so whatever went to it would fail."""

import ast
import os

import numpy as np
import pytest
import torch
from rooms import files

from brainscore_submission.cli.attacking import open_all
from brainscore_submission.engine.budget import Budget
from brainscore_submission.engine.decoding import decoded
from brainscore_submission.engine.devices import exact_device, free_memory, has_float64
from brainscore_submission.engine.gram import GramAccumulator, gram
from brainscore_submission.engine.lockstep import gram_of_store
from brainscore_submission.engine.pls import cross_validate, fit
from brainscore_submission.engine.ridge import ridge_cv
from brainscore_submission.engine.stores import MemoryStore
from brainscore_submission.models.opening import find_device
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.preprocessing import unit_range

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(60, 200)).astype(np.float32)
TARGETS = RANDOM.normal(size=(60, 4))
SPLITS = [(np.arange(54), np.arange(54, 60))]


def test_the_device_is_refused_in_words_where_there_is_none():
    if torch.backends.mps.is_available():
        assert find_device("mps") == "mps"
    else:
        with pytest.raises(UserError, match="unknown device 'mps': torch finds no GPU of Apple's here"):
            find_device("mps")
    assert find_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_only_apples_gpu_lacks_float64():
    assert [exact_device(one) for one in ("cpu", "cuda:1", "mps", "mps:0")] == ["cpu", "cuda:1", "cpu", "cpu"]
    assert not has_float64(torch.device("mps"))


def test_pls_ridge_and_gram_matrices_are_those_of_the_cpu():
    products = gram(FEATURES)
    store = MemoryStore(*FEATURES.shape)
    store.write(np.arange(len(FEATURES)), torch.from_numpy(FEATURES))
    assert np.array_equal(gram_of_store(store, "mps"), gram_of_store(store, "cpu"))
    for run in (
        lambda device: cross_validate(products, TARGETS, SPLITS, device=device).r,
        lambda device: fit(products, TARGETS, device=device)[0],
        lambda device: ridge_cv(products, TARGETS, [0.1, 10.0], device).weights,
    ):
        assert np.array_equal(run("mps"), run("cpu"))


def test_features_on_a_device_without_float64_are_fetched_before_they_are_summed(monkeypatch):
    fetched, original = [], torch.Tensor.cpu
    monkeypatch.setattr("brainscore_submission.engine.gram.has_float64", lambda device: False)
    monkeypatch.setattr(torch.Tensor, "is_cpu", property(lambda self: False))
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: (fetched.append(self.dtype), original(self))[1])
    accumulator = GramAccumulator(len(FEATURES))
    accumulator.add(torch.from_numpy(FEATURES))
    assert fetched == [torch.float32]
    assert np.array_equal(accumulator.result(), gram(FEATURES))


def test_images_go_to_the_device_whatever_it_is_called(image_folder):
    batches = [sorted(image_folder.glob("*.png"))]

    def read(path):
        return torch.zeros(3, 8, 8, dtype=torch.uint8)

    with decoded(read, unit_range, batches, "meta") as inputs:
        images = inputs(0)
    assert (images.device.type, images.dtype, len(images)) == ("meta", torch.float32, 6)


def test_attacks_say_that_they_need_float64(tmp_path):
    from brainscore_submission.asked import Asked

    with pytest.raises(UserError, match="count in float64, which the device 'mps' does not have. Use --device cpu"):
        open_all(None, Asked("991", device="mps"), tmp_path)


def test_where_the_system_does_not_say_how_much_memory_is_free_half_of_all_is_taken_for_it(monkeypatch, tmp_path):
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < free_memory("cpu") <= total
    names = {name: number for name, number in os.sysconf_names.items() if name != "SC_AVPHYS_PAGES"}  # as on macOS
    monkeypatch.setattr(os, "sysconf_names", names)
    assert free_memory("mps") == total // 2
    assert Budget.default(tmp_path, "mps").memory_bytes == total // 4


NOT_EVERYWHERE = ("fcntl", "grp", "pwd", "resource", "termios")  # modules
LINUX_ALONE = ("memfd_create", "pidfd_open", "posix_fadvise", "sched_getaffinity", "setns", "unshare", "sendfile")
MEASURES_MEMORY = ("processes.py", "brainscore_metrics.py")  # of bench, where macOS has `resource` too


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_nothing_is_needed_that_linux_alone_has(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_the_top = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    if path.name not in MEASURES_MEMORY:
        assert not set(at_the_top) & set(NOT_EVERYWHERE)
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & set(LINUX_ALONE)
    asked_for = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}  # hasattr(os, "…")
    assert used <= asked_for
