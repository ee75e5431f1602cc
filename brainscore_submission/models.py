"""From what a user types to a network with committed layers: card, layer map, weights, device."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from .plugin.activations import ActivationsModel, cache_identifier, model_fingerprint
from .plugin.card import PREPROCESSINGS, Card, Weights, all_cards, find_card
from .plugin.checkpoint import Loaded, load_network
from .plugin.commitment import AREAS, commit, read_layer_map
from .plugin.errors import UserError, suggest
from .plugin.fetching import cache_folder
from .plugin.hooks import module_of
from .plugin.preprocessing import load_pixels, normalise
from .plugin.timm_card import timm_card
from .recording import Recorder, require_precision
from .requests import Budget

PACKAGED_LAYER_MAPS = Path(__file__).parent / "layer_maps"
DEFAULT_LAYER_MAP = "paper"
TIMM_PREFIX = "timm:"
GROUND_TRUTH = "demo:ground_truth"
NO_BEHAVIOR = "none given for behavior"


@dataclass(frozen=True)
class Model:
    """A network with its card, its layer map and where its weights came from.

    Parameters
    ----------
    card : Card
    network : nn.Module
    origin : of the weights, JSON-able
    layer_map : area -> layer, behaviour apart (that layer is on the card)
    layer_map_name : "paper", another name, the file it came from, or "searched on <suite> <day>"
    device : "cpu" or "cuda[:i]"
    batch_size : images in a forward pass
    precision : of the forward pass
    load : callable, image file -> network input; default by the card's preprocessing
    """

    card: Card
    network: nn.Module
    origin: Mapping[str, Any]
    layer_map: Mapping[str, str]
    layer_map_name: str = DEFAULT_LAYER_MAP
    device: str = "cpu"
    batch_size: int = 8
    precision: str = "float32"
    load: Callable | None = field(default=None, compare=False)

    @property
    def fingerprint(self) -> str:
        """Hash of all that determines an activation besides layer and image."""
        return model_fingerprint(self.card, self.origin)

    @property
    def cache_identifier(self) -> str:
        """Identifier that carries the fingerprint."""
        return cache_identifier(self.card, self.origin)

    def layer_of(self, area: str) -> str | None:
        """Layer committed to an area or to behaviour."""
        return self.card.behavior_layer if area == "behavior" else self.layer_map.get(area)

    def load_image(self, path: Path) -> torch.Tensor:
        """Network input for one image file: Tensor of shape (3, height, width)."""
        if self.load is not None:
            return self.load(path)
        return normalise(load_pixels(path, self.card.preprocessing), self.card.preprocessing)

    def recorder(self, cache: Path | None, budget: Budget | None = None, progress=None) -> Recorder:
        """A recorder of this network."""
        return Recorder(
            self.network,
            self.load_image,
            self.fingerprint,
            device=self.device,
            batch_size=self.batch_size,
            budget=budget,
            cache=cache,
            precision=self.precision,
            progress=progress,
        )

    def activations_model(self) -> ActivationsModel:
        """Brain-Score's kind of activations model, for its own code."""
        return ActivationsModel(
            self.network,
            self.card.preprocessing,
            self.cache_identifier,
            device=self.device,
            batch_size=self.batch_size,
        )

    def commit(self, activations_model: Any = None) -> Any:
        """Brain-Score model over an activations model, by default the network's own.

        Some benchmarks (Marques2020) keep on disk what they compute of a model, by its identifier alone: so it changes
        with everything that their numbers depend on.
        """
        # Without a layer for behaviour Brain-Score would take the last one listed: a name that no network has instead.
        card = dataclasses.replace(self.card, behavior_layer=self.card.behavior_layer or NO_BEHAVIOR)
        facts = [sorted(self.layer_map.items()), card.behavior_layer, card.visual_degrees, self.precision]
        identifier = f"{self.cache_identifier}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}"
        return commit(card, self.layer_map, activations_model or self.activations_model(), identifier)


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
    areas: Sequence[str] = (*AREAS, "behavior"),
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
    card, areas, _ = _committed(describe(name), layer_map, layers or {}, (*AREAS, "behavior"))
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


def models() -> list[Card]:
    """The cards that ship."""
    return all_cards()


def _layer_map_folders() -> list[Path]:
    # An installed wheel carries the maps inside the package; a checkout has them beside it.
    beside = Path(__file__).parent.parent / "layer_maps"
    return [Path("layer_maps"), PACKAGED_LAYER_MAPS if PACKAGED_LAYER_MAPS.is_dir() else beside]


def ground_truth_card() -> Card:
    """The network that the demo suite's SIMULATED neurons respond with: the calibration of suite and search."""
    from .demo import ground_truth

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
    from .demo.ground_truth import GroundTruthNetwork

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
    unknown = [area for area in layers if area not in (*AREAS, "behavior")]
    if unknown:
        raise UserError(f"unknown area '{unknown[0]}' in --layers.{suggest(unknown[0], [*AREAS, 'behavior'])}")
    if "behavior" in layers:
        card = dataclasses.replace(card, behavior_layer=layers["behavior"])
    given = {area: layer for area, layer in layers.items() if area in AREAS}
    named, name = _named_map(card, layer_map)
    areas = {**named, **given}
    known = areas | ({"behavior": card.behavior_layer} if card.behavior_layer else {})
    lacking = [area for area in (*AREAS, "behavior") if area in needed and area not in known]
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
