"""Robustness beside brain scores: tables, scatter plots, rank correlations over models with their permutation p.

python -m analysis.robustness results/
python -m analysis.robustness results/ --published --effectiveness summary.csv -o figures/
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.summary import gaps_of, read_summary

from . import figures
from .comparable import read_results
from .comparisons import AVERAGE, alike, value_of
from .display import AsJson, ResultsFolder, interval, number, signed, write_table
from .profiles import profiles_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PUBLISHED = Path(__file__).with_name("published_robustness.toml")
METRICS = ("clean_accuracy", "robust_accuracy", "l2_tolerance", "alignment", "perturbation_top1")
USUAL_SEARCH, USUAL_LIMIT = "minimal", 10.0  # of a tolerance: not said
MOST_EXACT = 9  # models; 9! orders are looked at one by one
N_ORDERS = 100_000


@dataclass(frozen=True)
class Value:
    """One measure of one model.

    Parameters
    ----------
    model, marks : of the record
    measure : metric, threat and images in words: what is comparable between models
    attack : the strongest one where several were measured: the lowest robust accuracy counts
    value, interval, n : of the record
    """

    model: str
    marks: tuple[str, ...]
    measure: str
    attack: str
    value: float
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class Relation:
    """Rank correlation over models between a measure and a brain score (or another measure).

    Parameters
    ----------
    p : two-sided, by permutation: exact up to 9 models; None where ρ is undefined
    """

    one: str
    other: str
    n: int
    rho: float | None
    p: float | None


def read_values(measures: pd.DataFrame) -> list[Value]:
    """The measures of robustness among records; of several attacks within one threat on the same images the strongest.

    Parameters
    ----------
    measures : rows of `read_results` of kind "measure"
    """
    lowest: dict[tuple[str, str], Value] = {}
    for row in measures.itertuples():
        if row.metric not in METRICS or row.status != "scored":
            continue
        settings = row.settings or {}
        attack = settings.get("attack") or ""
        words = [row.metric, settings.get("threat"), settings.get("judge") and f"judge {settings['judge']}"]
        if row.metric in ("l2_tolerance", "alignment") and not attack.startswith(USUAL_SEARCH):
            words.append(attack)
        if settings.get("limit", USUAL_LIMIT) != USUAL_LIMIT:
            words.append(f"up to {settings['limit']:g}")
        measure = " ".join([*filter(None, words), f"on {settings.get('images', '?')}"])
        one = Value(row.model, row.marks, measure, attack, float(row.value), row.interval, int(row.n))
        known = lowest.get((row.model, measure))
        if known is None or (row.metric == "robust_accuracy" and one.value < known.value):
            lowest[row.model, measure] = one
    return sorted(lowest.values(), key=lambda one: (one.measure, -one.value))


def brain_scores(records: pd.DataFrame) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Suite and area ("demo Avg", "demo V4") -> model -> score; Avg only where all five areas are there.

    And a line for each model that is left out of one, since it saw something else than the others.
    """
    scores: dict[str, dict[str, float]] = {}
    warnings: list[str] = []
    profiles, _ = profiles_of(records, n_resamples=100)
    for suite in dict.fromkeys(profile.suite for profile in profiles):
        of_suite = [profile for profile in profiles if profile.suite == suite]
        for measure in (*AREAS_AND_BEHAVIOR, AVERAGE):
            comparable, others = alike(of_suite, measure)
            warnings += others
            found = {one.model: value_of(one, measure) for one in comparable}
            ceiled = {model: value.value for model, value in found.items() if value.formula == "today"}
            if ceiled:
                scores[f"{suite} {measure}"] = ceiled
    return scores, warnings


def relation(one: str, other: str, x: Mapping[str, float], y: Mapping[str, float]) -> Relation:
    """Spearman's ρ over the models that have both, and its permutation p."""
    shared = sorted(set(x) & set(y))
    rho, p = rank_correlation([x[model] for model in shared], [y[model] for model in shared])
    return Relation(one, other, len(shared), rho, p)


def rank_correlation(x: Sequence[float], y: Sequence[float], seed: int = 0) -> tuple[float | None, float | None]:
    """Spearman's ρ and the share of orders whose |ρ| is as large: all orders up to 9 models, else 100 000 random ones.

    Returns
    -------
    rho, p : None for fewer than three models, or where one side is the same for all

    Examples
    --------
    With four models in the same order 2 of 24 orders are as extreme.

    >>> rho, p = rank_correlation([1, 2, 3, 4], [10, 20, 30, 40])
    >>> round(rho, 3), round(p, 4)
    (1.0, 0.0833)
    """
    from scipy.stats import rankdata

    n = len(x)
    if n < 3 or len(set(x)) < 2 or len(set(y)) < 2:
        return None, None
    one, other = (rankdata(values) - (n + 1) / 2 for values in (x, y))
    length = math.sqrt((one**2).sum() * (other**2).sum())
    rho = float(one @ other / length)
    if n <= MOST_EXACT:
        orders = np.array(list(itertools.permutations(other)))
        return rho, float((np.abs(orders @ one) >= abs(rho) * length - 1e-9).mean())
    draws = np.random.default_rng(seed).permuted(np.tile(other, (N_ORDERS, 1)), axis=1)
    hits = int((np.abs(draws @ one) >= abs(rho) * length - 1e-9).sum())
    return rho, (hits + 1) / (N_ORDERS + 1)


def relations(values: Sequence[Value], scores: Mapping[str, Mapping[str, float]]) -> list[Relation]:
    """Every measure against every brain score, and tolerance against clean accuracy on the same images."""
    by_measure = measures_of(values)
    found = [relation(measure, name, mine, scores[name]) for measure, mine in by_measure.items() for name in scores]
    for measure, mine in by_measure.items():
        clean = measure.replace("l2_tolerance", "clean_accuracy")
        if clean != measure and clean in by_measure:
            found.append(relation(measure, clean, mine, by_measure[clean]))
    return found


def measures_of(values: Sequence[Value]) -> dict[str, dict[str, float]]:
    """Measure -> model -> value."""
    found: dict[str, dict[str, float]] = {}
    for one in values:
        found.setdefault(one.measure, {})[one.model] = one.value
    return found


def published() -> dict:
    """The published numbers, see `published_robustness.toml`."""
    return tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))


# --- figures ---------------------------------------------------------------------------------------------------------


def scatter(
    one: Relation, x: Mapping[str, float], y: Mapping[str, float], marks: Mapping[str, Sequence[str]]
) -> Figure:
    """A point for each model: the measure to the right, the brain score upwards."""
    from matplotlib.figure import Figure

    shared = sorted(set(x) & set(y))
    common = figures.common_marks(marks[model] for model in shared)
    with figures.style():
        figure = Figure()
        axes = figure.subplots()
        for place, model in enumerate(shared):
            look = {name: value for name, value in figures.look(place).items() if name != "linestyle"}
            axes.plot(x[model], y[model], linestyle="none", label=figures.marked(model, marks[model], common), **look)
        axes.set(xlabel=one.one, ylabel=one.other)
        axes.legend(fontsize="x-small")
        said = "ρ undefined" if one.rho is None else f"ρ = {signed(one.rho)}, p = {number(one.p)}"
        return figures.titled(figure, f"{said}, {one.n} models", common)


def effectiveness_curves(own: Mapping[tuple[str, str], Mapping[int, tuple[float, float]]], beside: Mapping) -> Figure:
    """The gap to the strongest attack's loss against the number of steps, own and published networks."""
    from matplotlib.figure import Figure

    with figures.style():
        figure = Figure()
        axes = figure.subplots()
        for place, ((model, epoch), gaps) in enumerate(own.items()):
            steps = sorted(gaps)[:-1]  # the strongest attack's gap to itself is 0
            label = figures.short(model) + (f", epoch {epoch}" if epoch else "")
            axes.plot(steps, [gaps[step][0] for step in steps], label=label, **figures.look(place))
        strongest = {max(gaps) for gaps in own.values()}
        for row in beside["rows"] if strongest == {beside["strongest"]} else ():
            axes.plot(beside["steps"], row["gaps"], color="0.6", linewidth=0.8, label=f"{row['model']} (published)")
        axes.set(xscale="log", yscale="log", xlabel="PGD steps", ylabel="gap to the strongest attack's loss, per cent")
        axes.legend(fontsize="xx-small")
        return figure


# --- the command -----------------------------------------------------------------------------------------------------


def main(
    results: ResultsFolder,
    effectiveness: Annotated[Path | None, typer.Option(help="A summary.csv of attack effectiveness.")] = None,
    with_published: Annotated[
        bool, typer.Option("--published", help="Show published numbers beside own ones.")
    ] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for scatter plots and curves.")] = None,
    as_json: AsJson = False,
) -> None:
    """Robustness of models beside their brain scores.

    Examples:

      python -m analysis.robustness results/

      python -m analysis.robustness results/ --published -o figures/
    """
    with front_end() as terminal:
        table, warnings = read_results(results)
        values = read_values(table[table["kind"] == "measure"])
        if not values and effectiveness is None:
            raise UserError(
                f"no measure of robustness under {results}. "
                "Make one: brainscore-submission attack --model 991 --images val/"
            )
        scores, others = brain_scores(table[table["kind"] == "predictivity"])
        warnings += others
        found = relations(values, scores)
        gaps = gaps_of(read_summary(effectiveness)) if effectiveness else {}
        beside = published()
        written = save_figures(values, scores, found, gaps, beside, table, output) if output else []
        if as_json:
            facts = {
                "measures": [vars(one) for one in values],
                "relations": [vars(one) for one in found],
                "written": [str(path) for path in written],
                "warnings": warnings,
            }
            terminal.write_json(facts | ({"published": beside} if with_published else {}))
            return
        terminal.warn(warnings)
        write_tables(Console(file=terminal.out), values, found, gaps, beside if with_published else None)
        if written:
            terminal.out.write(f"written: {', '.join(map(str, written))}\n")


def save_figures(values, scores, found, gaps, beside, table, output: Path) -> list[Path]:
    """A scatter plot for each relation of three models or more, and the curves."""
    marks = {row.model: row.marks for row in table.itertuples()}
    sides = measures_of(values)
    paths = []
    for one in found:
        if one.n >= 3:
            x, y = sides[one.one], (scores | sides)[one.other]
            name = "".join(sign if sign.isalnum() else "-" for sign in f"{one.one}-{one.other}")
            paths += figures.save(scatter(one, x, y, marks), output, name, "--output")
    if gaps:
        paths += figures.save(effectiveness_curves(gaps, beside["effectiveness"]), output, "effectiveness", "--output")
    return paths


def write_tables(console: Console, values, found, gaps, beside) -> None:
    """Measures, relations, effectiveness; published rows under the own ones they can be compared with."""
    rows = [
        {
            "measure": one.measure,
            "model": " ".join([one.model, *(f"[{mark}]" for mark in one.marks)]),
            "value": number(one.value),
            "95 % interval": interval(one.interval),
            "n": str(one.n),
            "attack": one.attack,
        }
        for one in values
    ]
    if beside:
        bench = beside["robustbench"]
        for metric, key in (("robust_accuracy " + bench["threat"], "robust"), ("clean_accuracy", "clean")):
            rows += [
                {
                    "measure": f"{metric}, published",
                    "model": row["model"],
                    "value": number(row[key]),
                    "95 % interval": "–",
                    "n": "5000",
                    "attack": bench["attack"] if key == "robust" else "",
                }
                for row in bench["rows"]
            ]
    if rows:
        write_table(console, "robustness", rows, names=2)
    if beside:
        bench = beside["robustbench"]
        console.print(f"published: {bench['source']}, {bench['images']}; own images are others\n", highlight=False)
    if found:
        shown = [
            {
                "measure": one.one,
                "against": one.other,
                "models": str(one.n),
                "ρ": signed(one.rho),
                "p": number(one.p),
            }
            for one in found
        ]
        write_table(console, "rank correlation over models, two-sided permutation p", shown, names=2)
    if gaps:
        every = sorted({step for by_step in gaps.values() for step in by_step})
        shown = [
            {"model": model, "epoch": epoch} | {f"pgd:{step}": number(by_step.get(step, (None,))[0]) for step in every}
            for (model, epoch), by_step in gaps.items()
        ]
        if beside:
            known = beside["effectiveness"]
            same = every[-1] == known["strongest"]  # else the gaps are to another attack's loss
            for row in known["rows"] if same else ():
                by_step = dict(zip(known["steps"], row["gaps"], strict=True))
                numbers = {f"pgd:{step}": number(by_step.get(step)) for step in every}
                shown.append({"model": f"{row['model']} (published)", "epoch": "100"} | numbers)
        write_table(console, "gap to the strongest attack's loss, per cent", shown, names=2)
        if beside and not same:
            console.print(f"published gaps are to pgd:{known['strongest']}: not comparable, not shown", highlight=False)


if __name__ == "__main__":
    run(main)
