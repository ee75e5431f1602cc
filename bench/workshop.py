"""Where measurements run: a process each, one after the other, on inputs that are written once.

Standard library only. A child's peak memory counts from what its parent held when it was started, so this process must
stay small.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .job import JOBS
from .machine import describe

ROOT = Path(__file__).parent.parent
LOG_LINES = 15


class MeasurementError(Exception):
    """A measurement stopped with an error; the message ends with what it wrote."""


class Workshop:
    """Runs jobs, and keeps what they measured.

    Parameters
    ----------
    folder : for inputs and scratch files; several times the size of the activations
    threads : that numerical libraries may use
    device : "auto", "cpu" or "cuda[:i]"
    kept : file with earlier measurements of this machine, which are not made again; written after each; or None
    tell : callable that hears what is being measured
    """

    def __init__(
        self,
        folder: Path,
        threads: int,
        device: str,
        kept: Path | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ):
        self.folder, self.threads, self.device, self.tell = folder, threads, device, tell
        self._kept_path = kept
        self._kept = self._read_kept()

    def run(self, job: str, what: str, **arguments: Any) -> dict[str, Any]:
        """Make one measurement.

        Parameters
        ----------
        job : key of `job.JOBS`
        what : is measured, for a person
        **arguments : JSON-able, passed to the job

        Returns
        -------
        dict
            What the job returned, with `import_seconds`, `import_bytes` and `peak_bytes`; or `failed`, the reason,
            where it ran out of memory.

        Raises
        ------
        MeasurementError
        """
        key = json.dumps([job, arguments, self.threads, self.device], sort_keys=True)
        if key not in self._kept["measurements"]:
            inputs = self._inputs(job, arguments)
            self.tell(what)
            self._kept["measurements"][key] = self._child(job, inputs, arguments)
            self._write_kept()
        return self._kept["measurements"][key]

    def _inputs(self, job: str, arguments: dict[str, Any]) -> Path | None:
        writer = JOBS[job].inputs
        if writer is None:
            return None
        digest = hashlib.sha256(json.dumps([writer, arguments["size"]]).encode()).hexdigest()[:16]
        folder = self.folder / "inputs" / digest
        if not folder.exists():
            self.tell("writing inputs")
            partial = folder.with_suffix(".partial")
            partial.mkdir(parents=True)
            if self._child(job, partial, arguments, write_inputs=True):
                raise MeasurementError(f"{job}: out of memory while writing inputs")
            partial.rename(folder)
        return folder

    def _child(self, job: str, inputs: Path | None, arguments: dict[str, Any], write_inputs: bool = False) -> dict:
        scratch = Path(tempfile.mkdtemp(dir=self.folder))
        spec = {
            "inputs": None if inputs is None else str(inputs),
            "scratch": str(scratch),
            "arguments": arguments,
            "write_inputs": write_inputs,
            "result": str(scratch / "result.json"),
        }
        (scratch / "spec.json").write_text(json.dumps(spec))
        try:
            with (scratch / "log").open("w") as log:
                command = [sys.executable, "-m", "bench.job", job, str(scratch / "spec.json")]
                done = subprocess.run(
                    command, cwd=ROOT, env=self._environment(scratch), stdout=log, stderr=subprocess.STDOUT
                )
            if done.returncode:
                return _failure(job, done.returncode, (scratch / "log").read_text(errors="replace"))
            return {} if write_inputs else json.loads((scratch / "result.json").read_text())
        finally:
            shutil.rmtree(scratch)

    def _environment(self, scratch: Path) -> dict[str, str]:
        threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        homes = ("RESULTCACHING_HOME", "BRAINSCORE_HOME", "BRAINIO_HOME", "BRAINSCORE_SUBMISSION_CACHE")
        return {
            **os.environ,
            **dict.fromkeys(threads, str(self.threads)),
            **{name: str(scratch / name.lower()) for name in homes},  # each process starts with empty caches
            **({"CUDA_VISIBLE_DEVICES": ""} if self.device == "cpu" else {}),
            "BS_INSTALL_DEPENDENCIES": "no",
            "BRAINSCORE_SKIP_MEMORY_CHECK": "1",
            "TQDM_DISABLE": "1",
        }

    def _read_kept(self) -> dict[str, Any]:
        machine = describe()
        if self._kept_path is None or not self._kept_path.exists():
            return {"machine": machine, "measurements": {}}
        kept = json.loads(self._kept_path.read_text())
        if kept["machine"] != machine:
            raise MeasurementError(
                f"{self._kept_path} was measured on another machine or with other versions. Name a new file."
            )
        return kept

    def _write_kept(self) -> None:
        if self._kept_path is not None:
            partial = self._kept_path.with_suffix(".partial")
            partial.write_text(json.dumps(self._kept, indent=1))
            partial.replace(self._kept_path)


def _failure(job: str, returncode: int, log: str) -> dict[str, str]:
    """Out of memory is a result; anything else is a bug."""
    lines = log.strip().splitlines()
    if returncode == -signal.SIGKILL or (lines and "MemoryError" in lines[-1]):
        return {"failed": "out of memory"}
    raise MeasurementError("\n".join([f"{job} stopped with exit code {returncode}:", *lines[-LOG_LINES:]]))
