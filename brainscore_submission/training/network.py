"""What a recipe starts from: a card, its network with its weights; and the network with its normalisation inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import Tensor, nn

from ..models.opening import describe, opener_of
from ..plugin.card import Card, Preprocessing
from ..plugin.checkpoint import seeded
from ..plugin.errors import UserError
from ..words import few
from .recipes import Recipe

PRETRAINED = "pretrained"


class Normalised(nn.Module):
    """Pixels in [0, 1] -> logits of shape (n, classes): a card's normalisation, then the network."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, dtype: torch.dtype):
        super().__init__()
        self.network = network
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preprocessing, name), dtype=dtype)[:, None, None]
            self.register_buffer(name, values, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels of shape (n, 3, px, px)."""
        return self.network((pixels.to(self.mean.dtype) - self.mean) / self.std)


@dataclasses.dataclass(frozen=True)
class Opened:
    """A network that can be trained.

    Parameters
    ----------
    card : of it, with the recipe's classes and size
    network : in train mode, on the CPU
    origin : of its weights, as records keep it
    notes : what a reader should know
    """

    card: Card
    network: nn.Module
    origin: dict[str, Any]
    notes: tuple[str, ...] = ()


def open_network(recipe: Recipe, progress: Callable[[int, int | None], None] | None = None) -> Opened:
    """Open what a recipe starts from.

    Raises
    ------
    UserError
        whatever of it does not exist; classes or dropped paths of a network that is not timm's
    """
    start = recipe.model
    card, (opener, _) = describe(start.name), opener_of(start.name)
    weights = {PRETRAINED: None, "untrained": f"untrained:{recipe.seed}"}.get(start.weights, start.weights)
    loaded = opener.load(card, weights, progress=progress)
    network, notes = loaded.network, [loaded.origin["note"]] if loaded.origin.get("note") else []
    if loaded.num_classes is not None:
        card = dataclasses.replace(card, num_classes=loaded.num_classes)
    if start.num_classes:
        card = dataclasses.replace(card, num_classes=start.num_classes)
    if start.input_px:
        facts = {"name": f"square{start.input_px}", "resize_px": start.input_px, "crop_px": None, "keep_aspect": False}
        card = dataclasses.replace(card, preprocessing=dataclasses.replace(card.preprocessing, **facts))
    if start.num_classes or start.drop_path:
        network, fresh = _rebuilt(card, network, recipe)
        notes += [f"random to begin with: {few(fresh)}"] if fresh else []
    if not card.num_classes:
        raise UserError(f"{start.name} has no class output to train. Say num_classes under [model].")
    return Opened(card, network.train(), loaded.origin, tuple(notes))


def _rebuilt(card: Card, network: nn.Module, recipe: Recipe) -> tuple[nn.Module, list[str]]:
    """The network with the recipe's classes and dropped paths, and the names of tensors that stay random."""
    if not timm.is_model(card.architecture):
        raise UserError(f"num_classes and drop_path are for networks of timm; {recipe.model.name} is none.")
    options = {"drop_path_rate": recipe.model.drop_path} if recipe.model.drop_path else {}
    try:
        with seeded(recipe.seed):
            rebuilt = timm.create_model(card.architecture, num_classes=card.num_classes, **options)
    except TypeError as error:
        raise UserError(f"{recipe.model.name} takes no drop_path. Leave it out of [model].") from error
    known, wanted = network.state_dict(), rebuilt.state_dict()
    fresh = [name for name, tensor in wanted.items() if name not in known or known[name].shape != tensor.shape]
    rebuilt.load_state_dict({name: tensor if name in fresh else known[name] for name, tensor in wanted.items()})
    return rebuilt, fresh
