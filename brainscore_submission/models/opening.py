"""From what a user types to a network with committed layers: card, layer map, weights, device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch

from ..engine.recorder import require_precision
from ..plugin.areas import AREAS, AREAS_AND_BEHAVIOR
from ..plugin.card import PREPROCESSINGS, Card, Weights, all_cards, find_card
from ..plugin.checkpoint import Loaded, load_network
from ..plugin.errors import UserError, suggest
from ..plugin.fetching import cache_folder
from ..plugin.hooks import module_of
from ..plugin.layer_map import read_layer_map
from ..plugin.timm_card import timm_card
from .layer_maps import DEFAULT_LAYER_MAP, layer_map_names, layer_map_path, search_of
from .model import Model

TIMM_PREFIX = "timm:"
GROUND_TRUTH = "demo:ground_truth"


def open_model(
    name: str,
    *,
    weights: str | Path | None = None,
    layer_map: str = DEFAULT_LAYER_MAP,
    layers: Mapping[str, str] | None = None,
    preprocessing: str | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = "float32",
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    areas: Sequence[str] = AREAS_AND_BEHAVIOR,
) -> Model:
    """Open a model by the name a user typed.

    Parameters
    ----------
    name : card identifier, competition number, or "timm:<architecture>"
    weights : a file, "untrained", or None for the card's sources
    layer_map : "paper", another named map of the card, or a JSON file
    layers : area -> layer; overrides the layer map, "behavior" overrides the card
    preprocessing : "crop224" or "squash224"; default the card's
    device : "auto", "cpu" or "cuda[:i]"
    precision : one of `recording.PRECISIONS`
    areas : those that will be scored, and so need a layer; none for a layer search, which has no map yet

    Raises
    ------
    UserError
        For whatever of this does not exist, before any weights are fetched.
    """
    device = find_device(device)
    require_precision(precision)
    card = _with_preprocessing(describe(name), preprocessing)
    card, committed_areas, map_name = _committed(card, layer_map, layers or {}, areas)
    loaded = _load(card, weights, cache, progress)
    for layer in {*committed_areas.values(), card.behavior_layer} - {None}:
        module_of(loaded.network, layer)  # an unknown layer is found now, not after the recording
    return Model(
        card=card,
        network=loaded.network,
        origin=loaded.origin,
        layer_map=committed_areas,
        layer_map_name=map_name,
        device=device,
        batch_size=batch_size or (64 if device.startswith("cuda") else 8),
        precision=precision,
    )


def describe(name: str) -> Card:
    """The card of a name, without its weights."""
    if name == GROUND_TRUTH:
        return ground_truth_card()
    if str(name).startswith(TIMM_PREFIX):
        return timm_card(str(name).removeprefix(TIMM_PREFIX))
    try:
        return find_card(name)
    except UserError as error:
        if timm.is_model(str(name)):
            raise UserError(f"'{name}' is a model of timm: --model {TIMM_PREFIX}{name}") from error
        raise


def committed(
    name: str, layer_map: str = DEFAULT_LAYER_MAP, layers: Mapping[str, str] | None = None
) -> tuple[Card, dict[str, str]]:
    """The card and the layers of a name, without its weights; `layers` as in `open_model`."""
    card, areas, _ = _committed(describe(name), layer_map, layers or {}, AREAS_AND_BEHAVIOR)
    return card, areas


def find_device(device: str) -> str:
    """Resolve "auto", and check that the device is there.

    Raises
    ------
    UserError
        For an unknown or absent device.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if device.startswith("cuda") and available == ["cpu"]:
        raise UserError(f"unknown device '{device}': torch finds no CUDA device here. Use --device cpu.")
    if device not in available and not (device == "cuda" and len(available) > 1):
        raise UserError(f"unknown device '{device}'.{suggest(device, ['auto', *available])}")
    return device


def models() -> list[Card]:
    """The cards that ship."""
    return all_cards()


def ground_truth_card() -> Card:
    """The network that the demo suite's SIMULATED neurons respond with: the calibration of suite and search."""
    from ..demo import ground_truth

    return Card(
        identifier="demo_ground_truth",
        architecture=GROUND_TRUTH,
        weights=Weights(file="none"),
        preprocessing=ground_truth.PREPROCESSING,
        title=GROUND_TRUTH,
        training="built by hand",
        num_classes=len(ground_truth.objects.OBJECTS),
        visual_degrees=ground_truth.VISUAL_DEGREES,
        behavior_layer=ground_truth.BEHAVIOR_LAYER,
    )


def _load(card: Card, weights: str | Path | None, cache: Path | None, progress: Any) -> Loaded:
    if card.architecture != GROUND_TRUTH:
        return load_network(card, weights, cache=cache, progress=progress)
    from ..demo.ground_truth import GroundTruthNetwork

    source = "brainscore_submission.demo, no weights"
    return Loaded(GroundTruthNetwork().eval(), {"source": source, "untrained": False})


def _with_preprocessing(card: Card, name: str | None) -> Card:
    if name is None:
        return card
    if name not in PREPROCESSINGS:
        raise UserError(f"unknown preprocessing '{name}'.{suggest(name, PREPROCESSINGS)}")
    return dataclasses.replace(card, preprocessing=PREPROCESSINGS[name])


def _committed(
    card: Card, layer_map: str, layers: Mapping[str, str], needed: Sequence[str]
) -> tuple[Card, dict[str, str], str]:
    """The card with its behaviour layer, area -> layer, and the name of that map."""
    unknown = [area for area in layers if area not in AREAS_AND_BEHAVIOR]
    if unknown:
        raise UserError(f"unknown area '{unknown[0]}' in --layers.{suggest(unknown[0], AREAS_AND_BEHAVIOR)}")
    if "behavior" in layers:
        card = dataclasses.replace(card, behavior_layer=layers["behavior"])
    given = {area: layer for area, layer in layers.items() if area in AREAS}
    named, name = _named_map(card, layer_map)
    areas = {**named, **given}
    known = areas | ({"behavior": card.behavior_layer} if card.behavior_layer else {})
    lacking = [area for area in AREAS_AND_BEHAVIOR if area in needed and area not in known]
    if lacking and not named:
        raise UserError(_no_layer_map(card, lacking))
    if lacking:
        raise UserError(f"model '{_typed(card)}' has no layer for behavior. Give one: --layers …,behavior=<layer>.")
    if given and set(needed) & set(AREAS) <= set(given):
        return card, given, "given"
    if not named:
        return card, given, "given" if layers else "none"
    return card, areas, f"{name} with {', '.join(given)} given" if given else name


def _named_map(card: Card, layer_map: str) -> tuple[dict[str, str], str]:
    """Area -> layer of a map and what to call it; nothing for a model without the default map."""
    if card.architecture == GROUND_TRUTH and layer_map == DEFAULT_LAYER_MAP:
        return dict(zip(AREAS, AREAS, strict=True)), "ground truth"  # its layers bear the areas' names
    path = Path(layer_map) if layer_map.endswith(".json") else layer_map_path(card, layer_map)
    if path is not None:
        return read_layer_map(path), search_of(path) or layer_map
    if layer_map == DEFAULT_LAYER_MAP:
        return {}, layer_map
    raise UserError(
        f"model '{_typed(card)}' has no layer map '{layer_map}'.{suggest(layer_map, layer_map_names(card))}"
    )


def _no_layer_map(card: Card, lacking: Sequence[str]) -> str:
    return (
        f"model '{_typed(card)}' has no layer map. Give one, --layers {','.join(f'{area}=…' for area in lacking)}, "
        f"or search one: python -m analysis.layer_search --model {_typed(card)} --suite demo --write"
    )


def _typed(card: Card) -> str:
    """What to type after --model: a timm card's title is its name with the prefix."""
    return card.title if card.title.startswith(TIMM_PREFIX) else card.name


def default_cache() -> Path:
    """The user's cache folder, or the one BRAINSCORE_SUBMISSION_CACHE names."""
    return cache_folder()
