"""How a model's brain scores fall as pixels are changed: one recording a level, each benchmark's curve as a record.

    results/<model>/<suite>/<benchmark>.json                               the intact score, as `evaluate` writes it
    results/probe_levels/<model>/<suite>.<probe>.<level>/<benchmark>.json  at each other level, with its neuroids
    results/<model>/probes/<benchmark>.<probe>.json                        the curve

Pixels change after Brain-Score has placed a picture on its canvas: the grey around it is neither changed nor counted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..models.model import Model
from ..plugin.areas import AREAS
from ..plugin.card import Preprocessing
from ..plugin.errors import UserError
from ..plugin.files import file_sha256
from ..plugin.preprocessing import unit_range
from ..scoring.formulas import FORMULAS, ceiled
from ..scoring.hierarchy import rho_hierarchy
from ..scoring.placement import Frame, picture_in
from ..scoring.records import LEVELS, Measure, Record
from ..scoring.score import ScoreOptions, describe_record, score_suite
from ..scoring.sidecar import Sidecar
from ..scoring.suites import Suite, loaded_once
from ..scoring.uncertainty import paired_difference, percentiles, raw_resamples
from .attention import ClassAttention
from .perturbations import WHOLE, Perturbation, Window, area_under, facts, name_of

SUITE = "probes"


@dataclass(frozen=True)
class OnScreen:
    """One level, as a `Model` applies it to image files: to the picture, not to the grey around it.

    Parameters
    ----------
    attention : of a level that hides by it, asked of each image as it is placed
    """

    level: Perturbation
    preprocessing: Preprocessing
    attention: ClassAttention | None = None

    @property
    def facts(self) -> Mapping[str, Any]:
        """Of the level."""
        return facts(self.level)

    def __call__(self, pixels: Tensor, path: Path) -> Tensor:
        """Pixels of shape (3, height, width), uint8, perturbed; an image is known by the hash of its file."""
        frame = picture_in(path)
        window = WHOLE if frame is None else window_of(frame, self.preprocessing)
        if self.attention is None:
            return self.level(pixels, file_sha256(path), window)
        where = self.attention.on(self.level.grid, window)(unit_range(pixels)[None])[0]
        return self.level(pixels, file_sha256(path), window, where)


def window_of(frame: Frame, preprocessing: Preprocessing) -> Window:
    """Where a picture on a canvas lies after resize and crop: the pixels that are wholly the picture's.

    Examples
    --------
    >>> preprocessing = Preprocessing("crop", resize_px=256, crop_px=224)
    >>> window_of(Frame(128, 128, 384, 384, 512, 512), preprocessing)
    (slice(48, 176, None), slice(48, 176, None))
    """
    short, side = min(frame.width, frame.height), preprocessing.resize_px
    wide, tall = side, side
    if preprocessing.keep_aspect:
        wide, tall = side * frame.width // short, side * frame.height // short
    cut = preprocessing.crop_px
    return (
        _along(frame.top, frame.bottom, frame.height, tall, tall if cut is None else cut),
        _along(frame.left, frame.right, frame.width, wide, wide if cut is None else cut),
    )


def _along(start: int, stop: int, extent: int, resized: int, kept: int) -> slice:
    before = round((resized - kept) / 2)  # as torchvision's CenterCrop
    first, last = -(-start * resized // extent) - before, stop * resized // extent - before
    return slice(max(first, 0), min(last, kept))


# --- one recording a level -------------------------------------------------------------------------------------------


def score_levels(
    model: Model,
    suite: Suite,
    levels: Sequence[Perturbation],
    options: ScoreOptions,
    attention: ClassAttention | None = None,
) -> list[list[Record]]:
    """Score a model on a suite at each level; what has a record is not scored again.

    Parameters
    ----------
    model : intact
    levels : of one kind, the intact one first
    attention : for levels that hide by it

    Returns
    -------
    list of the records of each level, in the order of the suite
    """
    suite = loaded_once(suite)
    found = []
    for number, level in enumerate(levels, 1):
        options.watcher.stage(f"level {number} of {len(levels)}: {level.axis} {level.level:g}")
        perturbed, own, where = at_level(model, suite, level, levels, options, attention)
        try:
            found.append(score_suite(perturbed, own, where))
        except UserError as error:  # of a benchmark alone; among others it is a record
            if not level.hides_all:
                raise
            found.append([_failed(leaf, perturbed, own, where, str(error)) for leaf in own.leaves])
    return found


def at_level(
    model: Model,
    suite: Suite,
    level: Perturbation,
    levels: Sequence[Perturbation],
    options: ScoreOptions,
    attention: ClassAttention | None = None,
) -> tuple[Model, Suite, ScoreOptions]:
    """What is scored at a level, and where its records go; of the intact level what `evaluate` would score."""
    if level.intact:
        return model, suite, options
    perturbed = replace(model, perturbation=OnScreen(level, model.card.preprocessing, attention))
    own = replace(suite, name=f"{suite.name}.{name_of(levels)}.{level.level:g}")
    return perturbed, own, replace(options, results=options.results / LEVELS)


def _failed(leaf: str, model: Model, suite: Suite, options: ScoreOptions, reason: str) -> Record:
    envelope = describe_record(leaf, suite.leaves[leaf], model, suite, options.engine, options.command)
    record = Record(**envelope, status="failed", reason=reason)
    record.write(options.results)
    return record


# --- curves ----------------------------------------------------------------------------------------------------------


def curves(
    model: Model,
    suite: Suite,
    levels: Sequence[Perturbation],
    found: Sequence[Sequence[Record]],
    options: ScoreOptions,
    **resampling: Any,
) -> list[Record]:
    """The curve of each benchmark, as a record whose value is the area under the score relative to the intact one.

    Intervals are of resamples of neuroids and stimuli that are drawn together at all levels, since the recordings are
    the same at all of them (`uncertainty.raw_resamples`).

    Parameters
    ----------
    model, suite : intact
    found : records of each level, from `score_levels`; of the first level the intact ones
    **resampling : options of `uncertainty.raw_resamples`

    Returns
    -------
    list of Record, also written; `settings["curve"]` holds of each level its score, that score relative to the intact
    one, the difference to it with interval and p, or the reason why there is no score
    """
    by_level = [{record.benchmark: record for record in records} for records in found]
    made = []
    for leaf, area in suite.leaves.items():
        mine = [records.get(leaf) for records in by_level]
        if None in mine:
            continue
        record = _curve(model, suite, levels, mine, options, area, resampling)
        record.write(options.results)
        made.append(record)
    return made


def _curve(
    model: Model,
    suite: Suite,
    levels: Sequence[Perturbation],
    mine: Sequence[Record],
    options: ScoreOptions,
    area: str,
    resampling: Mapping[str, Any],
) -> Record:
    leaf = mine[0].benchmark
    where = [at_level(model, suite, level, levels, options)[2].results for level in levels]
    draws = [_draws(record, folder, resampling) for record, folder in zip(mine, where, strict=True)]
    points = [_point(*each, mine[0], draws[0]) for each in zip(levels, mine, draws, strict=True)]
    envelope = describe_record(leaf, area, model, suite, options.engine, options.command)
    scored = [number for number, point in enumerate(points) if point["relative"] is not None]
    settings = {"levels": [facts(level) for level in levels], "curve": points, "axis": levels[0].axis}
    prints = json.dumps([settings["levels"], [record.fingerprint for record in mine]], sort_keys=True)
    envelope |= {
        "kind": "measure",
        "suite": SUITE,
        "benchmark": f"{leaf}.{name_of(levels)}",
        "area": mine[0].area,
        "layer": mine[0].layer,
        "fingerprint": hashlib.sha256(prints.encode()).hexdigest(),
    }
    if not scored:
        reason = f"no score of the intact images to compare with ({mine[0].reason or 'it is 0'})"
        return Record(**envelope, status="failed", reason=reason)
    left_out = [f"{point['level']:g} ({point['reason']})" for point in points if point["relative"] is None]
    notes = (f"levels without a score, left out of the area: {', '.join(left_out)}",) if left_out else ()
    if draws[0] is not None and not _above_0(draws[0]):
        notes += ("the intact score cannot be told from 0, so shares of it have no interval",)
    measured = _area([levels[n] for n in scored], [points[n] for n in scored], [draws[n] for n in scored])
    return Record(
        **envelope,
        notes=notes,
        measured=Measure(metric=f"{levels[0].kind}_score", settings=settings, n=len(scored), **measured),
    )


def _point(
    level: Perturbation, record: Record, draws: np.ndarray | None, intact: Record, intact_draws: np.ndarray | None
) -> dict[str, Any]:
    """What is known of a benchmark at one level."""
    score, whole = value_of(record), value_of(intact)
    point: dict[str, Any] = {"level": level.level, "score": score, "reason": record.reason}
    point["interval"] = None if record.measured is None else record.measured.interval
    point |= dict.fromkeys(("relative", "relative_interval", "difference", "difference_interval", "p"))
    if score is None or not whole:
        return point
    point |= {"relative": score / whole, "difference": score - whole}
    if draws is not None and intact_draws is not None:
        paired = paired_difference(draws, intact_draws)
        point |= {
            "relative_interval": percentiles(draws / intact_draws) if _above_0(intact_draws) else None,
            "difference_interval": (float(paired.low), float(paired.high)),
            "p": float(paired.p),
        }
    return point


def _above_0(intact_draws: np.ndarray) -> bool:
    """Whether shares of the intact score have an interval: near 0 they may be anything."""
    return percentiles(intact_draws)[0] > 0


def _area(
    levels: Sequence[Perturbation], points: Sequence[Mapping[str, Any]], draws: Sequence[np.ndarray | None]
) -> dict[str, Any]:
    """Area under the relative scores, and its interval where all levels have resamples."""
    value = float(area_under(levels, np.array([point["relative"] for point in points])))
    if any(one is None for one in draws) or not _above_0(draws[0]):
        return {"value": value}
    resampled = area_under(levels, np.stack(draws, axis=-1) / draws[0][:, None])
    return {
        "value": value,
        "error": float(resampled.std()),
        "interval": percentiles(resampled),
        "interval_over": "neuroids and stimuli, the same ones at all levels",
    }


def value_of(record: Record) -> float | None:
    """The ceiled score; of an unceiled benchmark raw r."""
    measured = record.measured
    return None if measured is None else measured.raw if measured.score is None else measured.score


def _draws(record: Record, results: Path, resampling: Mapping[str, Any]) -> np.ndarray | None:
    """Resamples of the score, moved to have it as their mean; None where the benchmark keeps no neuroids."""
    path = record.path(results).with_suffix(".npz")
    measured = record.measured
    if measured is None or not path.is_file() or measured.formula not in FORMULAS:
        return None
    raw = raw_resamples(Sidecar.load(path, record.checksum), **resampling)
    draws = raw if measured.score is None else ceiled(raw, measured.ceiling, measured.formula)
    return draws - draws.mean() + value_of(record)


def hierarchy_by_level(found: Sequence[Sequence[Record]]) -> list[float | None]:
    """The rho-hierarchy at each level, of the mean score of each area; None where an area has none or all are equal."""
    rhos = []
    for records in found:
        scores = {area: [value_of(record) for record in records if record.area == area] for area in AREAS}
        complete = all(values and None not in values for values in scores.values())
        means = {area: float(np.mean(values)) for area, values in scores.items()} if complete else None
        rhos.append(rho_hierarchy(means).rho if means else None)
    return rhos
