"""What a folder says is what the recordings hold."""

import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.recordings import FolderError, read_recordings
from brainscore_submission.recordings.assembly import assembly, stimulus_set


def test_stimuli_csv_gives_the_order_of_the_axis(lab_folder, names, responses):
    order = np.random.default_rng(0).permutation(40)
    lines = [f"{names[index]},{'dog' if index % 2 else 'car'}" for index in order]
    (lab_folder / "stimuli.csv").write_text("file,object_name\n" + "\n".join(lines))
    recordings = read_recordings(lab_folder)
    assert list(recordings.stimuli["stimulus_id"]) == [names[index] for index in order]
    assert list(recordings.stimuli["object_name"]) == ["dog" if index % 2 else "car" for index in order]
    assert [image.name for image in recordings.images] == [names[index] for index in order]
    np.testing.assert_array_equal(recordings.responses, responses)


def test_several_areas_in_one_file(lab_folder, write_toml, responses):
    areas = ["V4", "IT", "V4", "IT", "IT", "V4"]
    lines = [f"n{index},{area}" for index, area in enumerate(areas)]
    (lab_folder / "neuroids.csv").write_text("neuroid_id,area\n" + "\n".join(lines))
    recordings = read_recordings(write_toml(lab_folder, area=None))
    assert recordings.areas == ("V4", "IT")
    np.testing.assert_array_equal(recordings.of_area("IT"), responses[[1, 3, 4]])
    assert list(recordings.neuroids_of("IT")["neuroid_id"]) == ["n1", "n3", "n4"]
    only = read_recordings(write_toml(lab_folder, area="IT"))
    np.testing.assert_array_equal(only.responses, responses[[1, 3, 4]])
    with pytest.raises(FolderError, match="no recordings from 'V2'"):
        recordings.of_area("V2")


def test_neuroids_of_other_areas_may_bear_any_name_where_one_area_is_kept(lab_folder, write_toml, responses):
    (lab_folder / "neuroids.csv").write_text("area\n" + "\n".join(["V4", "LIP", "V4", "LIP", "v4", "V4"]))
    recordings = read_recordings(write_toml(lab_folder, area="V4"))
    np.testing.assert_array_equal(recordings.responses, responses[[0, 2, 5]])


def test_exclusions_leave_out_neuroids_and_stimuli(lab_folder, write_toml, responses, names):
    responses[2] = 0  # a dead channel would be refused
    np.save(lab_folder / "responses.npy", responses)
    write_toml(lab_folder, exclude_neuroids=["2"], exclude_stimuli=[names[0], names[7]])
    recordings = read_recordings(lab_folder)
    assert list(recordings.neuroids["neuroid_id"]) == ["0", "1", "3", "4", "5"]
    kept = np.delete(np.arange(40), [0, 7])
    np.testing.assert_array_equal(recordings.responses, np.delete(responses, 2, axis=0)[:, kept])
    assert len(recordings.images) == len(stimulus_set(recordings)) == 38


def test_a_zip_is_unpacked_into_the_cache_once(lab_folder, tmp_path, names):
    with zipfile.ZipFile(lab_folder / "stimuli.zip", "w") as archive:
        archive.writestr("__MACOSX/._s00.png", b"no image")
        archive.writestr("readme.txt", b"")
        for path in sorted((lab_folder / "stimuli").iterdir()):
            archive.write(path, f"photos/{path.name}")
            path.unlink()
    (lab_folder / "stimuli").rmdir()
    first = read_recordings(lab_folder, cache=tmp_path / "cache")
    assert [image.name for image in first.images] == [f"photos/{name}" for name in names]
    unpacked = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(unpacked) == 40
    times = [path.stat().st_mtime_ns for path in unpacked]
    second = read_recordings(lab_folder, cache=tmp_path / "cache")
    assert [path.stat().st_mtime_ns for path in unpacked] == times
    assert second.content_hash == first.content_hash


def test_a_zip_that_cannot_be_unpacked_anywhere_says_so(lab_folder, tmp_path):
    shutil.make_archive(str(lab_folder / "stimuli"), "zip", lab_folder / "stimuli")
    shutil.rmtree(lab_folder / "stimuli")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write to .*cache/recordings.*BRAINSCORE_SUBMISSION_CACHE"):
        read_recordings(lab_folder, cache=tmp_path / "cache")


def _one_pixel(folder, toml):
    path = folder / "stimuli" / "s04.png"
    image = Image.open(path).convert("RGB")
    image.putpixel((3, 3), (1, 2, 3))
    image.save(path)


def _one_response(folder, toml):
    values = np.load(folder / "responses.npy")
    values[3, 3, 3] += 1e-9
    np.save(folder / "responses.npy", values)


CHANGES = {
    "a pixel": _one_pixel,
    "a response": _one_response,
    "the field of view": lambda folder, toml: toml(folder, visual_degrees=9),
    "the time window": lambda folder, toml: toml(folder, time_window_ms=[70, 171]),
    "the area": lambda folder, toml: toml(folder, area="IT"),
    "a neuroid's name": lambda folder, toml: (folder / "neuroids.csv").write_text("neuroid_id\na\nb\nc\nd\ne\nf"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_identifier_changes_with_the_content(change, lab_folder, write_toml):
    # Brain-Score caches placed stimuli and ceilings by identifier.
    before = read_recordings(lab_folder)
    CHANGES[change](lab_folder, write_toml)
    after = read_recordings(lab_folder)
    assert before.identifier != after.identifier
    assert stimulus_set(before).identifier != stimulus_set(after).identifier


def test_the_identifier_does_not_change_with_words(lab_folder, write_toml):
    before = read_recordings(lab_folder).identifier
    assert read_recordings(write_toml(lab_folder, source="our lab", licence="CC0")).identifier == before


def test_the_assembly_holds_each_repetition_in_brain_scores_coordinates(lab_folder, write_toml, responses, names):
    responses[:, 5, 4] = np.nan  # nobody's repetition: dropped
    responses[2, 6, 4] = np.nan  # one neuroid's: NaN
    np.save(lab_folder / "responses.npy", responses)
    (lab_folder / "stimuli.csv").write_text("file,object_name\n" + "\n".join(f"{name},o{name[1]}" for name in names))
    built = assembly(read_recordings(write_toml(lab_folder, subject="monkey B", strata="object_name")), "V4")
    assert built.dims == ("presentation", "neuroid") and built.shape == (199, 6)
    assert built["time_bin"].item() == (70, 170)
    assert set(built["region"].values) == {"V4"} and set(built["animal"].values) == {"monkey B"}
    stimuli, repetitions = built["stimulus_id"].values, built["repetition"].values
    for values, stimulus, repetition in zip(built.values, stimuli, repetitions, strict=True):
        np.testing.assert_array_equal(values, responses[:, names.index(stimulus), repetition])
    assert list(built["object_name"].values) == [f"o{stimulus[1]}" for stimulus in stimuli]
    assert np.isnan(built.values).sum() == 1
    assert built.attrs["stimulus_set_identifier"] == built.stimulus_set.identifier


def test_averages_skip_missing_repetitions(lab_folder, responses):
    responses[2, 6, 1:] = np.nan
    np.save(lab_folder / "responses.npy", responses)
    averaged = assembly(read_recordings(lab_folder), "V4", average=True)
    np.testing.assert_allclose(averaged.values, np.nanmean(responses, axis=2).T, rtol=1e-12)
    assert averaged.values[6, 2] == responses[2, 6, 0]
