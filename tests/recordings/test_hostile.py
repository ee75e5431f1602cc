"""Any bytes, and anything in a file's place, are read or refused in words, in time and within memory."""

import gzip
import shutil
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr
from hostile import in_place_of_a_file, mutated, require_read_or_refused
from PIL import Image

from brainscore_submission.recordings import check, read_recordings

N_NEUROIDS, N_STIMULI, N_REPETITIONS = 3, 12, 4
NAMES = [f"s{index:02d}.png" for index in range(N_STIMULI)]
OBJECTS = [f"o{index % 3}" for index in range(N_STIMULI)]
VALUES = np.random.default_rng(0).normal(size=(N_NEUROIDS, N_STIMULI, N_REPETITIONS))


def _npy(folder):
    np.save(folder / "responses.npy", VALUES)
    return folder / "responses.npy"


def _npz(folder):
    labels = {"stimulus_id": NAMES, "neuroid_id": ["a", "b", "c"]}
    np.savez(folder / "responses.npz", responses=VALUES, **labels)
    return folder / "responses.npz"


def _matlab_5(folder):
    content = {"responses": VALUES, "image_names": np.array(NAMES, dtype=object), "info": {"rig": [1, 2]}}
    scipy.io.savemat(folder / "responses.mat", content)
    return folder / "responses.mat"


def _matlab_73(folder):
    with h5py.File(folder / "responses.mat", "w", userblock_size=512) as file:
        file["responses"], file["data/istim"] = VALUES.T, np.arange(1.0, 13)
        cells = file.create_dataset("image_names", (1, N_STIMULI), dtype=h5py.ref_dtype)
        for index, name in enumerate(NAMES):
            text = file.create_dataset(f"#refs#/{index}", data=np.array([[ord(s)] for s in name], dtype=np.uint16))
            text.attrs["MATLAB_class"] = np.bytes_("char")
            cells[0, index] = text.ref
    return folder / "responses.mat"


def _netcdf(format):
    def write(folder):
        coords = {
            "stimulus_id": ("presentation", np.repeat(NAMES, N_REPETITIONS)),
            "repetition": ("presentation", np.tile(np.arange(N_REPETITIONS), N_STIMULI)),
            "neuroid_id": ("neuroid", ["a", "b", "c"]),
            "time_bin_start": ("time_bin", [70]),
            "time_bin_end": ("time_bin", [170]),
        }
        values = VALUES.reshape(N_NEUROIDS, -1)[:, :, np.newaxis]
        array = xr.DataArray(values, dims=["neuroid", "presentation", "time_bin"], coords=coords, name="rates")
        array.to_netcdf(folder / "responses.nc", format=format)
        return folder / "responses.nc"

    return write


def _csv_long(folder):
    cells = [f"n{n},{NAMES[s]},{r},V4,{value:.3f}" for (n, s, r), value in np.ndenumerate(VALUES)]
    (folder / "responses.csv").write_text("\n".join(["neuroid,stimulus,repetition,area,response", *cells]))
    return folder / "responses.csv"


def _csv_wide(folder):
    lines = [",".join([f"n{index}", *(f"{value:.3f}" for value in row[:, 0])]) for index, row in enumerate(VALUES)]
    (folder / "responses.csv").write_text("\n".join([",".join(["neuroid", *NAMES]), *lines]))
    return folder / "responses.csv"


def _manifest(folder):
    _npy(folder)
    path = folder / "recordings.toml"
    more = (
        'axes = ["neuroid", "stimulus", "repetition"]\nname = "s"\nexclude_neuroids = ["1"]\ncolumns = { area = "x" }'
    )
    path.write_text(f"{path.read_text()}\n{more}\n")
    return path


def _stimuli_table(folder):
    _npy(folder)
    lines = [f"{name},{label}" for name, label in zip(NAMES, OBJECTS, strict=True)]
    (folder / "stimuli.csv").write_text("\n".join(["file,object_name", *lines]))
    return folder / "stimuli.csv"


def _neuroids_table(folder):
    _npy(folder)
    (folder / "neuroids.csv").write_text("neuroid_id,area,animal,noise_ceiling_r\na,V4,x,.5\nb,V4,x,.5\nc,IT,y,.5\n")
    return folder / "neuroids.csv"


def _trials(folder):
    _stimuli_table(folder)
    lines = [
        f"{name},{label},o{(int(label[1]) + 1) % 3},o{(int(label[1]) + trial % 2) % 3},s"
        for name, label in zip(NAMES, OBJECTS, strict=True)
        for trial in range(6)
    ]
    (folder / "trials.csv").write_text("\n".join(["stimulus,sample_object,distractor,choice,subject", *lines]))
    return folder / "trials.csv"


def _image(suffix):
    def write(folder):
        _npy(folder)
        path = folder / "stimuli" / "s05.png"
        with Image.open(path) as image:
            image.save(path.with_suffix(suffix))
        if suffix != ".png":
            path.unlink()
        return path.with_suffix(suffix)

    return write


def _zip(folder):
    _npy(folder)
    with zipfile.ZipFile(folder / "stimuli.zip", "w") as archive:
        for name in NAMES:
            archive.write(folder / "stimuli" / name, name)
    shutil.rmtree(folder / "stimuli")
    return folder / "stimuli.zip"


FILES = {
    "npy": _npy,
    "npz": _npz,
    "MATLAB v5": _matlab_5,
    "MATLAB v7.3": _matlab_73,
    "NetCDF 4": _netcdf("NETCDF4"),
    "NetCDF 3": _netcdf("NETCDF3_CLASSIC"),
    "CSV, a line a response": _csv_long,
    "CSV, a line a neuroid": _csv_wide,
    "recordings.toml": _manifest,
    "stimuli.csv": _stimuli_table,
    "neuroids.csv": _neuroids_table,
    "trials.csv": _trials,
    "PNG": _image(".png"),
    "JPEG": _image(".jpg"),
    "TIFF": _image(".tif"),
    "zip": _zip,
}


@pytest.fixture
def folder(tmp_path):
    """Twelve images of 8 x 8 pixels and recordings.toml; responses are still to come."""
    (tmp_path / "lab" / "stimuli").mkdir(parents=True)
    random = np.random.default_rng(1)
    for name in NAMES:
        pixels = random.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "lab" / "stimuli" / name)
    settings = ['area = "V4"', "visual_degrees = 8", "time_window_ms = [70, 170]", 'source = "a \\"lab\\""']
    (tmp_path / "lab" / "recordings.toml").write_text("\n".join(settings) + "\n")
    return tmp_path / "lab"


def _require_all(folder, kind, seed, number):
    path = FILES[kind](folder)
    read_recordings(folder)
    valid, outcomes = path.read_bytes(), []
    for what, damaged in mutated(valid, seed, number):
        path.write_bytes(damaged)
        outcomes.append(require_read_or_refused(lambda: read_recordings(folder, folder.parent / "cache"), what))
    assert any(outcomes)  # some damage is seen
    path.write_bytes(valid)
    read_recordings(folder)


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_are_read_or_refused(kind, folder):
    _require_all(folder, kind, seed=1, number=13)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
@pytest.mark.parametrize("kind", FILES)
def test_very_many_damaged_files_are_read_or_refused(kind, seed, folder):
    _require_all(folder, kind, seed, number=40)


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind not in ("JPEG", "TIFF", "NetCDF 3")])
def test_what_is_no_file_is_refused(kind, folder):
    path = FILES[kind](folder)
    for what in in_place_of_a_file(path):
        require_read_or_refused(lambda: check(folder, folder.parent / "cache"), what)
        if what not in ("nothing", "an empty folder", "an empty file"):
            assert not check(folder, folder.parent / "cache").ok, what


def test_numbers_of_400_digits_are_refused(folder):
    _npy(folder)
    path = folder / "recordings.toml"
    for key in ("visual_degrees", "time_window_ms", "time_bins_ms", "name", "axes", "exclude_neuroids", "columns"):
        kept = [line for line in path.read_text().splitlines() if not line.startswith(key)]
        for digits in (400, 5000):
            path.write_text("\n".join([*kept, f"{key} = {'9' * digits}"]))
            assert require_read_or_refused(lambda: read_recordings(folder), key) is not None


@pytest.mark.parametrize("shape", ["(10**12,)", "(3, 10**9, 10**9)", "(-1, 12)", f"({'9' * 400},)", "(3, 12, 0)"])
def test_an_announced_array_is_not_made_room_for(shape, folder):
    path = _npy(folder)
    shape = shape.replace("10**12", "1000000000000").replace("10**9", "1000000000")
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-len(header) - 11 % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(96))
    assert require_read_or_refused(lambda: read_recordings(folder), shape) is not None


def test_what_unpacks_without_end_is_refused(folder):
    with gzip.open(folder / "responses.csv.gz", "wb", compresslevel=1) as file:
        for _ in range(4):
            file.write(bytes(100_000_000))
    assert "holds more than" in str(require_read_or_refused(lambda: read_recordings(folder)))
    (folder / "responses.csv.gz").unlink()
    with (folder / "responses.csv").open("wb") as file:
        file.truncate(5_000_000_000)
    assert "holds next to nothing" in str(require_read_or_refused(lambda: read_recordings(folder)))


def test_a_member_that_grows_is_refused(folder):
    with zipfile.ZipFile(folder / "responses.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("responses.npy", "w", force_zip64=True) as member:
            shape = {"descr": "<f8", "fortran_order": False, "shape": (12, 10**7, 2)}
            np.lib.format.write_array_header_1_0(member, shape)
            for _ in range(24):
                member.write(bytes(80_000_000))
    assert "unpacks to 2 GB" in str(require_read_or_refused(lambda: read_recordings(folder)))
