"""The network that the SIMULATED neurons and observers respond with: hand-built, no training, no weights to fetch.

Named modules `V1`, `V2`, `V4`, `IT` and `decision` give what each area computes; `luminance` and `edges` compute what
none of them does, so that a layer search has something to reject. It sees 8 degrees on 192 x 192 pixels in [0, 1]:
a picture of 4 degrees is first placed on a grey screen of 8, as Brain-Score does for any model of 8 degrees.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..plugin.areas import AREAS
from ..plugin.card import Preprocessing
from . import objects
from .stimuli import GREY

VISUAL_DEGREES = 8
INPUT_PX = 192
PREPROCESSING = Preprocessing("demo192", resize_px=INPUT_PX, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
LAYER_MAP = {area: area for area in AREAS}
BEHAVIOR_LAYER = "decision"
OTHER_LAYERS = ("luminance", "edges")

N_SCALES = 4  # 4, 2, 1 and 0.5 cycles per degree
N_ORIENTATIONS = 6
FILTER_PX = 13
ENERGY_PX = 48  # the grid of energies: 6 positions a degree


class GroundTruthNetwork(nn.Module):
    """Pixels -> oriented energy -> texture statistics of growing range -> object views -> decision.

    Every named layer gives one vector an image; `map_shapes` says how the vectors of V1, V2 and V4 lie on the screen.
    `forward` gives the decision: one value for each of `objects.OBJECTS`, in their order.
    """

    map_shapes = {"V1": (24, 12, 12), "V2": (21, 6, 6), "V4": (24, 3, 3)}  # (n_channels, height, width)

    def __init__(self):
        super().__init__()
        self.luminance = Luminance()
        self.edges = Edges()
        self.V1 = OrientedEnergy()
        self.V2 = TextureStatistics(_pairings_at_one_place(), window=18, stride=6)  # windows of 3 degrees
        self.V4 = SharpenedStatistics(_pairings_at_a_distance(), window=32, stride=8)  # windows of 5.3 degrees
        self.IT = ObjectViews()
        self.decision = Decision()
        self.requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Decision values, shape (n, n_objects), for pixels of shape (n, 3, 192, 192) in [0, 1]."""
        grey = pixels.mean(dim=1, keepdim=True) - GREY / 255
        self.luminance(grey)
        self.edges(grey)
        energy = self.V1.energy(grey)  # (n, 24, 48, 48), shared by all areas
        self.V1(energy)
        self.V2(energy)
        self.V4(energy)
        return self.decision(self.IT(energy))


class Luminance(nn.Module):
    """Mean luminance of squares of 1 degree: no area's computation."""

    def forward(self, grey: Tensor) -> Tensor:
        return F.avg_pool2d(grey, INPUT_PX // VISUAL_DEGREES).flatten(1)


class Edges(nn.Module):
    """Rectified responses of single fine filters of one phase: no area's computation."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Parameter(_gabors()[:N_ORIENTATIONS])

    def forward(self, grey: Tensor) -> Tensor:
        return F.conv2d(grey, self.filters, stride=16).relu().flatten(1)


class OrientedEnergy(nn.Module):
    """V1: amplitude of Gabor quadrature pairs, 4 scales x 6 orientations, at 12 x 12 positions."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Parameter(_gabors())  # (12, 1, 13, 13): cosine phases, then sine phases

    def energy(self, grey: Tensor) -> Tensor:
        """Amplitudes of shape (n, N_SCALES * N_ORIENTATIONS, 48, 48), from the finest scale to the coarsest."""
        return torch.cat([self._scale(grey, scale) for scale in range(N_SCALES)], dim=1)

    def _scale(self, grey, scale):
        smaller = F.avg_pool2d(grey, 2**scale)  # the same filters see each scale's smaller image
        padded = F.pad(smaller, [FILTER_PX // 2] * 4, mode="replicate")
        stride = 2 if scale == 0 else 1  # amplitudes vary slowly: every other position of the finest scale will do
        cosine, sine = F.conv2d(padded, self.filters, stride=stride).chunk(2, dim=1)
        power = F.adaptive_avg_pool2d(cosine**2 + sine**2, min(ENERGY_PX, cosine.shape[-1]))
        amplitude = (power + 1e-8).sqrt()
        return F.interpolate(amplitude, size=(ENERGY_PX, ENERGY_PX), mode="bilinear", align_corners=False)

    def forward(self, energy: Tensor) -> Tensor:
        return F.avg_pool2d(energy, 4).flatten(1)


class Pairing(NamedTuple):
    """Which energies are correlated: each orientation's with that of another scale, orientation and place.

    `turn` is the difference of orientation in steps of 30 degrees; `distance` is in positions of the energy grid, along
    the filter's own contour, or across it if `across`.
    """

    scale: int
    other_scale: int
    turn: int
    distance: int = 0
    across: bool = False


class TextureStatistics(nn.Module):
    """V2: correlations between energies within a window, the mean over orientations of each pairing.

    A correlation depends neither on contrast nor on the mean energies, so not on what V1 reports.
    """

    def __init__(self, pairings, window, stride):
        super().__init__()
        self.pairings, self.window, self.stride = pairings, window, stride

    def forward(self, energy: Tensor) -> Tensor:
        return self.correlations(energy).flatten(1)

    def correlations(self, energy: Tensor) -> Tensor:
        """Shape (n, n_pairings, height, width)."""
        scales = energy.unflatten(1, (N_SCALES, N_ORIENTATIONS)).unbind(1)
        return torch.stack([self._correlation(scales, pairing) for pairing in self.pairings], dim=1)

    def _correlation(self, scales, pairing):
        one = scales[pairing.scale]  # (n, N_ORIENTATIONS, 48, 48)
        other = _displaced(scales[pairing.other_scale].roll(-pairing.turn, dims=1), pairing)
        one_mean, other_mean = self._pool(one), self._pool(other)
        one_variance = (self._pool(one**2) - one_mean**2).clamp_min(0)
        other_variance = (self._pool(other**2) - other_mean**2).clamp_min(0)
        covariance = self._pool(one * other) - one_mean * other_mean
        return (covariance / (one_variance * other_variance + 1e-8).sqrt()).mean(dim=1)

    def _pool(self, maps):
        return F.avg_pool2d(maps, self.window, self.stride)


class SharpenedStatistics(TextureStatistics):
    """V4: of the correlations at one place, only those that stand out."""

    def forward(self, energy: Tensor) -> Tensor:
        return _standing_out(self.correlations(energy), threshold=0.5).flatten(1)


def _standing_out(channels, threshold):
    """By how many standard deviations over channels (dimension 1) each exceeds their mean, less the threshold, or 0."""
    above_mean = channels - channels.mean(dim=1, keepdim=True)
    return (above_mean / channels.std(dim=1, keepdim=True).clamp_min(1e-2) - threshold).relu()


def _displaced(maps, pairing):
    """Each orientation's map, moved by the pairing's distance; what leaves at one edge comes back at the other."""
    if pairing.distance == 0:
        return maps
    moved = []
    for orientation in range(N_ORIENTATIONS):
        angle = np.pi * orientation / N_ORIENTATIONS + (0 if pairing.across else np.pi / 2)
        offset = (round(pairing.distance * np.sin(angle)), round(pairing.distance * np.cos(angle)))
        moved.append(maps[:, orientation].roll(offset, dims=(-2, -1)))
    return torch.stack(moved, dim=1)


def _pairings_at_one_place():
    within = [Pairing(scale, scale, turn) for scale in range(3) for turn in (1, 2, 3)]
    between = [Pairing(scale, scale + 1, turn) for scale in range(3) for turn in (0, 1, 2, 3)]
    return within + between


def _pairings_at_a_distance():
    return [
        Pairing(scale, scale, turn, distance=4, across=across)
        for scale in range(2)
        for turn in range(N_ORIENTATIONS)
        for across in (False, True)
    ]


class ObjectViews(nn.Module):
    """IT: how much better the energies match a view of an object than other views do, at the best nearby position.

    Six views of each object, as it looks without a background. Only matches above the mean are reported.
    """

    def __init__(self):
        super().__init__()
        self.templates = nn.Parameter(_templates().clone())  # (n_objects * 6, 24, 18, 18)

    def forward(self, energy: Tensor) -> Tensor:
        maps = F.avg_pool2d(energy, 2)
        power = F.avg_pool2d(maps**2, self.templates.shape[-1], 1).sum(dim=1, keepdim=True)
        match = (F.conv2d(maps, self.templates) / (power + 1e-6).sqrt()).amax(dim=(-2, -1))
        return _standing_out(match, threshold=0.0)


class Decision(nn.Module):
    """Behaviour: each object's best matching view, relative to the mean over objects."""

    def forward(self, views: Tensor) -> Tensor:
        best = views.unflatten(1, (len(objects.OBJECTS), -1)).amax(dim=-1)
        return best - best.mean(dim=1, keepdim=True)


@lru_cache(maxsize=1)
def _templates() -> Tensor:
    """Energies of each view around the centre, mean 0 over positions and unit norm."""
    views = [
        objects.View(radius=radius, rotation=rotation, squash=0.87, tone=0.45)
        for rotation in (-0.33, 0.0, 0.33)
        for radius in (0.29, 0.35)
    ]
    pictures = [np.multiply(*objects.rendered(name, view, INPUT_PX)) for name in objects.OBJECTS for view in views]
    grey = 0.45 * torch.tensor(np.array(pictures)[:, None])  # float64: the same on every machine once rounded
    with torch.no_grad():
        maps = F.avg_pool2d(OrientedEnergy().double().energy(grey), 2)[:, :, 3:21, 3:21]
    maps = maps - maps.mean(dim=(-2, -1), keepdim=True)
    return (maps / maps.flatten(1).norm(dim=1)[:, None, None, None]).float()


def _gabors():
    """Cosine, then sine Gabors of each orientation: wavelength 6 pixels, mean 0, unit norm, shape (12, 1, 13, 13)."""
    axis = np.arange(FILTER_PX) - FILTER_PX // 2
    x, y = np.meshgrid(axis, axis)
    window = np.exp(-(x**2 + y**2) / (2 * 2.6**2))
    filters = []
    for phase in (0.0, np.pi / 2):
        for angle in np.pi * np.arange(N_ORIENTATIONS) / N_ORIENTATIONS:
            wave = np.cos(2 * np.pi / 6 * (x * np.cos(angle) + y * np.sin(angle)) - phase)
            gabor = window * (wave - (window * wave).sum() / window.sum())
            filters.append(gabor / np.linalg.norm(gabor))
    return torch.tensor(np.array(filters)[:, None], dtype=torch.float32)
