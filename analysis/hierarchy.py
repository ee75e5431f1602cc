"""The rho-hierarchy with its uncertainty, of the paper's models or of own records.

python -m analysis.hierarchy --published [--json]
python -m analysis.hierarchy results/
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.areas import AREAS, AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.hierarchy import Hierarchy, rho_hierarchy, rho_of
from brainscore_submission.scoring.published import CAVEAT, PUBLISHED
from brainscore_submission.scoring.records import marks_of
from brainscore_submission.scoring.uncertainty import LEVEL, N_RESAMPLES

from .display import AsJson, Resamples, Seed, interval, named, number, signed, write_table
from .profiles import FORMULA_LABELS, FORMULAS, Profile, find_model, normal_resamples, profiles_of, read_predictivity

ASSUMED_ERROR = 0.005


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
    resampled_rho: np.ndarray | None
    competition_id: int | None = None
    marks: tuple[str, ...] = ()
    printed_rho: float | None = None

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
    known = resamples is not None and set(areas) <= set(resamples)
    rho = rho_of(np.stack([resamples[area] for area in areas], axis=-1)) if known else None
    return Estimate(
        scores={area: float(scores[area]) for area in areas},
        hierarchy=hierarchy,
        interval=_interval(rho),
        share_positive=None if rho is None else float(np.mean(rho > 0)),
        resampled_rho=rho,
        **origin,
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
        origin = {"model": name, "competition_id": row.competition_id, "suite": "paper", "formula": "2022"}
        origin |= {"over": f"normal, ±{error:g} assumed", "printed_rho": row.printed_rho}
        found.append(estimate(row.scores, draws, areas, **origin))
    return found


def record_estimates(profiles: Sequence[Profile], areas=AREAS) -> tuple[list[Estimate], list[str]]:
    """Own models under each formula, and a line for each left out that has any score."""
    found, warnings = [], []
    for profile in (profile for profile in profiles if profile.values["unceiled"]):
        refused = {}
        for formula in FORMULAS:
            origin = {name: getattr(profile, name) for name in ("model", "suite", "competition_id", "marks")}
            over = " or ".join(sorted({profile.over[area] for area in areas if area in profile.over}))
            drawn = profile.values[formula], profile.resamples[formula]
            try:
                found.append(estimate(*drawn, areas, formula=formula, over=over, **origin))
            except UserError as error:
                refused.setdefault(str(error).splitlines()[0], []).append(formula)
        for reason, formulas in refused.items():
            under = "" if len(formulas) == len(FORMULAS) else f", formula {' and '.join(formulas)}"
            warnings.append(f"no rho for {profile.model} on {profile.suite}{under}: {reason}")
    return found, warnings


def compare_rho(a: Estimate, b: Estimate) -> dict[str, Any] | None:
    """How often rho of model A is greater than rho of model B, and how often equal, over resamples.

    Models scored on the same images and neuroids are resampled together. Rho is coarse, so ties are common:
    `p_greater` counts them for neither model, `p_equal` says how many. None where one has no resamples.
    """
    if a.resampled_rho is None or b.resampled_rho is None:
        return None
    greater, equal = np.mean(a.resampled_rho > b.resampled_rho), np.mean(a.resampled_rho == b.resampled_rho)
    pair = {"suite": a.suite, "formula": a.formula, "a": a.model, "b": b.model}
    return pair | {"p_greater": float(greater), "p_equal": float(equal)}


def comparisons_of_rho(estimates: Sequence[Estimate]) -> list[dict[str, Any]]:
    """All ordered pairs of models on the same suite under the same formula."""
    pairs = [(a, b) for a in estimates for b in estimates if (a.suite, a.formula) == (b.suite, b.formula)]
    compared = [compare_rho(a, b) for a, b in pairs if a.model != b.model]
    return [found for found in compared if found is not None]


def main(
    results: Annotated[Path | None, typer.Argument(help="Folder of records, as evaluate.py writes it.")] = None,
    published: Annotated[bool, typer.Option("--published", help="The paper's models instead.")] = False,
    against: Annotated[str | None, typer.Option(help="Model to compare with; default the highest rho.")] = None,
    behavior: Annotated[bool, typer.Option("--behavior", help="Behaviour as a fifth level, after IT.")] = False,
    error: Annotated[float, typer.Option(help="With --published: error assumed for a score.", min=0)] = ASSUMED_ERROR,
    resamples: Resamples = N_RESAMPLES,
    seed: Seed = 0,
    as_json: AsJson = False,
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
    with front_end() as terminal:
        if published:
            estimates, warnings = published_estimates(error, areas, **options), []
        else:
            table, unread = read_predictivity(results)
            profiles, gaps = profiles_of(table, **options)
            estimates, left_out = record_estimates(profiles, areas)
            warnings = unread + gaps + left_out
        rival = None if against is None else find_model(against, estimates)
        if as_json:
            facts = {"areas": areas, "caveat": CAVEAT if published else None, "level": LEVEL, **options}
            models = [one.facts() for one in estimates]
            facts |= {"models": models, "comparisons": comparisons_of_rho(estimates), "warnings": warnings}
            terminal.write_json(facts)
            return
        terminal.warn(warnings)
        if not estimates:
            raise UserError(f"no model under {results} has a score for each of {', '.join(areas)}.")
        _show(estimates, published, rival, Console(file=terminal.out))


def _show(estimates, published, rival, console):
    for suite in dict.fromkeys(one.suite for one in estimates):
        mine = [one for one in estimates if one.suite == suite]
        against = rival if rival in {one.model for one in mine} else _default_rival(mine, published)
        rivals = {one.formula: one for one in mine if one.model == against}
        alone = len({one.model for one in mine}) == 1
        rows = [_row(one, published, alone, rivals.get(one.formula)) for one in mine]
        title = f"ρ-hierarchy, {CAVEAT}" if published else f"ρ-hierarchy, suite {suite}"
        write_table(console, title, rows, names=2, marks=marks_of(mine))
        if not alone:
            console.print(f"ρ*: {against}", markup=False, highlight=False)
    console.print(*_footnotes(estimates, published), sep="\n", markup=False, highlight=False, soft_wrap=True)


def _default_rival(estimates, published):
    """Whom to compare with unless told: the paper's model 991, or the first of the highest rho."""
    if published:
        return find_model("991", estimates)
    first = [one for one in estimates if one.formula == estimates[0].formula]
    return max(first, key=lambda one: -2 if one.hierarchy.rho is None else one.hierarchy.rho).model


def _row(one, published, alone, rival):
    rank, pair = one.hierarchy, None if rival is None or one is rival else compare_rho(one, rival)
    return {
        "model": named(one),
        "formula": FORMULA_LABELS[one.formula],
        **{area: number(score) for area, score in one.scores.items()},
        "ρ": signed(rank.rho) + (" ties" if rank.ties else ""),
        **({"printed": signed(one.printed_rho, 1)} if published else {}),
        "95 % interval": interval(one.interval, 1, sign=True),
        "P(ρ>0)": number(one.share_positive, 2),
        "p 2-sided": number(rank.p_two_sided),
        "p 1-sided": number(rank.p_one_sided),
        "τ": signed(rank.tau),
        **({} if alone else {"P(ρ>ρ*)": "" if pair is None else number(pair["p_greater"], 2)}),
    }


def _footnotes(estimates, published):
    undefined = {f"ρ of {one.model} is undefined: {one.hierarchy.reason}." for one in estimates if one.hierarchy.reason}
    over = "; ".join(sorted({one.over for one in estimates}))
    lines = sorted(undefined)
    lines.append(f"Intervals: 95 % of resamples ({over}). p: exact, all orders of the scores equally likely.")
    lines.append(
        "In simulations the interval held the true ρ in 99.5, 96 and 82.5 % where neighbouring areas are 2, 1 and .5 "
        "standard errors apart: of near ties it promises more than it holds."
    )
    if len(estimates[0].scores) == 4:
        lines.append("With four areas the smallest two-sided p is 2/24 = .083: no rho is significant at .05.")
    if published:
        lines.append("The paper prints no errors; set the assumed one with --error. Differences of .005 flip ranks.")
    return lines


if __name__ == "__main__":
    run(main)
