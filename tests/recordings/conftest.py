"""A small recording folder, whole, for tests to read or to break."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

N_NEUROIDS, N_STIMULI, N_REPETITIONS = 6, 40, 5
REAL_DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _nothing_in_the_home(monkeypatch, tmp_path_factory):
    """Brain-Score keeps neither results nor placed stimuli."""
    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    monkeypatch.setattr("brainscore_vision.benchmark_helpers.screen.root_path", tmp_path_factory.mktemp("brain-score"))


def _literal(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_literal(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture
def write_toml():
    """Write recordings.toml: `write_toml(folder, key=value, …)`; None leaves a key out."""

    def write(folder: Path, **settings) -> Path:
        defaults = {"area": "V4", "visual_degrees": 8, "time_window_ms": [70, 170]}
        lines = [f"{key} = {_literal(value)}" for key, value in (defaults | settings).items() if value is not None]
        (folder / "recordings.toml").write_text("\n".join(lines))
        return folder

    return write


@pytest.fixture
def responses() -> np.ndarray:
    """Responses of shape (6, 40, 5): a signal per neuroid and stimulus, with noise on every repetition."""
    random = np.random.default_rng(0)
    signal = random.normal(size=(N_NEUROIDS, N_STIMULI, 1))
    return 5 + signal + 0.5 * random.normal(size=(N_NEUROIDS, N_STIMULI, N_REPETITIONS))


@pytest.fixture
def lab_folder(tmp_path, write_toml, responses) -> Path:
    """A recording folder: 40 images s00.png to s39.png, responses.npy, recordings.toml."""
    folder = tmp_path / "my_session"
    (folder / "stimuli").mkdir(parents=True)
    random = np.random.default_rng(1)
    for index in range(N_STIMULI):
        pixels = random.integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "stimuli" / f"s{index:02d}.png")
    np.save(folder / "responses.npy", responses)
    return write_toml(folder)


@pytest.fixture
def names() -> list[str]:
    """The stimulus ids of `lab_folder`."""
    return [f"s{index:02d}.png" for index in range(N_STIMULI)]


def _real(name: str, write_toml, folder: Path, **settings) -> Path:
    data = REAL_DATA / name
    if not data.is_dir():
        pytest.skip(f"no recordings at {data}")
    folder.mkdir()
    return write_toml(folder, **{key: str(data / file) for key, file in settings.pop("files").items()}, **settings)


@pytest.fixture
def v4_session(tmp_path, write_toml) -> Path:
    """The macaque V4 session of Cowley et al. 2023, read from where it lies."""
    return _real(
        "v4_cowley2023_210325",
        write_toml,
        tmp_path / "v4_session",
        files={"stimuli": "images.zip", "responses": "responses_raw.npy"},
        time_window_ms=[50, 150],
    )


@pytest.fixture
def majaj_hong(tmp_path, write_toml) -> Path:
    """The subset of Majaj, Hong et al. 2015, in the field names of 2019, read from where it lies."""
    return _real(
        "majajhong2015_subset",
        write_toml,
        tmp_path / "majaj_hong",
        files={
            "stimuli": "stimuli",
            "stimuli_table": "stimuli/test_images.csv",
            "responses": "assembly.nc",
        },
        area=None,
        time_window_ms=None,
    )
