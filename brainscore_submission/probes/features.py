"""Feature ensembles: what the last blocks of a frozen network say of an image, side by side, for a readout to learn.

After Naseer et al. (2021, arXiv 2105.10497): the class token of each of the last blocks, after the final norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..attacks.classifier import Classifier
from ..labelled_images.images import Batch
from ..plugin.errors import UserError
from ..plugin.hooks import module_of
from ..robustness.blocks import Look
from ..robustness.classifiers import clean_logits

LAST = 4  # blocks (Naseer et al.)
CLASS_COMES_LATER = ("cls_attn_blocks", "blocks_token_only")  # XCiT, CaiT: no class token passes through their blocks


class Reading(NamedTuple):
    """Where features come from.

    Parameters
    ----------
    layers : modules in the order of execution, an ensemble takes the last n of them
    vector : callable, what such a module gives of n images -> Tensor of shape (n, features)
    said : in words, what is read
    axis : of a curve over n
    words : what a record of it is called, beside "features"; nothing where it is what is read by default
    """

    layers: tuple[str, ...]
    vector: Callable[[Any], Tensor]
    said: str
    axis: str
    words: tuple[str, ...] = ()


def reading_of(
    network: nn.Module, last: int | None = None, layers: Sequence[str] = (), patches: bool = False
) -> Reading:
    """What a feature ensemble of a network is made of.

    Parameters
    ----------
    last : how many blocks or stages; default `LAST`, or all where there are fewer
    layers : modules instead, in the order of execution; their outputs are pooled
    patches : whether the mean patch token stands beside the class token

    Raises
    ------
    UserError
        it has fewer blocks, or none and no stages that timm names; unknown layers; `patches` of what has no class token
    """
    if layers:
        for layer in layers:
            module_of(network, layer)
        reading = Reading(tuple(layers), _pooled_of(network), POOLED, "last layers given", ("+".join(layers),))
    elif isinstance(getattr(network, "norm", None), nn.ModuleList):
        reading = _of_crossvit(network, last, patches)
    elif hasattr(network, "num_prefix_tokens") and hasattr(network, "blocks"):
        reading = _of_transformer(network, last, patches)
    elif stages := [stage["module"] for stage in getattr(network, "feature_info", ())]:
        reading = Reading(_last(stages, last, "stages"), _pooled_of(network), POOLED, "last stages")
    else:
        raise UserError("this network has no blocks or stages that are known here: name some, --layers layer3,layer4")
    if patches and reading.said == POOLED:
        raise UserError(f"--patches goes beside a class token; of this network is read: {reading.said}.")
    usual = layers or len(reading.layers) == LAST or last is None
    words = (*([] if usual else [f"last-{last}"]), *(["patches"] if patches else []))
    return reading._replace(words=(*reading.words, *words))


def _last(names: Sequence[str], last: int | None, what: str) -> tuple[str, ...]:
    last = min(LAST, len(names)) if last is None else last
    if not 1 <= last <= len(names):
        raise UserError(f"--last {last}: the network has {len(names)} {what}. Give 1 to {len(names)}.")
    return tuple(names[-last:])


def _blocks(network: nn.Module, last: int | None) -> tuple[str, ...]:
    return _last([f"blocks.{number}" for number in range(len(network.blocks))], last, "blocks")


def _of_transformer(network: nn.Module, last: int | None, patches: bool) -> Reading:
    """A vision transformer of timm: the class token, or the mean patch token where none passes through the blocks."""
    late = any(hasattr(network, name) for name in CLASS_COMES_LATER)
    has_class = getattr(network, "cls_token", None) is not None and not late
    n_prefix = 0 if late else network.num_prefix_tokens
    norms = [getattr(network, name, None) for name in ("norm", "fc_norm")]
    norm = next((one for one in norms if one is not None and not isinstance(one, nn.Identity)), nn.Identity())

    def vector(tokens: Tensor) -> Tensor:
        return _class_and_patches(norm(tokens), n_prefix, has_class, patches or not has_class)

    said = "mean patch token (no class token passes through the blocks)"
    if has_class:
        said = "class token and mean patch token" if patches else "class token"
    return Reading(_blocks(network, last), vector, f"{said}, after the final norm", "last blocks")


def _of_crossvit(network: nn.Module, last: int | None, patches: bool) -> Reading:
    """A CrossViT: both branches side by side, each after its own norm, as its two classifiers read them."""

    def vector(branches: Sequence[Tensor]) -> Tensor:
        each = zip(branches, network.norm, strict=True)
        return torch.cat([_class_and_patches(norm(tokens), 1, True, patches) for tokens, norm in each], dim=1)

    said = "class tokens and mean patch tokens" if patches else "class tokens"
    said = f"{said} of both branches, each after its final norm"
    return Reading(_blocks(network, last), vector, said, "last blocks")


def _class_and_patches(tokens: Tensor, n_prefix: int, has_class: bool, patches: bool) -> Tensor:
    parts = ([tokens[:, 0]] if has_class else []) + ([tokens[:, n_prefix:].mean(1)] if patches else [])
    return torch.cat(parts, dim=1)


POOLED = "mean over places"


def _pooled_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Outputs of any layer pooled to a vector an image."""
    channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"

    def vector(features: Any) -> Tensor:
        if not isinstance(features, Tensor) or features.ndim not in (2, 3, 4):
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise UserError(
                f"a layer gives {shape}: features are pooled of (n, channels, height, width), (n, tokens, features) or "
                "(n, features). Choose other --layers."
            )
        if features.ndim == 4:
            features = features.mean((1, 2) if channels_last else (2, 3))
        elif features.ndim == 3:
            features = features.mean(1)
        return features

    return vector


def features_of(classifier: Classifier, reading: Reading) -> Look:
    """The features of each image, one forward pass for all layers.

    Returns
    -------
    callable, Batch -> for each layer `feature_column(layer)`, float32 array of shape (n, features of the layer)
    """

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        with ExitStack() as hooks:
            for layer in reading.layers:

                def receive(_module: nn.Module, _args: Any, output: Any, layer: str = layer) -> None:
                    found[feature_column(layer)] = reading.vector(output).float().cpu().numpy()

                hooks.callback(module_of(classifier.network, layer).register_forward_hook(receive).remove)
            clean_logits(classifier, batch.pixels.to(classifier.device_of(batch.pixels)))
        silent = [layer for layer in reading.layers if feature_column(layer) not in found]
        if silent:
            raise UserError(f"layer '{silent[0]}' never fires in a forward pass: choose other --layers.")
        return found

    return look


def feature_column(layer: str) -> str:
    """What a layer's features are called among what was seen of images."""
    return f"features of {layer}"


def ensemble(seen: Mapping[str, np.ndarray], reading: Reading, n: int) -> np.ndarray:
    """The features of the last n layers side by side: float32 array of shape (n_images, features)."""
    return np.concatenate([seen[feature_column(layer)] for layer in reading.layers[-n:]], axis=1)
