"""AutoAttack (Croce & Hein 2020) through the package pyautoattack, the only file that imports it."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from ..plugin.errors import UserError, suggest
from .classifier import Classifier, admitted
from .found import Attack, nothing_found, outcome
from .losses import cross_entropy
from .threats import Threat

VERSIONS = {
    "standard": ("apgd-ce", "apgd-t", "fab-t", "square"),
    "apgd-ce": ("apgd-ce",),
    "apgd-t": ("apgd-t",),
}
PYAUTOATTACK_NORMS = {"linf": "Linf", "l2": "L2"}
MOST_TARGETS = 9


def autoattack(
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    threat: Threat,
    *,
    version: str = "standard",
    seed: int = 0,
    batch_size: int = 250,
) -> Attack:
    """AutoAttack as its authors published it, judged anew: images are put within the threat and classified again.

    Its random numbers come from one stream over the batch, so an image alone and in a batch may differ. The global
    random state stays as it was.

    Parameters
    ----------
    classifier, pixels, labels, threat : as in `pgd`; pixels in [0, 1], at least four classes
    version : a key of `VERSIONS`
    seed : of its random starts

    Returns
    -------
    Attack; `passes` is the mean over the images; images that were not broken are given as they are

    Raises
    ------
    UserError
        pyautoattack is not installed, or a threat or network that it cannot attack
    """
    if version not in VERSIONS:
        raise UserError(f"unknown version '{version}' of AutoAttack.{suggest(version, VERSIONS)}")
    if (threat.low, threat.high) != (0.0, 1.0):
        raise UserError(f"AutoAttack takes pixels in 0 to 1, not {threat.low:g} to {threat.high:g}.")
    try:
        from pyautoattack import AutoAttack
    except ImportError as error:
        raise UserError(
            "AutoAttack needs the package pyautoattack: pip install 'brainscore-submission[robustness]'. "
            "The attack 'union' comes close to it without."
        ) from error
    with admitted(classifier, pixels, labels) as (pixels, labels, _):
        if not len(pixels):
            return nothing_found(pixels)
        if classifier.n_classes < 4:
            raise UserError(
                f"AutoAttack needs at least four classes, the network has {classifier.n_classes}: use pgd or apgd."
            )
        before, tracer = classifier.passes, sys.gettrace()
        devices = [pixels.device] if pixels.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            theirs = AutoAttack(
                classifier,
                attacks=list(VERSIONS[version]),
                eps=threat.eps,
                norm=PYAUTOATTACK_NORMS[threat.norm],
                seed=seed,
                version="custom",
                device=pixels.device,
            )
            theirs.apgd.n_restarts = theirs.fab.n_restarts = 1  # as in their "standard"
            n_targets = min(MOST_TARGETS, classifier.n_classes - 1)
            theirs.apgd_targeted.n_target_classes = theirs.fab.n_target_classes = n_targets
            adversarial, _ = theirs.run_standard_evaluation(pixels, labels, batch_size=batch_size)
        sys.settrace(tracer)  # theirs looks for gradients taken inside the network, and leaves no tracer behind
        adversarial = threat.project(adversarial.to(pixels), pixels)
        with torch.no_grad():
            logits = classifier(adversarial)
        passes = (classifier.passes - before) / len(pixels)
        curve = cross_entropy(logits, labels)[:, None]
        return outcome(adversarial, pixels, logits, labels, None, threat.norm, curve, passes)
