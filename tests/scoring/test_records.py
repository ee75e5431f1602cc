"""A record is written whole, read strictly, and never left out of a table silently."""

import json

import numpy as np
import pytest

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import Measure, Predictivity, Record, read_folder, versions
from brainscore_submission.scoring.sidecar import RecordError, Sidecar

NUMBERS = {
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
}


def a_record(measured=None, body=None, **changes):
    fields = {
        "model": "mine",
        "card": "crossvit_18_dagger_408_rotation_adv",
        "competition_id": 991,
        "suite": "demo",
        "benchmark": "demo.V1-pls",
        "area": "V1",
        "measured": body or Predictivity(**NUMBERS | (measured or {})),
        "weights": {"untrained": True, "seed": 0},
        "marks": ("UNTRAINED", "SIMULATED"),
        "fingerprint": "f" * 64,
        "versions": {"python": "3.11"},
        "created": "2026-11-21T10:00:00+00:00",
    }
    return Record(**fields | changes)


def a_sidecar():
    return Sidecar(r=np.full((2, 3), 0.7), neuroid_id=np.array(["a", "b", "c"]))


def test_a_record_comes_back_as_it_was_written(tmp_path):
    path = a_record().write(tmp_path, a_sidecar())
    assert path == tmp_path / "mine/demo/demo.V1-pls.json"
    assert Record.from_json(path) == a_record()
    assert np.array_equal(Sidecar.load(path.with_suffix(".npz")).r, a_sidecar().r)


def test_writing_leaves_no_temporary_file_and_replaces_the_old_one(tmp_path):
    a_record().write(tmp_path, a_sidecar())
    path = a_record({"score": 0.5}).write(tmp_path, a_sidecar())
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
        a_record({"score": 0.5}).write(tmp_path)
    assert Record.from_json(path) == a_record()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def changed(path, part, changes):
    """Change a record's file, `part` the envelope or what was measured, and make its checksum fit."""
    fields = json.loads(path.read_text())
    del fields["checksum"]
    place = fields if part == "envelope" else fields["measured"]
    place |= changes
    for name in [name for name, value in changes.items() if value is ...]:
        del place[name]
    path.write_text(json.dumps(fields))


@pytest.mark.parametrize(
    "part, changes, message",
    [
        ("measured", {"scor": 1.0}, r"unknown field 'scor'. Did you mean score\?"),
        ("envelope", {"modl": "x"}, r"unknown field 'modl'. Did you mean model\?"),
        ("envelope", {"suite": ...}, "missing field suite"),
        ("measured", {"raw": float("nan")}, "holds NaN"),
        ("measured", {"raw": float("inf")}, "holds Infinity"),
        ("measured", {"raw": "0.7"}, "field 'raw' is '0.7': input should be a valid number"),
        ("envelope", {"marks": 1}, "field 'marks' is 1"),
        ("measured", {"n_stimuli": True}, "field 'n_stimuli' is True"),
        ("measured", {"interval": [0.5]}, "field 'interval'"),
        ("measured", {"interval": [0.6, 0.5]}, "upside down"),
        ("envelope", {"format": 3}, "field 'format' is 3"),
        ("envelope", {"status": "score"}, "unknown status 'score'. Did you mean scored"),
        ("envelope", {"status": "no access"}, "status is 'no access' but something was measured"),
        ("measured", {"ceiling": None}, "a score by r.2/c without a ceiling"),
        ("measured", {"raw": None, "score": None}, "neither raw nor score"),
        ("envelope", {"measured": None}, "nothing was measured"),
        ("envelope", {"model": "yours"}, "its checksum does not fit"),
        ("measured", {"score": 0.6126}, "its checksum does not fit"),
    ],
)
def test_a_faulty_record_is_refused_with_its_file_named(tmp_path, part, changes, message):
    path = a_record().write(tmp_path)
    changed(path, part, changes)
    with pytest.raises(RecordError, match=message) as refusal:
        Record.from_json(path)
    assert str(path) in str(refusal.value)


def test_any_number_of_a_file_changed_by_hand_is_noticed(tmp_path):
    path = a_record().write(tmp_path)
    text = path.read_text()
    for digit in [at for at, sign in enumerate(text) if sign.isdigit()]:
        path.write_text(text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :])
        with pytest.raises(RecordError):
            Record.from_json(path)


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
        a_record({"score": float("nan")})


def test_no_access_is_a_record_with_a_reason_and_no_numbers(tmp_path):
    refused = {"model": "mine", "card": "c", "suite": "s", "benchmark": "b", "area": "V1", "status": "no access"}
    refused |= {"fingerprint": "f", "versions": {}, "created": "today"}
    record = Record(**refused, reason="needs credentials")
    assert Record.from_json(record.write(tmp_path)) == record
    with pytest.raises(RecordError, match="no reason"):
        Record(**refused)


def test_an_unceiled_record_holds_raw_only():
    assert a_record({"ceiling": None, "score": None, "score_2022": None}).measured.raw == 0.7


def test_a_measure_is_a_record_like_any_other(tmp_path):
    measured = Measure(metric="accuracy", value=0.75, interval=(0.7, 0.8), n=60, settings={"threat": "linf:4/255"})
    record = a_record(kind="measure", area=None, benchmark="robust accuracy", suite="robustness", body=measured)
    assert Record.from_json(record.write(tmp_path)).measured == measured
    a_record().write(tmp_path)
    table, warnings = read_folder(tmp_path)
    assert list(table["kind"]) == ["predictivity", "measure"] and not warnings
    assert table["value"].iloc[1] == 0.75 and table["score"].iloc[0] == 0.6125


# --- version 0.1.0 ---------------------------------------------------------------------------------------------


OLD = {
    "schema": 1,
    "model": "mine",
    "competition_id": None,
    "suite": "demo",
    "benchmark": "demo.V1-pls",
    "area": "V1",
    "layer": "layer1",
    "layer_map": "paper",
    "status": "scored",
    "reason": None,
    **{name: list(value) if isinstance(value, tuple) else value for name, value in NUMBERS.items()},
    "interval_over": "neuroids",
    "metric": "pls",
    "engine": "gram",
    "notes": [],
    "n_stimuli": 100,
    "n_neuroids": 40,
    "n_features": 7,
    "visual_degrees": 8.0,
    "weights": {"untrained": True, "seed": 0},
    "preprocessing": "crop224",
    "simulated": True,
    "fingerprint": "f" * 64,
    "precision": "float32",
    "device": "cpu",
    "seconds": {"scoring": 0.5, "recording": 3.0},
    "versions": {"python": "3.11"},
    "created": "2026-11-21T10:00:00+00:00",
}


def test_a_record_of_version_0_1_0_is_read(tmp_path):
    path = tmp_path / "mine/demo/demo.V1-pls.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(OLD))
    record = Record.from_json(path)
    assert record.measured.score == 0.6125 and record.marks == ("UNTRAINED", "SIMULATED") and record.layer == "layer1"
    assert record.command is None
    np.savez_compressed(path.with_suffix(".npz"), r=a_sidecar().r, neuroid_id=a_sidecar().neuroid_id)
    table, warnings = read_folder(tmp_path)
    assert len(table) == 1 and not warnings
    assert np.array_equal(Sidecar.load(table["sidecar"][0], table["checksum"][0]).r, a_sidecar().r)


def test_a_record_of_version_0_1_0_is_set_aside_and_named_never_overwritten(tmp_path, caplog):
    path = tmp_path / "mine/demo/demo.V1-pls.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(OLD))
    path.with_suffix(".npz").write_bytes(b"neuroids")
    a_record().write(tmp_path)
    assert json.loads(path.with_name("demo.V1-pls.0.1.0.json").read_text()) == OLD
    assert path.with_name("demo.V1-pls.0.1.0.npz").read_bytes() == b"neuroids"
    assert "kept as demo.V1-pls.0.1.0.json" in caplog.text
    table, warnings = read_folder(tmp_path)
    assert len(table) == 1 and "of version 0.1.0, scored again since" in warnings[0]


# --- folders and sidecars --------------------------------------------------------------------------------------


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
    assert list(table["marks"]) == [("UNTRAINED", "SIMULATED")] * 2
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
    path = a_sidecar().write(tmp_path / "x.npz", "checksum")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RecordError, match="not a readable sidecar"):
        Sidecar.load(path)


def test_a_sidecar_of_another_run_is_noticed(tmp_path):
    path = a_record().write(tmp_path, a_sidecar()).with_suffix(".npz")
    assert Sidecar.load(path, a_record().checksum)
    with pytest.raises(RecordError, match="belongs to another record"):
        Sidecar.load(path, a_record({"score": 0.5}).checksum)


def test_versions_name_python_and_the_packages_that_are_here():
    found = versions()
    assert found["numpy"] == np.__version__ and "python" in found
