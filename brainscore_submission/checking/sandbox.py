"""Fresh processes in which Brain-Score finds an extracted plugin, with the installed Brain-Score untouched.

`Sandbox` lays a folder ``brainscore_vision`` before the installed one on the path: links to everything installed,
a copy of what resolves its own location, and the plugin in ``models/``, where the server would put it. The plugin runs
in one, behind the wall where there is one; its judge, which runs no code of it, has another of its own.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from ..plugin.errors import UserError
from ..plugin.fetching import MIRROR_VARIABLE
from .processes import Finished, environment_of, run_group
from .wall import folders_of, walled

HERE = Path(__file__).parent
WORKER, JUDGE = HERE / "worker.py", HERE / "judge.py"
PACKAGE = "brainscore_vision"
COPIED = ("__init__.py", "model_helpers")  # these look for models/ beside their own, resolved, location
GENERIC_TESTS = "model_helpers/generic_plugin_tests.py"
# The wheel leaves out the three images the generic tests show.
RESOURCES = "model_helpers/generic_plugin_tests_resources"
RESOURCE_COLORS = {"rgb1.jpg": (200, 60, 40), "rgb2.jpg": (40, 180, 90), "rgb3.png": (60, 80, 210)}
PYTEST_MARKERS = "not slow and not requires_gpu and not private_access"
WRITABLE = ("home", "run", "cache", "tmp", "out")  # to the plugin, besides its own folder


class Sandbox:
    """A folder with an overlaid Brain-Score, and processes that run in it.

    Parameters
    ----------
    folder : an empty folder; everything is written below it
    python : interpreter of the environment to run in; default this one
    threads : for the numeric libraries; None leaves them to choose
    wall : whether what runs here runs behind the wall
    network : whether it may use the network then
    weights : name -> file; a plugin made by this project finds them as if it had fetched them
    """

    def __init__(
        self,
        folder: Path,
        python: str | Path = sys.executable,
        threads: int | None = None,
        *,
        wall: bool = False,
        network: bool = False,
        weights: Mapping[str, Path] | None = None,
    ):
        self.folder = folder.resolve()
        self.python = str(python)
        self.threads = threads
        self.wall, self.network = wall, network
        self.library = self.folder / "overlay" / PACKAGE
        for name in ("overlay", "absent", "project", "weights", *WRITABLE):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.weights = {name: file.resolve() for name, file in (weights or {}).items()}
        for name, file in self.weights.items():
            (self.folder / "weights" / name).symlink_to(file)
        self.installed = self._installed()
        self._overlay(self.installed)
        self.placed: Path | None = None
        blocked = self.folder / "absent" / "brainscore_submission.py"
        blocked.write_text("raise ImportError('brainscore_submission is not installed on the server')\n")
        (self.folder / "project" / "brainscore_submission").symlink_to(HERE.parent)

    def place(self, plugin: Path) -> Path:
        """Copy an extracted plugin folder to where Brain-Score looks for models, in place of what lies there."""
        self.placed = self.library / "models" / plugin.name
        if self.placed.exists():
            shutil.rmtree(self.placed)
        shutil.copytree(plugin, self.placed)
        return self.placed

    def command(self, command: list[str], project: bool = False) -> list[str]:
        """The command as it runs here: behind the wall, if there is one."""
        if not self.wall:
            return command
        read = [*folders_of(self.python, self.environment()), self.installed, self.folder, WORKER]
        read += self.weights.values()
        write = [self.folder / name for name in WRITABLE] + ([self.placed] if self.placed else [])
        return walled(command, read + ([HERE.parent] if project else []), write, self.network)

    def run(self, command: list[str], timeout: float, project: bool = False, given: bytes = b"") -> Finished:
        """Run a command in the sandbox's environment; a process that runs out of time is ended with its children."""
        walled_command = self.command(command, project)
        return run_group(walled_command, self.environment(project), timeout, self.folder / "run", given)

    def answering(self, identifier: str) -> dict[str, object]:
        """How the judge starts the process of the placed plugin."""
        command = [self.python, str(WORKER), "answer", identifier, self.placed.name]
        return {
            "command": self.command(command),
            "environment": self.environment(),
            "folder": str(self.folder / "run"),
        }

    def score(self, identifier: str, report: Path, timeout: float) -> Finished:
        """Score the placed plugin on the demo suite: the one task that may import this project."""
        return self.run([self.python, str(WORKER), "score", identifier, str(report)], timeout, project=True)

    def pytest(self, target: Path, report: Path, timeout: float) -> Finished:
        """Run pytest on one file as Brain-Score's test script does, writing JUnit XML."""
        return self.run([self.python, "-m", "pytest", *self.pytest_options(target, report)], timeout)

    def pytest_options(self, target: Path, report: Path) -> list[str]:
        markers = ("slow", "travis_slow", "memory_intense", "requires_gpu", "private_access")
        ini = self.folder / "pytest.ini"
        ini.write_text("[pytest]\nmarkers =\n" + "".join(f"    {marker}\n" for marker in markers))
        options = [str(target), "-m", PYTEST_MARKERS, "-p", "no:cacheprovider", "-c", str(ini)]
        return [*options, "--rootdir", str(self.folder), "--junitxml", str(report)]

    def environment(self, project: bool = False) -> dict[str, str]:
        """What a process here sees: the little of `environment_of`, an empty home, and no GPU."""
        threads = {} if self.threads is None else dict.fromkeys(THREADS, str(self.threads))
        path = [self.folder / "overlay", self.folder / ("project" if project else "absent")]
        return (
            environment_of(os.environ)
            | threads
            | ({MIRROR_VARIABLE: str(self.folder / "weights")} if self.weights else {})
            | {
                "PYTHONPATH": os.pathsep.join(map(str, path)),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONNOUSERSITE": "1",
                "PYTHONSAFEPATH": "1",
                "BS_INSTALL_DEPENDENCIES": "no",
                "BRAINSCORE_SKIP_MEMORY_CHECK": "1",
                "RESULTCACHING_HOME": str(self.folder / "cache"),
                "HOME": str(self.folder / "home"),
                "TMPDIR": str(self.folder / "tmp"),
                "CUDA_VISIBLE_DEVICES": "",
                "TQDM_DISABLE": "1",
            }
        )

    def _installed(self) -> Path:
        script = f"import importlib.util as i; spec = i.find_spec({PACKAGE!r}); print(spec.origin if spec else '')"
        command = [self.python, "-P", "-c", script]
        kept = environment_of(os.environ)  # what is installed may run code at the start of Python
        try:
            found = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=kept)
        except OSError as error:
            raise UserError(f"{self.python} does not run: {error.strerror}. Name another environment.") from error
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


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
