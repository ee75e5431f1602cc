"""Tasks of a search on many machines, through dask.distributed: same results, in any order, workers may die."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..models.model import Model
from ..models.opening import open_model
from ..plugin.errors import UserError
from ..scoring.suites import Suite, find_suite, single_benchmarks
from .scores import LayerScore
from .workbench import Settings, Task, Workbench

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 3
TASKS_PER_WORKER = 2
_ONE_TASK = threading.Lock()  # a worker with several threads has one network, and its hooks are one task's


@dataclass(frozen=True)
class Opener:
    """What a search is about, in words that any machine can open.

    Parameters
    ----------
    model : as in `--model`
    options : (name, value) pairs of `models.open_model`'s options; files must lie at the same path everywhere
    suite : name of a suite, or "" with `benchmarks` or `recordings`
    benchmarks : ids
    recordings, metric : folder of a lab's own recordings, at the same path everywhere
    """

    model: str
    options: tuple[tuple[str, Any], ...] = ()
    suite: str = ""
    benchmarks: tuple[str, ...] = ()
    recordings: str = ""
    metric: str = "pls"

    def open_model(self, progress: Callable | None = None) -> Model:
        """Open the model; it needs no layer map."""
        return open_model(self.model, areas=(), progress=progress, **dict(self.options))

    def open_suite(self) -> Suite:
        """Open the suite, the benchmarks or the recordings."""
        if self.recordings:
            from ..recordings import read_recordings, recordings_suite

            return recordings_suite(read_recordings(self.recordings), self.metric)
        return single_benchmarks(self.benchmarks) if self.benchmarks else find_suite(self.suite)


def run_on_cluster(
    scheduler: str, opener: Opener, settings: Settings, tasks: Sequence[Task], model: Model
) -> Iterator[LayerScore]:
    """Do tasks on the workers of a scheduler; scores come as tasks end.

    A task whose worker dies is done by another one. Gram matrices go to the worker's cache folder: where that is
    shared, a task that is done again finds them.

    Parameters
    ----------
    scheduler : address, "tcp://host:8786"
    opener : Opener
    settings : Settings
    tasks : cut into `TASKS_PER_WORKER` parts a worker
    model : the model as it is here: workers that find other weights are refused

    Raises
    ------
    UserError
        If dask.distributed is not installed, the scheduler does not answer, or a worker has other weights.
    """
    with _connect(scheduler) as client:
        from distributed import as_completed

        n_parts = TASKS_PER_WORKER * max(1, len(client.nthreads()))
        parts = [part for task in tasks for part in task.split(n_parts)]
        futures = client.map(
            lambda part: work(opener, settings, part, model.fingerprint), parts, retries=RETRIES, pure=False
        )
        for future in as_completed(futures):
            yield from future.result()


def work(opener: Opener, settings: Settings, task: Task, fingerprint: str) -> list[LayerScore]:
    """Do one task on a worker, which opens model and benchmarks at its first one."""
    with _ONE_TASK:
        bench = _workbench(opener, settings)
        if bench.model.fingerprint != fingerprint:
            raise UserError(f"a worker's weights of '{opener.model}' are not those of this machine.")
        return list(bench.run(task))


@lru_cache(maxsize=1)
def _workbench(opener: Opener, settings: Settings) -> Workbench:
    return Workbench(opener.open_model(), opener.open_suite(), settings)


def _connect(scheduler: str) -> Client:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise UserError("--scheduler needs dask.distributed: pip install 'brainscore-submission[cluster]'") from error
    try:
        return Client(scheduler)
    except (OSError, ValueError) as error:  # no answer, or no address
        raise UserError(
            f"no dask scheduler answers at {scheduler}. Start one with `dask scheduler` and give its address."
        ) from error
