"""What the commands that attack share: options, opening model and images, the cost before it starts, the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..asked import Asked
from ..plugin.errors import UserError
from ..words import duration_in_words
from ..words.tables import Rows
from .front_end import Terminal
from .progress import downloading, progress_bar

if TYPE_CHECKING:
    from ..attacks.classifier import Classifier
    from ..labelled_images.images import LabelledImages
    from ..models.model import Model
    from ..robustness.recording import Measured

WORTH_SAYING = 1000  # images; fewer are read in seconds

ImagesOption = Annotated[Path | None, typer.Option(help="Folder of class folders, CSV, or npz.")]
ThreatOption = Annotated[str, typer.Option(help="Norm and radius in units of pixels in 0 to 1: linf:4/255, l2:3.0.")]
SampleOption = Annotated[int | None, typer.Option(min=1, help="So many of the images, always the same ones.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda[:i].")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Images attacked together; default 8, on a GPU 64.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of the random starts.")]
ResultsOption = Annotated[Path, typer.Option(help="Where records go.")]
RerunOption = Annotated[str, typer.Option(help="missing or all.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")]


def require_given(asked: Asked, images: Path | None) -> None:
    """A usage error where the model or the images are missing."""
    if not asked.model:
        raise typer.BadParameter("give a model, for example --model 991.", param_hint="--model")
    if images is None:
        raise typer.BadParameter("give labelled images, for example --images val/.", param_hint="--images")


def open_asked(terminal: Terminal, asked: Asked) -> Model:
    """The model without layers of areas, since none is scored: what needs no Brain-Score."""
    from ..models.opening import open_model

    with downloading(terminal) as progress:
        return open_model(
            asked.model,
            name=asked.name,
            weights=asked.weights,
            ema=asked.ema,
            preprocessing=asked.preprocessing,
            device=asked.device,
            batch_size=asked.batch_size,
            progress=progress,
            areas=(),
        )


def open_all(
    terminal: Terminal, asked: Asked, where: Path, sample: int | None = None
) -> tuple[Model, Classifier, LabelledImages]:
    """The model, the function that is attacked, and the images in its frame; what was passed over is said."""
    from ..engine.devices import require_float64
    from ..labelled_images.images import read_labelled_images
    from ..robustness.classifiers import classifier_of

    if not where.exists():  # before any weights are fetched
        raise UserError(f"there is no {where}. Give a folder with a folder for each class, a CSV file or an npz.")
    require_float64(asked.device, "attacks, and probes of accuracy,")
    opened = open_asked(terminal, asked)
    with progress_bar(terminal) as advance:
        images = read_labelled_images(
            where,
            opened.card.preprocessing,
            opened.card.num_classes,
            lambda done, total: advance("reading images", done, total) if total >= WORTH_SAYING else None,
            sample,
        )
    terminal.warn(images.notes)
    return opened, classifier_of(opened), images


def state_cost(
    terminal: Terminal,
    model: Model,
    classifier: Classifier,
    images: LabelledImages,
    attacks: Sequence[tuple[str, str]],
    repeats: int = 1,
) -> dict[str, Any]:
    """Say before it starts what the attacks (name, norm) cost; one batch is timed for it.

    Returns
    -------
    dict : images, passes an image of each attack, seconds, device
    """
    from ..attacks.named import most_passes
    from ..robustness.cost import pace

    speed = pace(classifier, next(images.batches(model.batch_size)).pixels)
    each = {name: most_passes(name, norm, classifier.n_classes) for name, norm in attacks}
    seconds = repeats * sum(speed.seconds(len(images), *passes) for passes in each.values())
    for name, (forward, backward) in each.items():
        times = f"{repeats} x " if repeats > 1 else ""
        terminal.console.print(
            f"{times}{name} on {len(images)} images: at most {forward} passes forward and {backward} back an image",
            highlight=False,
        )
    terminal.console.print(f"at most about {duration_in_words(seconds)} on {model.device}", highlight=False)
    return {
        "images": len(images),
        "passes": {name: {"forward": forward, "backward": backward} for name, (forward, backward) in each.items()},
        "repeats": repeats,
        "seconds": round(seconds, 1),
        "device": model.device,
    }


def write_plan(terminal: Terminal, stated: Mapping[str, Any], as_json: bool) -> None:
    """What `--dry-run` leaves: the cost, which has been said already on the terminal."""
    if as_json:
        terminal.write_json({"dry_run": stated})
    else:
        terminal.out.write("nothing was attacked (--dry-run)\n")


def show(
    terminal: Terminal,
    model: Model,
    images: LabelledImages,
    found: Sequence[Measured],
    results: Path,
    as_json: bool,
) -> None:
    """The records that were made or were there, as a table or as one JSON object."""
    records = [one.record for one in found]
    if as_json:
        terminal.write_json(
            {
                "model": model.name,
                "marks": list(model.marks),
                "images": images.name,
                "notes": list(images.notes),
                "records": [record.model_dump(mode="json") for record in records],
            }
        )
        return
    cells = []
    for record in records:
        one, settings = record.measured, record.measured.settings
        what = " ".join(
            filter(None, [one.metric, settings.get("threat"), settings.get("attack"), settings.get("judge")])
        )
        if settings.get("median") is not None:
            what += f", median {settings['median']:.3f}"
        if settings.get("of_ceiling") is not None:
            what += f", {settings['of_ceiling']:.3f} of the human ceiling"
        ends = "" if one.interval is None else f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
        passes = settings.get("mean_passes")
        cells.append((what, f"{one.value:.3f}", ends, str(one.n), "" if passes is None else f"{passes:g}"))
    console = Console(file=terminal.out)
    title = " · ".join([f"{model.name} on {images.name}", *model.marks])
    console.print(Rows(("measure", "value", "95 % interval", "images", "passes"), cells, title=title))
    console.print(f"records, and a table of the images beside each: {records[0].path(results).parent}", soft_wrap=True)
