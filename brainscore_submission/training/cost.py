"""What a run will cost, said before it starts: FLOPs counted without computing, and some steps on the clock."""

from __future__ import annotations

import copy
import time
from itertools import islice

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .loop import Trainer
from .network import Normalised, Opened
from .objectives import Images, loss_of
from .recipes import Recipe

TIMED = 20


def flops_per_image(opened: Opened, recipe: Recipe) -> dict[str, int]:
    """Floating-point operations of a forward pass, of a clean step and of the recipe's step, of one image.

    Counted by torch on the meta device, where nothing is computed; the optimiser, which does not grow with the batch,
    is left out.
    """
    px, n_images = opened.card.preprocessing.input_px, 2  # BatchNorm refuses a batch of one
    network = Normalised(copy.deepcopy(opened.network), opened.card.preprocessing, torch.float32).to("meta").train()
    pixels = torch.zeros(n_images, 3, px, px, device="meta")
    images, labels = Images(pixels, pixels), torch.zeros(n_images, dtype=torch.int64, device="meta")

    def counted(*passes) -> int:
        with FlopCounterMode(display=False) as counter:
            for one in passes:
                one()
        return counter.get_total_flops() // n_images

    def step() -> None:
        loss_of(recipe)(network, images, labels, float(recipe.epochs))[0].sum().backward()

    def clean_step() -> None:
        nn.functional.cross_entropy(network(pixels), labels).backward()

    return {
        "forward": counted(lambda: network(pixels)), "clean_step": counted(clean_step), "step": counted(step)
    }  # fmt: skip


def timed_steps(trainer: Trainer, steps: int = TIMED) -> dict[str, float]:
    """Seconds of a step on this device and the share of them that data were waited for; the first two are not counted.

    The weights change: nothing goes on from here.
    """
    images, processes = trainer.job.images, trainer.processes
    batches = images.batches(0, 0, processes.rank, processes.world, processes.device)
    waited, started, done = 0.0, 0.0, 0
    warm = min(2, images.steps - 1)
    for number, batch in enumerate(islice(batches, warm + steps)):
        if number == warm:
            _finish(processes.device)
            started, waited = time.perf_counter() - batch.waited, 0.0
        trainer.step(number, batch, False)
        waited += batch.waited
        done = number + 1 - warm
    _finish(processes.device)
    seconds = time.perf_counter() - started
    return {"step_seconds": seconds / done, "data_wait": waited / seconds, "timed_steps": done}


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
