"""What other networks see in the pictures of perturbations (Debenedetti et al. 2023)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..attacks.classifier import Classifier
from ..attacks.pgd import pgd
from ..attacks.threats import Threat
from ..labelled_images.images import Batch, read_labelled_images
from ..models.model import Model
from ..plugin.errors import UserError
from ..plugin.files import write_whole
from .accuracy import scattered, share
from .blocks import Look, image_by_image
from .classifiers import classifier_of, clean_logits
from .grid import rank_of
from .semantics import perturbation_pictures

if TYPE_CHECKING:  # records need Brain-Score's libraries, an attack does not
    from .recording import Measured, RecordBook

STEPS = 100


def pictured(classifier: Classifier, threat: Threat, seed: int, folder: Path) -> Look:
    """Attack images that are classified correctly with PGD-100, and write the picture of each perturbation.

    Returns
    -------
    callable, Batch -> `correct` and `found` of shape (n,), and `picture`, the name of its file, "" where there is none
    """

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        pixels, labels = (values.to(classifier.device_of(batch.pixels)) for values in (batch.pixels, batch.labels))
        correct = clean_logits(classifier, pixels).argmax(1) == labels
        names = [name for name, right in zip(batch.identities, correct.tolist(), strict=True) if right]
        attack = pgd(
            classifier, pixels[correct], labels[correct], threat, steps=STEPS, seed=seed, identities=names
        )  # fmt: skip
        pictures = perturbation_pictures(attack.adversarial, pixels[correct], threat.eps).permute(0, 2, 3, 1)
        files = np.full(len(labels), "", dtype=object)
        files[correct.cpu().numpy()] = [f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.png" for name in names]
        for file, picture in zip([file for file in files if file], pictures.cpu().numpy(), strict=True):
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "png")
            write_whole(folder / file, buffer.getvalue(), "--results")
        return {
            "correct": correct.cpu().numpy(),
            "found": scattered(attack.found, correct, False),
            "picture": files.astype(str),
        }

    return look


def judged(judge: Model, folder: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, np.ndarray]:
    """What a network says of the images in a folder with a labels.csv: `identity`, `label`, `rank` of the label."""
    images = read_labelled_images(folder, judge.card.preprocessing, judge.card.num_classes)
    classifier = classifier_of(judge)

    def look(batch: Batch) -> Mapping[str, np.ndarray]:
        pixels, labels = (values.to(classifier.device_of(batch.pixels)) for values in (batch.pixels, batch.labels))
        return {"rank": rank_of(clean_logits(classifier, pixels), labels)}

    return image_by_image(images, look, size=judge.batch_size, progress=progress)


def measure_semantics(
    book: RecordBook,
    classifier: Classifier,
    threat: Threat,
    judges: Sequence[Model],
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Measured]:
    """Draw the perturbations, and have each judge classify the drawings as the classes of the images.

    Parameters
    ----------
    book : of the attacked model and the images
    threat : linf, whose radius scales the pictures
    judges : the networks that look at the pictures

    Returns
    -------
    list of Measured: perturbation_top1 of each judge, its top-5 accuracy among the settings

    Raises
    ------
    UserError
        another norm than linf; no image that is classified correctly
    """
    if threat.norm != "linf":
        raise UserError(
            f"pictures of perturbations are scaled by an linf radius: give for example linf:4/255, not {threat}."
        )
    settings = {"threat": str(threat), "attack": f"pgd:{STEPS}x1", "seed": seed}
    pictures = book.folder / f"{book.images.name}.perturbations.{re.sub('[^A-Za-z0-9.]+', '-', str(threat))}"
    table, seconds = book.look(
        "semantics",
        settings,
        pictured(classifier, threat, seed, pictures),
        partial(progress, "drawing") if progress else None,
    )
    drawn = table["picture"] != ""
    if not drawn.any():
        raise UserError(f"none of {len(drawn)} images is classified correctly: there is nothing to draw.")
    rows = zip(table["picture"][drawn].tolist(), table["label"][drawn].tolist(), strict=True)
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([("file", "class_index"), *rows])
    write_whole(pictures / "labels.csv", out.getvalue().encode(), "--results")
    found = []
    for judge in judges:
        name = " ".join([judge.name, *(f"[{mark}]" for mark in judge.marks)])
        seen = judged(judge, pictures, partial(progress, name) if progress else None)
        measured = {"metric": "perturbation_top1", **share(seen["rank"] < 1)}
        facts = {"top5": float((seen["rank"] < 5).mean()), "pictures": pictures.name}
        mine = settings | {"judge": name, "judge_fingerprint": judge.fingerprint}
        benchmark = book.name("perturbation_top1", threat, f"judge-{name}")
        found.append(book.keep(benchmark, mine, measured, seen, seconds=seconds, facts=facts))
    book.forget("semantics", settings)
    return found
