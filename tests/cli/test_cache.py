"""What is kept on a machine is shown by kind, and emptied by kind and age."""

import json
import os
import time
from pathlib import Path

import pytest

from brainscore_submission.plugin.files import THIS_HOST, sweep

DAY = 86_400


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(tmp_path / "cache"))
    for name, size, age in (
        ("grams/a.gram", 3000, 1),
        ("grams/b.gram", 500, 20),
        ("weights/resnet/w.pt", 70, 20),
        ("demo-stimuli-0123/x.png", 9, 2),
        ("left/over", 1, 2),
    ):
        path = tmp_path / "cache" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
        os.utime(path, (time.time() - age * DAY,) * 2)
    return tmp_path / "cache"


def run(capsys, *words):
    from brainscore_submission.cli import app

    app(["cache", *words], standalone_mode=False)
    return capsys.readouterr().out


def sizes(said):
    return {row["kind"]: row["bytes"] for row in json.loads(said)["kinds"] if row["files"]}


def test_everything_is_shown_by_kind(kept, capsys):
    assert sizes(run(capsys, "--json")) == {"grams": 3500, "weights": 70, "demo": 9, "other": 1}
    assert "5 files" in run(capsys)


def test_one_kind_of_some_age_is_removed_and_nothing_else(kept, capsys):
    assert sizes(run(capsys, "--empty", "grams", "--older-than", "7d", "--json")) == {
        "grams": 3000,
        "weights": 70,
        "demo": 9,
        "other": 1,
    }
    assert not (kept / "grams" / "b.gram").exists() and (kept / "weights" / "resnet" / "w.pt").exists()
    assert sizes(run(capsys, "--empty", "all", "--json")) == {}
    assert not list(kept.iterdir())


@pytest.mark.parametrize(
    "words, said",
    [
        (["--empty", "gram"], "Did you mean grams"),
        (["--empty", "all", "--older-than", "soon"], "Write 12h, 7d or 4w"),
        (["--older-than", "7d"], "goes with --empty"),
    ],
)
def test_wrong_words_are_refused_and_nothing_is_removed(kept, capsys, words, said):
    from brainscore_submission.plugin.errors import UserError

    with pytest.raises(UserError, match=said):
        run(capsys, *words)
    assert sum(path.is_file() for path in kept.rglob("*")) == 5


def test_what_a_killed_writer_left_is_swept_and_what_is_being_written_is_not(tmp_path):
    gone = next(number for number in range(400_000, 4_000_000, 7919) if not Path(f"/proc/{number}").exists())
    names = {
        f".r.json.{THIS_HOST}.{gone}.0123abcd.part": True,
        f".r.json.{THIS_HOST}.{os.getpid()}.0123abcd.part": False,
        f".r.json.{'f' * 6 if THIS_HOST != 'f' * 6 else '0' * 6}.{gone}.0123abcd.part": False,  # another machine's
        "r.json": False,
        "w.pt.part": False,  # a download that goes on where it was
    }
    for name in names:
        (tmp_path / name).write_text("")
    assert {path.name for path in sweep(tmp_path)} == {name for name, swept in names.items() if swept}
    assert {path.name for path in tmp_path.iterdir()} == {name for name, swept in names.items() if not swept}
