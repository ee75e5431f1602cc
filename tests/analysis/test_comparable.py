"""What may stand in one row, and what may be compared; every reader says what it left out or set apart."""

import json

import pytest

from analysis import differences, hierarchy, leaderboard, robustness
from analysis.comparable import read_results
from analysis.probes import read_probes
from analysis.profiles import profiles_of
from analysis.standings import read_standings
from brainscore_submission.scoring.records import Measure, Predictivity, Record
from brainscore_submission.scoring.suite_files import keep_suite
from brainscore_submission.scoring.suites import find_suite

AREAS = ("V1", "V2", "V4", "IT", "behavior")
FIRST, SECOND = ({"untrained": True, "seed": seed, "sha256": None} for seed in (1, 2))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def write(folder):
    """`write(benchmark, value, **fields)`: a record of a score; with `settings` of another measure."""

    def write(benchmark, value, model="X", day=1, metric="robust_accuracy", settings=None, engine="gram", **fields):
        if settings is None:
            measured = Predictivity(
                raw=value, ceiling=1.0, score=value, score_error=0.01, formula="r^2/c", metric="pls", engine=engine
            )
            fields = {"suite": "demo", "area": benchmark.rpartition(".")[2].partition("-")[0]} | fields
        else:
            measured = Measure(metric=metric, value=value, n=40, settings=settings)
            fields = {"suite": "robustness", "kind": "measure"} | fields
        envelope = {"model": model, "card": "timm_test_resnet", "weights": FIRST, "preprocessing": "crop224"}
        created = f"2026-01-{day:02}T00:00:00+00:00"
        origin = {"fingerprint": "f", "versions": {}, "created": created, "precision": "float32"}
        Record(benchmark=benchmark, measured=measured, **envelope | origin | fields).write(folder)

    return write


@pytest.fixture
def told(folder, run_command):
    """`told(command)`: what a command says of the folder, as JSON."""
    return lambda command, *words: json.loads(run_command(command, folder, *words, "--json").stdout)


# --- data ------------------------------------------------------------------------------------------------------------


def test_models_on_other_recordings_of_one_name_are_neither_ranked_nor_tested_together(write, told):
    for model, value, data in (("a", 0.2, "1" * 64), ("b", 0.3, "1" * 64), ("c", 0.9, "2" * 64)):
        write("recordings.sess.V4", value, model=model, suite="recordings.sess", area="V4", data=data)
    facts = told(leaderboard.main, "--resamples", "100")
    assert [(row["model"], row["rank"]) for row in facts["models"]] == [("b", 1), ("a", 2), ("c", 1)]
    assert len({row["suite"] for row in facts["models"]}) == 2
    line = "recordings.sess holds several data sets, not compared: data-11111111 (a, b); data-22222222 (c)"
    assert line in facts["warnings"]
    found = told(differences.main, "--resamples", "100")
    assert [(one["a"], one["b"]) for one in found["differences"]] == [("a", "b")] and line in found["warnings"]


def test_models_on_other_benchmarks_of_an_area_are_not_ranked_together(write, folder):
    for model, benchmarks in (("a", "xy"), ("b", "x")):
        for one in benchmarks:
            write(one, 0.5, model=model, suite="benchmarks", area="V4")
    standings = read_standings(folder, n_resamples=100)
    assert [row.rank for row in standings.rows] == [1, None]
    assert "b on benchmarks stands in no order with a: V4 is of other benchmarks, y" in standings.warnings
    with_others, lines = robustness.brain_scores(read_results(folder)[0])
    assert with_others == {"benchmarks V4": {"a": 0.5}} and lines == standings.warnings


def test_images_of_one_name_are_told_apart_by_their_data(write, told):
    for model, attack, value, data, images in (
        ("X", "fgsm", 0.6, "1" * 64, "val"), ("X", "pgd", 0.1, "2" * 64, "val"), ("Y", "pgd", 0.3, "2" * 64, "val"),
    ):  # fmt: skip
        settings = {"images": images, "attack": attack, "threat": "linf:4/255"}
        write(f"val.robust_accuracy.linf-4-255.{attack}", value, model=model, data=data, settings=settings)
    facts = told(robustness.main)
    assert [(one["measure"], one["model"], one["value"]) for one in facts["measures"]] == [
        ("robust_accuracy linf:4/255 on val.data-11111111", "X", 0.6),
        ("robust_accuracy linf:4/255 on val.data-22222222", "Y", 0.3),
        ("robust_accuracy linf:4/255 on val.data-22222222", "X", 0.1),
    ]
    assert facts["warnings"] == ["val holds several data sets, not compared: data-11111111 (X); data-22222222 (X, Y)"]


def test_areas_under_curves_over_other_levels_are_not_one_measure(write, told, folder):
    for model, level in (("X", 0.1), ("Y", 0.9)):
        curve = [{"level": one, "value": 0.5, "interval": None} for one in (0, level)]
        settings = {"images": "val", "curve": curve, "axis": "share hidden"}
        write("val.occlusion", 0.5, model=model, metric="occlusion_accuracy", suite="probes", settings=settings)
    facts = told(leaderboard.main)
    columns = [f"occlusion_accuracy: val.occlusion.levels-0-{level}" for level in (0.1, 0.9)]
    assert [[row[name] for name in columns] for row in facts["models"]] == [[0.5, None], [None, 0.5]]
    shown = {row["benchmark"] for row in read_probes(folder)[0].to_dict("records")}
    assert shown == {"val.occlusion.levels-0-0.1", "val.occlusion.levels-0-0.9"}


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [leaderboard.main, hierarchy.main])
def test_of_several_weights_under_one_name_the_newest_count(command, write, told, run_command, folder):
    for place, area in enumerate(AREAS):
        new = area not in ("V1", "V2")
        write(f"demo.{area}-pls", 0.1 * place, weights=SECOND if new else FIRST, day=1 + new)
    line = (
        "left out: demo.V1-pls, demo.V2-pls of X (timm_test_resnet, random weights, seed 1, crop224): "
        "its newest records are of timm_test_resnet, random weights, seed 2, crop224"
    )
    if command is hierarchy.main:
        shown = run_command(command, folder)
        assert shown.exit_code == 1 and line.split()[2] in shown.output
    facts = told(command)
    assert line in facts["warnings"]
    assert all(row.get("Avg") is None and "ρ" not in row and "rho" not in row for row in facts["models"])


def test_attacks_and_probes_of_older_weights_stand_in_no_row(write, told):
    settings = {"images": "val", "attack": "fgsm", "threat": "linf:4/255"}
    write("val.robust_accuracy.fgsm", 0.6, settings=settings)
    write("val.robust_accuracy.pgd", 0.5, settings=settings | {"attack": "pgd"}, weights=SECOND, day=2)
    facts = told(robustness.main)
    assert [one["attack"] for one in facts["measures"]] == ["pgd"] and len(facts["warnings"]) == 1
    (row,) = told(leaderboard.main)["models"]
    assert row["robust_accuracy"] == 0.5


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"precision": "tf32"}, {"precision": "float32"}),
        ({"engine": "converged"}, {"engine": "gram"}),
        ({"layer": "layer1", "area": "V4"}, {"layer": "layer2", "area": "V4"}),
        ({"preprocessing": "squash224"}, {"preprocessing": "crop224"}),
    ],
)
def test_what_was_computed_otherwise_is_not_averaged(older, newer, write, folder):
    write("demo.V1-pls", 0.1, **older)
    write("demo.V2-pls", 0.3, day=2, **newer)
    table, (warning,) = read_results(folder)
    assert list(table["benchmark"]) == ["demo.V2-pls"] and warning.startswith("left out: demo.V1-pls of X (")


def test_engines_that_compute_the_same_and_layers_of_other_areas_stand_together(write, folder):
    write("demo.V1-pls", 0.1, engine="gram", layer="layer1", layer_map="paper")
    write("demo.V2-pls", 0.3, engine="brainscore", layer="layer2", layer_map="given", day=2)
    table, warnings = read_results(folder)
    assert len(table) == 2 and warnings == []


def test_other_weights_under_a_cards_name_do_not_get_its_accuracy(write, told):
    card = {"model": "crossvit_18_dagger_408", "card": "crossvit_18_dagger_408"}
    for note, top1 in ((None, 83.05), ("given by --weights; its hash is not that of 1057's file", None)):
        write("demo.V4-pls", 0.4, **card, weights={"sha256": "ab" * 32, "note": note})
        assert told(leaderboard.main)["models"][0].get("top-1") == top1


# --- suites ----------------------------------------------------------------------------------------------------------

GROUPED = """
name = "mine"
[areas]
V4 = ["MajajHong2015public.V4-pls", "Li"]
[groups]
Li = ["Li2026.V4-pls", "Li2026.V4-ridgecv", "Li2026.V4-rdm"]
"""
PLAIN = 'name = "mine"\n[areas]\nV4 = ["MajajHong2015public.V4-pls"]'


@pytest.fixture
def suite_of(folder, tmp_path):
    """`suite_of(text)`: a user's own suite, kept beside X's records as evaluate keeps it."""

    def opened(text):
        (tmp_path / "mine.toml").write_text(text)
        suite = find_suite(str(tmp_path / "mine.toml"))
        keep_suite(suite.file, folder / "X" / "mine" / "suite.json")
        return suite

    return opened


@pytest.fixture
def scores(write):
    """Those of X on the grouped suite."""
    found = dict(zip(("MajajHong2015public.V4-pls", "Li2026.V4-pls", "Li2026.V4-ridgecv", "Li2026.V4-rdm"),
                     (0.9, 0.1, 0.1, 0.1), strict=True))  # fmt: skip
    for benchmark, value in found.items():
        write(benchmark, value, suite="mine", area="V4")
    return found


def test_a_group_counts_as_one_as_it_does_for_evaluate(scores, suite_of, told):
    by_evaluate = suite_of(GROUPED).average(scores)["V4"]
    facts = told(leaderboard.main)
    assert facts["models"][0]["V4"] == by_evaluate == 0.5 and facts["warnings"] == []


def test_what_was_taken_out_of_a_suite_counts_no_more(scores, suite_of, told):
    suite_of(GROUPED)
    suite_of(PLAIN)
    facts = told(leaderboard.main)
    assert facts["models"][0]["V4"] == 0.9
    assert facts["warnings"] == [
        "left out: Li2026.V4-pls, Li2026.V4-rdm, Li2026.V4-ridgecv of X: no longer in suite mine"
    ]


def test_a_suite_that_is_not_kept_or_is_broken_is_told(scores, suite_of, folder, told):
    assert any("plain means, for want of suite.json" in line for line in told(leaderboard.main)["warnings"])
    suite_of(GROUPED)
    path = folder / "X/mine/suite.json"
    for text in ("[", "{}", path.read_text().replace('"Li2026.V4-rdm"', '"Li"')):
        path.write_text(text)
        first, second = told(leaderboard.main)["warnings"]
        assert str(path) in first and "plain means" in second


def test_half_a_suite_that_comes_with_the_product_has_no_area(write, told):
    write("Li2026.V4-pls", 0.4, suite="li2026", area="V4")
    facts = told(leaderboard.main)
    assert "V4" not in facts["models"][0] and facts["warnings"] == ["li2026: V4 has no score (not scored)"]


def test_profiles_average_by_the_newest_version_of_a_suite(scores, suite_of, write, folder):
    suite_of(GROUPED)
    write("MajajHong2015public.V4-pls", 0.5, model="Y", suite="mine", area="V4")
    newer = json.loads((folder / "X/mine/suite.json").read_text()) | {"created": "2999-01-01T00:00:00+00:00"}
    newer["suite"] |= {"areas": {"V4": ["MajajHong2015public.V4-pls"]}, "groups": {}}
    (folder / "Y/mine/suite.json").write_text(json.dumps(newer))
    table, warnings = read_results(folder)
    profiles, _ = profiles_of(table, n_resamples=100)
    assert [profile.values["today"]["V4"] for profile in profiles] == [0.9, 0.5]
    assert "mine: its file was changed since X was scored; as it is now counts" in warnings
