"""Card + layer map -> Brain-Score model: areas, behaviour and field of view, all passed explicitly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

from .card import Card
from .errors import UserError

AREAS = ("V1", "V2", "V4", "IT")


def read_layer_map(path: str | Path) -> dict[str, str]:
    """Read a layer map in Brain-Score's own format: ``{"V1": "<layer>", "V2": ..., "V4": ..., "IT": ...}``.

    Raises
    ------
    UserError
        If the file is no JSON object, or does not commit exactly the four areas to one layer each.
    """
    path = Path(path)
    try:
        layer_map = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read layer map {path}: {error.strerror}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name}: not a JSON file: {error}.") from error
    return checked_layer_map(layer_map, path.name)


def checked_layer_map(layer_map: Any, where: str) -> dict[str, str]:
    """The layer map itself if it commits V1, V2, V4 and IT to one layer each, else a UserError."""
    if not isinstance(layer_map, dict):
        raise UserError(f"{where}: a layer map is one object, area -> layer, not a {type(layer_map).__name__}.")
    missing = [area for area in AREAS if area not in layer_map]
    unknown = [area for area in layer_map if area not in AREAS]
    if missing or unknown:
        problem = f"no layer for {', '.join(missing)}" if missing else f"unknown area {', '.join(map(repr, unknown))}"
        raise UserError(f"{where}: {problem}. A layer map holds exactly {', '.join(AREAS)}.")
    wrong = [area for area, layer in layer_map.items() if not isinstance(layer, str) or not layer]
    if wrong:
        raise UserError(f"{where}: the layer of {wrong[0]} must be a module name, not {layer_map[wrong[0]]!r}.")
    return layer_map


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
