"""Recording alone: the images of five areas shown to a network, until what the metrics need is there.

For ours that includes the Gram matrices. Brain-Score's extractor shows each area's images on their own, in whole
batches, through the whole network, and keeps its cache on disk as it ships.
"""

from __future__ import annotations

import time
from pathlib import Path

from brainscore_submission.engine.images import Request, read_stimuli

from .assemblies import stimulus_set
from .images import image_sets
from .networks import as_submitted, open_network
from .passes import Passes
from .sizes import SuiteSize

SHOWN = {"V1": "textures", "V2": "textures", "V4": "objects", "IT": "objects", "behavior": "behavior"}


def ours(inputs: Path, scratch: Path, size: dict, network: str, device: str) -> dict:
    """Each image once, for all layers wanted of it."""
    sets = image_sets(inputs, SuiteSize(**size))
    model = open_network(network, device)
    passes = Passes(model.network)
    recorder = model.recorder(scratch / "cache")
    parts = {}
    for name, images in sets.items():
        layers = frozenset(model.layer_of(area) for area, shown in SHOWN.items() if shown == name)
        form = "features" if name == "behavior" else "grams"
        started = time.perf_counter()
        recorder.record([Request(tuple(read_stimuli(images.paths)), **{form: layers})])
        parts[name] = {"seconds": time.perf_counter() - started, "images": len(images.ids)}
    return {
        "seconds": sum(part["seconds"] for part in parts.values()),
        "passes": passes.images,
        "forward_seconds": passes.seconds,
        "sets": parts,
    }


def brainscore(inputs: Path, scratch: Path, size: dict, network: str, device: str, batch_size: int | None) -> dict:
    """`ModelCommitment.look_at` for each area, and the readout's activations."""
    sets = {name: stimulus_set(images) for name, images in image_sets(inputs, SuiteSize(**size)).items()}
    model = open_network(network, device)
    passes = Passes(model.network)
    wrapper, commitment = as_submitted(model, batch_size)
    started = time.perf_counter()
    for area, name in SHOWN.items():
        if area == "behavior":
            wrapper(sets[name], layers=[model.layer_of(area)])
        else:
            commitment.start_recording(area, time_bins=[(70, 170)])
            commitment.look_at(sets[name], number_of_trials=1)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "passes": passes.images, "forward_seconds": passes.seconds}
