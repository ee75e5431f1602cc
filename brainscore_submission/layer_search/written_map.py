"""The chosen layers as a layer map in Brain-Score's own format, and beside it where it came from.

layer_maps/<id>.json             {"V1": ..., "V2": ..., "V4": ..., "IT": ...}
layer_maps/origins/<id>.json     how and when, the behavioural layer, scores and ties
"""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..models.layer_maps import layer_map_names, layer_map_path, origin_path, search_of
from ..models.model import Model
from ..plugin.areas import AREAS
from ..plugin.errors import UserError, suggest
from ..plugin.files import write_whole
from ..plugin.layer_map import checked_layer_map, read_layer_map
from .table import summary

if TYPE_CHECKING:
    from .search import SearchResult

logger = logging.getLogger(__name__)

SEARCHED = "searched"


def named_layer_map(model: Model, name: str) -> dict[str, str]:
    """A layer map by name or file, with the card's behavioural layer where it has one.

    Raises
    ------
    UserError
        If there is no such map.
    """
    behavior = {"behavior": model.card.behavior_layer} if model.card.behavior_layer else {}
    return {**read_layer_map(_find(model, name)), **behavior}


def origin_note(model: Model, name: str) -> str | None:
    """A line on a layer map, by name or file, that a search has written: it is nobody else's; None for other maps."""
    path = _find(model, name)
    search = search_of(path)
    return f"The given layer map, {path}, was written by a layer search: {search}." if search else None


def _find(model: Model, name: str) -> Path:
    path = layer_map_path(model.card, name)
    if path is None:
        known = layer_map_names(model.card)
        raise UserError(f"model '{model.card.name}' has no layer map '{name}'.{suggest(name, known)}")
    return path


def require_whole_map(areas: Sequence[str], available: Sequence[str], source: str) -> None:
    """Refuse, before any work, to write a map that would lack an area.

    Parameters
    ----------
    areas : to search
    available : areas that could be searched
    source : what has those, for the message: "the recordings"
    """
    if not set(AREAS) <= set(available):
        layers = ",".join(f"{area}=<layer>" for area in available)
        raise UserError(
            f"--write makes a whole layer map, of {', '.join(AREAS)}, and {source} have only {', '.join(available)}. "
            f"Leave --write away, and give evaluate.py what is found: --layers {layers}."
        )
    missing = [area for area in AREAS if area not in areas]
    if missing:
        raise UserError(
            f"--write makes a whole layer map, and this search leaves out {', '.join(missing)}. "
            "Leave --areas away, or --write."
        )


def write_layer_map(result: SearchResult, folder: Path = Path("layer_maps")) -> tuple[Path, str]:
    """Write the chosen layers and their origin.

    A map that was not written by a search (the paper's) is never overwritten: beside it, the searched one gets the
    name "searched". Another one that a search wrote is set aside under the time of that search, and named.

    Returns
    -------
    path : of the map
    name : under which `--layer-map` finds it
    """
    require_whole_map(list(result.choices), list(result.choices), "the scores of this search")
    identifier = result.model.card.identifier
    name = "paper" if _is_free(result, folder) else SEARCHED
    path = folder / (f"{identifier}.json" if name == "paper" else f"{identifier}.{name}.json")
    layer_map = checked_layer_map({area: result.choices[area].layer for area in AREAS}, path.name)
    _set_aside(path, identifier, layer_map)
    _write_json(origin_path(path), {"layer_map": path.name, **_origin(result)})
    _write_json(path, layer_map)
    return path, name


def _set_aside(path: Path, identifier: str, layer_map: Mapping[str, str]) -> None:
    """Keep a searched map that names other layers, its origin with it."""
    search = search_of(path) if path.is_file() else None
    if search is None or read_layer_map(path) == dict(layer_map):
        return
    kept = f"{SEARCHED}_{datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC):%Y%m%d_%H%M%S}"
    aside = path.parent / f"{identifier}.{kept}.json"
    path.replace(aside)
    origin_path(path).replace(origin_path(aside))
    logger.warning("the layer map %s, %s, names other layers: kept, --layer-map %s opens it", path, search, kept)


def _is_free(result: SearchResult, folder: Path) -> bool:
    """Whether nobody but a search has written the model's own map."""
    given = layer_map_path(result.model.card, "paper")
    own = folder / f"{result.model.card.identifier}.json"
    if given is None and not own.exists():
        return True
    return own.exists() and origin_path(own).exists()


def _origin(result: SearchResult) -> dict:
    behavior = result.choices.get("behavior")
    return {
        "made_by": result.command,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "behavior_layer": behavior.layer if behavior else None,
        **summary(result),
    }


def _write_json(path: Path, value: dict) -> None:
    text = json.dumps(value, indent=4, ensure_ascii=False) + "\n"
    write_whole(path, text.encode())
