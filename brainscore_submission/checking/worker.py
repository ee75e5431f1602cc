"""The plugin's process: `python worker.py answer IDENTIFIER FOLDER` or `python worker.py score IDENTIFIER REPORT`.

The plugin's code runs beside this and can do whatever this can. So nothing is judged here: "answer" lets the model
speak to `judge.py`, which runs elsewhere, and the scores of "score" are the plugin's own word. Imports Brain-Score and
the plugin through Brain-Score, nothing of this project (save the demo benchmarks, in the task that scores them), so it
also runs where this project is not installed.
"""

import json
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

HEADER = "<QQ"  # bytes of JSON, bytes of numbers


def answer(identifier: str, folder: str) -> None:
    """Read requests, a JSON object a line, and write for each a header, a JSON object and the numbers it speaks of."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the plugin prints goes where its errors go
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    hosted = Hosted(folder)
    for line in requests:
        request = json.loads(line)
        try:
            reply, numbers = getattr(hosted, request.pop("do"))(**request)
        except (Exception, SystemExit) as error:  # noqa: BLE001 a plugin may raise anything, and its tests go on after it
            reply, numbers = {"error": _in_words(error), "causes": _causes(error)}, b""
        _send(answers, reply, numbers)


class Hosted:
    """The model of the plugin, asked in the words of Brain-Score's interface. Each method gives JSON and numbers."""

    def __init__(self, folder: str):
        self.folder = folder
        self.model: Any = None

    def load(self, identifier: str) -> tuple[dict, bytes]:
        import brainscore_vision

        start = time.perf_counter()
        self.model = brainscore_vision.load_model(identifier)
        package = f"brainscore_vision.models.{self.folder}"
        registered = [
            name for name, build in brainscore_vision.model_registry.items() if _module(build).startswith(package)
        ]
        layer_map = getattr(getattr(self.model, "layer_model", None), "region_layer_map", None)
        own = self.model.identifier
        return {
            "seconds": time.perf_counter() - start,
            "identifier": None if own is None else str(own),
            "registered": sorted(map(str, registered)),
            "layers": [str(layer) for layer in getattr(self.model, "layers", None) or []],
            # The areas' layers where the plugin states them; None where Brain-Score would search for them.
            "layer_map": {str(k): str(v) for k, v in layer_map.items()} if type(layer_map) is dict else None,
        }, b""

    def visual_degrees(self) -> tuple[dict, bytes]:
        return {"value": float(self.model.visual_degrees())}, b""

    def start_task(self, task: str, fitting: str) -> tuple[dict, bytes]:
        given = {"absent": {}, "none": {"fitting_stimuli": None}}
        self.model.start_task(task=task, **(given[fitting] if fitting in given else {"fitting_stimuli": stimuli()}))
        return {}, b""

    def start_recording(self, area: str, time_bins: list) -> tuple[dict, bytes]:
        self.model.start_recording(area, time_bins=[tuple(time_bin) for time_bin in time_bins])
        return {}, b""

    def look_at(self, number_of_trials: int) -> tuple[dict, bytes]:
        import numpy as np
        from brainscore_core.supported_data_standards.brainio.assemblies import walk_coords

        assembly = self.model.look_at(stimuli(), number_of_trials=number_of_trials)
        values = np.ascontiguousarray(assembly.values)
        coords = {name: [list(dims), np.asarray(labels).tolist()] for name, dims, labels in walk_coords(assembly)}
        shape = {"dims": list(assembly.dims), "shape": list(values.shape), "dtype": str(values.dtype)}
        return {**shape, "coords": coords}, values.tobytes()


def stimuli() -> Any:
    """The images of Brain-Score's generic plugin tests."""
    from brainscore_vision.model_helpers.generic_plugin_tests import _make_stimulus_set

    return _make_stimulus_set()


def score(identifier: str, report: str) -> None:
    """Score the model of the registry on the demo suite with Brain-Score's own code throughout."""
    import brainscore_vision

    from brainscore_submission.demo.benchmarks import demo_benchmarks

    scores = {}
    for benchmark_id, build in demo_benchmarks().items():
        model = brainscore_vision.load_model(identifier)
        scores[benchmark_id] = float(build()(model).values)
        Path(report).write_text(json.dumps(scores))  # as soon as it is known: what is missing there is what failed


def _module(build: Any) -> str:
    return str(getattr(build, "__module__", ""))


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


def _causes(error: BaseException | None) -> list[str]:
    """The exception and those it came from: what the network answered is often three deep."""
    causes = []
    while error is not None and len(causes) < 20:
        causes.append(f"{type(error).__module__}.{_in_words(error)}")
        error = error.__cause__ or error.__context__
    return causes


def _send(answers: BinaryIO, reply: dict, numbers: bytes) -> None:
    text = json.dumps(reply, default=str).encode()
    answers.write(struct.pack(HEADER, len(text), len(numbers)) + text + numbers)
    answers.flush()


TASKS = {"answer": answer, "score": score}

if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    TASKS[task](*arguments)
