"""A fresh virtual environment with what the plugin declares and Brain-Score's own test tools, nothing else.

Made once per set of requirements, verified each time, and kept in the user's cache folder: torch alone is several
gigabytes. pip runs the build scripts of what it installs, so it runs behind the wall where there is one, with the
network, and sees little of the user's environment (`environment_of_pip`).
"""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..plugin.errors import UserError
from ..plugin.fetching import cache_folder
from ..plugin.files import write_whole
from .layout import Plugin
from .processes import environment_of, environment_of_pip, run_group
from .sources import BASE, requirement_lines, requirements
from .wall import folders_of, walled, why_no_wall

# Held at the versions of this machine, so that scores can be compared to the last digit.
HELD = ("brainscore-core", "brainscore-vision", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn")
HELD += ("pandas", "xarray", "pillow")
COMPLETE = "complete.json"
# What pip says where this machine's connection or disk is at fault; without it, a name that is not found is not there.
MACHINE = re.compile(
    r"NewConnectionError|Failed to establish a new connection|name resolution|Name or service not known"
    r"|Network is unreachable|ConnectTimeoutError|ReadTimeout|ConnectionResetError|RemoteDisconnected|Connection broken"
    r"|ProxyError|SSLError|No space left on device|Disk quota exceeded|Read-only file system|Permission denied"
)
PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf", "~/.netrc")


class MachineFault(UserError):
    """An environment cannot be made here, which says nothing of what was to be installed."""


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
    plugin: Path | None = None,
    cache: Path | None = None,
    timeout: float = 3600,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Make, or find again, an environment with these packages.

    Of several checks at once that want the same one, one makes it and the others wait.

    Parameters
    ----------
    packages, constraints : lines as in requirements.txt
    plugin : a folder with a setup.py, installed before them as Brain-Score's test script does
    cache : folder that keeps environments; default in the user's cache folder
    timeout : seconds that pip may take

    Returns
    -------
    its Python interpreter

    Raises
    ------
    MachineFault
        no connection, a full disk, too little time: nothing is known of the packages
    UserError
        the packages cannot be installed together
    """
    packages, constraints = list(packages), list(constraints)
    key = _key(packages, constraints, plugin)
    kept = cache or cache_folder() / "environments"
    folder = kept / key
    python = folder / "bin" / "python"
    try:
        kept.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if _is_sound(folder):
                return python
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left, or whose Python is gone
            if progress is not None:
                progress(f"making a fresh environment with {len(packages)} requirements (minutes, several GB)")
            _make(folder)
            if packages or plugin:
                _install(python, packages, constraints, plugin, folder, timeout)
            facts = {
                "packages": packages,
                "constraints": constraints,
                "python": sys.version,
                "installed": _found(python),
            }
            write_whole(folder / COMPLETE, json.dumps(facts, indent=2).encode())
    except OSError as error:
        raise MachineFault(f"no environment can be made in {kept}: {error.strerror or error}.") from error
    return python


def interpreter_of(environment: Path) -> Path:
    """The interpreter of an environment folder that the user names."""
    for candidate in ("bin/python", "Scripts/python.exe"):
        if (environment / candidate).is_file():
            return (environment / candidate).absolute()
        if (environment / candidate).is_symlink():
            gone = os.path.realpath(environment / candidate)
            raise UserError(f"the Python of {environment} is gone ({gone}). Make the environment again.")
    raise UserError(
        f"{environment} is no virtual environment: it has no bin/python. Make one: python -m venv {environment}"
    )


def _key(packages: list[str], constraints: list[str], plugin: Path | None) -> str:
    setup = (plugin / "setup.py").read_text(errors="replace") if plugin else None
    facts = [sys.version, packages, constraints] + ([setup] if setup else [])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _is_sound(folder: Path) -> bool:
    """Whether an environment is whole: made to its end, its Python runs, and what was installed is still there."""
    try:
        facts = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and _found(folder / "bin" / "python") == facts.get("installed")


def _found(python: Path) -> list[str] | None:
    """What an environment holds, in order; None where its Python does not run."""
    script = "import importlib.metadata as m; print(*sorted({f'{d.name}=={d.version}' for d in m.distributions()}))"
    try:
        asked = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, env={}, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return asked.stdout.split()


def _make(folder: Path) -> None:
    ended = run_group([sys.executable, "-m", "venv", str(folder)], environment_of(os.environ), 600)
    if ended.code != 0:
        raise MachineFault(f"no virtual environment can be made with {sys.executable}: {ended.reason}")


def _install(
    python: Path, packages: list[str], constraints: list[str], plugin: Path | None, folder: Path, timeout: float
) -> None:
    write_whole(folder / "requirements.txt", ("\n".join(packages) + "\n").encode())
    write_whole(folder / "constraints.txt", ("\n".join(constraints) + "\n").encode())
    command = [str(python), "-m", "pip", "install", "--quiet", "--retries", "2", "-c", str(folder / "constraints.txt")]
    if plugin:
        _pip([*command, str(shutil.copytree(plugin, folder / "plugin"))], folder, timeout)  # building writes into it
    if packages:
        _pip([*command, "-r", str(folder / "requirements.txt")], folder, timeout)
    if packages and BASE in packages and "brainscore" not in "".join(_found(python) or []):
        raise MachineFault(f"pip installed elsewhere than into {folder}. Look for target, prefix or user in pip.conf.")


def _pip(command: list[str], folder: Path, timeout: float) -> None:
    environment = environment_of_pip(os.environ)
    if why_no_wall() is None:
        kept = folder.parent / "pip"  # not the user's: what a build script leaves there is used by later checks alone
        kept.mkdir(exist_ok=True)
        environment["PIP_CACHE_DIR"] = str(kept)
        read = [*folders_of(command[0], environment_of(os.environ)), *map(os.path.expanduser, PIP_FILES)]
        read += _local_places(environment)
        command = walled(command, read, [folder, kept], network=True)
    ended = run_group(command, environment, timeout)
    fault = MACHINE.search(ended.output)
    if ended.code is None or ended.code < 0 or (ended.code and fault):
        why = ended.limit or (fault[0] if fault else ended.reason)
        raise MachineFault(f"the plugin's requirements could not be installed here: {why}")
    if ended.code != 0:
        errors = [line for line in ended.output.splitlines() if "ERROR" in line] or ended.output.splitlines()
        what = "the plugin's requirements cannot be installed beside Brain-Score"
        raise UserError(f"{what}: {' '.join(errors[-2:])[:500]}")


def _local_places(environment: dict[str, str]) -> list[str]:
    """Files and folders of this machine that pip's settings name: certificates, and packages."""
    files = [Path(path).expanduser() for path in PIP_FILES if "pip" in path]
    texts = [path.read_text(errors="replace") for path in files if path.is_file()]
    texts += [value for name, value in environment.items() if name.startswith("PIP_")]
    return re.findall(r"(?:file://|(?<![\w:/]))(/[^\s/]\S*)", "\n".join(texts))
