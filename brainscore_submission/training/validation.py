"""How good a network is after an epoch, clean and attacked; and the alarm for catastrophic overfitting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..attacks.classifier import Classifier
from ..attacks.pgd import pgd
from ..labelled_images.images import LabelledImages
from .processes import Processes
from .recipes import Recipe

FALL = 0.10  # of PGD accuracy below its best, while FGSM accuracy did not fall


def validate(
    classifier: Classifier,
    images: LabelledImages,
    recipe: Recipe,
    processes: Processes,
    progress: Callable[[int, int], None],
) -> dict[str, float]:
    """Shares of images that are classified correctly.

    Parameters
    ----------
    classifier : of the network in eval mode
    images : all of them are looked at, each process at its part
    progress : called with (images done, of how many), of this process

    Returns
    -------
    dict of top1, top5, fgsm_top1 (one step as in training, from a random start), robust_top1 (PGD with restarts), each
    0 to 1, and of images
    """
    rows = list(range(len(images)))[processes.rank :: processes.world]
    right = torch.zeros(5, dtype=torch.float64, device=processes.device)
    done = 0
    for batch in images.batches(recipe.batch, rows) if rows else ():
        pixels, labels = batch.pixels.to(processes.device), batch.labels.to(processes.device)
        right += _right(classifier, pixels.to(classifier.dtype), labels, recipe, batch.identities)
        done += len(pixels)
        progress(done, len(rows))
    processes.sum_([right])
    top1, top5, fgsm, robust, n = right.tolist()
    shares = {"top1": top1 / n, "top5": top5 / n, "fgsm_top1": fgsm / n, "robust_top1": robust / n}
    return shares | {"images": int(n)}


def _right(classifier: Classifier, pixels: Tensor, labels: Tensor, recipe: Recipe, names: Sequence[str]) -> Tensor:
    """How many are right: clean, among the first five, after one step, after PGD; and how many there are."""
    adversary, plan = recipe.adversary, recipe.validation
    with torch.no_grad():
        logits = classifier(pixels)
    first_five = (logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]).any(1)
    right = logits.argmax(1) == labels
    kept, names = right.nonzero().squeeze(1), [name for name, fine in zip(names, right.tolist(), strict=True) if fine]
    counts = [int(right.sum()), int(first_five.sum()), 0, 0, len(labels)]
    if len(kept):
        asked = {"seed": recipe.seed, "identities": names}
        within, given = adversary.within, (classifier, pixels[kept], labels[kept], adversary.within)
        step = adversary.step * within.eps
        once = pgd(*given, steps=1, step=step, start=adversary.start, keep="last", **asked)
        often = pgd(*given, steps=plan.steps, restarts=plan.restarts, **asked)
        counts[2:4] = int((~once.found).sum()), int((~often.found).sum())
    return torch.tensor(counts, dtype=torch.float64, device=pixels.device)


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """The epoch with the largest robust top-1, of several that with the largest clean one; epochs count from 0."""
    return max(range(len(history)), key=lambda epoch: (history[epoch]["robust_top1"], history[epoch]["top1"]))


def overfitted(history: Sequence[Mapping[str, float]]) -> str | None:
    """What to say where adversarial training has collapsed (Wong et al. 2020, section 5.4), else None.

    The network has learned to defeat one step and nothing else: accuracy under FGSM is as high as at the best epoch or
    higher, and under PGD more than 10 points lower.

    Examples
    --------
    >>> good, worse, broken = (
    ...     {"top1": 0.9, "fgsm_top1": fgsm, "robust_top1": pgd} for fgsm, pgd in ((0.6, 0.5), (0.7, 0.45), (0.9, 0.0))
    ... )
    >>> overfitted([good, worse])
    >>> overfitted([good, broken]).partition(":")[0]
    'catastrophic overfitting after epoch 1'
    """
    if not history:
        return None
    best, now = best_epoch(history), history[-1]
    was = history[best]
    if now["fgsm_top1"] < was["fgsm_top1"] or now["robust_top1"] >= was["robust_top1"] - FALL:
        return None
    return (
        f"catastrophic overfitting after epoch {len(history) - 1}: top-1 under PGD fell from "
        f"{was['robust_top1']:.3f} (epoch {best}) to {now['robust_top1']:.3f}, under one step it is "
        f"{now['fgsm_top1']:.3f}."
        f"\nEpoch {best} can be exported. Train with a smaller radius, a random start, a step of 1.25 or PGD; or say "
        "alarm = false under [validation]."
    )
