"""The judging process: `python judge.py TASK`, with what to judge on standard input. No code of the plugin runs here.

It runs Brain-Score's own scan and tests. The model they test is a stand-in that asks the plugin's process
(`worker.py`), which can only answer as a model: numbers and names, checked as they arrive. What is found is written to
a file, signed with a key that came by standard input, so that no other process can write it.
"""

import hashlib
import hmac
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

HEADER = "<QQ"
MOST_BYTES = 1 << 30  # of one answer
AREAS = ("V1", "V2", "V4", "IT")
NUMBERS = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


class Report:
    """Results so far, on disk and signed after every one."""

    def __init__(self, path: str, key: str):
        self.path, self.key = Path(path), bytes.fromhex(key)
        self.results: dict[str, Any] = {}

    def add(self, key: str, value: Any) -> None:
        self.results[key] = value
        text = json.dumps(self.results)
        signature = hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
        self.path.write_text(f"{signature}\n{text}")


class ModelError(Exception):
    """The plugin's code raised this."""

    def __init__(self, said: str, causes: list[str]):
        super().__init__(said)
        self.causes = causes


class Host:
    """The plugin's process, asked one thing at a time."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: str):
        marked = environment | {name: os.environ[name] for name in ("BRAINSCORE_SUBMISSION_RUN",) if name in os.environ}
        self.process = subprocess.Popen(command, env=marked, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, do: str, **request: Any) -> tuple[dict, bytes]:
        """What the plugin's process answers.

        Raises
        ------
        ModelError
            what the plugin's code raised, or that its process ended, or that its answer is none
        """
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._ended()
        n_text, n_numbers = struct.unpack(HEADER, self._read(struct.calcsize(HEADER)))
        if n_text > MOST_BYTES or n_numbers > MOST_BYTES:
            raise ModelError("its process sends an answer that is too long", [])
        text, numbers = self._read(n_text), self._read(n_numbers)
        try:
            reply = json.loads(text)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise ModelError("its process sends no answer that can be read", [])
        if "error" in reply:
            raise ModelError(str(reply["error"])[:2000], _texts(reply.get("causes"))[:20])
        return reply, numbers

    def _read(self, length: int) -> bytes:
        data = self.process.stdout.read(length)
        if len(data) < length:
            self._ended()
        return data

    def _ended(self) -> None:
        code = self.process.wait()
        raise ModelError(f"its process ended without an answer (exit code {code})", [])


class StandIn:
    """A model as Brain-Score's tests ask it, that passes on what they ask. Its stimuli are those of the tests."""

    def __init__(self, host: Host, identifier: str):
        self.host = host
        self.loaded, _ = host.ask("load", identifier=identifier)
        self.identifier = self.loaded.get("identifier")

    def visual_degrees(self) -> float:
        value = self.host.ask("visual_degrees")[0].get("value")
        return value if isinstance(value, int | float) else float("nan")

    def start_task(self, task: str, *fitting: Any, **given: Any) -> None:
        stimuli = [*fitting, *given.values()]
        self.host.ask("start_task", task=task, fitting="absent" if not stimuli else _none_or_images(stimuli[0]))

    def start_recording(self, recording_target: str, time_bins: list) -> None:
        self.host.ask("start_recording", area=recording_target, time_bins=time_bins)

    def look_at(self, stimuli: Any, number_of_trials: int = 1) -> Any:
        return _assembly(*self.host.ask("look_at", number_of_trials=number_of_trials))


def _none_or_images(stimuli: Any) -> str:
    return "none" if stimuli is None else "images"


def _assembly(reply: dict, numbers: bytes) -> Any:
    """Brain-Score's own class of what a model gave, with each part looked at before it is used."""
    import numpy as np
    from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly

    dims, dtype, coords = _texts(reply.get("dims")), reply.get("dtype"), reply.get("coords")
    if dtype not in NUMBERS or not isinstance(coords, dict):
        raise ModelError(f"look_at gives values of type {dtype!r}", [])
    try:
        values = np.frombuffer(numbers, dtype=dtype).reshape(reply.get("shape"))
        # What labels the whole assembly, such as its one time bin, has no dimension and may be a tuple: text is enough.
        named = {str(name): (of, list(labels) if of else str(labels)) for name, (of, labels) in coords.items()}
        return DataAssembly(values, coords=named, dims=dims)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelError(f"look_at gives no assembly: {error}", []) from error


def _texts(value: Any) -> list[str]:
    return [str(item)[:500] for item in value] if isinstance(value, list) else []


def scan(report: Report, facts: dict) -> None:
    """Brain-Score's three readers of the source: which identifiers, which folder, which files changed."""
    import brainscore_vision
    from brainscore_core.plugin_management.import_plugin import ImportPlugin
    from brainscore_core.plugin_management.parse_plugin_changes import get_plugin_ids, parse_plugin_changes
    from brainscore_vision.plugin_management.vision_domain_plugin import VisionDomainPlugin

    folder, identifier = facts["folder"], facts["identifier"]
    library = Path(brainscore_vision.__file__).parent
    plugin = library / "models" / folder
    report.add("plugin_ids", get_plugin_ids("models", [folder], str(library)))
    report.add("metadata_ids", VisionDomainPlugin().find_registered_models(str(plugin)))
    changed = [f"brainscore_vision/models/{folder}/{path.relative_to(plugin)}" for path in plugin.rglob("*")]
    changes = parse_plugin_changes(" ".join(changed), "brainscore_vision")
    report.add("changed_plugins", changes["changed_plugins"]["models"])
    report.add("automergeable", changes["is_automergeable"])
    report.add("located", ImportPlugin("brainscore_vision", "models", identifier).plugin_dirname)


def load(report: Report, facts: dict) -> None:
    """Load the model through the registry, and record every area and the behaviour once."""
    host = Host(**facts["host"])
    try:
        model = StandIn(host, facts["identifier"])
        seconds, layer_map = model.loaded.get("seconds"), model.loaded.get("layer_map")
        report.add("seconds", float(seconds) if isinstance(seconds, int | float) else 0.0)
        report.add("identifier", str(model.identifier))
        report.add("registered", _texts(model.loaded.get("registered")))
        report.add("layers", _texts(model.loaded.get("layers")))
        stated = {str(area): str(layer) for area, layer in layer_map.items()} if isinstance(layer_map, dict) else None
        report.add("layer_map", stated)
        for area in AREAS if stated is not None else ():
            if area in stated:
                report.add(area, _record(model, area))
        if stated is not None:
            report.add("behavior", _behave(model))
    except ModelError as error:
        report.add("error", {"said": str(error), "causes": error.causes})


def _record(model: StandIn, area: str) -> dict[str, Any]:
    model.start_recording(area, time_bins=[(70, 170)])
    assembly = model.look_at(None)
    try:
        ids = assembly["neuroid_id"].values
    except KeyError:
        raise ModelError("look_at gives no neuroid_id", []) from None
    values = assembly.transpose("presentation", ...).values if "presentation" in assembly.dims else assembly.values
    finite = bool((values == values).all() and values.size and abs(values).max() < float("inf"))
    varies = len({row.tobytes() for row in values}) > 1
    return {"neuroids": len(ids), "unique": len(set(ids)) == len(ids), "finite": finite, "varies": varies}


def _behave(model: StandIn) -> dict[str, Any] | None:
    """The range of its probabilities; None where it takes no such task, which Brain-Score's tests let pass."""
    try:
        model.start_task("probabilities", "the images")
    except ModelError:
        return None
    values = model.look_at(None).values
    return {"lowest": float(values.min()), "highest": float(values.max()), "finite": bool((values == values).all())}


def generic_tests(report: Report, facts: dict) -> None:
    """Run Brain-Score's generic plugin tests on the stand-in."""
    import brainscore_vision
    import pytest

    host = Host(**facts["host"])
    brainscore_vision.load_model = lambda identifier: StandIn(host, identifier)
    code = pytest.main(facts["pytest"])
    junit = Path(facts["junit"])
    report.add("junit", junit.read_text() if junit.is_file() else "")
    report.add("code", int(code))


TASKS = {"scan": scan, "load": load, "generic_tests": generic_tests}

if __name__ == "__main__":
    given = json.load(sys.stdin)
    TASKS[sys.argv[1]](Report(given["report"], given["key"]), given)
