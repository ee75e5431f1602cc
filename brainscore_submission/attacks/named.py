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
    """How an attack is run, and what may be typed with it.

    Parameters
    ----------
    run : (classifier, pixels, labels, threat, …) -> Attack
    steps : default number of steps; None where it takes none
    repeats : default number of repeats; None where it takes none
    repeats_are : the argument of `run` that repeats are
    takes : which of "targets", "seed" and "identities" `run` takes
    """

    run: Callable[..., Attack]
    steps: int | None = None
    repeats: int | None = None
    repeats_are: str = "restarts"
    takes: tuple[str, ...] = ()


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
    if targets is not None and "targets" not in kind.takes:
        able = ", ".join(name for name, other in ATTACKS.items() if "targets" in other.takes)
        raise UserError(f"the attack '{named.name}' cannot aim at a class; these can: {able}.")
    given = {"targets": targets, "seed": seed, "identities": identities}
    options = {name: given[name] for name in kind.takes}
    if kind.steps is not None:
        options["steps"] = named.steps
    if kind.repeats is not None:
        options[kind.repeats_are] = named.repeats
    return kind.run(classifier, pixels, labels, threat, **options)


def most_passes(named: Named | str, norm: str, n_classes: int) -> tuple[int, int]:
    """How often an image goes through the network at most, forward and, of these, forward and back.

    An image that is found early costs less where there are several tries. AutoAttack's numbers are those of its
    parts: Auto-PGD 100 steps, FAB 100 steps and 5000 queries of Square, 9 targets each where aimed.

    Examples
    --------
    >>> most_passes("pgd:10x1", "linf", 1000), most_passes("union", "linf", 1000)
    ((11, 10), (1268, 1251))
    """
    named = parse_attack(named) if isinstance(named, str) else named
    aims = min(9, n_classes - 1)
    if named.name == "union":
        names = UNION_L2 if norm == "l2" else UNION
        parts = [most_passes(part, norm, n_classes) for part in names if n_classes > 3 or not part.startswith("apgd-t")]
        return sum(forward for forward, _ in parts), sum(backward for _, backward in parts)
    tries = 1 if named.repeats is None else named.repeats
    if named.name == "apgd-t":
        tries = min(tries, n_classes - 1)
        return (named.steps + 1) * tries + 1, named.steps * tries
    if named.name == "minimal":
        return named.steps + 30 + 2 * 21 + 1 + aims, named.steps + 30 + aims
    fixed = {"fgsm": (2, 1), "linsley2023": (36, 27), "autoattack": (101 + 201 * aims + 5000, 100 + 200 * aims)}
    return fixed[named.name] if named.name in fixed else ((named.steps + 1) * tries, named.steps * tries)


def union(
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    threat: Threat,
    *,
    seed: int = 0,
    identities: Sequence[int | str] | None = None,
) -> Attack:
    """One attack after the other, each on the images that none before has found: no attack dominates.

    The attacks are `UNION`, for l2 `UNION_L2`, the cheap ones first; apgd-t where the network has the four classes it
    needs. Parameters, result and errors as in `pgd`.
    """
    identities = range(len(pixels)) if identities is None else identities

    def attempt(text: str, rows: Tensor) -> Attack:
        theirs = [identities[row] for row in rows.tolist()]
        return run_attack(text, classifier, pixels[rows], labels[rows], threat, seed=seed, identities=theirs)

    with admitted(classifier, pixels, labels, None, threat.low, threat.high) as (pixels, labels, _):
        names = UNION_L2 if threat.norm == "l2" else UNION
        if len(pixels) and classifier.n_classes < 4:
            names = [name for name in names if not name.startswith("apgd-t")]
        return until_found(pixels, [partial(attempt, name) for name in names], targeted=False)


def _within(
    search: Callable[..., Attack], classifier: Classifier, pixels: Tensor, labels: Tensor, threat: Threat, **options
) -> Attack:
    """A search of the smallest perturbation; images beyond the threat's radius put back as they were, not found."""
    if threat.norm != "l2":
        raise UserError(f"this attack looks for the smallest l2 perturbation: give an l2 threat, not {threat}.")
    found = search(classifier, pixels, labels, low=threat.low, high=threat.high, **options)
    inside = found.found & (found.size <= threat.eps)
    return Attack(
        adversarial=choose(inside, found.adversarial, pixels.to(found.adversarial)),
        found=inside,
        size=found.size.where(inside, torch.nan),
        loss=found.loss.where(inside, torch.nan),
        curve=found.curve,
        passes=found.passes,
    )


RANDOM, AIMED = ("seed", "identities"), ("targets", "seed", "identities")
ATTACKS = {
    "fgsm": Kind(fgsm, takes=("targets",)),
    "pgd": Kind(pgd, steps=10, repeats=1, takes=AIMED),
    "apgd": Kind(partial(apgd, loss="ce"), steps=100, repeats=1, takes=AIMED),
    "apgd-dlr": Kind(partial(apgd, loss="dlr"), steps=100, repeats=1, takes=AIMED),
    "apgd-t": Kind(apgd_targeted, steps=100, repeats=9, repeats_are="n_targets", takes=RANDOM),
    "minimal": Kind(partial(_within, minimal_l2), steps=100, takes=("targets",)),
    "linsley2023": Kind(partial(_within, linsley2023)),
    "union": Kind(union, takes=RANDOM),
    "autoattack": Kind(autoattack, takes=("seed",)),
}
