"""Models on a suite, one after the other or on a cluster: what fails is collected, and the others go on."""

from __future__ import annotations

import contextlib
import datetime
import errno
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..asked import Asked
from ..plugin.errors import UserError
from ..plugin.files import require_writable_later
from ..scoring.naming import folder_name
from ..words import parse_bytes
from .front_end import Terminal
from .progress import watching
from .remembered import SEARCH, note_of, recall, remember

if TYPE_CHECKING:
    from ..models.model import Model
    from ..scoring.kept import Described, ScoreOptions
    from ..scoring.plan import Plan
    from ..scoring.records import Record
    from ..scoring.suites import Suite

logger = logging.getLogger(__name__)

_ONE_MODEL = threading.Lock()  # a worker with several threads scores one model at a time


@dataclass(frozen=True)
class Scored:
    """A model on what it could be scored on; left out is what it has no readout layer for."""

    model: Model | Described
    suite: Suite
    records: list[Record]
    left_out: list[str]

    def summary(self) -> dict[str, Any]:
        """As `scoring.display.summary`."""
        from ..scoring.display import summary

        return summary(self.model, self.suite, self.records)


@dataclass
class Outcome:
    """What came of several models: a summary of each (`scoring.display.summary`), or why there is none."""

    summaries: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def collecting(self, asked: Asked) -> Iterator[None]:
        """Keep what fails in here as this model's, and go on; on a full disk nothing can go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  (a network is somebody's code: whatever it raises is its own failure)
            if _is_full_disk(error):
                raise
            logger.info("failed: %s", asked.called, exc_info=error)
            self.failures[asked.called] = (
                str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            )


def _is_full_disk(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def answered(asked: Asked, options: ScoreOptions) -> Scored | None:
    """What is recorded of a model, where nothing is left to do; None where something may be.

    Loads no network and no Brain-Score.

    Raises
    ------
    UserError
        For an unknown rerun policy.
    """
    from ..scoring.kept import keep_averages, kept_records, readable, said_of_kept, say_nothing

    noted = None if options.rerun == "all" else recall(note_of(asked, options.engine))
    if noted is None:
        return None
    model, suite = noted
    scored = readable(suite, model)
    if options.rerun == "never":
        kept = kept_records(model, scored, options)
    else:
        kept = kept_records(model, scored, options, say_nothing)
        if len(kept) < len(scored.leaves):
            return None
        keep_averages(model, scored, options)
    if kept:
        options.watcher.stage(said_of_kept(kept, scored))
    return Scored(model, scored, list(kept.values()), _left_out(suite, scored))


def answered_all(each: Sequence[Asked], options: ScoreOptions) -> list[Scored] | None:
    """`answered` of every model, or None where one of them has anything left, or two would go under one name."""
    there = []
    for asked in each:
        if (one := answered(asked, options)) is None:
            return None
        there.append(one)
    return there if len({folder_name(one.model.name) for one in there}) == len(there) else None


def _left_out(suite: Suite, scored: Suite) -> list[str]:
    return [leaf for leaf in suite.leaves if leaf not in scored.leaves]


def require_usable(asked: Asked, options: ScoreOptions) -> None:
    """See at the door, before anything is fetched, that what was typed beside model and suite can be used.

    Raises
    ------
    UserError
    """
    from ..scoring.fast_metrics import require_engine
    from ..scoring.kept import require_rerun

    require_rerun(options.rerun)
    require_engine(options.engine)
    require_sizes(asked)
    if options.rerun != "never":
        require_writable_later(options.results, "--results")


def require_sizes(asked: Asked) -> None:
    """
    Raises
    ------
    UserError
        --memory or --disk is no size.
    """
    for size in filter(None, (asked.memory, asked.disk)):
        parse_bytes(size)


def score_one(asked: Asked, suite: Suite | None, options: ScoreOptions) -> Scored:
    """Open a model, search its layers where that is asked for, and score it; open nothing where nothing is to do.

    Parameters
    ----------
    suite : what `asked` opens, where that has been done
    options : without cache and budget, which depend on the device

    Raises
    ------
    UserError
    """
    require_sizes(asked)
    if (there := answered(asked, options)) is not None:
        return there

    from ..scoring.kept import readable
    from ..scoring.score import score_suite

    require_usable(asked, options)
    note = note_of(asked, options.engine)
    suite = suite or asked.open_suite()
    searches = asked.layers == SEARCH
    opened = replace(asked, layers=None) if searches else asked
    watcher = options.watcher

    def fetched(done: int, total: int | None) -> None:
        watcher.stage("weights, bytes")
        watcher.recorded(done, total)

    model = opened.open_model(() if searches else tuple(suite.areas), fetched)
    options = with_room(options, opened, model)
    if searches:
        model = _with_searched_layers(model, suite, opened, options)
    read = readable(suite, model)
    records = score_suite(model, read, options)
    remember(note if note == note_of(asked, options.engine) else None, asked, model, suite)
    return Scored(model, read, records, _left_out(suite, read))


def with_room(options: ScoreOptions, asked: Asked, model: Model) -> ScoreOptions:
    """The options with what this machine has room for."""
    budget = asked.budget(model.device)
    return replace(options, cache=budget.scratch, budget=budget, command=asked.command)


def _with_searched_layers(model: Model, suite: Suite, asked: Asked, options: ScoreOptions) -> Model:
    from ..layer_search.search import SearchOptions, search_layers

    how = SearchOptions(
        results=options.results, budget=options.budget, asked=asked, command=asked.command, watcher=options.watcher
    )
    found = search_layers(model, suite, how)
    name = f"searched on {suite.name} {datetime.date.today().isoformat()}"
    name += f" ({', '.join(found.marks)})" if found.marks else ""
    return replace(model, layers={area: choice.layer for area, choice in found.choices.items()}, layer_map=name)


def plan_many(
    each: Sequence[Asked], suite: Suite, options: ScoreOptions, terminal: Terminal
) -> tuple[list[Plan], list[Asked], Outcome]:
    """What each model will take, which of them can be opened, and why the others cannot.

    Weights that are not on this machine are not fetched for it: time and disk depend on the architecture alone.
    """
    from ..scoring.kept import Watcher

    plans, ready, outcome, names = [], [], Outcome(), {}
    silent = replace(options, watcher=Watcher())
    with watching(terminal) as watcher:
        for number, asked in enumerate(each, 1):
            watcher.stage("planning")
            watcher.recorded(number, len(each))
            with outcome.collecting(asked):
                name, plan = _plan(asked, suite, silent)
                folder = folder_name(name)
                if folder in names:
                    raise UserError(
                        f"it would be called '{name}', as {names[folder]} is: give one of them another name."
                    )
                names[folder] = asked.called
                plans += [plan] if plan else []
                ready.append(asked)
    return plans, ready, outcome


def _plan(asked: Asked, suite: Suite, options: ScoreOptions) -> tuple[str, Plan | None]:
    """What a model will be called, and what it will take; None where its layers have to be searched first."""
    from ..models.opening import describe
    from ..plugin.checkpoint import UNTRAINED
    from ..plugin.fetching import is_present
    from ..scoring.kept import readable
    from ..scoring.plan import nothing_left
    from ..scoring.rehearsal import plan_scoring

    if (there := answered(asked, options)) is not None:
        return there.model.name, nothing_left(there.model.name, len(there.suite.leaves))
    card = describe(asked.model)
    fetches = asked.weights is None and bool(card.weights.sources) and not is_present(card)
    stand_in = replace(asked, weights=UNTRAINED, name=asked.name or card.identifier) if fetches else asked
    searches = asked.layers == SEARCH
    model = replace(stand_in, layers=None if searches else asked.layers).open_model(
        () if searches else tuple(suite.areas)
    )
    if searches:
        return model.name, None
    note = "weights to be fetched first" if fetches else ""
    return model.name, plan_scoring(model, readable(suite, model), with_room(options, asked, model), note)


def score_many(
    each: Sequence[Asked], suite: Suite, options: ScoreOptions, terminal: Terminal, outcome: Outcome
) -> None:
    """Score models one after the other on this machine.

    Raises
    ------
    UserError
        The disk is full.
    """
    from ..engine.decoding import pixels_kept

    room = min((asked.budget("cpu").memory_bytes for asked in each), default=0) // 4
    kept = pixels_kept(room) if len(each) > 1 else contextlib.nullcontext()
    with watching(terminal, of_many=True) as watcher, kept:
        for number, asked in enumerate(each, 1):
            words = f"{number} of {len(each)}, {asked.called}"
            told = replace(watcher, stage=lambda text, words=words: watcher.stage(f"{words}: {text}"))
            with outcome.collecting(asked):
                outcome.summaries.append(score_one(asked, suite, replace(options, watcher=told)).summary())


def score_on_cluster(
    scheduler: str, each: Sequence[Asked], options: ScoreOptions, terminal: Terminal, outcome: Outcome
) -> None:
    """Score models on the workers of a dask scheduler, one task a model; one whose worker dies is done by another.

    Records go to the results folder as each worker sees it, which has to be the same one.

    Raises
    ------
    UserError
        No scheduler answers, or dask.distributed is not installed.
    """
    from ..layer_search.cluster import connect

    with connect(scheduler) as client, watching(terminal) as watcher:
        from distributed import as_completed

        watcher.stage(f"{len(each)} models on {len(client.nthreads())} workers")
        tasks = {client.submit(score_on_worker, asked, options, pure=False): asked for asked in each}
        for number, future in enumerate(as_completed(tasks), 1):
            asked = tasks[future]
            with outcome.collecting(asked):
                summary, failure = future.result()
                if failure:
                    raise UserError(failure)
                outcome.summaries.append(summary)
            watcher.stage(f"{number} of {len(each)} models done, {asked.called} the last")


def score_on_worker(asked: Asked, options: ScoreOptions) -> tuple[dict[str, Any] | None, str | None]:
    """One task: the summary of a model, or why there is none, so that no worker tries in vain again."""
    with _ONE_MODEL:
        outcome = Outcome()
        with outcome.collecting(asked):
            outcome.summaries.append(score_one(asked, _suite(asked.suite_alone()), options).summary())
        return next(iter(outcome.summaries), None), next(iter(outcome.failures.values()), None)


@lru_cache(maxsize=1)
def _suite(asked: Asked) -> Suite:
    from ..scoring.suites import loaded_once

    return loaded_once(asked.open_suite())
