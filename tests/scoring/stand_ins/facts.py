"""Facts about every registered benchmark, from running it: python facts.py FOLDER_FOR_PICTURES [package or id ...].

Writes ``facts.json`` beside this file: what a benchmark asks of a network, and which formula makes its score of the raw
value and the ceiling that its score object carries. Found by running Brain-Score's own code over the stand-ins.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import re
import sys
import time
import warnings
from pathlib import Path

os.environ |= {"BS_INSTALL_DEPENDENCIES": "no", "TQDM_DISABLE": "1", "RESULTCACHING_DISABLE": "1"}
os.environ["BRAINSCORE_SKIP_MEMORY_CHECK"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import brainscore_vision
import numpy as np
import stand_ins
import xarray as xr
from brainscore_core.metrics import Score
from stand_ins.watched import watched_model

FACTS = Path(__file__).with_name("facts.json")
FORMULAS = {
    "r": lambda r, c: r,
    "r/c": lambda r, c: r / c,
    "r^2/c": lambda r, c: r**2 / c,
    "(r/c)^2": lambda r, c: (r / c) ** 2,
    "r/sqrt(c)": lambda r, c: r / np.sqrt(c),
    "(r-1/3)/(c-1/3)": lambda r, c: (r - 1 / 3) / (c - 1 / 3),
}
TOLERANCE = 1e-9


def registered() -> dict[str, str]:
    """Every benchmark's id to its package, read from the packages' text as Brain-Score finds plugins."""
    packages = Path(brainscore_vision.__file__).parent / "benchmarks"
    table = {}
    for file in sorted(packages.glob("*/__init__.py")):
        for line in file.read_text().splitlines():
            if found := re.match(r"\s*benchmark_registry\[['\"](.+?)['\"]\]", line):
                table[found.group(1)] = file.parent.name
    return table


def seed(identifier: str) -> None:
    number = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:4], "big")
    random.seed(number)
    np.random.seed(number)


def facts_of(identifier: str, package: str) -> dict:
    """Load the benchmark, run it on the watched network and write down what is known then."""
    begun = time.perf_counter()
    facts = {"id": identifier, "package": package}
    model, asked = watched_model()
    seed(identifier)
    try:
        benchmark = brainscore_vision.load_benchmark(identifier)
        facts |= about(benchmark)
        facts["seconds_load"] = round(time.perf_counter() - begun, 2)
        score = benchmark(model)
    except Exception as error:  # noqa: BLE001 - whatever a benchmark raises is a fact about it
        facts["refusal"] = f"{type(error).__name__}: {error}"[:300]
        return facts | asked_of(asked) | {"seconds": round(time.perf_counter() - begun, 2)}
    facts |= asked_of(asked)
    facts["score"] = np.asarray(score.values).tolist()
    facts["score_dims"] = list(score.dims)
    facts["score_attrs"] = sorted(map(str, score.attrs))
    for name in ("raw", "ceiling"):
        facts[name] = shape_of(score.attrs[name]) if name in score.attrs else None
    facts["formula"] = formula_of(score, benchmark)
    facts["seconds"] = round(time.perf_counter() - begun, 2)
    return facts


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
    looks = [{key: value for key, value in note.items() if key != "asked"} for note in asked if note["asked"] == "look_at"]
    tasks = list(dict.fromkeys(note["task"] for note in asked if note["asked"] == "start_task"))
    regions = list(dict.fromkeys(note["region"] for note in asked if note["asked"] == "start_recording"))
    bins = [note["time_bins"] for note in asked if note["asked"] == "start_recording"]
    layers = list(dict.fromkeys(layer for note in asked if note["asked"] == "layers" for layer in note["layers"]))
    fitted = [note["stimuli"] for note in asked if note["asked"] == "layers"]
    return {
        "tasks": tasks or (["recording"] if regions else []),
        "recorded_regions": regions,
        "n_time_bins": sorted({len(each) for each in bins}),
        "layers_read": layers,
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


def numbers(value):
    """The values as float64, or None where there are none."""
    if value is None:
        return None
    try:
        return np.asarray(getattr(value, "values", value), dtype=float)
    except (TypeError, ValueError):
        return None


def fitting(value, raw, ceiling, scalar: bool = True) -> dict:
    """Formulas that give the value of raw and ceiling: name to the largest difference."""
    matches = {}
    for name, formula in FORMULAS.items():
        if raw is None or (ceiling is None and name != "r"):
            continue
        if scalar and (np.size(raw) > 1 or np.size(ceiling if ceiling is not None else 0) > 1):
            continue
        with np.errstate(all="ignore"):
            found = formula(raw, ceiling)
        for clip, clipped in (("", found), (" clipped to [0, 1]", np.clip(found, 0, 1))):
            if np.shape(clipped) == np.shape(value) and clip and np.array_equal(clipped, found):
                continue
            if np.shape(clipped) == np.shape(value) and np.nanmax(np.abs(clipped - value), initial=0) < TOLERANCE:
                if np.isnan(clipped).any() or np.isnan(value).any():
                    continue
                matches[name + clip] = float(np.max(np.abs(clipped - value)))
    return matches


def formula_of(score, benchmark) -> dict:
    """Which formulas reproduce the score: of the whole, of its parts, or of other things it carries."""
    value, raw, ceiling = numbers(score), numbers(score.attrs.get("raw")), numbers(score.attrs.get("ceiling"))
    result = {"whole": fitting(value, raw, ceiling)}
    if value.ndim and raw is not None and ceiling is not None and value.shape == raw.shape == ceiling.shape:
        result["elementwise"] = fitting(value, raw, ceiling, scalar=False)
    if raw is not None and raw.size > 1 and value.ndim == 0:
        result["mean of raw"] = float(abs(raw.mean() - value)) < TOLERANCE
    parts = parts_of(score, benchmark)
    for kind, triples in parts.items():
        names = {}
        for name, formula in FORMULAS.items():
            each = [formula(r, c) for _, r, c in triples]
            if abs(np.mean(each) - value) < TOLERANCE:
                own = [abs(e - v) for e, (v, _, _) in zip(each, triples, strict=True) if v is not None]
                names[name] = {"mean": float(abs(np.mean(each) - value)), "each": max(own) if own else None}
        result[kind] = {"n": len(triples), "mean of": names}
    return result


def parts_of(score, benchmark) -> dict:
    """Parts with (value or None, raw, ceiling): nested subject scores, splits, sessions."""
    parts = {}
    nested = [
        value
        for key, value in score.attrs.items()
        if key not in ("raw", "ceiling") and isinstance(value, Score) and "raw" in value.attrs and "ceiling" in value.attrs
    ]
    if nested:
        parts["subjects"] = [
            (float(np.mean(s.values)), float(np.mean(s.attrs["raw"])), float(np.mean(s.attrs["ceiling"]))) for s in nested
        ]
    raw, ceiling = score.attrs.get("raw"), score.attrs.get("ceiling")
    inner, outer = getattr(raw, "attrs", {}).get("raw"), getattr(ceiling, "attrs", {}).get("raw")
    if isinstance(inner, xr.DataArray) and isinstance(outer, xr.DataArray) and inner.dims == outer.dims == ("split",):
        parts["splits"] = [(None, float(r), float(c)) for r, c in zip(inner.values, outer.values, strict=True)]
    if "session_scores" in score.attrs:  # the object holds no raw values of its sessions: run them again
        model, _ = watched_model()
        runs = [session(model) for session in benchmark._sessions]
        parts["sessions, run again"] = [
            (score.attrs["session_scores"][session.identifier], float(run.attrs["raw"]), float(run.attrs["ceiling"]))
            for session, run in zip(benchmark._sessions, runs, strict=True)
        ]
    return parts


def main(folder: Path, wanted: list[str]) -> None:
    warnings.simplefilter("ignore")
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
            FACTS.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
