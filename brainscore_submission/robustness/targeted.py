"""The attack of Berrios & Deza (2022), Figure 1: a photo is moved until the network sees a goldfish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ..attacks.classifier import Classifier
from ..attacks.pgd import pgd
from ..attacks.threats import Threat, l2_size
from ..labelled_images.images import Batch, LabelledImages
from ..labelled_images.sources import SUFFIXES
from ..plugin.card import Preprocessing
from ..plugin.errors import UserError
from ..plugin.files import file_sha256
from ..plugin.preprocessing import read_pixels, unit_range
from ..words import few
from .blocks import Look
from .classifiers import clean_logits

N_FRAMES = 24


def read_photos(where: Sequence[Path], preprocessing: Preprocessing) -> LabelledImages:
    """Photos without labels, in the frame of a network.

    Parameters
    ----------
    where : image files, and folders of them

    Raises
    ------
    UserError
        no photo, or one that cannot be read
    """
    found = [file for path in where for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    files = [file for file in found if file.suffix.lower() in SUFFIXES]
    others = [file.name for file in found if file.suffix.lower() not in SUFFIXES]
    names = [file.name for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if not files or twice:
        raise UserError(f"{few(where)}: " + (f"{twice} is there twice." if twice else "no photos there."))
    for file in files:
        read_pixels(file, preprocessing)  # a broken one is named before long work
    return LabelledImages(
        name="photos",
        identities=tuple(names),
        labels=np.zeros(len(files), dtype=np.int64),
        hashes=tuple(file_sha256(file) for file in files),
        read=lambda row: read_pixels(files[row], preprocessing),
        preprocessing=preprocessing,
        notes=(f"passed over, no photos: {few(others)}.",) if others else (),
    )


def frame_steps(steps: int) -> list[int]:
    """Steps of which a frame is kept: 0, then ever further apart, since most happens early.

    Examples
    --------
    >>> frame_steps(500)[:6], frame_steps(500)[-2:], len(frame_steps(500))
    ([0, 1, 2, 3, 4, 5], [386, 500], 24)
    """
    return sorted({0, *(round(steps ** (k / N_FRAMES)) for k in range(N_FRAMES + 1))})


def towards(classifier: Classifier, target: int, *, eps: float, steps: int, step: float) -> Look:
    """Descend the cross-entropy to the target: step · g / ‖g‖₂, into the l2 ball, into [0, 1]; the best iterate counts.

    Parameters
    ----------
    target : class to reach
    eps, step : in units of pixels in [0, 1]; the paper's are 300 and 1 [inferred], 500 steps

    Returns
    -------
    callable, Batch -> `adversarial`, uint8 of shape (n, 3, px, px), as a PNG holds it; `p_target` and `norm` of that
    picture; `first`, the class of the photo; `possible`, the largest l2 distance from it within [0, 1]; `frames`, uint8
    of shape (n, k, 3, px, px), of `frame_steps`; and `curve` and `norms` of shape (n, steps + 1): cross-entropy to the
    target in nats and l2 norm at the start and after each step
    """
    kept = set(frame_steps(steps))

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        pixels = batch.pixels.to(classifier.device_of(batch.pixels))
        first = clean_logits(classifier, pixels).argmax(1)
        frames, norms = [], []

        def watch(number: int, images: torch.Tensor) -> None:
            norms.append(l2_size(images - pixels).cpu())
            if number in kept:
                frames.append(as_bytes(images))

        attack = pgd(
            classifier, pixels, first, Threat("l2", eps),
            steps=steps, step=step, targets=target, start="image", watch=watch,
        )  # fmt: skip
        saved = as_bytes(attack.adversarial)
        shown = unit_range(saved).to(pixels.device)
        return {
            "adversarial": saved.numpy(),
            "p_target": clean_logits(classifier, shown).softmax(1)[:, target].cpu().numpy(),
            "norm": l2_size(shown - pixels).cpu().numpy(),
            "first": first.cpu().numpy(),
            "possible": l2_size(torch.maximum(pixels, 1 - pixels)).cpu().numpy(),
            "frames": torch.stack(frames, dim=1).numpy(),
            "curve": attack.curve.cpu().numpy(),
            "norms": torch.stack(norms, dim=1).numpy(),
        }

    return look


def as_bytes(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels in [0, 1] as 0 to 255, rounded: uint8 on the CPU."""
    return (pixels * 255).round().to(torch.uint8).cpu()
