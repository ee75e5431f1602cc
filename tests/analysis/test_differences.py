"""Two models on one benchmark: their difference, its paired interval, and what cannot be compared."""

import dataclasses
import functools
import json

import numpy as np
import pytest

from analysis.differences import differences_of_r, main
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import Record, read_folder
from brainscore_submission.scoring.sidecar import Sidecar

JOINT, ADVERSARIAL = "crossvit_18_dagger_408_rotation_adv", "crossvit_18_dagger_408_adv"


@pytest.fixture
def invoke(run_command):
    return functools.partial(run_command, main, "--resamples", "200")


def test_every_other_model_is_compared_on_every_benchmark_with_neuroids(demo_results):
    table, _ = read_folder(demo_results)
    found, warnings = differences_of_r(table, JOINT, n_resamples=200)
    assert warnings == []
    assert len(found) == 4 * 4  # behaviour keeps no neuroids
    assert list(found["area"].unique()) == ["V1", "V2", "V4", "IT"]
    raw = table.set_index(["benchmark", "model"])["raw"]
    for row in found.itertuples():
        assert row.difference == pytest.approx(raw[row.benchmark, row.model] - raw[row.benchmark, JOINT], abs=1e-6)
        assert row.low <= row.difference <= row.high


def test_the_command_shows_it_marked_and_as_json(demo_results, invoke):
    shown = invoke(demo_results, "--against", "991")
    assert shown.exit_code == 0
    assert f"r minus that of {JOINT}, suite demo · SIMULATED" in shown.stdout
    facts = json.loads(invoke(demo_results, "--against", JOINT, "--json").stdout)
    assert facts["against"] == JOINT and facts["marks"] == ["SIMULATED"]
    first = facts["differences"][0]
    for number in ("difference", "low", "high"):
        assert f"{first[number]:+.3f}".replace("-", "−") in shown.stdout


@pytest.mark.parametrize("columns", ["40", "60", "80", "200"])
def test_no_column_is_lost_and_no_number_cut_at_any_width(columns, demo_results, invoke, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    shown = invoke(demo_results, "--against", "991").stdout
    for heading in ("benchmark", "model", "difference", "95 % interval", "P(> 0)", "resampled over"):
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
    found, (warning,) = differences_of_r(read_folder(own_results)[0], JOINT, n_resamples=200)
    assert list(found["area"]) == ["V1", "V2", "IT"]
    assert "demo.V4-pls" in warning and "different neuroids" in warning


def test_the_neuroids_of_another_run_are_no_pair_and_named(own_results):
    path = own_results / ADVERSARIAL / "demo/demo.V4-pls.npz"
    path.write_bytes((own_results / JOINT / "demo/demo.V4-pls.npz").read_bytes())
    found, (warning,) = differences_of_r(read_folder(own_results)[0], JOINT, n_resamples=200)
    assert list(found["area"]) == ["V1", "V2", "IT"]
    assert str(path) in warning and "another record" in warning


def test_an_unknown_model_and_a_model_alone_are_user_errors(own_results, invoke):
    with pytest.raises(UserError, match=f"unknown model '992'[^\0]*{JOINT}"):
        raise invoke(own_results, "--against", "992").exception
    with pytest.raises(UserError, match="no other model"):
        raise invoke(own_results / JOINT, "--against", "991").exception
