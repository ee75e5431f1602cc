"""What an adversary may do: a norm, a radius and the range of pixels; the norms as a table of plain functions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..plugin.errors import UserError, suggest


def per_image(values: Tensor, images: Tensor) -> Tensor:
    """Shape (n,) -> (n, 1, …, 1), to stand beside images of shape (n, …)."""
    return values.to(images.dtype).view(-1, *[1] * (images.ndim - 1))


def linf_size(delta: Tensor) -> Tensor:
    """Largest absolute value of each image: (n, …) -> (n,), float64."""
    return torch.linalg.vector_norm(delta.flatten(1), ord=math.inf, dim=1).double()


def l2_size(delta: Tensor) -> Tensor:
    """Euclidean length of each image: (n, …) -> (n,), float64.

    Summed in float64: squares of float32 values cannot underflow there, so a tiny gradient keeps its direction.
    """
    return torch.linalg.vector_norm(delta.flatten(1), dim=1, dtype=torch.float64)


def l2_direction(gradient: Tensor) -> Tensor:
    """Steepest ascent for l2: the gradient at length 1; zero where the gradient is zero."""
    size = l2_size(gradient)
    return gradient / per_image(torch.where(size > 0, size, 1.0), gradient)


def l2_project(delta: Tensor, eps: float | Tensor) -> Tensor:
    """Shorten what is longer than `eps`, a number or one for each image."""
    size = l2_size(delta)
    return delta * per_image((eps / torch.where(size > 0, size, 1.0)).clamp(max=1.0), delta)


def linf_start(image: Tensor, generator: torch.Generator) -> None:
    """Fill one image with noise, uniform in the cube [-1, 1]."""
    image.uniform_(-1.0, 1.0, generator=generator)


def l2_start(image: Tensor, generator: torch.Generator) -> None:
    """Fill one image with noise, uniform in the ball of radius 1: a random direction, at u^(1/d) from the centre."""
    image.normal_(generator=generator)
    radius = torch.rand((), generator=generator) ** (1 / image.numel())
    image.mul_(radius / torch.linalg.vector_norm(image))


class Norm(NamedTuple):
    """What differs from norm to norm; the loops of the attacks are written once.

    Parameters
    ----------
    size : (n, …) -> (n,), float64
    direction : gradient -> the step of size 1 that raises a linear function most; a zero gradient has none
    project : (delta, eps) -> the nearest delta whose size is at most eps
    start : fills an image with noise, uniform in the ball of radius 1
    rounding : dimensions -> how far rounding each of so many pixels by 1 can move the size
    """

    size: Callable[[Tensor], Tensor]
    direction: Callable[[Tensor], Tensor]
    project: Callable[[Tensor, float | Tensor], Tensor]
    start: Callable[[Tensor, torch.Generator], None]
    rounding: Callable[[int], float]


NORMS = {
    "linf": Norm(linf_size, torch.sign, lambda delta, eps: delta.clamp(-eps, eps), linf_start, lambda dimensions: 1.0),
    "l2": Norm(l2_size, l2_direction, l2_project, l2_start, math.sqrt),
}


@dataclass(frozen=True)
class Threat:
    """All images within `eps` of the given one, pixels between `low` and `high`.

    Parameters
    ----------
    norm : a key of `NORMS`
    eps : radius in units of the pixels, 0 or more; for linf less than the range of pixels
    low, high : range of pixels

    Raises
    ------
    UserError
        an unknown norm, or a radius that no threat has, such as 4 where 4/255 is meant

    Examples
    --------
    >>> str(Threat("linf", 4 / 255)), str(Threat("l2", 3.0))
    ('linf:4/255', 'l2:3.0')
    """

    norm: str
    eps: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self):
        if self.norm not in NORMS:
            raise UserError(f"unknown norm '{self.norm}'.{suggest(self.norm, NORMS)}")
        if not (math.isfinite(self.eps) and self.eps >= 0):
            raise UserError(f"a radius of {self.eps} is not possible: give 0 or more, for example 4/255.")
        if self.norm == "linf" and self.eps >= self.high - self.low:
            raise UserError(
                f"linf with a radius of {self.eps:g} reaches every image: pixels lie in {self.low:g} to "
                f"{self.high:g}. Did you mean {self.eps:g}/255?"
            )

    def __str__(self) -> str:
        levels = round(self.eps * 255)
        as_levels = self.norm == "linf" and levels > 0 and levels / 255 == self.eps
        return f"{self.norm}:{levels}/255" if as_levels else f"{self.norm}:{self.eps}"

    def project(self, adversarial: Tensor, pixels: Tensor) -> Tensor:
        """The nearest allowed image: first into the ball around `pixels`, then into the range.

        The ball is smaller by what rounding `pixels + delta` can add (3e-8 a pixel in float32), so that the result
        lies within `eps` in exact arithmetic too.

        Parameters
        ----------
        adversarial, pixels : Tensor of shape (n, …), the latter within the range

        Returns
        -------
        Tensor of the same shape and dtype
        """
        norm = NORMS[self.norm]
        half_step = torch.finfo(pixels.dtype).eps / 4 * max(abs(self.low), abs(self.high))
        inside = max(self.eps - half_step * norm.rounding(pixels.shape[1:].numel()), 0.0)
        delta = norm.project(adversarial - pixels, inside)
        return delta.add_(pixels).clamp_(self.low, self.high)

    def random_start(self, pixels: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """A random allowed image for each image, uniform in the ball before the range cuts it.

        Parameters
        ----------
        pixels : Tensor of shape (n, …)
        generators : one for each image, on the CPU, see `generators_of`: the noise is drawn there in float32, so that
            every device and precision starts from the same images
        """
        noise = torch.empty(pixels.shape, dtype=torch.float32)
        for image, generator in zip(noise, generators, strict=True):
            NORMS[self.norm].start(image, generator)
        return self.project(pixels + self.eps * noise.to(pixels), pixels)


def generators_of(seed: int, identities: Iterable[int | str], restart: int = 0) -> list[torch.Generator]:
    """One random generator for each image, whose noise depends on (seed, image, restart) and on nothing else.

    So an image meets the same noise alone and in any batch.

    Parameters
    ----------
    seed : of the run
    identities : what names each image in the whole set: its index, file name or hash
    restart : which try

    Examples
    --------
    >>> alone, = generators_of(0, ["cat.png"])
    >>> _, second = generators_of(0, ["dog.png", "cat.png"])
    >>> alone.initial_seed() == second.initial_seed()
    True
    """
    texts = (f"{seed}\n{identity}\n{restart}" for identity in identities)
    seeds = (int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") for text in texts)
    return [torch.Generator().manual_seed(number) for number in seeds]


def parse_threat(text: str) -> Threat:
    """Read a threat as it is typed: `linf:4/255`, `l2:3.0`.

    Raises
    ------
    UserError
        with what is possible

    Examples
    --------
    >>> parse_threat("linf:4/255").eps == 4 / 255
    True
    """
    norm, colon, eps = text.strip().partition(":")
    if not colon:
        raise UserError(f"'{text}' is no threat: write norm:radius, for example linf:4/255 or l2:3.0.")
    return Threat(norm.lower(), parse_number(eps))


def parse_number(text: str) -> float:
    """Read a number or a fraction, without eval.

    Raises
    ------
    UserError
        the text is neither

    Examples
    --------
    >>> parse_number("0.5"), parse_number("1.25/5")
    (0.5, 0.25)
    """
    numerator, slash, denominator = text.partition("/")
    try:
        value = float(numerator) / (float(denominator) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"'{text}' is no number: write it as 0.5 or 4/255.")
    return value
