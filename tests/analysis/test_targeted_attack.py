"""The panel: networks in the order of their brain scores, UNTRAINED said, a trace that fits the pictures."""

import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image

from analysis import targeted_attack
from analysis.targeted_attack import HELP, Column, main, panel
from brainscore_submission.cli.front_end import run

NETWORK = "timm:test_resnet"


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Run the command in a folder with two photos: exit code and what was written."""
    (tmp_path / "photos").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((168, 168)).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "list.toml").write_text(
        f'[[models]]\nmodel = "{NETWORK}"\nweights = "untrained"\nname = "one"\n'
        '[[models]]\nmodel = "timm:test_vit"\nweights = "untrained"\nname = "two"\n'
    )
    monkeypatch.chdir(tmp_path)

    def run_here(*arguments):
        monkeypatch.setattr(sys, "argv", ["python -m analysis.targeted_attack", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(main, HELP)
        return ended.value.code or 0, *capsys.readouterr()

    return run_here


def test_everything_is_written_and_fits_together(typed, tmp_path):
    code, out, err = typed("--models", "list.toml", "--images", "photos", "--steps", "4", "-o", "out", "--json")
    facts = json.loads(out)
    assert code == 0 and len(facts["results"]) == 4 and "about" in err
    assert all(row["marks"] == ["UNTRAINED"] and row["average"] is None for row in facts["results"])
    rows = list(csv.DictReader((tmp_path / "out" / "trace.csv").read_text().splitlines()))
    assert len(rows) == 2 * 2 * 5
    for model in ("one", "two"):
        mine = [row for row in rows if row["model"] == model and row["photo"] == "0.png"]
        assert [row["step"] for row in mine] == list("01234") and float(mine[0]["norm"]) == 0
        assert float(mine[-1]["p_target"]) > float(mine[0]["p_target"])
        for name in ("0.png.png", "frames/0.png.0004.png"):
            with Image.open(tmp_path / "out" / model / name) as picture:
                assert picture.size == (160, 160)
    with Image.open(tmp_path / "out" / "panel.gif") as film, Image.open(tmp_path / "out" / "panel.png") as last:
        assert film.n_frames >= 4 and last.size[0] > 500
    assert not (tmp_path / "out" / "unfinished").exists()


def test_a_dry_run_says_the_cost_and_writes_nothing(typed, tmp_path):
    code, out, err = typed("--model", NETWORK, "--weights", "untrained", "--images", "photos", "--dry-run")
    assert code == 0 and "2 photos x 500 steps on cpu, about" in err and not out
    assert not list((tmp_path / "targeted_attack").iterdir())


@pytest.mark.slow
def test_a_killed_run_goes_on(typed, tmp_path, monkeypatch):
    asked = ["--models", "list.toml", "--images", "photos", "--steps", "3", "--batch-size", "1"]
    typed(*asked, "-o", "whole")

    def broken(*_given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(targeted_attack, "write_all", broken)
        typed(*asked, "-o", "killed")
    kept = list((tmp_path / "killed" / "unfinished").rglob("*.npz"))
    assert len(kept) == 4
    typed("--models", "list.toml", "--images", "photos", "--steps", "1", "-o", "killed")  # another run's are its own
    assert sorted((tmp_path / "killed" / "unfinished").rglob("*.npz")) == sorted(kept)
    code, _, err = typed(*asked, "-o", "killed")
    assert code == 0 and "1 of 2" not in err  # no photo is attacked again
    assert (tmp_path / "killed" / "trace.csv").read_bytes() == (tmp_path / "whole" / "trace.csv").read_bytes()


def column(name, average, marks=()):
    seen = {
        "identity": np.array(["a.png"]), "p_target": np.array([0.9]), "norm": np.array([3.0]),
        "curve": np.zeros((1, 3)), "norms": np.zeros((1, 3)),
    }  # fmt: skip
    return Column(name, marks, average, np.zeros((1, 8, 8, 3), np.uint8), seen)


def test_titles_say_name_marks_score_and_what_was_reached():
    columns = [column("1057", 0.442), column("x", None, ("UNTRAINED",))]
    aim = targeted_attack.Aim("goldfish", 300.0, 2, 1.0)
    figure = panel(columns, aim, [one.photos for one in columns])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[1] == "1057\nAvg 0.442\np 0.900, l2 3.0"
    assert titles[2] == "x [UNTRAINED]\nAvg unknown\np 0.900, l2 3.0"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", NETWORK, "--images", "photo"], "there is no photo"),
        (["--model", "timm:resnet999", "--images", "photos"], "timm knows no model"),
        (
            ["--model", NETWORK, "--weights", "untrained", "--images", "photos", "--target", "goldfsh"],
            "Did you mean goldfish",
        ),
        (["--model", NETWORK, "--weights", "untrained", "--images", "photos", "--target", "1000"], "out of range"),
        (["--model", NETWORK, "--model", "991", "--weights", "a.pt", "--images", "photos"], "list them in a file"),
        (["--model", NETWORK, "--model", NETWORK, "--weights", "untrained:3", "--images", "photos"], "stands twice"),
    ],
)
def test_wrong_words_are_one_or_two_lines(typed, arguments, says):
    code, out, err = typed(*arguments)
    assert code == 1 and says in err and not out and err[err.index("error: ") :].count("\n") <= 3


def test_networks_stand_in_the_order_of_their_brain_scores():
    columns = [column("a", 0.5), column("b", None), column("c", 0.4)]
    assert [one.name for one in targeted_attack.in_order(columns)] == ["c", "a", "b"]
