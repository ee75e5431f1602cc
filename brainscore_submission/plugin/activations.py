"""Network -> Brain-Score activations model: own logits, tensor outputs only, an identifier no stale cache can match."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from torch import Tensor, nn

from .card import Preprocessing
from .errors import UserError
from .hooks import layer_outputs, module_of
from .preprocessing import load_pixels, normalise

logger = logging.getLogger(__name__)


class ActivationsModel(PytorchWrapper):
    """A network that Brain-Score's `ModelCommitment` can record from.

    Beside Brain-Score's `PytorchWrapper`: the layer ``"logits"`` is the output of the network (for CrossViT the
    mean over both heads, where Brain-Score would take ``head.1`` alone), a module that yields anything but a
    tensor is named, and on a GPU the batch halves when memory runs out.

    Parameters
    ----------
    network : nn.Module
    preprocessing : Preprocessing
    identifier : what Brain-Score caches activations under; see `cache_identifier`
    device : "cpu" or "cuda[:i]"
    batch_size : images in a forward pass
    load_image : callable, path -> network input of shape (3, height, width); default by `preprocessing`
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        identifier: str,
        *,
        device: str = "cpu",
        batch_size: int = 8,
        load_image: Callable[[str | Path], Tensor] | None = None,
    ):
        # Not super().__init__(): it would move the network to the first GPU whatever device was asked for.
        self._device = torch.device(device)
        self._model = network.to(self._device).eval()
        self._forward_kwargs: dict[str, object] = {}
        self.preprocessing = preprocessing
        self._load_image = load_image or (lambda path: normalise(load_pixels(path, preprocessing), preprocessing))
        self._extractor = self._build_extractor(
            identifier=identifier,
            preprocessing=self.load_batch,
            get_activations=self.get_activations,
            batch_size=batch_size,
        )
        self._extractor.insert_attrs(self)
        self.image_size = preprocessing.input_px

    @property
    def network(self) -> nn.Module:
        """The network itself, in eval mode."""
        return self._model

    def load_batch(self, paths: Sequence[str | Path]) -> np.ndarray:
        """Network input for image files: float32 of shape (n_images, 3, height, width)."""
        return torch.stack([self._load_image(path) for path in paths]).numpy()

    def get_activations(self, images: Sequence[Tensor | np.ndarray], layer_names: Sequence[str]) -> OrderedDict:
        """Activations of the named layers, as Brain-Score's extractor asks for them.

        Returns
        -------
        OrderedDict of layer -> ndarray of shape (n_images, ...)
        """
        pixels = torch.stack([torch.as_tensor(np.asarray(image)) for image in images])
        return OrderedDict(
            (layer, output.cpu().numpy()) for layer, output in self._forward(pixels, layer_names).items()
        )

    def get_layer(self, layer_name: str) -> nn.Module:
        """The module of a layer name; ``"logits"`` is the whole network."""
        return module_of(self._model, layer_name)

    def _forward(self, pixels: Tensor, layers: Sequence[str]) -> OrderedDict[str, Tensor]:
        try:
            return layer_outputs(self._model, pixels.to(self._device), layers)
        except torch.OutOfMemoryError as error:
            if len(pixels) == 1:
                raise UserError(f"one image does not fit into the memory of {self._device}. Use the CPU.") from error
        logger.warning("out of GPU memory: %d images are shown in two halves", len(pixels))
        torch.cuda.empty_cache()
        halves = [self._forward(half, layers) for half in pixels.split(-(-len(pixels) // 2))]
        return OrderedDict((layer, torch.cat([half[layer] for half in halves])) for layer in halves[0])
