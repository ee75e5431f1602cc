"""A fresh process in which Brain-Score finds an extracted plugin, with the installed Brain-Score untouched.

`Sandbox` lays a folder ``brainscore_vision`` before the installed one on the path: links to everything installed,
a copy of what resolves its own location, and the plugin in ``models/``, where the server would put it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

from ..plugin.errors import UserError
from .processes import Finished, run_group, without_credentials

WORKER = Path(__file__).with_name("worker.py")
PACKAGE = "brainscore_vision"
COPIED = ("__init__.py", "model_helpers")  # these look for models/ beside their own, resolved, location
GENERIC_TESTS = "model_helpers/generic_plugin_tests.py"
# The wheel leaves out the three images the generic tests show.
RESOURCES = "model_helpers/generic_plugin_tests_resources"
RESOURCE_COLORS = {"rgb1.jpg": (200, 60, 40), "rgb2.jpg": (40, 180, 90), "rgb3.png": (60, 80, 210)}
PYTEST_MARKERS = "not slow and not requires_gpu and not private_access"


class Sandbox:
    """A folder with an overlaid Brain-Score, and processes that run in it.

    Parameters
    ----------
    folder : an empty folder; everything is written below it
    python : interpreter of the environment to run in; default this one
    threads : for the numeric libraries; None leaves them to choose
    """

    def __init__(self, folder: Path, python: str | Path = sys.executable, threads: int | None = None):
        self.folder = folder.resolve()
        self.python = str(python)
        self.threads = threads
        self.library = self.folder / "overlay" / PACKAGE
        for name in ("overlay", "absent", "project", "run", "cache", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._overlay(self._installed())
        blocked = self.folder / "absent" / "brainscore_submission.py"
        blocked.write_text("raise ImportError('brainscore_submission is not installed on the server')\n")
        (self.folder / "project" / "brainscore_submission").symlink_to(Path(__file__).parents[1])

    def place(self, plugin: Path) -> Path:
        """Copy an extracted plugin folder to where Brain-Score looks for models."""
        target = self.library / "models" / plugin.name
        shutil.copytree(plugin, target)
        return target

    def work(self, task: str, report: Path, folder: str, identifier: str, timeout: float) -> Finished:
        """Run one task of the worker; only the task "score" may import this project."""
        command = [self.python, str(WORKER), task, str(report), folder, identifier]
        return self.run(command, timeout, project=task == "score")

    def pytest(self, target: Path, report: Path, timeout: float, *options: str) -> Finished:
        """Run pytest on one file as Brain-Score's test script does, writing JUnit XML."""
        command = [self.python, "-m", "pytest", str(target), "-m", PYTEST_MARKERS, "-p", "no:cacheprovider"]
        command += ["-c", str(self._pytest_ini()), "--rootdir", str(self.folder), "--junitxml", str(report)]
        return self.run([*command, *options], timeout)

    def run(self, command: list[str], timeout: float, project: bool = False) -> Finished:
        """Run a command in the sandbox's environment; a process that runs out of time is ended with its children."""
        return run_group(command, self._environment(project), timeout, self.folder / "run")

    def _installed(self) -> Path:
        script = f"import importlib.util as i; spec = i.find_spec({PACKAGE!r}); print(spec.origin if spec else '')"
        command = [self.python, "-P", "-c", script]
        kept = without_credentials(os.environ)  # what is installed may run code at the start of Python
        found = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=kept)
        if not found.stdout.strip():
            raise UserError(
                f"{self.python} has no Brain-Score. Install it there: pip install 'brainscore-vision[test]'"
            )
        return Path(found.stdout.strip()).parent

    def _overlay(self, installed: Path) -> None:
        self.library.mkdir()
        for item in installed.iterdir():
            target = self.library / item.name
            if item.name in COPIED:
                copy = shutil.copytree if item.is_dir() else shutil.copy
                copy(item, target)
            elif item.name == "models":
                target.mkdir()
                for model in item.iterdir():
                    (target / model.name).symlink_to(model)
            elif item.name != "__pycache__":
                target.symlink_to(item)
        resources = self.library / RESOURCES
        resources.mkdir(exist_ok=True)
        for name, color in RESOURCE_COLORS.items():
            if not (resources / name).exists():
                Image.new("RGB", (64, 64), color).save(resources / name)

    def _pytest_ini(self) -> Path:
        markers = ("slow", "travis_slow", "memory_intense", "requires_gpu", "private_access")
        ini = self.folder / "pytest.ini"
        ini.write_text("[pytest]\nmarkers =\n" + "".join(f"    {marker}\n" for marker in markers))
        return ini

    def _environment(self, project: bool) -> dict[str, str]:
        """The user's environment less GPU, caches of results and the credentials `without_credentials` knows."""
        dropped = ("PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "PYTEST_ADDOPTS")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        threads = {} if self.threads is None else dict.fromkeys(THREADS, str(self.threads))
        path = [self.folder / "overlay", self.folder / ("project" if project else "absent")]
        return (
            without_credentials(kept)
            | threads
            | {
                "PYTHONPATH": os.pathsep.join(map(str, path)),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONNOUSERSITE": "1",
                "PYTHONSAFEPATH": "1",
                "BS_INSTALL_DEPENDENCIES": "no",
                "BRAINSCORE_SKIP_MEMORY_CHECK": "1",
                "RESULTCACHING_HOME": str(self.folder / "cache"),
                "TMPDIR": str(self.folder / "tmp"),
                "CUDA_VISIBLE_DEVICES": "",
                "TQDM_DISABLE": "1",
            }
        )


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
