"""Importance maps in the frame that the network sees: resized and cropped exactly as their images are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from ..plugin.card import Preprocessing
from ..plugin.errors import UserError


def framed(maps: ArrayLike, preprocessing: Preprocessing) -> Tensor:
    """Put maps through the resize and the centre crop of a network's images.

    A map that is only resized to the network's input is 256/224 = 14 % too small beside a cropped image, and off by
    up to 12.5 % of the width at its edges.

    Parameters
    ----------
    maps : shape (n, height, width), in the frame of the image files; finite
    preprocessing : of the network

    Returns
    -------
    Tensor of shape (n, input_px, input_px), float32. Bicubic resizing can go a little beyond a map's range; ranks mind
    little

    Raises
    ------
    UserError
        another shape, or values that are not finite
    """
    maps = np.asarray(maps, dtype=np.float32)
    if maps.ndim != 3 or not np.isfinite(maps).all():
        raise UserError(f"importance maps of shape {maps.shape}: finite numbers of (images, height, width) are needed.")
    side = preprocessing.resize_px
    resize = transforms.Resize(
        side if preprocessing.keep_aspect else (side, side), InterpolationMode(preprocessing.interpolation)
    )
    crop = transforms.CenterCrop(preprocessing.input_px)
    # Pillow resizes 32-bit floats with the filters it uses for the images' 8-bit channels.
    framed_maps = [np.array(crop(resize(Image.fromarray(one)))) for one in maps]
    return torch.from_numpy(np.stack(framed_maps)) if framed_maps else torch.empty(0, side, side)
