"""Brain-Score's own code judges hand-made plugins in a fresh process; the installed Brain-Score stays as it is."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import brainscore_vision
import pytest

from brainscore_submission.checking import check, running
from brainscore_submission.checking.processes import Finished, environment_of, environment_of_pip, run_group
from brainscore_submission.checking.running import Trial
from brainscore_submission.checking.sandbox import Sandbox
from brainscore_submission.checking.verdict import Verdict
from brainscore_submission.checking.wall import why_no_wall

RESNET = """
import functools
import torch
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
from torchvision.models.resnet import BasicBlock, ResNet


def get_model(name):
    torch.manual_seed(0)
    network = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10).eval()
    preprocessing = functools.partial(load_preprocess_images, image_size=64)
    wrapper = PytorchWrapper(identifier=name, model=network, preprocessing=preprocessing)
    wrapper.image_size = 64
    return wrapper


def get_layers(name):
    return ["conv1", "layer1", "layer2", "layer3", "layer4", "avgpool"]


def get_bibtex(model_identifier):
    return ""
"""
INIT = """
from brainscore_vision import model_registry
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from .model import get_layers, get_model

model_registry['tiny_resnet'] = lambda: ModelCommitment(identifier='tiny_resnet', activations_model=get_model('tiny_resnet'), layers=get_layers('tiny_resnet'))
"""  # noqa: E501
TEST = """
import brainscore_vision


def test_has_identifier():
    assert brainscore_vision.load_model('tiny_resnet').identifier == 'tiny_resnet'
"""
LAYERS = '{"V1": "conv1", "V2": "layer1", "V4": "layer2", "IT": "layer3"}'
MAP = "region_layer_map/tiny_resnet.json"
TUTORIAL = {"__init__.py": INIT, "model.py": RESNET, "test.py": TEST, "requirements.txt": "torch\ntorchvision\n"}
TIMEOUT = 300


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in ("root/", "root/models/", "root/models/tiny_resnet/"):
            archive.mkdir(entry)
        for name, text in files.items():
            archive.writestr(f"root/models/tiny_resnet/{name}", text.lstrip())
    return path


def on_trial(folder, files, timeout=TIMEOUT, wall=False, **options):
    """A plugin and its judge, each in a sandbox of its own."""
    plugin = folder / "tiny_resnet"
    for name, text in files.items():
        (plugin / name).parent.mkdir(parents=True, exist_ok=True)
        (plugin / name).write_text(text.lstrip())
    sandbox, court = Sandbox(folder / "run", threads=1, wall=wall), Sandbox(folder / "court", threads=1)
    return Trial(sandbox, court, plugin, "tiny_resnet", timeout, **options)


def installed():
    """Every file of the installed Brain-Score's models and helpers, with size and time."""
    library = Path(brainscore_vision.__file__).parent
    files = [path for part in ("models", "model_helpers", "metrics") for path in (library / part).rglob("*")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()}


@pytest.fixture
def tempdir_in(tmp_path, monkeypatch):
    """All temporary folders lie in tmp_path, to see what is left of them."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


@pytest.mark.slow
def test_a_resnet_wrapped_as_in_brainscores_tutorial_passes(tmp_path, tempdir_in):
    before = installed()
    stages = []
    verdict = check(zipped(tmp_path / "resnet.zip", TUTORIAL), progress=stages.append, timeout=TIMEOUT)
    assert verdict.passed, verdict.failures
    assert verdict.identifiers == ("tiny_resnet",)
    passed = {finding.rule for finding in verdict.of("ok")}
    assert {f"generic-test_{name}" for name in GENERIC} <= passed
    assert {"brainscore-scan", "brainscore-folder", "loads", "own-test_has_identifier"} <= passed
    assert {"areas", "environment", "name-on-site"} <= {finding.rule for finding in verdict.unchecked}
    assert next(finding.status for finding in verdict.findings if finding.rule == "wall") == (
        "ok" if why_no_wall() is None else "unchecked"
    )
    assert len(stages) == 5
    assert any("upload the zip" in step for step in verdict.next_steps)
    assert installed() == before, "the installed Brain-Score was written to"
    assert list(tempdir_in.iterdir()) == [], "temporary files are left"


GENERIC = (
    "identifier",
    "visual_degrees",
    "start_task_or_recording",
    "look_at_neural_V1",
    "look_at_behavior_probabilities",
)


def load(folder, **files):
    trial = on_trial(folder, TUTORIAL | {MAP: LAYERS} | files)
    return {finding.rule: finding for finding in running.load(trial)}


@pytest.mark.parametrize(
    ("replacement", "words"),
    [
        ("torch.zeros(1).cuda()", "NVIDIA|CUDA"),
        ("import brainscore_submission", "not installed on the server"),
    ],
    ids=["a GPU is needed", "this project is needed"],
)
def test_what_would_break_on_the_server_breaks_here(replacement, words, tmp_path):
    finding = load(tmp_path, **{"model.py": RESNET.replace("torch.manual_seed(0)", replacement)})["loads"]
    assert finding.status == "failed"
    assert re.search(words, finding.message)
    assert finding.remedy


CUT = "s3://b/a_long_name.pth@v: no connection (EndpointConnectionError)"


def answers(*said):
    """As `fetch` says it."""
    return (
        "cannot fetch a_long_name.pth for tiny_resnet. Tried:" + "".join(f"\n  {one}" for one in said) + "\nWays on: …"
    )


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        (answers(CUT), "unchecked", "could not be fetched here .*a_long_name.pth@v: no connection .*nothing wrong"),
        (answers("/mirror/a.pth: no such file", CUT), "unchecked", "/mirror/a.pth: no such file; s3.*no connection"),
        (answers("https://x.org/a.pth: 503 Service Unavailable"), "unchecked", "503 Service"),
        (answers("s3://b/a.pth: 404 NoSuchKey"), "failed", "cannot be fetched: s3://b/a.pth: 404 NoSuchKey"),
        (answers("s3://b/a.pth: 403 AccessDenied"), "failed", "403 AccessDenied"),
        (answers("s3://b/a.pth: wrong file: sha1 503, expected 12"), "failed", "wrong file"),
        ("the disk is full: a_long_name.pth does not fit", "unchecked", "disk is full"),
    ],
    ids=["offline", "mirror without it", "busy", "not there", "private", "wrong", "full disk"],
)
def test_a_checkpoint_out_of_reach_is_no_fault_of_the_zip_and_any_other_is(said, status, words):
    finding = running.not_fetched(said)
    assert (finding.rule, finding.status) == ("loads", status)
    assert re.search(words, finding.message)
    assert finding.remedy
    assert not Verdict("my.zip", None, ("tiny_resnet",), (finding,)).passed  # nothing was proven


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        ("import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/w.pt')", "unchecked", "no connection"),
        ("import module_that_is_declared", "unchecked", "declared and not installed here"),
        ("import module_that_is_not", "failed", "No module named"),
        ("raise SystemExit(3)", "failed", "SystemExit: 3"),
        ("import os; os._exit(0)", "failed", "ended without an answer"),
    ],
)
def test_why_a_plugin_does_not_load(error, status, words, tmp_path):
    """Raised by a real plugin in Brain-Score's own loader."""
    trial = on_trial(tmp_path, TUTORIAL | {"model.py": error}, declared=frozenset({"module_that_is_declared"}))
    (finding,) = running.load(trial)
    assert (finding.rule, finding.status) == ("loads", status), finding
    assert words in finding.message
    assert finding.remedy


def test_the_shipped_layer_map_is_recorded_and_a_wrong_layer_named(tmp_path):
    findings = load(tmp_path, **{MAP: LAYERS.replace("layer2", "layer9")})
    assert findings["area-V1"].message == "V1 from conv1: 65536 neuroids"  # 64 channels, 32 x 32
    assert findings["area-V2"].status == "ok"
    assert findings["area-V4"].status == "failed"
    assert "recording V4 (layer9) fails" in findings["area-V4"].message


def reported(monkeypatch, report):
    """What is found where the judge reports this."""
    monkeypatch.setattr(Trial, "judge", lambda self, task, **facts: (Finished(0, "the last line"), report))
    trial = Trial(None, None, Path("tiny_resnet"), "mine", TIMEOUT)
    return {finding.rule: finding for finding in running.load(trial)}


RECORDED = {"neuroids": 8, "unique": True, "finite": True, "varies": True}
REPORT = {"seconds": 1.0, "identifier": "mine", "registered": ["mine"], "layers": [], "layer_map": json.loads(LAYERS)}
REPORT |= dict.fromkeys(["V1", "V2", "V4", "IT"], RECORDED)
REPORT |= {"behavior": {"lowest": 0.0, "highest": 1.0, "finite": True}}


def test_a_map_may_name_more_areas_than_are_recorded_or_fewer(monkeypatch):
    """A Brain-Score layer map may hold any area; the judge records the four of the benchmarks."""
    more = reported(monkeypatch, REPORT | {"layer_map": json.loads(LAYERS) | {"V3": "layer1"}})
    assert {finding.status for finding in more.values()} == {"ok"}
    fewer = reported(monkeypatch, REPORT | {"layer_map": {"V1": "conv1"}})
    assert [rule for rule, finding in fewer.items() if finding.status == "advice"] == ["area-V2", "area-V4", "area-IT"]
    broken = {key: value for key, value in REPORT.items() if key not in ("V2", "V4", "IT", "behavior")}
    findings = reported(monkeypatch, broken | {"error": {"said": "KeyError: 'V2'", "causes": []}})
    assert findings["area-V2"].status == "failed"
    assert findings["area-V2"].message == "recording V2 (layer1) fails: KeyError: 'V2'"


def test_what_brainscores_tests_let_pass_is_advice(monkeypatch):
    findings = reported(monkeypatch, REPORT | {"V4": RECORDED | {"finite": False}, "behavior": None})
    assert (findings["area-V4"].status, findings["behavior"].status) == ("advice", "advice")
    assert (
        reported(monkeypatch, REPORT | {"behavior": {"lowest": -1.0, "highest": 1.0, "finite": True}})[
            "behavior"
        ].status
        == "failed"
    )


def test_brainscores_scan_finds_a_second_registration(tmp_path):
    second = INIT + "for name in ['tiny_resnet_2']: model_registry[name] = lambda: None\n"
    trial = on_trial(tmp_path, TUTORIAL | {"__init__.py": second})
    findings = {finding.rule: finding for finding in running.scan(trial)}
    assert findings["brainscore-scan"].status == "failed"
    assert findings["brainscore-folder"].status == "ok"


def test_a_failing_own_test_is_named(tmp_path):
    failing = "def test_good():\n    assert True\n\n\ndef test_bad():\n    assert 1 == 2\n"
    trial = on_trial(tmp_path, TUTORIAL | {"test.py": failing})
    findings = {finding.rule: finding for finding in running.own_tests(trial)}
    assert findings["own-test_good"].status == "ok"
    assert findings["own-test_bad"].status == "failed"
    assert "assert 1 == 2" in findings["own-test_bad"].message


def judged(monkeypatch, tmp_path, cases, code):
    """The findings on a plugin whose tests ended so, and pytest with this exit code."""
    sandbox = Sandbox.__new__(Sandbox)  # without its processes: the report is all that is judged
    sandbox.folder = tmp_path
    (tmp_path / "out").mkdir()

    def pytest_writes(target, report, timeout):
        report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
        return Finished(code, "the last line", "" if code is not None else "not done after 300 s")

    monkeypatch.setattr(sandbox, "pytest", pytest_writes)
    monkeypatch.setattr(Trial, "place", lambda self: tmp_path)
    return running.own_tests(Trial(sandbox, sandbox, tmp_path, "tiny_resnet", TIMEOUT))


FAILED, ERROR = '<failure message="assert 1 == 2&#10;more"/>', '<error message="no fixture"/>'
SKIPPED = '<skipped message="needs a display"/>'


def case(name, within="", of="test.TestA"):
    return f'<testcase classname="{of}" name="{name}">{within}</testcase>'


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        (case("test_a[1]", FAILED) + case("test_a[2]"), "test_a[1] fails: assert 1 == 2"),
        (case("test_a[1]") + case("test_a[2]", FAILED) + case("test_a[3]", ERROR), "test_a[2] fails: assert 1 == 2"),
        (case("test_a", FAILED) + case("test_a", of="test.TestB"), "test_a fails: assert 1 == 2"),
        (case("test_a", ERROR) + case("test_a", SKIPPED, of="test.TestB"), "test_a fails: no fixture"),
        (case("test_a", "<failure/>") + case("test_a"), "test_a fails: failure"),
    ],
    ids=["first parameter", "second of three", "same name in two classes", "an error, then skipped", "no message"],
)
def test_no_later_case_hides_a_failed_one(cases, words, monkeypatch, tmp_path):
    (finding,) = judged(monkeypatch, tmp_path, cases, 1)
    assert (finding.rule, finding.status, finding.message) == ("own-test_a", "failed", f"test.py: {words}")


def test_a_skipped_test_is_no_passed_one(monkeypatch, tmp_path):
    cases = case("test_a", SKIPPED) + case("test_b[1]", SKIPPED) + case("test_b[2]")
    skipped, partly = judged(monkeypatch, tmp_path, cases, 0)
    assert skipped.status == "advice"
    assert "skipped, and proves nothing: needs a display" in skipped.message
    assert (partly.rule, partly.status) == ("own-test_b", "ok")


@pytest.mark.parametrize(
    ("code", "words"), [(3, "breaks off with exit code 3.*the last line"), (None, "breaks off.*not done after 300 s")]
)
def test_pytests_own_end_counts_where_its_report_is_all_well(code, words, monkeypatch, tmp_path):
    passed, broken = judged(monkeypatch, tmp_path, case("test_a"), code)
    assert (passed.status, broken.status) == ("ok", "failed")
    assert re.search(words, broken.message)


def test_skipped_and_parametrized_tests_are_read_out_of_pytests_own_report(tmp_path):
    tests = """
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_number(number):
    assert number == 2

def test_screen():
    pytest.skip("needs a display")
"""
    number, screen = running.own_tests(on_trial(tmp_path, TUTORIAL | {"test.py": tests}))
    assert (number.status, screen.status) == ("failed", "advice")
    assert "test_number[1] fails: assert 1 == 2" in number.message
    assert "needs a display" in screen.message


def test_a_test_file_without_tests_is_advice_only(tmp_path, monkeypatch):
    trial = on_trial(tmp_path, TUTORIAL)
    monkeypatch.setattr(trial.sandbox, "pytest", lambda *args: Finished(running.NO_TESTS, "no tests ran"))
    assert [finding.status for finding in running.own_tests(trial)] == ["advice"]


def test_a_process_that_hangs_is_ended_with_its_children(tmp_path):
    sandbox = Sandbox(tmp_path / "run")
    pid_file = tmp_path / "child"
    code = (
        "import pathlib, subprocess, time; child = subprocess.Popen(['sleep', '60']); "
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    ended = sandbox.run([sys.executable, "-c", code], timeout=3)
    assert ended.code is None
    child = Path(f"/proc/{pid_file.read_text()}/stat")
    deadline = time.monotonic() + 20
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _runs(child)


def _runs(stat_file):
    return stat_file.exists() and stat_file.read_text().split()[2] != "Z"


STARTS_A_CHILD = """
import signal, subprocess, sys, time
from pathlib import Path
from brainscore_submission.checking.processes import run_group
code = "import pathlib, subprocess, time; child = subprocess.Popen(['sleep', '60']); "
code += "pathlib.Path('child').write_text(str(child.pid)); time.sleep(60)"
# What a shell leaves behind is not what is tested: its background jobs ignore SIGINT, those under nohup SIGHUP.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
run_group([sys.executable, "-c", code], {}, 60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whoever_ends_the_check_ends_what_it_runs(number, tmp_path):
    """Ctrl-C, kill and a closed terminal: none leaves the worker or its children behind."""
    project = {"PYTHONPATH": str(Path(__file__).parents[2])}
    caller = subprocess.Popen([sys.executable, "-c", STARTS_A_CHILD], cwd=tmp_path, env=project, stderr=subprocess.PIPE)
    started = tmp_path / "child"
    try:
        wait_until(lambda: started.is_file() and started.read_text())
        child = Path(f"/proc/{started.read_text()}/stat")
        assert _runs(child)
        caller.send_signal(number)
        caller.communicate(timeout=20)
        assert caller.returncode != 0
        wait_until(lambda: not _runs(child))
    finally:  # whatever went wrong, no process and no pipe outlives this test
        caller.kill()
        caller.communicate()
        if started.is_file() and _runs(Path(f"/proc/{started.read_text()}/stat")):
            os.kill(int(started.read_text()), signal.SIGKILL)


def wait_until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_process_gets_no_credentials_and_no_gpu(tmp_path, monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    sandbox = Sandbox(tmp_path / "run")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    found = json.loads(sandbox.run([sys.executable, "-c", code], timeout=60).output)
    assert "secret" not in found.values()
    assert found["CUDA_VISIBLE_DEVICES"] == ""


SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "GITHUB_TOKEN",
    "WANDB_API_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "db_password",
)


def test_a_stored_token_of_hugging_face_is_not_found(tmp_path):
    (tmp_path / "token").write_text("hf_stored")
    code = "import huggingface_hub; print(huggingface_hub.get_token())"
    found = {"HF_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    assert run_group([sys.executable, "-c", code], found, 60).output.strip() == "hf_stored"
    assert run_group([sys.executable, "-c", code], environment_of(found), 60).output.strip() == "None"


def test_only_what_is_named_is_passed_on():
    kept = ("PATH", "LANG", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "HTTPS_PROXY", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE")
    other = (*SECRETS, "SOME_SETTING", "PIP_INDEX_URL", "HOME", "SSH_AUTH_SOCK", "VIRTUAL_ENV", "PYTHONSTARTUP")
    passed = environment_of(dict.fromkeys([*kept, *other], "x"))
    assert {name for name, value in passed.items() if value == "x"} == set(kept)
    of_pip = environment_of_pip(dict.fromkeys([*other, "PIP_CERT", "PIP_TARGET", "PIP_USER"], "x"))
    assert {name for name, value in of_pip.items() if value == "x"} == {"PIP_INDEX_URL", "PIP_CERT", "HOME"}


def test_equal_demo_scores_are_told_from_nearly_equal_ones():
    scores = {"demo.V1-pls": 0.1 + 0.2, "demo.V2-pls": 0.5}
    assert running.compare(scores, dict(scores)).status == "ok"
    nearly = running.compare(scores, scores | {"demo.V1-pls": 0.3})
    assert nearly.status == "failed"
    assert "0.30000000000000004" in nearly.message
    assert running.compare(scores, {"demo.V1-pls": 0.3}).status == "failed"
