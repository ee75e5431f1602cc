"""Figures of probes: the curves and their intervals are the records', marks stand over them, failures are named."""

import json
import sys

import numpy as np
import pytest

from analysis import probes
from brainscore_submission.cli.front_end import run
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import Measure, Record

LEVELS = (0.0, 0.5, 0.9)


def record(model, benchmark, metric, settings, value=0.5, marks=(), **fields):
    measured = Measure(metric=metric, value=value, interval=(value - 0.1, value + 0.1), n=9, settings=settings)
    return Record(
        kind="measure", model=model, card=model, suite="probes", benchmark=benchmark, marks=marks, fingerprint="f",
        versions={}, created="2026-01-01T00:00:00+00:00", **({"measured": measured} | fields),
    )  # fmt: skip


def accuracy(model, *values):
    points = [
        {"level": level, "value": value, "interval": [value - 0.05, value + 0.02]}
        for level, value in zip(LEVELS, values, strict=True)
    ]
    settings = {"curve": points, "axis": "share hidden", "chance": 0.1}
    return record(model, "val.occlusion.random.14x14", "occlusion_accuracy", settings)


def score(model, *values):
    points = [
        {"level": level, "score": value, "relative": value, "relative_interval": value and [value - 0.1, value + 0.1]}
        for level, value in zip((1, 16, 64), values, strict=True)
    ]
    marks = ("SIMULATED", *(["UNTRAINED"] if model == "b" else []))
    return record(model, "demo.V1-pls.shuffle", "shuffle_score", {"curve": points, "axis": "pieces"}, marks=marks)


def bias(model):
    each = {"cat": {"value": 0.25, "interval": [0.1, 0.5]}, "dog": {"value": None, "interval": None}}
    return record(model, "cue.shape_bias", "shape_bias", {"by_category": each}, value=0.4)


@pytest.fixture
def results(tmp_path):
    failed = {"measured": None, "status": "failed", "reason": "no intact score"}
    for one in (
        accuracy("a", 0.9, 0.5, 0.2), accuracy("b", 0.8, 0.6, 0.3), score("a", 1.0, 0.4, 0.1),
        score("b", 1.0, 0.5, None), bias("a"), record("a", "demo.V2-pls.shuffle", "shuffle_score", {}, **failed),
    ):  # fmt: skip
        one.write(tmp_path / "results")
    return tmp_path / "results"


def drawn(figure):
    """Label -> x and y of each model's line."""
    (axes,) = figure.axes
    handles, labels = axes.get_legend_handles_labels()
    return {label: handle for handle, label in zip(handles, labels, strict=True)}


def test_curves_are_those_of_the_records(results):
    records, warnings = probes.read_probes(results)
    assert warnings == [
        "demo.V1-pls.shuffle was measured over several levels, not compared: levels-1-16 (b); levels-1-16-64 (a)",
        "not drawn: a on demo.V2-pls.shuffle: no intact score",
    ]
    found = drawn(probes.curves(records[records["metric"] == "occlusion_accuracy"]))
    assert set(found) == {"a", "b", "chance"}
    line, _, (bars,) = found["a"].lines
    np.testing.assert_allclose(line.get_xydata(), list(zip(LEVELS, (0.9, 0.5, 0.2), strict=True)))
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()][1], (0.45, 0.52))


def test_scores_are_relative_and_say_their_marks(results):
    records, _ = probes.read_probes(results)
    figure = probes.curves(records[records["metric"] == "shuffle_score"])
    found = drawn(figure)
    assert set(found) == {"a", "b [UNTRAINED]"} and "SIMULATED" in [text.get_text() for text in figure.texts]
    assert found["b [UNTRAINED]"].lines[0].get_xydata().tolist() == [[1, 1], [16, 0.5]]  # no score at 64 pieces
    assert figure.axes[0].get_ylabel() == "score / intact score"
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "16", "64"]


def test_biases_by_category(results):
    records, _ = probes.read_probes(results)
    figure = probes.biases(records[records["metric"] == "shape_bias"])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cat", "dog", "all"]
    assert drawn(figure)["a"].lines[0].get_xdata().tolist() == [0.25, 0.4]  # dogs were never chosen


def test_the_command(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["probes", str(results), "-o", str(tmp_path / "drawn"), "--kinds", "svg", "--json"]
    )
    with pytest.raises(SystemExit):
        run(probes.main)
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["written"]) == 4 == len(list((tmp_path / "drawn").iterdir())) and len(facts["records"]) == 5
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no probes. Measure some"):
        probes.read_probes(tmp_path / "empty")
