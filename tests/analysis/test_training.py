"""Curves of runs: what is printed and drawn is what the log holds."""

import json
import sys

import numpy as np
import pytest

from analysis.training import curves, draw, read_runs, schedule
from brainscore_submission.cli.front_end import run
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.training.recipes import read_recipe


@pytest.fixture
def runs(tmp_path):
    """Two runs of which one is not validated yet."""
    import dataclasses

    for name, recipe, epochs in (("991", "rotation_adv_grey", 3), ("xcit", "light_xcit", 0)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        facts = {"recipe": dataclasses.asdict(read_recipe(recipe)), "precision": "float32"}
        (folder / "run.json").write_text(json.dumps(facts))
        rows = [{"kind": "steps", "step": step, "epoch": step / 10, "loss": 3 / step} for step in range(1, 31)]
        rows += [
            {"kind": "validation", "step": 10 * epoch + 10, "epoch": epoch, "top1": 0.7, "top5": 0.9,
             "fgsm_top1": 0.5, "robust_top1": [0.3, 0.45, 0.4][epoch]}
            for epoch in range(epochs)
        ]  # fmt: skip
        (folder / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path / "runs"


def typed(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["training.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        run(draw)
    return ended.value.code or 0, *capsys.readouterr()


def test_the_schedule_drawn_is_the_papers(runs):
    (line,) = schedule(read_runs(runs)[0].recipe).axes[0].lines
    at = dict(zip(np.round(line.get_xdata(), 6), line.get_ydata(), strict=True))
    knots = (8e-5, 2e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6)
    assert [at[float(epoch)] for epoch in range(7)] == pytest.approx(knots) and at[0.5] == pytest.approx(1.4e-4)


def test_a_radius_that_grows_has_a_panel(runs):
    figure = schedule(read_runs(runs)[1].recipe)
    assert len(figure.axes) == 2 and max(figure.axes[1].lines[0].get_ydata()) == 4 / 255


def test_the_curves_are_the_logs(runs):
    above, below = curves(read_runs(runs)).axes
    assert list(above.lines[0].get_ydata()) == [3 / step for step in range(1, 31)]
    assert list(below.lines[1].get_ydata()) == [0.3, 0.45, 0.4] and list(below.lines[1].get_xdata()) == [1, 2, 3]


def test_the_command_prints_draws_and_gives_json(runs, tmp_path, monkeypatch, capsys):
    code, out, _ = typed(monkeypatch, capsys, runs, "-o", tmp_path / "figures")
    assert code == 0 and "0.450" in out and "best" in out
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    drawn = ("training_curves", "schedule_rotation_adv_grey", "schedule_light_xcit")
    assert names == {f"{name}.{kind}" for name in drawn for kind in ("svg", "png")}
    code, out, _ = typed(monkeypatch, capsys, runs / "991", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["runs"][0]["best_epoch"] == 1 and len(facts["runs"][0]["steps"]) == 30


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        read_runs(tmp_path)
