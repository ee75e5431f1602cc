"""The same training in one process and in two: torchrun, gloo, float64."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from training.commands import command, environment, ran


def in_two(*arguments):
    """The same command under torchrun."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    _python, _m, module, *words = command(*arguments)
    return subprocess.run(
        [*torchrun, "-m", module, "--", *words], env=environment(), capture_output=True, text=True, timeout=300
    )  # fmt: skip


def relative_difference(one, other):
    ours, theirs = (torch.cat([tensor.double().flatten() for tensor in tensors.values()]) for tensors in (one, other))
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fgsm", "trades"])
def test_two_processes_give_the_weights_of_one(tmp_path, digits, without_batchnorm, recipe, kind):
    """Eight steps of a network without BatchNorm, whose statistics are of each process's part of a batch."""
    asked = recipe(
        ("epochs = 3", "epochs = 1"), ("batch = 50", "batch = 64"), ('kind = "fgsm"', f'kind = "{kind}"'),
        ("images = 200", "images = 21"),
    )  # fmt: skip
    typed = ["--recipe", asked, "--data", digits, "--model", without_batchnorm, "--precision", "float64"]
    one, two = tmp_path / "one", tmp_path / "two"
    done = ran(*typed, "--run", one)
    assert done.returncode == 0 and "8 steps;" in done.stderr, done.stderr
    done = in_two(*typed, "--run", two)
    assert done.returncode == 0 and "2 process(es)" in done.stderr, done.stderr
    weights = [load_file(run / "epochs" / "epoch_0.safetensors") for run in (one, two)]
    assert all(tensor.dtype == torch.float64 for tensor in weights[0].values())
    assert relative_difference(*weights) <= 1e-9
    # validation is shared out too, and counts every image once
    assert '"images": 21' in (two / "log.jsonl").read_text()


@pytest.mark.slow
def test_statistics_of_batchnorm_are_the_mean_over_processes(tmp_path, digits, network, recipe):
    """With BatchNorm two processes normalise by halves of a batch: close to one process, not equal."""
    asked = recipe(("epochs = 3", "epochs = 1"), ("batch = 50", "batch = 100"), ("images = 200", "images = 20"))
    typed = ["--recipe", asked, "--data", digits, "--model", network, "--precision", "float64"]
    assert ran(*typed, "--run", tmp_path / "one").returncode == 0
    assert in_two(*typed, "--run", tmp_path / "two").returncode == 0
    one, two = (load_file(tmp_path / run / "epochs" / "epoch_0.safetensors") for run in ("one", "two"))
    means = [name for name in one if name.endswith("running_mean")]
    assert 1e-9 < relative_difference(*({name: run[name] for name in means} for run in (one, two))) < 0.5
