"""What becomes a folder among the records stays inside it, is read again, and is no other's."""

import pytest

from brainscore_submission.asked import Asked
from brainscore_submission.cli.probing import SUITE as PROBES
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.recording import SUITE as ROBUSTNESS
from brainscore_submission.scoring.naming import LEVELS, LONGEST, SEARCHES, record_path
from brainscore_submission.scoring.records import Measure, Record, read_folder, require_own_folder
from brainscore_submission.scoring.suites import MEASURED, Suite

REFUSED = ("", " ", ".", "..", SEARCHES, LEVELS, "x" * (LONGEST + 1), "ü" * LONGEST, "a\nb", "\udcff")


@pytest.mark.parametrize("name", REFUSED)
def test_such_a_name_is_refused_wherever_it_is_given(name, tmp_path):
    for given in (
        lambda: Asked("991", name=name),
        lambda: Suite(name, {}),
        lambda: Suite("mine", {"V4": (name,)}),
        lambda: record_path(tmp_path, name, "suite", "benchmark"),
    ):
        with pytest.raises(UserError, match="the name") as refused:
            given()
        assert len(str(refused.value)) < 250


@pytest.mark.parametrize("name", ["a", "../../out", "..hidden", "x" * LONGEST, "timm:resnet18", "ResNet-50 (ü)", "/"])
def test_any_other_names_a_folder_that_is_written_and_read(name, tmp_path):
    record = a_record(name)
    path = record.write(tmp_path / "results")
    assert path.parents[2] == tmp_path / "results" == path.resolve().parents[2]
    table, warnings = read_folder(tmp_path / "results")
    assert not warnings and list(table["model"]) == [name]


def test_a_folder_holds_the_records_of_one_name(tmp_path):
    a_record("a b").write(tmp_path)
    require_own_folder(tmp_path, "a b")
    require_own_folder(tmp_path, "a_b")
    with pytest.raises(UserError, match="a-b holds records of 'a b', and those of 'a-b' would lie there too"):
        require_own_folder(tmp_path, "a-b")


def test_no_suite_of_a_user_is_called_as_what_attacks_and_probes_write():
    assert set(MEASURED) == {PROBES, ROBUSTNESS}


def a_record(model):
    return Record(
        kind="measure",
        model=model,
        card="card",
        suite="demo",
        benchmark="demo.V1-pls",
        measured=Measure(metric="accuracy", value=0.5, n=2),
        fingerprint="f" * 64,
        versions={"python": "3.11"},
        created="2026-11-21T10:00:00+00:00",
    )
