"""Promises of bench/: both sides do the same work on the same inputs, and the table says what was measured."""

import doctest
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench import gpu, inputs, layers, profile, report, sides
from bench.__main__ import main, parser, plan_of
from bench.engine import open_network, scaling
from bench.processes import Workshop, failure
from bench.report import Pair, Results
from bench.sizes import PLANS, TRUE_METRIC, TRUE_SUITE, MetricSize
from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError

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


def measured(job, tmp_path, size, **arguments):
    """Both sides of a job, as their processes would write it."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    write = inputs.write_activations if job is sides.metric else inputs.write_images
    write(folder, tmp_path, size._asdict())
    made = []
    for side in ("ours", "brainscore"):
        (tmp_path / side).mkdir()
        result = job(folder, tmp_path / side, side, size._asdict(), device="cpu", **arguments)
        process = {"peak_bytes": 10**9, "import_bytes": 10**8, "import_seconds": 3.0}
        made.append(json.loads(json.dumps({**result, **process})))
    return Pair(size, *made)


@pytest.fixture
def results():
    """Made-up measurements of every part at sizes that the sum can use."""
    metric_135 = MetricSize(135, TRUE_METRIC.n_features, 102, 2)

    def metric(seconds, folds=10):
        return {"seconds": seconds, "folds": folds, "r": [[0.5, 0.5]] * folds, "peak_bytes": 10**9, "score": 0.5}

    sets = {name: {"seconds": 2.0, "passes": 10} for name in ("textures", "objects", "behavior")}
    imports = {"import_bytes": 10**9, "import_seconds": 7.0}
    ours = {"seconds": 6.0, "passes": 30, "forward_seconds": 5.0, "sets": sets, "peak_bytes": 10**9, **imports}
    theirs = {"seconds": 32.0, "passes": 64, "forward_seconds": 30.0, "peak_bytes": 4 * 10**9, **imports}
    evaluated = {
        "seconds": 1000.0, "forward_seconds": 900.0, "passes": 5498, "ceilings": {"IT": 30.0, "behavior": 20.0},
        "area_seconds": {"behavior": 60.0}, "peak_bytes": 3 * 10**9, **imports,
    }  # fmt: skip
    return Results(
        plan=PLANS["full"],
        machine={"cores": 2, "processor": "", "memory_bytes": 2**34, "python": "3", "versions": {}},
        threads=2,
        limits=LIMITS,
        metric=[
            Pair(metric_135, metric(1.0), metric(100.0)),
            Pair(TRUE_METRIC, metric(50.0), metric(700.0, folds=1)),
        ],
        recording=Pair(TINY.recording, ours, theirs),
        evaluate=Pair(TRUE_SUITE, evaluated, None),
    )


def total(results, side):
    return report.true_size(results, side)[-1][-1]


def test_both_metrics_give_one_number_on_the_same_inputs(tmp_path):
    pair = measured(sides.metric, tmp_path, TINY.metric[0])
    assert pair.ours["score"] == pytest.approx(pair.brainscore["score"], abs=1e-6)
    assert report.largest_difference(pair.ours["r"], pair.brainscore["r"]) < 1e-5
    assert 0.1 < pair.ours["score"] < 0.99  # something is predicted, and something is left
    assert "| 60 x 300 x 4 |" in report.metric_table([pair])


def test_one_fold_of_brainscore_is_our_first_fold(tmp_path):
    pair = measured(sides.metric, tmp_path, TINY.metric[0]._replace(brainscore_folds=1))
    assert len(pair.brainscore["r"]) == 1
    assert report.largest_difference(pair.ours["r"][:1], pair.brainscore["r"]) < 1e-5
    assert "(1 fold of" in report.metric_table([pair])


def test_recording_counts_the_images_that_go_through_the_network(tmp_path):
    pair = measured(sides.recording, tmp_path, TINY.recording, network="tiny", batch_size=8)
    # One for each set, for the shapes of layers, and three to see that the network is steady.
    assert pair.ours["passes"] == pair.size.images + 3 + 3
    assert pair.brainscore["passes"] == report.brainscore_passes(pair.size, batch=8)


def test_both_evaluations_score_the_five_areas_alike(tmp_path):
    pair = measured(sides.evaluate, tmp_path, TINY.evaluate, network="tiny", batch_size=4)
    assert list(pair.ours["raw"]) == list(AREAS_AND_BEHAVIOR)
    assert pair.ours["raw"] == pytest.approx(pair.brainscore["raw"], abs=1e-5)
    assert pair.ours["passes"] == pair.size.images + 1 + 3
    assert pair.brainscore["passes"] == report.brainscore_passes(pair.size, batch=4)
    assert 0 < sum(pair.ours["ceilings"].values()) < pair.ours["seconds"] > pair.ours["forward_seconds"] > 0
    assert "| behavior |" in report.score_table(pair)


def test_the_true_size_is_added_up_term_by_term(results):
    # Every 10 images took 2 s; 2 x 1 s and 2 x 50 s of PLS; ceilings 50 s, readout and i2n 60 - 20 s.
    assert total(results, "ours") == pytest.approx(5495 * 0.2 + 102 + 90)
    # 32 s for 64 passes; ten times one fold of 700 s for V4 and for IT.
    assert total(results, "brainscore") == pytest.approx(8768 * 0.5 + 2 * 100 + 2 * 7000 + 90)


def test_a_sum_with_a_term_missing_is_no_number(results):
    results.metric.pop()
    assert total(results, "brainscore") is None
    assert "| Brain-Score | **together** |  | not measured |" in report.sum_table(results)


def test_a_metric_that_ran_out_of_memory_stands_in_the_table(results):
    results.metric[1] = results.metric[1]._replace(brainscore={"failed": "out of memory"})
    shown = report.render(results, "python -m bench")
    assert "| 3,200 x 258,496 x 168 | out of memory |" in shown
    assert total(results, "brainscore") is None


def test_the_report_says_what_was_multiplied_and_what_was_not_run(results):
    shown = report.render(results, "python -m bench --full")
    assert "1.9 h (1 fold of 700 s x 10)" in shown
    assert "Brain-Score's own was not run" in shown
    assert "**Added up, not measured**" in shown
    assert "Made by `python -m bench --full`" in shown
    for line in shown.splitlines():
        assert not line.startswith("|") or line.endswith("|")


def test_differences_with_nan_on_one_side_are_not_hidden():
    nan = float("nan")
    assert report.largest_difference([[nan, 0.5]], [[nan, 0.25]]) == 0.25
    assert report.largest_difference([[nan]], [[0.5]]) == math.inf


def test_running_out_of_memory_is_a_result_and_anything_else_an_error():
    assert failure("sides.metric", -9, "") == {"failed": "out of memory"}
    memory_error = "numpy.core._exceptions._ArrayMemoryError: MemoryError"
    assert failure("sides.metric", 1, memory_error) == {"failed": "out of memory"}
    with pytest.raises(UserError, match="KeyError: 'V1'"):
        failure("sides.metric", 1, "Traceback\nKeyError: 'V1'")


@pytest.mark.slow
def test_the_command_measures_in_processes_of_their_own_and_keeps_what_it_measured(tmp_path, capsys, monkeypatch):
    kept, output = tmp_path / "kept.json", tmp_path / "table.md"
    command = ["--plan", "tiny", "--only", "scaling", "--device", "cpu", "--threads", "1", "--keep", str(kept)]
    assert main([*command, "-o", str(output)]) == 0
    shown = output.read_text()
    assert "## Helper sizes" in shown
    assert "| 60 x 500 x 4 |" in shown
    assert str(tmp_path) not in shown
    monkeypatch.setattr(Workshop, "_child", None)  # a second run starts nothing
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == shown.strip()


def test_measurements_of_another_machine_are_refused(tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({"machine": {"cores": 1000}, "measurements": {}}))
    with pytest.raises(UserError, match="another machine"):
        Workshop(tmp_path, 1, "cpu", kept)


def test_the_process_that_starts_the_others_stays_small():
    loaded = run("import sys, bench.__main__; print(*{name.split('.')[0] for name in sys.modules})")
    assert not {"numpy", "torch", "brainscore_vision", "pandas", "timm"} & set(loaded)


@pytest.mark.slow
def test_the_gpu_command_writes_its_table_where_brainscore_is_missing(tmp_path):
    """In a process where importing it, or what comes with it, raises."""
    missing = ("brainscore_vision", "brainscore_core", "pandas", "xarray", "sklearn")
    words = ["--out", str(tmp_path), "--device", "cpu", "--plan", "tiny"]
    run(f"import sys; sys.modules |= dict.fromkeys({missing}); from bench import gpu; assert gpu.main({words}) == 0")
    shown = (tmp_path / "gpu.md").read_text()
    assert "| all within 1e-06 | yes |" in shown
    assert "| V1, V2, V4 | float32 | 4 |" in shown
    assert json.loads((tmp_path / "gpu.json").read_text())["differences"]["a neuroid's r"] == 0


@pytest.mark.parametrize(
    ("module", "option", "words"),
    [
        ("__main__", "-o", ["--quick"]),
        ("__main__", "--keep", ["--quick"]),
        ("gpu", "--out", ["--device", "cpu"]),
        ("attacks", "--out", []),
        ("training", "--out", []),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path, capsys, module, option, words):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" if module == "gpu" else tmp_path  # a folder where a file is wanted, and the other way
    assert importlib.import_module(f"bench.{module}").main([*words, option, str(place)]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines()[0] == said.err.strip()
    assert said.err.startswith(f"error: cannot write to {place}") and f"Give another with {option}" in said.err


@pytest.mark.parametrize("module", ["attacks", "training"])
def test_a_device_that_is_not_there_is_told_in_a_line(capsys, module):
    assert importlib.import_module(f"bench.{module}").main(["--device", "cuda:99"]) == 1
    assert capsys.readouterr().err.startswith("error: unknown device 'cuda:99'")


def test_brainscores_loop_over_layers_is_multiplied_and_ours_is_not():
    ours = {"seconds": 2.0, "peak_bytes": 2 * 10**9, "n_features": {"a": 1000, "b": 3000}}
    loop = [{"layer": "a", "n_features": 1000, "recording": 2.0, "fold": 0.5, "peak_bytes": 10**9}]
    shown = layers.render(ours, loop)
    # two recordings, and ten folds of 4000 features at half a second for 1000
    assert "| Brain-Score | 2 layers | 4,000 |  |  | 24 s, multiplied | – |" in shown
    assert "| ours | 2 layers | 4,000 |  |  | 2.00 s, measured | 2.0 GB |" in shown
    assert "Ratio 12." in shown


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_gives_the_cpus_numbers():
    differences = gpu.compare(MetricSize(640, 40_000, 50), "cuda")["differences"]
    assert max(differences.values()) <= gpu.PROMISED


def test_helper_sizes_count_gram_and_pls(tmp_path):
    result = scaling(None, tmp_path, TINY.scaling[0]._asdict())
    assert result["gram_flops"] == 60 * 61 * 500
    assert result["gram_seconds"] > 0 < result["pls_seconds"]


def test_the_layers_measured_are_the_papers():
    model = open_network("crossvit", "cpu")
    paper = json.loads((ROOT / "layer_maps" / "crossvit_18_dagger_408.json").read_text())
    assert {area: model.layers[area] for area in paper} == paper
    assert model.marks == ("UNTRAINED",)


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(report)
    assert result.attempted > 0 == result.failed


def test_the_words_of_the_documentation_change_the_plan():
    def plan(*words):
        return plan_of(parser().parse_args(words))

    assert plan("--quick") == PLANS["quick"]
    assert plan("--full") == PLANS["full"]
    assert plan("--full").metric[-1].brainscore_folds == 1
    assert {size.brainscore_folds for size in plan("--full", "--brainscore-folds", "1").metric} == {1}
    fewer = plan("--full", "--evaluate-images", "32", "320", "216").evaluate
    assert (fewer.textures, fewer.objects, fewer.behavior, fewer.it) == (32, 320, 216, TRUE_SUITE.it)
    assert plan("--full", "--brainscore-evaluate", "yes").brainscore_evaluates
    assert plan("--network", "tiny").evaluate_network == "tiny"


@pytest.mark.slow
def test_a_profile_says_what_a_warm_run_no_longer_computes(capsys):
    assert profile.main(["--plan", "tiny", "--device", "cpu"]) == 0
    table = capsys.readouterr().out
    rows = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for line in table.splitlines()
            if len(cells := line.strip("|").split("|")) == 4}  # fmt: skip
    ceilings = [row for name, row in rows.items() if name.startswith("ceiling of")]
    assert len(ceilings) == 5 and all(cold != "–" and warm == second == "–" for cold, warm, second in ceilings)
    # The warm run's show that the network is steady.
    assert rows["image passes"] == [str(40 + 40 + 24 + 4), "4", str(40 + 40 + 24 + 4)]
