"""A network with a name and committed layers: what every measure is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from ..engine.budget import Budget
from ..engine.decoding import read_once
from ..engine.recorder import Recorder
from ..plugin.card import Card
from ..plugin.fingerprint import cache_identifier, model_fingerprint
from ..plugin.preprocessing import Reading, normalise, unit_range

if TYPE_CHECKING:
    from ..plugin.activations import ActivationsModel


class Perturbation(Protocol):
    """What is done to an image file's pixels before a network sees them, depending on that file alone."""

    facts: Mapping[str, Any]
    """All that it depends on, JSON-able: part of the model's fingerprint, and of records."""

    def __call__(self, pixels: torch.Tensor, path: Path) -> torch.Tensor:
        """Pixels of shape (3, height, width), uint8, resized and cropped, of the file -> the same, perturbed."""


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
    device : "cpu", "cuda[:i]" or "mps"
    batch_size : images in a forward pass
    precision : of the forward pass
    perturbation : of every image, or None
    weights_file : that the weights were read from, None where there is none
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
    perturbation: Perturbation | None = None
    weights_file: Path | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of all that determines an activation besides layer and image."""
        intact = model_fingerprint(self.card, self.origin)
        if self.perturbation is None:
            return intact
        facts = json.dumps([intact, dict(self.perturbation.facts)], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()

    @property
    def cache_identifier(self) -> str:
        """Identifier that carries the fingerprint."""
        if self.perturbation is None:
            return cache_identifier(self.card, self.origin)
        return f"{self.card.identifier}--{self.fingerprint[:16]}"

    @property
    def marks(self) -> tuple[str, ...]:
        """What everything shown of it must say: UNTRAINED, where the weights are random."""
        return ("UNTRAINED",) if self.origin.get("untrained") else ()

    @property
    def reading(self) -> Reading:
        """Of an image file's pixels, before anything perturbs them."""
        return Reading.of(self.card.preprocessing)

    def read_image(self, path: Path) -> torch.Tensor:
        """Pixels of one image file, resized, cropped and perturbed: Tensor of shape (3, height, width), uint8."""
        pixels = read_once(self.reading, path)
        return pixels if self.perturbation is None else self.perturbation(pixels, Path(path))

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
            self.reading if self.perturbation is None else self.read_image,
            self.fingerprint,
            prepare=self.prepare,
            device=self.device,
            batch_size=self.batch_size,
            budget=budget,
            cache=cache,
            precision=self.precision,
            progress=progress,
            fresh=fresh,
            apart=self.perturbation is None,  # a perturbation may look at images with a network
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
            load_image=self.load_image,
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
