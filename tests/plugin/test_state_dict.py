"""Checkpoints as people have them: the right tensors out of every wrapper, and a note of what was chosen."""

import dataclasses
import pathlib

import numpy as np
import pytest
import torch
from torch import nn

from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.plugin.errors import UserError

PIXELS = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def prefixed(tensors, prefix):
    return {prefix + key: value for key, value in tensors.items()}


def robustness(network):
    """As the package robustness saves: the network twice, a normaliser, the epoch beside it."""
    own = network.state_dict()
    normaliser = {"module.normalizer.new_mean": torch.zeros(3), "module.normalizer.new_std": torch.ones(3)}
    return {
        "model": prefixed(own, "module.model.") | prefixed(own, "module.attacker.model.") | normaliser,
        "epoch": 89,
        "nat_prec1": np.float64(62.4),
    }


WRAPPED = {
    "torch.compile": lambda n: {"state_dict": prefixed(n.state_dict(), "_orig_mod.")},
    "DataParallel of torch.compile": lambda n: {"state_dict": prefixed(n.state_dict(), "module._orig_mod.")},
    "torch.compile of DataParallel": lambda n: {"state_dict": prefixed(n.state_dict(), "_orig_mod.module.")},
    "Lightning": lambda n: {"state_dict": prefixed(n.state_dict(), "model."), "pytorch-lightning_version": "2.1"},
    "AveragedModel": lambda n: torch.optim.swa_utils.AveragedModel(n).state_dict(),
    "robustness": robustness,
    "model_state_dict": lambda n: {"model_state_dict": n.state_dict(), "optimizer_state_dict": {"state": {}}},
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_every_wrapper_gives_the_same_logits(tmp_path, tiny_card, tiny_network, wrapper):
    torch.save(WRAPPED[wrapper](tiny_network), tmp_path / "w.pt")
    loaded = load_network(tiny_card, tmp_path / "w.pt", seed=9)
    with torch.no_grad():
        assert torch.equal(loaded.network(PIXELS), tiny_network(PIXELS))
    if wrapper != "model_state_dict":
        assert "is cut off its keys" in loaded.origin["note"]
    if wrapper in ("AveragedModel", "robustness"):
        assert "left out" in loaded.origin["note"]


def test_moving_averages_are_taken_as_in_timm_unless_they_are_not_wanted(tmp_path, tiny_card, tiny_network):
    averaged = {key: value * 2 for key, value in tiny_network.state_dict().items()}
    torch.save({"state_dict": tiny_network.state_dict(), "state_dict_ema": averaged}, tmp_path / "ema.pt")
    with_ema, without = (load_network(tiny_card, tmp_path / "ema.pt", ema=ema) for ema in (True, False))
    key = "patch_embed.0.proj.0.weight"
    assert torch.equal(with_ema.network.state_dict()[key], averaged[key])
    assert torch.equal(without.network.state_dict()[key], tiny_network.state_dict()[key])
    assert "moving averages under 'state_dict_ema'" in with_ema.origin["note"]
    assert "not the moving averages" in without.origin["note"]


def test_a_student_and_a_teacher_are_refused_by_name(tmp_path, tiny_card, tiny_network):
    own = tiny_network.state_dict()
    other = {key: value + 1 for key, value in own.items()}
    torch.save(prefixed(own, "student.") | prefixed(other, "teacher."), tmp_path / "two.pt")
    with pytest.raises(UserError, match="two networks, whose keys begin 'student.' and 'teacher.'"):
        load_network(tiny_card, tmp_path / "two.pt")


@pytest.mark.parametrize(
    "beside",
    [
        np.float64(71.5),
        np.float32(71.5),
        np.int64(3),
        np.bool_(True),
        np.arange(3.0),
        pathlib.PurePosixPath("runs/1"),
        pathlib.Path("runs/1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_of_numpy_and_paths_may_lie_beside_the_weights(tmp_path, tiny_card, tiny_network, beside):
    torch.save({"state_dict": tiny_network.state_dict(), "best": beside}, tmp_path / "w.pt")
    assert load_network(tiny_card, tmp_path / "w.pt").network is not None


@pytest.mark.parametrize("num_classes", [10, 0])
def test_another_class_output_or_none_is_taken_with_a_note(tmp_path, tiny_card, num_classes):
    from brainscore_submission.plugin.checkpoint import build_network

    network = build_network(dataclasses.replace(tiny_card, num_classes=num_classes), seed=4)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    loaded = load_network(tiny_card, tmp_path / "w.pt")
    with torch.no_grad():
        assert torch.equal(torch.as_tensor(loaded.network(PIXELS)), torch.as_tensor(network(PIXELS)))
    assert loaded.num_classes == num_classes
    assert ("10 classes" if num_classes else "no class output") in loaded.origin["note"]


def sparse(tensor):
    return tensor.to_sparse()


def quantised(tensor):
    return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


CHANGES = {
    "complex64": lambda t: t.to(torch.complex64),
    "int8": lambda t: t.to(torch.int8),
    "bool": lambda t: t.to(torch.bool),
    "no values": lambda t: t.to("meta"),
    "sparse": sparse,
    "quantised": quantised,
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.filterwarnings("ignore:.*sparse.*", "ignore:.*Sparse.*", "ignore:.*quantiz.*", "ignore:.*TypedStorage.*")
def test_what_is_no_plain_weight_is_refused_by_name(tmp_path, tiny_card, tiny_network, kind):
    tensors = tiny_network.state_dict()
    key = next(key for key, value in tensors.items() if value.ndim == 2)
    tensors[key] = CHANGES[kind](tensors[key])
    torch.save(tensors, tmp_path / "w.pt")
    with pytest.raises(UserError) as refused:
        load_network(tiny_card, tmp_path / "w.pt")
    assert key in str(refused.value) and kind in str(refused.value)


def test_doubles_are_rounded_with_a_note(tmp_path, tiny_card, tiny_network):
    torch.save({key: value.double() for key, value in tiny_network.state_dict().items()}, tmp_path / "w.pt")
    assert "of float64 are rounded to float32" in load_network(tiny_card, tmp_path / "w.pt").origin["note"]


def torchscript(path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), path)


def jax(path):
    with path.open("wb") as file:
        np.savez(file, kernel=np.zeros((2, 2)))


OTHER = {
    "TorchScript": torchscript,
    "JAX": jax,
    "git-lfs": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
    "a web page": lambda path: path.write_text("\n<!DOCTYPE html><html><body>Log in</body></html>"),
    "HDF5": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64)),
    "compressed": lambda path: path.write_bytes(b"\x1f\x8b" + bytes(64)),
}


@pytest.mark.parametrize("kind", OTHER)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_what_is_taken_for_a_checkpoint_by_mistake_is_named(tmp_path, tiny_card, kind):
    OTHER[kind](tmp_path / "w.pt")
    with pytest.raises(UserError, match=kind):
        load_network(tiny_card, tmp_path / "w.pt")
