"""The wall around processes that run other people's code: bubblewrap, where it is installed and can make one.

Behind it a process sees the system, its interpreter and the folders it is given, and nothing else: no network unless it
is granted, no home folder, no other process, no terminal, no privileges. What it does not bound is in `processes`.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PROGRAM = "bwrap"
# What programs need of a system, read-only; what is not there is passed over.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store", "/sys/devices/system/cpu")
SYSTEM += ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/ssl", "/etc/pki")
SYSTEM += ("/etc/ca-certificates", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/localtime")
SYSTEM += ("/etc/passwd", "/etc/group", "/etc/mime.types", "/etc/fonts")
HOW_TO = "Install bubblewrap (Debian, Ubuntu, Fedora: the package 'bubblewrap') to run it behind a wall."


def walled(
    command: list[str], read: Iterable[str | Path] = (), write: Iterable[str | Path] = (), network: bool = False
) -> list[str]:
    """The command that runs a command behind the wall.

    Parameters
    ----------
    command : program and arguments
    read, write : files and folders it may read, or change, besides the system
    network : whether it may use the network
    """
    wall = [PROGRAM, "--unshare-all", *(["--share-net"] if network else []), "--die-with-parent", "--new-session"]
    wall += ["--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for path in (*SYSTEM, *map(str, read)):
        wall += ["--ro-bind-try", path, path]
    for path in map(str, write):
        wall += ["--bind", path, path]
    return [*wall, "--remount-ro", "/", "--", *command]


@cache
def why_no_wall() -> str | None:
    """Why no process can be walled on this machine, found by trying; None where it can."""
    if shutil.which(PROGRAM) is None:
        return "bubblewrap is not installed"
    # In a container it may be installed and not allowed to make the namespaces it needs.
    tried = subprocess.run(
        walled(["/bin/sh", "-c", "exit 0"]), capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
    )
    said = tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"]
    return f"bubblewrap is installed, and cannot make a wall here ({said[-1][:200]})" if tried.returncode else None


def folders_of(python: str | Path, environment: dict[str, str]) -> list[str]:
    """Where an interpreter and the packages it finds lie: all that has to be read to run it.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        it does not run
    """
    script = "import sys; print(*{sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path}, sep='\\0', end='')"
    asked = subprocess.run(
        [str(python), "-P", "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    named = [str(Path(python).parent), *asked.stdout.split("\0")]
    real = [os.path.realpath(path) for path in (*named, str(python))]
    return sorted({path for path in (*named, *real) if path and path != os.sep and Path(path).exists()})
