"""A search as a table, as JSON with its origin, and a given layer map held against it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..plugin.errors import UserError
from ..plugin.files import read_json, write_whole
from ..scoring.records import versions

if TYPE_CHECKING:
    from .search import SearchResult

COLUMNS = {
    "layer": "name of the module",
    "position": "in the order of execution, among the layers searched",
    "depth": "share of the forward pass's floating-point operations done when the layer has fired",
    "kind": "of the layer, and of later ones that say the same",
    "shape": "of its output for one image",
    "n_features": "numbers in it",
    "area": "brain area, or behavior",
    "benchmark": "id it is loaded by",
    "raw": "signed r: mean over splits of the median over neuroids",
    "raw_error": "standard deviation over splits / sqrt(splits)",
    "raw_spread": "standard deviation of raw when neuroids and stimuli are drawn anew",
    "score": "ceiled by the benchmark's formula",
    "score_error": "raw_error on the scale of score",
    "score_2022": "(r/c)^2",
    "ceiling": "c",
    "formula": "of score",
    "exact": "false: from a sketch",
    "raw_sketch": "raw from the sketch, where there was one",
    "rank": "of the signed score among the layers of this benchmark, 1 is best",
    "tied": "cannot be told from the area's best layer; empty where the layer was not confirmed exactly",
    "chosen": "for its area",
}


def table(result: SearchResult) -> pd.DataFrame:
    """One row a layer and benchmark; the columns are `COLUMNS`."""
    position = {candidate.layer: number for number, candidate in enumerate(result.candidates)}
    rows = [_row(result, score, position[score.layer]) for score in result.scores]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    signed = pd.Series([score.signed_score for score in result.scores], dtype=float)
    frame["rank"] = signed.groupby(frame["benchmark"]).rank(ascending=False, method="min").astype(int)
    return frame


def _row(result: SearchResult, score: Any, position: int) -> dict[str, Any]:
    record, numbers = score.record, score.numbers
    choice = result.choices.get(record.area)
    sketched = result.sketched.get((score.benchmark, score.layer))
    return {
        "layer": score.layer,
        "position": position,
        "depth": score.depth,
        "kind": "+".join(score.kinds),
        "shape": "x".join(map(str, score.shape)),
        "n_features": numbers.n_features,
        "area": record.area,
        "benchmark": record.benchmark,
        "raw": numbers.raw,
        "raw_error": numbers.raw_error,
        "raw_spread": numbers.raw_spread,
        "score": numbers.score,
        "score_error": numbers.score_error,
        "score_2022": numbers.score_2022,
        "ceiling": numbers.ceiling,
        "formula": numbers.formula,
        "exact": score.exact,
        "raw_sketch": None if sketched is None else sketched.numbers.raw,
        "tied": (score.layer in choice.tied) if choice and score.exact else None,
        "chosen": choice is not None and score.layer == choice.layer,
    }


def compared(result: SearchResult, layer_map: Mapping[str, str]) -> pd.DataFrame:
    """For each area the layer that a map commits it to, held against the best.

    Parameters
    ----------
    result : SearchResult
    layer_map : area -> layer, behavior among them or not

    Returns
    -------
    DataFrame with columns area, layer, searched_as (its name in the table, if that is an earlier layer that says the
    same; None if it was not searched), rank, of (layers), score, best_layer, best_score, distance, tied
    """
    rows = []
    for area, choice in result.choices.items():
        if area in layer_map:
            rows.append({"area": area, "layer": layer_map[area], **_against(result, choice, layer_map[area])})
    columns = ["area", "layer", "searched_as", "rank", "of", "score", "best_layer", "best_score", "distance", "tied"]
    return pd.DataFrame(rows, columns=columns)


def _against(result: SearchResult, choice: Any, layer: str) -> dict[str, Any]:
    signed = result.signed[choice.area]
    best = {"of": len(signed), "best_layer": choice.best, "best_score": choice.best_score}
    name = result.survey.same_as.get(layer, layer)
    if name not in signed:
        return {**best, "searched_as": None, "rank": None, "score": None, "distance": None, "tied": None}
    return {
        **best,
        "searched_as": name,
        "rank": 1 + sum(other > signed[name] for other in signed.values()),
        "score": signed[name],
        "distance": choice.best_score - signed[name],
        "tied": name in choice.tied,
    }


def write_tables(result: SearchResult) -> list[Path]:
    """Write table.csv, and table.json with the search's origin, into the search's folder.

    Of fewer areas than the table that lies there they are called by their areas: ``table-V1-IT.csv``.
    """
    frame, areas = table(result), list(result.choices)
    try:
        before = set(read_json(result.folder / "table.json", "layer search")["choices"])
    except (UserError, LookupError, TypeError):  # none, or one that says nothing
        before = set()
    name = "table" if before <= set(areas) else "-".join(["table", *areas])
    paths = [result.folder / f"{name}.csv", result.folder / f"{name}.json"]
    write_whole(paths[0], frame.to_csv(index=False).encode(), "--results")
    facts = {**summary(result), "columns": COLUMNS, "layers": _rows(frame)}
    text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(paths[1], text.encode(), "--results")
    return paths


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: None if value is None or value is pd.NA or value != value else value for name, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]


def summary(result: SearchResult) -> dict[str, Any]:
    """What was searched, how, and what was chosen, as one JSON-able object."""
    model = result.model
    return {
        "model": model.name,
        "competition_id": model.card.competition_id,
        "suite": result.suite.name,
        "marks": result.marks,
        "weights": dict(model.origin),
        "preprocessing": model.card.preprocessing.name,
        "precision": model.precision,
        "fingerprint": model.fingerprint,
        "versions": versions(),
        "n_layers": len(result.candidates),
        "forward_flops": result.survey.flops,
        "choices": {area: dataclasses.asdict(choice) for area, choice in result.choices.items()},
        "sketch": {area: _finite(dataclasses.asdict(c)) for area, c in result.confirmations.items()},
        "left_out": dict(result.survey.left_out),
        "image_passes": {"planned": result.planned_passes, "counted": result.image_passes},
        "notes": list(result.notes),
    }


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in fields.items()}
