"""Runs that begin at once on one cold cache: all of them end, with the same table."""

import json
import multiprocessing
import shutil
from pathlib import Path

import pytest
from one_run import BENCHMARKS, evaluate

PRELOADED = [
    "brainscore_submission.cli",
    "brainscore_submission.scoring.score",
    "brainscore_submission.demo.benchmarks",
]


def together(home: Path, n_runs: int) -> list[dict]:
    context = multiprocessing.get_context("forkserver")  # imports happen once
    context.set_forkserver_preload(PRELOADED)
    runs = [context.Process(target=evaluate, args=(str(home), number)) for number in range(n_runs)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    for number, run in enumerate(runs):
        assert run.exitcode == 0, (home / f"{number}.err").read_text()[-2000:]
    said = [json.loads((home / f"{number}.json").read_text()) for number in range(n_runs)]
    return [{record["benchmark"]: record["measured"] for record in one["records"]} for one in said]


@pytest.mark.slow
@pytest.mark.parametrize("n_rounds", [1, 10])
def test_six_runs_at_once_give_one_table(tmp_path, n_rounds):
    tables = []
    for number in range(n_rounds):
        home = tmp_path / str(number)
        home.mkdir()
        tables += together(home, 6)
        shutil.rmtree(home / "stimuli_on_screen")  # emptied by hand: a dead end once
        tables += together(home, 1)
    assert set(tables[0]) == set(BENCHMARKS)
    assert all(table == tables[0] for table in tables)
