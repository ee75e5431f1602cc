"""Own records beside the paper's values: never without the mark that the data and the formula differ."""

import json

import pytest

from analysis.profiles import profiles_of
from analysis.published import PUBLIC_CEILING, line_up, main, public_targets
from brainscore_submission.scoring.published import CAVEAT, PUBLIC_BENCHMARK
from brainscore_submission.scoring.records import Predictivity, Record, read_folder


@pytest.fixture
def lined_up(demo_results):
    return line_up(profiles_of(read_folder(demo_results)[0], n_resamples=100)[0])


def test_every_row_says_private_data_old_formula(lined_up):
    assert set(lined_up["caveat"]) == {CAVEAT} and "private data, old formula" in CAVEAT
    assert set(lined_up["marks"]) == {("SIMULATED",)}


def test_models_of_the_paper_stand_beside_their_row(lined_up):
    joint = lined_up[lined_up["competition_id"] == 991].set_index("area")
    assert list(joint.index) == ["V1", "V2", "V4", "IT", "behavior"]
    assert joint.loc["V4", "published"] == 0.514
    assert joint.loc["V4", "own_2022"] == pytest.approx(joint.loc["V4", "own_today"] / 0.8)


def test_a_model_the_paper_does_not_know_is_not_lined_up(lined_up):
    assert "timm:resnet18" not in set(lined_up["model"])


def test_the_public_target_is_compared_on_the_same_data_formula_and_preprocessing(demo_results, tmp_path):
    record = Record.from_json(
        demo_results / "crossvit_18_dagger_408_rotation_adv/demo/demo.IT-pls.json",
    )
    measured = Predictivity(**dict(record.measured) | {"score_2022": 0.55})
    origin = {"benchmark": PUBLIC_BENCHMARK, "suite": "public", "preprocessing": "squash224", "measured": measured}
    own = {name: getattr(record, name) for name in Record.model_fields} | origin | {"model": "mine"}
    Record(**own).write(tmp_path)
    other = {"model": "crossvit_18_dagger_408_adv", "card": "crossvit_18_dagger_408_adv", "preprocessing": "crop224"}
    Record(**own | other).write(tmp_path)
    (row,) = public_targets(read_folder(tmp_path)[0])[0].to_dict("records")
    assert row["model"] == "mine" and row["target_2022"] == 0.549
    assert row["difference"] == pytest.approx(0.001)
    assert row["target_today"] == pytest.approx(0.549 * PUBLIC_CEILING)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"weights": {"untrained": True, "seed": 0}}, "other weights than its card's own"),
        ({"weights": {"note": "given by --weights", "sha256": "ab" * 32}}, "other weights than its card's own"),
        ({"layer": "blocks.0"}, "layer blocks.0, not blocks.1.blocks.1.4.norm2"),
    ],
)
def test_the_public_target_is_of_the_cards_weights_and_layer(other, why, demo_results, tmp_path, run_command):
    record = Record.from_json(demo_results / "crossvit_18_dagger_408/demo/demo.IT-pls.json")
    own = {name: getattr(record, name) for name in Record.model_fields}
    Record(**own | {"benchmark": PUBLIC_BENCHMARK, "suite": "public", "model": "mine"} | other).write(tmp_path)
    facts = json.loads(run_command(main, tmp_path, "--json").stdout)
    assert facts["public_targets"] == [] and len(facts["areas"]) == ("layer" in other)
    assert f"not compared with the authors' value: mine on {PUBLIC_BENCHMARK}: {why}" in facts["warnings"]


def test_the_command_shows_and_prints_the_caveat(demo_results, run_command):
    shown = run_command(main, demo_results)
    assert shown.exit_code == 0 and "private data" in shown.stdout and "SIMULATED" in shown.stdout
    facts = json.loads(run_command(main, demo_results, "--json").stdout)
    assert facts["caveat"] == CAVEAT and len(facts["areas"]) == 4 * 5


def test_the_papers_tables_are_printed_without_any_results(run_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = run_command(main).stdout
    for text in ("Table 1", "Table 2", "Table 3", CAVEAT, "blocks.1.blocks.1.4.norm2", "0.488", "73.53", "+0.8"):
        assert text in shown
    tables = json.loads(run_command(main, "--json").stdout)["tables"]
    first, second, third = tables.values()
    assert [(row["rank"], row["id"]) for row in first] == [(1, 1033), (2, 991), (3, 1044), (4, 896), (5, 1031)]
    assert {row["area"] for row in second} == {"V1", "V2", "V4", "IT", "behavior"}
    for row in first + third:
        assert row["average"] == pytest.approx(
            sum(row[area] for area in ("V1", "V2", "V4", "IT", "behavior")) / 5, abs=5e-4
        )
        assert row["printed_rho"] in (None, pytest.approx(row["rho"]))
