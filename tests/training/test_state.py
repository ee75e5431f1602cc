"""States: whole or not at all, known by their hash, nothing in them is run; and what a log keeps."""

import json
import os
import pickle
import re
import resource

import pytest
import torch

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.training import state
from brainscore_submission.training.state import (
    Log,
    held,
    load_state,
    read_log,
    require_same_run,
    save_epoch,
    save_state,
)  # fmt: skip


def facts(step):
    return {"step": step, "history": [{"top1": 0.5}], "network": {"weight": torch.full((50, 50), float(step))}}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_state_comes_back_and_the_one_before_goes(tmp_path):
    assert load_state(tmp_path, "cpu") is None
    for step in (3, 7):
        save_state(tmp_path, step, facts(step))
    state = load_state(tmp_path, "cpu")
    assert state["step"] == 7 and state["history"] == [{"top1": 0.5}]
    assert torch.equal(state["network"]["weight"], facts(7)["network"]["weight"])
    (kept,) = tmp_path.glob("*.pt")
    assert re.fullmatch(r"state-7-[0-9a-f]{8}\.pt", kept.name)


def test_killed_before_a_second_state_of_one_step_counts_the_first_still_does(tmp_path, monkeypatch):
    """As a state after validation follows one before it: the step is the same, the file must not be."""
    save_state(tmp_path, 3, facts(3))
    write = state.write_whole

    def killed_at_the_pointer(path, *rest):
        if path.name == state.STATE:
            raise KeyboardInterrupt
        return write(path, *rest)

    monkeypatch.setattr(state, "write_whole", killed_at_the_pointer)
    with pytest.raises(KeyboardInterrupt):
        save_state(tmp_path, 3, facts(3) | {"validated": True})
    found = load_state(tmp_path, "cpu")
    assert found["step"] == 3 and "validated" not in found


def test_a_full_disk_leaves_the_state_before(tmp_path):
    """A limit on the size of files, as the system sets it: the write fails in the middle."""
    save_state(tmp_path, 3, facts(3))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(
            UserError, match="cannot write to .*state-7-.*.pt: File too large. Give another with --run."
        ):
            save_state(tmp_path, 7, facts(7))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert load_state(tmp_path, "cpu")["step"] == 3
    state_file, pointer = names_in(tmp_path)
    assert state_file.startswith("state-3-") and pointer == "state.json"


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def test_a_state_that_would_run_code_is_not_read(tmp_path, monkeypatch):
    import hashlib

    monkeypatch.chdir(tmp_path)
    torch.save({"step": 1, "history": Evil()}, tmp_path / "state-1.pt")
    content = (tmp_path / "state-1.pt").read_bytes()
    for bytes_ in (content, pickle.dumps(Evil(), protocol=2)):
        (tmp_path / "state-1.pt").write_bytes(bytes_)
        pointer = {"file": "state-1.pt", "sha256": hashlib.sha256(bytes_).hexdigest(), "step": 1}
        (tmp_path / "state.json").write_text(json.dumps(pointer))
        with pytest.raises(UserError, match="holds more than a state, and is not read"):
            load_state(tmp_path, "cpu")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: next(run.glob("state-3-*.pt")).write_bytes(b"x"), "is damaged"),
        (lambda run: next(run.glob("state-3-*.pt")).unlink(), "which is not there"),
        (lambda run: (run / "state.json").write_text("{"), "not a JSON file"),
        (lambda run: (run / "state.json").write_text("[]"), "no JSON object"),
        (lambda run: (run / "state.json").write_text('{"file": "../../etc/passwd"}'), "which is not there"),
    ],
)
def test_a_spoilt_state_is_named_and_left_alone(tmp_path, spoil, says):
    save_state(tmp_path, 3, facts(3))
    spoil(tmp_path)
    before = names_in(tmp_path)
    with pytest.raises(UserError, match=says):
        load_state(tmp_path, "cpu")
    assert names_in(tmp_path) == before


def test_a_link_in_the_way_of_a_state_is_replaced_and_its_target_stays(tmp_path):
    run, other = tmp_path / "run", tmp_path / "precious"
    run.mkdir()
    other.write_text("mine")
    (run / "state.json").symlink_to(other)
    (run / "state-3.pt").symlink_to(other)
    save_state(run, 3, facts(3))
    assert other.read_text() == "mine" and load_state(run, "cpu")["step"] == 3


def test_one_process_a_folder(tmp_path):
    with held(tmp_path):
        with pytest.raises(UserError, match="another process trains into"), held(tmp_path):
            pass
    with held(tmp_path):
        pass


def test_a_run_of_something_else_is_refused_with_both_values(tmp_path):
    asked = {"recipe": {"learning_rate": {"peak": 5e-4, "knots": []}}, "precision": "float32"}
    require_same_run(tmp_path, asked)
    require_same_run(tmp_path, asked)
    changed = {"recipe": {"learning_rate": {"peak": 1e-3, "knots": []}}, "precision": "float32"}
    with pytest.raises(UserError, match="recipe.learning_rate.peak was 0.0005, now it is 0.001"):
        require_same_run(tmp_path, changed)


def test_the_log_forgets_what_a_kill_has_undone(tmp_path):
    log = Log(tmp_path, 0, 0)
    for step in (1, 2, 3):
        log.write(kind="steps", step=step, loss=0.5)
    log.write(kind="validation", step=3, epoch=0)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"kind": "steps", "st')  # killed here
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2, 3, 3]
    Log(tmp_path, 2, 0)
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2]
    (tmp_path / "log.jsonl").write_text("nonsense\n")
    with pytest.raises(UserError, match="line 1 is no JSON"):
        read_log(tmp_path)


def test_the_same_weights_give_the_same_bytes(tmp_path):
    one = save_epoch(tmp_path, 0, {"b": torch.ones(3), "a": torch.zeros(2, 2).T}).read_bytes()
    assert save_epoch(tmp_path, 0, {"a": torch.zeros(2, 2), "b": torch.ones(3)}).read_bytes() == one
