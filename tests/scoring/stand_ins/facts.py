"""Facts about every registered benchmark, from running it.

    python facts.py FOLDER_FOR_PICTURES [--clip] [package or id ...]

Writes ``facts.json`` beside this file: what a benchmark asks of a network, and which formula makes its score of the raw
value and the ceiling that its score object carries. Found by running Brain-Score's own code over the stand-ins.
"""

import contextlib
import io
import json
import os
import random
import sys
import time
import warnings
from pathlib import Path

os.environ |= {"BS_INSTALL_DEPENDENCIES": "no", "TQDM_DISABLE": "1", "RESULTCACHING_DISABLE": "1"}
os.environ["BRAINSCORE_SKIP_MEMORY_CHECK"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import brainscore_vision
import numpy as np
import xarray as xr
from brainscore_core.metrics import Score

import stand_ins
from stand_ins.alone import registered, seed_global_generators
from stand_ins.formulas import FORMULAS, formula_of
from stand_ins.watched import watched_model

FACTS = Path(__file__).with_name("facts.json")


def facts_of(identifier: str, package: str) -> dict:
    """Load the benchmark, run it on the watched network and write down what is known then."""
    begun = time.perf_counter()
    facts = {"id": identifier, "package": package}
    model, asked = watched_model()
    seed_global_generators(identifier)
    states = generator_states()
    try:
        benchmark = brainscore_vision.load_benchmark(identifier)
        facts |= about(benchmark)
        facts["seconds_load"] = round(time.perf_counter() - begun, 2)
        score = benchmark(model)
    except Exception as error:  # noqa: BLE001 - whatever a benchmark raises is a fact about it
        facts["refusal"] = f"{type(error).__name__}: {error}"[:300]
        return facts | asked_of(asked) | {"seconds": round(time.perf_counter() - begun, 2)}
    facts |= asked_of(asked)
    facts["draws_from"] = [name for name, state in generator_states().items() if state != states[name]]
    facts["score"] = np.asarray(score.values).tolist()
    facts["score_dims"] = list(score.dims)
    facts["score_attrs"] = sorted(map(str, score.attrs))
    for name in ("raw", "ceiling"):
        facts[name] = shape_of(score.attrs[name]) if name in score.attrs else None
    facts["formula"] = formula_of(score, sessions_of(score, benchmark))
    facts["seconds"] = round(time.perf_counter() - begun, 2)
    return facts


def generator_states() -> dict[str, str]:
    """What the global generators stand at: a benchmark that changes it draws from them."""
    return {
        "random": repr(random.getstate()),
        "numpy.random": repr([part if np.isscalar(part) else part.tobytes() for part in np.random.get_state()]),
    }


def about(benchmark) -> dict:
    cls = type(benchmark)
    child = getattr(benchmark, "_factory", None)
    inner = child(benchmark._subjects[0]) if child else benchmark
    inner = getattr(benchmark, "_sessions", [inner])[0]
    metrics = {
        name: metric_facts(getattr(inner, name))
        for name in ("_similarity_metric", "_metric", "_similarity", "_rdm")
        if getattr(inner, name, None) is not None
    }
    return {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "bases": [base.__name__ for base in cls.__mro__[1:-1]],
        "child_class": None if inner is benchmark else f"{type(inner).__module__}.{type(inner).__qualname__}",
        "identifier": benchmark.identifier,
        "version": benchmark.version,
        "parent": benchmark.parent,
        "region": str(benchmark.region) if hasattr(benchmark, "region") else None,
        "metric": metrics,
        "visual_degrees": plain(getattr(inner, "_visual_degrees", None)),
        "number_of_trials": plain(getattr(inner, "_number_of_trials", None)),
        "alpha_coord": plain(getattr(inner, "alpha_coord", None)),
    }


def plain(value):
    """The value where it is a number, a text or a short list of them; else None."""
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple) and len(value) <= 120:
        return [plain(item) for item in value]
    return None


def metric_facts(metric, depth: int = 0) -> dict | str:
    """Class and settings of a metric, and of the regression, correlation and cross-validation inside it."""
    if not hasattr(metric, "__dict__") or callable(metric) and hasattr(metric, "__name__"):
        return getattr(metric, "__name__", repr(metric))
    facts = {"class": type(metric).__name__}
    if hasattr(metric, "get_params"):
        return facts | {name: plain(value) for name, value in metric.get_params().items() if plain(value) is not None}
    for name, value in vars(metric).items():
        if name in ("_logger", "mapping"):
            continue
        if plain(value) is not None or value is None:
            facts[name] = plain(value)
        elif depth < 4 and (hasattr(value, "__dict__") or callable(value)):
            facts[name] = metric_facts(value, depth + 1)
    return facts


def asked_of(asked: list[dict]) -> dict:
    """What the benchmark asked of the network: tasks, regions, looks and layers."""
    looks = [
        {key: value for key, value in note.items() if key != "asked"} for note in asked if note["asked"] == "look_at"
    ]
    tasks = list(dict.fromkeys(note["task"] for note in asked if note["asked"] == "start_task"))
    regions = list(dict.fromkeys(note["region"] for note in asked if note["asked"] == "start_recording"))
    bins = [note["time_bins"] for note in asked if note["asked"] == "start_recording"]
    layers = list(dict.fromkeys(layer for note in asked if note["asked"] == "layers" for layer in note["layers"]))
    fitted = [note["stimuli"] for note in asked if note["asked"] == "layers"]  # fitting pictures are seen in no look
    return {
        "tasks": tasks or (["recording"] if regions else []),
        "recorded_regions": regions,
        "n_time_bins": sorted({len(each) for each in bins}),
        "layers_read": layers,
        "reads": sorted({layer if layer in ("logits", "readout") else "region layer" for layer in layers}),
        "n_looks": len(looks),
        "looks": looks,
        "activation_calls": fitted,
    }


def shape_of(value) -> dict:
    """Type, dims and shape of what an attribute holds, and of what it carries itself."""
    facts = {"type": type(value).__name__}
    if isinstance(value, xr.DataArray):
        facts |= {"dims": list(value.dims), "shape": list(value.shape), "attrs": sorted(map(str, value.attrs))}
        if isinstance(value.attrs.get("raw"), xr.DataArray | list | np.ndarray) or "raw" in value.attrs:
            inner = value.attrs["raw"]
            facts["raw"] = {"type": type(inner).__name__, "shape": list(np.shape(inner))}
            if isinstance(inner, xr.DataArray):
                facts["raw"]["dims"] = list(inner.dims)
    elif not isinstance(value, float | int):
        facts["shape"] = list(np.shape(value))
    if np.size(value) == 1 and np.ndim(value) == 0:
        facts["value"] = float(value)
    return facts


def sessions_of(score, benchmark) -> list:
    """Value, raw and ceiling of each session of Cowley2026, run again: its score object holds their values only."""
    if "session_scores" not in score.attrs:
        return []
    model, _ = watched_model()
    runs = [session(model) for session in benchmark._sessions]
    return [
        (score.attrs["session_scores"][session.identifier], float(run.attrs["raw"]), float(run.attrs["ceiling"]))
        for session, run in zip(benchmark._sessions, runs, strict=True)
    ]


def save(kept: dict) -> None:
    """Write the facts, one benchmark a line."""
    lines = [f"{json.dumps(identifier)}: {json.dumps(facts)}" for identifier, facts in sorted(kept.items())]
    part = FACTS.with_suffix(".part")
    part.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    part.replace(FACTS)


def with_ceiling(benchmark, ceiling) -> None:
    """Make the benchmark use this ceiling, in the way in which its class reaches for its own."""
    name = type(benchmark).__name__
    if name == "_Baker2022AccuracyDelta":
        benchmark._ceiling = lambda _assembly: ceiling
    elif name == "_Ferguson2024ValueDelta":
        benchmark._ceiling = ceiling
    elif name in ("Coggan2024_fMRI_Benchmark", "PropertiesBenchmark") or name.startswith("Coggan2024_behavior"):
        benchmark._ceiling_func = lambda _data: ceiling
    elif name == "_Bracci2019RSA":
        benchmark._get_human_ceiling = lambda _assembly: float(ceiling)
    elif name == "_MultiSubjectCKABenchmark":
        benchmark._compute_ceiling = lambda: ceiling
    else:
        benchmark.__class__ = type(name, (type(benchmark),), {"ceiling": property(lambda _self: ceiling)})


def clip_facts(identifier: str, facts: dict) -> dict | None:
    """Run again with ceilings that take the formula above 1 and below 0: does the score follow it?"""
    formulas = [name for name in facts["formula"]["whole"] if not name.endswith("]")]
    if not formulas or facts["ceiling"] is None or "value" not in (facts["raw"] or {}):
        return None
    raw, found = facts["raw"]["value"], {}
    formula = FORMULAS[formulas[0]]
    grid = [sign * size for size in np.geomspace(1e-3, 10, 60) for sign in (1, -1)]
    for side, reached in (("above 1", lambda value: 1.5 < value < 50), ("below 0", lambda value: -50 < value < -0.5)):
        ceiling = next((c for c in grid if reached(formula(raw, c))), None)
        if ceiling is None:
            continue
        model, _ = watched_model()
        seed_global_generators(identifier)
        benchmark = brainscore_vision.load_benchmark(identifier)
        fake = Score(ceiling)
        fake.attrs |= {"raw": Score(ceiling), "error": 0.0}
        with_ceiling(benchmark, fake)
        try:
            score = benchmark(model)
        except Exception as error:  # noqa: BLE001 - a fact about the benchmark
            found[side] = f"{type(error).__name__}: {error}"[:200]
            continue
        # The raw value of this run: Cadena2017 orders its pictures by a set of words, anew in each process.
        value, unclipped = float(score), float(formula(float(score.attrs["raw"]), ceiling))
        found[side] = {"ceiling": float(ceiling), "formula gives": unclipped, "score": value}
        found[side]["clipped"] = abs(value - unclipped) > 1e-6
    return found


def add_clips(folder: Path, wanted: list[str]) -> None:
    """Write to the facts of one id of each class whether its score is clipped."""
    kept, seen = json.loads(FACTS.read_text()), set()
    with stand_ins.installed(folder):
        for identifier, facts in kept.items():
            if "refusal" in facts or facts["class"] in seen or wanted and facts["package"] not in wanted:
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                found = clip_facts(identifier, facts)
            if found is not None:
                seen.add(facts["class"])
                facts["clip"] = found
                sys.stderr.write(f"{facts['class']} {json.dumps(found)}\n")
    save(kept)


def main(folder: Path, wanted: list[str]) -> None:
    kept = json.loads(FACTS.read_text()) if FACTS.exists() else {}
    with stand_ins.installed(folder):
        for identifier, package in registered().items():
            if wanted and not {identifier, package} & set(wanted):
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                kept[identifier] = facts_of(identifier, package)
            sys.stderr.write(
                f"{identifier} {kept[identifier].get('score', kept[identifier].get('refusal'))} "
                f"{json.dumps(kept[identifier].get('formula'))} {kept[identifier]['seconds']} s\n"
            )
            save(kept)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    chosen = sys.argv[2:]
    if "--clip" in chosen:
        add_clips(Path(sys.argv[1]), [word for word in chosen if word != "--clip"])
    else:
        main(Path(sys.argv[1]), chosen)
