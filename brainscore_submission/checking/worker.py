"""Run inside the fresh process: `python worker.py TASK REPORT FOLDER IDENTIFIER`.

Imports Brain-Score and the plugin through Brain-Score, nothing of this project (save the demo benchmarks, in
the task that scores them), so it also runs where this project is not installed. Each result is written to
REPORT as soon as it is known: what is missing there after a crash is what failed.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

AREAS = ("V1", "V2", "V4", "IT")


class Report:
    """Results so far, on disk after every one."""

    def __init__(self, path: str):
        self.path = Path(path)
        self.results: dict[str, Any] = {}

    def add(self, key: str, value: Any) -> None:
        self.results[key] = value
        self.path.write_text(json.dumps(self.results))


def scan(report: Report, folder: str, identifier: str) -> None:
    """Brain-Score's three readers of the source: which identifiers, which folder, which files changed."""
    import brainscore_vision
    from brainscore_core.plugin_management.import_plugin import ImportPlugin
    from brainscore_core.plugin_management.parse_plugin_changes import get_plugin_ids, parse_plugin_changes
    from brainscore_vision.plugin_management.vision_domain_plugin import VisionDomainPlugin

    library = Path(brainscore_vision.__file__).parent
    plugin = library / "models" / folder
    report.add("plugin_ids", get_plugin_ids("models", [folder], str(library)))
    report.add("metadata_ids", VisionDomainPlugin().find_registered_models(str(plugin)))
    changed = [f"brainscore_vision/models/{folder}/{path.relative_to(plugin)}" for path in plugin.rglob("*")]
    changes = parse_plugin_changes(" ".join(changed), "brainscore_vision")
    report.add("changed_plugins", changes["changed_plugins"]["models"])
    report.add("automergeable", changes["is_automergeable"])
    report.add("located", ImportPlugin("brainscore_vision", "models", identifier).plugin_dirname)


def load(report: Report, folder: str, identifier: str) -> None:
    """Load the model through the registry, and record every area and the behaviour once."""
    import brainscore_vision

    start = time.perf_counter()
    model = brainscore_vision.load_model(identifier)
    report.add("loaded", {"seconds": time.perf_counter() - start, "identifier": str(model.identifier)})
    report.add("registered", _registered_by(folder))
    layer_map = _explicit_layer_map(model)
    report.add("layers", list(getattr(model, "layers", None) or []))
    report.add("layer_map", layer_map)
    if layer_map is None:
        return
    for area in AREAS:
        report.add(area, _record(model, area))
    report.add("behavior", _behave(model))


def score(report: Report, folder: str, identifier: str) -> None:
    """Score the model of the registry on the demo suite with Brain-Score's own code throughout."""
    import brainscore_vision

    from brainscore_submission.demo.benchmarks import demo_benchmarks

    for benchmark_id, build in demo_benchmarks().items():
        model = brainscore_vision.load_model(identifier)
        report.add(benchmark_id, float(build()(model).values))


def _registered_by(folder: str) -> list[str]:
    from brainscore_vision import model_registry

    package = f"brainscore_vision.models.{folder}"
    names = [name for name, build in model_registry.items() if _module(build).startswith(package)]
    return sorted(names)


def _module(build: Any) -> str:
    return str(getattr(build, "__module__", ""))


def _explicit_layer_map(model: Any) -> dict[str, Any] | None:
    """The areas' layers where the plugin states them; None where Brain-Score would search for them."""
    layer_map = getattr(getattr(model, "layer_model", None), "region_layer_map", None)
    return dict(layer_map) if type(layer_map) is dict else None


def _record(model: Any, area: str) -> dict[str, Any]:
    model.start_recording(area, time_bins=[(70, 170)])
    assembly = model.look_at(_stimuli(), number_of_trials=1)
    ids = assembly["neuroid_id"].values
    finite = bool((assembly.values == assembly.values).all() and abs(assembly.values).max() < float("inf"))
    varies = len({row.tobytes() for row in assembly.transpose("presentation", ...).values}) > 1
    return {"neuroids": len(ids), "unique": len(set(ids)) == len(ids), "finite": finite, "varies": varies}


def _behave(model: Any) -> dict[str, Any]:
    stimuli = _stimuli()
    model.start_task(model.Task.probabilities, stimuli)
    values = model.look_at(stimuli, number_of_trials=1).values
    return {"lowest": float(values.min()), "highest": float(values.max()), "finite": bool((values == values).all())}


def _stimuli() -> Any:
    """The images of Brain-Score's generic plugin tests."""
    from brainscore_vision.model_helpers.generic_plugin_tests import _make_stimulus_set

    return _make_stimulus_set()


TASKS = {"scan": scan, "load": load, "score": score}

if __name__ == "__main__":
    task, report_path, folder, identifier = sys.argv[1:]
    TASKS[task](Report(report_path), folder, identifier)
