"""The bench counts what the attacks promise, and clocks less in the network than in all."""

import pytest
import torch

from bench.attacks import markdown, measure

PASSES = {
    "fgsm, linf": (2, 1),
    "pgd:10x1, linf": (11, 10),
    "pgd:10x1, l2": (11, 10),
    "apgd:100x1, linf": (101, 100),
    "apgd:100x1, l2": (101, 100),
    "minimal:100, l2": (182, 139),
    "linsley2023, l2": (36, 27),
}


@pytest.mark.slow
def test_the_bench_counts_passes():
    rows = measure("test_resnet", 32, 2, torch.device("cpu"))
    counted = {row.attack: (row.forward, row.backward) for row in rows if row.of == "ours"}
    assert {name: counted[name] for name in PASSES} == PASSES
    assert all(0 < row.bookkeeping < 1 and row.seconds > 0 for row in rows)
    assert len(markdown(rows).splitlines()) == len(rows) + 2
