"""A process for each measurement, one after the other, on inputs that are written once; and the machine in words.

Standard library only, and `python -m bench.processes` is the child. A child's peak memory counts from what its parent
held when it was started, so the parent must stay small.
"""

import functools
import hashlib
import importlib
import json
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.files import write_whole

ROOT = Path(__file__).parent.parent
PACKAGES = ("brainscore_vision", "torch", "timm", "numpy", "scipy", "scikit-learn", "xarray")


def machine() -> dict[str, Any]:
    """Cores, memory, system and versions; never a name or a path."""
    cpuinfo = Path("/proc/cpuinfo")
    processor = cpuinfo.exists() and re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
    installed = {name: [found.version for found in metadata.distributions(name=name)] for name in PACKAGES}
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": processor[1].strip() if processor else platform.machine(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "python": platform.python_version(),
        "versions": {name: versions[0] for name, versions in installed.items() if versions},
    }


def in_words(machine: dict[str, Any], gpu: str | None = None, threads: int | None = None) -> str:
    """One paragraph of Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Machine: {machine['cores']} cores ({machine['processor']}), {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"{gpu or 'no GPU'}; {threads or machine['cores']} threads; Python {machine['python']}, {versions}."
    )


def tell(text: str) -> None:
    """Say what is being done, on standard error."""
    print(text, file=sys.stderr, flush=True)


def errors_in_a_line(main: Callable[..., int]) -> Callable[..., int]:
    """A command that says what its user can mend in a line, and ends with 1."""

    @functools.wraps(main)
    def told(*arguments: Any) -> int:
        try:
            return main(*arguments)
        except UserError as error:
            tell(f"error: {error}")
            return 1

    return told


class Workshop:
    """Runs jobs, ``function(inputs, scratch, **arguments) -> dict`` of this package, and keeps what they measured.

    Parameters
    ----------
    folder : for inputs and scratch files; several times the size of the activations
    threads, device : that jobs may use; "auto", "cpu" or "cuda[:i]"
    kept : file with earlier measurements of this machine, which are not made again; written after each; or None
    """

    def __init__(self, folder: Path, threads: int, device: str, kept: Path | None = None):
        self.folder, self.threads, self.device = folder, threads, device
        self._kept_path = kept
        self._kept = {"machine": machine(), "measurements": {}}
        if kept is not None and kept.exists():
            self._kept = json.loads(kept.read_text())
            if self._kept["machine"] != machine():
                raise UserError(f"{kept} was measured on another machine or with other versions. Name a new file.")

    def run(
        self, job: str, what: str, writer: str | None = None, home: Path | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Make one measurement: by a job ``module.function``, of what a `writer` writes for the argument `size`.

        Caches lie in `home` and stay there; without one the process starts with empty ones.

        Returns what the job returned, with `import_seconds`, `import_bytes` and `peak_bytes`; or `failed`, the reason,
        where it ran out of memory.
        """
        key = json.dumps([job, arguments, self.threads, self.device], sort_keys=True)
        if key not in self._kept["measurements"]:
            inputs = writer and self._inputs(writer, arguments["size"])
            tell(what)
            self._kept["measurements"][key] = self._child(job, inputs, arguments, home)
            if self._kept_path is not None:
                write_whole(self._kept_path, json.dumps(self._kept, indent=1).encode(), "--keep")
        return self._kept["measurements"][key]

    def _inputs(self, writer: str, size: dict) -> Path:
        folder = self.folder / hashlib.sha256(json.dumps([writer, size]).encode()).hexdigest()[:16]
        if not folder.exists():
            tell("writing inputs")
            unfinished = folder.with_suffix(".part")
            unfinished.mkdir()
            if "failed" in self._child(writer, unfinished, {"size": size}):
                raise UserError("out of memory while writing inputs")
            unfinished.rename(folder)
        return folder

    def _child(self, job: str, inputs: Path | None, arguments: dict[str, Any], home: Path | None = None) -> dict:
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            words = [job, scratch, str(inputs or ""), json.dumps(arguments)]
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            command, environment = [sys.executable, "-m", "bench.processes", *words], self._environment(home or scratch)
            done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, **streams)
            if done.returncode:
                return failure(job, done.returncode, done.stdout)
            return json.loads(Path(scratch, "result.json").read_text())

    def _environment(self, home: str | Path) -> dict[str, str]:
        threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        homes = ("RESULTCACHING_HOME", "BRAINSCORE_HOME", "BRAINIO_HOME", "BRAINSCORE_SUBMISSION_CACHE")
        return {
            **dict.fromkeys(threads, str(self.threads)),
            **{name: f"{home}/{name.lower()}" for name in homes},
            **({"CUDA_VISIBLE_DEVICES": ""} if self.device == "cpu" else {}),
            "BS_INSTALL_DEPENDENCIES": "no",
            "BRAINSCORE_SKIP_MEMORY_CHECK": "1",
            "TQDM_DISABLE": "1",
        }


def failure(job: str, returncode: int, log: str) -> dict[str, str]:
    """Out of memory is a result; anything else is a bug, and raises a UserError that ends with what it wrote."""
    lines = log.strip().splitlines()
    if returncode == -signal.SIGKILL or (lines and "MemoryError" in lines[-1]):
        return {"failed": "out of memory"}
    raise UserError("\n".join([f"{job} stopped with exit code {returncode}:", *lines[-15:]]))


def child(job: str, scratch: str, inputs: str, arguments: str) -> None:
    """Run one job in this process; the result goes to ``result.json``."""
    started, preference = time.perf_counter(), Path("/proc/self/oom_score_adj")
    if preference.exists():  # where memory runs out, it is this process that Linux should end, not a neighbour
        preference.write_text("1000")
    module, function = job.split(".")
    measure = getattr(importlib.import_module(f"bench.{module}"), function)
    took = {"import_seconds": time.perf_counter() - started, "import_bytes": peak_bytes()}
    took |= measure(Path(inputs) if inputs else None, Path(scratch), **json.loads(arguments))
    Path(scratch, "result.json").write_text(json.dumps({**took, "peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    child(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # some libraries take seconds to clean up
