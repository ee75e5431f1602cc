"""The machine in plain words. Standard library only."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path

_PACKAGES = ("brainscore_vision", "torch", "timm", "numpy", "scipy", "scikit-learn", "xarray")


def describe() -> dict[str, object]:
    """Cores, memory, system and versions; never a name or a path."""
    return {
        "cores": cores(),
        "processor": _processor(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES if _installed(name)},
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_words(machine: dict, threads: int, gpu: str | None) -> str:
    """One paragraph of Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    processor = f" ({machine['processor']})" if machine["processor"] else ""
    return (
        f"Machine: {machine['cores']} cores{processor}, {machine['memory_bytes'] / 2**30:.0f} GiB memory, "
        f"{gpu or 'no GPU'}; {threads} threads; {machine['system']}, Python {machine['python']}, {versions}."
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
