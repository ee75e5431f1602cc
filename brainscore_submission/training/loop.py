"""The training loop, from top to bottom; a killed run that goes on gives the same bits."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from ..attacks.classifier import Classifier
from ..labelled_images.images import LabelledImages
from ..plugin.errors import UserError
from ..plugin.hooks import exact_arithmetic
from ..words import few
from .images import Batch, TrainingImages, Unreadable, fingerprint, hashes_of_some
from .network import Normalised, Opened
from .objectives import Images, loss_of
from .processes import Processes
from .recipes import Recipe
from .schedules import learning_rate, radius_share
from .state import Log, changed_images, load_state, require_same_run, save_epoch, save_state
from .validation import best_epoch, overfitted, validate

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "bfloat16", "float64")
Watch = Callable[[str, int, "int | None"], None]


class Stopped(Exception):  # noqa: N818  (a signal, not an error)
    """The run was asked to stop, and its state is written."""


@dataclass(frozen=True)
class Job:
    """A run: what is trained on what, and how.

    Parameters
    ----------
    recipe, opened, images, held_out : what was asked for, opened
    folder : of the run
    precision : one of `PRECISIONS`; bfloat16 computes passes in it, weights stay float32
    compiled : by torch.compile
    save_minutes : time between states
    log_steps : steps between rows of the log
    """

    recipe: Recipe
    opened: Opened
    images: TrainingImages
    held_out: LabelledImages
    folder: Path
    precision: str = "float32"
    compiled: bool = False
    save_minutes: float = 10.0
    log_steps: int = 20

    @property
    def facts(self) -> dict[str, Any]:
        """What a run must not change while it goes on."""
        card = self.opened.card
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "weights": {name: self.opened.origin.get(name) for name in ("sha256", "seed")},
            "network": {
                "architecture": card.architecture,
                "num_classes": card.num_classes,
                "preprocessing": dataclasses.asdict(card.preprocessing),
            },
            "data": {"fingerprint": fingerprint(self.images.source), "images": len(self.images.rows)},
            "validation": {"images": _names_hash(self.held_out)},
            "precision": self.precision,
        }


class Trainer:
    """The network in training: a step, and what a state holds of it."""

    def __init__(self, job: Job, processes: Processes):
        self.job, self.recipe, self.processes = job, job.recipe, processes
        dtype = torch.float64 if job.precision == "float64" else torch.float32
        self.network = job.opened.network.to(processes.device, dtype)
        whole = Normalised(self.network, job.opened.card.preprocessing, dtype).to(processes.device)
        self.model = torch.compile(whole) if job.compiled else whole
        self.loss, self.optimizer = loss_of(job.recipe), optimizer_of(job.recipe, self.network)
        self.weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.statistics = [buffer for buffer in self.network.buffers() if buffer.is_floating_point()]

    def step(self, number: int, batch: Batch, stopping: bool) -> Tensor:
        """One step of the whole batch, of which this process has a part.

        Parameters
        ----------
        number : steps done before it
        stopping : whether this process was asked to stop

        Returns
        -------
        float64 Tensor: mean loss, images right, processes that were asked to stop, gradient's norm
        """
        recipe, epoch = self.recipe, number / self.job.images.steps
        # What the network draws by itself (dropped paths) depends on the step, not on what was drawn before a kill.
        torch.manual_seed(_seed(recipe.seed, number, self.processes.rank))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe.learning_rate, epoch, recipe.epochs, recipe.batch)
        self.optimizer.zero_grad(set_to_none=True)
        images, kind = Images(batch.pixels, batch.noise), torch.device(self.processes.device).type
        with exact_arithmetic():
            with torch.autocast(kind, torch.bfloat16, enabled=self.job.precision == "bfloat16"):
                loss, clean, adversarial = self.loss(self.model, images, batch.labels, epoch)
            share = loss.sum() / recipe.batch
            share.backward()
        logits = clean if adversarial is None else adversarial
        right = (logits.argmax(1) == batch.labels).sum()
        tallies = torch.stack([share.detach(), right.to(share), share.new_tensor(float(stopping))])
        for buffer in self.statistics if self.processes.world > 1 else ():
            buffer /= self.processes.world  # each process saw its part: their mean is kept
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        self.processes.sum_([*gradients, *self.statistics, tallies])
        norm = nn.utils.clip_grad_norm_(self.weights, recipe.optimizer.clip_norm or math.inf)
        self.optimizer.step()
        return torch.cat([tallies, norm[None]]).double()

    def classifier(self) -> Classifier:
        """What validation attacks: the network in eval mode, in float32 or float64."""
        card, dtype = self.job.opened.card, next(self.network.parameters()).dtype
        return Classifier(self.network.eval(), card.preprocessing.mean, card.preprocessing.std, dtype=dtype)

    def state(self) -> dict[str, Any]:
        """Weights and the optimiser's memory."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def train(job: Job, processes: Processes, watch: Watch) -> list[dict[str, float]]:
    """Train until the last epoch, from where the run is; `held` the folder before.

    Parameters
    ----------
    watch : called with (what is done, how much of it, of how much)

    Returns
    -------
    list of what `validate` found after each epoch

    Raises
    ------
    Stopped
        at SIGTERM or SIGINT, once the state is written
    UserError
        the run began with something else, overfits catastrophically, its loss is no number any more, or an image
        cannot be read
    """
    if job.recipe.batch < processes.world:
        raise UserError(f"a batch of {job.recipe.batch} images is too small for {processes.world} processes.")
    if processes.first:
        require_same_run(job.folder, job.facts)
        if changed := changed_images(job.folder, hashes_of_some(job.images, job.held_out)):
            logger.warning(
                "%s: other images than when the run began: %s; what it learned of those before stays in it. "
                "Give another folder with --run to train on these alone.", job.folder, few(changed),
            )  # fmt: skip
    processes.wait()
    trainer, per_epoch = Trainer(job, processes), job.images.steps
    state = load_state(job.folder, processes.device)
    step, history = (state["step"], state["history"]) if state else (0, [])
    _require_sound(history, job.recipe)  # a run that was stopped stays stopped
    if state:
        trainer.restore(state)
    diary, tallies = Diary(job, processes, step, len(history), watch), None

    def save() -> None:
        diary.flush(step)
        if processes.first:
            save_state(job.folder, step, trainer.state() | {"step": step, "history": history})
        diary.saved = time.monotonic()

    with stop_signals() as asked:
        for epoch in range(len(history), job.recipe.epochs):
            first = step - epoch * per_epoch
            trainer.network.train()
            try:
                for batch in job.images.batches(epoch, first, processes.rank, processes.world, processes.device):
                    # Of several processes all leave at the same step, so each looks at the tally of the step before:
                    # for that of this one, a GPU would have to be waited for.
                    leaving = bool(asked) if processes.world == 1 else tallies is not None and bool(tallies[2] > 0)
                    if leaving:
                        save()
                        raise Stopped
                    tallies = trainer.step(step, batch, bool(asked))
                    step += 1
                    diary.note(step, tallies, batch)
                    if diary.save_is_due:
                        save()
            except Unreadable:
                if processes.world == 1:
                    save()
                raise
            if first < per_epoch:
                save()
            if processes.first:
                save_epoch(job.folder, epoch, trainer.network.state_dict())
            history = [*history, _validated(trainer, job, processes, epoch, watch, asked)]
            diary.validated(step, epoch, history)
            save()
            _require_sound(history, job.recipe)
    return history


def _require_sound(history: list[dict[str, float]], recipe: Recipe) -> None:
    fault = overfitted(history) if recipe.validation.alarm else None
    if fault:
        raise UserError(fault)


def _validated(
    trainer: Trainer, job: Job, processes: Processes, epoch: int, watch: Watch, asked: list[int]
) -> dict[str, float]:
    def progress(done: int, total: int) -> None:
        if asked:
            raise Stopped  # the state was written before the validation, which is done again
        watch(f"validating epoch {epoch}", done, total)

    return validate(trainer.classifier(), job.held_out, job.recipe, processes, progress)


class Diary:
    """What is written down between states: rows of the log, progress, and when a state is due."""

    def __init__(self, job: Job, processes: Processes, step: int, epochs: int, watch: Watch):
        self._job, self._processes, self._watch = job, processes, watch
        self._log = Log(job.folder, step, epochs) if processes.first else None
        self.saved = self._since = time.monotonic()
        self._noted: list[Tensor] = []
        self._waited = 0.0

    @property
    def save_is_due(self) -> bool:
        """Whether the last state is older than asked for; only the first process writes, so only it looks."""
        return self._processes.first and time.monotonic() - self.saved > 60 * self._job.save_minutes

    def note(self, step: int, tallies: Tensor, batch: Batch) -> None:
        """Take down a step; on the device, so that a GPU is not waited for."""
        self._noted.append(tallies)
        self._waited += batch.waited
        if len(self._noted) >= self._job.log_steps:
            self.flush(step)

    def flush(self, step: int) -> None:
        """Write a row on the steps since the last one.

        Raises
        ------
        UserError
            the loss is no number any more: the state before still counts
        """
        if not self._noted:
            return
        n_steps, recipe = len(self._noted), self._job.recipe
        loss, right, _, norm = torch.stack(self._noted).mean(0).tolist()
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise UserError(
                f"the loss is {loss} and the gradient's norm {norm} before step {step}: training has diverged. "
                "The last state is kept. Use a smaller learning rate, or clip_norm under [optimizer]."
            )
        seconds, now = time.monotonic() - self._since, (step - 1) / self._job.images.steps
        total = recipe.epochs * self._job.images.steps
        if self._log is not None:
            self._log.write(
                kind="steps",
                step=step,
                epoch=now,
                learning_rate=learning_rate(recipe.learning_rate, now, recipe.epochs, recipe.batch),
                eps=recipe.adversary.within.eps * radius_share(recipe.adversary, now),
                loss=loss,
                accuracy=right / recipe.batch,
                gradient_norm=norm,
                images_per_s=n_steps * recipe.batch / seconds,
                data_wait=self._waited / seconds,
            )
        self._watch(f"epoch {int(now)}, loss {loss:.3f}", step, total)
        self._noted, self._waited, self._since = [], 0.0, time.monotonic()

    def validated(self, step: int, epoch: int, history: list[dict[str, float]]) -> None:
        """Write a row on an epoch."""
        if self._log is not None:
            best = best_epoch(history) == epoch
            self._log.write(kind="validation", step=step, epoch=epoch, best=best, **history[-1])
        self._since = time.monotonic()


def optimizer_of(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser, fused on a GPU; its learning rate is set before each step."""
    plan = recipe.optimizer
    fused = {"fused": True} if next(network.parameters()).is_cuda and plan.kind != "sgd" else {}
    return create_optimizer_v2(
        network, opt=plan.kind, lr=1.0, weight_decay=plan.weight_decay, filter_bias_and_bn=plan.kind != "adam", **fused
    )


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Inside, SIGTERM and SIGINT are put into the list instead of ending the process."""
    asked: list[int] = []
    before = {number: signal.signal(number, lambda given, _: asked.append(given)) for number in _STOP}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_STOP = (signal.SIGTERM, signal.SIGINT)


def versions() -> dict[str, str]:
    """Of what computes."""
    return {"torch": str(torch.__version__), "timm": timm.__version__}


def _seed(*numbers: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:7], "big")


def _names_hash(images: LabelledImages) -> str:
    return hashlib.sha256("\n".join(images.identities).encode()).hexdigest()
