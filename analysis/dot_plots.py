"""Figures of many models: dots with intervals, a panel for each measure; and one measure over another.

Nothing here reads records. How figures look and are saved is in `figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .comparisons import is_certain, ranking_measure, value_of
from .figures import common_marks, look, marked, style, titled
from .profiles import FORMULA_LABELS, Profile

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

BRACKETS = 8  # more in one panel cannot be read


def dot_plot(
    profiles: Sequence[Profile],
    measures: Sequence[str],
    labels: Mapping[str, str] | None = None,
    size: tuple[float, float] | None = None,
    pairs: pd.DataFrame | None = None,
) -> Figure:
    """A row for each model, best on top; a panel for each measure, with 95 % intervals and the noise ceiling as a line.

    Parameters
    ----------
    profiles : of one suite
    measures : areas, "Avg"
    labels : model -> what to call it
    size : width and height in inches; default by the number of models and panels
    pairs : from `comparisons.compare`; brackets join models that it tells apart, the closest rows first
    """
    from matplotlib.figure import Figure

    order = in_order(profiles, measures)
    common = common_marks(profile.marks for profile in order)
    with style():
        height = {profile.model: len(order) - row for row, profile in enumerate(order)}
        names = [marked((labels or {}).get(one.model, one.model), one.marks, common) for one in order]
        beside = 0.5 + 0.08 * max(map(len, names))  # inches, for the names
        figure = Figure(figsize=size or (beside + max(1.7 * len(measures), 2.6), 1.3 + 0.24 * len(order)))
        panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for axes, measure in zip(panels, measures, strict=True):
            _one_panel(axes, order, measure, height)
            if pairs is not None and not pairs.empty:
                _brackets(axes, pairs[pairs["measure"] == measure], height)
        panels[0].set_yticks([height[one.model] for one in order], names)
        panels[0].set_ylim(0.4, len(order) + 0.6)
        return titled(figure, f"Suite {order[0].suite}: score, 95 % interval", common)


def in_order(profiles: Sequence[Profile], measures: Sequence[str]) -> list[Profile]:
    """Best first: by what models are ranked by, or where that does not exist by the first measure."""
    by = ranking_measure(profiles) or measures[0]
    values = {profile.model: value_of(profile, by) for profile in profiles}
    return sorted(
        profiles, key=lambda one: -1e9 if values[one.model] is None else values[one.model].value, reverse=True
    )


def _one_panel(axes, order, measure, height):
    formulas = set()
    for profile in order:
        value = value_of(profile, measure)
        if value is None:
            continue
        formulas.add(FORMULA_LABELS[value.formula] if measure != "behavior" else "")
        color = look(0)["color"]
        ends = value.interval if measure == "Avg" else profile.interval(value.formula, measure)
        if ends is not None:
            axes.plot(ends, [height[profile.model]] * 2, color=color, linewidth=1.6, marker="", solid_capstyle="butt")
        axes.plot([value.value], [height[profile.model]], color=color, marker="o", markersize=5, linestyle="")
    ceilings = {round(one.at_ceiling[measure], 6) for one in order if measure in one.at_ceiling}
    for ceiling in ceilings:  # one, unless models were held against different data
        axes.axvline(ceiling, color="#5a636d", linewidth=1, linestyle="--")
    axes.axvline(0, color="#5a636d", linewidth=0.8)
    axes.set_title(measure + (" (r)" if formulas == {"r"} else ""))
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")


def _brackets(axes, pairs, height):
    certain = [row for row in pairs.itertuples() if is_certain(row) and {row.a, row.b} <= set(height)]
    certain.sort(key=lambda row: abs(height[row.a] - height[row.b]))
    right = axes.get_xlim()[1]
    step = 0.05 * (right - axes.get_xlim()[0])
    for number, row in enumerate(certain[:BRACKETS], 1):
        x, (low, high) = right + number * step, sorted((height[row.a], height[row.b]))
        axes.plot([x - step / 2, x, x, x - step / 2], [low, low, high, high], color="#1b1f24", linewidth=0.9, marker="")


def scatter(
    profiles: Sequence[Profile],
    x: str,
    y: str,
    labels: Mapping[str, str] | None = None,
    size: tuple[float, float] | None = None,
) -> Figure:
    """One measure over another, a dot for each model that has both, with 95 % intervals."""
    from matplotlib.figure import Figure

    both = [one for one in profiles if value_of(one, x) and value_of(one, y)]
    common = common_marks(one.marks for one in both)
    with style():
        figure = Figure(figsize=size or (5.2, 4.2))
        axes = figure.add_subplot()
        for number, profile in enumerate(both):
            at, over = value_of(profile, x), value_of(profile, y)
            drawn = look(number if len(both) <= 7 else 0)
            line = {"color": drawn["color"], "linewidth": 0.9, "alpha": 0.6, "marker": ""}
            if at.interval is not None:
                axes.plot(at.interval, [over.value] * 2, **line)
            if over.interval is not None:
                axes.plot([at.value] * 2, over.interval, **line)
            axes.plot([at.value], [over.value], **drawn | {"linestyle": ""})
            name = marked((labels or {}).get(profile.model, profile.model), profile.marks, common, 30)
            axes.annotate(name, (at.value, over.value), xytext=(5, 4), textcoords="offset points", fontsize=7)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(True, axis="both")
        return titled(figure, f"{y} over {x}, suite {both[0].suite}", common)
