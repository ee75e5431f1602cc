"""Promises of benchmarks.py: what stands for which area, honest averages, honest absence."""

import brainscore_vision
import pytest
from brainscore_core.plugin_management.import_plugin import ImportPlugin

from brainscore_submission.plugin.areas import AREAS, AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.published import PUBLISHED
from brainscore_submission.scoring.registry import known_benchmarks
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


def test_the_shipped_files_are_the_trees_that_stood_in_code():
    """Ids in order, nesting and sizes as before suites were data; the Marques groups by the number of properties."""
    public, competition = find_suite("public"), find_suite("competition2022")
    assert public.areas == {
        "V1": ("FreemanZiemba2013public.V1-pls",),
        "V2": ("FreemanZiemba2013public.V2-pls",),
        "V4": ("MajajHong2015public.V4-pls",),
        "IT": ("MajajHong2015public.IT-pls",),
        "behavior": ("Rajalingham2018public-i2n",),
    }
    first, marques = competition.areas["V1"]
    assert first == "FreemanZiemba2013.V1-pls"
    assert [len(leaves) for group in marques["Marques2020"] for leaves in group.values()] == [7, 3, 4, 2, 1, 2, 3]
    assert competition.areas["V2"] == ("FreemanZiemba2013.V2-pls",)
    data = ("MajajHong2015", "Sanghavi2020", "SanghaviJozwik2020", "SanghaviMurty2020")
    for area in ("V4", "IT"):
        assert competition.areas[area] == tuple(f"{name}.{area}-pls" for name in data)
    assert competition.areas["behavior"] == ("Rajalingham2018-i2n",)
    assert public.caveat.startswith("Public data. The behavioural readout")
    assert competition.caveat == "Private data: needs Brain-Score's credentials."


def test_v1_of_the_competition_by_hand():
    scores = {leaf: 0.0 for leaf in find_suite("competition2022").leaves} | {"FreemanZiemba2013.V1-pls": 0.3}
    scores |= {
        "Marques2020_Ringach2002-circular_variance": 0.7,  # of 7 in orientation
        "Marques2020_DeValois1982-pref_or": 0.35,  # of the same 7
        "Marques2020_Schiller1976-sf_bandwidth": 0.6,  # of 3 in spatial frequency
        "Marques2020_Cavanaugh2002-surround_suppression_index": 0.84,  # alone in its group
    }
    marques = ((0.7 + 0.35) / 7 + 0.6 / 3 + 0.84) / 7  # .15 + .2 + .84 over seven groups: .17
    assert marques == pytest.approx(0.17)
    assert find_suite("competition2022").average(scores)["V1"] == pytest.approx((0.3 + 0.17) / 2)


def test_li2026_is_twelve_benchmarks_without_an_average_of_five():
    suite = find_suite("li2026")
    expected = {f"Li2026.{area}-{metric}": area for area in AREAS for metric in ("pls", "ridgecv", "rdm")}
    assert suite.leaves == expected
    assert set(expected) == {name for name in known_benchmarks() if name.startswith("Li2026")}
    assert "Marked public" in suite.caveat
    scores = dict.fromkeys(expected, 0.5) | {"Li2026.V4-pls": 0.2, "Li2026.V4-ridgecv": 0.3, "Li2026.V4-rdm": 0.7}
    assert suite.average(scores) == pytest.approx({"V1": 0.5, "V2": 0.5, "V4": 0.4, "IT": 0.5, "average": None})


def test_engineering_stays_out_of_the_average():
    areas = {area: (area,) for area in (*AREAS_AND_BEHAVIOR, "engineering")}
    scores = dict.fromkeys(AREAS_AND_BEHAVIOR, 0.2) | {"engineering": 1.0}
    for suite in (Suite("x", areas), Suite("x", areas, partial=True)):
        assert suite.average(scores)["average"] == pytest.approx(0.2)
        assert suite.average_by_site_rule(scores)["average"] == pytest.approx(0.2)


TOY = Suite(
    "toy",
    {
        "V1": ("a", {"group": ("b", {"inner": ("c", "d")})}),
        "V2": ("e", "f"),
        "V4": ("g",),
        "IT": ("h",),
        "behavior": ("i", "j"),
    },
    partial=True,
)


def test_both_averages_by_hand():
    scores = {"a": 0.4, "b": None, "c": 0.2, "e": 0.6, "g": 0.3, "i": 0.5, "j": 0.7}  # d, f and h are absent
    # Ours: c is all of its group and of the group above, f and h are passed over, and IT with them.
    ours = {"V1": (0.4 + 0.2) / 2, "V2": 0.6, "V4": 0.3, "IT": None, "behavior": 0.6}
    assert TOY.average(scores) == pytest.approx({**ours, "average": (0.3 + 0.6 + 0.3 + 0.6) / 4})
    # The site: inner = .2 / 2, group = (0 + .1) / 2, V1 = (.4 + .05) / 2; IT is shown as none and counts as 0.
    site = {"V1": 0.225, "V2": 0.3, "V4": 0.3, "IT": None, "behavior": 0.6}
    neural = (0.225 + 0.3 + 0.3 + 0) / 4
    found = TOY.average_by_site_rule(scores)
    assert found == pytest.approx({**site, "neural": neural, "average": (neural + 0.6) / 2})


def test_where_nothing_is_scored_both_averages_are_none():
    nothing = dict.fromkeys(AREAS_AND_BEHAVIOR)
    assert TOY.average({}) == {**nothing, "average": None}
    assert TOY.average_by_site_rule({}) == {**nothing, "neural": None, "average": None}


def test_a_score_of_zero_is_a_score():
    assert TOY.average({"e": 0.0})["V2"] == 0
    assert TOY.average_by_site_rule({"e": 0.0})["V2"] == 0


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
