"""Small pictures whose content is known: mosaics of ten colours, and gratings in a window.

A mosaic's content is the share of each colour, its **mixture**. It survives what Brain-Score does to a picture before
a network sees it (a smaller picture on a grey screen, or a larger one cropped), so responses and labels that are
planted in the mixture can be found again by a network that counts colours.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image

SIZE_PX = 64
TILE_PX = 4
GREY = 128

# Corners of the colour cube and two more: far from each other and from the grey of the screen.
COLOURS = np.array(
    [
        (20, 20, 20),
        (235, 235, 235),
        (230, 25, 25),
        (25, 200, 25),
        (25, 25, 230),
        (230, 220, 20),
        (20, 215, 215),
        (220, 20, 215),
        (140, 70, 10),
        (250, 140, 110),
    ]
)


def class_mixtures() -> np.ndarray:
    """The typical mixture of each of ImageNet's classes.

    Returns
    -------
    array of shape (1000, n_colours), rows sum to 1
    """
    mixtures = np.random.default_rng(2012).dirichlet(np.full(len(COLOURS), 0.4), size=1000) + 0.01
    return mixtures / mixtures.sum(axis=1, keepdims=True)


def random_mixtures(number: int, random: np.random.Generator) -> np.ndarray:
    """Mixtures that belong to no class, of shape (number, n_colours)."""
    return random.dirichlet(np.full(len(COLOURS), 0.7), size=number)


def mosaic(mixture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Tiles whose colours are drawn from a mixture.

    Parameters
    ----------
    mixture : array of shape (n_colours,), sums to 1
    random : source of the tiles and of a faint grain that makes every picture's bytes its own

    Returns
    -------
    uint8 array of shape (SIZE_PX, SIZE_PX, 3)
    """
    tiles = random.choice(len(COLOURS), size=(SIZE_PX // TILE_PX,) * 2, p=mixture)
    pixels = np.kron(COLOURS[tiles], np.ones((TILE_PX, TILE_PX, 1)))
    return np.clip(pixels + random.integers(-6, 7, size=pixels.shape), 0, 255).astype(np.uint8)


def mixture_of(pixels: np.ndarray) -> np.ndarray:
    """The share of each colour that a mosaic really has, of shape (n_colours,)."""
    middles = pixels[TILE_PX // 2 :: TILE_PX, TILE_PX // 2 :: TILE_PX].reshape(-1, 1, 3).astype(float)
    nearest = np.square(middles - COLOURS).sum(axis=-1).argmin(axis=1)
    return np.bincount(nearest, minlength=len(COLOURS)) / len(nearest)


def grating(
    centre_deg: tuple[float, float],
    radius_deg: float,
    cycles_per_degree: float,
    orientation_deg: float,
    phase_deg: float,
    contrast: float = 1.0,
    degrees: float = 8.0,
) -> np.ndarray:
    """A grating in a round window on grey; the centre of the picture is (0, 0), (y, x) counted down and right.

    Returns
    -------
    uint8 array of shape (SIZE_PX, SIZE_PX, 3)
    """
    axis = (np.arange(SIZE_PX) + 0.5) * degrees / SIZE_PX - degrees / 2
    y, x = np.meshgrid(axis - centre_deg[0], axis - centre_deg[1], indexing="ij")
    angle = np.deg2rad(orientation_deg)
    wave = np.cos(2 * np.pi * cycles_per_degree * (x * np.cos(angle) + y * np.sin(angle)) + np.deg2rad(phase_deg))
    window = np.clip((radius_deg - np.hypot(x, y)) * SIZE_PX / degrees + 0.5, 0, 1)
    grey = GREY + 120 * contrast * wave * window
    return np.repeat(grey[..., None], 3, axis=-1).round().astype(np.uint8)


def write(pixels: np.ndarray, path: Path) -> Path:
    """Write a PNG once: a file that is there is left alone, and none is ever seen half written."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.stem}.{os.getpid()}.part.png")
        Image.fromarray(pixels).save(part)
        part.replace(path)
    return path
