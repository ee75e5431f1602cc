"""Stand-ins for Brain-Score's stored data, importable by the tests of this folder."""

import os
import sys
from pathlib import Path

import pytest

# The name `tests` is taken by a package that Brain-Score installs, so the stand-ins are found by their own.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def stand_in_pictures(tmp_path_factory) -> Path:
    """The folder of the stand-ins' pictures, written once for all tests and all workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "stand-in-pictures"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def stand_ins(stand_in_pictures, monkeypatch):
    """For one test, whatever loads a benchmark's data through Brain-Score gets its stand-in, and nothing is cached."""
    import stand_ins

    monkeypatch.setenv("RESULTCACHING_DISABLE", "1")
    with stand_ins.installed(stand_in_pictures):
        yield stand_ins
