"""`--help` waits for nothing: no command of `analysis` loads tables, figures or networks to explain itself."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(path.stem for path in (ROOT / "analysis").glob("*.py") if "__main__" in path.read_text())
SLOW = ("pandas", "matplotlib", "scipy.stats", "torch", "timm", "brainscore_vision", "xarray")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_nothing_slow(command):
    program = (
        "import atexit, runpy, sys\n"
        f"atexit.register(lambda: print([name for name in {SLOW} if name in sys.modules], file=sys.stderr))\n"
        f"sys.argv = ['{command}', '--help']\n"
        f"runpy.run_module('analysis.{command}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "[]")
    assert "xample" in done.stdout
