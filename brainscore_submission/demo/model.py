"""The ground-truth network as a Brain-Score model: what the demo suite must find to be a nearly perfect model."""

import torch
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

from ..plugin.preprocessing import load_pixels, normalise
from .ground_truth import (
    AREAS,
    BEHAVIOR_LAYER,
    LAYER_MAP,
    OTHER_LAYERS,
    PREPROCESSING,
    VISUAL_DEGREES,
    GroundTruthNetwork,
)


def ground_truth_model(layer_map: dict[str, str] | None = None, behavior_layer: str = BEHAVIOR_LAYER):
    """The ground-truth network, committed to areas.

    Parameters
    ----------
    layer_map : area to layer; None for each area's own
    behavior_layer : layer that Brain-Score reads behaviour from

    Returns
    -------
    ModelCommitment. It stores no activations: they take seconds, and a store would be blind to changes of the network.
    """
    activations = PytorchWrapper(GroundTruthNetwork().eval(), preprocessing=_batch, identifier="demo-ground-truth")
    activations.identifier = None
    return ModelCommitment(
        identifier="demo-ground-truth",
        activations_model=activations,
        layers=[*OTHER_LAYERS, *AREAS, BEHAVIOR_LAYER],
        region_layer_map=layer_map or LAYER_MAP,
        behavioral_readout_layer=behavior_layer,
        visual_degrees=VISUAL_DEGREES,
    )


def _batch(paths):
    return torch.stack([normalise(load_pixels(path, PREPROCESSING), PREPROCESSING) for path in paths])
