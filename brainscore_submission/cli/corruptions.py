"""What `probe corruptions` does and shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ..asked import Asked
from ..plugin.errors import UserError
from ..words import duration_in_words
from ..words.tables import Rows
from .attacking import open_asked
from .front_end import Terminal
from .probing import SUITE, write_plan
from .progress import progress_bar

if TYPE_CHECKING:
    from ..scoring.records import Record


def corruptions(
    terminal: Terminal,
    asked: Asked,
    where: Path,
    baseline: Path | None,
    sample: int | None,
    results: Path,
    rerun: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Open the model and the images of all corruptions, say the cost, measure mCE and show it."""
    from ..labelled_images.images import read_labelled_images
    from ..probes.corruptions import ALEXNET, corrupted_folders, measure_mce, together, whole_picture
    from ..robustness.classifiers import classifier_of
    from ..robustness.cost import pace
    from ..robustness.recording import RecordBook

    folders = corrupted_folders(where)
    other = None if baseline is None else _record_of(baseline)
    model = open_asked(terminal, asked)
    classifier, preprocessing = classifier_of(model), whole_picture(model.card.preprocessing)
    sets = {}
    with progress_bar(terminal) as advance:
        for number, (place, folder) in enumerate(folders.items()):
            advance("reading images", number, len(folders))
            sets[place] = read_labelled_images(folder, preprocessing, model.card.num_classes, sample=sample)
            if dry_run:
                break
    first = sets["gaussian_noise", 1]
    passes = len(first) * len(folders)
    seconds = pace(classifier, next(first.batches(model.batch_size)).pixels).seconds(passes, 1, 0)
    terminal.console.print(
        f"{len(folders)} x {len(first)} images: {passes} passes, about {duration_in_words(seconds)} on {model.device}",
        highlight=False,
    )
    if dry_run:
        write_plan(terminal, {"images": len(first), "passes": passes, "seconds": round(seconds, 1)}, as_json)
        return
    name = where.absolute().name + ("" if sample is None else f"-sample{sample}")
    corrupted = together(name, sets)
    terminal.warn(corrupted.notes)
    if other is not None and other.data != corrupted.fingerprint:
        raise UserError(f"{baseline} is a record of other images: measure {other.model} on {where} first.")
    errors, called = (ALEXNET, "AlexNet, published") if other is None else (_errors(other), other.model)
    with progress_bar(terminal) as advance:
        measured = measure_mce(
            lambda images: RecordBook(model, images, results, rerun, asked.command, suite=SUITE),
            corrupted, classifier, errors, called, advance,
        )  # fmt: skip
    _show(terminal, measured.record, errors, results, as_json)


def _record_of(path: Path) -> Record:
    from ..scoring.records import Record
    from ..scoring.sidecar import RecordError

    try:
        record = Record.from_json(path)
    except RecordError as error:
        raise UserError(f"--baseline: {error}") from None
    if record.measured is None or record.measured.metric != "mce":
        raise UserError(f"--baseline: {path} is no record of `probe corruptions`. Give one, or leave it for AlexNet's.")
    return record


def _errors(record: Record) -> Mapping[str, float]:
    return record.measured.settings["errors"]


def _show(terminal: Terminal, record: Record, baseline: Mapping[str, float], results: Path, as_json: bool) -> None:
    if as_json:
        terminal.write_json(
            {"model": record.model, "marks": list(record.marks), "records": [record.model_dump(mode="json")]}
        )
        return
    one = record.measured
    ends = "" if one.interval is None else f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
    cells = [
        (name, f"{error:.3f}", f"{baseline[name]:.3f}", f"{error / baseline[name]:.3f}", "")
        for name, error in _errors(record).items()
    ]
    cells.append(("mCE", "", "", f"{one.value:.3f}", ends))
    title = " · ".join([f"{record.model} on {record.benchmark}", *record.marks])
    console = Console(file=terminal.out)
    console.print(Rows(("corruption", "error", "baseline's", "ratio", "95 % interval"), cells, title=title))
    for line in (f"baseline: {one.settings['baseline']}", *record.notes, f"records: {record.path(results).parent}"):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
