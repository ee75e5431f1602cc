"""Figures of profiles and hierarchies; those of layer searches are in `layer_plots`. Each says its marks.

A mark that all models have stands over the figure, any other at the names of those it is true of. A function makes one
figure; `save` writes it as SVG and PNG. Nothing here reads records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError, suggest
from brainscore_submission.plugin.files import whole_file, writing_to
from brainscore_submission.scoring.published import CAVEAT
from brainscore_submission.scoring.records import MARKS

from .display import interval, signed
from .hierarchy import Estimate
from .profiles import FORMULA_LABELS, Profile, depth_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

STYLE = Path(__file__).with_name("figures.mplstyle")
MARK_COLOR = "#b00020"
# Kinds of files, and what of their metadata would differ from run to run.
KINDS = {"svg": {"Date": None}, "png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}
_PANEL_SIGNS = 36  # in the title of one of two panels side by side


def style():
    """Context in which every figure is drawn and saved, the reader's own settings aside."""
    import matplotlib as mpl

    return mpl.rc_context(fname=STYLE)


def save(
    figure: Figure, folder: str | Path, name: str, option: str = "--figures", kinds: Sequence[str] = ("svg", "png")
) -> list[Path]:
    """Write a figure as `name`.svg and `name`.png, or as files of other `KINDS`, each whole or not at all.

    Raises
    ------
    UserError
        They cannot be written (says to give another folder with `option`), or the kind is unknown.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UserError(f"unknown kind of file '{unknown[0]}'.{suggest(unknown[0], KINDS)}")
    with writing_to(folder, option):
        Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for kind in kinds:
        paths.append(Path(folder) / f"{name}.{kind}")
        with style(), whole_file(paths[-1], option) as unfinished:
            figure.savefig(unfinished, format=kind, metadata=KINDS[kind])
    return paths


def area_profile(profiles: Sequence[Profile]) -> Figure:
    """Today's score by area of several models on one suite, with 95 % intervals."""
    from matplotlib.figure import Figure

    with style():
        areas = [area for area in AREAS_AND_BEHAVIOR if any(area in profile.values["today"] for profile in profiles)]
        figure = Figure(figsize=(5.2, 3.2 + 0.17 * len(profiles)))
        axes = figure.add_subplot()
        common = common_marks(profile.marks for profile in profiles)
        step = min(0.06, 0.5 / len(profiles))
        for number, profile in enumerate(profiles):
            shift = step * (number - (len(profiles) - 1) / 2)
            label = {"label": marked(profile.model, profile.marks, common)}
            _one_profile(axes, profile, areas, shift, look(number) | label)
        axes.set_xticks(range(len(areas)), areas)
        axes.set_xlabel("area, shallow to deep")
        axes.set_ylabel(f"score {FORMULA_LABELS['today']}")
        axes.axhline(0, color="#5a636d", linewidth=0.8)
        figure.legend(loc="outside lower left", ncols=1)
        return titled(figure, f"Score by area, suite {profiles[0].suite}", common)


def _one_profile(axes, profile, areas, shift, drawn):
    scores = profile.values["today"]
    mine = [area for area in areas if area in scores]
    x, y = np.array([areas.index(area) for area in mine]) + shift, np.array([scores[area] for area in mine])
    for at, area in zip(x, mine, strict=True):
        ends = profile.interval("today", area)
        if ends is not None:
            axes.plot([at, at], ends, color=drawn["color"], linewidth=1.2, marker="")
    # Behaviour is no area of the hierarchy: no line leads there.
    neural = [index for index, area in enumerate(mine) if area != "behavior"]
    axes.plot(x[neural], y[neural], **drawn)
    axes.plot(np.delete(x, neural), np.delete(y, neural), **drawn | {"linestyle": "", "label": None})


def hierarchy_slopes(estimates: Sequence[Estimate], models: Sequence[str]) -> Figure:
    """Rank of each area's score over its depth; without ties the slope of the line is rho.

    `estimates` are of one suite under one formula; `models` are all of the suite, so that each keeps its colour.
    """
    with style():
        common = common_marks(one.marks for one in estimates)
        figure, panels = _panels(len(estimates), height=1.75)
        for axes, one in zip(panels, estimates, strict=True):
            _one_slope(axes, one, look(models.index(one.model)))
            axes.set_title(f"{marked(one.model, one.marks, common, _PANEL_SIGNS)}\n{rho_text(one)}")
        figure.supxlabel("depth", fontsize=10)
        figure.supylabel("rank of the score", fontsize=10)
        return titled(figure, f"ρ as slope over depth, {FORMULA_LABELS[estimates[0].formula]}", common)


def _panels(count, height):
    """A figure of `count` small panels, two in a row, and the panels."""
    from matplotlib.figure import Figure

    columns = min(2, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(5.2, 0.9 + height * rows))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[count:]:
        axes.set_axis_off()
    for axes in panels.flat[max(count - columns, 0) : count]:
        axes.tick_params(labelbottom=True)  # shared axes label the last row only, which may have gaps
    return figure, list(panels.flat[:count])


def _one_slope(axes, one, drawn):
    import pandas as pd

    areas, scores = list(one.scores), np.array(list(one.scores.values()))
    depth = np.arange(1, len(areas) + 1)
    rank = pd.Series(scores).rank().to_numpy()
    axes.plot(depth, rank, **drawn | {"linestyle": ""})
    rho = one.hierarchy.rho
    if rho is not None:
        slope = rho * rank.std() / depth.std()
        axes.plot(depth, rank.mean() + slope * (depth - depth.mean()), color=drawn["color"], marker="")
    axes.set_xticks(depth, areas)
    axes.set_yticks(depth)
    axes.set_ylim(0.5, len(areas) + 0.5)


def rho_text(one: Estimate) -> str:
    """Rho and its interval in a few signs.

    >>> from analysis.hierarchy import published_estimates
    >>> rho_text(published_estimates()[6])
    'ρ +0.8 [+0.8, +0.8]'
    """
    if one.hierarchy.rho is None:
        return "ρ undefined"
    ends = "" if one.interval is None else f" [{interval(one.interval, 1, sign=True).replace(' to', ',')}]"
    return f"ρ {signed(one.hierarchy.rho, 1)}{' (ties)' if one.hierarchy.ties else ''}{ends}"


def neuroid_distributions(profiles: Sequence[Profile]) -> Figure | None:
    """Distribution of r over neuroids: one violin per model and benchmark, with median and quartiles.

    Returns None where no record kept its neuroids.
    """
    from matplotlib.figure import Figure

    area_of = {name: profile.area_of[name] for profile in profiles for name in profile.neuroid_r}
    if not area_of:
        return None
    shown = sorted(area_of, key=lambda name: (depth_of(area_of[name]), name))
    with style():
        figure = Figure(figsize=(5.2, 0.9 + len(shown) * (0.35 + 0.2 * len(profiles))))
        panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        common = common_marks(profile.marks for profile in profiles)
        for axes, benchmark in zip(panels, shown, strict=True):
            _one_distribution(axes, profiles, benchmark, common)
        panels[-1].set_xlabel("r of a neuroid, mean over splits (signed)")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower left", ncols=1)
        return titled(figure, "r over neuroids: median and quartiles", common)


def _one_distribution(axes, profiles, benchmark, common):
    for row, profile in enumerate(profiles):
        drawn, height = look(row), len(profiles) - row
        r = profile.neuroid_r.get(benchmark, np.array([]))
        r = r[np.isfinite(r)]
        if len(r) > 1 and np.ptp(r) > 0:
            (body,) = axes.violinplot([r], [height], orientation="horizontal", widths=0.9, showextrema=False)["bodies"]
            body.set(facecolor=drawn["color"], alpha=0.35, edgecolor="none")
        low, median, high = ([value] for value in np.percentile(r, [25, 50, 75])) if len(r) else ([], [], [])
        axes.plot(low + high, [height] * len(low + high), color=drawn["color"], marker="")
        axes.plot(median, [height] * len(median), label=marked(profile.model, profile.marks, common), **drawn)
    axes.axvline(0, color="#5a636d", linewidth=0.8)
    axes.set_yticks([])
    axes.grid(True, axis="x")
    axes.set_ylabel(benchmark.removesuffix("-pls"), rotation=0, ha="right", va="center", fontsize=9)


def published_against_own(lined_up: pd.DataFrame) -> Figure:
    """The paper's values beside own ones (`published.line_up` of one suite) under the same, old formula.

    Other data, so never one scale of merit.
    """
    models = list(lined_up["model"].unique())
    with style():
        common = common_marks(lined_up["marks"])
        figure, panels = _panels(len(models), height=1.7)
        for axes, model in zip(panels, models, strict=True):
            mine = lined_up[lined_up["model"] == model]
            axes.plot(mine["area"], mine["published"], "s", color="#5c5c5c", fillstyle="none", label=CAVEAT)
            axes.plot(mine["area"], mine["own_2022"], "o", color="#0072b2", label="own, same formula, other data")
            axes.set_title(marked(model, mine["marks"].iloc[0], common, _PANEL_SIGNS))
            axes.margins(x=0.12)
        figure.supylabel("score (r/c)²", fontsize=10)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=1)
        return titled(figure, f"Published beside own, suite {lined_up['suite'].iloc[0]}", common)


def look(number: int) -> dict:
    """Colour, marker and line of the model with this number; 7 colours, then other markers, then dashes."""
    import matplotlib as mpl

    cycle = list(mpl.rcParams["axes.prop_cycle"])
    again, place = divmod(number, len(cycle))
    marker = cycle[(place + 3 * again) % len(cycle)]["marker"]
    return {"color": cycle[place]["color"], "marker": marker, "linestyle": ("-", "--", ":")[again % 3]}


def common_marks(each: Iterable[Sequence[str]]) -> list[str]:
    """The marks that all models of a figure have, to stand over it; of the others each name tells."""
    each = list(each)
    return [mark for mark in MARKS if all(mark in own for own in each)]


def marked(model: str, own: Sequence[str], common: Sequence[str], room: int | None = None) -> str:
    """A model's name, short, and those of its marks that do not stand over the figure; in `room` signs if given.

    >>> marked("991", ["UNTRAINED", "SIMULATED"], ["SIMULATED"])
    '991 [UNTRAINED]'
    """
    words = "".join(f" [{mark}]" for mark in own if mark not in common)
    return (short(model) if room is None else short(model, room - len(words))) + words


def short(model: str, limit: int = 40) -> str:
    """A model's name, cut in the middle where it is long.

    >>> short("a" * 50, limit=11)
    'aaaaa…aaaaa'
    """
    half = (limit - 1) // 2
    return model if len(model) <= limit else f"{model[:half]}…{model[-half:]}"


def titled(figure: Figure, title: str, words: Iterable[str]) -> Figure:
    """Put the title over the figure, and the marks of all that is in it into the upper right corner."""
    mark = " · ".join(words)
    room = int(9 * figure.get_figwidth()) - len(mark)  # signs in one line: about 9 an inch
    figure.suptitle(title if not mark or len(title.splitlines()[0]) <= room else f"\n{title}", x=0.01, ha="left")
    if mark:
        figure.text(0.995, 0.995, mark, ha="right", va="top", color=MARK_COLOR, weight="bold")
    return figure
