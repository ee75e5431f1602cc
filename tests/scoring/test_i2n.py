"""Promise of i2n.py: Brain-Score's value, error, raw and ceiling to the last bit, and Brain-Score's code where not."""

import numpy as np
import pytest
import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly
from brainscore_vision import load_metric
from brainscore_vision.benchmarks.rajalingham2018.benchmarks.benchmark import _DicarloRajalingham2018
from brainscore_vision.benchmarks.rajalingham2018.benchmarks.public_benchmark import (
    RajalinghamMatchtosamplePublicBenchmark,
)
from brainscore_vision.metrics.i1i2 import metric as i1i2

from brainscore_submission.scoring.i2n import ArrayI2n, covers, with_array_i2n

METRICS = {name: getattr(i1i2, name) for name in ("I1", "I1n", "I2", "I2n")}


def make_trials(n_images=30, n_objects=5, repeats=14, seed=0):
    """Trials of each image against each distractor, in random order, better than chance."""
    rng = np.random.default_rng(seed)
    names = np.array([f"object{i}" for i in rng.permutation(n_objects)])
    truth = np.repeat(names, n_images // n_objects)
    stimulus_id = np.array([f"image{i}" for i in rng.permutation(n_images)])
    image, distractor = np.divmod(np.tile(np.arange(n_images * n_objects), repeats), n_objects)
    image, distractor = image[names[distractor] != truth[image]], distractor[names[distractor] != truth[image]]
    order = rng.permutation(len(image))
    image, distractor = image[order], distractor[order]
    hard = rng.uniform(0, 0.6, size=(n_images, n_objects))[image, distractor]
    choice = np.where(rng.uniform(size=len(image)) < hard, names[distractor], truth[image])
    return BehavioralAssembly(
        choice,
        coords={
            "stimulus_id": ("presentation", stimulus_id[image]),
            "truth": ("presentation", truth[image]),
            "sample_obj": ("presentation", truth[image]),
            "dist_obj": ("presentation", names[distractor]),
            "choice": ("presentation", choice),  # so it is in the real recordings
        },
        dims=["presentation"],
    )


def make_probabilities(trials, seed=1, dtype=np.float64):
    """A model's probabilities, images and choices in another order than the trials'."""
    rng = np.random.default_rng(seed)
    truth_of = dict(zip(trials["stimulus_id"].values, trials["truth"].values, strict=True))
    choices = rng.permutation(sorted(set(truth_of.values())))
    images = rng.permutation(sorted(truth_of))
    logits = rng.normal(size=(len(images), len(choices)))
    logits += 2 * (np.array([truth_of[image] for image in images])[:, None] == choices)
    p = np.exp(logits)
    return BehavioralAssembly(
        (p / p.sum(axis=1, keepdims=True)).astype(dtype),
        coords={
            "stimulus_id": ("presentation", images),
            "image_label": ("presentation", [truth_of[image] for image in images]),
            "choice": ("choice", choices),
        },
        dims=["presentation", "choice"],
    )


def without(trials, **left_out):
    """The trials without those that have all of these values."""
    match = np.all([trials[name].values == value for name, value in left_out.items()], axis=0)
    return trials[~match]


def assert_same_score(ours, theirs):
    """Equal to the last bit, attributes within attributes too."""
    xr.testing.assert_equal(xr.DataArray(ours), xr.DataArray(theirs))
    assert type(ours) is type(theirs)
    assert ours.dtype == theirs.dtype
    assert ours.values.tobytes() == theirs.values.tobytes()
    assert set(ours.attrs) == set(theirs.attrs)
    for name in theirs.attrs:
        if isinstance(theirs.attrs[name], xr.DataArray):
            assert_same_score(ours.attrs[name], theirs.attrs[name])


@pytest.mark.parametrize("name", METRICS)
def test_score_and_ceiling_are_brainscores_to_the_last_bit(name):
    trials = make_trials()
    theirs, ours = METRICS[name](), ArrayI2n(METRICS[name]())
    assert covers(theirs, trials, make_probabilities(trials))
    assert_same_score(ours(make_probabilities(trials), trials), theirs(make_probabilities(trials), trials))
    assert_same_score(ours.ceiling(trials), theirs.ceiling(trials))


@pytest.mark.parametrize("repetitions", [1, 3])
def test_number_of_repetitions_is_kept(repetitions):
    trials = make_trials(n_images=12, n_objects=4)
    theirs = i1i2.I2n(repetitions=repetitions)
    ours = ArrayI2n(theirs)(make_probabilities(trials), trials)
    assert ours.raw.sizes == {"split": repetitions}
    assert_same_score(ours, theirs(make_probabilities(trials), trials))


def test_groups_larger_than_a_pairwise_sum_s_block():
    # numpy adds 8 numbers at a time, in blocks of 128: the order of a sum shows in its last bit
    trials = make_trials(n_images=300, n_objects=2, repeats=16)
    theirs, ours = i1i2.I2n(), ArrayI2n(i1i2.I2n())
    assert_same_score(ours(make_probabilities(trials), trials), theirs(make_probabilities(trials), trials))
    assert_same_score(ours.ceiling(trials), theirs.ceiling(trials))


def test_float32_probabilities():
    trials = make_trials()
    probabilities = [make_probabilities(trials, dtype=np.float32) for _ in range(2)]
    assert_same_score(ArrayI2n(i1i2.I2n())(probabilities[0], trials), i1i2.I2n()(probabilities[1], trials))


def test_certain_probabilities_are_clipped():
    trials = make_trials()
    probabilities = [make_probabilities(trials) for _ in range(2)]
    for p in probabilities:
        p.values[:4] = np.where(p.values[:4] < 0.05, 0, p.values[:4])  # z is infinite
    with np.errstate(invalid="ignore"):
        assert_same_score(ArrayI2n(i1i2.I2n())(probabilities[0], trials), i1i2.I2n()(probabilities[1], trials))


def test_pairs_that_were_never_shown():
    trials = make_trials()
    image, distractor = trials["stimulus_id"].values[0], trials["dist_obj"].values[0]
    trials = without(trials, stimulus_id=image, dist_obj=distractor)
    theirs, ours = i1i2.I2n(), ArrayI2n(i1i2.I2n())
    assert covers(theirs, trials)
    assert_same_score(ours(make_probabilities(trials), trials), theirs(make_probabilities(trials), trials))
    assert_same_score(ours.ceiling(trials, skipna=True), theirs.ceiling(trials, skipna=True))


def test_pairs_missing_in_one_half_need_skipna_as_in_brainscore():
    trials = make_trials(repeats=5)
    theirs, ours = i1i2.I2n(), ArrayI2n(i1i2.I2n())
    with np.errstate(invalid="ignore"):
        assert_same_score(ours.ceiling(trials, skipna=True), theirs.ceiling(trials, skipna=True))
        for metric in (theirs, ours):
            with pytest.raises(AssertionError):
                metric.ceiling(trials, skipna=False)


def test_a_half_without_some_image_stops_as_brainscore_does():
    trials = make_trials()
    one = np.flatnonzero(trials["stimulus_id"].values == trials["stimulus_id"].values[0])
    trials = trials[np.delete(np.arange(len(trials)), one[1:])]  # one trial of this image is left
    errors = []
    for metric in (i1i2.I2n(), ArrayI2n(i1i2.I2n())):
        with pytest.raises(Exception) as error, np.testing.suppress_warnings() as quiet:
            quiet.filter(DeprecationWarning)
            metric(make_probabilities(trials), trials)
        errors.append(error.type)
    assert errors[0] is errors[1]


def test_choices_beyond_the_truths_go_to_brainscore_and_its_error_comes_back():
    trials = make_trials()
    probabilities = make_probabilities(trials).isel(choice=slice(1, None))
    for metric in (i1i2.I2n(), ArrayI2n(i1i2.I2n())):
        with pytest.raises(KeyError):
            metric(probabilities.copy(), trials)


def test_what_is_not_covered():
    trials = make_trials()
    probabilities = make_probabilities(trials)
    assert not covers(i1i2.O2(), trials)
    assert not covers(load_metric("rdm"), trials)
    assert not covers(i1i2.I2n(), probabilities)
    assert not covers(i1i2.I2n(), trials, probabilities.transpose())
    assert not covers(i1i2.I2n(), trials, probabilities[[0, 0, *range(len(probabilities))]])
    assert not covers(i1i2.I2n(), without(trials, stimulus_id=probabilities["stimulus_id"].values[0]), probabilities)
    two_truths = trials.copy()
    names = two_truths.indexes["presentation"].names
    two_truths = two_truths.reset_index("presentation")
    two_truths["truth"].values[0] = two_truths["dist_obj"].values[0]
    assert not covers(i1i2.I2n(), BehavioralAssembly(two_truths.set_index(presentation=names)))


def test_an_uncovered_input_still_gets_brainscores_number():
    trials = make_trials(n_images=12, n_objects=3)
    numbered = trials.reset_index("presentation")
    numbered = numbered.assign_coords(stimulus_id=("presentation", [int(i[5:]) for i in trials["stimulus_id"].values]))
    numbered = BehavioralAssembly(numbered)
    assert not covers(i1i2.I2n(), numbered)
    assert_same_score(ArrayI2n(i1i2.I2n()).ceiling(numbered), i1i2.I2n().ceiling(numbered))


@pytest.mark.parametrize("public", [False, True])
def test_the_benchmark_keeps_its_metric_and_the_copy_has_the_same_ceiling(public, monkeypatch):
    trials = make_trials(repeats=5 if public else 14)
    for module in ("benchmark", "public_benchmark"):
        package = f"brainscore_vision.benchmarks.rajalingham2018.benchmarks.{module}"
        monkeypatch.setattr(
            f"{package}.load_{'assembly' if module == 'benchmark' else 'rajalingham2018'}", lambda *_, **__: trials
        )
    monkeypatch.setattr(
        "brainscore_vision.benchmarks.rajalingham2018.benchmarks.benchmark.load_stimulus_set", lambda _: None
    )
    if public:
        benchmark = RajalinghamMatchtosamplePublicBenchmark()
    else:
        benchmark = _DicarloRajalingham2018(metric=load_metric("i2n"), metric_identifier="i2n")
    metric = benchmark._metric
    fast = with_array_i2n(benchmark)
    assert benchmark._metric is metric
    assert type(fast._metric) is ArrayI2n
    monkeypatch.setattr(i1i2._I, "compute_ceiling", None)  # the copy's ceiling does without Brain-Score's loops
    ours = fast._ceiling_func()
    monkeypatch.undo()
    with np.errstate(invalid="ignore"):
        assert_same_score(ours, metric.ceiling(trials, skipna=public))


def test_a_benchmark_with_another_metric_is_left_alone():
    class Benchmark:
        _metric = load_metric("rdm")

    benchmark = Benchmark()
    assert with_array_i2n(benchmark) is benchmark
