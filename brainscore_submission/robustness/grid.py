"""How fast attacks converge: the losses that PGD reaches with few and with many steps, over checkpoints and seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..attacks.classifier import Classifier
from ..attacks.losses import cross_entropy
from ..attacks.pgd import pgd
from ..attacks.threats import Threat
from ..labelled_images.images import Batch, LabelledImages
from .blocks import Look, image_by_image
from .classifiers import clean_logits

STEP = 1.5  # of eps / steps, as the recipe trains with
CURVE_STEPS = (0, 1, 2, 5, 10, 50, 100, 200, 500)


def pgd_losses(classifier: Classifier, threat: Threat, steps: int, seed: int) -> Look:
    """Attack every image, classified correctly or not, and keep the last iterate, as adversarial training does.

    Returns
    -------
    callable, Batch -> arrays of shape (n,): cross-entropies `loss` and `adv_loss` in nats, and the place of the label
    among the classes, 0 for the first, `rank` and `adv_rank`
    """

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        pixels, labels = (values.to(classifier.device_of(batch.pixels)) for values in (batch.pixels, batch.labels))
        attack = pgd(
            classifier, pixels, labels, threat,
            steps=steps, step=STEP * threat.eps / steps, keep="last", seed=seed, identities=batch.identities,
        )  # fmt: skip
        clean, attacked = clean_logits(classifier, pixels), clean_logits(classifier, attack.adversarial)
        return {
            "loss": cross_entropy(clean, labels).double().cpu().numpy(),
            "adv_loss": cross_entropy(attacked, labels).double().cpu().numpy(),
            "rank": rank_of(clean, labels),
            "adv_rank": rank_of(attacked, labels),
        }

    return look


def rank_of(logits: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """How many classes stand before the label, ties by index as `argmax` breaks them: int of shape (n,)."""
    own = logits.gather(1, labels[:, None])
    before = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    return ((logits > own) | ((logits == own) & before)).sum(1).cpu().numpy()


def grid_rows(
    classifier: Classifier,
    images: LabelledImages,
    threat: Threat,
    *,
    steps: Sequence[int],
    seeds: Sequence[int],
    size: int,
    unfinished: Mapping[tuple[int, int], Path] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[dict]:
    """One row of the columns `summary.COLUMNS`, model and epoch aside, for each seed and number of steps.

    Accuracies are in per cent, losses the mean over images in nats.

    Parameters
    ----------
    unfinished : (seed, steps) -> folder, as of `blocks.image_by_image`
    """
    rows = []
    for seed in seeds:
        for number in steps:
            seen = image_by_image(
                images,
                pgd_losses(classifier, threat, number, seed),
                size=size,
                unfinished=unfinished and unfinished[seed, number],
                progress=partial(progress, f"pgd:{number}, seed {seed}") if progress else None,
            )
            shares = {
                f"{robust}top{k}": 100 * float((seen[rank] < k).mean())
                for robust, rank in (("", "rank"), ("robust_", "adv_rank"))
                for k in (1, 5)
            }
            losses = {name: float(seen[name].mean()) for name in ("loss", "adv_loss")}
            rows.append({"seed": seed, "attack": "pgd", "attack_steps": number} | shares | losses)
    return rows


def loss_curves(classifier: Classifier, threat: Threat, steps: int, seed: int) -> Look:
    """The cross-entropy at the start and after each step of one run of PGD, with steps of eps / 4.

    Returns
    -------
    callable, Batch -> `correct` of shape (n,); `curve` of shape (n, steps + 1), NaN for images that are misclassified
    """

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        pixels, labels = (values.to(classifier.device_of(batch.pixels)) for values in (batch.pixels, batch.labels))
        correct = clean_logits(classifier, pixels).argmax(1) == labels
        names = [name for name, right in zip(batch.identities, correct.tolist(), strict=True) if right]
        curves = np.full((len(labels), steps + 1), np.nan)
        if names:
            attack = pgd(
                classifier, pixels[correct], labels[correct], threat,
                steps=steps, step=threat.eps / 4, seed=seed, identities=names,
            )  # fmt: skip
            curves[correct.cpu().numpy()] = attack.curve.double().cpu().numpy()
        return {"correct": correct.cpu().numpy(), "curve": curves}

    return look
