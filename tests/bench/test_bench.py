"""Promises of bench/: both sides do the same work on the same inputs, and the table says what was measured."""

import dataclasses
import doctest
import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from bench import added_up, gpu, inputs, layers, metric_alone, recording_alone, scaling, table, whole_evaluate
from bench.__main__ import main, parser
from bench.architectures import ARCHITECTURES, LAYERS
from bench.measuring import Pair, Results
from bench.networks import open_network
from bench.sizes import CROSSVIT_FEATURES, PLANS, SUITE_SIZES, TRUE_SUITE, MetricSize
from bench.workshop import MeasurementError, Workshop, _failure
from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR

ROOT = Path(__file__).parents[2]
TINY = PLANS["tiny"]
LIMITS = {
    "gpu": None,
    "float32": 1e11,
    "float64": 5e10,
    "forward_flops": {"crossvit": dict.fromkeys(AREAS_AND_BEHAVIOR, 10**9)},
}


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.split()


def measured(module, job, tmp_path, **arguments):
    folder = tmp_path / "inputs"
    if not folder.exists():
        folder.mkdir()
        write = inputs.write_activations if module is metric_alone else inputs.write_suite_images
        write(folder, arguments["size"])
    scratch = tmp_path / job
    scratch.mkdir()
    result = getattr(module, job)(folder, scratch, **arguments)
    return json.loads(json.dumps({**result, "peak_bytes": 10**9, "import_bytes": 10**8, "import_seconds": 3.0}))


@pytest.fixture
def results():
    """Made-up measurements of every part at sizes that the sum can use."""
    metric_135 = MetricSize(135, CROSSVIT_FEATURES, 102, 2)
    metric_3200 = MetricSize(3200, CROSSVIT_FEATURES, 168, 64, brainscore_folds=1)

    def metric(seconds, folds=10):
        return {"seconds": seconds, "folds": folds, "r": [[0.5, 0.5]] * folds, "peak_bytes": 10**9, "score": 0.5}

    sets = {name: {"seconds": 2.0, "images": 10} for name in ("textures", "objects", "behavior")}
    ours = {"seconds": 6.0, "passes": 30, "forward_seconds": 5.0, "sets": sets, "peak_bytes": 10**9}
    theirs = {"seconds": 32.0, "passes": 64, "forward_seconds": 30.0, "peak_bytes": 4 * 10**9}
    evaluated = {
        "seconds": 1000.0, "forward_seconds": 900.0, "forward_share": 0.9, "passes": 5498, "ceiling_seconds": 50.0,
        "behavior_ceiling_seconds": 20.0, "area_seconds": {"behavior": 60.0}, "peak_bytes": 3 * 10**9,
        "import_bytes": 10**9, "import_seconds": 7.0,
    }  # fmt: skip
    return Results(
        machine={"cores": 2, "processor": "", "memory_bytes": 2**34, "system": "Linux", "python": "3", "versions": {}},
        threads=2,
        limits=LIMITS,
        recording_network="crossvit",
        evaluate_network="crossvit",
        brainscore_batch=64,
        metric=[
            Pair(metric_135, metric(1.0), metric(100.0)),
            Pair(metric_3200, metric(50.0), metric(700.0, folds=1)),
        ],
        recording=Pair(TINY.recording, ours, theirs),
        evaluate=Pair(TRUE_SUITE, evaluated, None),
    )


def test_both_metrics_give_one_number_on_the_same_inputs(tmp_path):
    size = TINY.metric[0]
    ours = measured(metric_alone, "ours", tmp_path, size=asdict(size), device="cpu")
    theirs = measured(metric_alone, "brainscore", tmp_path, size=asdict(size))
    assert ours["score"] == pytest.approx(theirs["score"], abs=1e-6)
    assert table.largest_difference(ours["r"], theirs["r"]) < 1e-5
    assert 0.1 < ours["score"] < 0.99  # something is predicted, and something is left
    assert "| 60 x 300 x 4 |" in table.metric_table([Pair(size, ours, theirs)])


def test_one_fold_of_brainscore_is_our_first_fold(tmp_path):
    size = dataclasses.replace(TINY.metric[0], brainscore_folds=1)
    ours = measured(metric_alone, "ours", tmp_path, size=asdict(size), device="cpu")
    theirs = measured(metric_alone, "brainscore", tmp_path, size=asdict(size))
    assert len(theirs["r"]) == 1
    assert table.largest_difference(ours["r"][:1], theirs["r"]) < 1e-5
    assert "(1 fold of" in table.metric_table([Pair(size, ours, theirs)])


def test_recording_counts_the_images_that_go_through_the_network(tmp_path):
    size, arguments = TINY.recording, {"network": "tiny", "device": "cpu"}
    ours = measured(recording_alone, "ours", tmp_path, size=asdict(size), **arguments)
    theirs = measured(recording_alone, "brainscore", tmp_path, size=asdict(size), **arguments, batch_size=8)
    assert ours["passes"] == size.images + 3  # and one for each set, to see the layers' shapes
    assert theirs["passes"] == added_up.brainscore_passes(size, batch=8)


@pytest.mark.filterwarnings("ignore:Pandas doesn't allow columns to be created:UserWarning")  # place_on_screen
@pytest.mark.filterwarnings("ignore:'multi_class' was deprecated:FutureWarning")  # Brain-Score's readout
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")  # i2n, an object against itself
def test_both_evaluations_score_the_five_areas_alike(tmp_path):
    size, arguments = SUITE_SIZES["tiny"], {"network": "tiny", "device": "cpu"}
    ours = measured(whole_evaluate, "ours", tmp_path, size=asdict(size), **arguments)
    theirs = measured(whole_evaluate, "brainscore", tmp_path, size=asdict(size), **arguments, batch_size=4)
    assert ours["raw"] == pytest.approx(theirs["raw"], abs=1e-5)
    assert ours["passes"] == size.images + 1
    assert theirs["passes"] == added_up.brainscore_passes(size, batch=4)
    assert 0 < ours["forward_share"] < 1
    assert "| behavior |" in table.score_table(Pair(size, ours, theirs))


def test_the_true_size_is_added_up_term_by_term(results):
    # Every 10 images took 2 s; 2 x 1 s and 2 x 50 s of PLS; ceilings 50 s, readout and i2n 60 - 20 s.
    assert added_up.total(added_up.ours(results)) == pytest.approx(5495 * 0.2 + 102 + 90)
    # 32 s for 64 passes; ten times one fold of 700 s for V4 and for IT.
    assert added_up.total(added_up.brainscore(results)) == pytest.approx(8768 * 0.5 + 2 * 100 + 2 * 7000 + 90)


def test_a_sum_with_a_term_missing_is_no_number(results):
    results.metric.pop()
    assert added_up.total(added_up.brainscore(results)) is None
    assert "not measured" in table.sum_table(results)


def test_a_metric_that_ran_out_of_memory_stands_in_the_table(results):
    results.metric[1] = Pair(results.metric[1].size, results.metric[1].ours, {"failed": "out of memory"})
    report = table.render(results, "python -m bench")
    assert "| 3,200 x 258,496 x 168 | out of memory |" in report
    assert added_up.total(added_up.brainscore(results)) is None


def test_the_report_says_what_was_multiplied_and_what_was_not_run(results):
    report = table.render(results, "python -m bench --full")
    assert "1.9 h (1 fold of 700 s x 10)" in report
    assert "Brain-Score's own was not run" in report
    assert "**Added up, not measured**" in report
    assert "Made by `python -m bench --full`" in report
    for line in report.splitlines():
        assert not line.startswith("|") or line.endswith("|")


def test_differences_with_nan_on_one_side_are_not_hidden():
    nan = float("nan")
    assert table.largest_difference([[nan, 0.5]], [[nan, 0.25]]) == 0.25
    assert table.largest_difference([[nan]], [[0.5]]) == math.inf


def test_running_out_of_memory_is_a_result_and_anything_else_an_error():
    assert _failure("metric.brainscore", -9, "") == {"failed": "out of memory"}
    assert _failure("metric.brainscore", 1, "numpy.core._exceptions._ArrayMemoryError: MemoryError") == {
        "failed": "out of memory"
    }
    with pytest.raises(MeasurementError, match="KeyError: 'V1'"):
        _failure("metric.ours", 1, "Traceback\nKeyError: 'V1'")


def test_the_command_measures_in_processes_of_their_own_and_keeps_what_it_measured(tmp_path, capsys, monkeypatch):
    kept, output = tmp_path / "kept.json", tmp_path / "table.md"
    command = ["--plan", "tiny", "--only", "scaling", "--device", "cpu", "--threads", "1", "--keep", str(kept)]
    assert main([*command, "-o", str(output)]) == 0
    report = output.read_text()
    assert "## Helper sizes" in report
    assert "| 60 x 500 x 4 |" in report
    assert str(tmp_path) not in report
    monkeypatch.setattr(Workshop, "_child", None)  # a second run starts nothing
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == report.strip().replace(f" -o {output}", "")


def test_measurements_of_another_machine_are_refused(tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({"machine": {"cores": 1000}, "measurements": {}}))
    with pytest.raises(MeasurementError, match="another machine"):
        Workshop(tmp_path, 1, "cpu", kept)


def test_the_process_that_starts_the_others_stays_small():
    loaded = run("import sys, bench.__main__; print(*{name.split('.')[0] for name in sys.modules})")
    assert not {"numpy", "torch", "brainscore_vision", "brainscore_submission"} & set(loaded)


def test_the_gpu_command_needs_no_brainscore():
    loaded = run("import sys, bench.gpu; print(*{name.split('.')[0] for name in sys.modules})")
    assert "torch" in loaded
    assert not {"brainscore_vision", "brainscore_core", "pandas", "xarray", "sklearn"} & set(loaded)


def test_the_gpu_command_writes_its_table(tmp_path, capsys):
    assert gpu.main(["--out", str(tmp_path), "--device", "cpu", "--plan", "tiny"]) == 0
    report = (tmp_path / "gpu.md").read_text()
    assert "| all within 1e-06 | yes |" in report
    assert "| V1, V2, V4 | float32 | 4 |" in report
    assert json.loads((tmp_path / "gpu.json").read_text())["equality"]["r"] == 0


def test_brainscores_loop_over_layers_is_multiplied_and_ours_is_not():
    table_of_search = {"layers": [{"layer": "a", "n_features": 1000}, {"layer": "b", "n_features": 3000}]}
    measured = [{"layer": "a", "n_features": 1000, "recording": 2.0, "fold": 0.5, "peak_bytes": 10**9}]
    report = layers.render(table_of_search, {"seconds": 2.0, "peak_bytes": 2 * 10**9}, measured)
    # two recordings, and ten folds of 4000 features at half a second for 1000
    assert "| Brain-Score | 2 layers | 4,000 |  |  | 24 s, multiplied | – |" in report
    assert "| ours | 2 layers | 4,000 |  |  | 2.00 s, measured | 2.00 GB |" in report
    assert "Ratio 12." in report


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_gives_the_cpus_numbers():
    equality = gpu.compare((640, 40_000, 50), "cuda")
    assert max(equality["gram"], equality["r"], equality["score"]) <= gpu.PROMISED


def test_helper_sizes_count_gram_and_pls(tmp_path):
    result = scaling.measure(None, tmp_path, asdict(TINY.scaling[0]))
    assert result["gram_flops"] == 60 * 61 * 500
    assert result["gram_seconds"] > 0 < result["pls_seconds"]


def test_the_layers_measured_are_the_papers():
    model = open_network("crossvit", "cpu")
    assert {area: model.layer_of(area) for area in LAYERS} == LAYERS
    assert model.card.preprocessing == ARCHITECTURES["crossvit"].preprocessing


@pytest.mark.parametrize("module", [table, added_up])
def test_the_examples_in_the_docstrings_hold(module):
    result = doctest.testmod(module)
    assert result.attempted > 0 == result.failed


def test_quick_and_full_are_plans():
    assert parser().parse_args(["--quick"]).plan == "quick"
    assert parser().parse_args(["--full"]).plan == "full"
    assert PLANS["full"].metric[-1].brainscore_folds == 1
