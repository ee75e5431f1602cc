"""A network with a name and committed layers: what every measure is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..engine.budget import Budget
from ..engine.recorder import Recorder
from ..plugin.card import Card
from ..plugin.fingerprint import cache_identifier, model_fingerprint
from ..plugin.preprocessing import normalise, read_pixels, unit_range

if TYPE_CHECKING:
    from ..plugin.activations import ActivationsModel


@dataclass(frozen=True)
class Model:
    """A network with its card, its committed layers and where its weights came from.

    Parameters
    ----------
    name : what a user calls it, and so what records and tables call it
    card : Card
    network : nn.Module
    origin : of the weights, JSON-able
    layers : area of `AREAS_AND_BEHAVIOR` -> layer; an area without one cannot be scored
    layer_map : what to call these layers: "paper", another map's name, "given", "searched on <suite> <day>"
    device : "cpu" or "cuda[:i]"
    batch_size : images in a forward pass
    precision : of the forward pass
    """

    name: str
    card: Card
    network: nn.Module
    origin: Mapping[str, Any]
    layers: Mapping[str, str]
    layer_map: str = "given"
    device: str = "cpu"
    batch_size: int = 8
    precision: str = "float32"

    @property
    def fingerprint(self) -> str:
        """Hash of all that determines an activation besides layer and image."""
        return model_fingerprint(self.card, self.origin)

    @property
    def cache_identifier(self) -> str:
        """Identifier that carries the fingerprint."""
        return cache_identifier(self.card, self.origin)

    @property
    def marks(self) -> tuple[str, ...]:
        """What everything shown of it must say: UNTRAINED, where the weights are random."""
        return ("UNTRAINED",) if self.origin.get("untrained") else ()

    def read_image(self, path: Path) -> torch.Tensor:
        """Pixels of one image file, resized and cropped: Tensor of shape (3, height, width), uint8."""
        return read_pixels(path, self.card.preprocessing)

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        """Network input, on the device of the pixels: Tensor of their shape (..., 3, height, width), float32."""
        return normalise(unit_range(pixels), self.card.preprocessing)

    def load_image(self, path: Path) -> torch.Tensor:
        """Network input for one image file: Tensor of shape (3, height, width)."""
        return self.prepare(self.read_image(path))

    def recorder(
        self,
        cache: Path | None,
        budget: Budget | None = None,
        progress: Callable[[int, int], None] | None = None,
        *,
        fresh: bool = False,
    ) -> Recorder:
        """A recorder of this network; a fresh one records anew what the cache holds."""
        return Recorder(
            self.network,
            self.read_image,
            self.fingerprint,
            prepare=self.prepare,
            device=self.device,
            batch_size=self.batch_size,
            budget=budget,
            cache=cache,
            precision=self.precision,
            progress=progress,
            fresh=fresh,
        )

    def activations_model(self) -> ActivationsModel:
        """Brain-Score's kind of activations model, for its own code."""
        from ..plugin.activations import ActivationsModel  # opening a network needs no Brain-Score

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

        facts = [sorted(self.layers.items()), self.card.visual_degrees, self.precision]
        identifier = f"{self.cache_identifier}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}"
        return commit(
            self.layers,
            activations_model or self.activations_model(),
            identifier,
            visual_degrees=self.card.visual_degrees,
        )
