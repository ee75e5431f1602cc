"""The same responses, written in every format a lab has, are read as the same array."""

import csv

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr

from brainscore_submission.recordings import FolderError, read_recordings


def _npy(folder, values, names):
    np.save(folder / "responses.npy", values)


def _npz(folder, values, names):
    np.savez(folder / "responses.npz", rates=values, threshold=np.array(3.0))


def _matlab_5(folder, values, names):
    scipy.io.savemat(folder / "responses.mat", {"rates": values, "session": "210325"})


def _matlab_73(folder, values, names):
    # As MATLAB writes it: HDF5 behind a 512-byte header, axes in reverse.
    with h5py.File(folder / "responses.mat", "w", userblock_size=512) as file:
        file["rates"] = values.T
        file.create_group("#refs#")


def _netcdf(field):
    def write(folder, values, names):
        n_neuroids, n_stimuli, n_repetitions = values.shape
        array = xr.DataArray(
            values.reshape(n_neuroids, n_stimuli * n_repetitions)[:, :, np.newaxis],
            dims=["neuroid", "presentation", "time_bin"],
            coords={
                field: ("presentation", np.repeat(names, n_repetitions)),
                "repetition": ("presentation", np.tile(np.arange(n_repetitions), n_stimuli)),
                "neuroid_id": ("neuroid", [f"n{index}" for index in range(n_neuroids)]),
                "region": ("neuroid", ["V4"] * n_neuroids),
                "time_bin_start": ("time_bin", [70]),
                "time_bin_end": ("time_bin", [170]),
            },
            name="rates",
        )
        array[:, ::-1].to_netcdf(folder / "responses.nc")  # presentations in any order

    return write


def _netcdf_cube(folder, values, names):
    array = xr.DataArray(values, dims=["neuroid", "stimulus", "repetition"], coords={"stimulus": names}, name="rates")
    array.to_netcdf(folder / "responses.nc")


def _rows(folder, rows):
    with (folder / "responses.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _csv_wide(folder, values, names, neuroid="n{}"):
    columns = [name for name in names for _ in range(values.shape[2])]  # a name twice is a repetition
    _rows(folder, [["neuroid", *columns], *([neuroid.format(index), *row.ravel()] for index, row in enumerate(values))])


def _csv_wide_stimuli_down(folder, values, names, neuroid="n{}"):
    down = [(name, values[:, index, trial]) for index, name in enumerate(names) for trial in range(values.shape[2])]
    neuroids = [neuroid.format(index) for index in range(len(values))]
    _rows(folder, [["stimulus", *neuroids], *([name, *row] for name, row in down)])


def _csv_long(folder, values, names, neuroid="n{}"):
    cells = [
        (neuroid.format(index), names[stimulus], trial, value)
        for (index, stimulus, trial), value in np.ndenumerate(values)
        if not np.isnan(value)
    ]
    _rows(folder, [["neuroid", "stimulus", "repetition", "response"], *reversed(cells)])


WRITERS = {
    "npy": _npy,
    "npz": _npz,
    "MATLAB v5": _matlab_5,
    "MATLAB v7.3": _matlab_73,
    "NetCDF of 2019": _netcdf("image_id"),
    "NetCDF of today": _netcdf("stimulus_id"),
    "NetCDF cube": _netcdf_cube,
    "CSV, neuroids down": _csv_wide,
    "CSV, stimuli down": _csv_wide_stimuli_down,
    "CSV, a line a response": _csv_long,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_responses(kind, lab_folder, responses, names):
    responses[2, 5, 3:] = np.nan
    (lab_folder / "responses.npy").unlink()
    WRITERS[kind](lab_folder, responses, names)
    recordings = read_recordings(lab_folder)
    by_id = recordings.responses[np.argsort(recordings.neuroids["neuroid_id"])]
    order = recordings.stimuli["stimulus_id"].argsort()
    np.testing.assert_allclose(by_id[:, order], responses, rtol=1e-12)
    assert list(recordings.stimuli["stimulus_id"][order]) == names


@pytest.mark.parametrize("write", [_csv_wide, _csv_wide_stimuli_down, _csv_long])
def test_names_with_leading_zeros_stay_as_they_are(write, lab_folder, write_toml, responses):
    for path in (lab_folder / "stimuli").iterdir():
        path.rename(path.with_name(path.name.replace("s", "0")))  # 000.png to 039.png
    (lab_folder / "responses.npy").unlink()
    write(lab_folder, responses, [f"{index:03d}" for index in range(40)], neuroid="0{}")
    (lab_folder / "neuroids.csv").write_text("neuroid_id\n" + "\n".join(f"0{index}" for index in range(6)))
    recordings = read_recordings(write_toml(lab_folder, exclude_neuroids=["02"], exclude_stimuli=["007"]))
    by_id, by_name = recordings.neuroids["neuroid_id"].argsort(), recordings.stimuli["stimulus_id"].argsort()
    assert list(recordings.neuroids["neuroid_id"][by_id]) == ["00", "01", "03", "04", "05"]
    kept = np.delete(np.delete(responses, 2, axis=0), 7, axis=1)
    np.testing.assert_allclose(recordings.responses[by_id][:, by_name], kept, rtol=1e-12)


def test_stimuli_are_found_by_name_without_suffix(lab_folder, responses, names):
    (lab_folder / "responses.npy").unlink()
    _netcdf("image_id")(lab_folder, responses, [name.removesuffix(".png") for name in names])
    recordings = read_recordings(lab_folder)
    assert {image.name for image in recordings.images} == set(names)
    assert set(recordings.stimuli["stimulus_id"]) == {name.removesuffix(".png") for name in names}


def test_a_variable_is_chosen_by_name(lab_folder, write_toml, responses):
    (lab_folder / "responses.npy").unlink()
    scipy.io.savemat(lab_folder / "responses.mat", {"rates": responses, "baseline": 0 * responses})
    recordings = read_recordings(write_toml(lab_folder, variable="rates"))
    np.testing.assert_array_equal(recordings.responses, responses)


def test_integers_are_read_as_numbers(lab_folder):
    counts = np.random.default_rng(0).poisson(5, size=(6, 40, 5)).astype(np.uint16)
    np.save(lab_folder / "responses.npy", counts)
    np.testing.assert_array_equal(read_recordings(lab_folder).responses, counts)


def test_a_pickle_is_never_loaded(lab_folder):
    (lab_folder / "responses.npy").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(FolderError, match="not a numpy array"):
        read_recordings(lab_folder)
