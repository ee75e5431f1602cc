"""Two models on one benchmark: their difference, its paired interval, and what cannot be compared."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis.differences import app, differences
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import read_folder
from brainscore_submission.scoring.sidecar import Sidecar

JOINT, ADVERSARIAL = "crossvit_18_dagger_408_rotation_adv", "crossvit_18_dagger_408_adv"


def invoke(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments), "--resamples", "200"])


def test_every_other_model_is_compared_on_every_benchmark_with_neuroids(demo_results):
    table, _ = read_folder(demo_results)
    found, warnings = differences(table, JOINT, n_resamples=200)
    assert warnings == []
    assert len(found) == 4 * 4  # behaviour keeps no neuroids
    assert list(found["area"].unique()) == ["V1", "V2", "V4", "IT"]
    raw = table.set_index(["benchmark", "model"])["raw"]
    for row in found.itertuples():
        assert row.difference == pytest.approx(raw[row.benchmark, row.model] - raw[row.benchmark, JOINT], abs=1e-6)
        assert row.low <= row.difference <= row.high


def test_the_command_shows_it_marked_and_as_json(demo_results):
    shown = invoke(demo_results, "--against", "991")
    assert shown.exit_code == 0
    assert f"r minus that of {JOINT}, suite demo · SIMULATED" in shown.stdout
    facts = json.loads(invoke(demo_results, "--against", JOINT, "--json").stdout)
    assert facts["against"] == JOINT and facts["marks"] == ["SIMULATED"]
    first = facts["differences"][0]
    for number in ("difference", "low", "high"):
        assert f"{first[number]:+.3f}" in shown.stdout


def test_other_neuroids_are_no_pair_and_named(own_results):
    path = own_results / ADVERSARIAL / "demo/demo.V4-pls.npz"
    sidecar = Sidecar.load(path)
    Sidecar(**vars(sidecar) | {"neuroid_id": np.char.add(sidecar.neuroid_id, "x")}).write(path)
    found, (warning,) = differences(read_folder(own_results)[0], JOINT, n_resamples=200)
    assert list(found["area"]) == ["V1", "V2", "IT"]
    assert "demo.V4-pls" in warning and "different neuroids" in warning


def test_an_unknown_model_and_a_model_alone_are_user_errors(own_results):
    with pytest.raises(UserError, match=f"no records of a model '992'[^\0]*{JOINT}"):
        raise invoke(own_results, "--against", "992").exception
    with pytest.raises(UserError, match="no other model"):
        raise invoke(own_results / JOINT, "--against", "991").exception
