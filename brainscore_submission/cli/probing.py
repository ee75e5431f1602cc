"""What the commands that probe share: levels as typed, the two things they are measured on, the cost, the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from ..asked import Asked
from ..plugin.errors import UserError
from ..words import count, duration_in_words, words_of
from ..words.tables import Rows
from .attacking import open_all, open_asked
from .front_end import Terminal
from .progress import downloading, progress_bar, watching

if TYPE_CHECKING:
    from ..attacks.classifier import Classifier
    from ..labelled_images.images import LabelledImages
    from ..models.model import Model
    from ..probes.attention import ClassAttention
    from ..probes.perturbations import Grid, Perturbation
    from ..scoring.kept import ScoreOptions
    from ..scoring.records import Record
    from ..scoring.suites import Suite

SUITE = "probes"


def require_one_subject(images: Path | None, asked: Asked) -> None:
    """Labelled images, or something to score on: a usage error for none, a user error for both."""
    neural = [f"--{name}" for name in ("benchmark", "suite", "recordings") if _given(asked, name)]
    if images is None and not neural:
        raise typer.BadParameter("give --images val/, or --benchmark, --suite or --recordings.", param_hint="--images")
    if images is not None and neural:
        raise UserError(f"give --images for accuracy or {neural[0]} for brain scores, not both at once.")


def _given(asked: Asked, name: str) -> Any:
    return asked.benchmarks if name == "benchmark" else getattr(asked, name)


def numbers_of(text: str, option: str = "--levels") -> list[float]:
    """Numbers as typed, each once, rising.

    >>> numbers_of("0.5,0,.2,.5")
    [0.0, 0.2, 0.5]
    """
    try:
        return sorted({float(word) for word in words_of(text)})
    except ValueError:
        raise UserError(f"{option}: '{text}' is no list of numbers with commas between, such as 0,0.2,0.5.") from None


def grid_of(text: str) -> Grid:
    """Rows and columns as typed: 14, or 7x14.

    >>> grid_of("14"), grid_of("7x14")
    ((14, 14), (7, 14))
    """
    rows, _, columns = text.lower().partition("x")
    if not (rows.isdigit() and (columns or rows).isdigit() and int(rows) and int(columns or rows)):
        raise UserError(f"--grid: '{text}' is no grid. Write 14, or rows and columns: 7x14.")
    return int(rows), int(columns or rows)


def with_intact(levels: Sequence[Perturbation], intact: Perturbation) -> list[Perturbation]:
    """The levels behind the intact images, which all are compared with."""
    return [intact, *(level for level in levels if not level.intact)]


# --- on accuracy -----------------------------------------------------------------------------------------------------


def on_accuracy(
    terminal: Terminal,
    asked: Asked,
    where: Path,
    levels: Sequence[Perturbation],
    sample: int | None,
    results: Path,
    rerun: str,
    dry_run: bool,
    as_json: bool,
    saliency_model: str | None = None,
    attention: str | None = None,
) -> None:
    """Open model and images, say the cost, measure the curve and show it."""
    from ..probes.accuracy import measure_accuracy
    from ..probes.perturbations import require_fitting
    from ..robustness.recording import RecordBook

    model, classifier, images = open_all(terminal, asked, where, sample)
    for level in levels:
        require_fitting(level.grid, images.preprocessing.input_px)
    levels, source = _with_source(terminal, levels, model, saliency_model, attention)
    attend = source and source.on(levels[0].grid)
    stated = _cost_of_looks(terminal, model, classifier, images, len(levels))
    if dry_run:
        write_plan(terminal, stated, as_json)
        return
    book = RecordBook(model, images, results, rerun, asked.command, suite=SUITE)
    with progress_bar(terminal) as advance:
        kind = levels[0].kind
        found = measure_accuracy(book, classifier, levels, attend, lambda done, total: advance(kind, done, total))
    show(terminal, [found.record], results, as_json, {"images": images.name, "notes": list(images.notes)})


def lesions(
    terminal: Terminal,
    asked: Asked,
    where: Path,
    before: Sequence[str] | None,
    shares: Sequence[float],
    seed: int,
    sample: int | None,
    results: Path,
    rerun: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Open model and images, say the cost, measure a curve for each module and show them."""
    from ..plugin.hooks import module_of
    from ..probes.accuracy import measure_accuracy
    from ..probes.lesion import Lesion, under_lesions, usual_sites
    from ..robustness.recording import RecordBook

    for share in shares:
        Lesion(share, "")  # a wrong share is known before weights are fetched
    model, classifier, images = open_all(terminal, asked, where, sample)
    sites = list(dict.fromkeys(before or usual_sites(model.network)))
    for site in sites:
        module_of(model.network, site)
    curves = [with_intact([Lesion(share, site, seed) for share in shares], Lesion(0.0, site, seed)) for site in sites]
    stated = _cost_of_looks(terminal, model, classifier, images, sum(map(len, curves)))
    if dry_run:
        write_plan(terminal, stated, as_json)
        return
    book = RecordBook(model, images, results, rerun, asked.command, suite=SUITE)
    records = []
    with progress_bar(terminal) as advance:
        for site, levels in zip(sites, curves, strict=True):
            say = partial(advance, f"before {site}")
            look = under_lesions(classifier, levels)
            records.append(measure_accuracy(book, classifier, levels, progress=say, look=look).record)
    show(terminal, records, results, as_json, {"images": images.name, "notes": list(images.notes)})


def segment(
    terminal: Terminal,
    asked: Asked,
    where: Path,
    masks: Path,
    source: str | None,
    mass: float,
    results: Path,
    rerun: str,
    as_json: bool,
) -> None:
    """Open model, images and masks, measure the Jaccard index and show it."""
    from ..probes.attention import ClassAttention
    from ..probes.segmentation import masked_images, measure_segmentation
    from ..robustness.recording import RecordBook

    for folder, option in ((where, "--images"), (masks, "--masks")):
        if not folder.is_dir():  # before any weights are fetched
            raise UserError(f"{option}: there is no folder {folder}.")
    model = open_asked(terminal, asked)
    attention = ClassAttention(model, source)
    images, mask_of = masked_images(where, masks, model.card.preprocessing)
    terminal.warn(images.notes)
    book = RecordBook(model, images, results, rerun, asked.command, suite=SUITE)
    with progress_bar(terminal) as advance:
        say = partial(advance, "images")
        found = measure_segmentation(book, attention, mask_of, {"source": attention.source}, mass, say)
    show(terminal, [found.record], results, as_json, {"images": images.name, "notes": list(images.notes)})


def _with_source(
    terminal: Terminal,
    levels: Sequence[Perturbation],
    model: Model,
    saliency_model: str | None,
    attention: str | None,
) -> tuple[Sequence[Perturbation], ClassAttention | None]:
    """The levels, naming whose attention they go by, and that attention; None where cells are hidden at random."""
    from ..probes.attention import ClassAttention

    if getattr(levels[0], "saliency", "random") == "random":
        if saliency_model or attention:
            raise UserError("--saliency-model and --attention need --saliency salient or non-salient.")
        return levels, None
    looking = open_asked(terminal, Asked(model=saliency_model, device="cpu")) if saliency_model else model
    source = ClassAttention(looking, attention)
    name = f"{looking.name}-{source.source}"
    return [replace(one, source=name, source_fingerprint=looking.fingerprint) for one in levels], source


def _cost_of_looks(
    terminal: Terminal, model: Model, classifier: Classifier, images: LabelledImages, n_levels: int
) -> dict[str, Any]:
    """Say what looking at all images at all levels takes; one batch is timed for it."""
    from ..robustness.cost import pace

    speed = pace(classifier, next(images.batches(model.batch_size)).pixels)
    seconds = speed.seconds(len(images), n_levels, 0)
    stated = {"images": len(images), "passes": len(images) * n_levels, "seconds": round(seconds, 1)}
    terminal.console.print(
        f"{count(n_levels, 'level')} x {count(len(images), 'image')}: {stated['passes']} passes, about "
        f"{duration_in_words(seconds)} on {model.device}",
        highlight=False,
    )
    return stated


# --- on brain scores -------------------------------------------------------------------------------------------------


def on_scores(
    terminal: Terminal,
    asked: Asked,
    levels: Sequence[Perturbation],
    results: Path,
    rerun: str,
    dry_run: bool,
    as_json: bool,
    saliency_model: str | None = None,
    attention: str | None = None,
) -> None:
    """Open model and suite, say the cost, record and score each level, and show the curves."""
    from ..engine.decoding import pixels_kept
    from ..probes.scores import curves, hierarchy_by_level, score_levels
    from ..scoring.kept import ScoreOptions, readable
    from ..scoring.suites import loaded_once
    from .many import with_room

    suite = loaded_once(asked.open_suite())
    with downloading(terminal) as progress:
        model = asked.open_model(tuple(suite.areas), progress)
    suite = readable(suite, model)
    levels, source = _with_source(terminal, levels, model, saliency_model, attention)
    options = with_room(ScoreOptions(results=results, rerun=rerun), asked, model)
    stated = _cost(model, suite, levels, options, source)
    terminal.console.print(stated["said"], highlight=False, soft_wrap=True)
    if dry_run:
        write_plan(terminal, {name: value for name, value in stated.items() if name != "said"}, as_json)
        return
    with watching(terminal) as watcher, pixels_kept(asked.budget("cpu").memory_bytes // 4):
        options = replace(options, watcher=watcher)
        found = score_levels(model, suite, levels, options, source)
        records = curves(model, suite, levels, found, options)
    rhos = hierarchy_by_level(found)
    show(terminal, records, results, as_json, {"suite": suite.name, "rho_hierarchy": rhos})
    if not any(record.status == "scored" for record in records):
        terminal.complain("no benchmark was scored at any level; the lines above say why.")
        raise typer.Exit(1)


def _cost(
    model: Model, suite: Suite, levels: Sequence[Perturbation], options: ScoreOptions, source: ClassAttention | None
) -> dict[str, Any]:
    """What the levels without records take: each the same, so one is planned."""
    from ..probes.scores import at_level
    from ..scoring.kept import kept_records, say_nothing
    from ..scoring.rehearsal import plan_scoring

    todo = []
    for level in levels:
        changed, own, where = at_level(model, suite, level, levels, options, source)
        if len(kept_records(changed, own, where, say_nothing)) < len(own.leaves):
            todo.append((changed, own, where))
    if not todo:
        return {"levels": 0, "passes": 0, "seconds": 0.0, "said": f"all {len(levels)} levels are recorded"}
    one = plan_scoring(*todo[-1])
    passes, seconds = len(todo) * one.passes, len(todo) * one.seconds
    said = (
        f"{len(todo)} of {count(len(levels), 'level')} to record, {count(one.images, 'image')} each: {passes} passes, "
        f"about {duration_in_words(seconds)} on {model.device}. The metrics come on top."
    )
    return {"levels": len(todo), "passes": passes, "seconds": round(seconds, 1), "said": said}


# --- what is shown ---------------------------------------------------------------------------------------------------


def show(terminal: Terminal, records: Sequence[Record], results: Path, as_json: bool, facts: Mapping[str, Any]) -> None:
    """The curves as a table, a row for each level, or as one JSON object."""
    from ..scoring.records import marks_of

    if as_json:
        dumped = [record.model_dump(mode="json") for record in records]
        terminal.write_json(
            {"model": records[0].model if records else None, "marks": marks_of(records), **facts, "records": dumped}
        )
        return
    if not records:
        return
    title = " · ".join([records[0].model, *marks_of(records)])
    cells = [row for record in records for row in _rows(record)]
    console = Console(file=terminal.out)
    console.print(Rows(("measure", "level", "value", "95 % interval", "of intact"), cells, title=title))
    if any(rho is not None for rho in facts.get("rho_hierarchy", ())):
        curve = next(record.measured.settings["curve"] for record in records if record.measured)
        rhos = ", ".join(
            f"{point['level']:g}: {'–' if rho is None else f'{rho:+.2f}'}"
            for point, rho in zip(curve, facts["rho_hierarchy"], strict=True)
        )
        console.print(f"rho-hierarchy at each level: {rhos}", soft_wrap=True, highlight=False)
    for record in records:
        for note in record.notes:
            console.print(f"{record.benchmark}: {note}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"records: {records[0].path(results).parent}", soft_wrap=True, highlight=False, markup=False)


def _rows(record: Record) -> Iterator[tuple[str, ...]]:
    """A row for each level of a curve, and one for the number of the record."""
    if record.measured is None:
        yield f"{record.benchmark}: {record.reason}", "", "", "", ""
        return
    one, name = record.measured, record.benchmark
    curve = one.settings.get("curve", ())
    for point in curve:
        value = point["score"] if "score" in point else point["value"]
        relative = _number(point.get("relative"))
        yield name, f"{point['level']:g}", _number(value), _ends(point["interval"]), relative
        name = f"by {one.settings['axis']}" if name == record.benchmark else ""
    if not curve or one.value != curve[-1].get("value"):  # of an ensemble the number is its last level
        what = "area" if curve else one.metric
        yield name, what, _number(one.value), _ends(one.interval), ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _ends(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def write_plan(terminal: Terminal, stated: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        terminal.write_json({"dry_run": dict(stated)})
    else:
        terminal.out.write("nothing was measured (--dry-run)\n")
