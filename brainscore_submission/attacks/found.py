"""What an attack found, image by image, and how tries are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .losses import cross_entropy
from .threats import NORMS


@dataclass(frozen=True)
class Attack:
    """Perturbed images and what became of them.

    Parameters
    ----------
    adversarial : Tensor of shape (n, …): the strongest image met; for a search of the smallest perturbation, the image
        itself where none was found
    found : bool of shape (n,): the network's first class is not the label; in a targeted attack, it is the target
    size : float64 of shape (n,): the perturbation's norm. NaN where not found, never 0
    loss : of shape (n,): cross-entropy of `adversarial` in nats, to the label (large when the attack works) or, in a
        targeted attack, to the target (small when it works: p(target) = exp(-loss))
    curve : of shape (n, points): that cross-entropy at the start and after each step of the try that is kept; NaN
        beyond a shorter try's end; no points for a search of the smallest perturbation
    passes : float64 of shape (n,): how often the image went through the network
    """

    adversarial: Tensor
    found: Tensor
    size: Tensor
    loss: Tensor
    curve: Tensor
    passes: Tensor


class Strongest:
    """The strongest images met on a way: one that reached the goal before one that did not, then the larger value.

    Parameters
    ----------
    labels : Tensor of shape (n,)
    targets : Tensor of shape (n,), or None where any class but the label will do
    last : keep the images met last instead

    Attributes
    ----------
    adversarial, logits, found, values : of the strongest images
    curve : list of Tensor of shape (n,), cross-entropies in the order met
    """

    def __init__(self, labels: Tensor, targets: Tensor | None = None, last: bool = False):
        self.labels, self.targets, self.last = labels, targets, last
        self.adversarial = self.logits = self.found = self.values = None
        self.curve: list[Tensor] = []

    def meet(self, adversarial: Tensor, values: Tensor, logits: Tensor) -> None:
        """Look at the images of one step."""
        found = reached(logits, self.labels, self.targets)
        self.curve.append(cross_entropy(logits, self.labels if self.targets is None else self.targets))
        if self.adversarial is None or self.last:
            self.adversarial, self.logits, self.found, self.values = adversarial, logits, found, values
            return
        better = (found & ~self.found) | ((found == self.found) & (values > self.values))
        self.adversarial = choose(better, adversarial, self.adversarial)
        self.logits = choose(better, logits, self.logits)
        self.values = choose(better, values, self.values)
        self.found = self.found | found

    def result(self, pixels: Tensor, norm: str, passes: float) -> Attack:
        """The strongest images as a result."""
        return outcome(
            self.adversarial, pixels, self.logits, self.labels, self.targets, norm, torch.stack(self.curve, 1), passes
        )


def choose(which: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Image by image: `yes` where `which`, of shape (n,), is true, else `no`."""
    return torch.where(which.view(-1, *[1] * (yes.ndim - 1)), yes, no)


def reached(logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
    """Whether the first class is another than the label, or the target if there is one: bool of shape (n,)."""
    first = logits.argmax(1)
    return first != labels if targets is None else first == targets


def outcome(
    adversarial: Tensor,
    pixels: Tensor,
    logits: Tensor,
    labels: Tensor,
    targets: Tensor | None,
    norm: str,
    curve: Tensor,
    passes: float,
) -> Attack:
    """A result from the images and the logits that the network gave for them."""
    found = reached(logits, labels, targets)
    size = NORMS[norm].size(adversarial.double() - pixels.double())
    return Attack(
        adversarial=adversarial,
        found=found,
        size=size.where(found, torch.nan),
        loss=cross_entropy(logits, labels if targets is None else targets),
        curve=curve,
        passes=torch.full_like(size, passes),
    )


def nothing_found(pixels: Tensor) -> Attack:
    """The result before any try: each image as it is."""
    count = len(pixels)
    size = torch.full((count,), torch.nan, dtype=torch.float64, device=pixels.device)
    return Attack(
        adversarial=pixels.clone(),
        found=torch.zeros(count, dtype=torch.bool, device=pixels.device),
        size=size,
        loss=pixels.new_full((count,), torch.nan),
        curve=pixels.new_empty((count, 0)),
        passes=torch.zeros_like(size),
    )


def until_found(pixels: Tensor, tries: Iterable[Callable[[Tensor], Attack]], targeted: bool) -> Attack:
    """Try after try, each on the images that none before has found; the strongest result of each image counts.

    Parameters
    ----------
    pixels : Tensor of shape (n, …)
    tries : each takes indices of images, of shape (m,), and gives the result of those
    targeted : whether a small cross-entropy is the stronger one

    Returns
    -------
    Attack; passes are added over the tries
    """
    best = vars(nothing_found(pixels)).copy()
    for attempt in tries:
        rows = (~best["found"]).nonzero().squeeze(1)
        if not len(rows):
            break
        new = vars(attempt(rows))
        before = best["loss"][rows]
        gain = before - new["loss"] if targeted else new["loss"] - before
        better = new["found"] | (gain > 0) | before.isnan()  # NaN: the first try of this image
        width = max(best["curve"].shape[1], new["curve"].shape[1])
        best["curve"] = _padded(best["curve"], width)
        for name, values in (new | {"curve": _padded(new["curve"], width)}).items():
            if name == "passes":
                best[name][rows] += values
            else:
                best[name][rows[better]] = values[better]
    return Attack(**best)


def smaller(one: Attack, other: Attack) -> Attack:
    """Image by image the smaller perturbation of two searches; passes are added."""
    takes_other = other.found & ~(one.size <= other.size)
    chosen = {name: choose(takes_other, values, vars(one)[name]) for name, values in vars(other).items()}
    return Attack(**chosen | {"passes": one.passes + other.passes})


def joined(attacks: Sequence[Attack]) -> Attack:
    """Results of blocks of images as one, in the order given."""
    width = max(attack.curve.shape[1] for attack in attacks)
    blocks = [vars(attack) | {"curve": _padded(attack.curve, width)} for attack in attacks]
    return Attack(**{name: torch.cat([block[name] for block in blocks]) for name in blocks[0]})


def _padded(curve: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(curve, (0, width - curve.shape[1]), value=torch.nan)
