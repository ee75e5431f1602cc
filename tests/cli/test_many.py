"""Many models by one command: what fails is collected, what is done is kept, and a plan comes first."""

import errno
import json
import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from brainscore_submission.asked import Asked
from brainscore_submission.cli import EVALUATE_HELP
from brainscore_submission.cli import evaluate as evaluate_command
from brainscore_submission.cli.model_lists import asked_of_each
from brainscore_submission.models.opening import describe
from brainscore_submission.plugin.checkpoint import build_network
from brainscore_submission.plugin.errors import UserError

ROOT = Path(__file__).parents[2]
RESNET = "V4=layer3,IT=layer4"
LIST = """
[[models]]
model = "timm:test_resnet"
weights = "untrained:1"

[[models]]
model = "timm:test_resnet"
name = "fine-tuned"
weights = "best.pth"
layers = {V4 = "layer2", IT = "layer4"}

[[models]]
model = "timm:test_resnet"
name = "gone"
weights = "gone.pth"
"""


@pytest.fixture
def typed(demo_cache, tmp_path, monkeypatch, in_this_process):
    """`typed(*words)`: evaluate.py in this process, in an empty folder; exit code, standard output and error."""
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    return partial(in_this_process, evaluate_command, program="evaluate.py", help_text=EVALUATE_HELP)


@pytest.fixture
def models(tmp_path):
    torch.save(build_network(describe("timm:test_resnet"), seed=5).state_dict(), tmp_path / "best.pth")
    (tmp_path / "models.toml").write_text(LIST)
    return tmp_path / "models.toml"


def records(folder):
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*.json")}


COMMON = ("--suite", "demo", "--areas", "V4,IT", "--layers", RESNET)


def test_a_list_is_scored_but_for_what_fails_and_again_nothing_is_left_to_do(typed, models, tmp_path):
    code, out, err = typed("--models", models, *COMMON)
    assert code == 1
    assert re.search(r"error: gone: .*gone\.pth: no such checkpoint file", err)
    assert "2 models, 4 of 4 scores to make" in err and err.index("Plan:") < err.index("demo.V4-pls: score")
    assert "2 models on suite demo  [SIMULATED]" in out and "fine-tuned" in out and "untrained-1 [UNTRAINED]" in out
    assert max(map(len, out.splitlines())) <= 80
    done = records(tmp_path / "results")
    assert len(done) == 4
    code, out, err = typed("--models", models, *COMMON, "--json")
    assert code == 1 and records(tmp_path / "results") == done
    facts = json.loads(out)
    assert list(facts["failures"]) == ["gone"]
    assert [one["model"] for one in facts["models"]] == ["timm_test_resnet_r160_in1k-untrained-1", "fine-tuned"]
    assert [plan["missing"] for plan in facts["plan"]] == [0, 0]
    layers = [record["layer"] for record in facts["models"][1]["records"]]
    assert layers == ["layer2", "layer4"]  # the entry's own go over those of the command line


def test_the_numbers_are_those_of_single_commands(typed, models, tmp_path):
    typed("--models", models, *COMMON)
    words = [
        "--model",
        "timm:test_resnet",
        "--weights",
        "best.pth",
        "--layers",
        "V4=layer2,IT=layer4",
        "--areas",
        "V4,IT",
    ]
    code, out, _ = typed(*words, "--suite", "demo", "--results", "alone", "--json")
    assert code == 0
    alone = json.loads(out)
    assert re.fullmatch(r"timm_test_resnet_r160_in1k-[0-9a-f]{8}", alone["model"])
    for record in alone["records"]:
        many = json.loads((tmp_path / f"results/fine-tuned/demo/{record['benchmark']}.json").read_text())
        assert many["measured"] == record["measured"]


@pytest.mark.slow
def test_a_dry_run_says_what_it_will_take_and_does_nothing(typed, models, tmp_path):
    code, out, _ = typed("--models", models, *COMMON, "--dry-run")
    assert code == 1 and not (tmp_path / "results").exists()
    assert re.search(
        r"fine-tuned: 2 of 2 scores, 120 images, \d+ passes, about .* s, features \d+ MB, kept \d+ MB", out
    )
    assert f"gone: {tmp_path}/gone.pth: no such checkpoint file" in out
    code, out, _ = typed("--model", "demo:ground_truth", "--suite", "demo", "--dry-run", "--json")
    (plan,) = json.loads(out)["plan"]
    assert code == 0
    assert (plan["model"], plan["scores"], plan["missing"]) == ("demo_ground_truth", 5, 5)
    typed("--model", "demo:ground_truth", "--suite", "demo")
    again = json.loads(typed("--model", "demo:ground_truth", "--suite", "demo", "--dry-run", "--json")[1])["plan"][0]
    assert (again["missing"], again["passes"], again["seconds"]) == (0, 0, 0)


@pytest.mark.slow
def test_the_planned_passes_are_those_that_are_made(typed, tmp_path, monkeypatch):
    from brainscore_submission.engine.recorder import Recorder

    made, original = [], Recorder.record
    monkeypatch.setattr(
        Recorder, "record", lambda self, requests: (made.append(found := original(self, requests)), found)[1]
    )
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(tmp_path / "cache"))
    words = ("--model", "demo:ground_truth", "--suite", "demo")
    (plan,) = json.loads(typed(*words, "--dry-run", "--json")[1])["plan"]
    assert not made
    typed(*words)
    assert sum(recording.image_passes for recording in made) == plan["passes"] > 0


def test_a_full_disk_ends_it_and_the_same_command_goes_on(typed, models, tmp_path, monkeypatch):
    written = []
    original = os.fsync

    def full(file):
        written.append(file)
        if len(written) > 4:  # two records with their neuroids
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(file)

    monkeypatch.setattr("brainscore_submission.plugin.files.os.fsync", full)
    code, _, err = typed("--models", models, *COMMON, "--disk", "0", "--json")
    assert code == 1 and "No space left on device" in err and "gone" not in err.splitlines()[-1]
    monkeypatch.setattr("brainscore_submission.plugin.files.os.fsync", original)
    kept = records(tmp_path / "results")
    assert 0 < len(kept) < 4
    typed("--models", models, *COMMON)
    assert len(records(tmp_path / "results")) == 4
    assert {name: records(tmp_path / "results")[name] for name in kept} == kept


def test_ctrl_c_says_how_to_go_on(typed, models, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("brainscore_submission.cli.many.score_one", interrupt)
    code, _, err = typed("--models", models, *COMMON)
    assert code == 130
    assert "Stopped. What is done is kept; the same command goes on where it was." in err


def test_two_models_of_one_name_are_refused_before_anything_is_scored(typed, tmp_path):
    both = ["--model", "timm:test_resnet", "--model", "timm:test_resnet.r160_in1k"]
    code, _, err = typed(*both, "--weights", "untrained", *COMMON, "--dry-run", "--json")
    assert code == 1
    facts = json.loads(typed(*both, "--weights", "untrained", *COMMON, "--dry-run", "--json")[1])
    (why,) = facts["failures"].values()
    assert "it would be called 'timm_test_resnet_r160_in1k-untrained', as timm:test_resnet untrained is" in why


@pytest.mark.slow
def test_layers_that_are_searched_first(typed, tmp_path):
    words = ["--model", "timm:test_resnet", "--weights", "untrained", "--suite", "demo", "--areas", "V4"]
    code, out, _ = typed(*words, "--layers", "search", "--json")
    (record,) = json.loads(out)["records"]
    assert code == 0 and record["layer_map"].startswith("searched on demo ")
    table = json.loads(next((tmp_path / "results").rglob("layer_search/demo/**/*.json")).read_text())
    assert table and "SIMULATED" in record["layer_map"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = 3", r"expected tables \[\[models\]\]"),
        ("[models]", r"expected tables \[\[models\]\]"),
        ("[[model]]\nmodel = 'x'", r"found model"),
        ("[[models]]\nmodel = 'x'\nlayer = 'y'", r"model 1: unknown key 'layer'\. Did you mean layers"),
        ("[[models]]\nname = 'x'", r"model 1: model must be text"),
        ("[[models]]\nmodel = 991\nname = 3", r"model 1: name must be text"),
        ("[[models]", "not a TOML file"),
        ("[[models]]\nmodel = 'a'\nname = 'x'\n[[models]]\nmodel = 'b'\nname = 'x'", "'x' stands twice"),
        ("[[models]]\nmodel = 'a'\nname = 'x y'\n[[models]]\nmodel = 'b'\nname = 'x-y'", "'x y' stands beside 'x-y'"),
        ("[[models]]\nmodel = 'a'\nname = '..'", r"the name '\.\.' cannot be the name of a folder"),
        ("[[models]]\nmodel = 991\n[[models]]\nmodel = '991'", "'991' with the same weights stands twice"),
    ],
)
def test_a_malformed_list_is_refused_by_its_place(tmp_path, text, message):
    (tmp_path / "list.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        asked_of_each([], tmp_path / "list.toml", Asked(""))


def test_files_are_found_from_the_folder_of_the_list_and_the_command_line_fills_gaps(tmp_path):
    (tmp_path / "list.toml").write_text(
        "[[models]]\nmodel = 'net.py'\nlayers = {V1 = 'a', IT = 'b'}\n"
        "[[models]]\nmodel = 'timm:x'\nweights = 'untrained:3'\nlayer_map = 'mine.json'"
    )
    first, second = asked_of_each([], tmp_path / "list.toml", Asked("", suite="demo", layers="V4=c", weights="w.pt"))
    assert (first.model, first.layers, first.weights, first.suite) == (
        f"{tmp_path}/net.py",
        "V1=a,IT=b",
        "w.pt",
        "demo",
    )
    assert (second.model, second.weights) == ("timm:x", "untrained:3")
    assert (second.layers, second.layer_map) == ("V4=c", f"{tmp_path}/mine.json")
    with pytest.raises(UserError, match="--name calls one model, and 2 are given"):
        asked_of_each(["a", "b"], None, Asked("", name="x"))


# --- areas ------------------------------------------------------------------------------------------------------------


def test_a_model_without_a_readout_layer_is_scored_on_the_rest(typed):
    words = ["--model", "timm:test_resnet", "--weights", "untrained", "--suite", "demo", "--json"]
    code, out, err = typed(*words, "--layers", "V1=layer1,V2=layer2,V4=layer3,IT=layer4")
    facts = json.loads(out)
    assert (code, list(facts["areas"]), facts["average"]) == (0, ["V1", "V2", "V4", "IT"], None)
    assert facts["hierarchy"] is not None and "for want of a readout layer: demo.behavior-i2n" in err
    code, _, err = typed(*words, "--layers", "V1=layer1", "--areas", "behavior")
    assert code == 1 and "has no layer map. Give one, --layers behavior=…" in err


def test_one_area_needs_one_layer_and_hints_name_the_suite(typed, tmp_path):
    code, out, _ = typed("--model", "demo:ground_truth", "--suite", "demo", "--areas", "V4,IT", "--json")
    assert (code, list(json.loads(out)["areas"])) == (0, ["V4", "IT"])
    code, _, err = typed("--model", "timm:test_resnet", "--weights", "untrained", "--suite", "public", "--areas", "V4")
    assert (
        code == 1
        and "search --model timm:test_resnet --weights untrained --suite public --areas V4" in err
        and "demo" not in err
    )
    code, _, err = typed("--model", "991", "--suite", "demo", "--areas", "V5")
    assert code == 1 and "suite 'demo' has no area 'V5'" in err


def test_a_map_searched_on_simulated_neurons_is_no_map_for_real_ones(typed, tmp_path):
    from brainscore_submission.models.opening import open_model

    maps = tmp_path / "layer_maps"
    (maps / "origins").mkdir(parents=True)
    layers = {"V1": "layer1", "V2": "layer2", "V4": "layer3", "IT": "layer4"}
    path = maps / "timm_test_resnet_r160_in1k.json"
    path.write_text(json.dumps(layers))
    choices = {area: {"layer": layer} for area, layer in layers.items()}
    facts = {"choices": choices, "suite": "demo", "created": "2026-11-27T00:00:00", "marks": ["SIMULATED"]}
    (maps / "origins" / path.name).write_text(json.dumps(facts))
    words = ["--model", "timm:test_resnet", "--weights", "untrained", "--areas", "V4"]
    code, _, err = typed(*words, "--suite", "public", "--dry-run")
    assert code == 1
    code, out, _ = typed(*words, "--suite", "public", "--dry-run", "--json")
    (why,) = json.loads(out)["failures"].values()
    assert "they say nothing about brains" in why and f"--layer-map layer_maps/{path.name}" in why
    assert "search --model timm:test_resnet --weights untrained --suite public --areas V4" in why
    assert typed(*words, "--suite", "demo", "--dry-run")[0] == 0
    options = {"weights": "untrained", "areas": ["V4"], "simulated": False}
    assert open_model("timm:test_resnet", layer_map=f"layer_maps/{path.name}", **options).layers["V4"] == "layer3"


# --- cluster ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_on_a_cluster_the_same_numbers_come_out_though_a_worker_is_killed(typed, models, demo_cache, tmp_path):
    pytest.importorskip("distributed")
    typed("--models", models, *COMMON, "--results", "here")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "BRAINSCORE_SUBMISSION_CACHE": str(demo_cache)}
    scheduler = _started("dask_scheduler", "--port", "0", "--no-dashboard", environment=environment, folder=tmp_path)
    address = _address(tmp_path / "dask_scheduler.log")
    workers = [
        _started("dask_worker", address, "--no-nanny", "--nthreads", "1", environment=environment, folder=tmp_path)
        for _ in range(2)
    ]
    try:
        command = [sys.executable, str(ROOT / "evaluate.py"), "--models", str(models), *COMMON, "--scheduler", address]
        process = subprocess.Popen(
            [*command, "--results", "there", "--json"], stdout=subprocess.PIPE, env=environment, cwd=tmp_path, text=True
        )
        while not list((tmp_path / "there").rglob("*.json")) and process.poll() is None:
            time.sleep(0.05)
        workers[0].kill()
        facts = json.loads(process.communicate(timeout=300)[0])
    finally:
        for one in (*workers, scheduler):
            one.kill()
            one.wait()
    assert list(facts["failures"]) == ["gone"] and len(facts["models"]) == 2
    for path in (tmp_path / "here").rglob("*.json"):
        mine, other = json.loads(path.read_text()), json.loads(Path(str(path).replace("/here/", "/there/")).read_text())
        assert mine["measured"] == other["measured"] and mine["fingerprint"] == other["fingerprint"]


def _started(name, *words, environment, folder):
    with (folder / f"{name}.log").open("a") as log:
        command = [sys.executable, "-m", f"distributed.cli.{name}", *words]
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)


def _address(log):
    for _ in range(600):
        if found := re.search(r"Scheduler at:\s+(tcp://\S+)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise TimeoutError(log.read_text())
