"""A network of a few thousand parameters that counts colours and sees orientations, committed to the five areas."""

import functools

import numpy as np
import torch
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from PIL import Image
from torch import nn
from torch.nn import functional

from . import images

LAYERS = {"V1": "v1", "V2": "v2", "V4": "v4", "IT": "it"}
READOUT = "readout"
VISUAL_DEGREES = 8
SHARPNESS = 30.0  # of the class output: log-likelihood per unit of mixture


class TinyNetwork(nn.Module):
    """Pixels in [0, 1], (n, 3, 64, 64), to 1000 class outputs: the log-likelihood of the colours under each class."""

    def __init__(self):
        super().__init__()
        random = torch.Generator().manual_seed(7)
        n_colours = len(images.COLOURS)
        self.v1 = ColoursAndOrientations()
        self.v2 = seeded_layer(nn.Conv2d(self.v1.n_channels, 96, 3, padding=1), random, 3, n_colours, 0.2)
        self.v4 = seeded_layer(nn.Conv2d(96, 64, 3, padding=1), random, 2, 3, 0.1)
        self.it = seeded_layer(nn.Linear(n_colours + 64 * 16 + 16 * self.v1.n_channels, 256), random, 6, n_colours, 3)
        self.readout = seeded_layer(nn.Linear(256 + n_colours, 64), random)
        self.logits = nn.Linear(n_colours, 1000, bias=False)  # last child: what Brain-Score calls logits
        log_likelihood = np.log(images.class_mixtures())
        weights = SHARPNESS * (log_likelihood - log_likelihood.mean(axis=0))
        self.logits.weight.data = torch.tensor(weights, dtype=torch.float32)

    def forward(self, pixels):
        v1 = self.v1(pixels)  # (n, channels, 8, 8)
        v2 = functional.avg_pool2d(self.v2(v1), 2).relu()  # (n, 96, 4, 4)
        v4 = self.v4(v2).relu()
        shares = self.v1.colour_shares(pixels)
        it = self.it(torch.cat([4 * shares, v4.flatten(1) / 4, functional.avg_pool2d(v1, 2).flatten(1)], dim=1))
        self.readout(torch.cat([it / 400, 20 * (shares - 1 / len(images.COLOURS))], dim=1))
        return self.logits(shares)


class ColoursAndOrientations(nn.Module):
    """The share of each colour at 8 x 8 places, and rectified Gabor responses divided by their surround's energy."""

    ORIENTATIONS, CYCLES_PER_PX, PHASES = 6, (1 / 8, 1 / 5), 4
    FILTER_PX, SURROUND_PX, STRIDE_PX = 15, 23, 8

    def __init__(self):
        super().__init__()
        palette = np.vstack([images.COLOURS, [[images.GREY] * 3]]) / 255
        self.register_buffer("palette", torch.tensor(palette, dtype=torch.float32))
        self.register_buffer("gabors", self._gabors())
        self.n_channels = len(images.COLOURS) + len(self.gabors)
        # A few units respond far above the rest, as a metric that selects strong units wants (Coggan2024).
        gain = torch.ones(self.n_channels, 8, 8)
        gain[: len(images.COLOURS), 3:5, 2:5] = 8.0
        self.register_buffer("gain", gain)

    def forward(self, pixels):
        grey = pixels.mean(dim=1, keepdim=True) - images.GREY / 255
        simple = functional.conv2d(grey, self.gabors, padding=self.FILTER_PX // 2).relu()
        energy = functional.avg_pool2d(
            simple.mean(dim=1, keepdim=True), self.SURROUND_PX, stride=1, padding=self.SURROUND_PX // 2
        )
        simple = (simple / (0.1 + 4 * energy))[:, :, self.STRIDE_PX // 2 :: self.STRIDE_PX, self.STRIDE_PX // 2 :: 8]
        colours = functional.avg_pool2d(self._colours(pixels), self.STRIDE_PX)
        return torch.cat([colours, simple], dim=1) * self.gain

    def colour_shares(self, pixels):
        """The share of each colour in what is not the screen's grey, (n, n_colours)."""
        shares = self._colours(pixels).mean(dim=(2, 3))
        return shares / shares.sum(dim=1, keepdim=True).clamp(min=1e-3)

    def _colours(self, pixels):
        distance = (pixels[:, None] - self.palette[:, :, None, None]).square().sum(dim=2)
        return (-60 * distance).softmax(dim=1)[:, : len(images.COLOURS)]

    def _gabors(self):
        axis = torch.arange(self.FILTER_PX) - self.FILTER_PX // 2
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        window = torch.exp(-(x**2 + y**2) / (2 * 3.0**2))
        filters = []
        for turn in range(self.ORIENTATIONS):
            angle = torch.tensor(np.pi * turn / self.ORIENTATIONS)
            along = x * angle.cos() + y * angle.sin()
            for cycles in self.CYCLES_PER_PX:
                for phase in range(self.PHASES):
                    wave = window * torch.cos(2 * np.pi * cycles * along + 2 * np.pi * phase / self.PHASES)
                    filters.append(wave - window * wave.sum() / window.sum())  # no response to uniform grey
        filters = torch.stack(filters)[:, None].float()
        return filters / filters.abs().sum(dim=(2, 3), keepdim=True)


def seeded_layer(layer, random, n_strong: int = 0, n_driving: int = 0, strength: float = 0):
    """The layer with weights of unit gain from this generator, without bias.

    The first ``n_strong`` outputs respond strongly and to the first ``n_driving`` inputs only: a metric that
    selects strong units (Coggan2024) finds some, and they know colours.
    """
    fan_in = layer.weight[0].numel()
    weight = torch.randn(layer.weight.shape, generator=random) / fan_in**0.5
    weight[:n_strong] = strength * fan_in * weight[:n_strong].square() / max(n_driving, 1)
    weight[:n_strong, n_driving:] = 0
    layer.weight.data = weight
    layer.bias.data.zero_()
    return layer


def preprocess(paths) -> np.ndarray:
    """Image files to pixels in [0, 1], float32 of shape (n, 3, 64, 64)."""
    size = (images.SIZE_PX, images.SIZE_PX)
    rows = []
    for path in paths:
        with Image.open(path) as image:
            rows.append(np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX), dtype=np.float32) / 255)
    return np.stack(rows).transpose(0, 3, 1, 2)


@functools.cache
def network() -> TinyNetwork:
    return TinyNetwork().eval()


def committed(identifier: str = "stand-in-network") -> ModelCommitment:
    """The tiny network as Brain-Score's own brain model, made by Brain-Score's own wrapper and commitment."""
    wrapper = PytorchWrapper(network(), preprocess, identifier=identifier, batch_size=16)
    return ModelCommitment(
        identifier,
        activations_model=wrapper,
        layers=[*LAYERS.values(), READOUT],
        behavioral_readout_layer=READOUT,
        region_layer_map=LAYERS,
        visual_degrees=VISUAL_DEGREES,
    )
