"""Fresh environments: made of what is declared and nothing else, kept, and never half made."""

import json
import subprocess

import pytest

from brainscore_submission.checking.environment import (
    COMPLETE,
    held_versions,
    interpreter_of,
    make_environment,
    wanted_packages,
)
from brainscore_submission.checking.layout import Plugin
from brainscore_submission.checking.sandbox import Sandbox
from brainscore_submission.plugin.errors import UserError


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


def test_requirements_that_cannot_be_installed_are_a_user_error(tmp_path):
    absent = f"absent @ file://{tmp_path}/absent-1.0-py3-none-any.whl"
    with pytest.raises(UserError, match="cannot be installed beside Brain-Score"):
        make_environment([absent], cache=tmp_path)
    assert not list(tmp_path.rglob(COMPLETE)), "a failed environment would be taken for a made one"


def test_build_scripts_of_requirements_get_no_credentials(tmp_path, monkeypatch):
    """pip runs them: a source package whose build backend writes down the environment it sees."""
    source, seen = tmp_path / "source", tmp_path / "seen.json"
    source.mkdir()
    spy = f"import json, os; open({str(seen)!r}, 'w').write(json.dumps(dict(os.environ))); raise SystemExit('no build')"
    (source / "backend.py").write_text(spy)
    (source / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:password@127.0.0.1:9/simple")
    with pytest.raises(UserError, match="cannot be installed"):
        make_environment([f"spy @ file://{source}"], cache=tmp_path / "cache")
    found = json.loads(seen.read_text())
    assert "secret" not in found.values()
    assert found["PIP_INDEX_URL"] == "http://user:password@127.0.0.1:9/simple"


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
