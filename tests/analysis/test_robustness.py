"""Robustness beside brain scores: which record counts, rank correlations against scipy, published numbers marked."""

import json
import sys

import numpy as np
import pytest
from scipy.stats import permutation_test, spearmanr

from analysis import robustness
from analysis.robustness import published, rank_correlation, read_values, relations
from brainscore_submission.cli.front_end import run
from brainscore_submission.robustness.effectiveness import effectiveness_gap
from brainscore_submission.robustness.summary import summary_csv
from brainscore_submission.scoring.records import Measure, Predictivity, Record, read_folder

AREAS = ("V1", "V2", "V4", "IT", "behavior")


def measure(model, metric, value, attack=None, threat=None, marks=()):
    settings = {"images": "val", "attack": attack, "threat": threat}
    name = ".".join(filter(None, ("val", metric, threat, attack)))
    measured = Measure(metric=metric, value=value, interval=(value - 0.01, value + 0.01), n=100, settings=settings)
    return Record(
        kind="measure", model=model, card=model, suite="robustness", benchmark=name, measured=measured, marks=marks,
        fingerprint="f", versions={}, created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def score(model, area, value):
    measured = Predictivity(raw=value, ceiling=1.0, score=value, score_error=0.01, formula="r^2/c")
    return Record(
        model=model, card=model, suite="demo", benchmark=f"demo.{area}-pls", area=area, measured=measured,
        marks=("SIMULATED",), fingerprint="f", versions={}, created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


@pytest.fixture
def results(tmp_path):
    """Five models, their robust accuracy rising with their brain scores; the cheap attack says otherwise."""
    for place, model in enumerate("abcde"):
        marks = ("UNTRAINED",) if model == "e" else ()
        for record in (
            measure(model, "clean_accuracy", 0.8, marks=marks),
            measure(model, "robust_accuracy", 0.6 - place / 10, "fgsm", "linf:4/255", marks),
            measure(model, "robust_accuracy", 0.1 + place / 50, "pgd:50x5", "linf:4/255", marks),
            measure(model, "robust_accuracy", 0.2, "pgd:50x5", "l2:3.0", marks),
            *(score(model, area, 0.3 + place / 20) for area in AREAS),
        ):
            record.write(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run_here(*arguments):
        monkeypatch.setattr(sys, "argv", ["python -m analysis.robustness", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(robustness.main)
        return ended.value.code or 0, *capsys.readouterr()

    return run_here


def test_the_strongest_attack_within_a_threat_counts(results):
    table, _ = read_folder(results)
    values = {(one.model, one.measure): one for one in read_values(table)}
    one = values["a", "robust_accuracy linf:4/255 on val"]
    assert (one.value, one.attack, one.n) == (0.1, "pgd:50x5", 100)
    assert values["a", "robust_accuracy l2:3.0 on val"].value == 0.2
    assert len([key for key in values if key[0] == "a"]) == 3


@pytest.mark.parametrize("n", [3, 5, 7])
def test_ranks_and_p_are_scipys(n):
    rng = np.random.default_rng(n)
    x, y = rng.random(n), rng.random(n)
    rho, p = rank_correlation(x, y)
    assert rho == pytest.approx(spearmanr(x, y).statistic)
    judge = permutation_test(
        (x,), lambda one: abs(spearmanr(one, y).statistic), permutation_type="pairings", alternative="greater",
        n_resamples=np.inf,
    )  # fmt: skip
    assert p == pytest.approx(judge.pvalue)


def test_many_models_are_drawn_from_their_orders():
    rng = np.random.default_rng(0)
    x = rng.random(30)
    y = x + rng.random(30)
    rho, p = rank_correlation(x, y)
    assert rho == pytest.approx(spearmanr(x, y).statistic)
    assert 1 / 100_001 <= p < 1e-4 and rank_correlation(x, rng.random(30))[1] > 0.01


def test_what_does_not_vary_has_no_rank_correlation():
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]) == rank_correlation([1, 2], [1, 2]) == (None, None)


def test_the_correlation_with_brain_scores_is_perfect_here(typed, results):
    code, out, _ = typed(results, "--json")
    facts = json.loads(out)
    found = {(one["one"], one["other"]): one for one in facts["relations"]}
    one = found["robust_accuracy linf:4/255 on val", "demo Avg"]
    assert code == 0 and (one["n"], round(one["rho"], 12), one["p"]) == (5, 1.0, pytest.approx(2 / 120))
    assert found["clean_accuracy on val", "demo V4"]["rho"] is None
    assert "published" not in facts


def test_published_rows_are_marked_and_untrained_models_too(typed, results):
    code, out, _ = typed(results, "--published", "-o", "drawn")
    assert code == 0 and "Wong 2020" in out and "published" in out and "e [UNTRAINED]" in out
    assert list((results.parent / "drawn").glob("robust-accuracy-linf-4-255*Avg.png"))
    _, without, _ = typed(results)
    assert "Wong 2020" not in without


def test_tolerance_is_held_against_clean_accuracy(results):
    for place, model in enumerate("abc"):
        measure(model, "l2_tolerance", 1.0 + place, "minimal:100").write(results)
    values = read_values(read_folder(results)[0])
    pairs = [(one.one, one.other) for one in relations(values, {})]
    assert pairs == [("l2_tolerance on val", "clean_accuracy on val")]


def test_another_search_or_limit_is_another_tolerance(tmp_path):
    measure("a", "l2_tolerance", 1.0, "minimal:100").write(tmp_path)
    measure("a", "l2_tolerance", 9.0, "linsley2023").write(tmp_path)
    other = measure("b", "l2_tolerance", 0.5, "minimal:100")
    settings = {"measured": other.measured.model_copy(update={"settings": other.measured.settings | {"limit": 0.5}})}
    other.model_copy(update=settings).write(tmp_path)
    values = {(one.model, one.measure): one.value for one in read_values(read_folder(tmp_path)[0])}
    assert values == {
        ("a", "l2_tolerance on val"): 1.0,
        ("a", "l2_tolerance linsley2023 on val"): 9.0,
        ("b", "l2_tolerance up to 0.5 on val"): 0.5,
    }


def test_published_gaps_stand_beside_own_ones_of_the_same_strongest_attack(typed, tmp_path):
    def rows(strongest):
        steps = [1, 2, 5, 10, strongest]
        filled = dict.fromkeys(("top1", "top5", "robust_top1", "robust_top5", "loss"), 1.0)
        return [
            {"model": "own", "epoch": 100, "seed": 0, "attack": "pgd", "attack_steps": s, "adv_loss": 2 + k / 10}
            | filled
            for k, s in enumerate(steps)
        ]

    (tmp_path / "none").mkdir()
    for strongest in (200, 50):
        (tmp_path / "summary.csv").write_bytes(summary_csv(rows(strongest)))
        code, out, _ = typed(tmp_path / "none", "--published", "--effectiveness", "summary.csv", "-o", "curves")
        assert code == 0 and f"{effectiveness_gap([2, 2.4], [1, 50])[0]:.3f}" in out
        assert ("XCiT-S12 (published)" in out) == (strongest == 200)
        assert ("not comparable" in out) == (strongest == 50)
    assert (tmp_path / "curves" / "effectiveness.svg").is_file()


def test_published_numbers_are_the_ones_printed():
    beside = published()
    assert [row["gaps"] for row in beside["effectiveness"]["rows"]][0] == [12.700, 8.774, 4.677, 2.495]
    bench = beside["robustbench"]["rows"]
    assert len(bench) == 8 and all(row["robust"] < row["clean"] for row in bench)


def test_a_folder_without_measures_says_how_to_make_one(typed, tmp_path):
    score("a", "V1", 0.3).write(tmp_path / "only_scores")
    code, _, err = typed(tmp_path / "only_scores")
    assert code == 1 and "brainscore-submission attack --model 991 --images val/" in err
