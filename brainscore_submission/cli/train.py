"""`train`: train a network by a recipe, go on where a killed run was, export what came out."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..plugin.errors import UserError, suggest
from ..words import duration_in_words
from ..words.tables import Rows
from .front_end import Terminal, front_end
from .progress import progress_bar

if TYPE_CHECKING:
    from ..training.loop import Job
    from ..training.processes import Processes
    from ..training.recipes import Recipe

TRAIN_HELP = """
Train a network by a recipe: fast adversarial training of the paper's checkpoints, the Light Recipe, or your own TOML.

Examples:

  brainscore-submission train --list-recipes

  brainscore-submission train --recipe rotation_adv_grey --data imagenet/ --run runs/991 --dry-run

  brainscore-submission train --recipe rotation_adv_grey --data imagenet/ --run runs/991

  torchrun --nproc_per_node 8 -m brainscore_submission -- train --recipe rotation_adv_grey --data imagenet/ --run r/991

  brainscore-submission train export runs/991 --epoch 5 --name my_991

Data: a folder with a folder for each class (n01443537, goldfish or 1), or a folder that holds train/ and val/; a CSV of
file and class_index beside images; an npz. The same command goes on where a killed run was, and gives the same bits.
The -- behind torchrun's part keeps --run from being taken for torchrun's own --run-path.
"""

train_app = typer.Typer(
    help=TRAIN_HELP, pretty_exceptions_enable=False, rich_markup_mode=None, invoke_without_command=True
)
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@train_app.callback()
def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Option(help="A recipe of --list-recipes, or a TOML file.")] = "",
    data: Annotated[Path | None, typer.Option(help="The images to train on.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run: state, log and weights of each epoch.")] = None,
    val: Annotated[
        Path | None, typer.Option(help="Images to validate on; default data/val, or a held-out share.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Another network than the recipe's: as after --model.")] = None,
    weights: Annotated[str | None, typer.Option(help="pretrained, untrained, or a file, over the recipe's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:i].")] = "auto",
    precision: Annotated[str, typer.Option(help="float32, bfloat16 or float64.")] = "float32",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Through torch.compile: two minutes, then faster.")
    ] = False,
    save_minutes: Annotated[float, typer.Option(min=0, help="Between states; one more each epoch.")] = 10.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Steps, FLOPs and days, from 20 timed steps.")] = False,
    list_recipes: Annotated[bool, typer.Option("--list-recipes", help="Recipes that come with it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """See `TRAIN_HELP`, which is the help text."""
    if context.invoked_subcommand is not None:
        return
    with front_end() as terminal:
        from ..training.recipes import read_recipe

        if list_recipes:
            _show_recipes(terminal, as_json)
            return
        missing = [f"--{name}" for name, given in (("recipe", recipe), ("data", data), ("run", run)) if not given]
        if missing:
            raise UserError(f"{' and '.join(missing)} missing. --list-recipes lists recipes, --help has examples.")
        asked = read_recipe(recipe)
        start = {"name": model or asked.model.name, "weights": weights or asked.model.weights}
        asked = dataclasses.replace(asked, model=dataclasses.replace(asked.model, **start))

        from ..engine.devices import require_float64
        from ..models.opening import find_device
        from ..training.loop import PRECISIONS
        from ..training.processes import joined

        if precision not in PRECISIONS:
            raise UserError(f"unknown precision '{precision}'.{suggest(precision, PRECISIONS)}")
        require_float64(device, "training and its validation")
        with joined(find_device(device)) as processes:
            job = _job(terminal, processes, asked, data, val, run, precision, compiled, save_minutes)
            if dry_run:
                _show_cost(terminal, job, processes, as_json)
            else:
                _train(terminal, job, processes, as_json)


@train_app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    name: Annotated[str, typer.Option(help="Identifier of the new model: letters, digits and underscores.")],
    epoch: Annotated[int | None, typer.Option(help="Counted from 0; default the best robust top-1.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a trained network as a card with its weights and layer map, for every --model.

    Examples:

      brainscore-submission train export runs/991 --epoch 5 --name my_991

      python evaluate.py --model runs/991/export/my_991.toml
    """
    with front_end() as terminal:
        from ..training.export import export as write

        path, notes = write(run, name, epoch)
        terminal.warn(notes)
        if as_json:
            terminal.write_json({"card": str(path), "notes": notes})
        else:
            terminal.out.write(f"{path}\n")


def _show_recipes(terminal: Terminal, as_json: bool) -> None:
    from ..training.recipes import shipped_recipes

    recipes = shipped_recipes()
    if as_json:
        terminal.write_json({"recipes": [dataclasses.asdict(one) for one in recipes]})
        return
    for one in recipes:
        attack = "clean" if one.objective.kind == "clean" else f"{one.objective.kind} {one.adversary.threat}"
        terminal.out.write(f"{one.name:20} {one.about}\n")
        terminal.out.write(f"{'':20} {one.model.name}, {attack}, {one.epochs} epochs, batch {one.batch}\n")


def _job(
    terminal: Terminal,
    processes: Processes,
    recipe: Recipe,
    data: Path,
    val: Path | None,
    run: Path,
    precision: str,
    compiled: bool,
    save_minutes: float,
) -> Job:
    """What was asked for, opened; it says what there is."""
    from ..training.images import open_images
    from ..training.loop import Job
    from ..training.network import open_network
    from .progress import downloading

    if not processes.first:
        processes.wait()  # the first one fetches weights, the others find them
    with downloading(terminal) as progress:
        opened = open_network(recipe, progress)
    if processes.first:
        processes.wait()
    images, held_out = open_images(data, val, recipe, opened.card.preprocessing, opened.card.num_classes)
    if processes.first:
        slow = ["bfloat16 on a CPU is slow, and some of torch's convolutions give NaN there: float32 is better."]
        on_cpu = precision == "bfloat16" and processes.device == "cpu"
        terminal.warn([*opened.notes, *images.source.notes, *(slow if on_cpu else ())])
        total = images.steps * recipe.epochs
        terminal.console.print(
            f"{recipe.name}: {len(images.rows)} images, {images.steps} steps an epoch, {total} steps; validated on "
            f"{len(held_out)} images; {processes.device}, {precision}, {processes.world} process(es)",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    return Job(recipe, opened, images, held_out, run, precision, compiled, save_minutes)


def _train(terminal: Terminal, job: Job, processes: Processes, as_json: bool) -> None:
    import contextlib

    from ..training.loop import Stopped
    from ..training.loop import train as go
    from ..training.state import held
    from ..training.validation import best_epoch

    with contextlib.ExitStack() as stack:
        if processes.first:
            stack.enter_context(held(job.folder))
            watch = stack.enter_context(progress_bar(terminal))
        else:
            watch = _silent
        try:
            history = go(job, processes, watch)
        except Stopped:
            terminal.console.print("Stopped. The state is written; the same command goes on where it was.")
            raise typer.Exit(143) from None
    if not processes.first:
        return
    best = best_epoch(history)
    if as_json:
        terminal.write_json({"run": str(job.folder), "best_epoch": best, "validation": history})
        return
    cells = []
    for epoch, found in enumerate(history):
        shares = (found[name] for name in ("top1", "top5", "fgsm_top1", "robust_top1"))
        cells.append((str(epoch), *(f"{share:.3f}" for share in shares), "best" if epoch == best else ""))
    console = Console(file=terminal.out, markup=False, highlight=False, soft_wrap=True)
    console.print(Rows(("epoch", "top-1", "top-5", "one step", "robust top-1", ""), cells))
    console.print(f"Next: brainscore-submission train export {job.folder} --epoch {best} --name <identifier>")


def _silent(_what: str, _done: int, _total: int | None) -> None:
    """Of several processes only the first one says how far it is."""


def _show_cost(terminal: Terminal, job: Job, processes: Processes, as_json: bool) -> None:
    from ..training.cost import flops_per_image, timed_steps
    from ..training.loop import Trainer

    recipe, steps = job.recipe, job.images.steps * job.recipe.epochs
    flops = flops_per_image(job.opened, recipe)
    clocked = timed_steps(Trainer(job, processes))
    seconds = clocked["step_seconds"] * steps
    facts = {
        "steps": steps,
        "flops_per_image": flops,
        "clean_steps": flops["step"] / flops["clean_step"],
        "flops": flops["step"] * recipe.batch * steps,
        **clocked,
        "images_per_s": recipe.batch / clocked["step_seconds"],
        "seconds": seconds,
        "days": seconds / 86400,
    }
    if not processes.first:
        return
    if as_json:
        terminal.write_json(facts)
        return
    console = Console(file=terminal.out, markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{steps} steps of {recipe.batch} images, {flops['step'] / 1e9:.4g} GFLOP an image "
        f"({facts['clean_steps']:.2f} clean steps), {facts['flops']:.3g} FLOP in all"
    )
    console.print(
        f"{facts['images_per_s']:.3g} images/s over {clocked['timed_steps']} steps, {clocked['data_wait']:.0%} of the "
        f"time waiting for data: {duration_in_words(seconds)} ({facts['days']:.2f} days) on {processes.device}, "
        f"{os.cpu_count()} cores, without validation"
    )
