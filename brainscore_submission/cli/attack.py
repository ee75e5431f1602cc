"""`attack`: robust accuracy; below it `attack effectiveness|convergence|tolerance|semantics|maps`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..asked import Asked
from ..plugin.errors import UserError
from ..words import duration_in_words
from .front_end import Terminal, front_end, typed_command
from .progress import downloading, progress_bar

if TYPE_CHECKING:
    from ..attacks.classifier import Classifier
    from ..labelled_images.images import LabelledImages
    from ..models.model import Model
    from ..robustness.recording import Measured

ATTACK_HELP = """
Measure the robust accuracy of a model: clean, under each attack, and under all of them image by image.

Examples:

  brainscore-submission attack --model 991 --images val/ --threat linf:4/255 --attack pgd:10x1

  brainscore-submission attack --model timm:resnet50 --images val/ --threat l2:3.0 --attack union --sample 500

  brainscore-submission attack --model 991 --images val/ --threat linf:4/255 --attack fgsm --attack apgd --dry-run

  brainscore-submission attack tolerance --model 991 --images clickme.npz

Attacks: fgsm, pgd:STEPSxRESTARTS, apgd, apgd-dlr, apgd-t, union (fgsm, pgd:50x5, apgd, apgd-t; for l2 minimal too),
minimal (l2), linsley2023 (l2), autoattack (package pyautoattack). Images: a folder with a folder for each class
(n01443537, goldfish or 1), a CSV of file and class_index beside images, or an npz of image and label. Only images that
are classified correctly are attacked. A killed run goes on where it was.
"""

attack_app = typer.Typer(
    help=ATTACK_HELP, pretty_exceptions_enable=False, rich_markup_mode=None, invoke_without_command=True
)

ModelOption = Annotated[str, typer.Option(help="991, 1084, …, a card's identifier, or timm:<name>.")]
NameOption = Annotated[str | None, typer.Option(help="What records and tables call it; default the identifier.")]
WeightsOption = Annotated[str | None, typer.Option(help='A checkpoint file, or "untrained".')]
ImagesOption = Annotated[Path | None, typer.Option(help="Folder of class folders, CSV, or npz.")]
ThreatOption = Annotated[str, typer.Option(help="Norm and radius in units of pixels in 0 to 1: linf:4/255, l2:3.0.")]
SampleOption = Annotated[int | None, typer.Option(min=1, help="So many of the images, always the same ones.")]
PreprocessingOption = Annotated[str | None, typer.Option(help="crop224 or squash224; default the card's.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda[:i].")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Images attacked together; default 8, on a GPU 64.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of the random starts.")]
ResultsOption = Annotated[Path, typer.Option(help="Where records go.")]
RerunOption = Annotated[str, typer.Option(help="missing or all.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")]


@attack_app.callback()
def attack(
    context: typer.Context,
    model: ModelOption = "",
    images: ImagesOption = None,
    threat: ThreatOption = "linf:4/255",
    attack: Annotated[list[str] | None, typer.Option(help="An attack; repeatable. Default pgd:10x1.")] = None,
    name: NameOption = None,
    weights: WeightsOption = None,
    sample: SampleOption = None,
    preprocessing: PreprocessingOption = None,
    device: DeviceOption = "auto",
    batch_size: BatchOption = None,
    seed: SeedOption = 0,
    results: ResultsOption = Path("results"),
    rerun: RerunOption = "missing",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """See `ATTACK_HELP`, which is the help text."""
    if context.invoked_subcommand is not None:
        return
    asked = asked_of(model, images, name, weights, preprocessing, device, batch_size)
    with front_end() as terminal:
        from ..attacks.named import parse_attack
        from ..attacks.threats import parse_threat
        from ..robustness.accuracy import measure_accuracy
        from ..robustness.recording import RecordBook

        within = parse_threat(threat)
        attacks = list(dict.fromkeys(parse_attack(text) for text in attack or ["pgd:10x1"]))
        opened, classifier, shown = open_all(terminal, asked, images, sample)
        book = RecordBook(opened, shown, results, rerun, asked.command)
        stated = state_cost(terminal, opened, classifier, shown, [(str(one), within.norm) for one in attacks])
        if dry_run:
            write_plan(terminal, stated, as_json)
            return
        with progress_bar(terminal) as advance:
            found = measure_accuracy(book, classifier, within, attacks, seed, advance)
        show(terminal, opened, shown, found, results, as_json)


@attack_app.command()
def tolerance(
    model: ModelOption = "",
    images: ImagesOption = None,
    maps: Annotated[Path | None, typer.Option(help="An npz of image, label and heatmap, instead of --images.")] = None,
    search: Annotated[str, typer.Option(help="minimal, or linsley2023 as published.")] = "minimal",
    steps: Annotated[int, typer.Option(min=1, help="Of the search.")] = 100,
    limit: Annotated[float, typer.Option(help="l2 size up to which the mean looks.")] = 10.0,
    name: NameOption = None,
    weights: WeightsOption = None,
    sample: SampleOption = None,
    preprocessing: PreprocessingOption = None,
    device: DeviceOption = "auto",
    batch_size: BatchOption = None,
    results: ResultsOption = Path("results"),
    rerun: RerunOption = "missing",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Smallest l2 perturbation of each image and, with human maps, whether it lies where people look.

    Images that resist are counted as such (Kaplan-Meier), not dropped. `attack maps` makes an npz of ClickMe's maps.

    Examples:

      brainscore-submission attack tolerance --model 991 --images val/ --sample 100

      brainscore-submission attack tolerance --model 991 --maps clickme.npz
    """
    asked = asked_of(model, maps or images, name, weights, preprocessing, device, batch_size)
    with front_end() as terminal:
        from ..robustness.recording import RecordBook
        from ..robustness.smallest import measure_tolerance

        if maps is not None and images is not None:
            raise UserError("give --images or --maps, not both: an npz of maps holds their images.")
        opened, classifier, shown = open_all(terminal, asked, maps or images, sample)
        if maps is not None and shown.maps is None:
            raise UserError(f"{maps} holds no heatmap. `brainscore-submission attack maps` says what is needed.")
        stated = state_cost(
            terminal, opened, classifier, shown, [(f"{search}:{steps}" if search == "minimal" else search, "l2")]
        )
        if dry_run:
            write_plan(terminal, stated, as_json)
            return
        book = RecordBook(opened, shown, results, rerun, asked.command)
        with progress_bar(terminal) as advance:
            found = measure_tolerance(
                book, classifier, search=search, steps=steps, limit=limit, progress=advance
            )  # fmt: skip
        show(terminal, opened, shown, found, results, as_json)


# --- what the commands share -----------------------------------------------------------------------------------------


def asked_of(
    model: str,
    images: Path | None,
    name: str | None = None,
    weights: str | None = None,
    preprocessing: str | None = None,
    device: str = "auto",
    batch_size: int | None = None,
) -> Asked:
    """The model that was asked for; a usage error where it or the images are missing."""
    if not model:
        raise typer.BadParameter("give a model, for example --model 991.", param_hint="--model")
    if images is None:
        raise typer.BadParameter("give labelled images, for example --images val/.", param_hint="--images")
    return Asked(
        model=model,
        name=name,
        weights=weights,
        preprocessing=preprocessing,
        device=device,
        batch_size=batch_size,
        command=typed_command(),
    )


def open_all(
    terminal: Terminal, asked: Asked, where: Path, sample: int | None = None
) -> tuple[Model, Classifier, LabelledImages]:
    """The model, the function that is attacked, and the images in its frame; what was passed over is said."""
    import dataclasses

    from ..labelled_images.images import read_labelled_images
    from ..robustness.classifiers import classifier_of

    if not where.exists():  # before any weights are fetched
        raise UserError(f"there is no {where}. Give a folder with a folder for each class, a CSV file or an npz.")
    with downloading(terminal) as progress:
        opened = asked.open_model((), progress)
    with progress_bar(terminal) as advance:
        images = read_labelled_images(
            where,
            opened.card.preprocessing,
            opened.card.num_classes,
            lambda done, total: advance("reading images", done, total),
        )
    terminal.warn(images.notes)
    if sample is not None and sample < len(images):
        images = dataclasses.replace(images.sample(sample), name=f"{images.name}-sample{sample}")
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
    table = Table(
        title=" · ".join([f"{model.name} on {images.name}", *model.marks]), box=SIMPLE_HEAD, title_justify="left"
    )
    for heading in ("measure", "value", "95 % interval", "images", "passes"):
        table.add_column(heading, justify="left" if heading == "measure" else "right", overflow="fold")
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
        table.add_row(what, f"{one.value:.3f}", ends, str(one.n), "" if passes is None else f"{passes:g}")
    console = Console(file=terminal.out)
    console.print(table)
    console.print(f"records, and a table of the images beside each: {records[0].path(results).parent}", soft_wrap=True)
