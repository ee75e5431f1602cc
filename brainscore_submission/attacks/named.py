"""Attacks by name: what is typed after --attack, read and run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ..plugin.errors import UserError, suggest
from .apgd import apgd, apgd_targeted
from .autoattack import autoattack
from .classifier import Classifier, admitted
from .found import Attack, choose, until_found
from .linsley2023 import linsley2023
from .minimal import minimal_l2
from .pgd import fgsm, pgd
from .threats import Threat

UNION = ("fgsm", "pgd:50x5", "apgd:100x1", "apgd-t:100x9")
UNION_L2 = (*UNION, "minimal:100")


@dataclass(frozen=True)
class Named:
    """An attack as it is typed: a name, and steps and repeats where it takes them.

    Parameters
    ----------
    name : a key of `ATTACKS`
    steps : of each try
    repeats : tries from other random starts; of `apgd-t`, classes aimed at
    """

    name: str
    steps: int | None = None
    repeats: int | None = None

    def __str__(self) -> str:
        numbers = [str(number) for number in (self.steps, self.repeats) if number is not None]
        return self.name + (":" + "x".join(numbers) if numbers else "")


class Kind(NamedTuple):
    """What an attack takes: default steps and repeats, None where it takes none; whether it can aim at a class.

    `run` takes (named, classifier, pixels, labels, threat, targets, seed, identities).
    """

    run: Callable[..., Attack]
    steps: int | None = None
    repeats: int | None = None
    aims: bool = False


def parse_attack(text: str) -> Named:
    """Read an attack as it is typed: `fgsm`, `pgd:10x1` (steps x restarts), `apgd`, `minimal:100`, `union`, …

    Raises
    ------
    UserError
        with what is possible

    Examples
    --------
    >>> str(parse_attack("pgd:20")), str(parse_attack("apgd")), str(parse_attack("fgsm"))
    ('pgd:20x1', 'apgd:100x1', 'fgsm')
    """
    name, colon, numbers = text.strip().lower().partition(":")
    if name not in ATTACKS:
        raise UserError(f"unknown attack '{name}'.{suggest(name, ATTACKS)}")
    kind = ATTACKS[name]
    form = name + (":STEPS" if kind.steps else "") + ("xREPEATS" if kind.repeats else "")
    if not colon:
        return Named(name, kind.steps, kind.repeats)
    if kind.steps is None:
        raise UserError(f"the attack '{name}' takes no numbers: write {name}.")
    read = re.fullmatch(r"([1-9]\d{0,5})(?:x([1-9]\d{0,5}))?", numbers)
    if read is None or (read[2] and kind.repeats is None):
        example = Named(name, kind.steps, kind.repeats)
        raise UserError(f"'{text}' cannot be read: write {form} with whole numbers from 1 on, for example {example}.")
    return Named(name, int(read[1]), int(read[2]) if read[2] else kind.repeats)


def run_attack(
    named: Named | str,
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    threat: Threat,
    *,
    targets: Tensor | int | None = None,
    seed: int = 0,
    identities: Sequence[int | str] | None = None,
) -> Attack:
    """Run an attack by its name.

    Parameters
    ----------
    named : from `parse_attack`, or its text
    classifier, pixels, labels, threat, targets, seed, identities : as in `pgd`. The searches of the smallest
        perturbation, `minimal` and `linsley2023`, take an l2 threat and count as found what lies within it

    Returns
    -------
    Attack

    Raises
    ------
    UserError
        a target for an attack that takes none, a threat that the attack does not know; and what `pgd` refuses
    """
    named = parse_attack(named) if isinstance(named, str) else named
    kind = ATTACKS[named.name]
    if targets is not None and not kind.aims:
        able = ", ".join(name for name, other in ATTACKS.items() if other.aims)
        raise UserError(f"the attack '{named.name}' cannot aim at a class; these can: {able}.")
    return kind.run(named, classifier, pixels, labels, threat, targets, seed, identities)


def _fgsm(named, classifier, pixels, labels, threat, targets, seed, identities) -> Attack:
    return fgsm(classifier, pixels, labels, threat, targets=targets)


def _pgd(named, classifier, pixels, labels, threat, targets, seed, identities) -> Attack:
    return pgd(
        classifier, pixels, labels, threat,
        steps=named.steps, restarts=named.repeats, targets=targets, seed=seed, identities=identities,
    )  # fmt: skip


def _apgd(loss, named, classifier, pixels, labels, threat, targets, seed, identities) -> Attack:
    return apgd(
        classifier, pixels, labels, threat,
        loss=loss, steps=named.steps, restarts=named.repeats, targets=targets, seed=seed, identities=identities,
    )  # fmt: skip


def _apgd_targeted(named, classifier, pixels, labels, threat, targets, seed, identities) -> Attack:
    return apgd_targeted(
        classifier, pixels, labels, threat,
        steps=named.steps, n_targets=named.repeats, seed=seed, identities=identities,
    )  # fmt: skip


def _autoattack(named, classifier, pixels, labels, threat, targets, seed, identities) -> Attack:
    return autoattack(classifier, pixels, labels, threat, seed=seed)


def _minimal(named, classifier, pixels, labels, threat, targets, seed, identities) -> Attack:
    _require_l2(named, threat)
    found = minimal_l2(classifier, pixels, labels, steps=named.steps, targets=targets, low=threat.low, high=threat.high)
    return _within(found, pixels, threat)


def _linsley2023(named, classifier, pixels, labels, threat, targets, seed, identities) -> Attack:
    _require_l2(named, threat)
    return _within(linsley2023(classifier, pixels, labels, low=threat.low, high=threat.high), pixels, threat)


def _union(named, classifier, pixels, labels, threat, targets, seed, identities) -> Attack:
    """One attack after the other, each on the images that none before has found."""
    identities = range(len(pixels)) if identities is None else identities

    def attempt(text: str, rows: Tensor) -> Attack:
        theirs = [identities[row] for row in rows.tolist()]
        return run_attack(text, classifier, pixels[rows], labels[rows], threat, seed=seed, identities=theirs)

    with admitted(classifier, pixels, labels, None, threat.low, threat.high) as (pixels, labels, _):
        parts = [
            text
            for text in (UNION_L2 if threat.norm == "l2" else UNION)
            if classifier.n_classes is None or classifier.n_classes >= 4 or not text.startswith("apgd-t")
        ]
        return until_found(pixels, [partial(attempt, text) for text in parts], targeted=False)


def _require_l2(named: Named, threat: Threat) -> None:
    if threat.norm != "l2":
        raise UserError(
            f"the attack '{named.name}' looks for the smallest l2 perturbation: give an l2 threat, not {threat}."
        )


def _within(found: Attack, pixels: Tensor, threat: Threat) -> Attack:
    """Images beyond the threat's radius put back as they were, not found."""
    inside = found.found & (found.size <= threat.eps)
    return Attack(
        adversarial=choose(inside, found.adversarial, pixels.to(found.adversarial)),
        found=inside,
        size=found.size.where(inside, torch.nan),
        loss=found.loss.where(inside, torch.nan),
        curve=found.curve,
        passes=found.passes,
    )


ATTACKS = {
    "fgsm": Kind(_fgsm, aims=True),
    "pgd": Kind(_pgd, steps=10, repeats=1, aims=True),
    "apgd": Kind(partial(_apgd, "ce"), steps=100, repeats=1, aims=True),
    "apgd-dlr": Kind(partial(_apgd, "dlr"), steps=100, repeats=1, aims=True),
    "apgd-t": Kind(_apgd_targeted, steps=100, repeats=9),
    "minimal": Kind(_minimal, steps=100, aims=True),
    "linsley2023": Kind(_linsley2023),
    "union": Kind(_union),
    "autoattack": Kind(_autoattack),
}
