"""Stories of `python -m analysis.layer_search` as a user types it."""

import contextlib
import io
import json
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis.layer_search import HELP, draw
from brainscore_submission.asked import Asked
from brainscore_submission.cli import EVALUATE_HELP, evaluate, run
from brainscore_submission.cli.search import search_command
from brainscore_submission.layer_search.display import how_to_use
from brainscore_submission.scoring.records import read_folder

RESNET = ["--model", "timm:test_resnet", "--weights", "untrained"]
DEMO = [*RESNET, "--suite", "demo"]

# Brain-Score's readout does not converge on some layers, and scikit-learn says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The line search algorithm did not converge"),
    pytest.mark.filterwarnings("ignore:Line Search failed"),
    pytest.mark.filterwarnings("ignore:newton-cg failed to converge"),
]


def typed(command, help_text, *words):
    """Run a command in this process; exit code, standard output and standard error, each as one line of words."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["command", *words])
        with pytest.raises(SystemExit) as ended:
            run(command, help_text)
    return ended.value.code, " ".join(out.getvalue().split()), " ".join(err.getvalue().split())


@pytest.fixture
def search(demo_cache, tmp_path, monkeypatch):
    """Search in an empty folder."""
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    monkeypatch.chdir(tmp_path)
    return lambda *words: typed(search_command(draw), HELP, *words)


@pytest.mark.slow
def test_the_last_line_evaluates_what_was_searched_and_the_map_is_not_called_the_papers(search):
    code, out, err = search(*DEMO, "--layers", "layer?", "--write")
    assert code == 0 and "Nested: layer chosen on half of the images and half of the neuroids" in out
    command = "python evaluate.py " + err.partition("Evaluate with it: python evaluate.py ")[2]
    assert command == f"python evaluate.py {shlex.join(RESNET[:2])} --suite demo {shlex.join(RESNET[2:])} " + (
        "--layers behavior=layer4"
    )
    code, out, err = typed(evaluate, EVALUATE_HELP, *shlex.split(command)[2:])
    assert code == 0, err
    assert "searched on demo" in out and "(UNTRAINED, SIMULATED)" in out and "paper" not in out
    records, _ = read_folder("results")
    records = records[records["layer_map"].str.startswith("searched on demo")]
    written = json.loads(Path("layer_maps/timm_test_resnet_r160_in1k.json").read_text())
    assert dict(zip(records["area"], records["layer"], strict=True)) == {**written, "behavior": "layer4"}
    assert set(records["command"]) == {command.replace("python evaluate.py", "brainscore-submission", 1)}


@pytest.mark.slow
def test_layers_keep_the_names_they_were_asked_for_by(search):
    *_, facts, _ = search(*DEMO, "--layers", "layer?", "--areas", "V1", "--json")
    facts = json.loads(facts)
    assert facts["n_layers"] == 4 and facts["left_out"]["maxpool"] == "the same values as layer1"
    *_, facts, _ = search(*DEMO, "--layers", "maxpool,layer1", "--areas", "V1", "--json")
    assert "layer1 = maxpool (same values)" in json.loads(facts)["notes"]


def test_where_every_layer_is_too_large_behaviour_is_left_out_with_a_note(search):
    code, out, err = search(*DEMO, "--layers", "layer4", "--areas", "V1,behavior", "--readout-features", "100")
    assert code == 0, err
    assert "demo.behavior-i2n is left out" in out and "--readout-features 2400" in out
    code, out, err = search(*DEMO, "--layers", "layer4", "--areas", "behavior", "--readout-features", "100")
    assert (code, out) == (1, "") and "demo.behavior-i2n is left out" in err


def test_a_search_of_one_area_leaves_the_table_of_several_as_it_is(search, tmp_path):
    words = [*DEMO, "--layers", "layer4", "--json"]
    (first,) = {len(json.loads(search(*words, "--areas", "V1,IT")[1])["choices"])}
    tables = lambda: {path.name: path.read_bytes() for path in tmp_path.rglob("layer_search/*/*.*")}  # noqa: E731
    before = tables()
    assert first == 2 and {"table.csv", "table.json", "heat_map.svg"} <= set(before)
    search(*words, "--areas", "V1")
    after = tables()
    assert {name: after[name] for name in before} == before
    assert {"table-V1.csv", "table-V1.json", "heat_map-V1.svg", "profiles-V1.png"} <= set(after)


def test_layers_are_listed_without_weights(search, monkeypatch):
    monkeypatch.setattr("brainscore_submission.plugin.fetching.is_present", lambda card: False)
    monkeypatch.setattr("brainscore_submission.plugin.checkpoint.fetch_file", None)
    code, out, err = search("--model", "timm:test_resnet", "--list-layers", "--layers", "layer1,maxpool")
    assert code == 0, err
    assert "layer1 = maxpool (same values)" in out and "UNTRAINED" in out


def choices(**layers):
    return {area: SimpleNamespace(layer=layer) for area, layer in layers.items()}


@pytest.mark.parametrize(
    ("asked", "behavior_layer", "chosen", "map_name", "options"),
    [
        (Asked("991", suite="public"), "head", choices(V1="a", behavior="head"), "searched", "--layer-map searched"),
        (Asked("991", suite="public"), "head", choices(V1="a", behavior="b"), "paper", "--layers behavior=b"),
        (Asked("991", suite="public"), "head", choices(V1="a"), "searched", "--layer-map searched"),
        (Asked("timm:x", suite="demo"), None, choices(V1="a"), "paper", "--layers 'behavior=<layer>'"),
    ],
)
def test_the_last_line_names_the_layer_for_behaviour_where_nothing_else_does(
    asked, behavior_layer, chosen, map_name, options
):
    result = SimpleNamespace(
        choices=chosen,
        model=SimpleNamespace(card=SimpleNamespace(behavior_layer=behavior_layer)),
        suite=SimpleNamespace(areas=["V1", "behavior"]),
    )
    assert how_to_use(result, asked, map_name).endswith(f"--suite {asked.suite} {options}")


def test_the_last_line_of_a_search_on_recordings_names_the_layer_found():
    asked = Asked("timm:x", recordings="my session", metric="cka", weights="w.pt", preprocessing="squash224")
    result = SimpleNamespace(
        choices=choices(V4="layer3"),
        model=SimpleNamespace(card=SimpleNamespace(behavior_layer=None)),
        suite=SimpleNamespace(areas=["V4"]),
    )
    assert how_to_use(result, asked, None) == (
        "Evaluate with it: python evaluate.py --model timm:x --recordings 'my session' --metric cka --weights w.pt "
        "--preprocessing squash224 --layers V4=layer3"
    )
