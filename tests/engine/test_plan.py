"""Promises of plan.py: every layer once, within the budget, and as few forward passes as that allows."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainscore_submission.engine.budget import Budget
from brainscore_submission.engine.plan import MOST_MINIBATCHES, Speed, make_plan, readout_plan
from brainscore_submission.engine.survey import Candidate, Survey

MB = 10**6
SPEED = Speed(image_seconds=0.5, multiply_add_seconds=1e-10)


def network(*layers, peak=0):
    """A survey of layers given as (features, live bytes per image)."""
    candidates = tuple(
        Candidate(f"layer{i}", ("conv",), (n_features,), (i + 1) / len(layers), 1, live)
        for i, (n_features, live) in enumerate(layers)
    )
    return Survey(candidates, {}, {}, peak, 1)


def plan_for(survey, memory, disk=0, n_stimuli=100, columns=None):
    budget = Budget(memory, disk, Path("scratch") if disk else None)
    return make_plan(survey, survey.candidates, n_stimuli, 8, budget, SPEED, columns)


@settings(deadline=None, max_examples=60)
@given(
    layers=st.lists(
        st.tuples(st.integers(1, 10**6), st.integers(0, 8 * 10**6)).map(lambda pair: (pair[0], pair[0] * 4 + pair[1])),
        min_size=1,
        max_size=12,
    ),
    memory=st.integers(100, 900),
    disk=st.sampled_from([0, 200, 2000]),
)
def test_every_layer_is_recorded_once_and_within_the_budget(layers, memory, disk):
    survey = network(*layers)
    plan = plan_for(survey, memory * MB, disk * MB)
    assert plan.memory_bytes <= memory * MB and plan.disk_bytes <= disk * MB
    names = [c.layer for c in survey.candidates]
    assert plan.layers == tuple(names)
    for layer, sweeps in itertools.groupby(plan.sweeps, key=lambda sweep: sweep.layers[0]):
        sweeps = list(sweeps)
        if sweeps[0].columns is None:
            assert len(sweeps) == 1
            continue
        parts = [sweep.columns for sweep in sweeps]
        assert parts[0][0] == 0 and parts[-1][1] == survey.candidate(layer).n_features
        assert all(before[1] == after[0] for before, after in itertools.pairwise(parts))


def test_what_fits_is_recorded_in_one_simple_pass():
    (sweep,) = plan_for(network((1000, 8000), (2000, 8000)), 200 * MB).sweeps
    assert not sweep.parked and not sweep.on_disk


def test_many_layers_take_one_pass_where_minibatches_can_wait():
    survey = network(*[(100_000, 1_000_000)] * 50)  # 2 GB of features, 100 MB of waiting forward passes
    (sweep,) = plan_for(survey, 250 * MB).sweeps
    assert len(sweep.parked) == 50 and sweep.memory_bytes == 100 * MB


def test_early_layers_too_large_to_wait_go_to_disk_and_the_rest_waits():
    survey = network(*[(1_000_000, 10_000_000)] * 3, *[(50_000, 400_000)] * 20)
    (sweep,) = plan_for(survey, 150 * MB, 2000 * MB).sweeps
    assert sweep.on_disk and sweep.disk_bytes == 3 * 400 * MB
    assert sweep.parked == tuple(f"layer{i}" for i in range(3, 23))


def test_with_little_disk_the_large_layers_are_cut_into_short_sweeps():
    survey = network(*[(1_000_000, 10_000_000)] * 3, *[(50_000, 400_000)] * 20)
    plan = plan_for(survey, 150 * MB, 400 * MB)
    assert len(plan.sweeps) == 3
    assert plan.forward_passes == pytest.approx((1 + 2 + 23) / 23)
    assert plan.image_passes == 300


def test_a_layer_that_fits_nowhere_is_recorded_some_features_at_a_time():
    plan = plan_for(network((1_000_000, 10_000_000)), 250 * MB)
    assert len(plan.sweeps) >= 3 and all(sweep.columns for sweep in plan.sweeps)
    assert any(f"in {len(plan.sweeps)} sweeps of some features each" in line for line in plan.lines())


def test_a_sketch_needs_less():
    survey = network(*[(1_000_000, 10_000_000)] * 30)
    assert plan_for(survey, 150 * MB, columns=100).forward_passes == 1
    assert plan_for(survey, 150 * MB).forward_passes > 10


def test_there_are_never_more_minibatches_than_threads_can_be():
    plan = plan_for(network((10, 100)), 10_000 * MB, n_stimuli=5000)
    assert -(-5000 // plan.batch_size) <= MOST_MINIBATCHES


def test_a_plan_says_passes_memory_disk_and_time():
    survey = network(*[(1_000_000, 10_000_000)] * 3, *[(50_000, 400_000)] * 20)
    lines = plan_for(survey, 150 * MB, 400 * MB).lines()
    assert lines[0] == "23 layers, 100 stimuli, 3 passes over them (1.13 whole forward passes, 300 image passes)"
    assert lines[1].startswith("  - layer0: 4% of the forward pass; features wait on disk (400 MB)")
    assert "minibatches wait for each other at 20" in lines[3]
    assert lines[-1].startswith("  expected: ") and lines[-1].endswith("400 MB of disk")


def test_readout_layers_are_held_as_many_as_fit():
    survey = network((1000, 0), (1000, 0), (1000, 0))
    plan = readout_plan(survey.candidates, 100, Budget(2 * 800_000, 0, None))
    assert [sweep.layers for sweep in plan.sweeps] == [("layer0", "layer1"), ("layer2",)]
    assert plan.image_passes == 200
