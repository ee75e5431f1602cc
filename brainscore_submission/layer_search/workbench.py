"""Where a search's tasks are done: model, benchmarks and recorder, opened once on each machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..engine.budget import Budget
from ..engine.images import Request, Stimulus
from ..engine.many_layers import GramSource, survey_recorder
from ..engine.plan import Plan, readout_plan
from ..engine.sketch import Sketch
from ..engine.survey import Candidate, Survey
from ..models.model import Model
from ..scoring.fast_metrics import make_job
from ..scoring.kept import Watcher
from ..scoring.suites import NoAccess, Suite, load
from .scores import LayerScore, LayerScorer, requests_of

GRAMS_SHARE_OF_DISK = 0.25
READOUT_FEATURES = 10_000


@dataclass(frozen=True)
class Task:
    """Layers to be scored on benchmarks that show the same stimuli: done on one machine, in one go.

    Parameters
    ----------
    benchmarks : ids
    layers : in the order of execution
    form : "gram", "surrogate" or "features"
    sketch : Sketch, or None for exact Gram matrices
    done : (benchmark, layer) pairs that need no score
    """

    benchmarks: tuple[str, ...]
    layers: tuple[str, ...]
    form: str = "gram"
    sketch: Sketch | None = None
    done: frozenset[tuple[str, str]] = frozenset()

    def split(self, n_parts: int) -> list[Task]:
        """The same work as several tasks of consecutive layers."""
        n_parts = min(n_parts, len(self.layers))
        cuts = [round(part * len(self.layers) / n_parts) for part in range(n_parts + 1)]
        return [
            Task(self.benchmarks, self.layers[start:stop], self.form, self.sketch, self.done)
            for start, stop in itertools.pairwise(cuts)
        ]


@dataclass
class Workbench:
    """A model and a suite, ready for tasks.

    Parameters
    ----------
    model, suite : what is searched
    budget : what a recording may take; Gram matrices and features that wait lie in its scratch folder
    readout_features : layers with more are no readout layers: fitting a readout to them takes too long
    preferred : patterns of the names that layers with the same values go by, see `engine.survey.survey`
    command : the command line, for the records
    watcher : Watcher
    """

    model: Model
    suite: Suite
    budget: Budget | None = None
    readout_features: int = READOUT_FEATURES
    preferred: tuple[str, ...] = ()
    command: str | None = None
    watcher: Watcher = field(default_factory=Watcher)

    def __post_init__(self):
        self._cache = self.budget.scratch if self.budget else None
        self.recorder = self.model.recorder(self._cache, self.budget, self.watcher.recorded)
        self._scorers: dict[str, LayerScorer] = {}
        self._requests: dict[str, list[Request]] = {}
        self._sources: dict[tuple[Sketch | None, bool], GramSource] = {}
        self._seconds: dict[str, float] = {}

    @property
    def image_passes(self) -> int:
        """Images that went through the network for tasks, each time a part of the way counted as one."""
        return self.recorder.image_passes

    @cached_property
    def survey(self) -> Survey:
        """The layers of the network."""
        self.watcher.stage("looking at the network's layers")
        size = self.model.card.preprocessing.input_px
        return survey_recorder(self.recorder, (3, size, size), self.preferred)

    def scorer(self, benchmark: str) -> LayerScorer:
        """The scorer of a benchmark, loaded once.

        Raises
        ------
        NoAccess
            If the benchmark's data cannot be had.
        """
        if benchmark not in self._scorers:
            self.watcher.stage(f"loading {benchmark}")
            loaded = load(benchmark, self.suite)
            job = make_job(benchmark, self.suite.leaves[benchmark], loaded, "gram", self.model.device)
            self._scorers[benchmark] = LayerScorer(self.model, self.suite, job, self.command, self._cache)
        return self._scorers[benchmark]

    def accessible(self, benchmarks: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """The benchmarks whose data can be had, and for the others why not."""
        found, refused = [], {}
        for benchmark in benchmarks:
            try:
                self.scorer(benchmark)
            except NoAccess as error:
                refused[benchmark] = str(error)
            else:
                found.append(benchmark)
        return found, refused

    def form(self, benchmark: str) -> str:
        """What a benchmark is shown of a layer: "gram", "surrogate" or "features"."""
        return self.scorer(benchmark).job.form

    def without_readout(self, benchmarks: Sequence[str], candidates: Sequence[Candidate]) -> list[str]:
        """Benchmarks for which every candidate is too large: a readout is fitted to the features themselves."""
        if any(candidate.n_features <= self.readout_features for candidate in candidates):
            return []
        return [benchmark for benchmark in benchmarks if self.form(benchmark) == "features"]

    def requests(self, benchmark: str) -> list[Request]:
        """The stimuli that a benchmark shows, one request a time it asks."""
        if benchmark not in self._requests:
            self.watcher.stage(f"preparing the stimuli of {benchmark}")
            smallest = min(self.survey.candidates, key=lambda candidate: candidate.n_features)
            self._requests[benchmark] = requests_of(self.scorer(benchmark).job, self.model, smallest.layer)
        return self._requests[benchmark]

    def stimuli(self, benchmark: str) -> tuple[Stimulus, ...]:
        """All stimuli of a benchmark."""
        return tuple(stimulus for request in self.requests(benchmark) for stimulus in request.stimuli)

    # --- tasks ----------------------------------------------------------------------------------------------------

    def plan(self, task: Task) -> Plan:
        """How a task will be recorded."""
        candidates = [self.survey.candidate(layer) for layer in task.layers]
        if task.form == "features":
            plan = readout_plan(candidates, self._n_stimuli(task), self.recorder.budget)
        else:
            plan = self._source(task).plan(candidates, self.stimuli(task.benchmarks[0]))
        scoring = len(task.layers) * sum(self._scoring_seconds(benchmark) for benchmark in task.benchmarks)
        return replace(plan, seconds={**plan.seconds, "scoring": scoring})

    def _scoring_seconds(self, benchmark: str) -> float:
        """Of one layer, timed on noise."""
        if benchmark not in self._seconds:
            self.requests(benchmark)
            self.watcher.stage(f"timing {benchmark}")
            smallest = min(self.survey.candidates, key=lambda candidate: candidate.n_features)
            self._seconds[benchmark] = self.scorer(benchmark).seconds_on_noise(smallest, self.requests(benchmark))
        return self._seconds[benchmark]

    def run(self, task: Task) -> Iterator[LayerScore]:
        """Do a task; each score comes as soon as it exists."""
        yield from self._from_features(task) if task.form == "features" else self._from_grams(task)

    def _from_grams(self, task: Task) -> Iterator[LayerScore]:
        candidates = [self.survey.candidate(layer) for layer in task.layers]
        stimuli = self.stimuli(task.benchmarks[0])
        self.watcher.stage(f"recording for {', '.join(task.benchmarks)}")
        for candidate, gram in self._source(task).grams(candidates, stimuli):
            for benchmark in task.benchmarks:
                if (benchmark, candidate.layer) not in task.done:
                    yield self.scorer(benchmark).from_gram(candidate, stimuli, gram, task.sketch)

    def _source(self, task: Task) -> GramSource:
        n_bytes = 8 * self._n_stimuli(task) ** 2 * len(self.survey.candidates)
        keep = n_bytes <= GRAMS_SHARE_OF_DISK * self.recorder.budget.disk_bytes
        key = task.sketch, keep
        if key not in self._sources:
            self._sources[key] = GramSource(self.recorder, self.survey, task.sketch, keep=keep)
        return self._sources[key]

    def _from_features(self, task: Task) -> Iterator[LayerScore]:
        for sweep in self.plan(task).sweeps:
            self.watcher.stage(f"recording for {', '.join(task.benchmarks)}")
            recording = self.recorder.record(self._asked(task, sweep.layers))
            for layer in sweep.layers:
                for benchmark in task.benchmarks:
                    if (benchmark, layer) not in task.done:
                        yield self.scorer(benchmark).from_features(self.survey.candidate(layer), recording)
            self.recorder.discard_leftovers()

    def _asked(self, task: Task, layers: Sequence[str]) -> list[Request]:
        requests = [request for benchmark in task.benchmarks for request in self.requests(benchmark)]
        return [Request(request.stimuli, features=frozenset(layers)) for request in requests]

    def _n_stimuli(self, task: Task) -> int:
        return len({stimulus.sha256 for benchmark in task.benchmarks for stimulus in self.stimuli(benchmark)})

    def tasks(
        self, benchmarks: Sequence[str], candidates: Sequence[Candidate], exact: bool | None, sketch: Sketch
    ) -> list[Task]:
        """Cut a search into tasks: benchmarks that show the same stimuli in the same form go together.

        Parameters
        ----------
        benchmarks : ids, none of them of `without_readout`
        candidates : layers, in the order of execution
        exact : whether Gram matrices are exact; None: where a sketch would not be much faster
        sketch : the one that is used otherwise
        """
        groups: dict[tuple, list[str]] = {}
        for benchmark in benchmarks:
            hashes = tuple(request.hashes for request in self.requests(benchmark))
            groups.setdefault((self.form(benchmark), hashes), []).append(benchmark)
        return [
            self._readout_task(tuple(group), candidates)
            if form == "features"
            else self._gram_task(form, tuple(group), candidates, exact, sketch)
            for (form, _), group in groups.items()
        ]

    def _readout_task(self, benchmarks: tuple[str, ...], candidates: Sequence[Candidate]) -> Task:
        limit = self.readout_features
        small = tuple(candidate.layer for candidate in candidates if candidate.n_features <= limit)
        return Task(benchmarks, small, "features")

    def _gram_task(
        self,
        form: str,
        benchmarks: tuple[str, ...],
        candidates: Sequence[Candidate],
        exact: bool | None,
        sketch: Sketch,
    ) -> Task:
        task = Task(benchmarks, tuple(candidate.layer for candidate in candidates), form)
        sketched = Task(benchmarks, task.layers, form, sketch)
        if exact or (exact is None and not _much_faster(self.plan(sketched), self.plan(task))):
            return task
        return sketched


def _much_faster(sketched: Plan, exact: Plan) -> bool:
    """Whether a sketch is worth its error: the exact way takes at least twice its time, and ten minutes more."""
    fast, slow = sum(sketched.seconds.values()), sum(exact.seconds.values())
    return slow > 2 * fast and slow - fast > 600
