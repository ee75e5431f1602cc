"""The rho-hierarchy with its uncertainty, of the paper's models or of own records.

python -m analysis.hierarchy --published [--json]
python -m analysis.hierarchy results/
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from brainscore_submission.cli import run
from brainscore_submission.plugin.areas import AREAS, AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError, suggest
from brainscore_submission.scoring.hierarchy import Hierarchy, rho_hierarchy, rho_of
from brainscore_submission.scoring.published import CAVEAT, PUBLISHED
from brainscore_submission.scoring.records import read_folder
from brainscore_submission.scoring.uncertainty import LEVEL, N_RESAMPLES

from .profiles import FORMULA_LABELS, FORMULAS, Profile, normal_resamples, profiles_of

ASSUMED_ERROR = 0.005
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True)
class Estimate:
    """The rho-hierarchy of one model under one formula.

    `interval` holds rho in 95 % of resamples, `share_positive` is the share with rho > 0; both are None
    where a score has no error. `resampled_rho` has shape (n_resamples,), NaN where all scores were equal.
    """

    model: str
    suite: str
    formula: str
    scores: dict[str, float]
    hierarchy: Hierarchy
    interval: tuple[float, float] | None
    share_positive: float | None
    over: str
    untrained: bool
    simulated: bool
    printed_rho: float | None
    resampled_rho: np.ndarray | None

    @property
    def marks(self) -> tuple[str, ...]:
        """UNTRAINED, SIMULATED where it is so."""
        return tuple(mark for mark in ("UNTRAINED", "SIMULATED") if getattr(self, mark.lower()))

    def facts(self) -> dict:
        """Everything but the resamples, fit for JSON."""
        facts = {name: value for name, value in vars(self).items() if name not in ("resampled_rho", "hierarchy")}
        return facts | dataclasses.asdict(self.hierarchy)


def estimate(scores, resamples, areas=AREAS, **origin) -> Estimate:
    """Rho of the scores, with its interval over resamples of them.

    Rho takes few values (eleven without ties over four areas), so the interval's ends are rounded outwards
    to values that occur; it covers at least what it says where scores are far apart.

    Parameters
    ----------
    scores : mapping from area to score
    resamples : mapping from area to array of shape (n_resamples,), or None
    areas : sequence of str, shallow to deep
    **origin : the other fields of `Estimate`

    Raises
    ------
    UserError
        An area is missing or not a number.
    """
    hierarchy = rho_hierarchy(scores, areas)
    known = resamples is not None and all(resamples.get(area) is not None for area in areas)
    rho = rho_of(np.stack([resamples[area] for area in areas], axis=-1)) if known else None
    return Estimate(
        scores={area: float(scores[area]) for area in areas},
        hierarchy=hierarchy,
        interval=_interval(rho),
        share_positive=None if rho is None else float(np.mean(rho > 0)),
        resampled_rho=rho,
        **{"printed_rho": None, "untrained": False, "simulated": False} | origin,
    )


def _interval(rho):
    if rho is None or not np.isfinite(rho).any():
        return None
    rho, tail = rho[np.isfinite(rho)], (1 - LEVEL) / 2
    return float(np.quantile(rho, tail, method="lower")), float(np.quantile(rho, 1 - tail, method="higher"))


def published_estimates(error=ASSUMED_ERROR, areas=AREAS, *, n_resamples=N_RESAMPLES, seed=0) -> list[Estimate]:
    """The paper's models. The paper prints no errors: `error` is assumed for every score."""
    found = []
    for row in PUBLISHED:
        name = row.description if row.competition_id is None else f"{row.competition_id} {row.description}"
        draws = {
            area: normal_resamples(score, error, f"{name}/{area}", n_resamples=n_resamples, seed=seed)
            for area, score in row.scores.items()
        }
        origin = {"model": name, "suite": "paper", "formula": "2022", "printed_rho": row.printed_rho}
        found.append(estimate(row.scores, draws, areas, over=f"normal, ±{error:g} assumed", **origin))
    return found


def record_estimates(profiles: Sequence[Profile], areas=AREAS) -> tuple[list[Estimate], list[str]]:
    """Own models under each formula, and a line for each left out that has any score."""
    found, warnings = [], []
    for profile in (profile for profile in profiles if profile.values["unceiled"]):
        refused = {}
        for formula in FORMULAS:
            try:
                found.append(_of_profile(profile, formula, areas))
            except UserError as error:
                refused.setdefault(str(error).splitlines()[0], []).append(formula)
        for reason, formulas in refused.items():
            under = "" if len(formulas) == len(FORMULAS) else f", formula {' and '.join(formulas)}"
            warnings.append(f"no rho for {profile.model} on {profile.suite}{under}: {reason}")
    return found, warnings


def _of_profile(profile, formula, areas):
    return estimate(
        profile.values[formula],
        profile.resamples[formula],
        areas,
        model=profile.model,
        suite=profile.suite,
        formula=formula,
        over=" or ".join(sorted({profile.over[area] for area in areas if area in profile.over})),
        untrained=profile.untrained,
        simulated=profile.simulated,
    )


@dataclass(frozen=True)
class Comparison:
    """How often rho of model `a` is greater than, and equal to, rho of model `b` over resamples."""

    suite: str
    formula: str
    a: str
    b: str
    p_greater: float
    p_equal: float


def compare(a: Estimate, b: Estimate) -> Comparison | None:
    """P(rho_A > rho_B). Models scored on the same images and neuroids are resampled together.

    Rho is coarse, so ties are common: `p_greater` counts them for neither model, `p_equal` says how many.
    """
    if a.resampled_rho is None or b.resampled_rho is None:
        return None
    greater, equal = a.resampled_rho > b.resampled_rho, a.resampled_rho == b.resampled_rho
    return Comparison(a.suite, a.formula, a.model, b.model, float(greater.mean()), float(equal.mean()))


def comparisons(estimates: Sequence[Estimate]) -> list[Comparison]:
    """All ordered pairs of models on the same suite under the same formula."""
    pairs = [
        compare(a, b)
        for a in estimates
        for b in estimates
        if a.model != b.model and (a.suite, a.formula) == (b.suite, b.formula)
    ]
    return [pair for pair in pairs if pair is not None]


@app.command()
def main(
    results: Annotated[Path | None, typer.Argument(help="Folder of records, as evaluate.py writes it.")] = None,
    published: Annotated[bool, typer.Option("--published", help="The paper's models instead.")] = False,
    against: Annotated[str | None, typer.Option(help="Model to compare with; default the highest rho.")] = None,
    behavior: Annotated[bool, typer.Option("--behavior", help="Behaviour as a fifth level, after IT.")] = False,
    error: Annotated[float, typer.Option(help="With --published: error assumed for a score.", min=0)] = ASSUMED_ERROR,
    resamples: Annotated[int, typer.Option(help="Number of resamples.", min=100)] = N_RESAMPLES,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
):
    """Spearman correlation of the scores of V1, V2, V4, IT with depth: exact p and interval.

    Examples:

      python -m analysis.hierarchy --published

      python -m analysis.hierarchy results/ --json
    """
    if published == (results is not None):
        raise typer.BadParameter("give a folder of records, or --published")
    areas = AREAS_AND_BEHAVIOR if behavior else AREAS
    options = {"n_resamples": resamples, "seed": seed}
    if published:
        estimates, warnings = published_estimates(error, areas, **options), []
    else:
        table, unread = read_folder(results)
        profiles, gaps = profiles_of(table, **options)
        estimates, left_out = record_estimates(profiles, areas)
        warnings = unread + gaps + left_out
    if against is not None:
        against = find_model(against, estimates)
    if as_json:
        typer.echo(json.dumps(facts(estimates, warnings, published=published, areas=areas, **options), indent=1))
        return
    show(estimates, warnings, published=published, areas=areas, against=against)
    if not estimates:
        raise UserError(f"no model under {results} has a score for each of {', '.join(areas)}.")


def find_model(name: str, estimates: Sequence[Estimate]) -> str:
    """The model meant by a name, or by the number it begins with.

    Raises
    ------
    UserError
        No such model.
    """
    models = list(dict.fromkeys(one.model for one in estimates))
    found = [model for model in models if name == model or name == model.split()[0]]
    if not found:
        raise UserError(f"unknown model '{name}'.{suggest(name, models)}")
    return found[0]


def facts(estimates, warnings, *, published, areas, n_resamples, seed) -> dict:
    """The whole result as one JSON-able object."""
    return {
        "areas": list(areas),
        "caveat": CAVEAT if published else None,
        "level": LEVEL,
        "n_resamples": n_resamples,
        "seed": seed,
        "models": [one.facts() for one in estimates],
        "comparisons": [dataclasses.asdict(pair) for pair in comparisons(estimates)],
        "warnings": warnings,
    }


def show(estimates, warnings, *, published, areas, against=None):
    """Print tables, and warnings on standard error."""
    notes, console = Console(stderr=True), Console()
    console.width = max(console.width, 110) if console.is_terminal else 140
    for line in warnings:
        notes.print(f"warning: {line}", style="yellow", soft_wrap=True, markup=False, highlight=False)
    for suite in dict.fromkeys(one.suite for one in estimates):
        mine = [one for one in estimates if one.suite == suite]
        console.print(_table(mine, areas, published, against))
    for line in _footnotes(estimates, published):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _table(estimates, areas, published, against):
    models = {one.model for one in estimates}
    against = against if against in models else _rival(estimates, published)
    title = f"ρ-hierarchy, {CAVEAT}" if published else f"ρ-hierarchy, suite {estimates[0].suite}"
    marks = sorted({mark for one in estimates for mark in one.marks})
    table = Table(title=" · ".join([title, *marks]), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold", min_width=24)
    table.add_column("formula", no_wrap=True)
    headings = [*areas, "ρ", *(["printed"] if published else []), "95 % interval", "P(ρ>0)", "p 2-sided"]
    for heading in [*headings, "p 1-sided", "τ", *(["P(ρ>ρ*)"] if len(models) > 1 else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    if len(models) > 1:
        table.caption, table.caption_justify = f"ρ*: {against}".replace("[", r"\["), "left"
    rivals = {one.formula: one for one in estimates if one.model == against}
    previous = None
    for one in estimates:
        if previous not in (None, one.model) and len(rivals) > 1:
            table.add_section()
        cells = _cells(one, areas, published, rivals.get(one.formula), repeated=previous == one.model)
        table.add_row(*cells[: len(table.columns)])  # a model alone has nobody to be compared with
        previous = one.model
    return table


def _rival(estimates, published):
    """Whom to compare with unless told: the paper's model 991, or the first of the highest rho."""
    if published:
        return find_model("991", estimates)
    first = [one for one in estimates if one.formula == estimates[0].formula]
    return max(first, key=lambda one: -2 if one.hierarchy.rho is None else one.hierarchy.rho).model


def _cells(one, areas, published, rival, repeated):
    name = "" if repeated else " ".join([one.model, *(["[UNTRAINED]"] if one.untrained else [])])
    rank = one.hierarchy
    if rank.rho is None:
        rho, *rest = f"undefined: {rank.reason}", "", "", "", "", ""
    else:
        rho = f"{rank.rho:+.2f}" + (" ties" if rank.ties else "")
        interval = "–" if one.interval is None else f"{one.interval[0]:+.1f} to {one.interval[1]:+.1f}"
        share = "–" if one.share_positive is None else f"{one.share_positive:.2f}"
        rest = [interval, share, f"{rank.p_two_sided:.3f}", f"{rank.p_one_sided:.3f}", f"{rank.tau:+.2f}"]
    printed = ["" if one.printed_rho is None else f"{one.printed_rho:+.1f}"] if published else []
    pair = None if rival is None or rival.model == one.model else compare(one, rival)
    scores = [f"{one.scores[area]:.3f}" for area in areas]
    chance = "" if pair is None else f"{pair.p_greater:.2f}"
    # A list of plain strings: rich would read [UNTRAINED] as markup.
    cells = [name, FORMULA_LABELS[one.formula], *scores, rho, *printed, *rest, chance]
    return [cell.replace("[", r"\[") for cell in cells]


def _footnotes(estimates, published):
    if not estimates:
        return []
    over = "; ".join(sorted({one.over for one in estimates}))
    lines = [f"Intervals: 95 % of resamples ({over}). p: exact, all orders of the scores equally likely."]
    if len(estimates[0].scores) == 4:
        lines.append("With four areas the smallest two-sided p is 2/24 = .083: no rho is significant at .05.")
    if published:
        lines.append("The paper prints no errors; set the assumed one with --error. Differences of .005 flip ranks.")
    return lines


if __name__ == "__main__":
    run(app)
