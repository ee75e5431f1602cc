"""Models compared in pairs: their difference, its paired interval, the verdict, and what cannot be compared."""

import dataclasses
import functools
import json

import numpy as np
import pytest

from analysis.comparisons import AVERAGE, compare, is_certain
from analysis.differences import main
from analysis.profiles import profiles_of
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import Record, read_folder
from brainscore_submission.scoring.sidecar import Sidecar
from brainscore_submission.scoring.uncertainty import holm, percentiles, raw_resamples

JOINT, ADVERSARIAL = "crossvit_18_dagger_408_rotation_adv", "crossvit_18_dagger_408_adv"


@pytest.fixture
def invoke(run_command):
    return functools.partial(run_command, main, "--resamples", "200")


def compared(folder, against=None):
    return compare(profiles_of(read_folder(folder)[0], n_resamples=200)[0], against)


def test_all_pairs_are_compared_in_the_score_of_each_area_and_on_average(demo_results):
    found, warnings = compared(demo_results)
    assert warnings == []
    assert len(found) == 10 * 6  # pairs of five models, five areas and the average
    score = read_folder(demo_results)[0].set_index(["area", "model"])["score"]
    average = score.groupby("model").mean()
    for row in found.itertuples():
        a, b = (average[m] if row.measure == AVERAGE else score[row.measure, m] for m in (row.a, row.b))
        assert row.difference == pytest.approx(a - b, abs=1e-12)
        assert row.low <= row.difference <= row.high


def test_the_interval_is_that_of_the_paired_scores(demo_results):
    found, _ = compared(demo_results)
    (row,) = found[(found["measure"] == "V4") & (found["a"] == ADVERSARIAL) & (found["b"] == JOINT)].itertuples()
    draws = []
    for model in (ADVERSARIAL, JOINT):
        path = demo_results / model / "demo/demo.V4-pls.json"
        r = raw_resamples(Sidecar.load(path.with_suffix(".npz")), n_resamples=200)
        draws.append(r**2 / Record.from_json(path).measured.ceiling)
    difference = draws[0] - draws[1]
    low, high = percentiles(difference - difference.mean() + row.difference)
    assert (row.low, row.high) == pytest.approx((low, high))


def test_p_is_corrected_for_the_pairs_of_a_measure(demo_results):
    found, _ = compared(demo_results)
    for _, mine in found.groupby("measure"):
        np.testing.assert_allclose(mine["p_corrected"], holm(mine["p"]))
    one = compared(demo_results, JOINT)[0]
    assert set(one["b"]) == {JOINT} and len(one) == 4 * 6
    for _, mine in one.groupby("measure"):
        np.testing.assert_allclose(mine["p_corrected"], holm(mine["p"]))


def test_every_verdict_says_who_and_how_sure(demo_results):
    found, _ = compared(demo_results)
    for row in found.itertuples():
        shown = abs(row.difference) if is_certain(row) else row.difference
        numbers = f"{shown:+.3f}".replace("-", "−")
        assert row.a in row.verdict and row.b in row.verdict and numbers in row.verdict
        if row.measure == "behavior":
            assert row.verdict.startswith("no verdict") and not is_certain(row)
        elif is_certain(row):
            better, worse = (row.a, row.b) if row.difference > 0 else (row.b, row.a)
            assert row.verdict.startswith(f"{better} is better than {worse} (") and row.p_corrected < 0.05
        else:
            assert row.verdict.startswith(f"these data cannot tell {row.a} from {row.b} (")
    certain = [is_certain(row) for row in found.itertuples()]
    assert any(certain) and not all(certain)


def test_the_command_shows_it_marked_and_as_json(demo_results, invoke):
    shown = invoke(demo_results, "--against", "991")
    assert shown.exit_code == 0
    assert "V4 (r²/c), suite demo · SIMULATED" in shown.stdout
    facts = json.loads(invoke(demo_results, "--against", JOINT, "--json").stdout)
    assert facts["against"] == JOINT and facts["marks"] == ["SIMULATED"]
    first = facts["differences"][0]
    for number in ("difference", "low", "high"):
        assert f"{first[number]:+.3f}".replace("-", "−") in shown.stdout
    chosen = json.loads(invoke(demo_results, "--models", "991,timm:resnet18", "--areas", "V4,Avg", "--json").stdout)
    assert [(row["measure"], row["a"], row["b"]) for row in chosen["differences"]] == [
        ("V4", JOINT, "timm:resnet18"),
        ("Avg", JOINT, "timm:resnet18"),
    ]


@pytest.mark.parametrize("columns", ["40", "60", "80", "200"])
def test_no_column_is_lost_and_no_number_cut_at_any_width(columns, demo_results, invoke, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    shown = invoke(demo_results, "--against", "991").stdout
    for heading in ("model", "minus", "difference", "95 % interval", "p (Holm)"):
        assert heading in shown
    for row in json.loads(invoke(demo_results, "--against", "991", "--json").stdout)["differences"]:
        low, high = (f"{row[end]:+.3f}".replace("-", "−") for end in ("low", "high"))
        assert f"{low} to {high}" in shown
    assert "…" not in shown


def test_the_untrained_are_named(own_results, invoke, change):
    for area in ("V1", "V2", "V4", "IT"):
        change(own_results, f"demo.{area}-pls.json", marks=("UNTRAINED", "SIMULATED"))
    shown = invoke(own_results, "--against", "991").stdout
    assert "· UNTRAINED · SIMULATED" in shown and "[UNTRAINED]" in shown


def test_other_neuroids_are_no_pair_and_named(own_results):
    path = own_results / ADVERSARIAL / "demo/demo.V4-pls.npz"
    sidecar = Sidecar.load(path)
    others = dataclasses.replace(sidecar, neuroid_id=np.char.add(sidecar.neuroid_id, "x"))
    others.write(path, Record.from_json(path.with_suffix(".json")).checksum)
    found, warnings = compared(own_results)
    assert list(found["measure"]) == ["V1", "V2", "IT", "behavior"]
    assert ["in V4: other neuroids" in one or "in Avg: other neuroids" in one for one in warnings] == [True, True]
    assert all("demo.V4-pls" in one for one in warnings)


def test_the_neuroids_of_another_run_are_not_used_and_that_is_said(own_results):
    path = own_results / ADVERSARIAL / "demo/demo.V4-pls.npz"
    path.write_bytes((own_results / JOINT / "demo/demo.V4-pls.npz").read_bytes())
    profiles, (warning,) = profiles_of(read_folder(own_results)[0], n_resamples=200)
    assert str(path) in warning and "another record" in warning
    assert "V4" not in profiles[0].drawn_from


def test_an_unknown_model_and_a_model_alone_are_user_errors(own_results, invoke):
    with pytest.raises(UserError, match=f"unknown model '992'[^\0]*{JOINT}"):
        raise invoke(own_results, "--against", "992").exception
    with pytest.raises(UserError, match="no other model"):
        raise invoke(own_results / JOINT, "--against", "991").exception


def test_a_model_is_found_by_its_name_number_or_what_was_typed(demo_results, change, tmp_path):
    from analysis.profiles import find_model

    ones = list(read_folder(demo_results)[0].itertuples())
    assert find_model("991", ones) == find_model(JOINT, ones) == JOINT
    assert find_model("timm:resnet18", ones) == find_model("timm_resnet18", ones) == "timm:resnet18"
    two = [
        dataclasses.make_dataclass("One", ["model", "card", "competition_id"])(name, "timm_resnet18_a1_in1k", None)
        for name in ("timm_resnet18_a1_in1k-0a1b2c3d", "timm_resnet18_a1_in1k-untrained")
    ]
    with pytest.raises(UserError, match=r"'timm:resnet18' may be .*0a1b2c3d, .*-untrained: give the whole name"):
        find_model("timm:resnet18", two)
    own = dataclasses.replace(two[0], model="timm_resnet18_a1_in1k")
    assert find_model("timm:resnet18", [*two, own]) == own.model
