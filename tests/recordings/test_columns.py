"""Every column of a table of responses is used, named or refused; and tables are read as people have them."""

import numpy as np
import pandas as pd
import pytest

from brainscore_submission.recordings import FolderError, benchmarks, check, read_recordings


@pytest.fixture
def long(responses, names):
    """`responses` with one line a response."""
    cells = [(f"n{n}", names[s], r, value) for (n, s, r), value in np.ndenumerate(responses)]
    return pd.DataFrame(cells, columns=["neuroid", "stimulus", "repetition", "response"])


@pytest.fixture
def saved(lab_folder):
    """`saved(table)`: the folder with that table as responses.csv."""

    def save(table, name="responses.csv", **options):
        (lab_folder / "responses.npy").unlink(missing_ok=True)
        table.to_csv(lab_folder / name, index=False, **options)
        return lab_folder

    return save


def _by_name(recordings):
    return recordings.responses[:, recordings.stimuli["stimulus_id"].argsort()]


def _notes(folder):
    return [finding.message for finding in check(folder).findings]


def test_areas_are_kept_apart(long, saved, responses, write_toml):
    table = long.assign(area=np.where(long["neuroid"] < "n4", "V4", "IT"))
    table.loc[table["area"] == "IT", "response"] *= -1
    recordings = read_recordings(saved(table))
    np.testing.assert_allclose(_by_name(recordings), responses[:4])  # area = "V4" in recordings.toml
    assert 'area = "V4": 2 neuroids of other areas left out.' in _notes(saved(table))
    assert read_recordings(write_toml(saved(table), area=None)).areas == ("V4", "IT")


def test_channels_numbered_anew_in_each_animal_are_other_neurons(long, saved, responses):
    table = long.assign(animal=np.where(long["neuroid"] < "n3", "A", "B"))
    table["neuroid"] = (table["neuroid"].str[1:].astype(int) % 3).astype(str)
    folder = saved(table.drop(columns="repetition"))
    recordings = read_recordings(folder)
    assert list(recordings.neuroids["neuroid_id"]) == ["A.0", "A.1", "A.2", "B.0", "B.1", "B.2"]
    np.testing.assert_allclose(_by_name(recordings), responses)
    (ceiling,) = check(folder).ceilings.values()
    np.save(folder / "responses.npy", responses)
    (folder / "responses.csv").unlink()
    assert check(folder).ceilings["V4"] == pytest.approx(ceiling, abs=1e-12)


def test_time_bins_are_averaged_and_no_repetitions(long, saved, responses, write_toml):
    early, late = long.assign(time_bin_start=0, time_bin_end=50), long.assign(time_bin_start=70, time_bin_end=170)
    early = early.assign(response=0.0)
    recordings = read_recordings(saved(pd.concat([early, late])))  # time_window_ms = [70, 170]
    np.testing.assert_allclose(_by_name(recordings), responses)
    recordings = read_recordings(write_toml(saved(pd.concat([early, late])), time_window_ms=[0, 170]))
    np.testing.assert_allclose(_by_name(recordings), responses / 2)


REFUSED = {
    "conditions": (
        lambda t: t.assign(condition=["a", "b"] * (len(t) // 2)),
        "condition tells responses of one neuroid",
    ),
    "sessions": (lambda t: t.assign(session=["a", "b"] * (len(t) // 2)), "session tells responses of one neuroid"),
    "times": (lambda t: t.assign(time=np.arange(len(t))), "time tells responses of one neuroid"),
    "unknown": (
        lambda t: t.drop(columns="repetition").assign(contrast=["a", "b"] * (len(t) // 2)),
        "contrast tells responses of one neuroid apart (a, b)",
    ),
    "no number": (lambda t: t.assign(repetition=[*t["repetition"][:-1], np.nan]), "1 response without a repetition n"),
    "no stimulus": (lambda t: t.assign(stimulus=["", *t["stimulus"][1:]]), "line 2 has an empty stimulus"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_become_repetitions_is_refused(case, long, saved):
    change, message = REFUSED[case]
    with pytest.raises(FolderError) as caught:
        read_recordings(saved(change(long)))
    assert message in str(caught.value)


def test_a_column_may_be_ignored_by_word(long, saved, write_toml, responses):
    table = long.drop(columns="repetition").assign(contrast=["a", "b"] * (len(long) // 2))
    recordings = read_recordings(write_toml(saved(table), ignore_columns=["contrast"]))
    np.testing.assert_allclose(_by_name(recordings), responses)


def test_columns_that_say_more_of_a_neuroid_are_named(long, saved):
    table = long.assign(depth=long["neuroid"].str[1:], session="monday")
    assert "responses.csv: columns not used: session, depth." in _notes(saved(table))


def test_trials_counted_through_a_session_are_repetitions(long, saved, responses):
    counted = long["stimulus"].str[1:3].astype(int) + 40 * long["repetition"]
    recordings = read_recordings(saved(long.drop(columns="repetition").assign(trial=counted)))
    np.testing.assert_allclose(_by_name(recordings), responses)


def test_other_heads_are_named_with_the_line_that_maps_them(long, saved, write_toml, responses):
    table = long.set_axis(["unit", "image", "rep", "spikes"], axis=1)
    with pytest.raises(FolderError) as caught:
        read_recordings(saved(table))
    assert "no column response; its columns are unit, image, rep, spikes." in str(caught.value)
    assert 'columns = { response = "<yours>" }' in str(caught.value)
    recordings = read_recordings(write_toml(saved(table), columns={"response": "spikes"}))
    np.testing.assert_allclose(_by_name(recordings), responses)


FORMS = {
    "semicolons and decimal commas": ("responses.csv", {"sep": ";", "decimal": ","}),
    "tabs": ("responses.tsv", {"sep": "\t"}),
    "packed": ("responses.csv.gz", {}),
    "packed tabs": ("responses.tsv.gz", {"sep": "\t"}),
    "a mark before": ("responses.csv", {"encoding": "utf-8-sig"}),
    "lines of Windows": ("responses.csv", {"lineterminator": "\r\n"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_tables_are_read_as_people_have_them(form, long, saved, responses):
    name, options = FORMS[form]
    np.testing.assert_allclose(_by_name(read_recordings(saved(long, name, **options))), responses)


def test_blanks_around_names_are_nothing(long, saved, responses):
    table = long.assign(stimulus=long["stimulus"] + "  ", neuroid=" " + long["neuroid"])
    np.testing.assert_allclose(_by_name(read_recordings(saved(table))), responses)


def test_one_line_a_trial(lab_folder, responses, names):
    order = np.random.default_rng(0).permutation(200)
    rows = pd.DataFrame(responses.reshape(6, 200).T, columns=[f"u{index}" for index in range(6)])
    rows = pd.DataFrame({"trial": np.arange(200), "stimulus": np.repeat(names, 5)}).join(rows).iloc[order]
    (lab_folder / "responses.npy").unlink()
    rows.to_csv(lab_folder / "responses.csv", index=False)
    recordings = read_recordings(lab_folder)
    assert list(recordings.neuroids["neuroid_id"]) == [f"u{index}" for index in range(6)]
    np.testing.assert_allclose(_by_name(recordings), responses)


def test_empty_voxels_are_left_out_in_one_word(lab_folder, responses, write_toml):
    volume = np.zeros((2506, 40, 5))
    volume[::418] = responses
    np.save(lab_folder / "responses.npy", volume)
    with pytest.raises(FolderError, match='exclude_neuroids = "empty"'):
        read_recordings(lab_folder)
    recordings = read_recordings(write_toml(lab_folder, exclude_neuroids="empty"))
    np.testing.assert_array_equal(recordings.responses, responses)
    assert 'exclude_neuroids = "empty": 2500 neuroids of 2506 left out.' in _notes(lab_folder)


@pytest.mark.parametrize(("head", "power"), [("noise_ceiling_r2", 1), ("noise_ceiling_r", 2)])
def test_noise_ceilings_as_numbers_are_the_ceiling(head, power, lab_folder, responses):
    np.save(lab_folder / "responses.npy", responses[:, :, 0])
    stated = np.array([0.9, 0.2, 0.4, 0.5, 0.7, 0.8])
    (lab_folder / "neuroids.csv").write_text("\n".join([head, *map(str, stated)]))
    report = check(lab_folder)
    assert report.ceilings["V4"] == pytest.approx(np.median(stated**power))
    (build,) = benchmarks(read_recordings(lab_folder)).values()
    assert not build().unceiled and float(build().ceiling) == report.ceilings["V4"]


def test_a_noise_ceiling_without_scale_is_asked_for(lab_folder):
    (lab_folder / "neuroids.csv").write_text("nc\n" + "30\n" * 6)
    with pytest.raises(FolderError, match="is nc on the scale of r or of r²"):
        read_recordings(lab_folder)
    (lab_folder / "neuroids.csv").write_text("noise_ceiling_r2\n" + "30\n" * 6)
    with pytest.raises(FolderError, match="Divide percentages by 100"):
        read_recordings(lab_folder)


def test_a_window_in_seconds_is_recognised(lab_folder, write_toml):
    with pytest.raises(FolderError, match=r"are these seconds\?\nWrite milliseconds: time_window_ms = \[70, 170\]"):
        read_recordings(write_toml(lab_folder, time_window_ms=[0.07, 0.17]))


def test_a_name_given_counts_whatever_the_folder_is_called(lab_folder, write_toml):
    folder = lab_folder.rename(lab_folder.with_name("my session (2)"))
    with pytest.raises(FolderError, match=r"the name 'my session \(2\)' cannot become part"):
        read_recordings(folder)
    assert read_recordings(write_toml(folder, name="second")).name == "second"


@pytest.mark.parametrize("name", ["a.nwb", "b.fif", "bold.nii.gz", "r.parquet", "r.xlsx", "r.pkl"])
def test_other_formats_are_named_with_a_way_out(name, lab_folder):
    (lab_folder / "responses.npy").rename(lab_folder / name)
    with pytest.raises(FolderError, match="Convert it: ") as caught:
        read_recordings(lab_folder)
    assert name in str(caught.value)
    (lab_folder / name).rename(lab_folder / f"responses.{name.split('.', 1)[1]}")
    with pytest.raises(FolderError, match="Convert it: "):
        read_recordings(lab_folder)
