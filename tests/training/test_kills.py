"""A run that is killed and goes on gives the same bits as one that is not: kill -9 of the command itself."""

import contextlib
import json
import random
import signal
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file
from training.commands import command, environment, ran

from brainscore_submission.training.state import read_log


@pytest.fixture(scope="module")
def asked(tmp_path_factory, digits, network):
    """What is typed, without the folder: dropped paths, rotations and greyscale draw too; a state after every step."""
    from brainscore_submission.training.recipes import RECIPES

    text = (RECIPES / "tiny.toml").read_text().replace("epochs = 3", "epochs = 2")
    text = text.replace("flip = 0.0", "flip = 0.5\nrotations = true\ngrey = 0.25\njitter = 0.2")
    text = text.replace("images = 200", "images = 100\nrestarts = 4")
    text = text.replace('weights = "untrained"', 'weights = "untrained"\ndrop_path = 0.2')
    path = tmp_path_factory.mktemp("recipes") / "killed.toml"
    path.write_text(text)
    return ["--recipe", path, "--data", digits, "--model", network, "--save-minutes", "0"]


@pytest.fixture(scope="module")
def unkilled(asked, tmp_path_factory):
    """Final weights of a run that nobody disturbs, and how long it computes."""
    run = tmp_path_factory.mktemp("runs") / "unkilled"
    done = ran(*asked, "--run", run)
    assert done.returncode == 0, done.stderr
    return run


def weights(run, epoch=1):
    return load_file(run / "epochs" / f"epoch_{epoch}.safetensors")


def same_bits(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Killed:
    """The command in a process of its own that is killed when something is seen."""

    def __init__(self, asked, run):
        self.run = run
        self.process = subprocess.Popen(
            command(*asked, "--run", run), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )  # fmt: skip

    def when(self, seen, seconds=120):
        """Kill it once `seen()` is true; False if it ended before."""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            if seen():
                self.process.send_signal(signal.SIGKILL)
                self.process.communicate()
                return self.process.returncode == -signal.SIGKILL
        self.process.kill()
        self.process.communicate()
        return False


def state_half_written(run):
    with contextlib.suppress(FileNotFoundError):
        return any(run.glob(".state-*.part"))
    return False


def steps_done(run):
    with contextlib.suppress(FileNotFoundError, ValueError):
        return json.loads((run / "state.json").read_text())["step"]
    return -1


def validating(run, epoch, steps):
    """The state at the end of an epoch and its weights are there, its validation is not."""
    return steps_done(run) == steps and (run / "epochs" / f"epoch_{epoch}.safetensors").exists()


def between_epochs(run, steps):
    with contextlib.suppress(FileNotFoundError):
        return "validation" in (run / "log.jsonl").read_text() and steps_done(run) == steps
    return False


def steps_of_an_epoch(unkilled):
    return next(row["step"] for row in read_log(unkilled) if row["kind"] == "validation")


@pytest.mark.slow
def test_killed_while_a_state_is_written_in_validation_between_epochs_and_at_random(asked, unkilled, tmp_path):
    run, epoch = tmp_path / "run", steps_of_an_epoch(unkilled)
    moments = [
        lambda: steps_done(run) >= 2 and state_half_written(run),
        lambda: steps_done(run) >= random.Random(0).randrange(4, epoch - 1),
        lambda: validating(run, 0, epoch),
        lambda: between_epochs(run, epoch),
        lambda: steps_done(run) >= random.Random(1).randrange(epoch + 1, 2 * epoch),
    ]
    for number, seen in enumerate(moments):
        assert Killed(asked, run).when(seen), f"the run ended before moment {number}"
        if number == 0:
            assert state_half_written(run)  # what it left behind proves that it was killed there
        if number == 2:
            assert not any(row["kind"] == "validation" for row in read_log(run))
    done = ran(*asked, "--run", run, "--json")
    assert done.returncode == 0, done.stderr
    assert same_bits(weights(run), weights(unkilled)) and same_bits(weights(run, 0), weights(unkilled, 0))
    ours, theirs = ([row for row in read_log(one) if row["kind"] == "validation"] for one in (run, unkilled))
    assert ours == theirs and json.loads(done.stdout)["best_epoch"] in (0, 1)
    assert not list(run.glob(".*.part"))


def test_a_polite_stop_writes_the_state_and_says_so(asked, unkilled, tmp_path):
    run = tmp_path / "run"
    late = [*asked[:-1], "10"]  # no state would be due
    process = subprocess.Popen(
        command(*late, "--run", run), env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    while process.poll() is None and not (run / "log.jsonl").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143 and "Stopped. The state is written" in said, said
    assert 0 <= steps_done(run) < 2 * steps_of_an_epoch(unkilled)
    assert ran(*late, "--run", run).returncode == 0
    assert same_bits(weights(run), weights(unkilled))


@pytest.mark.slow
def test_killed_fifty_times_at_random_moments(asked, unkilled, tmp_path):
    """A run of its own for each ten kills; each kill comes a random time after the last state was seen."""
    draw, killed = random.Random(2), 0
    for round_ in range(20):
        run = tmp_path / f"run{round_}"
        while killed < 50:
            before, wait = steps_done(run), draw.random() * 0.6
            seen_at = []

            def seen(before=before, wait=wait, seen_at=seen_at, run=run):
                if steps_done(run) > before and not seen_at:
                    seen_at.append(time.monotonic())
                return bool(seen_at) and time.monotonic() - seen_at[0] > wait

            if not Killed(asked, run).when(seen):
                break
            killed += 1
        assert ran(*asked, "--run", run).returncode == 0
        assert same_bits(weights(run), weights(unkilled))
        if killed >= 50:
            return
    raise AssertionError(f"only {killed} kills")
