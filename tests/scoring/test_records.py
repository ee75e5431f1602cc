"""A record is written whole, read strictly, and never left out of a table silently."""

import dataclasses
import json

import numpy as np
import pytest

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import Record, RecordError, read_folder, versions
from brainscore_submission.scoring.sidecar import Sidecar


def a_record(**changes):
    fields = {
        "model": "crossvit_18_dagger_408_rotation_adv",
        "competition_id": 991,
        "suite": "demo",
        "benchmark": "demo.V1-pls",
        "area": "V1",
        "score": 0.6125,
        "score_error": 0.014,
        "score_2022": 0.765625,
        "score_2022_error": 0.0175,
        "interval": (0.55, 0.66),
        "raw": 0.7,
        "raw_error": 0.008,
        "ceiling": 0.8,
        "ceiling_error": 0.002,
        "formula": "r^2/c",
        "raw_per_split": (0.69, 0.71),
        "weights": {"untrained": True, "seed": 0},
        "simulated": True,
        "fingerprint": "f" * 64,
        "versions": {"python": "3.11"},
        "created": "2026-11-21T10:00:00+00:00",
    }
    return Record(**fields | changes)


def a_sidecar():
    return Sidecar(r=np.full((2, 3), 0.7), neuroid_id=np.array(["a", "b", "c"]))


def test_a_record_comes_back_as_it_was_written(tmp_path):
    path = a_record().write(tmp_path, a_sidecar())
    assert path == tmp_path / "crossvit_18_dagger_408_rotation_adv/demo/demo.V1-pls.json"
    assert Record.from_json(path) == a_record()
    assert np.array_equal(Sidecar.load(path.with_suffix(".npz")).r, a_sidecar().r)


def test_lists_are_welcome_where_json_has_lists():
    assert a_record(interval=[0.55, 0.66], raw_per_split=[0.69, 0.71]) == a_record()


def test_writing_leaves_no_temporary_file_and_replaces_the_old_one(tmp_path):
    a_record().write(tmp_path, a_sidecar())
    path = a_record(score=0.5).write(tmp_path, a_sidecar())
    assert sorted(file.name for file in path.parent.iterdir()) == ["demo.V1-pls.json", "demo.V1-pls.npz"]
    assert Record.from_json(path).score == 0.5


def test_an_interrupted_write_leaves_the_old_record_whole(tmp_path, monkeypatch):
    path = a_record().write(tmp_path)

    def full_disk(_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(
        UserError, match=r"cannot write to .*json: no space left on device\. Give another with --results\."
    ):
        a_record(score=0.5).write(tmp_path)
    assert Record.from_json(path) == a_record()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def changed(path, **changes):
    fields = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in fields.items() if value is not ...}))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"scor": 1.0}, r"unknown field 'scor'. Did you mean score\?"),
        ({"area": ...}, "missing field area"),
        ({"raw": float("nan")}, "holds NaN"),
        ({"raw": float("inf")}, "holds Infinity"),
        ({"raw": "0.7"}, "field 'raw' is '0.7', expected float | None"),
        ({"simulated": 1}, "field 'simulated' is 1, expected bool"),
        ({"n_stimuli": True}, "field 'n_stimuli' is True"),
        ({"interval": [0.5]}, "field 'interval'"),
        ({"interval": [0.6, 0.5]}, "upside down"),
        ({"schema": 2}, "schema 2 is not 1"),
        ({"status": "score"}, "unknown status 'score'. Did you mean scored"),
        ({"status": "no access"}, "no access' but score, score_2022, raw, interval is given"),
        ({"ceiling": None}, "a score without a ceiling"),
        ({"raw": None}, "no raw"),
    ],
)
def test_a_faulty_record_is_refused_with_its_file_named(tmp_path, changes, message):
    path = a_record().write(tmp_path)
    changed(path, **changes)
    with pytest.raises(RecordError, match=message) as refusal:
        Record.from_json(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    "text, message",
    [("{", "broken JSON"), ("[1]", "expected a JSON object"), ('{"a": 1, "a": 2}', "twice"), (b"\xff", "broken")],
)
def test_what_is_not_a_record_is_refused_with_its_file_named(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecordError, match=message) as refusal:
        Record.from_json(path)
    assert str(path) in str(refusal.value)


def test_nan_is_refused_before_it_is_written():
    with pytest.raises(RecordError, match="field 'score' is nan"):
        a_record(score=float("nan"))


def test_no_access_is_a_record_with_a_reason_and_no_numbers(tmp_path):
    blank = {
        field.name: None
        for field in dataclasses.fields(Record)
        if field.name.startswith(("score", "raw", "interval", "ceiling", "formula"))
    }
    refused = a_record(status="no access", reason="needs credentials", **blank)
    assert Record.from_json(refused.write(tmp_path)) == refused
    with pytest.raises(RecordError, match="no reason"):
        dataclasses.replace(refused, reason=None)


def test_an_unceiled_record_holds_raw_only():
    unceiled = a_record(ceiling=None, score=None, score_2022=None)
    assert unceiled.raw == 0.7


def test_a_folder_is_read_as_one_table_and_every_file_left_out_is_named(tmp_path):
    a_record().write(tmp_path, a_sidecar())
    a_record(benchmark="demo.V2-pls", area="V2").write(tmp_path)
    broken = tmp_path / "other/demo/demo.V4-pls.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    copy = tmp_path / "other/demo/demo.V1-pls.json"
    copy.write_text(a_record().to_json())
    search = tmp_path / "other/layer_search/table.json"
    search.parent.mkdir()
    search.write_text("{}")

    table, warnings = read_folder(tmp_path)
    assert list(table["area"]) == ["V1", "V2"]
    assert table["untrained"].all()
    assert [sidecar is not None for sidecar in table["sidecar"]] == [True, False]
    assert len(warnings) == 2
    assert str(copy) in warnings[0] and "same model" in warnings[0]
    assert str(broken) in warnings[1] and "broken JSON" in warnings[1]


def test_an_empty_folder_gives_an_empty_table_with_its_columns(tmp_path):
    table, warnings = read_folder(tmp_path)
    assert table.empty and "score" in table and warnings == []


def test_a_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(RecordError, match="evaluate.py"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"r": np.zeros((2, 3))}, "missing array neuroid_id"),
        ({"r": np.zeros((2, 3)), "neuroid_id": np.arange(4)}, "shape"),
        ({"r": np.zeros((2, 3)), "neuroid_id": np.arange(3), "preds": np.zeros(1)}, "unknown array 'preds'"),
        (
            {"r": np.zeros((2, 3)), "neuroid_id": np.arange(3), "prediction": np.zeros((2, 5, 3))},
            "missing array test_index, target",
        ),
        ({"r": np.zeros(3), "neuroid_id": np.arange(3)}, "array 'r' has 1 dimension"),
    ],
)
def test_a_faulty_sidecar_is_refused_with_its_file_named(tmp_path, arrays, message):
    path = tmp_path / "x.npz"
    np.savez(path, **arrays)
    with pytest.raises(RecordError, match=message) as refusal:
        Sidecar.load(path)
    assert str(path) in str(refusal.value)


def test_half_a_sidecar_is_refused(tmp_path):
    path = a_sidecar().write(tmp_path / "x.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RecordError, match="not a readable sidecar"):
        Sidecar.load(path)


def test_versions_name_python_and_the_packages_that_are_here():
    found = versions()
    assert found["numpy"] == np.__version__ and "python" in found
