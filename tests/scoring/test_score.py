"""Promises of scoring.py: one record a score, kept at once, made again only when something it depends on changed."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from brainscore_core.metrics import Score

from brainscore_submission.models.model import Model
from brainscore_submission.models.opening import open_model
from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.display import summary
from brainscore_submission.scoring.kept import ScoreOptions, Watcher
from brainscore_submission.scoring.records import Record, read_folder
from brainscore_submission.scoring.score import score_suite
from brainscore_submission.scoring.sidecar import Sidecar
from brainscore_submission.scoring.suites import Suite, find_suite

LAYERS = {
    "V1": "blocks.0.blocks.1.0.norm1",
    "V2": "blocks.1.blocks.1.0.norm1",
    "V4": "blocks.1.blocks.1.0.norm1",
    "IT": "blocks.1.blocks.1.4.norm2",
    "behavior": "blocks.2.revert_projs.1.2",
}
TINY = "tiny"


@pytest.fixture
def demo(demo_cache, monkeypatch):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    return find_suite("demo")


@pytest.fixture
def model(tiny_card):
    loaded = load_network(tiny_card, "untrained")
    return Model(TINY, tiny_card, loaded.network, loaded.origin, LAYERS)


@pytest.fixture
def images_shown(model):
    shown = []
    model.network.register_forward_pre_hook(lambda _m, args: shown.append(len(args[0])))
    return shown


def only(suite, *areas):
    return dataclasses.replace(suite, areas={area: suite.areas[area] for area in areas})


def numbers(records):
    kept = ("score", "score_2022", "raw", "raw_error", "ceiling", "interval", "raw_per_split")
    return [
        {"benchmark": record.benchmark} | {name: getattr(record.measured, name) for name in kept} for record in records
    ]


@pytest.fixture
def scored(model, demo, tmp_path):
    return score_suite(model, demo, ScoreOptions(results=tmp_path / "results"))


def test_five_areas_are_scored_each_image_shown_once(model, demo, tmp_path, images_shown):
    records = score_suite(model, demo, ScoreOptions(results=tmp_path / "results"))
    assert [record.area for record in records] == list(AREAS_AND_BEHAVIOR)
    stimuli = {leaf: set(demo.loaders[leaf]()._assembly["stimulus_id"].values.tolist()) for leaf in demo.leaves}
    fitting = set(demo.loaders["demo.behavior-i2n"]()._fitting_stimuli["stimulus_id"].tolist())
    textures, objects = stimuli["demo.V1-pls"], stimuli["demo.IT-pls"]
    assert stimuli["demo.V2-pls"] == textures
    assert stimuli["demo.V4-pls"] == objects
    everything = textures | objects | stimuli["demo.behavior-i2n"] | fitting
    assert sum(images_shown) == len(everything) + 1 + 3  # to probe the layers, and to see that they are steady


def test_records_hold_both_formulas_signed_r_and_propagated_errors(scored):
    for record in scored[:4]:
        found = record.measured
        assert found.score == pytest.approx(found.raw**2 / found.ceiling)
        assert found.score_2022 == pytest.approx(found.score / found.ceiling)
        assert found.score_error == pytest.approx(2 * abs(found.raw) / found.ceiling * found.raw_error)
        assert found.score_2022_error == pytest.approx(found.score_error / found.ceiling)
        assert found.raw == pytest.approx(np.mean(found.raw_per_split))
        assert found.interval[0] <= found.score <= found.interval[1]
        assert record.marks == ("UNTRAINED", "SIMULATED")
        assert found.engine == "gram"
    behavior = scored[4].measured
    assert behavior.formula == "r/sqrt(c)"
    assert behavior.engine == "brainscore"
    assert behavior.score == behavior.score_2022


def test_the_gram_engine_gives_the_scores_of_brainscores_own_code(model, demo, scored, tmp_path):
    reference = score_suite(model, demo, ScoreOptions(engine="brainscore", results=tmp_path / "reference"))
    for ours, theirs in zip(scored, reference, strict=True):
        assert ours.score == pytest.approx(theirs.score, abs=1e-6)
        assert ours.measured.raw_per_split == pytest.approx(theirs.measured.raw_per_split, abs=1e-6)
        assert ours.measured.ceiling == theirs.measured.ceiling


def test_converged_pls_is_near_brainscores_number_and_says_that_it_is_another(model, demo, scored, tmp_path):
    records = score_suite(
        model, only(demo, "V1", "IT"), ScoreOptions(engine="converged", results=tmp_path / "converged")
    )
    for converged, stopped in zip(records, (scored[0], scored[3]), strict=True):
        assert converged.benchmark == stopped.benchmark
        assert 0 < abs(converged.measured.raw - stopped.measured.raw) < 5e-3
        assert converged.measured.engine == "converged"
        assert converged.notes[0] == "PLS by the book, iterated to convergence: not Brain-Score's number"


def test_sidecars_hold_what_resampling_needs(scored, tmp_path):
    sidecar = Sidecar.load(scored[0].path(tmp_path / "results").with_suffix(".npz"))
    assert sidecar.has_stimuli
    assert sidecar.r.shape == (10, scored[0].measured.n_neuroids)
    assert np.nanmean(np.nanmedian(sidecar.r, axis=1)) == pytest.approx(scored[0].measured.raw)


def test_a_second_run_shows_no_image_and_gives_the_same_records(model, demo, tmp_path, images_shown):
    options = ScoreOptions(results=tmp_path / "results")
    first = score_suite(model, only(demo, "V1", "IT"), options)
    images_shown.clear()
    assert score_suite(model, only(demo, "V1", "IT"), options) == first
    assert images_shown == []


def test_killed_after_the_first_score_the_run_goes_on_where_it_was(model, demo, tmp_path, images_shown):
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    suite, cache = only(demo, "V1", "V4", "IT"), tmp_path / "cache"
    with pytest.raises(Killed):
        score_suite(model, suite, ScoreOptions(results=tmp_path / "killed", cache=cache, watcher=Watcher(scored=kill)))
    assert len(list((tmp_path / "killed").rglob("*.json"))) == 1
    images_shown.clear()
    made = []
    watcher = Watcher(scored=lambda record, *_: made.append(record.benchmark))
    resumed = score_suite(model, suite, ScoreOptions(results=tmp_path / "killed", cache=cache, watcher=watcher))
    assert made == ["demo.V4-pls", "demo.IT-pls"]
    assert sum(images_shown) <= 4  # the Gram matrices were kept; only the probes
    assert numbers(resumed) == numbers(score_suite(model, suite, ScoreOptions(results=tmp_path / "whole")))


def test_only_what_a_change_touches_is_scored_again(model, demo, tmp_path):
    made = []
    options = ScoreOptions(
        results=tmp_path / "results", watcher=Watcher(scored=lambda record, *_: made.append(record.area))
    )
    suite = only(demo, "V1", "IT")
    score_suite(model, suite, options)
    made.clear()
    moved = dataclasses.replace(model, layers={**LAYERS, "IT": "blocks.2.blocks.1.0.norm1"})
    score_suite(moved, suite, options)
    assert made == ["IT"]


def test_same_identifier_other_weights_is_scored_again_with_another_result(tiny_card, demo, tmp_path):
    options, suite, raw = ScoreOptions(results=tmp_path / "results", cache=tmp_path / "cache"), only(demo, "IT"), []
    for seed in (0, 1):
        loaded = load_network(tiny_card, "untrained", seed=seed)
        (record,) = score_suite(Model(TINY, tiny_card, loaded.network, loaded.origin, LAYERS), suite, options)
        raw.append(record.measured.raw)
    assert raw[0] != raw[1]


def test_rerun_policies(model, demo, tmp_path):
    suite = only(demo, "V1")
    assert score_suite(model, suite, ScoreOptions(results=tmp_path / "r", rerun="never")) == []
    (first,) = score_suite(model, suite, ScoreOptions(results=tmp_path / "r"))
    assert score_suite(model, suite, ScoreOptions(results=tmp_path / "r", rerun="never")) == [first]
    made = []
    watcher = Watcher(scored=lambda *said: made.append(said))
    (again,) = score_suite(model, suite, ScoreOptions(results=tmp_path / "r", rerun="all", watcher=watcher))
    assert len(made) == 1
    assert numbers([again]) == numbers([first])
    with pytest.raises(UserError, match="unknown rerun policy 'al'. Did you mean all?"):
        score_suite(model, suite, ScoreOptions(results=tmp_path / "r", rerun="al"))


def test_records_shown_under_never_keep_their_marks(model, demo, tmp_path, caplog):
    suite, options = only(demo, "V1"), ScoreOptions(results=tmp_path / "r")
    score_suite(model, suite, options)
    trained = dataclasses.replace(model, origin={"sha256": "0" * 64, "untrained": False})
    records = score_suite(trained, suite, dataclasses.replace(options, rerun="never"))
    assert "demo.V1-pls: shown as recorded, from other weights" in caplog.text
    assert summary(trained, suite, records)["marks"] == ("UNTRAINED", "SIMULATED")


def test_a_benchmark_of_an_area_that_no_suite_names_is_scored_once(model, demo, tmp_path, images_shown):
    leaf = "lab.V1-pls"
    suite = Suite("benchmarks", {leaf: (leaf,)}, loaders={leaf: demo.loaders["demo.V1-pls"]})
    (record,) = score_suite(model, suite, ScoreOptions(results=tmp_path))
    assert (record.area, record.marks) == ("V1", ("UNTRAINED",))
    images_shown.clear()
    assert score_suite(model, suite, ScoreOptions(results=tmp_path)) == [record]
    assert images_shown == []


def test_a_ceiling_below_zero_gives_no_score_and_says_why(model, demo, tmp_path):
    def noise():
        benchmark = copy.copy(demo.loaders["demo.V1-pls"]())
        benchmark._identifier = "lab.V1"  # Brain-Score keeps ceilings by it
        benchmark._ceiling_func = lambda: Score(-0.1)
        return benchmark

    (record,) = score_suite(
        model, Suite("lab", {"V1": ("lab.V1",)}, loaders={"lab.V1": noise}), ScoreOptions(results=tmp_path)
    )
    assert (record.score, record.measured.ceiling, record.measured.formula) == (None, None, "r")
    assert record.notes[0] == "the ceiling is -0.100: no reliable signal in the recordings, so there is no score"


def test_the_reference_engine_refuses_a_precision_it_does_not_compute_in(model, demo, tmp_path):
    reduced = dataclasses.replace(model, precision="bfloat16")
    with pytest.raises(UserError, match="'brainscore' is the reference and computes in float32, not bfloat16"):
        score_suite(reduced, demo, ScoreOptions(engine="brainscore", results=tmp_path))


def test_a_damaged_record_is_named_and_made_again(model, demo, tmp_path, caplog):
    suite, options = only(demo, "V1"), ScoreOptions(results=tmp_path / "results")
    (first,) = score_suite(model, suite, options)
    first.path(tmp_path / "results").write_text("{broken")
    (again,) = score_suite(model, suite, options)
    assert "broken JSON" in caplog.text
    assert numbers([again]) == numbers([first])


def test_no_access_is_a_record_without_numbers_and_asked_again(model, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("BRAINIO_HOME", str(tmp_path / "brainio"))
    suite = Suite("x", {"IT": ("MajajHong2015.IT-pls",)})
    (record,) = score_suite(model, suite, ScoreOptions(results=tmp_path / "results"))
    assert (record.status, record.score, record.measured) == ("no access", None, None)
    assert suite.average({record.benchmark: record.score})["IT"] is None
    table, warnings = read_folder(tmp_path / "results")
    assert len(table) == 1
    assert warnings == []


def test_the_ground_truth_network_is_at_the_ceiling_of_every_area(demo, tmp_path):
    records = score_suite(open_model("demo:ground_truth"), demo, ScoreOptions(results=tmp_path / "results"))
    for record in records[:4]:
        assert record.score >= 0.85, record.benchmark


def test_records_are_written_before_anyone_hears_of_them(model, demo, tmp_path):
    heard = []

    def hear(record, *_):
        heard.append(Record.from_json(record.path(tmp_path / "results")))

    score_suite(model, only(demo, "V1"), ScoreOptions(results=tmp_path / "results", watcher=Watcher(scored=hear)))
    assert heard[0].benchmark == "demo.V1-pls"
    assert json.loads(Path(heard[0].path(tmp_path / "results")).read_text())["format"] == 2
