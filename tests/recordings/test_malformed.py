"""Fifty folders that cannot be used, each refused with its own message and remedy, none of them touched."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import xarray as xr

from brainscore_submission.recordings import FolderError, check, read_recordings
from brainscore_submission.recordings.assembly import assembly, stimulus_set

BROKEN = {}


def broken(message: str):
    """Register a way to break a folder, with what the error must say."""

    def register(function):
        BROKEN[function.__name__] = (function, message)
        return function

    return register


@broken("holds no recordings.toml")
def no_manifest(folder, toml):
    (folder / "recordings.toml").unlink()


@broken("is not TOML")
def manifest_is_no_toml(folder, toml):
    (folder / "recordings.toml").write_text("area: V4\n")


@broken("unknown key 'visual_degree'.\nDid you mean visual_degrees")
def unknown_key(folder, toml):
    toml(folder, visual_degree=8)


@broken("visual_degrees is missing")
def no_visual_degrees(folder, toml):
    toml(folder, visual_degrees=None)


@broken(
    "visual_degrees is missing: how wide were the images, in degrees of visual angle? time_window_ms is missing: which "
    "time after stimulus onset do the responses cover? area is missing: where do the neuroids lie?\n"
    'Add lines such as: visual_degrees = 8 and time_window_ms = [70, 170] and area = "V4"'
)
def an_empty_manifest(folder, toml):
    toml(folder, visual_degrees=None, time_window_ms=None, area=None)


@broken("recordings.toml: time_window_ms is missing: which time after stimulus onset do the responses cover? area is ")
def no_window_and_no_area(folder, toml):
    toml(folder, time_window_ms=None, area=None)


@broken(
    "recordings.toml: visual_degrees is missing: how wide were the images, in degrees of visual angle?\nAdd a line "
)
def no_visual_degrees_with_tables(folder, toml):
    _areas_of_neuroids(folder, ["V4"] * 6)
    toml(folder, visual_degrees=None, area=None)


@broken("visual_degrees = -8 cannot be used")
def negative_degrees(folder, toml):
    toml(folder, visual_degrees=-8)


@broken("area 'v4' is spelt otherwise.\nWrite \"V4\"")
def small_letter_area(folder, toml):
    toml(folder, area="v4")


@broken("recordings.toml: models commit no layer to the area 'LIP', only to V1, V2, V4, IT.\nGive the area whose layer")
def area_without_a_layer(folder, toml):
    toml(folder, area="LIP")


@broken("the neuroids: models commit no layer to the area 'pIT'")
def neuroid_of_an_area_without_a_layer(folder, toml):
    _areas_of_neuroids(folder, ["V4"] * 5 + ["pIT"])
    toml(folder, area=None)


@broken("the neuroids: the area 'v4' is spelt otherwise")
def small_letter_area_of_the_neuroids(folder, toml):
    _areas_of_neuroids(folder, ["v4"] * 6)


@broken('area = "IT", but the neuroids lie in V4')
def area_that_was_not_recorded(folder, toml):
    _areas_of_neuroids(folder, ["V4"] * 6)
    toml(folder, area="IT")


def _areas_of_neuroids(folder, areas):
    (folder / "neuroids.csv").write_text("\n".join(["area", *areas]))


@broken("no brain area is given")
def no_area(folder, toml):
    toml(folder, area=None)


@broken("start before end")
def window_backwards(folder, toml):
    toml(folder, time_window_ms=[170, 70])


@broken("time_window_ms is missing")
def no_window(folder, toml):
    toml(folder, time_window_ms=None)


@broken("cannot become part of a benchmark's name")
def name_with_a_space(folder, toml):
    toml(folder, name="my session")


@broken("there is no ")
def path_to_nowhere(folder, toml):
    toml(folder, responses="elsewhere.npy")


@broken("neither stimuli/ nor stimuli.zip")
def no_stimuli(folder, toml):
    (folder / "stimuli").rename(folder / "pictures")


@broken("holds both stimuli/ and stimuli.zip")
def folder_and_zip(folder, toml):
    (folder / "stimuli.zip").write_bytes(b"")


@broken("holds no images")
def empty_stimuli(folder, toml):
    for path in (folder / "stimuli").iterdir():
        path.rename(path.with_suffix(".txt"))


@broken("1 image cannot be read: s03.png")
def truncated_image(folder, toml):
    path = folder / "stimuli" / "s03.png"
    path.write_bytes(path.read_bytes()[:200])


@broken("two images share the file name s00.png: more/s00.png and s00.png")
def one_name_in_two_folders(folder, toml):
    (folder / "stimuli" / "more").mkdir()
    (folder / "stimuli" / "more" / "s00.png").write_bytes((folder / "stimuli" / "s01.png").read_bytes())


def _zip_instead(folder, toml, member="s00.png", content=None):
    content = content or (folder / "stimuli" / "s00.png").read_bytes()
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.writestr(member, content)
    toml(folder, stimuli="images.zip")


@broken("leads out of the zip")
def zip_that_climbs(folder, toml):
    _zip_instead(folder, toml, member="../../s00.png")


@broken("is neither a folder nor a zip")
def zip_that_is_none(folder, toml):
    (folder / "images.zip").write_bytes(b"images")
    toml(folder, stimuli="images.zip")


@broken("neither responses nor human choices")
def no_responses(folder, toml):
    (folder / "responses.npy").unlink()


@broken("several files of responses: responses.csv, responses.npy")
def two_files_of_responses(folder, toml):
    (folder / "responses.csv").write_text("neuroid\n")


@broken("responses in this format cannot be read")
def spreadsheet(folder, toml):
    (folder / "responses.npy").rename(folder / "responses.xlsx")


@broken("is not a numpy array of numbers")
def python_objects(folder, toml):
    np.save(folder / "responses.npy", np.array([{}], dtype=object), allow_pickle=True)


@broken("the responses are complex128")
def complex_responses(folder, toml):
    np.save(folder / "responses.npy", np.ones((6, 40), dtype=complex))


@broken("(6, 41, 5), which does not fit 40 stimuli.")
def one_image_too_few(folder, toml):
    np.save(folder / "responses.npy", np.random.default_rng(0).normal(size=(6, 41, 5)))


@broken("in 2 ways: neuroid x stimulus or stimulus x neuroid.\nSay which: axes = [")
def square_array(folder, toml):
    np.save(folder / "responses.npy", np.random.default_rng(0).normal(size=(40, 40)))


@broken("in 2 ways: stimulus x neuroid x repetition or stimulus x repetition x neuroid")
def transposed_and_unclear(folder, toml):
    np.save(folder / "responses.npy", np.random.default_rng(0).normal(size=(40, 6, 5)))


@broken("with the axes stimulus x neuroid x repetition the array")
def wrong_axes(folder, toml):
    toml(folder, axes=["stimulus", "neuroid", "repetition"])


@broken("axes names 2 axes")
def too_few_axes(folder, toml):
    toml(folder, axes=["neuroid", "stimulus"])


@broken("has 4 axes")
def time_axis_unnamed(folder, toml):
    np.save(folder / "responses.npy", np.ones((6, 40, 5, 3)))


@broken("nothing says when they are")
def time_bins_unknown(folder, toml):
    np.save(folder / "responses.npy", np.ones((6, 40, 5, 3)))
    toml(folder, axes=["neuroid", "stimulus", "repetition", "time_bin"])


@broken("holds no whole time bin")
def window_without_a_bin(folder, toml):
    np.save(folder / "responses.npy", np.ones((6, 40, 5, 3)))
    axes = ["neuroid", "stimulus", "repetition", "time_bin"]
    toml(folder, axes=axes, time_bins_ms={"start": 200, "width": 50})


@broken("infinite responses: neuroids 2")
def infinite_response(folder, toml):
    _change(folder, np.s_[2, 3, 1], np.inf)


@broken('1 of 6 neuroids have no responses at all: 4.\nLeave them out: exclude_neuroids = ["4"]')
def silent_channel(folder, toml):
    _change(folder, np.s_[4], np.nan)


@broken("1 of 40 stimuli have no responses from any neuroid: s07.png")
def stimulus_never_shown(folder, toml):
    _change(folder, np.s_[:, 7], np.nan)


@broken("1 of 6 neuroids have no response to one or more stimuli: 1")
def hole_in_the_table(folder, toml):
    _change(folder, np.s_[1, 7], np.nan)


@broken("1 of 6 neuroids give every stimulus the same response: 5")
def constant_neuroid(folder, toml):
    _change(folder, np.s_[5], 1.0)


def _change(folder, where, value):
    values = np.load(folder / "responses.npy")
    values[where] = value
    np.save(folder / "responses.npy", values)


@broken("stimuli.csv: no image for 1 name: s99.png")
def table_names_a_missing_image(folder, toml):
    _stimuli_table(folder, [*range(39), 99])


@broken("stimuli.csv: 1 stimulus listed twice: s00.png")
def table_repeats_an_image(folder, toml):
    _stimuli_table(folder, [*range(39), 0])


def _stimuli_table(folder, numbers, header="file"):
    (folder / "stimuli.csv").write_text("\n".join([header, *(f"s{number:02d}.png" for number in numbers)]))


@broken("stimuli.csv does not name the images: its columns are picture")
def table_without_names(folder, toml):
    _stimuli_table(folder, range(40), header="picture")


@broken("strata = 'object_name' is no column of the stimuli table")
def strata_without_column(folder, toml):
    toml(folder, strata="object_name")


@broken("does not fit 40 stimuli, 4 neuroids")
def neuroids_too_few(folder, toml):
    (folder / "neuroids.csv").write_text("neuroid_id\na\nb\nc\nd\n")


@broken("the neuroids: 1 neuroid named twice: a")
def neuroid_named_twice(folder, toml):
    (folder / "neuroids.csv").write_text("neuroid_id\na\na\nc\nd\ne\nf\n")


@broken("sorted by letter it differs from sorted by number")
def unclear_image_order(folder, toml):
    (folder / "stimuli" / "s39.png").rename(folder / "stimuli" / "s100.png")


@broken("exclude_neuroids names '6', which is not there")
def excluding_nobody(folder, toml):
    toml(folder, exclude_neuroids=["6"])


@broken("holds 2 arrays that may be the responses: rates (6, 40), counts (6, 40)")
def two_matlab_variables(folder, toml):
    (folder / "responses.npy").unlink()
    arrays = {"rates": np.ones((6, 40)), "counts": np.ones((6, 40))}
    scipy.io.savemat(folder / "responses.mat", arrays)


@broken("has no variable 'rate'.\nMend it. Did you mean rates?")
def unknown_matlab_variable(folder, toml):
    (folder / "responses.npy").unlink()
    scipy.io.savemat(folder / "responses.mat", {"rates": np.ones((6, 40))})
    toml(folder, variable="rate")


@broken("is not a MATLAB file")
def matlab_file_that_is_none(folder, toml):
    (folder / "responses.npy").rename(folder / "responses.mat")


@broken("does not name its stimuli")
def netcdf_without_names(folder, toml):
    (folder / "responses.npy").unlink()
    array = xr.DataArray(np.ones((6, 40)), dims=["neuroid", "presentation"], name="rates")
    array.to_netcdf(folder / "responses.nc")


@broken("it is unclear what the rows are")
def csv_without_a_corner(folder, toml):
    (folder / "responses.npy").unlink()
    (folder / "responses.csv").write_text("id,s00.png\na,1\n")


@broken("responses.csv is not a table ('utf-8' codec can't decode byte 0xb5")
def csv_in_the_encoding_of_a_spreadsheet(folder, toml):
    (folder / "responses.npy").unlink()
    (folder / "responses.csv").write_bytes("neuroid,s00.png,rate in µV\na,1,2\n".encode("cp1252"))


@broken("responses.csv is not a table (No columns to parse from file)")
def csv_without_content(folder, toml):
    (folder / "responses.npy").unlink()
    (folder / "responses.csv").write_text("")


@broken("two responses to stimulus s00.png carry the repetition 0")
def repetition_numbered_twice(folder, toml):
    (folder / "responses.npy").unlink()
    (folder / "responses.csv").write_text("neuroid,stimulus,repetition,response\na,s00.png,0,1\na,s00.png,0,2\n")


@broken("line 2: the choice 'bear' is neither the sample 'dog' nor the distractor 'car'")
def third_choice(folder, toml):
    (folder / "trials.csv").write_text("stimulus,sample_object,distractor,choice\ns00.png,dog,car,bear\n")


@broken("trials.csv has no column distractor")
def trials_without_distractor(folder, toml):
    (folder / "trials.csv").write_text("stimulus,sample_object,choice\ns00.png,dog,dog\n")


def _snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("case", BROKEN)
def test_malformed_folder_is_refused_with_its_own_message(case, lab_folder, write_toml):
    break_it, message = BROKEN[case]
    break_it(lab_folder, write_toml)
    before = _snapshot(lab_folder)
    with pytest.raises(FolderError) as caught:
        read_recordings(lab_folder)
    assert message in str(caught.value)
    finding = caught.value.finding
    assert str(caught.value) == f"{finding.message}\n{finding.remedy}" and finding.remedy
    assert check(lab_folder).findings == (finding,)
    assert _snapshot(lab_folder) == before


def test_the_messages_are_all_different():
    messages = [message for _, message in BROKEN.values()]
    assert len(set(messages)) == len(messages) >= 20


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FolderError, match="no recording folder at"):
        read_recordings(tmp_path / "nowhere")


def test_reading_a_good_folder_writes_nothing_into_it(lab_folder):
    with zipfile.ZipFile(lab_folder / "stimuli.zip", "w") as archive:
        for path in sorted((lab_folder / "stimuli").iterdir()):
            archive.write(path, path.name)
            path.unlink()
    (lab_folder / "stimuli").rmdir()
    before = _snapshot(lab_folder)
    recordings = read_recordings(lab_folder)
    assembly(recordings, "V4", average=True)
    check(lab_folder)
    assert _snapshot(lab_folder) == before
    assert not any(lab_folder in path.parents for path in stimulus_set(recordings).stimulus_paths.values())
