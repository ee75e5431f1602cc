"""Brain-Score's screen: the images it would place, whatever other runs and the file system do meanwhile."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers import screen
from PIL import Image

from brainscore_submission.scoring.placement import placed_safely

# Brain-Score hangs what it knows of images on a table of pandas.
pytestmark = pytest.mark.filterwarnings("ignore:Pandas doesn't allow columns:UserWarning")


@pytest.fixture
def shown(tmp_path, monkeypatch):
    monkeypatch.setattr(screen, "root_path", tmp_path / "screen")
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    return make(tmp_path / "images", seed=0)


def make(folder, seed):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    ids = [f"s{i}" for i in (3, 1, 2, 0)]
    for name in ids:
        Image.fromarray(rng.integers(256, size=(20, 20, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    shown = StimulusSet({"stimulus_id": [*ids, ids[0]], "label": list("abcda")})  # one is shown twice
    shown.stimulus_paths, shown.identifier = {name: str(folder / f"{name}.png") for name in ids}, "made"
    return shown


def place(shown, **degrees):
    return screen.place_on_screen(shown, **({"target_visual_degrees": 8, "source_visual_degrees": 4} | degrees))


def pixels(placed):
    return np.stack([np.asarray(Image.open(placed.get_stimulus(one))) for one in placed["stimulus_id"]])


@pytest.mark.parametrize("degrees", [{}, {"source_visual_degrees": 12.5}])
def test_it_is_what_brainscore_places(shown, degrees):
    theirs = place(shown, **degrees)
    expected = pixels(theirs)
    with placed_safely():
        first, second = place(shown, **degrees), place(shown, **degrees)
    for ours in (first, second):
        np.testing.assert_array_equal(pixels(ours), expected)
        assert ours.identifier == theirs.identifier
        assert ours.original_paths == theirs.original_paths
        assert ours.drop(columns="label").equals(theirs.drop(columns="label"))
    assert first.stimulus_paths == second.stimulus_paths
    assert screen._place_on_screen.__module__.startswith("brainscore_vision")  # and Brain-Score has its own again


def test_degrees_may_stand_in_the_table(shown):
    shown["degrees"] = [4, 4, 8, 4, 4]
    theirs = pixels(place(shown, source_visual_degrees=None)[:2])
    with placed_safely():
        np.testing.assert_array_equal(pixels(place(shown, source_visual_degrees=None)[:2]), theirs)


def test_an_emptied_folder_and_a_damaged_image_are_made_again(shown):
    with placed_safely():
        first = place(shown)
        expected = pixels(first)
        shutil.rmtree(screen.root_path)
        np.testing.assert_array_equal(pixels(place(shown)), expected)
        damaged = first.get_stimulus("s1")
        Image.new("RGB", (40, 40)).save(damaged)
        np.testing.assert_array_equal(pixels(place(shown)), expected)


def test_other_images_of_the_same_name_are_other_images(shown, tmp_path):
    with placed_safely():
        first = place(shown)
        before = pixels(first)
        other = pixels(place(make(tmp_path / "images", seed=1)))
        assert (other != before).any()
        np.testing.assert_array_equal(pixels(first), before)  # and those of a run that still shows them stay


def test_many_at_once_place_the_same(shown):
    with placed_safely(), ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(lambda _: pixels(place(shown)), range(24)))
    assert all((one == placed[0]).all() for one in placed)
