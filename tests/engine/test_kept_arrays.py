"""Arrays on disk: whole, of the same things, or not there."""

import logging

import numpy as np
import pytest

from brainscore_submission.engine.kept_arrays import load, save
from brainscore_submission.plugin.errors import UserError

META = {"layer": "blocks.1", "weights": "c769", "stimuli": ["a", "b"], "precision": "float32"}


def test_what_is_kept_comes_back_bit_for_bit(tmp_path):
    matrix = np.random.default_rng(0).normal(size=(20, 20))
    path = tmp_path / "cache" / "V1.npz"
    save(path, {"gram": matrix}, META)
    np.testing.assert_array_equal(load(path, META)["gram"], matrix)
    assert [file.name for file in path.parent.iterdir()] == ["V1.npz"]
    np.testing.assert_array_equal(np.load(path)["gram"], matrix)  # an ordinary npz to anybody else


def test_no_file_and_other_inputs_are_a_miss(tmp_path):
    path = tmp_path / "V1.npz"
    assert load(path, META) is None
    save(path, {"gram": np.eye(3)}, META)
    assert load(path, {**META, "weights": "1b9e"}) is None
    save(path, {"gram": 2 * np.eye(3)}, {**META, "weights": "1b9e"})
    assert load(path, META) is None


def test_any_flipped_byte_and_any_missing_end_is_detected(tmp_path, caplog):
    path = tmp_path / "V1.npz"
    save(path, {"gram": np.eye(3)}, META)
    intact = path.read_bytes()
    broken = [intact[:size] for size in (0, 10, 40, len(intact) - 1)]
    for position in range(len(intact)):
        flipped = bytearray(intact)
        flipped[position] ^= 1
        broken.append(bytes(flipped))
    for content in broken:
        path.write_bytes(content)
        with caplog.at_level(logging.WARNING):
            assert load(path, META) is None
        assert "V1.npz is damaged" in caplog.text
        caplog.clear()


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "V1.npz"
    save(path, {"gram": np.eye(3)}, META)

    def disk_full(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", disk_full)
    with pytest.raises(UserError, match=r"V1\.npz: No space left .*\. Give another with BRAINSCORE_SUBMISSION_CACHE"):
        save(path, {"gram": np.zeros((3, 3))}, META)
    monkeypatch.undo()
    np.testing.assert_array_equal(load(path, META)["gram"], np.eye(3))
    assert [file.name for file in tmp_path.iterdir()] == ["V1.npz"]
