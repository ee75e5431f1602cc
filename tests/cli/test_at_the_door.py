"""What was typed is looked at before anything is fetched or loaded; and with --json whatever ends a command is JSON."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from brainscore_submission.cli import EVALUATE_HELP, app, run
from brainscore_submission.cli import evaluate as evaluate_command
from brainscore_submission.cli.search import search_command
from brainscore_submission.plugin import fetching, streams
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.files import require_writable_later

ROOT = Path(__file__).parents[2]
FETCHED = "something was fetched"


@pytest.fixture
def typed(demo_cache, tmp_path, monkeypatch, in_this_process):
    """`typed(command, *words)` in an empty folder, where nothing can be fetched without being noticed."""
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    monkeypatch.chdir(tmp_path)

    def refuse(*_):
        raise AssertionError(FETCHED)

    monkeypatch.setattr(streams, "open_stream", refuse)
    monkeypatch.setattr(fetching, "open_stream", refuse)

    return partial(in_this_process, help_text=EVALUATE_HELP)


TO_BE_FETCHED = ("--model", "timm:resnet18", "--suite", "demo", "--areas", "V4")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layers", "V4=layer9"), "unknown layer 'layer9'. Did you mean layer4"),
        (("--layers", "V4=layer3", "--results", "/dev/null/r"), "cannot write to /dev/null/r: Not a directory"),
        (("--layers", "V4=layer3", "--engine", "gramm"), "unknown engine 'gramm'. Did you mean gram?"),
        (("--layers", "V4=layer3", "--rerun", "alll"), "unknown rerun policy 'alll'. Did you mean all?"),
        (("--layers", "V4=layer3", "--memory", "lots"), "'lots' is not a size"),
        (("--layers", "V4=layer3", "--disk", "5"), "Did you mean 5GB?"),
        (("--layers", "V4=layer3", "--precision", "float8"), "unknown precision 'float8'"),
        (("--model", "991", "--layers", "V4=layer3", "--results", "/dev/null/r"), "cannot write to /dev/null/r"),
    ],
)
def test_evaluate_looks_before_it_fetches(typed, tmp_path, words, message):
    code, out, err = typed(evaluate_command, *TO_BE_FETCHED, *words)
    assert (code, out) == (1, "") and message in err and FETCHED not in err
    assert not list(tmp_path.iterdir())


def test_a_layer_search_looks_before_it_fetches(typed):
    code, _, err = typed(search_command(), *TO_BE_FETCHED, "--results", "/dev/null/r")
    assert code == 1 and "cannot write to /dev/null/r" in err


def test_a_layer_that_is_there_is_fetched_for(typed):
    with pytest.raises(AssertionError, match=FETCHED):
        typed(evaluate_command, *TO_BE_FETCHED, "--layers", "V4=layer3")


def test_a_folder_is_looked_at_without_being_made(tmp_path):
    require_writable_later(tmp_path / "a" / "b", "--results")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Not a directory"):
        require_writable_later(tmp_path / "file" / "b", "--results")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--model", "991", "--batch-size", "0"), "Invalid value for '--batch-size'"),
        (("--model", "991", "--bogus"), "No such option: --bogus"),
        ((), "give a model, for example --model 991"),
        (
            ("--model", "991", "--weights", "a", "--weights", "b"),
            "--weights is given more than once: it takes one value",
        ),
        (("--model", "991", "--ema", "--no-ema"), "--ema is given more than once"),
    ],
)
def test_wrong_usage_is_an_object_too(typed, words, error):
    code, out, err = typed(evaluate_command, *words, "--json")
    assert code == 2 and error in json.loads(out)["error"] and "Usage:" in err
    assert typed(evaluate_command, *words)[1] == ""


def test_what_takes_several_values_and_flags_may_stand_twice(typed):
    code, out, _ = typed(evaluate_command, "--model", "a", "--model", "b", "--suite", "nix", "--json", "--json")
    assert code == 1 and "unknown suite 'nix'" in json.loads(out)["error"]


def test_an_unknown_command_and_a_bug_are_objects_too(typed, monkeypatch, capsys):
    code, out, _ = typed(app, "evaluatee", "--json")
    assert code == 2 and "evaluatee" in json.loads(out)["error"]

    def broken(*_):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("brainscore_submission.scoring.registry.known_benchmarks", broken)
    monkeypatch.setattr(sys, "argv", ["command", "benchmarks", "--json"])
    with pytest.raises(ZeroDivisionError):
        run(app)
    assert json.loads(capsys.readouterr().out) == {"error": "ZeroDivisionError: of ours"}


INTERRUPTED = """
import runpy, sys
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
sys.argv = ["evaluate.py", "--model", "demo:ground_truth", "--suite", "demo", "--json"]
runpy.run_path({script!r}, run_name="__main__")
"""


def test_ctrl_c_while_it_imports_says_how_to_go_on(tmp_path):
    program = INTERRUPTED.format(script=str(ROOT / "evaluate.py"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    said = "Stopped. What is done is kept; the same command goes on where it was."
    assert (done.returncode, json.loads(done.stdout)) == (130, {"error": said}) and said in done.stderr


@pytest.mark.parametrize("option", ["--weights", "--suite", "--layer-map", "--recordings", "--results", "--models"])
def test_a_path_too_long_for_any_file_is_one_line(typed, option):
    path = "x" * 300 + {"--suite": ".toml", "--layer-map": ".json"}.get(option, "")
    code, out, err = typed(evaluate_command, "--model", "991", option, path, "--json")
    assert code == 1 and "oo long" in json.loads(out)["error"] and len(err.splitlines()) == 1


def test_a_refused_zip_is_one_json_object(typed, tmp_path):
    (tmp_path / "bad.zip").write_text("no zip")
    code, out, err = typed(app, "check", "bad.zip", "--json", help_text=None)
    assert code == 1 and not json.loads(out)["passed"] and "bad.zip would be refused: 1 rule failed" in err


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_a_terminal_without_unicode_is_shown_the_whole_table_and_sound_json(tmp_path, encoding):
    def said(*words):
        command = [sys.executable, str(ROOT / "evaluate.py"), *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
        done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, check=False)
        assert b"Traceback" not in done.stderr
        return done.stdout.decode(encoding)

    table, models = said("--list-models"), json.loads(said("--list-models", "--json"))["models"]
    assert all(model["identifier"] in table for model in models)
    assert "\\u2013" in table  # a dash: the weights are not here
    assert "größe😀" in json.loads(said("--model", "größe😀", "--json"))["error"]
