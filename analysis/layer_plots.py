"""Figures of a layer search: heat map and profiles over the layers in the order of the forward pass.

Both are drawn from the search's table.json alone: by the search when it is done, by the report, and again later.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainscore_submission.scoring.records import MARKS

from .figures import short, style, titled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

BEST = {"marker": "v", "color": "#d55e00", "markeredgecolor": "white", "markersize": 10, "linestyle": ""}
COMMITTED = {"marker": "D", "color": "white", "markeredgecolor": "#1b1f24", "markersize": 7, "linestyle": ""}
LINE, EDGE = "#0072b2", "#5a636d"
NOT_SCORED = "#e4e1da"
MOST_GROUPS = 12
WIDTH = 11.0
NUMBERS = ("position", "depth", "raw", "raw_error", "raw_spread", "score", "score_error")
NEEDED = ("layer", "area", "benchmark", "exact", "tied", "chosen", *NUMBERS)


@dataclass(frozen=True)
class Search:
    """What a table.json holds; `table` has a row a layer and benchmark, with the columns of `layer_search.table`."""

    table: pd.DataFrame
    model: str
    suite: str
    marks: tuple[str, ...]


def read_search(path: Path) -> Search:
    """Read a table.json, also one of version 0.1.0, which has a flag for each mark.

    Raises
    ------
    ValueError, OSError
        Something is missing, it is no JSON or holds no number, it cannot be read.
    """
    import pandas as pd

    facts = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(facts, dict) or not {"model", "suite", "layers"} <= set(facts):
        raise ValueError("it holds no layer search")
    table = pd.DataFrame(facts["layers"])
    missing = [name for name in NEEDED if name not in table]
    if missing or table["raw"].isna().all():
        raise ValueError(f"its layers have no {', '.join(missing) or 'score'}")
    kinds = dict.fromkeys(NUMBERS, float) | {"position": int, "chosen": bool, "exact": bool}
    marks = tuple(facts["marks"]) if "marks" in facts else tuple(mark for mark in MARKS if facts.get(mark.lower()))
    return Search(table.astype(kinds), facts["model"], facts["suite"], marks)


def heat_map(search: Search, committed: Mapping[str, str] | None = None) -> Figure:
    """Signed score of every layer: one row a benchmark, layers in the order of the forward pass, the chosen one marked.

    Parameters
    ----------
    search : Search
    committed : area -> layer, as named in the table; of a given layer map
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows, n_layers = _rows(search.table), search.table["position"].max() + 1
    values = np.ma.masked_all((len(rows), n_layers))
    for strip, (_, row) in zip(values, rows, strict=True):
        strip[row["position"]] = np.ma.masked_invalid(_signed(row))
    with style(), mpl.rc_context({"axes.grid": False}):
        figure = Figure(figsize=(WIDTH, 1.6 + 0.75 * len(rows)))
        axes = figure.add_subplot()
        axes.set_facecolor("none")
        scale = {"vmin": min(0.0, values.min()), "vmax": values.max(), "edgecolors": "face", "linewidth": 0.2}
        for number, (label, row) in enumerate(rows):
            edges = number - 0.2, number + 0.35  # between strips is room for the marks
            axes.fill_between([0, n_layers], *edges, color=NOT_SCORED, linewidth=0)
            mesh = axes.pcolormesh(np.arange(n_layers + 1), edges, values[number : number + 1], **scale)
            _marked(axes, row, committed, lambda _layer, at=number: (at - 0.3, at + 0.45))
            axes.text(n_layers + 0.01 * n_layers, number, _best_in_words(row), va="center", fontsize=8)
            axes.text(-0.01 * n_layers, number, label, va="center", ha="right")
        axes.set_ylim(len(rows) - 0.4, -0.5)
        axes.set_yticks([])
        axes.spines[["left", "bottom"]].set_visible(False)
        _name_groups(axes, search.table)
        bar = figure.colorbar(mesh, ax=axes, label="signed score", pad=0.02, fraction=0.02, aspect=12)
        bar.solids.set(rasterized=False, edgecolor="face")  # vector, so that a page needs no embedded image
        _legend(figure, committed)
        return titled(figure, f"{_title(search)}, {n_layers} layers", search.marks)


def _title(search):
    return f"Layer search: {short(search.model)}, suite {short(search.suite)}"


def profiles(search: Search, committed: Mapping[str, str] | None = None) -> Figure:
    """Signed score over the layers with its error band, one panel a benchmark.

    The band is one standard deviation of the score when neuroids and stimuli are drawn anew; where there are none, its
    standard error over splits. Parameters as of `heat_map`.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = _rows(search.table)
    with style():
        figure = Figure(figsize=(WIDTH, 1.1 + 1.65 * len(rows)))
        panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, row) in zip(panels, rows, strict=True):
            _one_profile(axes, row, committed)
            axes.set_title(f"{label}: {_best_in_words(row)}", fontsize=9)
            _name_groups(axes, search.table, named=axes is panels[-1])
        figure.supylabel("signed score", fontsize=10)
        sketched = Line2D([], [], marker="o", color="white", markeredgecolor=LINE, linestyle="", label="from a sketch")
        tied = Line2D([], [], marker="|", color="#d55e00", linestyle="", label="tied with the best")
        _legend(figure, committed, [tied] if search.table["exact"].all() else [sketched, tied])
        return titled(figure, _title(search), search.marks)


def _one_profile(axes, row, committed):
    x, y, error = row["position"].to_numpy() + 0.5, _signed(row), _band(row)
    axes.fill_between(x, y - error, y + error, color=LINE, alpha=0.22, linewidth=0)
    axes.plot(x, y, color=LINE, linewidth=1.0, marker="")
    size = float(np.clip(600 / len(row), 1.5, 5))
    exact = row["exact"].to_numpy()
    axes.plot(x[exact], y[exact], color=LINE, marker="o", markersize=size, linestyle="")
    axes.plot(x[~exact], y[~exact], color="white", markeredgecolor=LINE, marker="o", markersize=size, linestyle="")
    axes.axhline(0, color=EDGE, linewidth=0.8)
    low, high = float(np.min(y - error)), float(np.max(y + error))
    margin = 0.22 * max(high - low, 1e-6)
    axes.set_ylim(min(low, 0) - margin, max(high, 0) + margin)
    tied = (row["tied"] == True).to_numpy()  # noqa: E712  (empty where not confirmed)
    axes.plot(x[tied], np.full(tied.sum(), axes.get_ylim()[0] + 0.3 * margin), "|", color="#d55e00", markersize=6)
    at = {layer: (top, bottom) for layer, top, bottom in zip(row["layer"], y + error, y - error, strict=True)}
    _marked(axes, row, committed, lambda layer: (at[layer][0] + 0.45 * margin, at[layer][1] - 0.45 * margin))


def _rows(table):
    """Benchmarks in the table's order: a label, and the layers in the order of the forward pass."""
    benchmarks_of = table.groupby("area")["benchmark"].nunique()
    rows = [row.sort_values("position") for _, row in table.groupby("benchmark", sort=False)]
    firsts = [(row["area"].iloc[0], row["benchmark"].iloc[0]) for row in rows]
    labels = [area if benchmarks_of[area] == 1 else f"{area}: {benchmark}" for area, benchmark in firsts]
    return list(zip(labels, rows, strict=True))


def _signed(row):
    """Score with the sign of r; r itself where there is no ceiling."""
    score = row["score"].where(row["score"].notna(), row["raw"])
    return np.copysign(score.to_numpy(), row["raw"].to_numpy())


def _band(row):
    """Spread of raw r on the scale of the score, by the slope of the score's own error over the error of raw."""
    raw_error, score_error, spread = (row[name].to_numpy() for name in ("raw_error", "score_error", "raw_spread"))
    slope = np.divide(score_error, raw_error, out=np.ones(len(row)), where=raw_error > 0)
    return np.nan_to_num(np.where(np.isnan(spread), score_error, slope * spread))


def _marked(axes, row, committed, height):
    """The chosen layer of a row from above, the committed one from below; `height` gives both places of a layer."""
    position = dict(zip(row["layer"], row["position"] + 0.5, strict=True))
    for layer in row["layer"][row["chosen"]]:
        axes.plot([position[layer]], [height(layer)[0]], zorder=4, clip_on=False, **BEST)
    layer = (committed or {}).get(row["area"].iloc[0])
    if layer in position:
        axes.plot([position[layer]], [height(layer)[1]], zorder=5, clip_on=False, **COMMITTED)


def _best_in_words(row):
    chosen = row[row["chosen"]]
    return "" if chosen.empty else f"{chosen['layer'].iloc[0]}, {_signed(chosen)[0]:.3f}"


def groups(layers: Sequence[str]) -> list[tuple[str, int, int]]:
    """Consecutive layers of one part of the network: name, first position, last position + 1.

    As deep into the names as leaves no more than `MOST_GROUPS` parts.

    Examples
    --------
    >>> groups(["stem", "blocks.0.norm", "blocks.0.mlp", "blocks.1.norm"])
    [('stem', 0, 1), ('blocks.0', 1, 3), ('blocks.1', 3, 4)]
    """
    found: list[tuple[str, int, int]] = [(layers[0].split(".")[0], 0, len(layers))]
    for depth in range(1, 6):
        names = [".".join(layer.split(".")[:depth]) for layer in layers]
        starts = [at for at, name in enumerate(names) if at == 0 or name != names[at - 1]]
        # Not past the point where every layer is a part of its own.
        if len(starts) > MOST_GROUPS or (depth > 1 and len(starts) == len(layers) > len(found)):
            break
        found = [(names[start], start, stop) for start, stop in itertools.pairwise([*starts, len(layers)])]
    return found


def _name_groups(axes, table, named=True):
    """Thin lines between parts of the network, their names below, and the share of the forward pass done."""
    layers = table.drop_duplicates("layer").sort_values("position")
    parts = groups(list(layers["layer"]))
    positions = layers["position"].to_numpy()
    for _, start, _ in parts[1:]:
        axes.axvline(positions[start], color=EDGE, linewidth=0.5, alpha=0.6, zorder=3)
    axes.set_xlim(0, positions[-1] + 1)
    if not named:
        axes.tick_params(labelbottom=False, bottom=False)
        return
    depth = layers["depth"].to_numpy()
    middles = [(positions[start] + positions[stop - 1] + 1) / 2 for _, start, stop in parts]
    labels = [f"{name}\n{depth[stop - 1]:.0%}" for name, _, stop in parts]
    kept = _apart(middles, labels, positions[-1] + 1)
    axes.set_xticks([middles[i] for i in kept], [labels[i] for i in kept], fontsize=8)
    axes.tick_params(bottom=False)
    axes.set_xlabel("layers in the order of the forward pass; below each part, the share of the FLOPs done at its end")


def _apart(middles, labels, width):
    """Indices of labels that do not run into each other, the widest parts' first."""
    kept: list[int] = []
    need = [0.011 * width * max(len(line) for line in label.split("\n")) for label in labels]
    room = np.diff([0, *[(a + b) / 2 for a, b in itertools.pairwise(middles)], width])
    for i in sorted(range(len(middles)), key=lambda i: -room[i]):
        if all(abs(middles[i] - middles[j]) > (need[i] + need[j]) / 2 for j in kept):
            kept.append(i)
    return sorted(kept)


def _legend(figure, committed, extra=()):
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label="chosen for the area", **BEST)]
    if committed:
        handles.append(Line2D([], [], label="committed by the layer map", **COMMITTED))
    figure.legend(handles=[*handles, *extra], loc="outside lower left", ncols=4)
