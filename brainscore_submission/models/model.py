"""A network with five committed layers: what every measure is made of."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..engine.budget import Budget
from ..engine.recorder import Recorder
from ..plugin.card import Card
from ..plugin.fingerprint import cache_identifier, model_fingerprint
from ..plugin.preprocessing import load_pixels, normalise
from .layer_maps import DEFAULT_LAYER_MAP

if TYPE_CHECKING:
    from ..plugin.activations import ActivationsModel

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
        from ..plugin.activations import ActivationsModel  # Brain-Score waits: naming and showing a network needs none

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
        from ..plugin.commitment import commit

        # Without a layer for behaviour Brain-Score would take the last one listed: a name that no network has instead.
        card = dataclasses.replace(self.card, behavior_layer=self.card.behavior_layer or NO_BEHAVIOR)
        facts = [sorted(self.layer_map.items()), card.behavior_layer, card.visual_degrees, self.precision]
        identifier = f"{self.cache_identifier}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}"
        return commit(card, self.layer_map, activations_model or self.activations_model(), identifier)
