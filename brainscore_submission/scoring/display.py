"""What a person sees of records: the table, the hierarchy, the published values beside it. And the same as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.text import Text

from ..plugin.areas import AREAS, AREAS_AND_BEHAVIOR
from ..words import count
from ..words.tables import Rows
from .hierarchy import Hierarchy, rho_hierarchy
from .published import CAVEAT, PublishedModel, published_model
from .records import MARKS, Record, marks_of

if TYPE_CHECKING:  # a list of models imports no network
    from ..models.model import Model
    from .kept import Described
    from .suites import Suite

# How the averages of a suite are taken, in words.
AVERAGES = {"complete": "none where a benchmark has no score", "scored": "over what was scored"}
SITE_RULE = "failed and missing count as 0; average of neural (V1, V2, V4, IT) and behavior"


def summary(model: Model | Described, suite: Suite, records: Sequence[Record]) -> dict[str, Any]:
    """Everything that `evaluate` has to say, as one JSON-able object."""
    scores = {record.benchmark: record.score for record in records}
    today = suite.average(scores)
    # A 2022 formula exists for some benchmarks only, so that what was scored under it is no tree of its own.
    strict = dataclasses.replace(suite, partial=False)
    then = strict.average({record.benchmark: getattr(record.measured, "score_2022", None) for record in records})
    hierarchy = _hierarchy(today)
    published = _published(model)
    return {
        "model": model.name,
        "competition_id": model.card.competition_id,
        "suite": suite.name,
        "marks": marks_of(records) or (*model.marks, *(["SIMULATED"] if suite.simulated else [])),
        "areas": {area: value for area, value in today.items() if area != "average"},
        "average": today["average"],
        "averages": AVERAGES["scored" if suite.partial else "complete"],
        "n_scored": _n_scored(suite, scores),
        "site_rule": _by_site_rule(suite, scores) if suite.partial else None,
        "areas_2022": {area: value for area, value in then.items() if area != "average"},
        "average_2022": then["average"],
        "hierarchy": None if hierarchy is None else dataclasses.asdict(hierarchy),
        "published_2022": None if published is None else {**published.scores, "average": published.average},
        "caveat": suite.caveat,
        "source": suite.source,
        "records": [record.model_dump(mode="json") for record in records],
    }


def show(model: Model | Described, suite: Suite, records: Sequence[Record], console: Console) -> None:
    """Print the table of a suite."""
    facts = summary(model, suite, records)
    console.print(
        Group(
            Text(_title(model, facts), style="bold"),
            _benchmark_table(records),
            Text(),
            *([_area_table(facts), Text()] if any(area in facts["areas"] for area in AREAS_AND_BEHAVIOR) else []),
            *(Text(line, style="dim") for line in _footnotes(model, suite, records, facts)),
        )
    )


def show_many(summaries: Sequence[dict[str, Any]], console: Console) -> None:
    """Print several models of one suite in order, best average first; without averages, the best of the first area."""
    areas = [area for area in AREAS_AND_BEHAVIOR if any(area in one["areas"] for one in summaries)]
    if not summaries or not areas:
        return
    best_first = sorted(summaries, key=lambda one: _standing(one, areas), reverse=True)
    columns = {area: [_number(one["areas"].get(area)) for one in best_first] for area in areas}
    columns["Avg"] = [_number(one["average"]) for one in best_first]
    rhos = [(one["hierarchy"] or {}).get("rho") for one in best_first]
    columns["ρ"] = ["–" if rho is None else f"{rho:+.2f}" for rho in rhos]
    columns = {name: cells for name, cells in columns.items() if set(cells) != {"–"}}
    common = _marks_of_all(summaries)
    names = [one["model"] + "".join(f" [{mark}]" for mark in one["marks"] if mark not in common) for one in best_first]
    table = Rows(["model", *columns], list(zip(names, *columns.values(), strict=True)))
    title = f"{count(len(summaries), 'model')} on suite {summaries[0]['suite']}" + "".join(f"  [{m}]" for m in common)
    console.print(Group(Text(title, style="bold"), table, Text(_HOW_TO_COMPARE, style="dim")))


_HOW_TO_COMPARE = "Intervals, ranks and what can be told apart: python -m analysis.leaderboard, analysis.differences."


def _marks_of_all(summaries: Sequence[dict[str, Any]]) -> list[str]:
    """The marks that every one of them has."""
    return [mark for mark in MARKS if all(mark in one["marks"] for one in summaries)]


def _standing(one: dict[str, Any], areas: Sequence[str]) -> tuple[float, ...]:
    values = (one["average"], *(one["areas"].get(area) for area in areas))
    return tuple(-1.0 if value is None else value for value in values)


def _n_scored(suite: Suite, scores: Mapping[str, float | None]) -> dict[str, dict[str, int]]:
    """Area -> how many of its benchmarks have a score, of how many."""
    counted = {area: {"scored": 0, "of": 0} for area in suite.areas}
    for leaf, area in suite.leaves.items():
        counted[area]["scored"] += scores.get(leaf) is not None
        counted[area]["of"] += 1
    return counted


def _by_site_rule(suite: Suite, scores: Mapping[str, float | None]) -> dict[str, Any]:
    found = suite.average_by_site_rule(scores)
    areas = {area: found[area] for area in suite.areas}
    return {"rule": SITE_RULE, "areas": areas, "neural": found["neural"], "average": found["average"]}


def model_table(rows: Sequence[tuple[str, str, str, bool, float | None]]) -> Group:
    """Table of known models: name, identifier, training, whether the weights are here, published average."""
    cells = [
        ("" if name == identifier else name, f"{identifier}\n{training}", "here" if present else "–", _number(average))
        for name, identifier, training, present, average in rows
    ]
    caption = (
        f"Avg: {CAVEAT}. weights: here, or fetched on first use. Any timm model: --model timm:<name>. "
        "Calibration of the demo suite: --model demo:ground_truth."
    )
    table = Rows(("id", "identifier, training", "weights", "Avg"), cells, names=2, title="Models")
    return Group(table, Text(caption, style="dim"))


def _published(model: Model | Described) -> PublishedModel | None:
    number = model.card.competition_id
    return None if number is None else published_model(number)


def _title(model: Model | Described, facts: dict[str, Any]) -> str:
    name = model.card.name if model.name == model.card.identifier else model.name
    title = f"{model.card.title or model.card.identifier} ({name}) on suite {facts['suite']}"
    return title + "".join(f"  [{mark}]" for mark in facts["marks"])


def _benchmark_table(records: Sequence[Record]) -> Rows:
    headings = ("benchmark", "r", "ceiling", "score", "95 %", "2022")
    return Rows(headings, [(record.benchmark, *_cells(record)) for record in records])


def _cells(record: Record) -> list[str]:
    found = record.measured
    if found is None:
        return ["", "", record.status, "", ""]
    interval = "" if found.interval is None else "{:.3f}-{:.3f}".format(*found.interval)
    score = "unceiled" if found.score is None else _with_error(found.score, found.score_error)
    return [_number(found.raw, signed=True), _number(found.ceiling), score, interval, _number(found.score_2022)]


def _area_table(facts: dict[str, Any]) -> Rows:
    areas = [area for area in AREAS_AND_BEHAVIOR if area in facts["areas"]]
    rows = _area_rows(facts)
    if facts["published_2022"]:
        rows["paper, private data"] = facts["published_2022"]
    complete = areas == list(AREAS_AND_BEHAVIOR)  # of the areas shown there is an average, or none
    cells = [
        (name, *(_number(scores.get(area)) for area in areas), _number(scores["average"] if complete else None))
        for name, scores in rows.items()
    ]
    return Rows(("area scores", *areas, "Avg"), cells)


def _reason_lines(records: Sequence[Record]) -> list[str]:
    """Why benchmarks have no score; one line for many that share a reason, which the table tells apart by id."""
    sharing: dict[tuple[str, str], list[str]] = {}
    for record in records:
        if record.reason:
            sharing.setdefault((record.status, record.reason), []).append(record.benchmark)
    named = {reason: names if len(names) <= 5 else [f"{len(names)} benchmarks"] for reason, names in sharing.items()}
    return [f"{name}: {status}, {reason}." for (status, reason), names in named.items() for name in names]


def _area_rows(facts: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Name of a row -> area or "average" -> score."""
    ours = {**facts["areas"], "average": facts["average"]}
    site = facts["site_rule"]
    if site is not None:
        return {
            "ours, over what was scored": ours,
            "site's rule, missing as 0": {**site["areas"], "average": site["average"]},
        }
    return {"today, r²/c": ours, "2022, (r/c)²": {**facts["areas_2022"], "average": facts["average_2022"]}}


def _footnotes(model: Model | Described, suite: Suite, records: Sequence[Record], facts: dict[str, Any]) -> list[str]:
    notes = [_hierarchy_line(facts)] if set(AREAS) <= set(facts["areas"]) else []
    notes += _reason_lines(records)
    published = _published(model)
    if published is not None:
        paper = rho_hierarchy(published.scores)
        notes.append(f"Paper: {CAVEAT}; its ρ is {paper.rho:+.1f}.")
    notes += [_coverage_line(facts)] if suite.partial else []
    notes += [f"Tree: {suite.source}."] if suite.source else []
    notes += [suite.caveat] if suite.caveat else []
    notes += _layer_lines(records)
    if "UNTRAINED" in facts["marks"]:
        seeds = {record.weights["seed"] for record in records if record.untrained} or {model.origin.get("seed")}
        notes.append(f"UNTRAINED: random weights, seed {', '.join(map(str, sorted(seeds)))}.")
    if model.origin.get("note"):
        notes.append(str(model.origin["note"]))
    notes += [f"{record.benchmark}: {note}" for record in records for note in record.notes]
    return notes


def _coverage_line(facts: dict[str, Any]) -> str:
    """What the averages of a suite rest on that is not scored whole, and how the site would take them."""
    counts = facts["n_scored"]
    scored, total = (sum(one[part] for one in counts.values()) for part in ("scored", "of"))
    areas = ", ".join(f"{area} {one['scored']} of {one['of']}" for area, one in counts.items())
    return f"Scored {scored} of {total} benchmarks: {areas}. Site's rule: {facts['site_rule']['rule']}."


def _layer_lines(records: Sequence[Record]) -> list[str]:
    areas_of: dict[str, list[str]] = {}
    for record in records:
        if record.layer is not None and record.area not in areas_of.setdefault(record.layer, []):
            areas_of[record.layer].append(record.area)
    names = {record.layer_map for record in records}
    lines = [f"{', '.join(areas)}: {layer}" for layer, areas in areas_of.items()]
    return [f"Layer map {', '.join(sorted(filter(None, names)))}. " + "; ".join(lines) + "."] if lines else []


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
    if any(areas.get(area) is None for area in AREAS):
        return None
    return rho_hierarchy(areas)


def _with_error(value: float | None, error: float | None, signed: bool = False) -> str:
    number = _number(value, signed)
    return number if error is None or value is None else f"{number} ±{error:.3f}"


def _number(value: float | None, signed: bool = False) -> str:
    return "–" if value is None else f"{value:{'+' if signed else ''}.3f}"
