"""Ceilings that are kept: Brain-Score's, to the last digit, and never those of other data."""

import importlib
import logging
import sys

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision import load_ceiling
from brainscore_vision.benchmarks import BenchmarkBase

from brainscore_submission.scoring import ceilings
from brainscore_submission.scoring.ceilings import Unknown, ceilings_kept, fingerprint


def responses(seed=0, neuroid="n"):
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(12, 4))
    return NeuroidAssembly(
        np.concatenate([signal + 0.5 * rng.normal(size=signal.shape) for _ in range(6)]),
        coords={
            "stimulus_id": ("presentation", [f"s{i:02d}" for i in range(12)] * 6),
            "repetition": ("presentation", np.repeat(np.arange(6), 12)),
            "neuroid_id": ("neuroid", [f"{neuroid}{i}" for i in range(4)]),
            "region": ("neuroid", ["IT"] * 4),
        },
        dims=["presentation", "neuroid"],
    )


def benchmark(assembly, calls=None):
    consistency = load_ceiling("internal_consistency")  # an object that holds loggers, and they what they write to

    def ceiling():
        if calls is not None:
            calls.append(1)
        return consistency(assembly)

    return BenchmarkBase("made.IT-pls", ceiling_func=ceiling, version=1, parent="IT")


def assert_same(ours, theirs):
    assert ours.values == theirs.values and ours.error.values == theirs.error.values
    assert ours.raw.dims == theirs.raw.dims
    np.testing.assert_array_equal(ours.raw.values, theirs.raw.values)
    for name in ("split", "neuroid_id", "region"):
        assert list(ours.raw[name].values) == list(theirs.raw[name].values)


def test_a_later_run_finds_brainscores_ceiling_to_the_last_digit(tmp_path, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler()])
    theirs = load_ceiling("internal_consistency")(responses())
    for _ in range(2):
        with ceilings_kept(tmp_path):
            assert_same(benchmark(responses()).ceiling, theirs)
    (file,) = (tmp_path / "ceilings").iterdir()
    with ceilings_kept(tmp_path):
        damaged = bytearray(file.read_bytes())
        damaged[100] ^= 1
        file.write_bytes(damaged)
        assert_same(benchmark(responses()).ceiling, theirs)  # computed again


def test_it_is_computed_once(tmp_path, monkeypatch):
    calls = []
    one = benchmark(responses(), calls)
    with ceilings_kept(None):
        _ = one.ceiling, one.ceiling
    assert len(calls) == 1


@pytest.mark.parametrize(
    "other", [responses(seed=1), responses(neuroid="m"), responses() * (1 + 1e-15), responses()[:60]]
)
def test_other_data_of_the_same_name_have_another_fingerprint(other):
    def of(assembly):
        return fingerprint(benchmark(assembly)._ceiling_func)

    assert of(responses()) == of(responses())
    assert of(other) != of(responses())


FACTOR = 2


def test_another_function_over_the_same_data_has_another_fingerprint(monkeypatch, tmp_path):
    data = np.arange(4.0)
    functions = [
        lambda: data.mean() * 10, lambda: data.mean() * 20, lambda: data.max() * 10, lambda: np.median(data),
        lambda: data.mean() * FACTOR, lambda factor=3: data.mean() * factor, lambda *, factor=4: data.mean() * factor,
        lambda *, factor=5: data.mean() * factor, lambda: [one for one in data if one > 1], lambda: data.attrs,
    ]  # fmt: skip
    found = [fingerprint(function) for function in functions]
    assert len(set(found)) == len(found)
    again = fingerprint(functions[4])
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert again == found[4] != fingerprint(functions[4])
    file = tmp_path / "made_ceiling.py"
    monkeypatch.syspath_prepend(tmp_path)
    made = []
    for text in ("def helper(): return 1", "def helper(): return 1.0 # edited"):
        file.write_text(f"{text}\nclass Ceiler:\n    def __call__(self): return helper()\n")
        made.append(fingerprint(importlib.import_module("made_ceiling").Ceiler()))
        del sys.modules["made_ceiling"]
        ceilings._code_of.cache_clear()
        importlib.invalidate_caches()
    assert made[0] != made[1]


def test_what_cannot_be_told_is_not_kept(tmp_path):
    opaque = iter([1.0, 2.0])
    with pytest.raises(Unknown):
        fingerprint(lambda: next(opaque))
    one = BenchmarkBase("made", ceiling_func=lambda: next(opaque), version=1, parent="IT")
    with ceilings_kept(tmp_path):
        assert one.ceiling == 1.0
    assert not list(tmp_path.iterdir())
