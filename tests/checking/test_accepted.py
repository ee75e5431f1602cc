"""What Brain-Score's own loader takes is not refused here: one made plugin for each way of writing one."""

import os
import subprocess
import sys
import zipfile

import pytest
from checking.made_plugins import FORMAT_2022, HYPHEN, MADE, zipped

from brainscore_submission.checking import check
from brainscore_submission.checking.archive import extract, read_archive
from brainscore_submission.checking.sandbox import Sandbox

LOAD = """
import sys
import brainscore_vision
for identifier in sys.argv[1:]:
    model = brainscore_vision.load_model(identifier)
    model.start_recording("IT", time_bins=[(70, 170)])
    print("LOADED", model.identifier)
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The identifiers of all made plugins that `brainscore_vision.load_model` gives a recording model for."""
    folder = tmp_path_factory.mktemp("made")
    sandbox = Sandbox(folder / "run")
    kinds = {**MADE, "hyphen": HYPHEN}
    for name, files in kinds.values():
        archive, _ = read_archive(zipped(folder / f"{name}.zip", name.replace("-", "_"), files))
        extract(archive, folder / name)
        sandbox.place(folder / name / "root" / "models" / name.replace("-", "_"))
    found = {"PATH": os.environ["PATH"], "PYTHONPATH": str(sandbox.folder / "overlay"), "BS_INSTALL_DEPENDENCIES": "no"}
    command = [sys.executable, "-P", "-W", "ignore", "-c", LOAD, *(name for name, _ in kinds.values())]
    done = subprocess.run(command, env=found | {"HOME": str(folder)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("LOADED")}


@pytest.mark.parametrize("kind", MADE)
def test_what_brainscore_loads_is_not_refused(kind, loaded, tmp_path):
    name, files = MADE[kind]
    assert name in loaded
    verdict = check(zipped(tmp_path / "made.zip", name, files), execute=False)
    assert verdict.failures == ()
    assert "imports" not in {finding.rule for finding in verdict.of("advice")}
    assert verdict.identifiers == (name,)


def test_a_hyphen_in_double_quotes_is_one_finding(loaded, tmp_path):
    name, files = HYPHEN
    assert name in loaded
    verdict = check(zipped(tmp_path / "made.zip", "made_hyphen", files), execute=False)
    (finding,) = verdict.failures
    assert "hyphen" in finding.message and "double quotes" in finding.message
    assert "'made_hyphen'" in finding.remedy and "single quotes" in finding.remedy
    assert not [advised for advised in verdict.of("advice") if "quotes" in advised.message]


def test_the_2022_format_is_one_finding_that_says_what_takes_its_place(tmp_path):
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        for name, text in FORMAT_2022.items():
            archive.writestr(name, text)
    (finding,) = check(tmp_path / "old.zip").failures
    assert "2022" in finding.message
    assert "root/models/<name>/" in finding.remedy and "large-file upload" in finding.remedy
