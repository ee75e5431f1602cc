"""A fresh virtual environment with what the plugin declares and Brain-Score's own test tools, nothing else.

Made once per set of requirements and kept in the user's cache folder: torch alone is several gigabytes. pip runs the
build scripts of what it installs, so it gets no more of the user's environment than the plugin (`without_credentials`).
"""

import hashlib
import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..plugin.errors import UserError
from ..plugin.fetching import cache_folder
from ..plugin.files import write_whole
from .layout import Plugin
from .processes import run_group, without_credentials
from .sources import BASE, requirement_lines, requirements

# Held at the versions of this machine, so that scores can be compared to the last digit.
HELD = ("brainscore-core", "brainscore-vision", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn")
HELD += ("pandas", "xarray", "pillow")
COMPLETE = "complete.json"


def wanted_packages(plugin: Plugin) -> list[str]:
    """What is installed: Brain-Score with its test tools, then the plugin's requirements."""
    return [BASE, *requirement_lines(plugin)]


def held_versions(plugin: Plugin) -> list[str]:
    """Constraints ``name==version`` of this machine, without those the plugin's own requirements rule out."""
    asked = {canonicalize_name(requirement.name): requirement for requirement in requirements(plugin)}
    lines = []
    for name in HELD:
        try:
            version = importlib.metadata.version(name).split("+")[0]  # a local build such as +cpu is on no registry
        except importlib.metadata.PackageNotFoundError:
            continue
        requirement = asked.get(name, Requirement(name))
        if requirement.specifier.contains(version, prereleases=True):
            lines.append(f"{name}=={version}")
    return lines


def make_environment(
    packages: Iterable[str],
    constraints: Iterable[str] = (),
    *,
    cache: Path | None = None,
    timeout: float = 3600,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Make, or find again, an environment with these packages.

    Parameters
    ----------
    packages, constraints : lines as in requirements.txt
    cache : folder that keeps environments; default in the user's cache folder
    timeout : seconds that pip may take

    Returns
    -------
    its Python interpreter

    Raises
    ------
    UserError
        the packages cannot be installed together, or not in time
    """
    packages, constraints = list(packages), list(constraints)
    folder = (cache or cache_folder() / "environments") / _key(packages, constraints)
    python = folder / "bin" / "python"
    if (folder / COMPLETE).is_file():
        return python
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
    _say(progress, f"making a fresh environment with {len(packages)} requirements (minutes, several GB)")
    _run([sys.executable, "-m", "venv", str(folder)], timeout, "no virtual environment can be made")
    if packages:
        _install(python, packages, constraints, folder, timeout)
    made_of = {"packages": packages, "constraints": constraints, "python": sys.version}
    write_whole(folder / COMPLETE, json.dumps(made_of, indent=2).encode())
    return python


def interpreter_of(environment: Path) -> Path:
    """The interpreter of an environment folder that the user names."""
    for candidate in ("bin/python", "Scripts/python.exe"):
        if (environment / candidate).is_file():
            return (environment / candidate).absolute()
    raise UserError(
        f"{environment} is no virtual environment: it has no bin/python. Make one: python -m venv {environment}"
    )


def _key(packages: list[str], constraints: list[str]) -> str:
    facts = [sys.version, packages, constraints]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _install(python: Path, packages: list[str], constraints: list[str], folder: Path, timeout: float) -> None:
    (folder / "requirements.txt").write_text("\n".join(packages) + "\n")
    (folder / "constraints.txt").write_text("\n".join(constraints) + "\n")
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["-r", str(folder / "requirements.txt"), "-c", str(folder / "constraints.txt")]
    _run(command, timeout, "the plugin's requirements cannot be installed beside Brain-Score")


def _run(command: list[str], timeout: float, what: str) -> None:
    ended = run_group(command, without_credentials(os.environ), timeout)
    if ended.code is None:
        raise UserError(f"{what}: not done after {timeout:.0f} s.")
    if ended.code != 0:
        errors = [line for line in ended.output.splitlines() if "ERROR" in line] or ended.output.splitlines()
        raise UserError(f"{what}: {' '.join(errors[-2:])[:500]}")


def _say(progress: Callable[[str], None] | None, message: str) -> None:
    if progress is not None:
        progress(message)
