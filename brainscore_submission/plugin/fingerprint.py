"""A hash of all that determines an activation besides layer and image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from .card import Card


def model_fingerprint(card: Card, origin: Mapping[str, object]) -> str:
    """Hash of everything that determines an activation besides layer and image: the card and the weights' bytes.

    Parameters
    ----------
    card : Card
    origin : of the weights, as `checkpoint.load_network` tells it ("sha256", or "seed" of an untrained network)
    """
    facts = [card.fingerprint(), origin.get("sha256") or origin.get("sha1"), origin.get("seed")]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def cache_identifier(card: Card, origin: Mapping[str, object]) -> str:
    """The card's identifier with the fingerprint: two models of one name never share a cached activation."""
    return f"{card.identifier}--{model_fingerprint(card, origin)[:16]}"
