"""Card + layer map -> Brain-Score model: areas, behaviour and field of view, all passed explicitly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

from .card import Card
from .errors import UserError


def commit(
    card: Card, layer_map: Mapping[str, str], activations_model: Any, identifier: str | None = None
) -> ModelCommitment:
    """Commit an activations model to brain areas, behaviour and a field of view.

    Nothing is left for Brain-Score to look up or search: without a map it would search layers silently, and
    without a readout layer it would take the last one listed.

    Parameters
    ----------
    card : Card
    layer_map : area -> layer
    activations_model : what Brain-Score calls with stimuli and layers
    identifier : under which the model is registered; default the card's
    """
    if card.behavior_layer is None:
        raise UserError(f"model '{card.name}' has no layer for behaviour. Give one: --layers …,behavior=<layer>.")
    layers = list(dict.fromkeys([*layer_map.values(), card.behavior_layer]))
    return ModelCommitment(
        identifier=identifier or card.identifier,
        activations_model=activations_model,
        layers=layers,
        behavioral_readout_layer=card.behavior_layer,
        region_layer_map=dict(layer_map),
        visual_degrees=card.visual_degrees,
    )
