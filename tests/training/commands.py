"""The command line in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def environment():
    """Of a process that trains: one thread, this checkout."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def command(*arguments):
    """The command line as a list."""
    return [sys.executable, "-m", "brainscore_submission", "train", *map(str, arguments)]


def ran(*arguments, **options):
    """Run the command itself in a process of its own, to its end."""
    return subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, timeout=300, **options
    )  # fmt: skip
