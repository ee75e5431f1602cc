"""Score the packaged model on pictures made here: does it see what is in them?

Run by Brain-Score after its generic tests. No recordings are needed: the "responses" to be predicted are facts of
the pictures, and any network that can see predicts them.
"""

import uuid
from pathlib import Path

import brainscore_vision
import numpy as np
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from PIL import Image, ImageDraw
from sklearn.cross_decomposition import PLSRegression

IDENTIFIER = next(Path(__file__).parent.glob("cards/*.toml")).stem
N_FIT, N_TEST = 30, 10
SIDE_PX = 224


def test_v1_tells_where_a_disc_stands(tmp_path):
    discs = _discs()
    assert _predictivity("V1", discs, discs[:, 0], tmp_path) > 0.5


def test_it_tells_how_large_a_disc_is(tmp_path):
    discs = _discs()
    assert _predictivity("IT", discs, discs[:, 2], tmp_path) > 0.5


def test_behavior_tells_discs_from_gratings(tmp_path):
    model = brainscore_vision.load_model(IDENTIFIER)
    labels = np.array(["disc", "grating"] * ((N_FIT + N_TEST) // 2))
    discs = [_disc(*disc) for disc in _discs()]
    pictures = [discs[i] if label == "disc" else _grating(i) for i, label in enumerate(labels)]
    fit = _stimuli(pictures[:N_FIT], labels[:N_FIT], tmp_path, "fit")
    test = _stimuli(pictures[N_FIT:], labels[N_FIT:], tmp_path, "test")
    model.start_task(model.Task.probabilities, fit)
    probabilities = model.look_at(test, number_of_trials=1).transpose("presentation", "choice")
    chosen = probabilities["choice"].values[probabilities.values.argmax(axis=1)]
    assert np.mean(chosen == probabilities["image_label"].values) > 0.8


def _predictivity(area, discs, responses, folder):
    """Correlation over held-out pictures between `responses` and their prediction from an area's activations."""
    model = brainscore_vision.load_model(IDENTIFIER)
    model.start_recording(area, time_bins=[(70, 170)])
    pictures = [_disc(x, y, radius) for x, y, radius in discs]
    stimuli = _stimuli(pictures, np.repeat("disc", len(discs)), folder, "discs")
    assembly = model.look_at(stimuli, number_of_trials=1).transpose("presentation", "neuroid", ...)
    order = np.argsort([int(name.split("-")[-1]) for name in assembly["stimulus_id"].values])
    features = assembly.values.reshape(len(discs), -1)[order]
    regression = PLSRegression(n_components=5, scale=False).fit(features[:N_FIT], responses[:N_FIT])
    predicted = regression.predict(features[N_FIT:]).ravel()
    return np.corrcoef(predicted, responses[N_FIT:])[0, 1]


def _discs():
    """Centre x, centre y and radius in pixels of every disc: array of shape (N_FIT + N_TEST, 3)."""
    generator = np.random.default_rng(0)
    return generator.uniform([60, 60, 15], [164, 164, 50], size=(N_FIT + N_TEST, 3))


def _disc(x, y, radius):
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), (110, 110, 110))
    ImageDraw.Draw(picture).ellipse([x - radius, y - radius, x + radius, y + radius], fill=(230, 220, 200))
    return picture


def _grating(seed, period_px=20):
    angle, phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, size=2)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    wave = np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period_px + phase)
    gray = np.uint8(127.5 + 100 * wave)
    return Image.fromarray(np.stack([gray] * 3, axis=2))


def _stimuli(pictures, labels, folder, name):
    ids = [f"{name}-{index}" for index in range(len(pictures))]
    paths = {stimulus_id: Path(folder) / f"{stimulus_id}.png" for stimulus_id in ids}
    for picture, path in zip(pictures, paths.values(), strict=True):
        picture.save(path)
    stimuli = StimulusSet({"stimulus_id": ids, "image_label": labels, "object_name": labels})
    stimuli.stimulus_paths = paths
    stimuli.identifier = f"{IDENTIFIER}-{uuid.uuid4().hex}"  # Brain-Score keeps activations under this name
    return stimuli
