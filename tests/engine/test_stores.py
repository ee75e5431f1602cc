"""Features that wait on disk: what comes back after a kill is what was written, whatever happened to the file."""

import numpy as np
import pytest
import torch

from brainscore_submission.engine.stores import DiskStore

N_STIMULI, N_FEATURES = 12, 40
FEATURES = torch.from_numpy(np.random.default_rng(0).normal(size=(N_STIMULI, N_FEATURES)).astype(np.float32))
WRITTEN = [0, 3, 4, 7, 11]


@pytest.fixture
def folder(tmp_path):
    """Of a run that was killed: five of twelve rows are there."""
    store = DiskStore(tmp_path / "layer", N_STIMULI, N_FEATURES)
    store.write(WRITTEN, FEATURES[WRITTEN])
    store.flush()
    store._close()
    return tmp_path / "layer"


def reopened(folder):
    store = DiskStore(folder, N_STIMULI, N_FEATURES)
    rows = store.done.nonzero()[0]
    features = store.features()[rows]
    store._close()
    return rows, features


def test_rows_come_back(folder):
    rows, features = reopened(folder)
    assert rows.tolist() == WRITTEN
    np.testing.assert_array_equal(features, FEATURES[rows].numpy())


@pytest.mark.parametrize("name", ["features.f32", "done"])
def test_no_flipped_bit_is_taken_for_a_feature(folder, name):
    rng = np.random.default_rng(1)
    sound = (folder / name).read_bytes()
    for _ in range(150):
        flipped = bytearray(sound)
        flipped[rng.integers(len(sound))] ^= 1 << int(rng.integers(8))
        (folder / name).write_bytes(flipped)
        rows, features = reopened(folder)
        assert set(rows) <= set(WRITTEN) and len(rows) >= len(WRITTEN) - 1
        np.testing.assert_array_equal(features, FEATURES[rows].numpy())


def test_a_journal_cut_short_begins_anew(folder):
    (folder / "done").write_bytes((folder / "done").read_bytes()[:-3])
    assert reopened(folder)[0].tolist() == []
