"""A card for any image classifier of torchvision, made from what torchvision knows of it: `torchvision:resnet50`."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import torchvision

from ..plugin.card import Card, Preprocessing, Source, Weights
from ..plugin.checkpoint import TORCHVISION, Loaded, load_network, torchvision_models
from ..plugin.errors import UserError, suggest
from ..plugin.fetching import Progress
from ..plugin.timm_card import identifier_of


def torchvision_card(name: str) -> Card:
    """Describe a torchvision model as a card, without building it.

    Parameters
    ----------
    name : torchvision's name with or without that of its weights: "resnet50" or "resnet50.IMAGENET1K_V1"

    Raises
    ------
    UserError
        torchvision knows no such classifier or weights
    """
    architecture, _, tag = name.partition(".")
    if architecture not in torchvision_models():
        raise UserError(f"torchvision knows no model {architecture!r}.{suggest(architecture, torchvision_models())}")
    known = torchvision.models.get_model_weights(architecture)
    if tag and tag not in known.__members__:
        raise UserError(f"torchvision knows no weights {tag!r} of {architecture}.{suggest(tag, known.__members__)}")
    weights = known[tag] if tag else known.DEFAULT
    images = weights.transforms()
    full_name = f"{architecture}.{weights.name}"
    return Card(
        identifier=identifier_of(f"{TORCHVISION}:{full_name}"),
        architecture=f"{TORCHVISION}:{architecture}",
        weights=Weights(PurePosixPath(weights.url).name, layout="bare", sources=(Source("url", url=weights.url),)),
        preprocessing=Preprocessing(
            name=f"{TORCHVISION}:{full_name}",
            resize_px=images.resize_size[0],
            crop_px=images.crop_size[0],
            interpolation=images.interpolation.value,
            mean=tuple(images.mean),
            std=tuple(images.std),
            keep_aspect=True,
        ),
        title=f"{TORCHVISION}:{full_name}",
        training="torchvision's pretrained weights",
        num_classes=len(weights.meta["categories"]),
        top1=weights.meta["_metrics"]["ImageNet-1K"]["acc@1"],
    )


def load_torchvision(
    card: Card, weights: str | Path | None = None, ema: bool = True, progress: Progress | None = None
) -> Loaded:
    """As `checkpoint.load_network`; the file's name ends in the first digits of its sha256, which are compared.

    Raises
    ------
    UserError
    """
    loaded = load_network(card, weights, ema=ema, progress=progress)
    stated = re.search(r"-([0-9a-f]{8,})\.pth$", card.weights.file)
    if weights is None and stated and not loaded.origin["sha256"].startswith(stated[1]):
        raise UserError(
            f"{card.weights.file}: its sha256 begins {loaded.origin['sha256'][:8]}, not {stated[1]} as its name says. "
            "Remove it from the cache, and fetch it again."
        )
    return loaded
