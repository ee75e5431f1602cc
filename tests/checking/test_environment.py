"""Fresh environments: made of what is declared and nothing else, kept, and never half made."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from checking.made_plugins import MADE, zipped

from brainscore_submission.checking import check
from brainscore_submission.checking.environment import (
    COMPLETE,
    MachineFault,
    held_versions,
    interpreter_of,
    make_environment,
    wanted_packages,
)
from brainscore_submission.checking.layout import Plugin
from brainscore_submission.checking.sandbox import Sandbox
from brainscore_submission.checking.wall import why_no_wall
from brainscore_submission.plugin.errors import UserError

ROOT = Path(__file__).parents[2]


def plugin(requirements):
    return Plugin("root", "mine", {"requirements.txt": requirements.encode()})


def test_an_environment_holds_nothing_of_this_one_and_is_made_once(tmp_path):
    said = []
    python = make_environment([], cache=tmp_path, progress=said.append)
    found = subprocess.run([python, "-c", "import torch"], capture_output=True, text=True)
    assert "No module named 'torch'" in found.stderr
    with pytest.raises(UserError, match="has no Brain-Score"):
        Sandbox(tmp_path / "sandbox", python)
    assert make_environment([], cache=tmp_path, progress=said.append) == python
    assert len(said) == 1
    unfinished = python.parent.parent / COMPLETE
    unfinished.unlink()
    make_environment([], cache=tmp_path, progress=said.append)
    assert len(said) == 2


BACKEND = """
import json, os, sys, time, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    {more}
    with zipfile.ZipFile(f"{{folder}}/made_by_setup-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("made_by_setup.py", "")
        about = "made_by_setup-1.0.dist-info"
        wheel.writestr(f"{{about}}/METADATA", "Metadata-Version: 2.1\\nName: made_by_setup\\nVersion: 1.0\\n")
        wheel.writestr(f"{{about}}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{{about}}/RECORD", "")
    return "made_by_setup-1.0-py3-none-any.whl"
"""
PYPROJECT = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"


@pytest.fixture
def with_setup(tmp_path):
    """`with_setup(code)`: a plugin folder that pip builds without a connection, running this code as it does."""

    def make(more="pass"):
        folder = tmp_path / "with_setup"
        folder.mkdir(exist_ok=True)
        files = {"backend.py": BACKEND.format(more=more), "pyproject.toml": PYPROJECT, "setup.py": more}
        for name, text in files.items():
            (folder / name).write_text(text)
        return folder

    return make


def has_it(python):
    return subprocess.run([python, "-c", "import made_by_setup"], capture_output=True).returncode == 0


def test_requirements_that_cannot_be_installed_are_a_user_error(tmp_path):
    absent = f"absent @ file://{tmp_path}/absent-1.0-py3-none-any.whl"
    with pytest.raises(UserError, match="cannot be installed beside Brain-Score") as refused:
        make_environment([absent], cache=tmp_path)
    assert not isinstance(refused.value, MachineFault)
    assert not list(tmp_path.rglob(COMPLETE)), "a failed environment would be taken for a made one"


def test_a_setup_py_is_installed_as_brainscores_script_does(tmp_path, with_setup):
    assert has_it(make_environment([], plugin=with_setup(), cache=tmp_path / "cache"))


def test_build_scripts_get_no_credentials_and_do_not_reach_the_user(tmp_path, monkeypatch, with_setup):
    """pip runs them: a build backend that writes down what it sees into the environment it is built for."""
    (tmp_path / "secret.txt").write_text("secret")
    seen = f"[dict(os.environ), os.path.exists({str(tmp_path / 'secret.txt')!r})]"
    spy = f"json.dump({seen}, open(sys.prefix + '/seen', 'w'))"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:password@127.0.0.1:9/simple")
    python = make_environment([], plugin=with_setup(spy), cache=tmp_path / "cache")
    found, reached = json.loads((python.parent.parent / "seen").read_text())
    assert "secret" not in found.values()
    assert found["PIP_INDEX_URL"] == "http://user:password@127.0.0.1:9/simple"
    assert reached == (why_no_wall() is not None)


# --- this machine's faults are not the zip's ---


def test_a_full_disk_says_nothing_of_the_requirements(tmp_path, with_setup):
    full = with_setup("open('/dev/full', 'w').write('x' * 100_000)")
    with pytest.raises(MachineFault, match="No space left on device"):
        make_environment([], plugin=full, cache=tmp_path / "cache")


@pytest.mark.skipif(why_no_wall() is not None, reason="the small disk is made with bubblewrap")
def test_a_check_on_a_full_disk_is_a_user_error(tmp_path):
    """The temporary folder lies on a disk of 100 kB."""
    made = zipped(tmp_path / "made.zip", *MADE["plain"])
    command = ["bwrap", "--dev-bind", "/", "/", "--size", "100000", "--tmpfs", "/mnt", "--setenv", "TMPDIR", "/mnt"]
    command += [sys.executable, "-c", "from brainscore_submission.cli import main; main()", "check", str(made)]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert ended.returncode == 1
    (line,) = ended.stderr.strip().splitlines()[-1:]
    assert line.startswith("error: cannot write to /mnt") and "No space left on device" in line and "TMPDIR" in line


def test_no_connection_says_nothing_of_the_requirements(tmp_path, monkeypatch):
    without_connection(monkeypatch)
    with pytest.raises(MachineFault, match="could not be installed here: .*onnection"):
        make_environment(["absent_of_the_check"], cache=tmp_path)


def without_connection(monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")


def test_a_check_without_a_connection_is_not_proven(tmp_path, monkeypatch):
    without_connection(monkeypatch)
    verdict = check(zipped(tmp_path / "made.zip", *MADE["plain"]), full=True)
    assert not verdict.failures and not verdict.passed
    (finding,) = [finding for finding in verdict.unchecked if finding.rule == "fresh-environment"]
    assert "onnection" in finding.message and "--environment" in finding.remedy
    assert verdict.next_steps[0].startswith("NOT PROVEN")


def test_too_little_time_and_a_python_that_is_gone_say_nothing_of_the_requirements(tmp_path, monkeypatch, with_setup):
    with pytest.raises(MachineFault, match="not done after 0 s"):
        make_environment([], plugin=with_setup("time.sleep(60)"), cache=tmp_path / "cache", timeout=0.01)
    monkeypatch.setattr("sys.executable", str(tmp_path / "gone"))
    with pytest.raises(MachineFault, match="no environment can be made"):
        make_environment([], cache=tmp_path / "other")


def test_settings_of_pip_that_install_elsewhere_are_passed_over(tmp_path, monkeypatch, with_setup):
    elsewhere = tmp_path / "elsewhere"
    for name, value in {"PIP_TARGET": elsewhere, "PIP_PREFIX": elsewhere, "PIP_ROOT": elsewhere, "PIP_USER": 1}.items():
        monkeypatch.setenv(name, str(value))
    assert has_it(make_environment([], plugin=with_setup(), cache=tmp_path / "cache"))
    assert not elsewhere.exists()


@pytest.mark.parametrize("damage", ["its Python is gone", "a package is gone"])
def test_an_environment_that_is_whole_no_more_is_made_again(damage, tmp_path, with_setup):
    """As a pyenv Python that was removed leaves it: the environment links to it."""
    said = []
    options = {"plugin": with_setup(), "cache": tmp_path / "cache", "progress": said.append}
    python = make_environment([], **options)
    if damage == "its Python is gone":
        python.unlink()
        python.symlink_to(tmp_path / "removed" / "python3")
        with pytest.raises(UserError, match="the Python of .* is gone .*removed"):
            interpreter_of(python.parent.parent)
    else:
        (about,) = python.parent.parent.rglob("made_by_setup-*.dist-info/METADATA")
        about.unlink()
    assert make_environment([], **options) == python
    assert len(said) == 2
    assert has_it(python)


def test_of_two_checks_at_once_one_makes_the_environment_and_the_other_waits(tmp_path, with_setup):
    said, made = [], []
    options = {"plugin": with_setup("time.sleep(1)"), "cache": tmp_path / "cache", "progress": said.append}
    both = [threading.Thread(target=lambda: made.append(has_it(make_environment([], **options)))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert made == [True, True]
    assert len(said) == 1


def test_the_environment_is_the_plugins_and_brainscores(tmp_path):
    assert wanted_packages(plugin("timm>=1.0\n# a remark\n\nfilelock")) == [
        "brainscore_vision[test]",
        "timm>=1.0",
        "filelock",
    ]


def test_versions_are_held_unless_the_plugin_asks_for_others():
    held = held_versions(plugin("timm==0.5.4\nnumpy>=1.21"))
    names = [line.split("==")[0] for line in held]
    assert "timm" not in names
    assert {"numpy", "torch", "brainscore-vision"} <= set(names)


def test_a_folder_that_is_no_environment_is_refused(tmp_path):
    with pytest.raises(UserError, match="no virtual environment"):
        interpreter_of(tmp_path)
