"""Which layer of a network fits which brain area: every candidate layer on every benchmark, honestly chosen.

The command is in ``cli/search.py``, its plots in ``analysis/layer_search.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..asked import Asked
from ..engine.budget import Budget
from ..engine.decoding import pixels_kept
from ..engine.sketch import Sketch
from ..engine.survey import Candidate, Survey, choose, same_values_in_words
from ..models.model import Model
from ..plugin.errors import UserError, suggest
from ..scoring.kept import Watcher
from ..scoring.naming import SEARCHES, folder_name
from ..scoring.suites import Suite
from .cluster import run_on_cluster
from .collection import Collection
from .confirmation import Confirmation
from .scores import LayerScore, kept_score
from .selection import Choice, choose_layers
from .workbench import READOUT_FEATURES, Task, Workbench


@dataclass(frozen=True)
class SearchOptions:
    """What to search and how.

    Parameters
    ----------
    areas : to search; none for all of the suite
    layers, kinds, every : which candidates, see `engine.survey.choose`
    exact : whether every Gram matrix is exact; None: where a sketch would not be much faster
    sketch : Sketch that ranks layers first, where not everything is exact
    top : layers of each area that are confirmed exactly after a sketch
    ordered : prefer, among tied layers, those in the order V1, V2, V4, IT
    readout_features : layers with more are no readout layers for behaviour
    results : folder for tables and records
    budget : what a recording may take on this machine
    scheduler, asked : address of a dask scheduler and what its workers open; None for this machine
    command : the command line, for the records
    """

    areas: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    every: int = 1
    exact: bool | None = None
    sketch: Sketch = field(default_factory=Sketch)
    top: int = 8
    ordered: bool = False
    readout_features: int = READOUT_FEATURES
    results: Path = Path("results")
    budget: Budget | None = None
    scheduler: str | None = None
    asked: Asked | None = None
    command: str | None = None
    watcher: Watcher = field(default_factory=Watcher)


@dataclass(frozen=True)
class SearchResult:
    """All scores of a search and what was chosen from them.

    Parameters
    ----------
    model, suite : what was searched
    survey : of the network
    candidates : layers searched, in the order of execution
    scores : one a benchmark and layer, the exact one where there are two
    sketched : (benchmark, layer) -> score that a sketch made first
    signed : area -> layer -> exact signed score, averaged over the area's benchmarks as the suite does
    choices : area -> Choice
    confirmations : area -> Confirmation, for areas that were sketched
    notes : what a reader of the table should know
    planned_passes, image_passes : images through the network in this run, planned and counted (None: on a cluster)
    folder : where tables and plots belong
    command : the command line that made it, None from Python
    """

    model: Model
    suite: Suite
    survey: Survey
    candidates: tuple[Candidate, ...]
    scores: tuple[LayerScore, ...]
    sketched: Mapping[tuple[str, str], LayerScore]
    signed: Mapping[str, Mapping[str, float]]
    choices: Mapping[str, Choice]
    confirmations: Mapping[str, Confirmation]
    notes: tuple[str, ...]
    planned_passes: int
    image_passes: int | None
    folder: Path
    command: str | None

    @property
    def marks(self) -> tuple[str, ...]:
        """What everything that shows it must say: UNTRAINED, SIMULATED."""
        return (*self.model.marks, *(["SIMULATED"] if self.suite.simulated else []))


def search_layers(model: Model, suite: Suite, options: SearchOptions) -> SearchResult:
    """Score every candidate layer on every benchmark of a suite and choose a layer for each area.

    Scores that lie in the search's folder and are not stale are not made again: a search that was killed goes on.

    Raises
    ------
    UserError
        For unknown areas and layers, budgets that are too small, unusable activations, a full disk.
    """
    bench = Workbench(
        model,
        suite,
        options.budget,
        options.readout_features,
        preferred=options.layers,
        command=options.command,
        watcher=options.watcher,
    )
    wanted = _wanted(suite, options.areas)
    candidates = choose(bench.survey, options.layers, options.kinds, options.every)
    accessible, refused = _accessible(bench, wanted)
    benchmarks, too_large = _readable(bench, accessible, candidates)
    tasks = bench.tasks(benchmarks, candidates, options.exact, options.sketch)
    search = _Search(bench, options, candidates)
    room = min(bench.recorder.budget.memory_bytes, Budget.default(None).memory_bytes)  # of a GPU, the former is its own
    with pixels_kept(room // 4):  # each pass shows the same images
        search.do(tasks)
        search.confirm([task for task in tasks if task.sketch is not None])
    found = search.found
    return SearchResult(
        model=model,
        suite=suite,
        survey=bench.survey,
        candidates=candidates,
        scores=tuple(found.best_known()),
        sketched=found.sketched,
        signed={area: found.signed(area, found.exact) for area in found.areas},
        choices=choose_layers([found.area_scores(area) for area in found.areas], options.ordered),
        confirmations=found.confirmations(options.sketch),
        notes=(
            *same_values_in_words(bench.survey, options.layers, candidates),
            *too_large,
            *_notes(bench, tasks, candidates, refused),
        ),
        planned_passes=search.planned_passes,
        image_passes=None if options.scheduler else bench.image_passes,
        folder=search.folder,
        command=options.command,
    )


def search_folder(results: Path, model: Model, suite: Suite) -> Path:
    """Where tables, plots and records of a search lie: results/<model>/layer_search/<suite>."""
    return Path(results) / folder_name(model.name) / SEARCHES / folder_name(suite.name)


def _wanted(suite: Suite, areas: Sequence[str]) -> list[str]:
    """Benchmarks of the areas named, of all areas where none is."""
    unknown = [area for area in areas if area not in suite.areas]
    if unknown:
        raise UserError(f"suite '{suite.name}' has no area '{unknown[0]}'.{suggest(unknown[0], suite.areas)}")
    return [leaf for leaf, area in suite.leaves.items() if not areas or area in areas]


def _accessible(bench: Workbench, wanted: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Those of the benchmarks whose data can be had, and why the others cannot."""
    benchmarks, refused = bench.accessible(wanted)
    if not benchmarks:
        reasons = "; ".join(f"{benchmark}: {why}" for benchmark, why in refused.items())
        raise UserError(f"no benchmark's data can be had. {reasons}. The demo suite needs none: --suite demo.")
    return benchmarks, refused


def _readable(
    bench: Workbench, benchmarks: Sequence[str], candidates: Sequence[Candidate]
) -> tuple[list[str], list[str]]:
    """The benchmarks that can be shown some candidate, and a note on each other one: candidates are too large for it.

    Raises
    ------
    UserError
        If no benchmark is left.
    """
    left_out = bench.without_readout(benchmarks, candidates)
    smallest = min(candidate.n_features for candidate in candidates)
    notes = [
        f"{benchmark} is left out: a readout is fitted to a layer's features themselves, and none of these layers has "
        f"{bench.readout_features} or fewer. Name smaller layers, or give --readout-features {smallest}."
        for benchmark in left_out
    ]
    if len(left_out) == len(benchmarks):
        raise UserError(" ".join(notes))
    return [benchmark for benchmark in benchmarks if benchmark not in left_out], notes


def _notes(
    bench: Workbench, tasks: Iterable[Task], candidates: Sequence[Candidate], refused: Mapping[str, str]
) -> list[str]:
    limit = bench.readout_features
    notes = [f"{benchmark}: no access ({why})" for benchmark, why in refused.items()]
    notes += [
        f"{', '.join(task.benchmarks)}: {len(candidates) - len(task.layers)} layers with more than {limit} features "
        "are left out, because a readout is fitted to the features themselves (--readout-features)"
        for task in tasks
        if task.form == "features" and len(task.layers) < len(candidates)
    ]
    notes += [bench.suite.caveat] if bench.suite.caveat else []
    if bench.model.marks:
        notes.append(f"UNTRAINED: random weights, seed {bench.model.origin.get('seed')}.")
    return notes


class _Search:
    """Does tasks and collects their scores."""

    def __init__(self, bench: Workbench, options: SearchOptions, candidates: Sequence[Candidate]):
        self.folder = search_folder(options.results, bench.model, bench.suite)
        self.found = Collection(bench.suite, candidates)
        self.planned_passes = 0
        self._bench = bench
        self._options = options
        self._candidates = {candidate.layer: candidate for candidate in candidates}

    def do(self, tasks: Sequence[Task]) -> None:
        """Do what is not done yet; every score is written the moment it exists."""
        remaining = [task for task in map(self._without_kept, tasks) if task.layers]
        if not remaining:
            return
        self._announce(remaining)
        total = sum(len(task.benchmarks) * len(task.layers) - len(task.done) for task in remaining)
        for number, score in enumerate(self._scores(remaining), 1):
            score.write(self.folder)
            self.found.take(score)
            self._options.watcher.scored(score.record, number, total)

    def confirm(self, sketched: Sequence[Task]) -> None:
        """Score exactly what may be the best of an area, until nothing else may."""
        while True:
            wanted = [replace(task, layers=self._unconfirmed(task), sketch=None) for task in sketched]
            wanted = [task for task in wanted if task.layers]
            if not wanted:
                return
            self.do(wanted)

    def _unconfirmed(self, task: Task) -> tuple[str, ...]:
        """Layers wanted by the areas of a task, in the order of execution."""
        areas = {self._bench.suite.leaves[benchmark] for benchmark in task.benchmarks}
        wanted = {layer for area in areas for layer in self.found.unconfirmed(area, self._options.top)}
        missing = [layer for layer in wanted if any((b, layer) not in self.found.exact for b in task.benchmarks)]
        return tuple(layer for layer in self._candidates if layer in missing)

    def _without_kept(self, task: Task) -> Task:
        """A task less what lies in the folder, which is taken."""
        missing: dict[str, set[str]] = {}
        for benchmark in task.benchmarks:
            scorer = self._bench.scorer(benchmark)
            for layer in task.layers:
                score = kept_score(self.folder, scorer, self._candidates[layer], task.sketch)
                if score is None:
                    missing.setdefault(layer, set()).add(benchmark)
                else:
                    self.found.take(score)
        layers = tuple(layer for layer in task.layers if layer in missing)
        done = {(b, layer) for layer in layers for b in task.benchmarks if b not in missing[layer]}
        return replace(task, layers=layers, done=frozenset(done))

    def _announce(self, tasks: Sequence[Task]) -> None:
        lines = []
        for task in tasks:
            plan = self._bench.plan(task)
            self.planned_passes += plan.image_passes
            way = "sketched" if task.sketch else "raw features" if task.form == "features" else "exact"
            first, *others = plan.lines()
            lines += [f"{', '.join(task.benchmarks)} ({way}): {first}", *others]
        self._options.watcher.planned(lines)

    def _scores(self, tasks: Sequence[Task]) -> Iterator[LayerScore]:
        options = self._options
        if options.scheduler is not None:
            yield from run_on_cluster(options.scheduler, options.asked, tasks, self._bench)
            return
        for task in tasks:
            yield from self._bench.run(task)
