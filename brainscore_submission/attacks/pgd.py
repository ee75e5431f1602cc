"""Projected gradient descent, and FGSM as its first step: one loop for every norm, targeted or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from ..plugin.errors import UserError, suggest
from .classifier import Classifier, admitted
from .found import Attack, Strongest, until_found
from .gradients import gradient_at, values_at
from .losses import Loss, Objective, objective
from .threats import NORMS, Threat, generators_of

Watch = Callable[[int, Tensor], None]
KEEP = ("best", "last")
STARTS = ("random", "image")


def fgsm(
    classifier: Classifier, pixels: Tensor, labels: Tensor, threat: Threat, *, targets: Tensor | int | None = None
) -> Attack:
    """The fast gradient sign method (Goodfellow et al. 2015): one step of size eps from the image itself.

    For l2 the step goes along the gradient. Parameters, result and errors as in `pgd`.
    """
    return pgd(
        classifier, pixels, labels, threat,
        steps=1, step=threat.eps, targets=targets, start="image", keep="last",
    )  # fmt: skip


def pgd(
    classifier: Classifier,
    pixels: Tensor,
    labels: Tensor,
    threat: Threat,
    *,
    steps: int,
    step: float | None = None,
    restarts: int = 1,
    targets: Tensor | int | None = None,
    loss: Loss = "ce",
    start: str = "random",
    keep: str = "best",
    seed: int = 0,
    identities: Sequence[int | str] | None = None,
    watch: Watch | None = None,
) -> Attack:
    """Projected gradient descent (Madry et al. 2018): x <- project(x + step * direction(gradient of the loss)).

    Parameters
    ----------
    classifier : Classifier
    pixels : Tensor of shape (n, …), within the threat's range
    labels : integer Tensor of shape (n,)
    threat : Threat
    steps : of each try, 1 or more
    step : size of a step in units of the pixels; by default 2.5 eps / steps, so that a climb can cross the ball
    restarts : tries from other random starts, each on the images that none before has found
    targets : the class to reach, for all images or for each of them; None for any class but the label
    loss : "ce", "difference" or "dlr", or a function of (logits, rows) that gives one value an image; see
        `losses.objective`
    start : "random", uniform in the ball, or "image"
    keep : "best", the strongest image on the way, or "last"
    seed, identities : noise depends on (seed, identity of the image, try) and on nothing else. Identities name the
        images in the whole set, and are 0 … n - 1 if not given
    watch : called with (step, images) at the start, step 0, and after each step, for frames of a film

    Returns
    -------
    Attack, with steps + 1 passes a try

    Raises
    ------
    UserError
        what `admitted` and `gradient_at` refuse

    Examples
    --------
    On a linear network one step takes eps * |w|_1 = 0.1 * 4 from the margin of 0.3, unless the range of pixels is in
    the way.

    >>> import torch
    >>> network = torch.nn.Linear(2, 2, bias=False)
    >>> _ = network.weight.data.copy_(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))
    >>> image, label = torch.tensor([[0.05, 0.1]]), torch.tensor([0])
    >>> fgsm(Classifier(network.eval()), image, label, Threat("linf", 0.1)).found
    tensor([False])
    >>> fgsm(Classifier(network.eval()), image, label, Threat("linf", 0.1, low=-1)).found
    tensor([True])
    """
    _require_among(start, STARTS, "start")
    _require_among(keep, KEEP, "choice of what to keep")
    if steps < 1 or restarts < 1:
        raise UserError(f"pgd takes 1 or more steps and restarts, not {steps} and {restarts}.")
    step = 2.5 * threat.eps / steps if step is None else step
    direction = NORMS[threat.norm].direction
    identities = range(len(pixels)) if identities is None else identities

    def attempt(restart: int, rows: Tensor) -> Attack:
        around = pixels[rows]
        wanted = None if targets is None else targets[rows]
        generators = generators_of(seed, [identities[row] for row in rows.tolist()], restart)
        begin = threat.random_start(around, generators) if start == "random" else around
        strongest = Strongest(labels[rows], wanted, last=keep == "last")
        climb(
            classifier,
            begin,
            objective(loss, labels, targets, rows),
            lambda adversarial, gradient: threat.project(adversarial + step * direction(gradient), around),
            steps,
            strongest,
            watch,
        )
        return strongest.result(around, threat.norm, steps + 1)

    with admitted(classifier, pixels, labels, targets, threat.low, threat.high) as (pixels, labels, targets):
        tries = (partial(attempt, restart) for restart in range(restarts))
        return until_found(pixels, tries, targeted=targets is not None)


def climb(
    classifier: Classifier,
    start: Tensor,
    objective: Objective,
    move: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    strongest: Strongest,
    watch: Watch | None = None,
) -> None:
    """The loop: a gradient and a move, `steps` times; the last image is looked at too.

    Parameters
    ----------
    start : Tensor of shape (n, …)
    objective : logits -> (n,), to be made larger
    move : (images, gradient) -> next images
    strongest : meets the images of each step
    watch : sees them too, see `pgd`
    """
    adversarial = start
    for step in range(steps):
        if watch is not None:
            watch(step, adversarial)
        gradient, values, logits = gradient_at(classifier, adversarial, objective)
        strongest.meet(adversarial, values, logits)
        adversarial = move(adversarial, gradient)
    if watch is not None:
        watch(steps, adversarial)
    strongest.meet(adversarial, *values_at(classifier, adversarial, objective))


def _require_among(given: str, known: Sequence[str], what: str) -> None:
    if given not in known:
        raise UserError(f"unknown {what} '{given}'.{suggest(given, known)}")
