"""A hash of all that determines an activation besides layer and image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib import metadata

from .card import Card

NETWORK_CODE = ("timm", "torch", "torchvision", "pillow")
"""Packages whose code turns an image into activations: other versions may give other numbers."""


def model_fingerprint(card: Card, origin: Mapping[str, object]) -> str:
    """Hash of everything that determines an activation besides layer and image.

    That is the card, the weights' bytes, and the versions of the code of networks and images.

    Parameters
    ----------
    card : Card
    origin : of the weights, as `checkpoint.load_network` tells it ("sha256"; "seed" of an untrained network; "ema"
        where moving averages were not wanted)
    """
    weights = [origin.get("sha256") or origin.get("sha1"), origin.get("seed"), origin.get("ema")]
    facts = [card.fingerprint(), *weights, versions_of(NETWORK_CODE)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def cache_identifier(card: Card, origin: Mapping[str, object]) -> str:
    """The card's identifier with the fingerprint: two models of one name never share a cached activation."""
    return f"{card.identifier}--{model_fingerprint(card, origin)[:16]}"


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Package -> version, of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
