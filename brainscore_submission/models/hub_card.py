"""A card for a timm model in anybody's Hugging Face repository, made from its config.json: `hf-hub:owner/name`."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import constants as hub
from huggingface_hub import try_to_load_from_cache

from ..plugin.card import Card, Source, Weights
from ..plugin.errors import UserError
from ..plugin.streams import ConnectionCut, SourceError, open_stream
from ..plugin.timm_card import identifier_of, timm_preprocessing

FILE = "model.safetensors"


def hub_card(repo: str) -> Card:
    """Describe the model of a repository as a card; of it, only the small config.json is fetched.

    Parameters
    ----------
    repo : "owner/name"

    Raises
    ------
    UserError
        no such repository, no connection, or no model in timm's format
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UserError(f"'hf-hub:{repo}' is no Hugging Face repository. Write hf-hub:owner/name.")
    config = _config(repo)
    architecture, facts = config.get("architecture"), config.get("pretrained_cfg", {})
    unused = [name for name in config.get("model_args", {}) if name != "num_classes"]
    if not isinstance(architecture, str) or not timm.is_model(architecture) or unused:
        what = f"sets {', '.join(unused)}" if unused else f"names no architecture of timm ({architecture!r})"
        raise UserError(f"hf-hub:{repo}: its config.json {what}. Load it in a Python file of yours: --model my_net.py")
    return Card(
        identifier=identifier_of(f"hf_hub:{repo}"),
        architecture=architecture,
        weights=Weights(file=FILE, layout="timm", sources=(Source("hf", repo=repo),)),
        preprocessing=timm_preprocessing(f"hf-hub:{repo}", timm.data.resolve_data_config({}, pretrained_cfg=facts)),
        title=f"hf-hub:{repo}",
        training=f"weights of hf-hub:{repo}",
        num_classes=facts.get("num_classes", config.get("num_classes", 1000)),
    )


def _config(repo: str) -> dict[str, Any]:
    kept = try_to_load_from_cache(repo, "config.json")
    try:
        if isinstance(kept, str):
            return json.loads(Path(kept).read_text(encoding="utf-8"))
        if hub.HF_HUB_OFFLINE:
            raise SourceError("HF_HUB_OFFLINE is set and the file is not in the Hugging Face cache")
        address = Source("url", url=f"{hub.ENDPOINT}/{repo}/resolve/main/config.json")
        with contextlib.closing(open_stream(address)) as reply:
            return json.loads(b"".join(iter(reply.read, b"")))
    except (SourceError, ConnectionCut, ValueError) as error:
        raise UserError(
            f"hf-hub:{repo}: its config.json cannot be read ({error}). See that the repository is there and public, "
            "or fetch it where there is a connection: the Hugging Face cache is looked at first."
        ) from error
