"""An array's axes are detected where the counts tell, asked for where they do not; time bins are averaged."""

import numpy as np
import pytest

from brainscore_submission.recordings import FolderError, read_recordings
from brainscore_submission.recordings.axes import average_window, find_axes

NEUROID, STIMULUS, REPETITION = "neuroid", "stimulus", "repetition"


@pytest.mark.parametrize(
    ("shape", "n_stimuli", "n_neuroids", "axes"),
    [
        ((50, 640), 640, None, (NEUROID, STIMULUS)),
        ((640, 50), 640, None, (STIMULUS, NEUROID)),
        ((640, 640), 640, 640, None),
        ((50, 640, 10), 640, None, (NEUROID, STIMULUS, REPETITION)),
        ((10, 640, 50), 640, 50, (REPETITION, STIMULUS, NEUROID)),
        ((640, 50, 10), 640, 50, (STIMULUS, NEUROID, REPETITION)),
        ((640, 10, 50), 640, 50, (STIMULUS, REPETITION, NEUROID)),
        ((10, 50, 640), 640, 50, (REPETITION, NEUROID, STIMULUS)),
        ((640, 50, 10), 640, None, None),
        ((50, 640, 640), 640, None, None),
        ((50, 640, 640), 640, 50, None),
        ((640, 10, 640), 640, 640, None),
        ((50, 639, 10), 640, None, None),
        ((50,), 640, None, None),
    ],
)
def test_axes_are_found_or_asked_for(shape, n_stimuli, n_neuroids, axes):
    if axes is None:
        with pytest.raises(FolderError):
            find_axes(shape, n_stimuli, n_neuroids)
        return
    found, finding = find_axes(shape, n_stimuli, n_neuroids)
    assert found == axes
    documented = (NEUROID, STIMULUS, REPETITION)[: len(shape)]
    assert (finding is None) == (axes == documented)


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1), (2, 0, 1)])
def test_declared_axes_undo_any_transposition(axes, lab_folder, write_toml, responses):
    np.save(lab_folder / "responses.npy", responses.transpose(axes))
    named = [(NEUROID, STIMULUS, REPETITION)[axis] for axis in axes]
    recordings = read_recordings(write_toml(lab_folder, axes=named))
    np.testing.assert_array_equal(recordings.responses, responses)


def test_a_transposed_array_is_read_and_remarked_on(lab_folder, responses):
    np.save(lab_folder / "responses.npy", responses.mean(axis=2).T)
    recordings = read_recordings(lab_folder)
    np.testing.assert_array_equal(recordings.responses[:, :, 0], responses.mean(axis=2))
    assert "transposed: read as stimulus x neuroid" in recordings.findings[0].message


BINS = tuple((start, start + 50.0) for start in (0.0, 50.0, 100.0, 150.0))


@pytest.mark.parametrize(
    ("window", "inside", "warning"),
    [
        (None, [0, 1, 2, 3], None),
        ((50.0, 150.0), [1, 2], None),
        ((0.0, 200.0), [0, 1, 2, 3], None),
        ((100.0, 300.0), [2, 3], "reaches outside the recorded time"),
        ((-50.0, 50.0), [0], "reaches outside the recorded time"),
        ((70.0, 170.0), [2], "cuts time bins"),
    ],
)
def test_the_mean_is_over_the_bins_inside_the_window(window, inside, warning):
    values = np.random.default_rng(0).normal(size=(2, 3, 1, 4))
    means, covered, finding = average_window(values, BINS, window)
    np.testing.assert_allclose(means, values[..., inside].mean(axis=3))
    assert covered == (BINS[inside[0]][0], BINS[inside[-1]][1])
    assert (finding is None) if warning is None else (warning in finding.message)


def test_a_missing_bin_makes_the_repetition_missing(lab_folder, write_toml, responses):
    bins = np.stack([responses, responses + 2], axis=3)
    bins[0, 0, 0, 1] = np.nan
    np.save(lab_folder / "responses.npy", bins)
    axes = [NEUROID, STIMULUS, REPETITION, "time_bin"]
    write_toml(lab_folder, axes=axes, time_bins_ms={"start": 70, "width": 50})
    recordings = read_recordings(lab_folder)
    assert np.isnan(recordings.responses[0, 0, 0])
    assert recordings.time_window_ms == (70, 170)
    np.testing.assert_allclose(recordings.responses[1:], responses[1:] + 1)
