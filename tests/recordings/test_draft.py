"""`recordings init` writes what can be told, says what it guessed and asks for the rest."""

import json
import tomllib

import numpy as np
import pytest
from typer.testing import CliRunner

from brainscore_submission.cli import app
from brainscore_submission.recordings import FolderError, check, write_draft


@pytest.fixture
def bare(lab_folder):
    """A lab's folder without recordings.toml, its files called as a lab calls them."""
    (lab_folder / "recordings.toml").unlink()
    (lab_folder / "stimuli").rename(lab_folder / "pictures shown")
    return lab_folder.rename(lab_folder.with_name("session 3, PE"))


def _fill_in(folder, **values):
    path = folder / "recordings.toml"
    path.write_text(path.read_text() + "\n".join(f"{key} = {value}" for key, value in values.items()))


def test_a_draft_filled_in_can_be_scored(bare, responses):
    draft = write_draft(bare)
    assert draft.to_fill_in == ("visual_degrees", "time_window_ms", "area") and draft.problem is None
    assert draft.guesses == ("the images are those in pictures shown.", "6 neuroids x 40 stimuli x 5 repetitions.")
    assert tomllib.loads(draft.text) == {"name": "session_3_PE", "stimuli": "pictures shown"}
    assert not check(bare).ok
    _fill_in(bare, visual_degrees=8, time_window_ms=[70, 170], area='"V4"')
    assert check(bare).ok


def test_other_heads_are_mapped_and_the_guess_is_said(bare, responses, names):
    cells = [f"{names[s]},u{n},{r},{value}" for (n, s, r), value in np.ndenumerate(responses)]
    (bare / "responses.npy").unlink()
    (bare / "rates.csv").write_text("\n".join(["image,unit,rep,spikes", *cells]))
    draft = write_draft(bare)
    assert "in rates.csv the column spikes holds the responses." in draft.guesses
    _fill_in(bare, visual_degrees=8, time_window_ms=[70, 170], area='"V4"')
    assert check(bare).understood["neuroids"] == "6 neuroids in V4"


def test_what_stops_the_reading_is_said(bare):
    (bare / "responses.npy").rename(bare / "session.nwb")
    draft = write_draft(bare)
    assert "session.nwb is Neurodata Without Borders.\nConvert it: count each unit's spikes" in draft.problem
    assert "# To be mended: Convert it" in draft.text


def test_a_manifest_is_never_written_over(lab_folder):
    before = (lab_folder / "recordings.toml").read_text()
    with pytest.raises(FolderError, match="is there already"):
        write_draft(lab_folder)
    assert (lab_folder / "recordings.toml").read_text() == before
    with pytest.raises(FolderError, match="no folder at"):
        write_draft(lab_folder / "nowhere")


def test_the_command_says_what_was_guessed(bare):
    answer = CliRunner().invoke(app, ["recordings", "init", str(bare), "--json"])
    facts = json.loads(answer.stdout)
    assert answer.exit_code == 0 and facts["to_fill_in"] == ["visual_degrees", "time_window_ms", "area"]
    (bare / "recordings.toml").unlink()
    said = CliRunner().invoke(app, ["recordings", "init", str(bare)]).stdout
    assert "guessed: the images are those in pictures shown." in said and "fill in: area" in said
