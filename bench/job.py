"""One measurement in a process of its own: `python -m bench.job NAME SPEC`, started by `workshop.Workshop`.

The peak memory reported is that of this process, imports included; what the imports alone took stands beside it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """A function that measures: ``function(inputs, scratch, **arguments) -> dict``.

    Parameters
    ----------
    module, function : str
    inputs : function of `inputs` that writes what is measured on: ``function(folder, size)``; None for none
    """

    module: str
    function: str
    inputs: str | None = None


JOBS = {
    "limits": Job("bench.limits", "measure"),
    "metric.ours": Job("bench.metric_alone", "ours", "write_activations"),
    "metric.brainscore": Job("bench.metric_alone", "brainscore", "write_activations"),
    "recording.ours": Job("bench.recording_alone", "ours", "write_suite_images"),
    "recording.brainscore": Job("bench.recording_alone", "brainscore", "write_suite_images"),
    "evaluate.ours": Job("bench.whole_evaluate", "ours", "write_suite_images"),
    "evaluate.brainscore": Job("bench.whole_evaluate", "brainscore", "write_suite_images"),
    "scaling": Job("bench.scaling", "measure"),
}


def main(name: str, spec_path: str) -> None:
    """Run one job, or write its inputs; the result goes to the file that the spec names."""
    started = time.perf_counter()
    _die_first()
    spec = json.loads(Path(spec_path).read_text())
    job = JOBS[name]
    if spec["write_inputs"]:
        write = getattr(importlib.import_module("bench.inputs"), job.inputs)
        write(Path(spec["inputs"]), spec["arguments"]["size"])
        return
    module = importlib.import_module(job.module)
    imports = {"import_seconds": time.perf_counter() - started, "import_bytes": peak_bytes()}
    inputs = None if spec["inputs"] is None else Path(spec["inputs"])
    result = getattr(module, job.function)(inputs, Path(spec["scratch"]), **spec["arguments"])
    Path(spec["result"]).write_text(json.dumps({**result, **imports, "peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _die_first() -> None:
    """Where memory runs out, it is this process that Linux should end, not a neighbour."""
    preference = Path("/proc/self/oom_score_adj")
    if preference.exists():
        preference.write_text("1000")


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # some libraries take seconds to clean up
