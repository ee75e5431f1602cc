"""Photos moved until networks see a goldfish, in a panel whose networks stand in the order of their brain scores.

python -m analysis.targeted_attack --model 1057 --model 1095 --model 1084 --model 991 --images photos/ --target goldfish

As Figure 1 of Berrios & Deza (2022): what a network needs to be shown tells what it looks at.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import typer
from PIL import Image

from brainscore_submission.asked import Asked
from brainscore_submission.cli.asking import EmaOption
from brainscore_submission.cli.attacking import open_asked
from brainscore_submission.cli.front_end import Terminal, front_end, run
from brainscore_submission.cli.model_lists import asked_of_each
from brainscore_submission.cli.progress import progress_bar
from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.files import require_writable_folder, write_whole
from brainscore_submission.scoring.naming import folder_name
from brainscore_submission.scoring.published import published_model
from brainscore_submission.scoring.reference import has_own_weights
from brainscore_submission.words import count, duration_in_words

if TYPE_CHECKING:  # heavy: they wait until something is opened
    from matplotlib.figure import Figure

    from brainscore_submission.attacks.classifier import Classifier
    from brainscore_submission.labelled_images.images import LabelledImages
    from brainscore_submission.models.model import Model

HELP = """
Move photos until networks see the target, and draw a panel: a row a photo, a column a network, in the order of their
brain scores. As Figure 1 of Berrios & Deza (2022).

Examples:

  python -m analysis.targeted_attack --model 1057 --model 991 --images photos/ --target goldfish

  python -m analysis.targeted_attack --models checkpoints.toml --images cat.jpg --target 1 --steps 100

  python -m analysis.targeted_attack --model 991 --images photos/ --dry-run

500 steps of CrossViT-18 are 72 TFLOP a photo: seconds on a GPU, hours on a CPU. The cost is said before it starts; a
killed run goes on where it was. Written: a PNG of each result, frames, trace.csv, panel.png and panel.gif.
"""


@dataclass(frozen=True)
class Column:
    """One network of the panel.

    Parameters
    ----------
    name, marks : of the model
    average : its brain score, the mean over five areas; None if not known
    photos : uint8 of shape (n, px, px, 3), as the network sees them
    seen : what `robustness.targeted.towards` gives, over all photos
    """

    name: str
    marks: tuple[str, ...]
    average: float | None
    photos: np.ndarray
    seen: dict[str, np.ndarray]

    @property
    def title(self) -> str:
        """Name, marks and brain score."""
        average = "Avg unknown" if self.average is None else f"Avg {self.average:.3f}"
        return " ".join([self.name, *(f"[{mark}]" for mark in self.marks)]) + f"\n{average}"


def main(
    model: Annotated[list[str] | None, typer.Option(help="A model, as for evaluate.py; repeatable.")] = None,
    models: Annotated[Path | None, typer.Option(help="A TOML list of models (docs/attacks.md).")] = None,
    weights: Annotated[str | None, typer.Option(help='Of one --model: a checkpoint file; or "untrained".')] = None,
    ema: EmaOption = True,
    images: Annotated[list[Path] | None, typer.Option(help="A photo or a folder of photos; repeatable.")] = None,
    target: Annotated[str, typer.Option(help="A class by name, WordNet id or index.")] = "goldfish",
    eps: Annotated[float, typer.Option(help="l2 radius in units of pixels in 0 to 1.")] = 300.0,
    steps: Annotated[int, typer.Option(min=1)] = 500,
    step: Annotated[float, typer.Option(help="l2 length of a step.")] = 1.0,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = Path("targeted_attack"),
    results: Annotated[Path | None, typer.Option(help="Records whose brain scores order models.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:i].")] = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Photos at a time; default 8, on a GPU 64.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """See `HELP`, which is the help text."""
    if not images or not (model or models):
        raise typer.BadParameter("give --model (or --models) and --images.")
    with front_end() as terminal:
        from brainscore_submission.plugin.checkpoint import is_untrained
        from brainscore_submission.robustness.blocks import forget

        if weights and not is_untrained(weights) and len(model or ()) > 1:
            raise UserError("one --weights for several models: list them in a file, --models checkpoints.toml.")
        common = Asked("", weights=weights, ema=ema, device=device, batch_size=batch_size)
        listed = asked_of_each(model or (), models, common)
        missing = next((path for path in images if not path.exists()), None)
        if missing:  # before any weights are fetched
            raise UserError(f"there is no {missing}. Give photos, or a folder of them.")
        require_writable_folder(output, "--output")
        aim = Aim(target, eps, steps, step)
        averages, warnings = brain_averages(results) if results else ({}, [])
        terminal.warn(warnings)
        opened = [open_one(terminal, one, images, aim) for one in listed]
        seconds = sum(one.seconds for one in opened)
        terminal.console.print(f"about {duration_in_words(seconds)} in all", highlight=False)
        if dry_run:
            if as_json:
                terminal.write_json({"dry_run": {"models": len(opened), "seconds": round(seconds, 1)}})
            return
        columns = in_order([attacked(terminal, one, aim, output, averages) for one in opened])
        paths = write_all(columns, output, aim)
        for one in opened:
            forget(unfinished(one, aim, output))
        rows = summary(columns)
        if as_json:
            terminal.write_json({"target": target, "written": [str(path) for path in paths], "results": rows})
            return
        for row in rows:
            reached = f"p({target}) {row['p_target']:.3f}, l2 {row['norm']:.1f} of at most {row['possible']:.1f}"
            terminal.out.write(f"{row['model']} {row['photo']}: {reached}\n")
        if eps > 0.5 * min(row["possible"] for row in rows):
            terminal.out.write(f"eps {eps:g} hardly binds: it is more than half of the largest possible distance\n")
        terminal.out.write(f"written: {', '.join(map(str, paths))}\n")


class Aim(NamedTuple):
    """What is asked for: the target as typed, radius and length of a step in pixels of 0 to 1."""

    target: str
    eps: float
    steps: int
    step: float


class Opened(NamedTuple):
    """A model, the function that is attacked, the photos in its frame, the target's index, seconds it will take."""

    model: Model
    classifier: Classifier
    photos: LabelledImages
    target: int
    seconds: float


def open_one(terminal: Terminal, asked: Asked, images: Sequence[Path], aim: Aim) -> Opened:
    """Open a model and say what the attack on it will cost; one batch is timed for it."""
    from brainscore_submission.labelled_images.classes import class_index
    from brainscore_submission.robustness.classifiers import classifier_of
    from brainscore_submission.robustness.cost import pace
    from brainscore_submission.robustness.targeted import read_photos

    model = open_asked(terminal, asked)
    target = class_index(aim.target, model.card.num_classes)
    photos, classifier = read_photos(images, model.card.preprocessing), classifier_of(model)
    terminal.warn(photos.notes)
    speed = pace(classifier, next(photos.batches(model.batch_size)).pixels)
    seconds = speed.seconds(len(photos), aim.steps + 1, aim.steps)
    terminal.console.print(
        f"{model.name}: {count(len(photos), 'photo')} x {aim.steps} steps on {model.device}, "
        f"about {duration_in_words(seconds)}",
        highlight=False,
    )
    return Opened(model, classifier, photos, target, seconds)


def attacked(terminal: Terminal, opened: Opened, aim: Aim, output: Path, averages: Mapping[str, float]) -> Column:
    """Attack all photos; what is done lies in the output folder, so that a killed run goes on there."""
    from brainscore_submission.robustness.blocks import image_by_image
    from brainscore_submission.robustness.targeted import towards

    model, photos = opened.model, opened.photos
    with progress_bar(terminal) as advance:
        seen = image_by_image(
            photos,
            towards(opened.classifier, opened.target, eps=aim.eps, steps=aim.steps, step=aim.step),
            size=model.batch_size,
            unfinished=unfinished(opened, aim, output),
            progress=lambda done, total: advance(model.name, done, total),
        )
    its = model.card.competition_id is not None and has_own_weights(model.origin)
    published = published_model(model.card.competition_id) if its else None
    average = averages.get(model.name, published and published.average)
    pixels = [batch.pixels for batch in photos.batches(model.batch_size)]
    originals = np.concatenate([as_pictures((255 * one).round().byte().numpy()) for one in pixels])
    # random weights have no brain score of the trained ones
    return Column(model.name, tuple(model.marks), None if model.marks else average, originals, seen)


def unfinished(opened: Opened, aim: Aim, output: Path) -> Path:
    """Where the batches of a network lie until everything is written."""
    from brainscore_submission.robustness.recording import fingerprint_of

    settings = aim._asdict() | {"target": opened.target}
    return output / "unfinished" / fingerprint_of(opened.model, opened.photos, settings)[:24]


def brain_averages(results: Path) -> tuple[dict[str, float], list[str]]:
    """Model -> mean over the five areas, of the records of the first suite that has them all; what was left out."""
    from .profiles import profiles_of, read_predictivity

    records, warnings = read_predictivity(results)
    profiles, _ = profiles_of(records, n_resamples=100)
    means = {}
    for profile in profiles:
        scores = [profile.values["today"].get(area) for area in AREAS_AND_BEHAVIOR]
        if None not in scores:
            means.setdefault(profile.model, float(np.mean(scores)))
    return means, warnings


def in_order(columns: Sequence[Column]) -> list[Column]:
    """By rising brain score; those without one last."""
    return sorted(columns, key=lambda column: (column.average is None, column.average or 0.0))


def summary(columns: Sequence[Column]) -> list[dict]:
    """What was reached, a row for each network and photo."""
    return [
        {
            "model": column.name,
            "marks": list(column.marks),
            "average": column.average,
            "photo": str(photo),
            "p_target": float(column.seen["p_target"][row]),
            "norm": float(column.seen["norm"][row]),
            "possible": float(column.seen["possible"][row]),
        }
        for column in columns
        for row, photo in enumerate(column.seen["identity"])
    ]


# --- what is written -------------------------------------------------------------------------------------------------


def write_all(columns: Sequence[Column], output: Path, aim: Aim) -> list[Path]:
    """PNG and frames of each network and photo, trace.csv, panel.png and panel.gif."""
    from brainscore_submission.robustness.targeted import frame_steps

    kept = frame_steps(aim.steps)
    for column in columns:
        folder = output / folder_name(column.name)
        frames = as_pictures(column.seen["frames"])
        for row, photo in enumerate(column.seen["identity"]):
            write_picture(folder / f"{photo}.png", as_pictures(column.seen["adversarial"])[row])
            for number, frame in zip(kept, frames[row], strict=True):
                write_picture(folder / "frames" / f"{photo}.{number:04}.png", frame)
    paths = [write_whole(output / "trace.csv", trace(columns), "--output")]
    last = panel(columns, aim, [as_pictures(column.seen["adversarial"]) for column in columns])
    paths.append(write_whole(output / "panel.png", as_png(last), "--output"))
    film = [
        panel(columns, aim, [as_pictures(column.seen["frames"])[:, place] for column in columns], number)
        for place, number in enumerate(kept)
    ]
    paths.append(write_whole(output / "panel.gif", as_gif([*film, last]), "--output"))
    return paths


def as_pictures(images: np.ndarray) -> np.ndarray:
    """Channels last: (…, 3, height, width) -> (…, height, width, 3)."""
    return np.moveaxis(images, -3, -1)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """One picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    write_whole(path, buffer.getvalue(), "--output")


def trace(columns: Sequence[Column]) -> bytes:
    """A row for each network, photo and step: p(target), cross-entropy to it in nats, l2 norm."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("model", "photo", "step", "p_target", "loss", "norm"))
    for column in columns:
        for photo, losses, norms in zip(*(column.seen[name] for name in ("identity", "curve", "norms")), strict=True):
            for number, (loss, norm) in enumerate(zip(losses.tolist(), norms.tolist(), strict=True)):
                writer.writerow((column.name, photo, number, math.exp(-loss), loss, norm))
    return out.getvalue().encode()


def panel(columns: Sequence[Column], aim: Aim, shown: Sequence[np.ndarray], step: int | None = None) -> Figure:
    """Rows are photos; the first column is the photo itself, then the networks, their brain scores rising.

    Parameters
    ----------
    shown : of each column uint8 of shape (n_photos, px, px, 3)
    step : whose numbers stand over the pictures; None for those of the saved results
    """
    from matplotlib.figure import Figure

    from . import figures

    photos = columns[0].seen["identity"]
    with figures.style():
        figure = Figure(figsize=(2.1 * (1 + len(columns)), 2.3 * len(photos) + 0.9))
        grid = figure.subplots(len(photos), 1 + len(columns), squeeze=False)
        for row, photo in enumerate(photos):
            title = figures.short(str(photo), 30)
            picture(grid[row, 0], columns[0].photos[row], f"photo\n\n{title}" if row == 0 else title)
            for place, column in enumerate(columns, start=1):
                norms, losses = column.seen["norms"][row], column.seen["curve"][row]
                p, norm = (
                    (column.seen["p_target"][row], column.seen["norm"][row])
                    if step is None
                    else (math.exp(-losses[step]), norms[step])
                )
                numbers = f"p {p:.3f}, l2 {norm:.1f}"
                picture(grid[row, place], shown[place - 1][row], f"{column.title}\n{numbers}" if row == 0 else numbers)
        when = f"after {aim.steps} steps" if step is None else f"step {step} of {aim.steps}"
        return figures.titled(figure, f"towards {aim.target}, {when}", ())


def picture(axes, pixels: np.ndarray, title: str) -> None:
    """One picture with its title."""
    axes.imshow(pixels)
    axes.set_axis_off()
    axes.set_title(title, loc="left")


def as_png(figure: Figure, dpi: int = 200) -> bytes:
    """A figure as PNG."""
    from . import figures

    buffer = io.BytesIO()
    with figures.style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def as_gif(film: Sequence[Figure]) -> bytes:
    """Figures one after the other, the last one longest."""
    pictures = [Image.open(io.BytesIO(as_png(figure, dpi=80))).convert("RGB") for figure in film]
    pictures = [one.resize(pictures[0].size).quantize(128) for one in pictures]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "gif", save_all=True, append_images=pictures[1:], duration=[150] * (len(film) - 1) + [3000], loop=0
    )
    return buffer.getvalue()


if __name__ == "__main__":
    run(main, HELP)
