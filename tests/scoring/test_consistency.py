"""Promise of consistency.py: Brain-Score's ceiling, error and raw to the last bit, and Brain-Score's code where not."""

import joblib
import numpy as np
import pytest
import xarray as xr
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly, walk_coords
from brainscore_vision import load_ceiling
from brainscore_vision.metrics.internal_consistency import ceiling as brainscore
from brainscore_vision.metrics.internal_consistency.ceiling import InternalConsistency
from brainscore_vision.utils import LazyLoad

from brainscore_submission.scoring import consistency
from brainscore_submission.scoring.consistency import ArrayConsistency, array_ceilings, covers


def make_responses(n_stimuli=24, n_neuroids=5, n_repetitions=6, dtype=np.float64, seed=0, nan=0.0, missing=0.0):
    """Repeated responses, presentations in random order, neuroids not sorted by id."""
    rng = np.random.default_rng(seed)
    stimulus, repetition = np.divmod(rng.permutation(n_stimuli * n_repetitions), n_repetitions)
    shown = rng.uniform(size=len(stimulus)) >= missing
    stimulus, repetition = stimulus[shown], repetition[shown]
    signal = rng.normal(size=(n_stimuli, n_neuroids))
    responses = signal[stimulus] + rng.normal(size=(len(stimulus), n_neuroids))
    responses[rng.uniform(size=responses.shape) < nan] = np.nan
    ids = rng.permutation(n_stimuli)
    return NeuroidAssembly(
        responses.astype(dtype),
        coords={
            "stimulus_id": ("presentation", [f"s{ids[i]}" for i in stimulus]),
            "object_name": ("presentation", [f"object{i % 3}" for i in stimulus]),
            "size": ("presentation", [0.5 * (i % 4) for i in stimulus]),
            "repetition": ("presentation", repetition),
            "neuroid_id": ("neuroid", [f"n{i}" for i in rng.permutation(n_neuroids)]),
            "animal": ("neuroid", ["Chabo", "Tito"] * (n_neuroids // 2) + ["Tito"] * (n_neuroids % 2)),
            "region": ("neuroid", ["IT"] * n_neuroids),
        },
        dims=["presentation", "neuroid"],
    )


def relabelled(assembly, **values):
    """The assembly with some of its presentations' coordinates replaced."""
    names = [name for name in assembly.indexes["presentation"].names]
    plain = xr.DataArray(assembly).reset_index("presentation")
    plain = plain.assign_coords({name: ("presentation", column) for name, column in values.items()})
    assert set(values) <= set(names)
    return NeuroidAssembly(plain)


def assert_same_score(ours, theirs):
    """Equal to the last bit, attributes within attributes too."""
    xr.testing.assert_equal(xr.DataArray(ours), xr.DataArray(theirs))
    assert type(ours) is type(theirs)
    assert ours.dims == theirs.dims
    assert ours.dtype == theirs.dtype
    assert ours.values.tobytes() == theirs.values.tobytes()
    assert set(ours.attrs) == set(theirs.attrs)
    for name in theirs.attrs:
        if isinstance(theirs.attrs[name], xr.DataArray):
            assert_same_score(ours.attrs[name], theirs.attrs[name])


INPUTS = {
    "plain": {},
    "float32": {"dtype": np.float32},
    "float32 and NaN": {"dtype": np.float32, "nan": 0.1},
    "NaN": {"nan": 0.05},
    "so many NaN that means are missing": {"nan": 0.5},
    "unequal repetitions": {"missing": 0.2, "n_repetitions": 14},
    "two neuroids": {"n_neuroids": 2, "n_repetitions": 20},
    "two neuroids, float32": {"n_neuroids": 2, "n_repetitions": 20, "dtype": np.float32},
    "many repetitions": {"n_repetitions": 41, "n_stimuli": 12},
    "more stimuli than a pairwise sum's block": {"n_stimuli": 300, "n_repetitions": 4},
    "two repetitions": {"n_repetitions": 2},
    "three stimuli": {"n_stimuli": 3},
}


@pytest.fixture
def no_loops(monkeypatch):
    """Brain-Score's own averaging stops the test."""

    def stop(*_):
        raise AssertionError("Brain-Score's loop ran")

    def forbid():
        monkeypatch.setattr(brainscore._SplitHalvesConsistency.SplitHalfWrapper, "_average_repetitions", stop)

    return forbid


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.filterwarnings("ignore:Degrees of freedom:RuntimeWarning", "ignore:All-NaN slice:RuntimeWarning")
def test_ceiling_is_brainscores_to_the_last_bit(name, no_loops):
    responses = make_responses(**INPUTS[name])
    theirs = load_ceiling("internal_consistency")(responses)
    no_loops()
    assert_same_score(ArrayConsistency(InternalConsistency())(responses), theirs)


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_a_constant_neuroid_is_nan_in_both(no_loops):
    responses = make_responses()
    responses[:, 1] = 3.0
    theirs = load_ceiling("internal_consistency")(responses)
    assert np.isnan(theirs.raw).any()
    no_loops()
    assert_same_score(ArrayConsistency(InternalConsistency())(responses), theirs)


def test_responses_that_were_transposed_in_memory(no_loops):
    responses = make_responses(n_repetitions=20)
    responses = responses.transpose("neuroid", "presentation").copy().transpose("presentation", "neuroid")
    responses = NeuroidAssembly(np.asfortranarray(responses.values), coords=responses.coords, dims=responses.dims)
    assert not responses.values.flags.c_contiguous
    theirs = load_ceiling("internal_consistency")(responses)
    no_loops()
    assert_same_score(ArrayConsistency(InternalConsistency())(responses), theirs)


def test_a_stimulus_shown_under_two_conditions_counts_twice(no_loops):
    responses = make_responses()
    responses = relabelled(responses, size=np.where(responses["repetition"].values % 2, 1.0, 2.0))
    responses = relabelled(responses, repetition=responses["repetition"].values // 2)
    theirs = load_ceiling("internal_consistency")(responses)
    no_loops()
    assert_same_score(ArrayConsistency(InternalConsistency())(responses), theirs)


def test_only_one_coordinate_beside_the_repetition(no_loops):
    responses = make_responses()
    responses = NeuroidAssembly(
        responses.values,
        coords={
            "stimulus_id": ("presentation", responses["stimulus_id"].values),
            "repetition": ("presentation", responses["repetition"].values),
            "neuroid_id": ("neuroid", responses["neuroid_id"].values),
            "animal": ("neuroid", responses["animal"].values),
        },
        dims=responses.dims,
    )
    theirs = load_ceiling("internal_consistency")(responses)
    no_loops()
    assert_same_score(ArrayConsistency(InternalConsistency())(responses), theirs)


def test_another_split_coordinate(no_loops):
    responses = make_responses()
    names = ["repetition_id" if name == "repetition" else name for name in responses.indexes["presentation"].names]
    responses["presentation"] = responses.indexes["presentation"].set_names(names)
    theirs = InternalConsistency(split_coord="repetition_id")
    score = theirs(responses)
    no_loops()
    assert_same_score(ArrayConsistency(theirs)(responses), score)


def test_what_is_not_covered_still_gets_brainscores_ceiling():
    ceiler = InternalConsistency()
    assert covers(ceiler, make_responses())
    one = make_responses(n_neuroids=2)[:, :1]
    nan_coordinate = make_responses(n_stimuli=8)
    size = nan_coordinate["size"].values.copy()
    size[nan_coordinate["stimulus_id"].values == "s3"] = np.nan
    nan_coordinate = relabelled(nan_coordinate, size=size)
    integers = make_responses()
    integers = NeuroidAssembly((10 * integers.values).astype(int), coords=integers.coords, dims=integers.dims)
    for responses in (one, nan_coordinate, integers):
        assert not covers(ceiler, responses)
    assert not covers(InternalConsistency(consistency_metric=lambda *_: None), make_responses())
    assert_same_score(ArrayConsistency(ceiler)(one), ceiler(one))
    assert_same_score(ArrayConsistency(ceiler)(integers), ceiler(integers))


def test_halves_with_other_stimuli_stop_as_in_brainscore():
    responses = make_responses(n_repetitions=2)
    responses = responses[responses["repetition"].values != (responses["stimulus_id"].values == "s3")]
    errors = []
    for ceiler in (InternalConsistency(), ArrayConsistency(InternalConsistency())):
        with pytest.raises(Exception) as error:
            ceiler(responses)
        errors.append((error.type, str(error.value)))
    assert errors[0] == errors[1]


def test_an_assembly_that_is_loaded_when_it_is_needed(no_loops):
    responses = make_responses()
    theirs = InternalConsistency()(responses)
    no_loops()
    assert_same_score(ArrayConsistency(InternalConsistency())(LazyLoad(lambda: responses)), theirs)


@pytest.mark.filterwarnings("ignore:unique with argument that is not:FutureWarning")  # xarray 2022.3 on pandas 2.3
def test_each_time_bin_has_brainscores_ceiling(no_loops):
    bins = [make_responses(n_repetitions=20, seed=0).values + seed for seed in range(3)]
    flat = make_responses(n_repetitions=20, seed=0)
    rng = np.random.default_rng(5)
    responses = NeuroidAssembly(
        np.stack(bins, axis=-1) + rng.normal(size=(*flat.shape, 3)),
        coords={name: (dims, values) for name, dims, values in walk_coords(flat)}
        | {"time_bin_start": ("time_bin", [70, 80, 90]), "time_bin_end": ("time_bin", [80, 90, 100])},
        dims=["presentation", "neuroid", "time_bin"],
    )
    ceiler = load_ceiling("internal_consistency_temporal")
    with joblib.parallel_config(backend="threading"):
        theirs = ceiler(responses)
    no_loops()
    with array_ceilings():
        ours = ceiler(responses)
    assert ours.sizes == {"time_bin": 3}
    assert_same_score(ours, theirs)


def test_brainscores_ceiler_is_itself_again_after_an_error():
    before = InternalConsistency.__call__
    with pytest.raises(ZeroDivisionError), array_ceilings():
        assert InternalConsistency.__call__ is consistency.internal_consistency
        raise ZeroDivisionError
    assert InternalConsistency.__call__ is before


def test_many_neuroids_are_correlated_in_blocks(monkeypatch):
    responses = make_responses(n_neuroids=7)
    theirs = InternalConsistency()(responses)
    monkeypatch.setattr(consistency, "BLOCK_VALUES", 2 * 24)  # blocks of 2, 2, 2 and 1 neuroids
    assert_same_score(ArrayConsistency(InternalConsistency())(responses), theirs)
