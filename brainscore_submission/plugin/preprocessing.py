"""Image files -> pixels in [0, 1] -> normalised network input: two named halves.

An attack or a plot works on the pixels; only the network sees them normalised.
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from .card import PREPROCESSINGS as PREPROCESSINGS
from .card import Preprocessing
from .errors import UserError

# Modes whose conversion to RGB keeps the colours. The others (16-bit, float) would be clipped without a word.
COLOUR_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")


def load_pixels(path: str | Path, preprocessing: Preprocessing) -> Tensor:
    """Read, resize and crop one image, as `read_pixels`.

    Returns
    -------
    Tensor of shape (3, input_px, input_px), float32, in [0, 1]
    """
    return unit_range(read_pixels(path, preprocessing))


def unit_range(pixels: Tensor) -> Tensor:
    """Bytes 0 to 255 as float32 in [0, 1]; the same division, and so the same bits, as torchvision's `ToTensor`."""
    return pixels.to(torch.float32).div(255)


def read_pixels(path: str | Path, preprocessing: Preprocessing) -> Tensor:
    """Read, resize and crop one image.

    Greyscale, palette and alpha become RGB as in Brain-Score's `load_image`: alpha is dropped, not blended.

    Returns
    -------
    Tensor of shape (3, input_px, input_px), uint8

    Raises
    ------
    UserError
        the file is missing, is no image, is damaged, or has more than 8 bits a channel
    """
    return framed(open_rgb(path), preprocessing)


def framed(image: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """Resize and crop one image, or a map that belongs to one.

    Parameters
    ----------
    image : of mode RGB, or F for a map of floats: both are resized by the same filter

    Returns
    -------
    Tensor of shape (channels, input_px, input_px), uint8, or float32 of a map
    """
    image = _resize(image, preprocessing)
    if preprocessing.crop_px is not None:
        image = transforms.CenterCrop(preprocessing.crop_px)(image)
    return transforms.PILToTensor()(image)


def normalise(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Subtract the mean and divide by the standard deviation of each channel.

    Parameters
    ----------
    pixels : Tensor of shape (..., 3, height, width), in [0, 1]

    Returns
    -------
    Tensor of the same shape, dtype and device
    """
    mean = torch.tensor(preprocessing.mean, dtype=pixels.dtype, device=pixels.device)
    std = torch.tensor(preprocessing.std, dtype=pixels.dtype, device=pixels.device)
    return (pixels - mean[:, None, None]) / std[:, None, None]  # (3, 1, 1) against (..., 3, h, w)


def open_rgb(path: str | Path) -> Image.Image:
    """Read one image as it is, in RGB; for what is raised see `read_pixels`."""
    path = Path(path)
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode not in COLOUR_MODES:
                raise UserError(f"{path}: mode {image.mode} is not 8 bits a channel; save it as 8-bit RGB.")
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image file.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow's own list: an unknown format is an OSError, a damaged PNG a SyntaxError.
        raise UserError(f"{path}: not a readable image ({error}).") from error


def _resize(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    side = preprocessing.resize_px
    size = side if preprocessing.keep_aspect else (side, side)
    return transforms.Resize(size, InterpolationMode(preprocessing.interpolation))(image)
