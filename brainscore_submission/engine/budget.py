"""How much memory and disk recorded features may take while they wait."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from .devices import free_memory


@dataclass(frozen=True)
class Budget:
    """How much recorded features may take while they wait.

    Parameters
    ----------
    memory_bytes : of the host, or of the GPU when recording there
    disk_bytes : in `scratch`; 0 keeps everything in memory, and nothing survives a kill
    scratch : folder for the files
    """

    memory_bytes: int
    disk_bytes: int
    scratch: Path | None

    @classmethod
    def default(cls, scratch: Path | None, device: str = "cpu") -> Budget:
        """Half of what is free."""
        disk = 0 if scratch is None else shutil.disk_usage(_existing(scratch)).free
        return cls(free_memory(device) // 2, disk // 2, scratch)


def _existing(folder: Path) -> Path:
    folder = Path(folder).absolute()
    return next(parent for parent in (folder, *folder.parents) if parent.exists())
