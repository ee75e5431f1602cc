"""Responses meet their images by name, or the folder is refused: a score does not depend on the order in a file."""

import unicodedata

import h5py
import numpy as np
import pytest
import scipy.io
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision.benchmark_helpers import PrecomputedFeatures

from brainscore_submission.recordings import FolderError, benchmarks, check, read_recordings


def _score(folder, responses, names):
    """The score of features that follow the responses, under the images' names."""
    random = np.random.default_rng(0)
    features = responses.mean(axis=2).T @ random.normal(size=(6, 30))
    coords = {
        "stimulus_id": ("presentation", names),
        "object_name": ("presentation", ["none"] * len(names)),
        "neuroid_id": ("neuroid", np.arange(30)),
        "layer": ("neuroid", ["last"] * 30),
    }
    features += random.normal(size=features.shape)
    candidate = PrecomputedFeatures(NeuroidAssembly(features, coords=coords, dims=["presentation", "neuroid"]), 8)
    (build,) = benchmarks(read_recordings(folder), "ridge_cv").values()
    return float(build()(candidate))


def _matlab_5(path, values, names):
    scipy.io.savemat(path.with_suffix(".mat"), {"rates": values, "image_names": np.array(names, dtype=object)})


def _char_matrix(path, values, names):
    scipy.io.savemat(path.with_suffix(".mat"), {"rates": values, "pictures": np.array([f"{name}  " for name in names])})


def _struct_array(path, values, names):
    stimuli = np.zeros((1, len(names)), dtype=[("name", object), ("onset", object)])
    for index, name in enumerate(names):
        stimuli[0, index] = (name, float(index))
    scipy.io.savemat(path.with_suffix(".mat"), {"rates": values, "stim": stimuli})


def _matlab_73(path, values, names):
    # As MATLAB writes a cell of texts: references to arrays of character codes.
    with h5py.File(path.with_suffix(".mat"), "w", userblock_size=512) as file:
        file["rates"] = values.T
        cells = file.create_dataset("image_names", (1, len(names)), dtype=h5py.ref_dtype)
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        for index, name in enumerate(names):
            text = file.create_dataset(
                f"#refs#/{index}", data=np.array([[ord(sign)] for sign in name], dtype=np.uint16)
            )
            text.attrs["MATLAB_class"] = np.bytes_("char")
            cells[0, index] = text.ref


def _numpy(path, values, names):
    np.savez(path.with_suffix(".npz"), responses=values, stimulus_id=np.array(names))


def _index(first):
    def write(path, values, names):
        number = np.argsort(np.argsort(names)) + first
        scipy.io.savemat(path.with_suffix(".mat"), {"rates": values, "istim": number[:, None].astype(float)})

    return write


ORDERED = {
    "a cell of texts": _matlab_5,
    "a char matrix of another name": _char_matrix,
    "a struct array": _struct_array,
    "a cell in v7.3": _matlab_73,
    "stimulus_id in npz": _numpy,
    "istim from 1": _index(1),
    "istim from 0": _index(0),
}


@pytest.mark.parametrize("kind", ORDERED)
def test_a_score_does_not_depend_on_the_order_in_the_file(kind, lab_folder, responses, names):
    sorted_by_name = _score(lab_folder, responses, names)
    order = np.random.default_rng(1).permutation(40)
    (lab_folder / "responses.npy").unlink()
    ORDERED[kind](lab_folder / "responses", responses[:, order], [names[index] for index in order])
    assert sorted_by_name > 0.2  # .000 in the wrong order
    assert _score(lab_folder, responses, names) == pytest.approx(sorted_by_name, abs=1e-9)


def test_a_line_a_presentation_in_npz_is_stacked(lab_folder, responses, names):
    order = np.random.default_rng(1).permutation(200)
    (lab_folder / "responses.npy").unlink()
    presented = [names[index // 5] for index in order]
    np.savez(lab_folder / "responses.npz", responses=responses.reshape(6, 200)[:, order].T, stimulus_id=presented)
    recordings = read_recordings(lab_folder)
    by_name = recordings.responses[:, recordings.stimuli["stimulus_id"].argsort()]
    np.testing.assert_allclose(np.sort(by_name, axis=2), np.sort(responses, axis=2))


def test_numbers_that_may_count_from_0_or_1_are_refused(lab_folder, responses):
    np.savez(lab_folder / "responses.npz", responses=responses[:, 1:39], istim=np.arange(1, 39))
    (lab_folder / "responses.npy").unlink()
    with pytest.raises(FolderError, match="istim counts images from 1 to 38.*unclear which number is which"):
        read_recordings(lab_folder)


def test_two_vectors_of_names_that_disagree_are_refused(lab_folder, responses, names):
    (lab_folder / "responses.npy").unlink()
    np.savez(lab_folder / "responses.npz", responses=responses, stimulus_id=names, picture=names[::-1])
    with pytest.raises(FolderError, match="stimulus_id and picture name the images .* in different orders"):
        read_recordings(lab_folder)


@pytest.mark.parametrize(
    ("first", "second"),
    [("Zebra.png", "apple.png"), ("image10.png", "image9.png"), ("B2.png", "a10.png")],
    ids=["capitals", "numbers", "both"],
)
def test_without_names_the_usual_orders_must_agree(first, second, lab_folder):
    (lab_folder / "stimuli" / "s00.png").rename(lab_folder / "stimuli" / first)
    (lab_folder / "stimuli" / "s01.png").rename(lab_folder / "stimuli" / second)
    with pytest.raises(FolderError, match="the images' order is unclear"):
        read_recordings(lab_folder)


def test_neuroids_of_two_animals_keep_their_names(lab_folder, responses, names):
    (lab_folder / "responses.npy").unlink()
    beside = {"neuroid_id": [1, 2, 3, 1, 2, 3], "animal": list("AAABBB"), "region": ["V4"] * 5 + ["IT"]}
    np.savez(lab_folder / "responses.npz", responses=responses, stimulus_id=names, **beside)
    recordings = read_recordings(lab_folder)  # area = "V4" in recordings.toml
    assert list(recordings.neuroids["neuroid_id"]) == ["A.1", "A.2", "A.3", "B.1", "B.2"]
    assert list(recordings.neuroids["subject"]) == list("AAABB")
    np.testing.assert_array_equal(recordings.responses, responses[:5])


def test_what_lies_beside_the_responses_is_used_or_named(lab_folder, responses, names):
    (lab_folder / "responses.npy").unlink()
    np.savez(lab_folder / "responses.npz", responses=responses, depth=np.arange(6), rig="left")
    notes = [finding.message for finding in check(lab_folder).findings]
    assert "beside the responses, not used: depth, rig." in notes


def test_a_vector_of_conditions_is_refused(lab_folder, responses, names):
    (lab_folder / "responses.npy").unlink()
    shown = {"stimulus_id": names * 2, "condition": ["attend"] * 40 + ["ignore"] * 40}
    np.savez(lab_folder / "responses.npz", responses=responses[:, :, :2].reshape(6, 80), **shown)
    with pytest.raises(FolderError, match=r"condition tells responses to one stimulus apart \(attend, ignore\)"):
        read_recordings(lab_folder)
    along = {"stimulus_id": names, "condition": ["attend", "ignore"]}
    np.savez(lab_folder / "responses.npz", responses=responses[:, :, :2], **along)
    with pytest.raises(FolderError, match=r"condition tells responses to one stimulus apart"):
        read_recordings(lab_folder)
    of_stimuli = {"stimulus_id": names, "condition": ["grey", "colour"] * 20, "session": list("aabbcc")}
    np.savez(lab_folder / "responses.npz", responses=responses, **of_stimuli)
    np.testing.assert_array_equal(read_recordings(lab_folder).responses, responses)


def test_time_bins_beside_an_array_are_used(lab_folder, responses, write_toml):
    (lab_folder / "responses.npy").unlink()
    values = np.stack([np.zeros_like(responses), responses], axis=3)
    bins = {"time_bin_start": [0, 70], "time_bin_end": [70, 170]}
    np.savez(lab_folder / "responses.npz", responses=values, **bins)
    axes = ["neuroid", "stimulus", "repetition", "time_bin"]
    recordings = read_recordings(write_toml(lab_folder, axes=axes))  # time_window_ms = [70, 170]
    np.testing.assert_array_equal(recordings.responses, responses)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_an_accent_is_one_letter_however_it_is_written(form, lab_folder, responses, names):
    (lab_folder / "stimuli" / "s00.png").rename(lab_folder / "stimuli" / unicodedata.normalize(form, "élan.png"))
    other = unicodedata.normalize("NFD" if form == "NFC" else "NFC", "élan.png")
    (lab_folder / "stimuli.csv").write_text("\n".join(["file", other, *names[1:]]), encoding="utf-8")
    np.testing.assert_array_equal(read_recordings(lab_folder).responses, responses)


SHAPES = {
    "a struct": ("data.resp", lambda values: {"data": {"resp": values, "note": "x"}}),
    "a struct in a struct": ("session.data.resp", lambda values: {"session": {"data": {"resp": values}}}),
    "sparse": ("rates", lambda values: {"rates": scipy.sparse.csc_matrix(values[:, :, 0])}),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_what_matlab_nests_is_found_by_its_path(kind, lab_folder, write_toml, responses):
    variable, content = SHAPES[kind]
    (lab_folder / "responses.npy").unlink()
    scipy.io.savemat(lab_folder / "responses.mat", content(responses))
    recordings = read_recordings(write_toml(lab_folder, variable=variable))
    expected = responses[:, :, :1] if kind == "sparse" else responses
    np.testing.assert_array_equal(recordings.responses, expected)


def test_groups_and_sparse_of_v73_are_found_by_their_path(lab_folder, write_toml, responses):
    (lab_folder / "responses.npy").unlink()
    sparse = scipy.sparse.csc_matrix(responses[:, :, 0])
    with h5py.File(lab_folder / "responses.mat", "w", userblock_size=512) as file:
        file["data/resp"] = responses.T
        group = file.create_group("thin")
        group.attrs["MATLAB_sparse"] = np.uint64(6)
        group["data"], group["ir"], group["jc"] = sparse.data, sparse.indices, sparse.indptr
    np.testing.assert_array_equal(read_recordings(write_toml(lab_folder, variable="data.resp")).responses, responses)
    thin = read_recordings(write_toml(lab_folder, variable="thin")).responses
    np.testing.assert_array_equal(thin[:, :, 0], responses[:, :, 0])
