"""The room loads where Brain-Score is not installed, and needs torch and the standard library."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    *(ROOT / "brainscore_submission/attacks").glob("*.py"),
    *(ROOT / "brainscore_submission/robustness").glob("*.py"),
]
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES if path.stem != "__init__")
FOREIGN = "brainscore_vision brainscore_core xarray pandas sklearn torchvision timm pyautoattack foolbox"


def test_every_file_loads_where_importing_brainscore_raises(tmp_path):
    (tmp_path / "brainscore_vision.py").write_text("raise ImportError('not here')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        + "".join(f"import {module}\n" for module in MODULES)
        + f"print(sorted(set({FOREIGN.split()!r}) & {{name.split('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]" and done.stderr == ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_gradient_is_asked_for_in_one_place(path):
    text = path.read_text()
    assert ("autograd.grad(" in text) == (path.name == "gradients.py") and ".backward(" not in text
