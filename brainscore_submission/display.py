"""What a person sees of records: the table, the hierarchy, the published values beside it. And the same as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .benchmarks import AREAS, Suite
from .hierarchy import Hierarchy, rho_hierarchy
from .models import Model
from .published import CAVEAT, PublishedModel, published_model
from .records import Record

HIERARCHY_AREAS = AREAS[:4]


def summary(model: Model, suite: Suite, records: Sequence[Record]) -> dict[str, Any]:
    """Everything that `evaluate` has to say, as one JSON-able object."""
    today = suite.average({record.benchmark: record.score for record in records})
    then = suite.average({record.benchmark: record.score_2022 for record in records})
    hierarchy = _hierarchy(today)
    published = _published(model)
    return {
        "model": model.card.identifier,
        "competition_id": model.card.competition_id,
        "suite": suite.name,
        "simulated": suite.simulated,
        "untrained": bool(model.origin.get("untrained")),
        "areas": {area: value for area, value in today.items() if area != "average"},
        "average": today["average"],
        "areas_2022": {area: value for area, value in then.items() if area != "average"},
        "average_2022": then["average"],
        "hierarchy": None if hierarchy is None else dataclasses.asdict(hierarchy),
        "published_2022": None if published is None else {**published.scores, "average": published.average},
        "caveat": suite.caveat,
        "records": [dataclasses.asdict(record) for record in records],
    }


def show(model: Model, suite: Suite, records: Sequence[Record], console: Console) -> None:
    """Print the table of a suite."""
    facts = summary(model, suite, records)
    console.print(
        Group(
            Text(_title(model, facts), style="bold"),
            _benchmark_table(records),
            *([_area_table(facts)] if any(area in facts["areas"] for area in AREAS) else []),
            *(Text(line, style="dim") for line in _footnotes(model, suite, records, facts)),
        )
    )


def model_table(rows: Sequence[tuple[str, str, str, bool, float | None]]) -> Table:
    """Table of known models: name, identifier, training, whether the weights are here, published average."""
    table = Table("id", "identifier, training", "weights", "Avg", title="Models")
    for name, identifier, training, present, average in rows:
        number = "" if name == identifier else name
        table.add_row(number, f"{identifier}\n[dim]{training}", "here" if present else "–", _number(average))
    table.caption = f"Avg: {CAVEAT}. weights: here, or fetched on first use. Any timm model: --model timm:<name>."
    return table


def _published(model: Model) -> PublishedModel | None:
    number = model.card.competition_id
    return None if number is None else published_model(number)


def _title(model: Model, facts: dict[str, Any]) -> str:
    marks = [mark for mark in ("untrained", "simulated") if facts[mark]]
    title = f"{model.card.title or model.card.identifier} ({model.card.name}) on suite {facts['suite']}"
    return title + "".join(f"  [{mark.upper()}]" for mark in marks)


def _benchmark_table(records: Sequence[Record]) -> Table:
    table = Table("benchmark", "area", "layer")
    for column in ("r", "ceiling", "score", "95 % interval", "score 2022", "engine", "s"):
        table.add_column(column, justify="right")
    for record in records:
        table.add_row(record.benchmark, record.area, record.layer or "", *_cells(record))
    return table


def _cells(record: Record) -> list[str]:
    if record.status == "no access":
        return [f"no access ({record.reason})", *[""] * 6]
    return [
        _with_error(record.raw, record.raw_error, signed=True),
        _with_error(record.ceiling, record.ceiling_error),
        _with_error(record.score, record.score_error) if record.ceiling is not None else "unceiled",
        "" if record.interval is None else f"{record.interval[0]:.3f} to {record.interval[1]:.3f}",
        _with_error(record.score_2022, record.score_2022_error),
        record.engine or "",
        f"{(record.seconds or {}).get('scoring', 0):.1f}",
    ]


def _area_table(facts: dict[str, Any]) -> Table:
    areas = [area for area in AREAS if area in facts["areas"]]
    table = Table("", *areas, "Avg")
    rows = {
        "today, r²/c": {**facts["areas"], "average": facts["average"]},
        "2022, (r/c)²": {**facts["areas_2022"], "average": facts["average_2022"]},
    }
    if facts["published_2022"]:
        rows[f"paper ({CAVEAT})"] = facts["published_2022"]
    for name, scores in rows.items():
        table.add_row(name, *(_number(scores.get(area)) for area in areas), _number(scores["average"]))
    return table


def _footnotes(model: Model, suite: Suite, records: Sequence[Record], facts: dict[str, Any]) -> list[str]:
    notes = [_hierarchy_line(facts)]
    published = _published(model)
    if published is not None:
        paper = rho_hierarchy(published.scores)
        notes.append(f"ρ of the paper's values: {paper.rho:+.1f} ({CAVEAT}).")
    notes += [suite.caveat] if suite.caveat else []
    if facts["untrained"]:
        notes.append(f"UNTRAINED: random weights, seed {model.origin.get('seed')}.")
    if model.origin.get("note"):
        notes.append(str(model.origin["note"]))
    notes += [f"{record.benchmark}: {note}" for record in records for note in record.notes]
    return notes


def _hierarchy_line(facts: dict[str, Any]) -> str:
    hierarchy = facts["hierarchy"]
    if hierarchy is None:
        return "ρ-hierarchy: needs a score for each of V1, V2, V4 and IT."
    if hierarchy["rho"] is None:
        return f"ρ-hierarchy: undefined, {hierarchy['reason']}."
    ties = ", ties" if hierarchy["ties"] else ""
    return (
        f"ρ-hierarchy (V1 < V2 < V4 < IT): {hierarchy['rho']:+.2f}, exact two-sided p = "
        f"{hierarchy['p_two_sided']:.3f}{ties}; with four areas p < .05 is impossible."
    )


def _hierarchy(areas: dict[str, float | None]) -> Hierarchy | None:
    if any(areas.get(area) is None for area in HIERARCHY_AREAS):
        return None
    return rho_hierarchy(areas)


def _with_error(value: float | None, error: float | None, signed: bool = False) -> str:
    number = _number(value, signed)
    return number if error is None or value is None else f"{number} ± {error:.3f}"


def _number(value: float | None, signed: bool = False) -> str:
    return "–" if value is None else f"{value:{'+' if signed else ''}.3f}"
