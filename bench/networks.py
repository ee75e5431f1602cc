"""The networks that are measured, with random weights, and how a Brain-Score user would submit them."""

from __future__ import annotations

import numpy as np
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

from brainscore_submission.models.model import Model
from brainscore_submission.models.opening import find_device, open_model
from brainscore_submission.plugin.card import Card, Weights
from brainscore_submission.plugin.checkpoint import load_network

from .architectures import ARCHITECTURES, LAYERS


def open_network(name: str, device: str, batch_size: int | None = None) -> Model:
    """Open one of `NETWORKS`, untrained.

    Parameters
    ----------
    name : "crossvit", the network of the paper, or "tiny", one with its module names and 1/500 of its parameters
    device : "auto", "cpu" or "cuda[:i]"
    batch_size : images in a forward pass of ours; None for the default
    """
    return NETWORKS[name](find_device(device), batch_size)


def as_submitted(model: Model, batch_size: int | None) -> tuple[PytorchWrapper, ModelCommitment]:
    """Brain-Score's own wrapper and commitment, untouched, as the tutorials use them.

    Parameters
    ----------
    model : Model, of which only network, preprocessing and layers are used
    batch_size : None for Brain-Score's default of 64
    """
    identifier = f"bench-{model.card.identifier}"
    wrapper = PytorchWrapper(
        model.network,
        preprocessing=lambda paths: np.stack([model.load_image(path).numpy() for path in paths]),
        identifier=identifier,
        **({} if batch_size is None else {"batch_size": batch_size}),
    )
    commitment = ModelCommitment(
        identifier=identifier,
        activations_model=wrapper,
        layers=list(dict.fromkeys([*model.layer_map.values(), model.card.behavior_layer])),
        behavioral_readout_layer=model.layer_of("behavior"),
        region_layer_map=dict(model.layer_map),
        visual_degrees=model.card.visual_degrees,
    )
    return wrapper, commitment


def _crossvit(device: str, batch_size: int | None) -> Model:
    return open_model(ARCHITECTURES["crossvit"].name, weights="untrained", device=device, batch_size=batch_size)


def _tiny(device: str, batch_size: int | None) -> Model:
    tiny = ARCHITECTURES["tiny"]
    card = Card(
        identifier=tiny.name,
        architecture=tiny.name,
        weights=Weights(file="none", layout="state_dict"),
        preprocessing=tiny.preprocessing,
        title="CrossViT, tiny",
        training="none",
        behavior_layer=LAYERS["behavior"],
    )
    loaded = load_network(card, "untrained")
    layer_map = {area: layer for area, layer in LAYERS.items() if area != "behavior"}
    return Model(card, loaded.network, loaded.origin, layer_map, device=device, batch_size=batch_size or 8)


NETWORKS = {"crossvit": _crossvit, "tiny": _tiny}
