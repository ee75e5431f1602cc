"""Promises of suite_files.py: suites are data, a user's own too; a mistake in a file is named."""

import json
from pathlib import Path

import pytest

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.registry import known_benchmarks
from brainscore_submission.scoring.suite_files import NAMED, read_suite_file, shipped_suites
from brainscore_submission.scoring.suites import find_suite

FACTS = json.loads(Path(__file__).with_name("stand_ins").joinpath("facts.json").read_text())

GOOD = """
name = "mine"
caveat = "Mine alone."

[areas]
V4 = ["MajajHong2015public.V4-pls", "Li"]
IT = ["MajajHong2015public.IT-pls"]

[groups]
Li = ["Li2026.V4-pls", "inner"]
inner = ["Li2026.V4-ridgecv", "Li2026.V4-rdm"]

[left_out]
"too slow" = ["Hebart2023-match"]
"""


@pytest.fixture
def written(tmp_path):
    """Write a suite file and give its path as typed after --suite."""

    def write(text):
        path = tmp_path / "my.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_the_shipped_files_are_known_by_their_names():
    assert shipped_suites() == ["competition2022", "leaderboard", "li2026", "public"]
    for name in shipped_suites():
        assert find_suite(name).name == name


def test_a_users_own_suite_with_groups_in_groups(written):
    suite = find_suite(written(GOOD))
    assert suite.name == "mine"
    assert suite.caveat == "Mine alone."
    assert suite.areas["V4"] == (
        "MajajHong2015public.V4-pls",
        {"Li": ("Li2026.V4-pls", {"inner": ("Li2026.V4-ridgecv", "Li2026.V4-rdm")})},
    )
    scores = dict.fromkeys(suite.leaves, 0.0) | {"Li2026.V4-rdm": 0.8, "MajajHong2015public.IT-pls": 0.25}
    assert suite.average(scores) == pytest.approx({"V4": 0.8 / 2 / 2 / 2, "IT": 0.25, "average": None})
    assert suite.average(scores | {"Li2026.V4-rdm": None})["V4"] is None


def test_averages_over_what_was_scored_where_the_file_asks_for_it(written):
    suite = find_suite(written(GOOD.replace("[areas]", 'average = "scored"\n[areas]', 1)))
    assert suite.partial
    assert suite.average({"Li2026.V4-rdm": 0.8})["V4"] == 0.8


def test_benchmarks_of_the_demo_suite_keep_their_mark(written):
    suite = find_suite(written('name = "mine"\n[areas]\nV1 = ["demo.V1-pls"]\nV4 = ["Li2026.V4-pls"]'))
    assert suite.simulated_leaves == {"demo.V1-pls"}
    assert set(suite.loaders) == {"demo.V1-pls"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("caveat =", "caveats =", "unknown key 'caveats'. Did you mean caveat?"),
        ('name = "mine"', "", "the key 'name' is missing"),
        ('"mine"', '"my suite"', "name = 'my suite' cannot be used"),
        ('"mine"', '".."', "my.toml: the name '..' cannot be the name of a folder"),
        ('"mine"', '"layer_search"', "the name 'layer_search' is the name of a folder that tables"),
        ('"mine"', '"public"', "the name 'public' is taken"),
        ('"mine"', '"robustness"', "the name 'robustness' is taken"),
        ('"mine"', '"benchmarks"', "the name 'benchmarks' is taken"),
        ('caveat = "Mine alone."', 'average = "some"', "average = 'some' cannot be used"),
        ('["MajajHong2015public.IT-pls"]', '"MajajHong2015public.IT-pls"', "areas.IT = 'MajajHong2015public.IT-pls'"),
        ('["MajajHong2015public.IT-pls"]', "[7]", "areas.IT.0 = 7 cannot be used"),
        ("IT =", "ITC =", "unknown area 'ITC'. Did you mean IT?"),
        ("public.IT-pls", "public.IT-plz", "unknown benchmark 'MajajHong2015public.IT-plz'. Did you mean"),
        ('"Hebart2023-match"', '"Hebart2023-mach"', "unknown benchmark 'Hebart2023-mach'. Did you mean"),
        ('"inner"]', '"iner"]', "unknown benchmark 'iner'. Did you mean inner"),
        (', "inner"]', "]", "no area and no group holds the group 'inner'"),
        ("public.IT-pls", "public.V4-pls", "'MajajHong2015public.V4-pls' is named twice"),
        ('"Li2026.V4-rdm"', '"Li2026.V4-pls"', "'Li2026.V4-pls' is named twice"),
        ('"Hebart2023-match"', '"Li2026.V4-pls"', "'Li2026.V4-pls' is named twice"),
        ("public.IT-pls", "public.V4-reverse_pls", "stands under IT, but is about V4"),
        ('["MajajHong2015public.IT-pls"]', "[]", "area IT is empty"),
        ('"Li2026.V4-ridgecv", "Li2026.V4-rdm"', "", "the group 'inner' is empty"),
        ('"Li2026.V4-rdm"', '"Li"', "the group 'Li' holds itself"),
        ("inner", '"Li2026.V1-pls"', "the group 'Li2026.V1-pls' has the name of a benchmark"),
        ("[areas]", "[areas", "not a TOML file"),
        ("IT =", "V4 =", "not a TOML file"),
    ],
)
def test_a_mistake_is_named_with_its_file(written, old, new, message):
    text = GOOD.replace(old, new)
    if new.startswith('"Li2026.V1'):  # quotes of the array stand around the name already
        text = GOOD.replace('"inner"', new).replace("inner =", f"{new} =")
    assert text != GOOD
    path = written(text)
    with pytest.raises(UserError) as caught:
        find_suite(path)
    assert message in str(caught.value)
    assert path in str(caught.value)


def test_no_benchmark_at_all(written):
    with pytest.raises(UserError, match="there is no area"):
        find_suite(written('name = "mine"\n[areas]'))


def test_a_missing_file_says_what_there_is(tmp_path):
    with pytest.raises(UserError, match="no suite file at .*absent.toml. Give a TOML file, or one of: demo, compet"):
        find_suite(str(tmp_path / "absent.toml"))


def test_an_unknown_name_offers_a_file():
    with pytest.raises(UserError, match="Did you mean leaderboard?.*Or give a TOML file"):
        find_suite("leaderbord")


# The tree of the leaderboard.


@pytest.fixture(scope="module")
def leaderboard():
    return read_suite_file(NAMED / "leaderboard.toml", {})


def test_every_known_benchmark_is_on_the_leaderboard_or_left_out_with_a_reason(leaderboard):
    leaves = [leaf for leaf, _ in leaderboard.leaves]
    left_out = [leaf for ids in leaderboard.left_out.values() for leaf in ids]
    assert sorted(leaves + left_out) == sorted(known_benchmarks())
    assert len(leaves) == 99
    assert all(len(reason) > 20 for reason in leaderboard.left_out)


def test_engineering_and_what_has_no_parent_is_not_on_the_leaderboard(leaderboard):
    for leaf, area in leaderboard.leaves:
        assert known_benchmarks()[leaf].area == area != "engineering"
        assert FACTS[leaf]["parent"] is not None


def test_each_leaf_stands_under_the_node_that_its_object_names(leaderboard):
    """But for behaviour's other name, Geirhos' longer one and two data sets, each said in the file."""
    holder = {
        one: name for table in (leaderboard.areas, leaderboard.groups) for name, ids in table.items() for one in ids
    }
    others = {}
    for leaf, _ in leaderboard.leaves:
        if FACTS[leaf]["parent"] != holder[leaf]:
            others.setdefault((FACTS[leaf]["parent"], holder[leaf]), []).append(leaf)
    assert {pair: len(ids) for pair, ids in others.items()} == {
        ("behavior_vision", "behavior"): 1,
        ("Geirhos2021", "Geirhos2021-error_consistency"): 17,
        ("Bracci2019", "IT"): 1,
        ("behavior", "Ferguson2024"): 14,
    }
    assert [holder[f"V1-{name}"] for name in ("orientation", "response_magnitude")] == ["Marques2020"] * 2


def test_the_file_says_where_it_is_from(leaderboard):
    assert "brainscore-vision 2.4.2" in leaderboard.source
    assert "2026" in leaderboard.source
    assert "Not known" in (NAMED / "leaderboard.toml").read_text(encoding="utf-8")


def test_the_shipped_leaderboard_is_what_the_facts_give():
    from stand_ins.shipped import suite

    assert suite(FACTS) == (NAMED / "leaderboard.toml").read_text(encoding="utf-8")
