"""A card for any timm model, made from what timm knows of it: `--model timm:<name>`."""

import math
import re
from collections.abc import Mapping
from typing import Any

import timm
from timm.data import resolve_data_config

from . import architectures as architectures
from .card import INTERPOLATIONS, Card, Preprocessing, Source, Weights
from .errors import UserError, suggest


def timm_card(name: str, behavior_layer: str | None = None) -> Card:
    """Describe a timm model as a card, without building it.

    Parameters
    ----------
    name : timm's name with or without its pretrained tag: "resnet18" or "resnet18.a1_in1k"
    behavior_layer : layer of the behavioural readout; timm does not know one

    Returns
    -------
    Card; its weights have no source where timm has no trained weights

    Raises
    ------
    UserError
        timm knows no such model or tag, or prepares its images in a way `Preprocessing` cannot state
    """
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise UserError(f"timm knows no model {architecture!r}.{suggest(architecture, timm.list_models())}")
    config = _pretrained_config(architecture, tag)
    facts = config.to_dict() if config else {}
    tag = (config.tag if config else None) or ""
    full_name = f"{architecture}.{tag}" if tag else architecture
    found = config is not None and bool(config.hf_hub_id)
    return Card(
        identifier=identifier_of(f"timm:{full_name}"),
        architecture=full_name,
        weights=Weights(
            file=f"{full_name}.safetensors",
            layout="timm",
            sources=(Source("hub", tag=tag),) if found and tag else (),
        ),
        preprocessing=timm_preprocessing(full_name, resolve_data_config({"in_chans": 3}, pretrained_cfg=facts)),
        title=f"timm:{full_name}",
        training="timm's pretrained weights" if found else "timm has no trained weights",
        num_classes=facts.get("num_classes", 1000),
        behavior_layer=behavior_layer,
    )


def identifier_of(typed: str) -> str:
    """An identifier made of what a user types: letters, digits and underscores.

    >>> identifier_of("timm:resnet18.a1_in1k")
    'timm_resnet18_a1_in1k'
    """
    return re.sub("[^A-Za-z0-9_]", "_", typed)


def _pretrained_config(architecture: str, tag: str) -> Any:
    try:
        return timm.get_pretrained_cfg(f"{architecture}.{tag}" if tag else architecture)
    except RuntimeError as error:  # timm: "Invalid pretrained tag"
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        raise UserError(f"timm knows no weights {tag!r} of {architecture}.{suggest(tag, tags)}") from error


def timm_preprocessing(name: str, config: Mapping[str, Any]) -> Preprocessing:
    """What timm prepares a model's images like, from its data configuration.

    Raises
    ------
    UserError
        for what `Preprocessing` cannot state
    """
    channels, height, width = config["input_size"]
    mode, interpolation = config["crop_mode"], config["interpolation"]
    wanting = [
        f"{channels} channels" if channels != 3 else "",
        f"an input of {height} x {width}" if height != width else "",
        f"crop mode {mode!r}" if mode not in ("center", "squash") else "",
        f"interpolation {interpolation!r}" if interpolation not in INTERPOLATIONS else "",
    ]
    if any(wanting):
        raise UserError(
            f"{name} asks for {', '.join(filter(None, wanting))}; write a card with [preprocessing] for it."
        )
    return Preprocessing(
        name=f"timm:{name}",
        resize_px=math.floor(height / config["crop_pct"]),  # as timm.data.create_transform
        crop_px=height,
        interpolation=interpolation,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        keep_aspect=mode == "center",
    )
