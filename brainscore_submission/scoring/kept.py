"""Which records still hold, and how to score the others: known without a network and without Brain-Score.

So a command that finds all its records there loads neither.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..plugin.areas import AREAS, AREAS_AND_BEHAVIOR, BEHAVIOR, LOGITS
from ..plugin.card import Card
from ..plugin.errors import UserError, suggest
from .naming import SUITE_FILE, record_path
from .records import Record, RecordError, require_own_folder, versions
from .registry import known_benchmarks
from .suite_files import keep_suite
from .suites import Suite

if TYPE_CHECKING:
    from ..engine.budget import Budget
    from ..models.model import Model

logger = logging.getLogger(__name__)

ENGINEERING = "engineering"

RERUN = {
    "missing": "score what has no record, or one made from other weights, layers, data or versions (default)",
    "all": "score everything again",
    "never": "show what is recorded",
}


def require_rerun(policy: str) -> None:
    """
    Raises
    ------
    UserError
        For an unknown rerun policy.
    """
    if policy not in RERUN:
        raise UserError(f"unknown rerun policy '{policy}'.{suggest(policy, RERUN)}")


def say_nothing(*_said: object) -> None:
    """A named function, so that options with a watcher can go to another process."""


@dataclass
class Watcher:
    """What a front end wants to hear of; every call has a default that does nothing.

    Parameters
    ----------
    stage : what is being done
    planned : lines, before long work
    recorded : images done, of how many
    scored : a record the moment it exists, its number, of how many
    """

    stage: Callable[[str], None] = say_nothing
    planned: Callable[[list[str]], None] = say_nothing
    recorded: Callable[[int, int], None] = say_nothing
    scored: Callable[[Record, int, int], None] = say_nothing


@dataclass(frozen=True)
class ScoreOptions:
    """How to score.

    Parameters
    ----------
    engine : one of `fast_metrics.ENGINES`
    results : folder for the records
    rerun : one of `RERUN`
    cache : folder for what is recorded; None keeps nothing
    budget : how much recorded features may take; default half of what is free
    command : the command line, for the records
    """

    engine: str = "gram"
    results: Path = Path("results")
    rerun: str = "missing"
    cache: Path | None = None
    budget: Budget | None = None
    command: str | None = None
    watcher: Watcher = field(default_factory=Watcher)


@dataclass(frozen=True)
class Described:
    """Of a `models.model.Model` what records and tables say of it: all but its network. A `Model` does as well.

    Parameters
    ----------
    fingerprint : hash of all that determines an activation besides layer and image
    marks : what everything shown of it must say
    others : as of `Model`
    """

    name: str
    card: Card
    origin: Mapping[str, Any]
    layers: Mapping[str, str]
    layer_map: str
    precision: str
    fingerprint: str
    marks: tuple[str, ...] = ()


def layer_of(identifier: str, area: str, model: Model | Described) -> str | None:
    """The layer that a benchmark reads: the class output for label tasks, the area's or the readout's otherwise."""
    known = known_benchmarks().get(identifier)
    task = known.task if known else "recording"
    if task == "label":
        return LOGITS
    if area in AREAS_AND_BEHAVIOR:
        return model.layers.get(area)
    return model.layers.get("IT" if task == "recording" else BEHAVIOR)


def readable(suite: Suite, model: Model | Described) -> Suite:
    """The suite without what reads behaviour, for a model without a layer for it."""
    unread = (leaf for leaf, area in suite.leaves.items() if area not in AREAS and layer_of(leaf, area, model) is None)
    return suite.without(set(unread))


def record_fingerprint(model: Model | Described, suite: Suite, area: str, engine: str, layer: str | None = None) -> str:
    """Hash of everything a score depends on besides the benchmark: a record with another one is stale."""
    facts = {
        "model": model.fingerprint,
        "layer": layer or model.layers.get(area),
        "visual_degrees": model.card.visual_degrees,
        "precision": model.precision,
        "engine": engine,
        "data": suite.data,
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def kept_records(
    model: Model | Described, suite: Suite, options: ScoreOptions, say: Callable[..., None] = logger.warning
) -> dict[str, Record]:
    """Benchmark -> its record, of those that need not be scored; what is replaced or stale is said.

    Parameters
    ----------
    say : takes a message as `logging` does

    Raises
    ------
    UserError
        For an unknown rerun policy; for a name that cannot be a folder's, or whose folder is another model's.
    """
    require_rerun(options.rerun)
    require_own_folder(options.results, model.name)
    if options.rerun == "all":
        return {}
    kept = {}
    for leaf, area in suite.leaves.items():
        path = record_path(options.results, model.name, suite.name, leaf)
        if not path.exists():
            continue
        try:
            record = Record.from_json(path)
        except RecordError as error:
            say("scored again: %s", error)
            continue
        if area not in (
            *AREAS_AND_BEHAVIOR,
            ENGINEERING,
        ):  # a benchmark given by id, which said itself which area it is about
            area = record.area
        layer = layer_of(leaf, area, model)
        fresh = record.fingerprint == record_fingerprint(model, suite, area, options.engine, layer)
        if not fresh and record.status == "scored":
            say(
                "%s: %s, from other weights, layers, data or versions",
                leaf,
                "shown as recorded" if options.rerun == "never" else "replaces a record (--results elsewhere keeps it)",
            )
        if options.rerun == "never" or (fresh and record.status == "scored"):
            kept[leaf] = record
    return kept


def keep_averages(model: Model | Described, suite: Suite, options: ScoreOptions) -> None:
    """Leave beside the records of a user's own suite how they average, for whoever reads them without its file."""
    if suite.file is not None and suite.name == suite.file.name and options.rerun != "never":
        keep_suite(suite.file, record_path(options.results, model.name, suite.name, "any").with_name(SUITE_FILE))


def said_of_kept(kept: Mapping[str, Record], suite: Suite) -> str:
    """That scores are there already, and what makes them anew."""
    return f"{len(kept)} of {len(suite.leaves)} scores are there already; --rerun all makes them anew"
