"""Figures of many models: what is drawn is what the tables say."""

import functools

import numpy as np
import pytest

from analysis.comparisons import compare, is_certain, value_of
from analysis.dot_plots import BRACKETS, dot_plot, in_order, scatter
from analysis.plots import main
from analysis.profiles import profiles_of
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import read_folder

MEASURES = ("V1", "V4", "behavior", "Avg")


@pytest.fixture(scope="module")
def profiles(demo_results):
    return profiles_of(read_folder(demo_results)[0], n_resamples=200)[0]


@pytest.fixture
def invoke(demo_results, run_command, tmp_path):
    return functools.partial(run_command, main, demo_results, "--resamples", "100", "-o", tmp_path / "figures")


def lines(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


def test_a_panel_a_measure_a_dot_a_model_at_its_score_best_on_top(profiles):
    figure = dot_plot(profiles, MEASURES)
    order = in_order(profiles, MEASURES)
    average = [value_of(one, "Avg").value for one in order]
    assert average == sorted(average, reverse=True)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [one.model for one in order]
    assert len(figure.axes) == len(MEASURES)
    for axes, measure in zip(figure.axes, MEASURES, strict=True):
        dots = lines(axes, "o")
        assert [dot.get_xdata()[0] for dot in dots] == [value_of(one, measure).value for one in order]
        assert [dot.get_ydata()[0] for dot in dots] == [5, 4, 3, 2, 1]


def test_the_noise_ceiling_is_a_line_where_r_equals_it(profiles):
    figure = dot_plot(profiles, ["V4", "behavior", "Avg"])
    dashed = [[line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"] for axes in figure.axes]
    assert dashed == [[pytest.approx(0.8)], [pytest.approx(np.sqrt(0.479))], []]  # c^2/c, c/sqrt(c); none of a mean


def test_brackets_join_the_models_that_are_told_apart(profiles):
    pairs, _ = compare(profiles)
    plain, joined = dot_plot(profiles, ["V4"]), dot_plot(profiles, ["V4"], pairs=pairs)
    height = {one.model: 5 - row for row, one in enumerate(in_order(profiles, ["V4"]))}
    told = [row for row in pairs.itertuples() if row.measure == "V4" and is_certain(row)]
    drawn = [line for line in joined.axes[0].lines if len(line.get_xdata()) == 4]
    assert 0 < len(drawn) == min(len(told), BRACKETS)
    spans = {tuple(sorted((height[row.a], height[row.b]))) for row in told}
    assert {(line.get_ydata()[0], line.get_ydata()[2]) for line in drawn} <= spans
    assert not [line for line in plain.axes[0].lines if len(line.get_xdata()) == 4]


def test_labels_and_size_are_those_asked_for(profiles):
    figure = dot_plot(profiles, ["V4"], {"timm:resnet18": "a ResNet"}, (7, 3))
    assert tuple(figure.get_size_inches()) == (7, 3)
    assert "a ResNet" in [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_one_measure_over_another(profiles):
    (axes,) = scatter(profiles, "V1", "Avg").axes
    dots = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata()) == 1}
    assert dots == {(value_of(one, "V1").value, value_of(one, "Avg").value) for one in profiles}
    assert len(axes.texts) == 5 and "timm:resnet18" in {text.get_text() for text in axes.texts}


def test_the_command_writes_what_was_asked_for(invoke, tmp_path):
    answer = invoke("--models", "991,timm:resnet18", "--areas", "V4,Avg", "--kinds", "png,svg,pdf", "--brackets")
    assert answer.exit_code == 0
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"scores-demo.{kind}" for kind in ("png", "svg", "pdf")
    }
    invoke("--scatter", "V4,IT", "--label", "991=ours")
    assert "ours" in (tmp_path / "figures/scatter-demo-V4-IT.svg").read_text(encoding="utf-8")
    assert (tmp_path / "figures/scores-demo.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--areas", "V5"], "no model has a 'V5' on suite demo. Available: V1, V2"),
        (["--scatter", "V1"], "--scatter takes two measures"),
        (["--size", "big"], "'big' is not of the form 6x4"),
        (["--size", "900x2"], "cannot be drawn"),
        (["--kinds", "gif"], "unknown kind of file 'gif'"),
        (["--label", "991"], "'991' is not of the form model=what to call it"),
        (["--models", "992"], "unknown model '992'"),
    ],
)
def test_wrong_words_are_user_errors(invoke, words, message):
    answer = invoke(*words)
    assert isinstance(answer.exception, UserError) and message in str(answer.exception)
