"""Lesions: what is left of accuracy when tokens, or places of a feature map, are zeroed inside the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..attacks.classifier import Classifier
from ..labelled_images.images import Batch
from ..plugin.errors import UserError
from ..plugin.hooks import module_of
from ..robustness.blocks import Look
from ..robustness.classifiers import clean_logits
from .accuracy import column
from .perturbations import Grid, random_cells

SHARES = (0.0, 0.25, 0.5, 0.75)
BLOCKS = (0, 2, 4, 8, 10)  # of a vision transformer (Naseer et al. 2021)
STAGES = ("layer1", "layer2", "layer3", "layer4", "global_pool")  # of a ResNet: after its stem and its stages


@dataclass(frozen=True)
class Lesion:
    """A share of what goes into a module zeroed: of the patch tokens, class tokens kept, or of the places of a map.

    Parameters
    ----------
    share : of the tokens or places, drawn for each image
    before : the module
    """

    share: float
    before: str
    seed: int = 0
    kind: ClassVar[str] = "lesion"
    axis: ClassVar[str] = "share zeroed"
    grid: ClassVar[Grid] = (1, 1)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise UserError(f"a share of {self.share:g} cannot be zeroed: give 0 to 1, 0.5 for one half.")

    @property
    def where(self) -> tuple[str, ...]:
        """What names its curve beside the kind."""
        return (self.before,)

    @property
    def level(self) -> float:
        return self.share

    @property
    def intact(self) -> bool:
        return self.share == 0


def usual_sites(network: nn.Module) -> list[str]:
    """The modules before which a vision transformer or a ResNet is usually lesioned.

    Raises
    ------
    UserError
        it is neither
    """
    names = {name for name, _ in network.named_modules()}
    blocks = getattr(network, "blocks", None)
    if hasattr(network, "num_prefix_tokens") and blocks is not None:
        return [f"blocks.{number}" for number in BLOCKS if number < len(blocks)]
    if stages := [name for name in STAGES if name in names]:
        return stages
    raise UserError("this network is no plain vision transformer and no ResNet: say where, --before <module>.")


def under_lesions(classifier: Classifier, levels: Sequence[Lesion]) -> Look:
    """What a network answers to each image at each level; see `accuracy.under_levels`."""
    module = module_of(classifier.network, levels[0].before)
    n_prefix = getattr(classifier.network, "num_prefix_tokens", 1)

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        pixels = batch.pixels.to(classifier.device_of(batch.pixels))
        answers = {}
        for level in levels:
            with zeroed(module, level, batch.identities, n_prefix):
                answers[column(level)] = clean_logits(classifier, pixels).argmax(1).cpu().numpy()
        return answers

    return look


@contextmanager
def zeroed(module: nn.Module, level: Lesion, identities: Sequence[str], n_prefix: int = 1) -> Iterator[None]:
    """While inside, a share of what goes into the module is 0.

    Parameters
    ----------
    identities : of the images of the batch, in order
    n_prefix : tokens at the beginning that are kept: of the class, and registers
    """

    def lesioned(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        features = args[0] if args else None
        if not isinstance(features, Tensor) or features.ndim not in (3, 4):
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise UserError(
                f"what goes into {level.before} is {shape}: no tokens (n, tokens, features) and no map (n, channels, "
                "height, width). Choose another module."
            )
        features = features.clone()
        if features.ndim == 3:
            part = features[:, n_prefix:]
            part.masked_fill_(_masks(level, identities, (1, part.shape[1]), features.device)[:, 0, :, None], 0)
        else:
            features.masked_fill_(_masks(level, identities, features.shape[-2:], features.device)[:, None], 0)
        return (features, *args[1:])

    handle = module.register_forward_pre_hook(lesioned)
    try:
        yield
    finally:
        handle.remove()


def _masks(level: Lesion, identities: Sequence[str], grid: Grid, device: torch.device) -> Tensor:
    each = [random_cells(tuple(grid), level.share, level.seed, f"{name} before {level.before}") for name in identities]
    return torch.from_numpy(np.stack(each)).to(device)
