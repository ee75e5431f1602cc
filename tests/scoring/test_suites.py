"""Promises of benchmarks.py: what stands for which area, honest averages, honest absence."""

import brainscore_vision
import pytest
from brainscore_core.plugin_management.import_plugin import ImportPlugin

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring import suites as benchmarks
from brainscore_submission.scoring.published import PUBLISHED
from brainscore_submission.scoring.suites import NoAccess, Suite, find_suite, load, single_benchmarks


def test_the_competition_has_33_leaves_and_brainscore_knows_them_all():
    leaves = find_suite("competition2022").leaves
    assert len(leaves) == 33
    for leaf in [*leaves, *find_suite("public").leaves]:
        ImportPlugin("brainscore_vision", "benchmarks", leaf)  # raises where nothing is registered


def test_v1_is_the_mean_of_predictivity_and_of_seven_marques_groups():
    suite = find_suite("competition2022")
    marques = {leaf: 1.0 if "circular_variance" in leaf else 0.0 for leaf in suite.leaves if "Marques" in leaf}
    assert len(marques) == 22
    scores = {leaf: 0.0 for leaf in suite.leaves} | marques
    # Two circular-variance leaves? No: one name, so one of seven in one group of seven, under half of V1.
    ones = [leaf for leaf, value in marques.items() if value]
    assert ones == ["Marques2020_Ringach2002-circular_variance"]
    assert suite.average(scores)["V1"] == pytest.approx(1 / 7 / 7 / 2)


def test_averages_of_the_paper_are_the_means_of_its_five_columns():
    suite = find_suite("public")
    for row in PUBLISHED:
        scores = {leaf: row.scores[area] for leaf, area in suite.leaves.items()}
        assert suite.average(scores)["average"] == pytest.approx(row.average, abs=0.00041 + 0.0005)


@pytest.mark.parametrize("missing", ["absent", None])
def test_no_average_where_a_leaf_is_missing(missing):
    suite = find_suite("competition2022")
    scores = dict.fromkeys(suite.leaves, 0.5)
    if missing == "absent":
        del scores["SanghaviMurty2020.IT-pls"]
    else:
        scores["SanghaviMurty2020.IT-pls"] = None
    average = suite.average(scores)
    assert average["IT"] is None
    assert average["average"] is None
    assert average["V4"] == 0.5


def test_benchmarks_given_by_id_have_no_average_and_know_their_area():
    suite = single_benchmarks(["MajajHong2015public.IT-pls", "demo.V4-pls"])
    assert suite.leaves == {"MajajHong2015public.IT-pls": "IT", "demo.V4-pls": "V4"}
    assert suite.simulated_leaves == {"demo.V4-pls"}
    assert suite.average(dict.fromkeys(suite.leaves, 0.5))["average"] is None


def test_unknown_suites_and_benchmarks_are_named():
    with pytest.raises(UserError, match="unknown suite 'publik'. Did you mean public?"):
        find_suite("publik")
    with pytest.raises(UserError, match="unknown benchmark 'MajajHong2015public.IT-plz'. Did you mean"):
        load("MajajHong2015public.IT-plz", find_suite("public"))


def test_data_without_credentials_or_connection_is_no_access_not_zero(monkeypatch, tmp_path):
    """The real fetch of brainscore_core, against an address where nobody listens."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("BRAINIO_HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoAccess, match="no internet connection"):
        load("MajajHong2015public.IT-pls", find_suite("public"))


def test_a_refusal_of_s3_is_no_access(monkeypatch):
    import botocore.exceptions

    refusal = botocore.exceptions.ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject")
    signed = botocore.exceptions.NoCredentialsError()

    def refuse(identifier):
        raise Exception([signed, refusal])

    monkeypatch.setattr(brainscore_vision, "load_benchmark", refuse)
    with pytest.raises(NoAccess, match="no credentials for this data"):
        load("FreemanZiemba2013.V1-pls", find_suite("competition2022"))


def test_any_other_error_of_a_benchmark_keeps_its_traceback(monkeypatch):
    def broken(identifier):
        raise ZeroDivisionError

    monkeypatch.setattr(brainscore_vision, "load_benchmark", broken)
    with pytest.raises(ZeroDivisionError):
        load("FreemanZiemba2013.V1-pls", Suite("x", {}))


def test_marques_groups_hold_22_properties():
    assert sum(map(len, benchmarks.MARQUES_GROUPS.values())) == 22
