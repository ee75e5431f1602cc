"""Curves of training runs: loss, accuracies, and the learning-rate schedule as in Figure 2 of Berrios & Deza (2022).

python -m analysis.training runs/
python -m analysis.training runs/991 -o figures/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.errors import UserError

from . import figures
from .display import AsJson, number, write_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

if TYPE_CHECKING:  # the room of training needs torch, which a list of commands does not
    from brainscore_submission.training.recipes import Recipe

SHARES = {"top1": "clean", "fgsm_top1": "one step", "robust_top1": "PGD"}


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it.

    Parameters
    ----------
    name : of the folder
    recipe : Recipe
    steps, validations : rows of its log
    """

    name: str
    recipe: Recipe
    steps: Sequence[Mapping[str, Any]]
    validations: Sequence[Mapping[str, Any]]


def read_runs(folder: Path) -> list[Run]:
    """The run in a folder, or those in the folders below it, by name.

    Raises
    ------
    UserError
        there is none, or one that cannot be read
    """
    from brainscore_submission.training.state import RUN

    found = [folder] if (folder / RUN).is_file() else sorted(path.parent for path in folder.glob(f"*/{RUN}"))
    if not found:
        raise UserError(f"{folder} holds no run. Give the folder that was named with train --run, or the one above.")
    return [_read(path) for path in found]


def _read(folder: Path) -> Run:
    from brainscore_submission.training.recipes import recipe_from
    from brainscore_submission.training.state import RUN, read_log, read_object

    rows = read_log(folder)
    return Run(
        name=folder.absolute().name,
        recipe=recipe_from(read_object(folder / RUN).get("recipe", {}), str(folder / RUN)),
        steps=[row for row in rows if row.get("kind") == "steps"],
        validations=[row for row in rows if row.get("kind") == "validation"],
    )


def schedule(recipe: Recipe) -> Figure:
    """Learning rate over epochs, as Figure 2 of Berrios & Deza (2022); below it the attack's radius where it grows."""
    from matplotlib.figure import Figure

    from brainscore_submission.training.schedules import learning_rate, radius_share

    times = np.linspace(0, recipe.epochs, 50 * recipe.epochs + 1)
    rates = [learning_rate(recipe.learning_rate, t, recipe.epochs, recipe.batch) for t in times]
    grows = recipe.objective.kind != "clean" and recipe.adversary.warmup != "none"
    with figures.style():
        figure = Figure(figsize=(5.2, 4.2 if grows else 2.8))
        panels = figure.subplots(1 + grows, 1, sharex=True, squeeze=False)[:, 0]
        panels[0].plot(times, rates, marker="")
        panels[0].set_ylabel("learning rate")
        panels[0].set_ylim(bottom=0)
        if grows:
            eps = recipe.adversary.within.eps
            panels[1].plot(times, [eps * radius_share(recipe.adversary, t) for t in times], marker="")
            panels[1].set_ylabel(f"radius, {recipe.adversary.within.norm}")
        panels[-1].set_xlabel("epoch")
        return figures.titled(figure, f"Schedule of {recipe.name}", [])


def curves(runs: Sequence[Run]) -> Figure:
    """Loss of the steps above, top-1 on validation images below: clean, and under PGD dashed."""
    from matplotlib.figure import Figure

    with figures.style():
        figure = Figure(figsize=(6.2, 5.2 + 0.17 * len(runs)))
        above, below = figure.subplots(2, 1, sharex=True)
        for place, one in enumerate(runs):
            drawn = figures.look(place)
            above.plot([row["epoch"] for row in one.steps], [row["loss"] for row in one.steps],
                       color=drawn["color"], marker="", label=figures.short(one.name))  # fmt: skip
            ends = [row["epoch"] + 1 for row in one.validations]
            for share, line in (("top1", "-"), ("robust_top1", "--")):
                values = [row[share] for row in one.validations]
                below.plot(ends, values, color=drawn["color"], marker=drawn["marker"], linestyle=line)
        above.set_ylabel("loss, nats")
        below.set_ylabel("top-1: clean —, PGD - -")
        below.set_xlabel("epoch")
        below.set_ylim(0, 1)
        figure.legend(loc="outside lower left", ncols=1)
        return figures.titled(figure, "Training", [])


def draw(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or of several.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for figures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the validations of training runs, and draw loss, accuracies and schedules.

    Examples:

      python -m analysis.training runs/

      python -m analysis.training runs/991 -o figures/
    """
    with front_end() as terminal:
        from brainscore_submission.training.validation import best_epoch

        runs = read_runs(folder)
        paths: list[Path] = []
        if output is not None:
            paths += figures.save(curves(runs), output, "training_curves", "-o")
            for recipe in {one.recipe.name: one.recipe for one in runs}.values():
                paths += figures.save(schedule(recipe), output, f"schedule_{recipe.name}", "-o")
        if as_json:
            facts = [
                {"run": one.name, "recipe": one.recipe.name, "best_epoch": best_epoch(one.validations) if
                 one.validations else None, "validations": list(one.validations), "steps": list(one.steps)}
                for one in runs
            ]  # fmt: skip
            terminal.write_json({"runs": facts, "figures": [str(path) for path in paths]})
            return
        console = Console(file=terminal.out, highlight=False)
        rows = [_row(one, row) for one in runs for row in one.validations]
        if rows:
            write_table(console, "Training runs, share of validation images that are classified correctly", rows, 2)
        else:
            console.print("no epoch is validated yet")
        for path in paths:
            console.print(str(path), soft_wrap=True)


def _row(one: Run, row: Mapping[str, Any]) -> dict[str, str]:
    from brainscore_submission.training.validation import best_epoch

    best = row is one.validations[best_epoch(one.validations)]
    shares = {said: number(row[share]) for share, said in SHARES.items()}
    return {"run": one.name, "epoch": str(row["epoch"]), **shares, "": "best" if best else ""}


if __name__ == "__main__":
    run(draw)
