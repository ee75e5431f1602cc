"""Recordings go through the scoring like any suite: every metric, with and without a ceiling."""

import numpy as np
import pytest

from brainscore_submission.models.model import Model
from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.recordings import benchmarks, read_recordings, recordings_suite
from brainscore_submission.scoring.score import ScoreOptions, score_suite

LAYERS = dict.fromkeys(("V1", "V2", "V4", "IT"), "blocks.1.blocks.1.0.norm1")


@pytest.fixture
def tiny_model(tiny_card):
    loaded = load_network(tiny_card, "untrained")
    return Model("tiny", tiny_card, loaded.network, loaded.origin, LAYERS)


@pytest.mark.parametrize("metric", ["pls", "ridge_cv", "cka", "rdm"])
def test_the_record_holds_what_brain_scores_own_run_gives(metric, lab_folder, tiny_model, tmp_path):
    recordings = read_recordings(lab_folder)
    (record,) = score_suite(tiny_model, recordings_suite(recordings, metric), ScoreOptions(results=tmp_path))
    (build,) = benchmarks(recordings, metric).values()
    expected = build()(tiny_model.commit())
    assert record.measured.raw == pytest.approx(float(expected.attrs["raw"]), abs=1e-6)
    assert (record.measured.metric, record.measured.n_neuroids, record.measured.n_stimuli) == (metric, 6, 40)
    if build().unceiled:
        assert record.score is None and record.measured.ceiling is None
    else:
        assert record.score == pytest.approx(float(expected), abs=1e-6)
        assert record.measured.ceiling == pytest.approx(float(expected.ceiling), abs=1e-12)


def test_without_repetitions_the_record_is_raw_and_says_so(lab_folder, responses, tiny_model, tmp_path):
    np.save(lab_folder / "responses.npy", responses[:, :, 0])
    suite = recordings_suite(read_recordings(lab_folder))
    (record,) = score_suite(tiny_model, suite, ScoreOptions(results=tmp_path))
    assert record.score is None and record.measured.ceiling is None and np.isfinite(record.measured.raw)
    low, high = record.measured.interval  # of raw r
    assert low < record.measured.raw < high and record.measured.interval_over == "neuroids and stimuli"


def test_a_changed_response_is_scored_again(lab_folder, responses, tiny_model, tmp_path):
    def scored():
        return score_suite(tiny_model, recordings_suite(read_recordings(lab_folder)), ScoreOptions(results=tmp_path))[0]

    first, again = scored(), scored()
    np.save(lab_folder / "responses.npy", responses + np.random.default_rng(9).normal(size=responses.shape))
    changed = scored()
    assert first == again
    assert changed.fingerprint != first.fingerprint and changed.measured.raw != first.measured.raw
