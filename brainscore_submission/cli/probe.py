"""`probe`: what happens to accuracy and to brain scores as images are changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..asked import Asked
from ..plugin.errors import UserError
from ..words import words_of
from .asking import HELD_AGAINST, LAYERS, MODEL, asks_for
from .attacking import (
    DryRunOption,
    JsonOption,
    RerunOption,
    ResultsOption,
    SampleOption,
)
from .corruptions import corruptions
from .features import features
from .front_end import front_end
from .probing import grid_of, lesions, numbers_of, on_accuracy, on_scores, require_one_subject, segment, with_intact
from .shape_bias import bias_of_model, show_bias

PROBE_HELP = """
Change images and see what is left: of accuracy on labelled images, or of brain scores.

Examples:

  brainscore-submission probe occlusion --model 991 --images val/

  brainscore-submission probe occlusion --model 991 --benchmark MajajHong2015public.IT-pls --levels 0,0.2,0.5,0.8

  brainscore-submission probe shuffle --model 991 --suite public

  brainscore-submission probe rotation --model 1095 --images val/

  brainscore-submission probe shape-bias --model 991 --images cue_conflict/

  brainscore-submission probe lesion --model timm:deit_small_patch16_224 --images val/

  brainscore-submission probe features --model 991 --train cub/train --test cub/test --last 3

Images: a folder with a folder for each class (n01443537, goldfish or 1), a CSV of file and class_index beside images,
or an npz of image and label. Masks and orders are drawn for each image from seed and image: the same in any batch and
order. A killed run goes on where it was. `python -m analysis.probes results/` draws the curves of many models.
"""

ImagesOption = Annotated[Path | None, typer.Option(help="Labelled images, for accuracy.")]
LevelsOption = Annotated[str | None, typer.Option(help="With commas between; the intact image is always one of them.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of masks and orders.")]

probe_app = typer.Typer(help=PROBE_HELP, pretty_exceptions_enable=False, rich_markup_mode=None, no_args_is_help=True)


@probe_app.command()
@asks_for(*MODEL, *LAYERS, *HELD_AGAINST)
def occlusion(
    asked: Asked,
    images: ImagesOption = None,
    grid: Annotated[str, typer.Option(help="Cells: 14, or rows and columns, 7x14.")] = "14",
    levels: LevelsOption = None,
    saliency: Annotated[str, typer.Option(help="random, salient or non-salient.")] = "random",
    saliency_model: Annotated[
        str | None, typer.Option(help="Whose attention; default the model's own. A vision transformer of timm.")
    ] = None,
    attention: Annotated[
        str | None, typer.Option(help="class; of a CrossViT cross-0 (default) or cross-1, its two class tokens.")
    ] = None,
    nested: Annotated[bool, typer.Option("--nested", help="A larger share hides what a smaller one hid.")] = False,
    offset: Annotated[int, typer.Option(help="Pixels by which the cells are moved.")] = 0,
    seed: SeedOption = 0,
    sample: SampleOption = None,
    results: ResultsOption = Path("results"),
    rerun: RerunOption = "missing",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Paint cells of the images black, more and more of them.

    Levels are shares of the cells, by default 0 to 0.9 on accuracy and 0,0.2,0.4,0.6,0.8 on brain scores. On brain
    scores the picture alone is occluded, not the grey that Brain-Score puts around it. Salient cells are those that
    the class token of a transformer attends to in its last block; levels are then shares of that attention.

    Examples:

      brainscore-submission probe occlusion --model 991 --images val/ --grid 14

      brainscore-submission probe occlusion --model 991 --recordings my_v4_session/ --levels 0,0.2,0.5,0.8 --dry-run

      brainscore-submission probe occlusion --model timm:resnet50 --images val/ --saliency salient
      --saliency-model timm:deit_small_patch16_224
    """

    def build() -> list[Any]:
        from ..probes.perturbations import Occlusion

        default = ",".join(f"{tenths / 10}" for tenths in range(10)) if images else "0,0.2,0.4,0.6,0.8"
        shares = numbers_of(default if levels is None else levels)
        how = {"grid": grid_of(grid), "saliency": saliency, "seed": seed, "nested": nested, "offset_px": offset}
        return with_intact([Occlusion(share, **how) for share in shares], Occlusion(0.0, **how))

    whose = {"saliency_model": saliency_model, "attention": attention}
    _measure(build, asked, images, sample, results, rerun, dry_run, as_json, **whose)


def _levels_only(build_of: Callable[[str | None, int], Sequence[Any]], help_text: str) -> Callable[..., None]:
    """A command for changes that have no options but their levels and a seed."""

    def command(
        asked: Asked,
        images: ImagesOption = None,
        levels: LevelsOption = None,
        seed: SeedOption = 0,
        sample: SampleOption = None,
        results: ResultsOption = Path("results"),
        rerun: RerunOption = "missing",
        dry_run: DryRunOption = False,
        as_json: JsonOption = False,
    ) -> None:
        _measure(lambda: build_of(levels, seed), asked, images, sample, results, rerun, dry_run, as_json)

    command.__doc__ = help_text
    return asks_for(*MODEL, *LAYERS, *HELD_AGAINST)(command)


def _shuffles(levels: str | None, seed: int) -> list[Any]:
    from ..probes.perturbations import SHUFFLES, Shuffle

    pieces = list(SHUFFLES) if levels is None else [int(one) for one in numbers_of(levels)]
    return with_intact([Shuffle(n, seed) for n in pieces], Shuffle(1, seed))


def _rotations(levels: str | None, _seed: int) -> list[Any]:
    from ..probes.perturbations import Rotation

    return with_intact([Rotation(int(one)) for one in numbers_of(levels or "0,90,180,270")], Rotation(0))


def _greys(levels: str | None, _seed: int) -> list[Any]:
    from ..probes.perturbations import Grey

    return with_intact([Grey(int(one)) for one in numbers_of(levels or "0,1")], Grey(0))


SHUFFLE_HELP = """Cut the images into 4, 8, 16, 32, 64, 196 and 256 pieces, or some of these numbers, and shuffle them.

Examples:

  brainscore-submission probe shuffle --model 991 --images val/ --levels 4,16,64

  brainscore-submission probe shuffle --model 991 --suite demo
"""
ROTATION_HELP = """Turn the images by quarter turns, to the left: 0, 90, 180 and 270 degrees.

Examples:

  brainscore-submission probe rotation --model 1095 --images val/
"""
GREY_HELP = """Take the colour out of the images.

Examples:

  brainscore-submission probe grey --model 991 --images val/
"""
probe_app.command("shuffle")(_levels_only(_shuffles, SHUFFLE_HELP))
probe_app.command("rotation")(_levels_only(_rotations, ROTATION_HELP))
probe_app.command("grey")(_levels_only(_greys, GREY_HELP))


@probe_app.command()
@asks_for(*MODEL)
def lesion(
    asked: Asked,
    images: Annotated[Path, typer.Option(help="Labelled images.")],
    before: Annotated[
        list[str] | None, typer.Option(help="A module; repeatable. Default blocks 0, 2, 4, 8, 10 or a ResNet's stages.")
    ] = None,
    levels: Annotated[str, typer.Option(help="Shares zeroed, with commas between.")] = "0,0.25,0.5,0.75",
    seed: SeedOption = 0,
    sample: SampleOption = None,
    results: ResultsOption = Path("results"),
    rerun: RerunOption = "missing",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Zero tokens, or places of a feature map, inside the network and see what is left of its accuracy.

    Before each module, of each image another share of the patch tokens (class tokens are kept) or of the places.

    Examples:

      brainscore-submission probe lesion --model timm:deit_small_patch16_224 --images val/

      brainscore-submission probe lesion --model timm:resnet50 --images val/ --before layer3 --levels 0,0.5
    """
    with front_end() as terminal:
        lesions(
            terminal, asked, images, before, numbers_of(levels), seed, sample, results, rerun, dry_run, as_json
        )  # fmt: skip


@probe_app.command()
@asks_for(*MODEL)
def segmentation(
    asked: Asked,
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    masks: Annotated[Path, typer.Option(help="Folder of PNG masks of the same names: 0 background, 255 void.")],
    attention: Annotated[
        str | None, typer.Option(help="class; of a CrossViT cross-0 (default) or cross-1, its two class tokens.")
    ] = None,
    mass: Annotated[float, typer.Option(min=0, max=1, help="Share of the attention that patches have to hold.")] = 0.9,
    results: ResultsOption = Path("results"),
    rerun: RerunOption = "missing",
    as_json: JsonOption = False,
) -> None:
    """Whether the class token's attention lies on objects: Jaccard index with exact masks, best head of each object.

    Numbers of a mask are objects; 0 is background, 255 void, which counts nowhere. Images without objects are counted.

    Examples:

      brainscore-submission probe segmentation --model timm:deit_small_patch16_224 --images voc/JPEGImages
      --masks voc/SegmentationClass
    """
    with front_end() as terminal:
        segment(terminal, asked, images, masks, attention, mass, results, rerun, as_json)


@probe_app.command("features")
@asks_for(*MODEL)
def feature_ensembles(
    asked: Asked,
    train: Annotated[Path, typer.Option(help="Images to learn from: a folder with a folder for each class.")],
    test: Annotated[Path, typer.Option(help="Images to be asked, of the same classes.")],
    last: Annotated[int | None, typer.Option(min=1, help="Blocks or stages, from the end; default 4.")] = None,
    layers: Annotated[str, typer.Option(help="Modules instead, in order, with commas between.")] = "",
    patches: Annotated[bool, typer.Option("--patches", help="The mean patch token beside the class token.")] = False,
    shots: Annotated[int | None, typer.Option(min=1, help="Few-shot learning too: training images a class.")] = None,
    ways: Annotated[int | None, typer.Option(min=2, help="Classes in each run of it; default 5.")] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Of it; default 100.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of the linear layer.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of orders and draws.")] = 0,
    results: ResultsOption = Path("results"),
    rerun: RerunOption = "missing",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """What a linear layer learns of the last 1, 2, 3, … blocks of the frozen network, side by side.

    Of a vision transformer the class token of each block after the final norm (of a CrossViT those of both branches);
    where none passes through the blocks, the mean patch token. Of a network whose stages timm knows, such as a ResNet,
    the last stages; of any other name --layers. These are pooled over places. Each image is shown once for all.
    Few-shot runs are logistic regressions of their own, asked up to 15 images a class.

    Examples:

      brainscore-submission probe features --model 991 --train cub/train --test cub/test --last 3

      brainscore-submission probe features --model 991 --train cub/train --test cub/test --shots 5 --ways 5 --runs 600

      brainscore-submission probe features --model timm:resnet50 --train cub/train --test cub/test --layers layer4
    """
    with front_end() as terminal:
        if shots is None and (ways or runs):
            raise UserError("--ways and --runs are of few-shot learning: give --shots too, how many images of a class.")
        named = words_of(layers)
        if layers and (not named or len(set(named)) < len(named)):
            raise UserError(f"--layers {layers}: name modules, each once, with commas between.")
        few = None if shots is None else (ways or 5, shots, runs or 100)
        features(
            terminal, asked, train, test, last, named, patches, few, epochs, seed, results, rerun, dry_run,
            as_json,
        )  # fmt: skip


@probe_app.command("corruptions")
@asks_for(*MODEL)
def corruption_error(
    asked: Asked,
    images: Annotated[Path, typer.Option(help="ImageNet-C: <corruption>/<severity>/<class>/<image>.")],
    baseline: Annotated[
        Path | None, typer.Option(help="Another model's record of this command; default AlexNet's published errors.")
    ] = None,
    sample: SampleOption = None,
    results: ResultsOption = Path("results"),
    rerun: RerunOption = "missing",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Mean corruption error: 15 corruptions at five severities, each error over AlexNet's.

    The images are corrupted already, as ImageNet-C's are, and resized whole to the network's input, without a crop.
    1 is AlexNet; papers often print it times 100.

    Examples:

      brainscore-submission probe corruptions --model 991 --images imagenet-c/ --sample 1000

      brainscore-submission probe corruptions --model 991 --images imagenet-c/ --baseline
      results/resnet50/probes/imagenet-c.corruptions.json
    """
    with front_end() as terminal:
        corruptions(terminal, asked, images, baseline, sample, results, rerun, dry_run, as_json)


@probe_app.command("shape-bias")
@asks_for(*MODEL, model_required=False)
def shape_bias(
    asked: Asked,
    images: Annotated[Path | None, typer.Option(help="Folder of images like airplane1-bicycle2.png.")] = None,
    decisions: Annotated[
        list[Path] | None, typer.Option(help="Decisions of others, a CSV file or a folder of them; repeatable.")
    ] = None,
    pool: Annotated[str, typer.Option(help="Of a category's classes: sum, or mean as released.")] = "sum",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The model's decisions, as CSV.")] = None,
    by_category: Annotated[bool, typer.Option("--by-category", help="A row for each category of shapes.")] = False,
    results: ResultsOption = Path("results"),
    rerun: RerunOption = "missing",
    as_json: JsonOption = False,
) -> None:
    """Shape or texture: which of the two a network goes by, beside observers and other networks.

    Images show the shape of one category and the texture of another (Geirhos et al. 2019); the bias is the share of
    shape among the answers that are one of the two. Decisions are CSV files of the columns subj, object_response and
    imagename.

    Examples:

      brainscore-submission probe shape-bias --model 991 --images cue_conflict/

      brainscore-submission probe shape-bias --decisions decisions/

      brainscore-submission probe shape-bias --model 991 --images cue_conflict/ --decisions decisions/ -o own.csv
    """
    if not (asked.model or decisions):
        raise typer.BadParameter("give --model and --images, or --decisions.", param_hint="--model")
    if bool(asked.model) != (images is not None):
        raise typer.BadParameter("a model needs --images, and images need a --model.", param_hint="--images")
    with front_end() as terminal:
        from ..probes.shape_bias import read_decisions

        others = read_decisions(decisions) if decisions else []
        own: list[Any] = []
        record = None
        if asked.model:
            record, own = bias_of_model(terminal, asked, images, pool, results, rerun, output)
        show_bias(terminal, record, own, others, by_category, as_json)


def _measure(
    build: Callable[[], Sequence[Any]], asked: Asked, images: Path | None, sample: int | None,
    results: Path, rerun: str, dry_run: bool, as_json: bool, **whose: str | None,
) -> None:  # fmt: skip
    require_one_subject(images, asked)
    with front_end() as terminal:
        levels = build()
        if images is not None:
            on_accuracy(terminal, asked, images, levels, sample, results, rerun, dry_run, as_json, **whose)
        else:
            on_scores(terminal, asked, levels, results, rerun, dry_run, as_json, **whose)
