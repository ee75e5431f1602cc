"""`attack`: robust accuracy; below it tolerance and maps, and the studies of `attack_studies`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..asked import Asked
from ..plugin.errors import UserError
from .asking import MODEL, asks_for
from .attack_studies import convergence, effectiveness, semantics
from .attacking import (
    DryRunOption,
    ImagesOption,
    JsonOption,
    RerunOption,
    ResultsOption,
    SampleOption,
    SeedOption,
    ThreatOption,
    open_all,
    require_given,
    show,
    state_cost,
    write_plan,
)
from .front_end import front_end
from .progress import progress_bar

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


@attack_app.callback()
@asks_for(*MODEL, model_required=False)
def attack(
    context: typer.Context,
    asked: Asked,
    images: ImagesOption = None,
    threat: ThreatOption = "linf:4/255",
    attack: Annotated[list[str] | None, typer.Option(help="An attack; repeatable. Default pgd:10x1.")] = None,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    results: ResultsOption = Path("results"),
    rerun: RerunOption = "missing",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """See `ATTACK_HELP`, which is the help text."""
    if context.invoked_subcommand is not None:
        return
    require_given(asked, images)
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
@asks_for(*MODEL, model_required=False)
def tolerance(
    asked: Asked,
    images: ImagesOption = None,
    maps: Annotated[Path | None, typer.Option(help="An npz of image, label and heatmap, instead of --images.")] = None,
    search: Annotated[str, typer.Option(help="minimal, or linsley2023 as published.")] = "minimal",
    steps: Annotated[int, typer.Option(min=1, help="Of the search.")] = 100,
    limit: Annotated[float, typer.Option(help="l2 size up to which the mean looks.")] = 10.0,
    sample: SampleOption = None,
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
    require_given(asked, maps or images)
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


@attack_app.command()
def maps(
    files: Annotated[list[Path], typer.Argument(help="ClickMe's TFRecord files, or one npz to be checked.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The npz to write.")] = None,
    blur: Annotated[float, typer.Option(help="Standard deviation in pixels; 0 keeps maps as stored.")] = 11.5,
    classes: Annotated[int, typer.Option(min=2, help="Of the networks that will see them.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Convert importance maps for `attack tolerance --maps`, or check an npz of them.

    An npz holds image (n, height, width, 3), uint8 or floats in 0 to 1; label (n,); heatmap (n, height, width), in the
    frame of the images. ClickMe's maps are blurred as the released evaluation of Linsley et al. (2023) blurs them.

    Examples:

      brainscore-submission attack maps val-*.tfrecords -o clickme.npz

      brainscore-submission attack maps clickme.npz
    """
    with front_end() as terminal:
        from ..robustness.clickme import check_maps, convert

        if [file.suffix for file in files] == [".npz"]:
            if output is not None:
                raise UserError("an npz is checked, not converted: leave out -o, or give TFRecord files.")
            path, facts = files[0], check_maps(files[0], classes)
        elif output is None:
            raise UserError("where to? Give the npz to write, for example -o clickme.npz.")
        else:
            with progress_bar(terminal) as advance:
                facts = convert(files, output, classes, blur, lambda done: advance("records", done, None))
            path = output
        if as_json:
            terminal.write_json({"file": str(path), **facts})
            return
        height, width = facts["size"]
        said = (
            f"{path}: {facts['images']} images of {height} x {width} px of {facts['classes']} classes, each with a map"
        )
        console = Console(file=terminal.out, soft_wrap=True, highlight=False)
        console.print(said)
        if facts["constant_maps"]:
            console.print(f"{facts['constant_maps']} maps are constant: they have no rank correlation")
        if facts["passed_over"]:
            console.print(f"passed over: {', '.join(facts['passed_over'])}")


for _study in (effectiveness, convergence, semantics):
    attack_app.command()(_study)
