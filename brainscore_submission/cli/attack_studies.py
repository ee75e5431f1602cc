"""`attack effectiveness|convergence|semantics`: the studies of Debenedetti et al. (2023)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..asked import Asked
from ..plugin.errors import UserError
from ..plugin.files import require_writable, write_whole
from ..words import words_of
from ..words.tables import Rows
from .asking import MODEL, asks_for
from .attacking import (
    BatchOption,
    DeviceOption,
    DryRunOption,
    ImagesOption,
    JsonOption,
    ResultsOption,
    SampleOption,
    SeedOption,
    ThreatOption,
    open_all,
    open_asked,
    require_given,
    show,
    state_cost,
    write_plan,
)
from .front_end import Terminal, front_end, typed_command
from .model_lists import asked_of_each, model_entries
from .progress import progress_bar

if TYPE_CHECKING:
    from ..attacks.threats import Threat
    from ..labelled_images.images import LabelledImages
    from ..models.model import Model


def effectiveness(
    models: Annotated[Path | None, typer.Option(help="A TOML list: model, weights, name and epoch of each.")] = None,
    images: ImagesOption = None,
    threat: ThreatOption = "linf:4/255",
    steps: Annotated[str, typer.Option(help="Of PGD; the largest number is the strongest attack.")] = "1,2,5,10,200",
    seeds: Annotated[str, typer.Option(help="Of the random starts.")] = "0,1,2",
    sample: SampleOption = None,
    device: DeviceOption = "auto",
    batch_size: BatchOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The table to write.")] = Path("summary.csv"),
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """How much of a strong attack's loss cheap attacks reach: 100 |L_strong - L_s| / L_strong, over seeds.

    Every image is attacked, whether classified correctly or not. checkpoints.toml:

      [[models]]

      model = "timm:resnet50"

      weights = "epoch_100.pt"

      name = "resnet50-at"

      epoch = 100

    Example:

      brainscore-submission attack effectiveness --models checkpoints.toml --images val/ --steps 1,2,5,10,200
    """
    if models is None or images is None:
        raise typer.BadParameter("give --models checkpoints.toml and --images val/.")
    with front_end() as terminal:
        from ..attacks.threats import parse_threat
        from ..robustness.blocks import forget
        from ..robustness.grid import grid_rows
        from ..robustness.summary import gaps_of, summary_csv

        within, listed = parse_threat(threat), model_entries(models, also={"epoch": int})
        numbers, starts = whole_numbers(steps, "--steps", 1), whole_numbers(seeds, "--seeds", 0)
        if len(numbers) < 2:
            raise UserError("--steps: two or more different numbers are needed, for example 1,10,200.")
        require_writable(output, "--output")
        if not dry_run:
            say_replaced(terminal, output)
        rows, stated, finished = [], [], []
        for entry in listed:
            epoch = entry.pop("epoch", "")
            asked = replace(Asked("", device=device, batch_size=batch_size, command=typed_command()), **entry)
            opened, classifier, shown = open_all(terminal, asked, images, sample)
            attacks = [(f"pgd:{number}", within.norm) for number in numbers]
            named = {"model": " ".join([opened.name, *(f"[{mark}]" for mark in opened.marks)]), "epoch": epoch}
            if any(named.items() <= one.items() for one in stated):
                raise UserError(f"{models}: '{opened.name}' stands twice. Give each a name or an epoch of its own.")
            stated.append(named | state_cost(terminal, opened, classifier, shown, attacks, len(starts)))
            if dry_run:
                continue
            unfinished = {
                (seed, number): unfinished_beside(output, opened, shown, within, f"pgd:{number}", seed)
                for seed in starts
                for number in numbers
            }
            with progress_bar(terminal) as advance:
                found = grid_rows(
                    classifier, shown, within, steps=numbers, seeds=starts, size=opened.batch_size,
                    unfinished=unfinished, progress=advance,
                )  # fmt: skip
            rows += [named | row for row in found]
            finished += unfinished.values()
        if dry_run:
            write_plan(terminal, {"models": stated, "seconds": sum(one["seconds"] for one in stated)}, as_json)
            return
        write_whole(output, summary_csv(rows), "--output")
        for folder in finished:
            forget(folder)
        show_gaps(terminal, gaps_of(rows), output, as_json)


def show_gaps(
    terminal: Terminal,
    gaps: Mapping[tuple[str, str], Mapping[int, tuple[float, float]]],
    written: Path,
    as_json: bool,
) -> None:
    """What `robustness.grid.gaps_of` found, as a table or as one JSON object."""
    if as_json:
        facts = [
            {"model": model, "epoch": epoch, "steps": number, "gap": mean, "sd": None if math.isnan(sd) else sd}
            for (model, epoch), by_steps in gaps.items()
            for number, (mean, sd) in by_steps.items()
        ]
        terminal.write_json({"written": str(written), "gaps_per_cent": facts})
        return
    every = sorted({number for by_steps in gaps.values() for number in by_steps})
    rows = []
    for (model, epoch), by_steps in gaps.items():
        cells = [f"{mean:.3f}" + ("" if math.isnan(sd) else f" ± {sd:.3f}") for mean, sd in by_steps.values()]
        rows.append((model, str(epoch), *cells))
    headings = ("model", "epoch", *(f"pgd:{number}" for number in every))
    Console(file=terminal.out).print(Rows(headings, rows, title="gap to the strongest attack's loss, per cent"))
    terminal.out.write(f"written: {written}\n")


@asks_for(*MODEL, model_required=False)
def convergence(
    asked: Asked,
    images: ImagesOption = None,
    threat: ThreatOption = "linf:4/255",
    points: Annotated[int, typer.Option(min=1, help="Images, those classified correctly among them count.")] = 100,
    seeds: Annotated[int, typer.Option(min=1, help="Number of random starts.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Of the one long run.")] = 500,
    output: Annotated[Path, typer.Option("--output", "-o", help="The table to write.")] = Path("convergence.csv"),
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """The loss along one long PGD run with steps of a quarter of the radius, from many random starts.

    Example:

      brainscore-submission attack convergence --model 991 --images val/ --points 100 --seeds 20
    """
    require_given(asked, images)
    with front_end() as terminal:
        import numpy as np

        from ..attacks.threats import parse_threat
        from ..robustness.blocks import forget, image_by_image
        from ..robustness.grid import CURVE_STEPS, loss_curves

        within = parse_threat(threat)
        require_writable(output, "--output")
        opened, classifier, shown = open_all(terminal, asked, images, points)
        stated = state_cost(terminal, opened, classifier, shown, [(f"pgd:{steps}", within.norm)], seeds)
        if dry_run:
            write_plan(terminal, stated, as_json)
            return
        say_replaced(terminal, output)
        attack = f"convergence:{steps}"
        unfinished = [unfinished_beside(output, opened, shown, within, attack, seed) for seed in range(seeds)]
        curves = []
        with progress_bar(terminal) as advance:
            for seed in range(seeds):
                seen = image_by_image(
                    shown, loss_curves(classifier, within, steps, seed), size=opened.batch_size,
                    unfinished=unfinished[seed],
                    progress=lambda done, total, seed=seed: advance(f"seed {seed}", done, total),
                )  # fmt: skip
                curves.append(seen["curve"][seen["correct"]])
        kept = [number for number in CURVE_STEPS if number <= steps]
        if not len(curves[0]):
            raise UserError(f"none of {len(shown)} images is classified correctly: there is no attack to follow.")
        by_seed = np.stack(curves).mean(1)[:, kept]  # (seeds, steps kept): mean over images
        out = io.StringIO(newline="")
        named = " ".join([opened.name, *(f"[{mark}]" for mark in opened.marks)])
        csv.writer(out, lineterminator="\n").writerows(
            [("model", "seed", *kept), *((named, seed, *losses) for seed, losses in enumerate(by_seed.tolist()))]
        )
        write_whole(output, out.getvalue().encode(), "--output")
        for folder in unfinished:
            forget(folder)
        rows = [
            {
                "step": number,
                "loss": float(column.mean()),
                "lowest": float(column.min()),
                "highest": float(column.max()),
            }
            for number, column in zip(kept, by_seed.T, strict=True)
        ]
        if as_json:
            facts = {"model": opened.name, "marks": list(opened.marks), "images": len(curves[0]), "seeds": seeds}
            terminal.write_json(facts | {"losses": rows, "written": str(output)})
            return
        for row in rows:
            terminal.out.write(
                f"step {row['step']:4}: loss {row['loss']:.4f}, seeds {row['lowest']:.4f} to {row['highest']:.4f}\n"
            )
        terminal.out.write(f"{named}: {len(curves[0])} images classified correctly, {seeds} seeds; written: {output}\n")


@asks_for(*MODEL, model_required=False)
def semantics(
    asked: Asked,
    images: ImagesOption = None,
    judges: Annotated[str, typer.Option(help="Other models, with commas between: timm:convnext_base,991.")] = "",
    judge_list: Annotated[
        Path | None, typer.Option(help="Or a TOML list of them, as for evaluate.py --models.")
    ] = None,
    threat: ThreatOption = "linf:4/255",
    sample: SampleOption = None,
    seed: SeedOption = 0,
    results: ResultsOption = Path("results"),
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Draw each perturbation (PGD-100, negated) as a picture, and let other models say what they see in it.

    Example:

      brainscore-submission attack semantics --model 991 --images val/ --judges timm:convnext_base,timm:resnet50
    """
    require_given(asked, images)
    with front_end() as terminal:
        from ..attacks.threats import parse_threat
        from ..robustness.perceived import STEPS, measure_semantics
        from ..robustness.recording import RecordBook

        within = parse_threat(threat)
        common = Asked("", device=asked.device, batch_size=asked.batch_size)
        listed = asked_of_each(words_of(judges), judge_list, common)
        if not listed:
            raise UserError("give the models that judge, for example --judges timm:convnext_base.")
        opened_judges = [open_asked(terminal, one) for one in listed]  # now: one may lack its weights
        opened, classifier, shown = open_all(terminal, asked, images, sample)
        stated = state_cost(terminal, opened, classifier, shown, [(f"pgd:{STEPS}", within.norm)])
        if dry_run:
            write_plan(terminal, stated, as_json)
            return
        book = RecordBook(opened, shown, results, command=asked.command)
        with progress_bar(terminal) as advance:
            found = measure_semantics(book, classifier, within, opened_judges, seed, advance)
        show(terminal, opened, shown, found, results, as_json)


def unfinished_beside(
    output: Path, model: Model, images: LabelledImages, within: Threat, attack: str, seed: int
) -> Path:
    """Where the batches of one run lie until its table is written; those of other runs lie beside them."""
    from ..robustness.recording import fingerprint_of

    key = fingerprint_of(model, images, {"threat": str(within), "attack": attack, "seed": seed})
    return output.parent / f".{output.name}.unfinished" / key[:24]


def say_replaced(terminal: Terminal, output: Path) -> None:
    """A table that is there already is told of before the work that will replace it."""
    if output.exists():
        terminal.warn([f"{output} is there already and will be replaced (--output elsewhere keeps it)"])


def whole_numbers(text: str, option: str, least: int) -> list[int]:
    """Different whole numbers with commas between, as typed.

    >>> whole_numbers("1, 10,200", "--steps", 1)
    [1, 10, 200]
    """
    words = words_of(text)
    wrong = next((word for word in words if not word.isdigit() or int(word) < least), None)
    if wrong is not None or not words or len(set(words)) != len(words):
        raise UserError(f"{option}: '{text}' is no list of different whole numbers from {least} on, such as 1,2,10.")
    return [int(word) for word in words]
