"""Imports go one way: evaluate.py -> analysis -> brainscore_submission -> brainscore_submission.plugin."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "brainscore_submission"
ENGINE = ("recording", "requests", "gram", "pls", "feature_stores")


def imports_of(path):
    """Absolute names of everything a file imports, relative imports resolved."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join((*base, *([node.module] if node.module else [])))


def python_files(folder):
    return sorted(path for path in folder.rglob("*.py"))


@pytest.mark.parametrize("path", python_files(PACKAGE / "plugin"), ids=lambda path: path.name)
def test_the_plugin_imports_nothing_of_ours_outside_itself(path):
    for name in imports_of(path):
        ours = name.split(".")[0] in ("brainscore_submission", "analysis", "evaluate", "bench")
        assert not ours or name.startswith("brainscore_submission.plugin"), f"{path.name} imports {name}"
        assert "from brainscore_submission" not in path.read_text(), "relative imports only: the folder is copied"


@pytest.mark.parametrize("path", python_files(PACKAGE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_package_never_imports_analysis(path):
    assert not [name for name in imports_of(path) if name.split(".")[0] in ("analysis", "evaluate", "bench")]


@pytest.mark.parametrize("module", ENGINE)
def test_the_engine_imports_where_brainscore_is_not_installed(module):
    code = (
        f"import sys; import brainscore_submission.{module}\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(' '.join(sorted(loaded & {'brainscore_vision', 'brainscore_core', 'xarray', 'pandas', 'sklearn'})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == ""


def test_importing_does_nothing_visible(tmp_path):
    code = "import brainscore_submission, brainscore_submission.cli, brainscore_submission.plugin"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == done.stderr == ""
