"""The ceiling is Brain-Score's where nothing is missing, and right where something is."""

import numpy as np
import pytest
from brainscore_vision.metrics.internal_consistency.ceiling import InternalConsistency

from brainscore_submission.recordings import benchmarks, check, read_recordings
from brainscore_submission.recordings.assembly import assembly
from brainscore_submission.recordings.consistency import reliability


@pytest.mark.parametrize("n_repetitions", [2, 3, 4, 5])
def test_without_missing_repetitions_the_ceiling_is_brain_scores(n_repetitions, lab_folder, responses):
    np.save(lab_folder / "responses.npy", responses[:, :, :n_repetitions])
    recordings = read_recordings(lab_folder)
    (build,) = benchmarks(recordings).values()
    ours, theirs = build().ceiling, InternalConsistency()(assembly(recordings, "V4"))
    assert float(ours) == pytest.approx(float(theirs), abs=1e-12)
    assert float(ours.attrs["error"]) == pytest.approx(float(theirs.attrs["error"]), abs=1e-12)
    np.testing.assert_allclose(ours.raw.values, theirs.raw.values, atol=1e-12)
    assert list(ours.raw["neuroid_id"].values) == list(theirs.raw["neuroid_id"].values)


def _noisy(n_stimuli=6000, n_repetitions=8, noise=2.0, n_neuroids=4):
    random = np.random.default_rng(3)
    signal = random.normal(size=(n_neuroids, n_stimuli, 1))
    return signal + noise * random.normal(size=(n_neuroids, n_stimuli, n_repetitions))


def test_reliability_is_the_share_of_signal_in_the_mean():
    # Spearman-Brown of the halves estimates var(signal) / (var(signal) + var(noise) / n).
    np.testing.assert_allclose(reliability(_noisy()), 1 / (1 + 4 / 8), atol=0.03)


def test_missing_repetitions_lower_reliability_no_more_than_they_must():
    values = _noisy()
    values[:, :, 4:] = np.nan
    np.testing.assert_allclose(reliability(values), 1 / (1 + 4 / 4), atol=0.04)


def test_which_repetitions_are_missing_does_not_matter():
    values = _noisy()
    scattered = np.full_like(values, np.nan)
    random = np.random.default_rng(0)
    for index in np.ndindex(values.shape[:2]):
        scattered[index][random.choice(8, 4, replace=False)] = values[index][:4]
    values[:, :, 4:] = np.nan
    np.testing.assert_allclose(reliability(scattered), reliability(values), atol=0.03)


def test_each_neuroid_is_judged_on_its_own_repetitions():
    values = _noisy()
    thinned = values.copy()
    thinned[1, ::2, 3:] = np.nan
    others = [0, 2, 3]
    np.testing.assert_array_equal(reliability(thinned)[others], reliability(values)[others])


def test_a_stimulus_shown_once_does_not_spoil_the_neuroid():
    values = _noisy(n_stimuli=100)
    values[:, 0, 1:] = np.nan
    assert np.isfinite(reliability(values)).all()


@pytest.mark.parametrize("n_repeated", [0, 9])
def test_without_repetitions_there_is_no_ceiling(n_repeated, lab_folder, responses):
    responses[:, n_repeated:, 1:] = np.nan
    np.save(lab_folder / "responses.npy", responses)
    (build,) = benchmarks(read_recordings(lab_folder)).values()
    benchmark = build()
    assert benchmark.unceiled and benchmark.ceiling is None


def test_one_neuroid_shown_once_leaves_the_others_their_ceiling(lab_folder, responses):
    np.save(lab_folder / "responses.npy", responses[1:])
    others = check(lab_folder).ceilings["V4"]
    responses[0, :, 1:] = np.nan
    np.save(lab_folder / "responses.npy", responses)
    report = check(lab_folder)
    assert report.ceilings["V4"] == pytest.approx(others, abs=1e-12)
    (finding,) = [one for one in report.findings if "two repetitions" in one.message]
    assert (
        "1 of 6 neuroids without two repetitions of 10 stimuli: 0. The ceiling is that of the others" in finding.message
    )
    assert 'exclude_neuroids = ["0"]' in finding.remedy
    (build,) = benchmarks(read_recordings(lab_folder)).values()
    assert float(build().ceiling) == report.ceilings["V4"]
