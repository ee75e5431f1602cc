"""SIMULATED recordings: what neurons of each area would answer if they read the ground-truth network, trial by trial.

A neuron is a seeded random weighting of its area's channels (in V1, V2 and V4 under a Gaussian receptive field), with
independent Gaussian noise on every trial. Its response has unit variance over the stimuli before the noise.
"""

import hashlib
import inspect
from functools import lru_cache

import numpy as np
import torch
from brainscore_core.supported_data_standards.brainio.assemblies import NeuronRecordingAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.screen import ImageConverter
from filelock import FileLock
from PIL import Image
from torchvision import transforms

from ..engine import kept_arrays
from ..plugin.areas import AREAS
from ..plugin.fingerprint import NETWORK_CODE, versions_of
from . import ground_truth
from .ground_truth import BEHAVIOR_LAYER, INPUT_PX, VISUAL_DEGREES, GroundTruthNetwork
from .stimuli import (
    OBJECT_DEGREES,
    TEXTURE_DEGREES,
    DemoStimulus,
    StimulusFolder,
    object_stimuli,
    stimulus_folder,
    texture_stimuli,
)

N_NEURONS = 60
N_REPETITIONS = 20
RELIABILITY = (0.84, 0.94)  # lowest and highest share of signal in the variance of the mean over trials
TIME_BIN_MS = (70, 170)

RECEPTIVE_FIELD_DEGREES = {"V1": 0.8, "V2": 0.8, "V4": 1.2}  # standard deviation
DEGREES = {"V1": TEXTURE_DEGREES, "V2": TEXTURE_DEGREES, "V4": OBJECT_DEGREES, "IT": OBJECT_DEGREES}
SEEDS = {"V1": 1, "V2": 2, "V4": 4, "IT": 5}


def shown_stimuli(degrees: int) -> list[DemoStimulus]:
    """Textures at 4 degrees, objects at 8."""
    return texture_stimuli() if degrees == TEXTURE_DEGREES else object_stimuli()


def recordings(area: str) -> NeuronRecordingAssembly:
    """Every trial of the simulated neurons of an area, in Brain-Score's format.

    Returns
    -------
    NeuronRecordingAssembly of shape (n_stimuli * N_REPETITIONS, N_NEURONS), as MajajHong2015 after its time bin is
    squeezed: presentation levels `stimulus_id`, `repetition` and the columns of the stimulus set, neuroid levels
    `neuroid_id`, `region` and `animal`; attributes `stimulus_set`, `stimulus_set_identifier` and `simulated`.
    """
    shown = stimulus_set(shown_stimuli(DEGREES[area]), "textures" if DEGREES[area] == TEXTURE_DEGREES else "objects")
    random = np.random.RandomState(SEEDS[area])
    signal = _signal(area, random)
    trials = signal + _noise_scale(random) * random.standard_normal((N_REPETITIONS, *signal.shape))
    presentations = {column: np.tile(shown[column].values, N_REPETITIONS) for column in shown.columns}
    presentations["repetition"] = np.repeat(np.arange(N_REPETITIONS), len(shown))
    assembly = NeuronRecordingAssembly(
        trials.reshape(-1, N_NEURONS, 1),
        coords={
            **{name: ("presentation", values) for name, values in presentations.items()},
            "neuroid_id": ("neuroid", [f"simulated-{area}-{number:03}" for number in range(N_NEURONS)]),
            "region": ("neuroid", [area] * N_NEURONS),
            "animal": ("neuroid", ["simulated"] * N_NEURONS),
            "time_bin_start": ("time_bin", [TIME_BIN_MS[0]]),
            "time_bin_end": ("time_bin", [TIME_BIN_MS[1]]),
        },
        dims=["presentation", "neuroid", "time_bin"],
    ).squeeze("time_bin")
    assembly.attrs = {"stimulus_set": shown, "stimulus_set_identifier": shown.identifier, "simulated": True}
    return assembly


def stimulus_set(stimuli: list[DemoStimulus], name: str) -> StimulusSet:
    """Demo pictures as Brain-Score takes them; the identifier carries their content, as caches are keyed by it."""
    folder = stimulus_folder()
    rows = StimulusSet([{"stimulus_id": stimulus.stimulus_id, **stimulus.meta} for stimulus in stimuli])
    rows.stimulus_paths = {stimulus.stimulus_id: folder.file(stimulus) for stimulus in stimuli}
    rows.identifier = f"demo-{name}-{folder.sha256[:12]}"
    return rows


@lru_cache(maxsize=2)
def features(degrees: int) -> dict[str, np.ndarray]:
    """Noise-free output of every layer of the ground-truth network that is read, for the pictures of that size.

    Computed once on a machine: kept with the hash of the pictures, of the network's code and of what it calls.

    Returns
    -------
    dict of layer to ndarray of shape (n_stimuli, n_features), float64
    """
    folder = stimulus_folder()
    code = hashlib.sha256(inspect.getsource(ground_truth).encode()).hexdigest()
    facts = {"pictures": folder.sha256, "degrees": degrees, "code": code, **versions_of(("numpy", *NETWORK_CODE))}
    path = folder.path.parent / f"{folder.path.name}-answers-{degrees}.npz"
    with FileLock(f"{path}.lock"):  # of several runs at once, one computes
        kept = kept_arrays.load(path, facts)
        if kept is None:
            kept = _computed(degrees, folder)
            kept_arrays.save(path, kept, facts)
    return kept


def _computed(degrees: int, folder: StimulusFolder) -> dict[str, np.ndarray]:
    network = GroundTruthNetwork().double().eval()
    outputs = {layer: [] for layer in (*AREAS, BEHAVIOR_LAYER)}
    hooks = [
        network.get_submodule(layer).register_forward_hook(lambda module, args, output, kept=kept: kept.append(output))
        for layer, kept in outputs.items()
    ]
    with torch.no_grad():
        for stimulus in shown_stimuli(degrees):
            network(_on_screen(folder.file(stimulus), degrees)[None])
    for hook in hooks:
        hook.remove()
    return {layer: torch.cat(kept).numpy() for layer, kept in outputs.items()}


def _on_screen(path, degrees):
    """Pixels of shape (3, 192, 192), float64, of the picture in the middle of a grey screen of 8 degrees."""
    with Image.open(path) as image:
        screen = ImageConverter(target_dir=".").apply_ratio(image, VISUAL_DEGREES / degrees)
    return transforms.ToTensor()(transforms.Resize((INPUT_PX, INPUT_PX))(screen)).double()


def _signal(area, random):
    """Noise-free responses of shape (n_stimuli, N_NEURONS), mean 0 and variance 1 over stimuli."""
    seen = features(DEGREES[area])[area]
    response = seen @ _weights(area, random, seen.shape[1])
    response = response - response.mean(axis=0)
    return response / response.std(axis=0)


def _weights(area, random, n_features):
    """Shape (n_features, N_NEURONS): random over channels, and Gaussian over positions where the layer is a map."""
    if area not in GroundTruthNetwork.map_shapes:
        return random.standard_normal((n_features, N_NEURONS))
    n_channels, side, _ = GroundTruthNetwork.map_shapes[area]
    channels = random.standard_normal((n_channels, N_NEURONS))
    centre_x, centre_y = random.uniform(-1, 1, (2, N_NEURONS))  # degrees from the middle of the screen
    axis = ((np.arange(side) + 0.5) / side - 0.5)[:, None] * VISUAL_DEGREES
    spread = 2 * RECEPTIVE_FIELD_DEGREES[area] ** 2
    across, down = np.exp(-((axis - centre_x) ** 2) / spread), np.exp(-((axis - centre_y) ** 2) / spread)
    return np.einsum("cn,yn,xn->cyxn", channels, down, across).reshape(-1, N_NEURONS)


def _noise_scale(random):
    """Standard deviation of each neuron's noise in one trial."""
    reliability = random.uniform(*RELIABILITY, N_NEURONS)
    return np.sqrt(N_REPETITIONS * (1 - reliability) / reliability)
