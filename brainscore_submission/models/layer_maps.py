"""Find, read, name and explain a layer map."""

from __future__ import annotations

import json
from pathlib import Path

from ..plugin.areas import AREAS
from ..plugin.card import Card
from ..plugin.layer_map import read_layer_map

PACKAGED_LAYER_MAPS = Path(__file__).parent.parent / "layer_maps"


DEFAULT_LAYER_MAP = "paper"


def layer_map_path(card: Card, name: str) -> Path | None:
    """Where a named layer map of a card lies, or None.

    ``layer_maps/`` of the current folder comes before the maps that ship: that is where a layer search writes.
    """
    file = f"{card.identifier}.json" if name == DEFAULT_LAYER_MAP else f"{card.identifier}.{name}.json"
    return next((folder / file for folder in _layer_map_folders() if (folder / file).is_file()), None)


def layer_map_names(card: Card) -> list[str]:
    """Names of a card's layer maps."""
    files = {path.name for folder in _layer_map_folders() for path in folder.glob(f"{card.identifier}.*json")}
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
        marks = [mark for mark in ("untrained", "simulated") if facts[mark]]
        name = f"searched on {facts['suite']} {facts['created'][:10]}"
    except (ValueError, LookupError, TypeError):
        return f"searched ({origin} cannot be read)"
    name += f" ({', '.join(marks).upper()})" if marks else ""
    return name if chosen == read_layer_map(path) else f"{name}, then changed by hand"


def origin_path(path: Path) -> Path:
    """Where a layer search leaves the record of a layer map that it wrote."""
    return path.parent / "origins" / path.name


def _layer_map_folders() -> list[Path]:
    # An installed wheel carries the maps inside the package; a checkout has them beside it.
    beside = Path(__file__).parent.parent.parent / "layer_maps"
    return [Path("layer_maps"), PACKAGED_LAYER_MAPS if PACKAGED_LAYER_MAPS.is_dir() else beside]
