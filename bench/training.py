"""`python -m bench.training`: images/s of a clean step, of fast adversarial training as released, and of ours.

Needs torch and timm, not brainscore_vision. Random pixels on the device: data loading is not in these numbers (`train
--dry-run` shows the share of it). The released form is that of Wong et al. (2020): two whole backward passes, float16
on a GPU as the paper's code ran it.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import product
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from brainscore_submission.models.opening import find_device
from brainscore_submission.plugin.files import require_writable, write_whole
from brainscore_submission.training.loop import optimizer_of
from brainscore_submission.training.objectives import Images, loss_of
from brainscore_submission.training.recipes import Recipe, read_recipe

from .processes import errors_in_a_line

WARM = 3  # steps before the clock runs


@errors_in_a_line
def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="resnet18", help="a name of timm's (default: resnet18)")
    parser.add_argument("--px", type=int, default=64, help="side of the images (default: 64)")
    parser.add_argument("--batch", type=int, nargs="+", default=[16])
    parser.add_argument("--steps", type=int, default=10, help="on the clock (default: 10)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of clean and ours")
    parser.add_argument("--compile", action="store_true", help="clean and ours through torch.compile, too")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: 1)")
    parser.add_argument("--out", type=Path, help="write the rows here too, as JSON")
    options = parser.parse_args(arguments)
    options.device = find_device(options.device)
    if options.out:
        require_writable(options.out, "--out")
    torch.set_num_threads(options.threads)
    rows = []
    for batch, (form, compiled) in product(options.batch, forms(options.compile)):
        rows.append({"batch": batch, "form": form, "compiled": compiled, **measure(options, batch, form, compiled)})
        print(f"measured {rows[-1]}", file=sys.stderr)
    on_gpu = options.device.startswith("cuda")
    machine = torch.cuda.get_device_name(options.device) if on_gpu else f"CPU, {options.threads} thread(s)"
    facts = {"machine": machine, "torch": torch.__version__, "python": platform.python_version(),
             "network": options.network, "px": options.px, "rows": rows}  # fmt: skip
    print(f"{options.network}, {options.px} px, {machine}, torch {torch.__version__}\n\n{markdown(rows)}")
    if options.out:
        write_whole(options.out, json.dumps(facts, indent=1).encode(), "--out")
    return 0


def forms(compiled: bool) -> list[tuple[str, bool]]:
    """What is measured; the released form is not compiled, as it was released."""
    eager = [("clean", False), ("released", False), ("ours", False)]
    return eager + [("clean", True), ("ours", True)] * compiled


def measure(options: argparse.Namespace, batch: int, form: str, compiled: bool) -> dict:
    """Images a second of whole steps, the optimiser's among them."""
    torch.manual_seed(0)
    device = torch.device(options.device)
    network = timm.create_model(options.network).to(device).train()
    recipe = read_recipe("plain" if form == "clean" else "rotation_adv_grey")
    optimizer = optimizer_of(recipe, network)
    for group in optimizer.param_groups:
        group["lr"] = 1e-5
    pixels = torch.rand(batch, 3, options.px, options.px, device=device)
    images, labels = Images(pixels, torch.rand_like(pixels) * 2 - 1), torch.randint(0, 1000, (batch,), device=device)
    model = torch.compile(network) if compiled else network
    if form == "released":
        precision = "float16" if device.type == "cuda" else "float32"
        step = released_step(model, optimizer, images, labels, recipe, precision)
    else:
        precision = options.precision
        step = our_step(model, optimizer, images, labels, recipe, precision)
    for _ in range(WARM):
        step()
    finish(device)
    started = time.perf_counter()
    for _ in range(options.steps):
        step()
    finish(device)
    seconds = time.perf_counter() - started
    return {"precision": precision, "images_per_s": batch * options.steps / seconds}


def our_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Images, labels: Tensor, recipe: Recipe, precision: str
) -> Callable[[], None]:
    """A step as `train` takes it."""
    loss = loss_of(recipe)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with cast(images.pixels.device, precision):
            values, *_ = loss(model, images, labels, 1.0)
        values.mean().backward()
        optimizer.step()

    return step


def released_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Images, labels: Tensor, recipe: Recipe, precision: str
) -> Callable[[], None]:
    """A step as Wong et al. (2020) released it, with two whole backward passes and a scaled loss in float16."""
    eps = recipe.adversary.within.eps
    scaler = torch.amp.GradScaler(images.pixels.device.type, enabled=precision == "float16")

    def step() -> None:
        delta = (eps * images.noise).requires_grad_(True)
        with cast(images.pixels.device, precision):
            loss = functional.cross_entropy(model((images.pixels + delta).clamp(0, 1)), labels)
        scaler.scale(loss).backward()
        delta.data = (delta.data + recipe.adversary.step * eps * delta.grad.sign()).clamp(-eps, eps)
        optimizer.zero_grad()
        with cast(images.pixels.device, precision):
            loss = functional.cross_entropy(model((images.pixels + delta.detach()).clamp(0, 1)), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def cast(device: torch.device, precision: str):
    """Autocast to this precision."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, getattr(torch, precision))


def finish(device: torch.device) -> None:
    """Until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def markdown(rows: list[dict]) -> str:
    """The table."""
    lines = ["| batch | step | precision | compiled | images/s | of a clean step |", "|---|---|---|---|---|---|"]
    for row in rows:
        (clean,) = (
            one["images_per_s"] for one in rows
            if (one["batch"], one["form"], one["compiled"]) == (row["batch"], "clean", row["compiled"])
        )  # fmt: skip
        lines.append(
            f"| {row['batch']} | {row['form']} | {row['precision']} | {'yes' if row['compiled'] else 'no'} | "
            f"{row['images_per_s']:.4g} | {clean / row['images_per_s']:.2f} x the time |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
