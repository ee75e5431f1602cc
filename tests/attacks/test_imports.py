"""Both rooms load where Brain-Score is not installed; that of attacks needs torch and the standard library alone."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "brainscore_submission"
FOREIGN = {"brainscore_vision", "brainscore_core", "xarray", "pandas", "sklearn", "timm", "pyautoattack", "foolbox"}


@pytest.mark.parametrize(
    ("room", "foreign"),
    [("attacks", FOREIGN | {"torchvision", "scipy", "PIL"}), ("robustness", FOREIGN - {"timm", "pandas"})],
)
def test_every_file_loads_where_importing_brainscore_raises(tmp_path, room, foreign):
    (tmp_path / "brainscore_vision.py").write_text("raise ImportError('not here')")
    names = [f"brainscore_submission.{room}.{path.stem}" for path in sorted((PACKAGE / room).glob("[a-z]*.py"))]
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        + "".join(f"import {name}\n" for name in names)
        + f"print(sorted({foreign!r} & {{name.split('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert len(names) > 3 and done.stdout.strip() == "[]" and done.stderr == ""


def test_the_gradient_is_asked_for_in_one_place():
    texts = {path.name: path.read_text() for path in (PACKAGE / "attacks").glob("*.py")}
    assert [name for name, text in texts.items() if "autograd.grad(" in text] == ["gradients.py"]
    assert not [name for name, text in texts.items() if ".backward(" in text]
