"""What becomes of an image before it is shown: pure functions of (image, generator).

Parameters are drawn as torchvision draws them, in its order, but from a generator of one's own: its transforms ask the
global one, which threads and a resumed run would find in another state.
"""

from __future__ import annotations

import math

import torch
from PIL import Image
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from .recipes import Augmentation

BICUBIC = InterpolationMode.BICUBIC
RATIO = (3 / 4, 4 / 3)
QUARTERS = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


def augmented(image: Image.Image, plan: Augmentation, px: int, generator: Generator) -> Tensor:
    """One image as a network in training sees it.

    Parameters
    ----------
    image : in RGB
    plan : Augmentation
    px : side of the network's input
    generator : of this image and epoch

    Returns
    -------
    Tensor of shape (3, px, px), uint8
    """
    if plan.resize_px:
        image = transforms.resize(image, plan.resize_px, BICUBIC)
    quarters = quarter_turns(generator) if plan.rotations else 0
    if plan.rotation_canvas == "as_released":
        image = transforms.rotate(image, 90 * quarters)  # on its own canvas: black bars, unless it is square
    if chance(plan.grey, generator):
        image = transforms.rgb_to_grayscale(image, num_output_channels=3)
    image = random_crop(image, px, plan.scale, generator)
    if chance(plan.flip, generator):
        image = transforms.hflip(image)
    if plan.rotation_canvas == "square" and quarters:
        image = image.transpose(QUARTERS[quarters])
    if plan.jitter:
        image = jittered(image, plan.jitter, generator)
    return transforms.pil_to_tensor(image)


def chance(share: float, generator: Generator) -> bool:
    """True with this probability; 0 and 1 draw too, so that all else stays as it was."""
    return bool(torch.rand(1, generator=generator) < share)


def quarter_turns(generator: Generator) -> int:
    """By 90 degrees or not, then by 180 degrees or not: each of 0 to 3 quarters is as likely."""
    return int(chance(0.5, generator)) + 2 * int(chance(0.5, generator))


def random_crop(image: Image.Image, px: int, scale: tuple[float, float], generator: Generator) -> Image.Image:
    """torchvision's RandomResizedCrop, bicubic; for a scale of (1, 1) the centre square, resized."""
    width, height = image.size
    if scale == (1.0, 1.0):
        side = min(width, height)
        return transforms.resize(transforms.center_crop(image, side), [px, px], BICUBIC)
    top, left, crop_height, crop_width = crop_box(height, width, scale, generator)
    return transforms.resized_crop(image, top, left, crop_height, crop_width, [px, px], BICUBIC)


def crop_box(height: int, width: int, scale: tuple[float, float], generator: Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a crop of random area and shape, as `RandomResizedCrop.get_params` draws them."""
    log_ratio = torch.log(torch.tensor(RATIO))
    for _ in range(10):
        area = height * width * torch.empty(1).uniform_(*scale, generator=generator).item()
        shape = torch.exp(torch.empty(1).uniform_(*log_ratio.tolist(), generator=generator)).item()
        crop_width, crop_height = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = torch.randint(0, height - crop_height + 1, (1,), generator=generator).item()
            left = torch.randint(0, width - crop_width + 1, (1,), generator=generator).item()
            return top, left, crop_height, crop_width
    # no such crop fits: the largest one in the middle, of a shape within the limits
    crop_width = min(width, round(height * RATIO[1]))
    crop_height = min(height, round(width / RATIO[0]))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


def jittered(image: Image.Image, strength: float, generator: Generator) -> Image.Image:
    """Brightness, contrast and saturation, in random order, as torchvision's ColorJitter."""
    order = torch.randperm(4, generator=generator).tolist()
    low, high = max(0.0, 1 - strength), 1 + strength
    factors = [float(torch.empty(1).uniform_(low, high, generator=generator)) for _ in range(3)]
    changes = (transforms.adjust_brightness, transforms.adjust_contrast, transforms.adjust_saturation)
    for number in order:
        if number < len(changes):  # the fourth is the hue, which stays
            image = changes[number](image, factors[number])
    return image
