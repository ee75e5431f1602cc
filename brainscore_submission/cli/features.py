"""What `probe features` does: model, training and test images, the cost, and the records of their readouts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..asked import Asked
from ..plugin.errors import UserError
from ..words import count, duration_in_words
from .attacking import WORTH_SAYING, open_asked
from .front_end import Terminal
from .probing import SUITE, show, write_plan
from .progress import progress_bar

if TYPE_CHECKING:
    from ..labelled_images.images import LabelledImages
    from ..models.model import Model


def features(
    terminal: Terminal,
    asked: Asked,
    train: Path,
    test: Path,
    last: int | None,
    layers: Sequence[str],
    patches: bool,
    few: tuple[int, int, int] | None,
    epochs: int,
    seed: int,
    results: Path,
    rerun: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Open model and images, say the cost, record features, learn readouts and show their curves."""
    from ..labelled_images.sources import class_folders
    from ..probes.features import reading_of
    from ..probes.readouts import FewShot, measure_features
    from ..robustness.classifiers import classifier_of
    from ..robustness.cost import pace
    from ..robustness.recording import RecordBook

    if layers and last is not None:
        raise UserError("give --last for the last blocks or stages, or --layers for others, not both.")
    classes = class_folders(train)
    class_folders(test)  # both before any weights are fetched
    model = open_asked(terminal, asked)
    reading = reading_of(model.network, last, layers, patches)
    shown, queried = (_images(terminal, where, model, classes) for where in (train, test))
    classifier = classifier_of(model)
    speed = pace(classifier, next(shown.batches(model.batch_size)).pixels)
    passes = len(shown) + len(queried)
    seconds = speed.seconds(passes, 1, 0)
    terminal.console.print(
        f"{reading.said}: {', '.join(reading.layers)}\n{count(len(shown), 'image')} to learn from and "
        f"{count(len(queried), 'image')} to be asked, of {count(len(classes), 'class', 'classes')}: {passes} passes, "
        f"about {duration_in_words(seconds)} on {model.device}; readouts come on top",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    if dry_run:
        stated = {"images": passes, "passes": passes, "seconds": round(seconds, 1), "layers": list(reading.layers)}
        write_plan(terminal, stated, as_json)
        return
    books = [RecordBook(model, one, results, rerun, asked.command, suite=SUITE) for one in (shown, queried)]
    with progress_bar(terminal) as advance:
        found = measure_features(
            *books, classifier, reading, epochs=epochs, few=few and FewShot(*few), seed=seed, progress=advance
        )
    facts = {"images": queried.name, "notes": list(queried.notes), "features": reading.said}
    show(terminal, [one.record for one in found], results, as_json, facts)


def _images(terminal: Terminal, where: Path, model: Model, classes: Sequence[str]) -> LabelledImages:
    """Images of the classes, called by their last two folders: `test` alone says little."""
    from ..labelled_images.images import read_labelled_images

    with progress_bar(terminal) as advance:
        images = read_labelled_images(
            where,
            model.card.preprocessing,
            classes,
            lambda done, total: advance(f"reading {where.name}", done, total) if total >= WORTH_SAYING else None,
        )
    terminal.warn(images.notes)
    whole = where.absolute()
    return dataclasses.replace(images, name="-".join(filter(None, (whole.parent.name, whole.name))))
