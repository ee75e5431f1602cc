"""Layers -> Brain-Score model: areas, behaviour and field of view, all passed explicitly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from brainscore_vision.model_interface import BrainModel

from .areas import BEHAVIOR
from .errors import UserError


def commit(
    layers: Mapping[str, str], activations_model: Any, identifier: str, *, visual_degrees: float
) -> ModelCommitment:
    """Commit an activations model to brain areas, behaviour and a field of view.

    Nothing is left for Brain-Score to look up or search: without a map it would search layers silently, and
    without a readout layer it would take the last one listed.

    Parameters
    ----------
    layers : area -> layer, behaviour among them; without it the model does no task that needs a readout
    activations_model : what Brain-Score calls with stimuli and layers
    identifier : under which the model is registered
    visual_degrees : width of the field of view the input spans
    """
    model = ModelCommitment(
        identifier=identifier,
        activations_model=activations_model,
        layers=list(dict.fromkeys(layers.values())),
        behavioral_readout_layer=layers.get(BEHAVIOR),
        region_layer_map={area: layer for area, layer in layers.items() if area != BEHAVIOR},
        visual_degrees=visual_degrees,
    )
    if BEHAVIOR not in layers:
        for task in (BrainModel.Task.probabilities, BrainModel.Task.odd_one_out):
            model.behavior_model.mapping[task] = _NoReadout(identifier)
    return model


class _NoReadout:
    """Stands for the behaviour of a model that has no layer for it."""

    def __init__(self, identifier: str):
        self._identifier = identifier

    def start_task(self, task: str, *_: object, **__: object) -> None:
        """Refuse, and say how to give a layer."""
        raise UserError(
            f"model '{self._identifier}' has no layer for behaviour, which the task '{task}' reads. "
            "Give one: --layers …,behavior=<layer>."
        )
