"""Layer maps: where they lie, what a search says of those it wrote, and the five layers a model is committed to."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..plugin.areas import AREAS, AREAS_AND_BEHAVIOR, BEHAVIOR
from ..plugin.card import Card
from ..plugin.errors import UserError, suggest
from ..plugin.layer_map import read_layer_map

PACKAGED_LAYER_MAPS = Path(__file__).parent.parent / "layer_maps"
DEFAULT_LAYER_MAP = "paper"


def committed_layers(
    card: Card,
    typed: str,
    layer_map: str = DEFAULT_LAYER_MAP,
    given: Mapping[str, str] | None = None,
    needed: Sequence[str] = AREAS_AND_BEHAVIOR,
    own: Mapping[str, str] | None = None,
    held_against: str = "",
    simulated: bool = True,
) -> tuple[dict[str, str], str]:
    """The layers a model is committed to: those of a map, the card's for behaviour, and those given over them.

    Parameters
    ----------
    card : of the model
    typed : what its user typed after --model, for messages
    layer_map : name of a map, or a JSON file
    given : area -> layer, over those of the map
    needed : areas that must have a layer; what is no area is passed over
    own : area -> layer, of a model that brings its commitment and needs no map
    held_against : options of the command line that say what the model is held against, for messages
    simulated : whether that is simulated; if not, a map that was searched on simulated recordings has to be asked for

    Returns
    -------
    layers : area -> layer
    name : what to call them

    Raises
    ------
    UserError
        For unknown areas and maps, areas needed that have no layer, and a map searched on simulated recordings alone.
    """
    given = dict(given or {})
    unknown = [area for area in given if area not in AREAS_AND_BEHAVIOR]
    if unknown:
        raise UserError(f"unknown area '{unknown[0]}' in --layers.{suggest(unknown[0], AREAS_AND_BEHAVIOR)}")
    mapped, name = _mapped(card, typed, layer_map, own)
    search = f"brainscore-submission search --model {shlex.quote(typed)} {held_against}".rstrip()
    if set(AREAS) <= set(needed):
        search += " --write"  # a written map is of all four
    by_name = not layer_map.endswith(".json")  # whoever names its file knows what it is
    if by_name and not simulated and "SIMULATED" in name and set(needed) & set(AREAS) - set(given):
        path = layer_map_path(card, layer_map)
        raise UserError(
            f"the layers of '{typed}' in {path} were {name}: they say nothing about brains.\n"
            f"Use them all the same: --layer-map {path}; or search on your data: {search}"
        )
    read_out = {BEHAVIOR: card.behavior_layer} if card.behavior_layer else {}
    layers = read_out | mapped | given
    lacking = [area for area in needed if area in AREAS_AND_BEHAVIOR and area not in layers]
    if lacking and not mapped:
        raise UserError(
            f"model '{typed}' has no layer map. Give one, --layers {','.join(f'{area}=…' for area in lacking)}, "
            f"or search one: {search}; `search … --list-layers` names them."
        )
    if lacking:
        raise UserError(f"model '{typed}' has no layer for behavior. Give one: --layers …,behavior=<layer>.")
    neural = [area for area in given if area in AREAS]
    if neural and (not mapped or set(needed) & set(AREAS) <= set(neural)):
        return layers, "given"
    return layers, f"{name} with {', '.join(neural)} given" if neural else name


def _mapped(card: Card, typed: str, layer_map: str, own: Mapping[str, str] | None) -> tuple[dict[str, str], str]:
    """Area -> layer of a map and what to call it; nothing for a model without the default map."""
    if own and layer_map == DEFAULT_LAYER_MAP:
        return dict(own), "the model's own"
    path = layer_map_path(card, layer_map)
    if path is not None:
        return read_layer_map(path), search_of(path) or layer_map
    if layer_map == DEFAULT_LAYER_MAP:
        return {}, "none"
    raise UserError(f"model '{typed}' has no layer map '{layer_map}'.{suggest(layer_map, layer_map_names(card))}")


def layers_beside(card: Path) -> dict[str, str]:
    """Area -> layer of the map that lies beside a card under its name: ``my.json`` beside ``my.toml``; or nothing."""
    path = card.with_suffix(".json")
    return read_layer_map(path) if path.is_file() else {}


def layer_map_path(card: Card, name: str) -> Path | None:
    """Where a layer map lies: a JSON file itself, or by its name among the maps of a card, or None.

    ``layer_maps/`` of the current folder comes before the maps that ship: that is where a layer search writes.
    """
    if name.endswith(".json"):
        return Path(name)
    file = f"{card.identifier}.json" if name == DEFAULT_LAYER_MAP else f"{card.identifier}.{name}.json"
    return next((folder / file for folder in _folders() if (folder / file).is_file()), None)


def layer_map_names(card: Card) -> list[str]:
    """Names of a card's layer maps."""
    files = {path.name for folder in _folders() for path in folder.glob(f"{card.identifier}.*json")}
    names = (name.removeprefix(card.identifier).removesuffix("json").strip(".") for name in sorted(files))
    return [name or DEFAULT_LAYER_MAP for name in names]


def search_of(path: Path) -> str | None:
    """Which layer search wrote a layer map, from the record beside it; None if none did.

    Returns
    -------
    str, for example "searched on demo 2026-11-21 (UNTRAINED, SIMULATED)"
    """
    origin = origin_path(path)
    if not origin.is_file():
        return None
    try:
        facts = json.loads(origin.read_text(encoding="utf-8"))
        chosen = {area: facts["choices"][area]["layer"] for area in AREAS}
        # Version 0.1.0 wrote a flag for each mark.
        marks = facts.get("marks") or [mark.upper() for mark in ("untrained", "simulated") if facts.get(mark)]
        name = f"searched on {facts['suite']} {facts['created'][:10]}"
    except (ValueError, LookupError, TypeError):
        return f"searched ({origin} cannot be read)"
    name += f" ({', '.join(marks)})" if marks else ""
    return name if chosen == read_layer_map(path) else f"{name}, then changed by hand"


def searched_with_others(path: Path, weights: Mapping[str, Any]) -> str:
    """What to add to the name of a searched map for a model with other weights than it was searched with, if it has.

    Parameters
    ----------
    path : of the map
    weights : origin of the model's weights

    Returns
    -------
    str, for example " with other weights (resnet-3f1c9a07)"; empty for the same weights, and where nothing is known
    """
    try:
        facts = json.loads(origin_path(path).read_text(encoding="utf-8"))
        theirs, whose = facts["weights"], facts["model"]
        same = all(theirs.get(key) == weights.get(key) for key in ("sha256", "seed", "ema"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    return "" if same else f" with other weights ({whose})"


def origin_path(path: Path) -> Path:
    """Where a layer search leaves the record of a layer map that it wrote."""
    return path.parent / "origins" / path.name


def _folders() -> list[Path]:
    # An installed wheel carries the maps inside the package; a checkout has them beside it.
    beside = Path(__file__).parent.parent.parent / "layer_maps"
    return [Path("layer_maps"), PACKAGED_LAYER_MAPS if PACKAGED_LAYER_MAPS.is_dir() else beside]
