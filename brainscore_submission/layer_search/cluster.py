"""Tasks of a search on many machines, through dask.distributed: same results, in any order, workers may die."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ..asked import Asked
from ..plugin.errors import UserError
from .scores import LayerScore
from .workbench import Task, Workbench

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 3
TASKS_PER_WORKER = 2
_ONE_TASK = threading.Lock()  # a worker with several threads has one network, and its hooks are one task's


def run_on_cluster(scheduler: str, asked: Asked, tasks: Sequence[Task], bench: Workbench) -> Iterator[LayerScore]:
    """Do tasks on the workers of a scheduler; scores come as tasks end.

    A task whose worker dies is done by another one. Gram matrices go to the worker's cache folder: where that is
    shared, a task that is done again finds them.

    Parameters
    ----------
    scheduler : address, "tcp://host:8786"
    asked : what the workers open
    tasks : cut into `TASKS_PER_WORKER` parts a worker
    bench : the workbench of this machine: workers that find other weights or other versions are refused

    Raises
    ------
    UserError
        If dask.distributed is not installed, the scheduler does not answer, or a worker has other weights.
    """
    with connect(scheduler) as client:
        from distributed import as_completed

        n_parts = TASKS_PER_WORKER * max(1, len(client.nthreads()))
        parts = [part for task in tasks for part in task.split(n_parts)]
        how = bench.readout_features, bench.preferred, bench.model.fingerprint
        futures = client.map(lambda part: work(asked, part, *how), parts, retries=RETRIES, pure=False)
        for future in as_completed(futures):
            yield from future.result()


def work(
    asked: Asked, task: Task, readout_features: int, preferred: tuple[str, ...], fingerprint: str
) -> list[LayerScore]:
    """Do one task on a worker, which opens model and benchmarks at its first one."""
    with _ONE_TASK:
        bench = _workbench(asked, readout_features, preferred)
        if bench.model.fingerprint != fingerprint:
            raise UserError(f"a worker's weights of '{asked.model}', or its versions of torch and timm, are others.")
        return list(bench.run(task))


@lru_cache(maxsize=1)
def _workbench(asked: Asked, readout_features: int, preferred: tuple[str, ...]) -> Workbench:
    model = asked.open_model(areas=())
    budget = asked.budget(model.device)
    return Workbench(model, asked.open_suite(), budget, readout_features, preferred, asked.command)


def connect(scheduler: str) -> Client:
    """A client of a dask scheduler, to be used as a context.

    Raises
    ------
    UserError
        If dask.distributed is not installed, or the scheduler does not answer.
    """
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
