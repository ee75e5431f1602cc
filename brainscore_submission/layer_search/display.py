"""What a person sees of a search: choices, a given map held against them, and how to go on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console, Group
from rich.text import Text

from ..asked import Asked
from ..engine.survey import Candidate, Survey, same_values_in_words
from ..plugin.areas import BEHAVIOR
from ..words.tables import Rows
from .search import SearchResult


def show(
    result: SearchResult, against: pd.DataFrame, given_by: str | None, paths: Sequence[Path], console: Console
) -> None:
    """Print the choices of a search, a given layer map beside them, and the files that were written."""
    marks = "".join(f"  [{mark}]" for mark in result.marks)
    title = f"Layer search of {result.model.name}, suite {result.suite.name}, {len(result.candidates)} layers{marks}"
    parts: list[Any] = [Text(title, style="bold"), _choices(result)]
    if not against.empty:
        parts.append(_comparison(against))
    if given_by:
        parts.append(Text(given_by))
    parts += [Text(line, style="dim") for line in (*_footnotes(result), *result.notes)]
    parts += [Text(str(path), style="dim") for path in paths]
    console.print(Group(*parts))


def _choices(result: SearchResult) -> Rows:
    depth = {candidate.layer: candidate.depth for candidate in result.candidates}
    cells = [
        (
            area,
            choice.layer,
            f"{depth[choice.layer]:.0%}",
            f"{choice.chosen_score:+.3f}",
            "–" if choice.nested_score is None else f"{choice.nested_score:+.3f}",
            f"{len(choice.tied)} of {choice.n_layers}",
            "–" if choice.chance_p is None else f"{choice.chance_p:.2g}",
        )
        for area, choice in result.choices.items()
    ]
    return Rows(("area", "layer", "depth", "score", "nested", "tied", "p (chance)"), cells, names=2)


def _comparison(against: pd.DataFrame) -> Rows:
    headings = ("area", "given layer", "rank", "score", "best", "distance", "tied")
    title = "The given layer map beside the best"
    return Rows(headings, [_compared(row) for row in against.itertuples()], names=2, title=title)


def _compared(row: Any) -> tuple[str, ...]:
    if row.searched_as is None:
        return row.area, f"{row.layer} (not searched)", "–", "–", f"{row.best_score:+.3f}", "–", "–"
    name = row.layer if row.searched_as == row.layer else f"{row.layer} (= {row.searched_as})"
    scores = f"{row.score:+.3f}", f"{row.best_score:+.3f}", f"{row.distance:.3f}"
    return row.area, name, f"{row.rank:.0f} of {row.of}", *scores, "yes" if row.tied else "no"


def _footnotes(result: SearchResult) -> list[str]:
    rules = {choice.rule for choice in result.choices.values()}
    notes = [f"Rule: {rule}." for rule in sorted(rules)]
    notes.append(
        "Score: with the sign of r. Nested: layer chosen on half of the images and half of the neuroids, scored on the "
        "other halves (half of the splits, where a metric keeps no predictions). Tied: the 95 % "
        "interval of the paired difference to the best holds 0. p: that an r as high comes by chance, Bonferroni."
    )
    for area, sketch in result.confirmations.items():
        notes.append(
            f"{area}: ranked by a sketch of {sketch.columns} columns (seed {sketch.seed}), off by {sketch.error:.4f} "
            f"(root mean square over {sketch.n_confirmed} layers confirmed exactly); all choices are exact."
        )
    if result.image_passes is not None:
        notes.append(f"Image passes: {result.planned_passes} planned, {result.image_passes} made.")
    return notes


def how_to_use(result: SearchResult, asked: Asked, map_name: str | None) -> str:
    """The command that evaluates the model with what was chosen: the options of the search, the map if it was written.

    A layer map holds the four areas, so the layer for behaviour is named beside it.
    """
    layers = {area: choice.layer for area, choice in result.choices.items() if not map_name or area == BEHAVIOR}
    on_the_card = result.model.card.behavior_layer
    if BEHAVIOR in result.suite.areas and on_the_card is None:
        layers.setdefault(BEHAVIOR, "<layer>")
    elif layers.get(BEHAVIOR) == on_the_card:
        layers.pop(BEHAVIOR, None)
    words = ["python", "evaluate.py", *asked.as_options(besides=("layers", "layer_map", "memory", "disk"))]
    words += ["--layer-map", map_name] if map_name not in (None, "paper") else []
    words += ["--layers", ",".join(f"{area}={layer}" for area, layer in layers.items())] if layers else []
    return f"Evaluate with it: {shlex.join(words)}"


def show_layers(
    survey: Survey, chosen: Sequence[Candidate], patterns: Sequence[str], marks: Sequence[str], console: Console
) -> None:
    """Print the layers that can be searched, and how many modules were left out for what."""
    cells = [
        (
            one.layer,
            "+".join(one.kinds),
            "x".join(map(str, one.shape)),
            f"{one.n_features:,}",
            f"{one.depth:.1%}",
        )
        for one in chosen
    ]
    table = Rows(("layer", "kind", "shape", "features", "depth"), cells, names=2)
    lines = [*same_values_in_words(survey, patterns, chosen), *_left_out(survey.left_out)]
    if marks:
        lines.append("UNTRAINED: which layers have the same values may depend on the random weights.")
    console.print(Group(table, *(Text(line, style="dim") for line in lines)))


def _left_out(reasons: Mapping[str, str]) -> list[str]:
    """A line a reason, with its number of modules and one of them."""
    by_reason: dict[str, list[str]] = {}
    for layer, reason in reasons.items():
        same = reason.startswith(("the same values as", "another name of"))
        by_reason.setdefault("a duplicate of another layer" if same else reason, []).append(layer)
    return [f"left out: {len(layers)} modules, {reason} ({layers[0]})" for reason, layers in by_reason.items()]
