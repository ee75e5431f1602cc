"""Layer maps in Brain-Score's own format: which layer stands for which area."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .areas import AREAS
from .errors import UserError
from .files import read_json


def read_layer_map(path: str | Path) -> dict[str, str]:
    """Read a layer map in Brain-Score's own format: ``{"V1": "<layer>", "V2": ..., "V4": ..., "IT": ...}``.

    Raises
    ------
    UserError
        If the file is no JSON object, or does not commit exactly the four areas to one layer each.
    """
    path = Path(path)
    return checked_layer_map(read_json(path, "layer map"), path.name)


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
