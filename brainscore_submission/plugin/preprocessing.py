"""Image files -> pixels in [0, 1] -> normalised network input: two named halves.

An attack or a plot works on the pixels; only the network sees them normalised.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from .card import PREPROCESSINGS as PREPROCESSINGS
from .card import Preprocessing
from .errors import UserError

# Formats that are read. Of others, such as PostScript under the name of a PNG, Pillow would start programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# Modes whose conversion to RGB keeps the colours. The others (16-bit, float, LAB) would be clipped without a word.
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


@dataclass(frozen=True)
class Reading:
    """`read_pixels` of one preprocessing; two that give the same pixels are equal, whatever they normalise by."""

    preprocessing: Preprocessing

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> Reading:
        """The reading of a preprocessing."""
        return cls(replace(preprocessing, name="", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))

    def __call__(self, path: str | Path) -> Tensor:
        """See `read_pixels`."""
        return read_pixels(path, self.preprocessing)


def read_pixels(path: str | Path, preprocessing: Preprocessing) -> Tensor:
    """Read, resize and crop one image.

    It becomes RGB as in Brain-Score's `load_image`, by the rule of `opened_image`.

    Returns
    -------
    Tensor of shape (3, input_px, input_px), uint8

    Raises
    ------
    UserError
        see `opened_image`
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
    # Filled on the device: numbers that come from the host would make it wait for all that a GPU has yet to do.
    mean, std = (
        torch.cat([pixels.new_full((1, 1, 1), value) for value in values])  # (3, 1, 1) against (..., 3, h, w)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (pixels - mean) / std


def open_rgb(path: str | Path) -> Image.Image:
    """Read one image as it is, in RGB; for what is raised see `opened_image`."""
    with opened_image(path) as image:
        return image.convert("RGB")


@contextlib.contextmanager
def opened_image(path: str | Path) -> Iterator[Image.Image]:
    """An image file of 8 bits a channel, decoded: the one rule for every image of the product.

    Grey, palette and RGB, CMYK, YCbCr and HSV of 8 bits are read, to become RGB by Pillow's `convert("RGB")`: then
    transparency is dropped, not blended, an orientation in EXIF data is not applied, and of several frames the first
    counts, all as in Brain-Score. What has more bits (16, float) or no RGB of its own (LAB) is refused: Pillow would
    clip it, and which of its values are black and white only its maker knows.

    Raises
    ------
    UserError
        the file is missing, is no image, is damaged, has more than 8 bits a channel or more than 89 megapixels
    """
    path = Path(path)
    if not path.is_file() and not path.is_dir():
        raise UserError(f"{path}: no such image file.")
    Image.init()  # else Pillow does not know all of the formats
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UserError(f"{path}: {image.width} x {image.height} pixels are too many; save it smaller.")
            if image.mode not in COLOUR_MODES or _is_deep(image):
                mode = image.mode if image.mode not in COLOUR_MODES else f"{image.mode} of 16 bits"
                raise UserError(f"{path}: mode {mode} is not 8 bits a channel; save it as 8-bit RGB.")
            image.load()
            yield image
    except DAMAGE as error:
        raise UserError(f"{path}: not a readable image ({error}).") from error


# Pillow's own list is no shorter: an unknown format is an OSError, a damaged PNG a SyntaxError, a damaged TIFF almost
# anything. Warnings are raised only where they are made errors.
DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError),
    *(EOFError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError, Warning),
)
MOST_PIXELS = 89_478_485  # above, Pillow warns of a bomb


def _is_deep(image: Image.Image) -> bool:
    """Whether a file of 16 bits a channel is about to be cut to 8, which its mode does not tell."""
    for tile in image.tile:
        of_file = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(";16" in str(one) for one in of_file):
            return True
        if image.format == "PPM" and isinstance(of_file[-1], int) and of_file[-1] > 255:  # its brightest value
            return True
    return False


def _resize(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    side = preprocessing.resize_px
    size = side if preprocessing.keep_aspect else (side, side)
    return transforms.Resize(size, InterpolationMode(preprocessing.interpolation))(image)
