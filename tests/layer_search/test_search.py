"""Stories of a layer search: the right layer, Brain-Score's numbers, and a search that nothing can stop."""

import dataclasses
import multiprocessing
import os
import pickle
import runpy
import signal
import time
from collections import OrderedDict

import numpy as np
import pytest
from brainscore_vision.model_helpers.activations.pytorch import disable_activation_caching

from brainscore_submission.asked import Asked
from brainscore_submission.engine.budget import Budget
from brainscore_submission.engine.sketch import Sketch
from brainscore_submission.layer_search.scores import committed
from brainscore_submission.layer_search.search import SearchOptions, search_folder, search_layers
from brainscore_submission.layer_search.table import table
from brainscore_submission.models.model import Model
from brainscore_submission.models.opening import open_model
from brainscore_submission.plugin.areas import AREAS
from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.scoring.kept import Watcher
from brainscore_submission.scoring.suites import find_suite

# Brain-Score's readout does not converge on some layers, and scikit-learn says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The line search algorithm did not converge"),
    pytest.mark.filterwarnings("ignore:Line Search failed"),
    pytest.mark.filterwarnings("ignore:newton-cg failed to converge"),
]


@pytest.fixture(autouse=True)
def _one_demo_for_all(demo_cache, monkeypatch):
    """The demo suite's stimuli are drawn once for this file."""
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))


@pytest.fixture
def demo():
    return find_suite("demo")


@pytest.fixture
def tiny_model(tiny_card):
    loaded = load_network(tiny_card, "untrained")
    return Model("tiny", tiny_card, loaded.network, loaded.origin, {})


@pytest.fixture
def small_resnet():
    return open_model("timm:test_resnet", weights="untrained", areas=())


def test_the_search_finds_the_right_layer_of_the_ground_truth_for_every_area(demo, tmp_path):
    model = open_model("demo:ground_truth", areas=())
    result = search_layers(model, demo, SearchOptions(results=tmp_path))
    assert {area: choice.layer for area, choice in result.choices.items()} == {
        **{area: area for area in AREAS},
        "behavior": "decision",
    }
    for area in AREAS:
        choice = result.choices[area]
        assert choice.tied == (area,)
        assert choice.chance_p < 1e-6
        assert choice.nested_score == pytest.approx(choice.best_score, abs=0.01) and choice.best_score > 0.8
    assert result.image_passes == result.planned_passes


def shuffled(suite, seed):
    """The same suite with responses that belong to other stimuli."""

    def shuffle(load):
        benchmark = load()
        if hasattr(benchmark, "_similarity_metric"):
            values = benchmark._assembly.values
            values[:] = values[np.random.default_rng(seed).permutation(len(values))]
        return benchmark

    loaders = {name: (lambda load=load: shuffle(load)) for name, load in suite.loaders.items()}
    return dataclasses.replace(suite, name="shuffled", loaders=loaders)


@pytest.mark.slow
def test_with_shuffled_responses_no_layer_is_better_than_chance(demo, tmp_path):
    model = open_model("demo:ground_truth", areas=())
    result = search_layers(model, shuffled(demo, seed=0), SearchOptions(results=tmp_path, areas=("V1", "IT")))
    for choice in result.choices.values():
        assert choice.chance_p > 0.05
        assert choice.best_score < 0.1


def in_double(network):
    """The same network in float64, still fed float32: its activations no longer depend on who shares a batch."""
    network.double().register_forward_pre_hook(lambda _module, inputs: (inputs[0].double(),))
    return network


def brainscores_loop(model):
    """Activations for Brain-Score's own loop: float32 like the recorder's, never from its cache."""
    activations = disable_activation_caching(model.activations_model())
    extractor = activations._extractor
    recorded = extractor.get_activations
    extractor.get_activations = lambda *args: OrderedDict(
        (layer, values.astype(np.float32)) for layer, values in recorded(*args).items()
    )
    return activations


def test_every_layers_score_is_brainscores_own(tiny_model, demo, tmp_path):
    """Against Brain-Score's own loop: commit the area to each layer, record it, score it."""
    in_double(tiny_model.network)
    options = SearchOptions(results=tmp_path, areas=("V4",), every=64)
    result = search_layers(tiny_model, demo, options)
    benchmark = demo.loaders["demo.V4-pls"]()
    n_compared = 0
    for score in result.scores:
        if score.numbers.n_features < 60 or score.record.notes:  # below 25 components its numbers are rounding errors
            continue
        model = committed(tiny_model, "V4", score.layer)
        own = benchmark(model.commit(brainscores_loop(model)))
        assert score.numbers.score == pytest.approx(float(own), abs=1e-6)
        assert score.numbers.raw == pytest.approx(float(own.raw), abs=5e-6)
        n_compared += 1
    assert n_compared >= 2


# --- nothing is done twice, nothing is lost ------------------------------------------------------------


def frame(result):
    return table(result).to_dict("records")


def test_a_second_search_makes_no_pass_and_no_score(tiny_model, demo, tmp_path):
    options = SearchOptions(results=tmp_path, areas=("V1",), every=60)
    first = search_layers(tiny_model, demo, options)
    scored = []
    watcher = Watcher(scored=lambda score, done, total: scored.append(score))
    second = search_layers(tiny_model, demo, dataclasses.replace(options, watcher=watcher))
    assert first.image_passes == 100 and second.image_passes == second.planned_passes == 0
    assert scored == [] and frame(first) == frame(second)


def test_other_weights_are_searched_again(tiny_card, tiny_model, demo, tmp_path):
    options = SearchOptions(results=tmp_path, areas=("V1",), layers=("logits",))
    search_layers(tiny_model, demo, options)
    loaded = load_network(tiny_card, "untrained", seed=1)
    other = Model("tiny", tiny_card, loaded.network, loaded.origin, {})
    assert search_layers(other, demo, options).image_passes == 100


def test_a_damaged_record_is_made_again(tiny_model, demo, tmp_path, caplog):
    options = SearchOptions(results=tmp_path, areas=("V1",), every=60)
    first = search_layers(tiny_model, demo, options)
    records = sorted(first.folder.glob("records/*/*.json"))
    records[0].write_text(records[0].read_text()[:100])
    second = search_layers(tiny_model, demo, options)
    assert "scored again" in caplog.text and second.image_passes == 100
    assert frame(first) == frame(second)


@pytest.mark.slow
@pytest.mark.parametrize("n_kills", [1, 5])
def test_killed_again_and_again_the_search_ends_with_the_same_table(tiny_model, demo, tmp_path, n_kills):
    """A process is killed as soon as it has written a few more records; then the search is left alone."""

    def options(results):
        budget = Budget(memory_bytes=10**9, disk_bytes=10**9, scratch=results / "cache")
        return SearchOptions(
            results=results, areas=("V1", "V2"), every=12 if n_kills > 1 else 24, exact=True, budget=budget
        )

    work = tmp_path / "work.pickle"
    work.write_bytes(pickle.dumps((tiny_model, demo, options(tmp_path / "killed"))))
    script = tmp_path / "search.py"
    script.write_text(
        "import pickle\nfrom brainscore_submission.layer_search.search import search_layers\n"
        f"search_layers(*pickle.load(open({str(work)!r}, 'rb')))\n"
    )
    # Not a plain fork: a copy of this process would wait for ever for the threads that torch has started in it.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["brainscore_submission.layer_search.search", "brainscore_vision"])
    generator = np.random.default_rng(int.from_bytes(os.urandom(4), "big"))
    folder = search_folder(tmp_path / "killed", tiny_model, demo)
    written = 0
    for _ in range(n_kills):
        child = processes.Process(target=runpy.run_path, args=(str(script),))
        child.start()
        aim = written + int(generator.integers(1, 9))
        while written < aim and child.is_alive():
            time.sleep(0.005)
            written = len(list(folder.glob("records/*/*.json")))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    resumed = search_layers(tiny_model, demo, options(tmp_path / "killed"))
    whole = search_layers(tiny_model, demo, options(tmp_path / "whole"))
    assert n_kills <= written < len(whole.scores)
    assert frame(resumed) == frame(whole)
    assert resumed.choices == whole.choices


@pytest.mark.slow
def test_on_two_dask_workers_one_killed_half_way_the_table_is_the_same(small_resnet, demo, tmp_path):
    distributed = pytest.importorskip("distributed")
    asked = Asked("timm:test_resnet", weights="untrained", suite="demo", memory="1GB", disk="1GB")
    killed: list[int] = []

    def options(name, **changes):
        budget = Budget(10**9, 10**9, tmp_path / name / "cache")
        return SearchOptions(
            results=tmp_path / name, areas=("V1",), every=4, exact=True, budget=budget, asked=asked, **changes
        )

    alone = search_layers(small_resnet, demo, options("alone"))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            processes = list(client.run(os.getpid).values())

        def kill_one(score, done, total):
            if not killed:
                killed.append(processes[0])
                os.kill(processes[0], signal.SIGKILL)

        watcher = Watcher(scored=kill_one)
        together = search_layers(
            small_resnet, demo, options("together", scheduler=cluster.scheduler_address, watcher=watcher)
        )
    assert killed
    assert frame(together) == frame(alone)
    assert together.choices == alone.choices


# --- sketch ------------------------------------------------------------


@pytest.mark.slow
def test_after_a_sketch_the_winner_is_exact_and_the_table_says_which_numbers_are(small_resnet, demo, tmp_path):
    options = SearchOptions(results=tmp_path, areas=("V1",), every=4, exact=False, sketch=Sketch(1024), top=2)
    result = search_layers(small_resnet, demo, options)
    exact = search_layers(small_resnet, demo, dataclasses.replace(options, results=tmp_path / "exact", exact=True))
    assert result.choices["V1"].layer == exact.choices["V1"].layer
    rows = table(result).set_index("layer")
    assert rows.loc[result.choices["V1"].layer, "exact"]
    assert 0 < (~rows["exact"]).sum() < len(rows)
    expected = table(exact).set_index("layer")["raw"]
    np.testing.assert_allclose(rows["raw"][rows["exact"]], expected[rows["exact"]], rtol=0, atol=1e-9)
    sketched = rows["raw_sketch"].dropna()
    assert 0 < np.abs(sketched - expected[sketched.index]).max() < 0.2
    confirmation = result.confirmations["V1"]
    assert confirmation.n_confirmed >= 2 and 0 < confirmation.error < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [2, 20])
def test_the_sketchs_top_layers_hold_the_best_one_in_all_repetitions(small_resnet, demo, tmp_path, n_seeds):
    def options(folder, exact, seed=0):
        areas = ("V1", "IT") if n_seeds > 2 else ("V1",)
        return SearchOptions(
            results=tmp_path / folder, areas=areas, every=3, exact=exact, sketch=Sketch(seed=seed), top=5
        )

    best = {
        area: choice.best for area, choice in search_layers(small_resnet, demo, options("exact", True)).choices.items()
    }
    for seed in range(n_seeds):
        result = search_layers(small_resnet, demo, options(f"seed{seed}", False, seed))
        assert {area: choice.best for area, choice in result.choices.items()} == best
        for area in best:
            known = {s.layer: s.signed_score for s in result.scores if s.record.area == area}
            known |= {layer: s.signed_score for (_, layer), s in result.sketched.items() if s.record.area == area}
            assert best[area] in sorted(known, key=known.get)[-5:]
