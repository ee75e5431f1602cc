"""The commands as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest

from brainscore_submission.cli import EVALUATE_HELP
from brainscore_submission.cli import evaluate as evaluate_command
from brainscore_submission.scoring.suites import NoAccess

ROOT = Path(__file__).parents[2]
GROUND_TRUTH = ["--model", "demo:ground_truth", "--suite", "demo"]


@pytest.fixture(scope="module")
def evaluate(demo_cache, tmp_path_factory):
    """Run evaluate.py in an empty folder of this file."""
    folder = tmp_path_factory.mktemp("user")

    def run(*arguments, check=None):
        command = [sys.executable, str(ROOT / "evaluate.py"), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=environment(demo_cache), check=False
        )
        if check is not None:
            assert done.returncode == check, done.stderr
        return done

    run.folder = folder
    return run


@pytest.fixture
def evaluate_here(demo_cache, tmp_path, monkeypatch, in_this_process):
    """The same in this process, which has imported everything already; exit code and what was written."""
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    monkeypatch.chdir(tmp_path)

    return partial(in_this_process, evaluate_command, program="evaluate.py", help_text=EVALUATE_HELP)


def environment(cache):
    return os.environ | {"BRAINSCORE_SUBMISSION_CACHE": str(cache), "COLUMNS": "80"}


@pytest.fixture(scope="module")
def whole(evaluate):
    """What an uninterrupted run said with --json; its records lie in the folder `whole`."""
    return evaluate(*GROUND_TRUTH, "--json", "--results", "whole", check=0)


def test_json_is_one_object_and_nothing_else_on_standard_output(whole):
    facts = json.loads(whole.stdout)
    assert set(facts["areas"]) == {"V1", "V2", "V4", "IT", "behavior"}
    assert facts["average"] == pytest.approx(sum(facts["areas"].values()) / 5)
    assert facts["marks"] == ["SIMULATED"]
    assert len(facts["records"]) == 5


def test_the_table_ends_with_the_hierarchy_and_says_simulated(evaluate, whole):
    done = evaluate(*GROUND_TRUTH, "--results", "whole", check=0)
    for text in ("demo.V1-pls", "[SIMULATED]", "Avg", "ρ-hierarchy", "exact two-sided p", "SIMULATED recordings"):
        assert text in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_kill_minus_9_then_the_same_command_gives_the_uninterrupted_table(evaluate, whole, demo_cache):
    killed = evaluate.folder / "killed"
    command = [sys.executable, str(ROOT / "evaluate.py"), *GROUND_TRUTH, "--results", str(killed)]
    process = subprocess.Popen(
        command, env=environment(demo_cache), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not list(killed.rglob("*.json")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in killed.rglob("*.json")}
    assert 0 < len(finished) < 5
    resumed = json.loads(evaluate(*GROUND_TRUTH, "--json", "--results", str(killed), check=0).stdout)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    for part in ("areas", "areas_2022", "average", "hierarchy"):
        assert resumed[part] == json.loads(whole.stdout)[part]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model", "992"], 1, "unknown model '992'. Did you mean 991?"),
        (["--model", "991", "--suite", "dmo"], 1, "unknown suite 'dmo'. Did you mean demo?"),
        (["--model", "991", "--device", "cuda:7", "--suite", "demo"], 1, "unknown device 'cuda:7'"),
        ([*GROUND_TRUTH, "--engine", "gramm"], 1, "unknown engine 'gramm'. Did you mean gram?"),
        ([*GROUND_TRUTH, "--layers", "V1"], 1, "--layers: 'V1' is not of the form area=layer"),
        ([*GROUND_TRUTH, "--layers", "V1=V9"], 1, "unknown layer 'V9'"),
        ([*GROUND_TRUTH, "--memory", "lots"], 1, "'lots' is not a size"),
        ([*GROUND_TRUTH, "--precision", "float8"], 1, "unknown precision 'float8'"),
        (["--model", "demo:ground_truth", "--benchmark", "demo.V3-pls"], 1, "unknown benchmark 'demo.V3-pls'"),
        (["--model", "991", "--weights", "absent.pt", "--suite", "demo"], 1, "absent.pt"),
        (["--model", "991", "--recordings", "absent"], 1, "absent"),
        ([*GROUND_TRUTH, "--benchmark", "demo.V1-pls"], 1, "give one of --suite, --benchmark, not several"),
        ([], 2, "--model 991"),
        (["--model", "991", "--batch-size", "0"], 2, "batch-size"),
    ],
)
def test_wrong_input_is_one_or_two_lines_and_an_exit_code(evaluate_here, tmp_path, arguments, code, message):
    ended_with, out, err = evaluate_here(*arguments)
    assert (ended_with, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    if code == 1:
        assert err.count("\n") <= 2, err
    assert not list(tmp_path.iterdir())


def test_with_json_an_error_is_an_object_too(evaluate_here):
    code, out, err = evaluate_here("--model", "992", "--json")
    assert code == 1 and "Did you mean 991" in json.loads(out)["error"] and err.startswith("error: unknown model")


def test_the_version_is_that_of_the_package_and_imports_no_network():
    program = (
        "import sys; sys.argv[1:] = ['--version']\nfrom brainscore_submission.cli import main\n"
        "try:\n    main()\nfinally:\n    print([name for name in ('torch', 'timm', 'pandas') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True).stdout
    assert said.splitlines() == [metadata.version("brainscore-submission"), "[]"]


def test_a_list_of_models_imports_no_network():
    program = (
        "import sys; sys.argv[1:] = ['models']\nfrom brainscore_submission.cli import main\n"
        "try:\n    main()\nfinally:\n    print([name for name in ('torch', 'timm') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True).stdout
    assert "991" in said and said.splitlines()[-1] == "[]"


def test_a_results_folder_that_cannot_be_written_is_refused_before_the_recording(evaluate_here):
    code, out, err = evaluate_here(
        "--model", "demo:ground_truth", "--benchmark", "demo.V1-pls", "--results", "/dev/null/r"
    )
    assert (code, out) == (1, "")
    assert "error: cannot write to /dev/null/r: Not a directory" in err
    assert "recording" not in err


def test_where_nothing_could_be_scored_the_exit_code_says_so(evaluate_here, monkeypatch):
    def refuse(identifier, suite):
        raise NoAccess("no internet connection")

    monkeypatch.setattr("brainscore_submission.scoring.score.load", refuse)
    code, out, err = evaluate_here("--model", "demo:ground_truth", "--benchmark", "MajajHong2015public.IT-pls")
    assert code == 1
    assert "no access" in out
    assert "error: nothing was scored: no internet connection. --suite demo needs no data." in err


OWN_SUITE = """
name = "mine"
average = "scored"

[areas]
V1 = ["FreemanZiemba2013.V1-pls"]
V2 = ["FreemanZiemba2013.V2-pls"]
V4 = ["demo.V4-pls", "private"]
IT = ["MajajHong2015.IT-pls"]
behavior = ["Rajalingham2018-i2n"]

[groups]
private = ["MajajHong2015.V4-pls", "Sanghavi2020.V4-pls"]
"""


def test_a_suite_of_ones_own_shows_both_averages(evaluate_here, monkeypatch, tmp_path):
    def refuse_private(identifier, suite):
        if identifier not in suite.loaders:
            raise NoAccess("no credentials for this data")
        return suite.loaders[identifier]()

    monkeypatch.setattr("brainscore_submission.scoring.score.load", refuse_private)
    (tmp_path / "my.toml").write_text(OWN_SUITE)
    _, out, _ = evaluate_here("--model", "demo:ground_truth", "--suite", "my.toml", "--json")
    said = json.loads(out)
    score = next(one["measured"]["score"] for one in said["records"] if one["benchmark"] == "demo.V4-pls")
    assert score > 0.5
    assert said["areas"] == {"V1": None, "V2": None, "V4": score, "IT": None, "behavior": None}
    assert said["average"] == score
    assert said["averages"] == "over what was scored"
    # V4 is (score + 0) / 2, one of four areas that make half of all.
    assert said["site_rule"]["average"] == pytest.approx(score / 2 / 4 / 2)
    assert said["n_scored"]["V4"] == {"scored": 1, "of": 3}
    _, shown, _ = evaluate_here("--model", "demo:ground_truth", "--suite", "my.toml", "--rerun", "never")
    ours, site = (
        next(line for line in shown.splitlines() if line.strip().startswith(row)) for row in ("ours", "site's")
    )
    assert ours.split()[-5:] == ["–", f"{score:.3f}", "–", "–", f"{score:.3f}"]
    assert site.split()[-5:] == ["–", f"{score / 2:.3f}", "–", "–", f"{score / 16:.3f}"]
    assert "Scored 1 of 7 benchmarks" in shown


def test_the_help_names_the_suites():
    for name in ("public", "demo", "li2026", "competition2022", "leaderboard", "my.toml"):
        assert name in EVALUATE_HELP


def test_a_wrong_model_ends_the_program_with_one_line(evaluate):
    done = evaluate("--model", "992", check=1)
    assert done.stderr.count("\n") <= 2 and "Did you mean 991?" in done.stderr
    assert done.stdout == ""


def test_models_are_listed_with_published_averages(evaluate):
    done = evaluate("--list-models", check=0)
    for text in ("991", "1084", "1095", "1057", "0.488", "crossvit_18_dagger_408_rotation_adv_color"):
        assert text in done.stdout
    listed = json.loads(evaluate("--list-models", "--json", check=0).stdout)["models"]
    averages = {model["name"]: model["published_average"] for model in listed}
    assert averages["1057"] == pytest.approx(0.442, abs=5e-4)


@pytest.mark.parametrize("command", [[], ["evaluate"], ["package"], ["check"], ["weights"], ["recordings", "check"]])
def test_every_command_explains_itself(command):
    code = "from brainscore_submission.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not command or "Example" in done.stdout


def test_a_reason_that_many_share_is_one_line(evaluate_here, monkeypatch):
    def refuse(identifier, suite):
        raise NoAccess("no credentials for this data")

    monkeypatch.setattr("brainscore_submission.scoring.score.load", refuse)
    code, out, _ = evaluate_here("--model", "demo:ground_truth", "--suite", "leaderboard")
    assert code == 1
    assert out.count("no credentials for this data") == 1
    assert "99 benchmarks: no access, no credentials for this data." in out
    assert out.count("no access") == 99 + 1
