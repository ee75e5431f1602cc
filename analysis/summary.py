"""Records of a folder as everything the report says, before it is laid out: plain values and figures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.published import CAVEAT
from brainscore_submission.scoring.records import marks_of, read_folder
from brainscore_submission.scoring.suites import find_suite
from brainscore_submission.scoring.uncertainty import N_RESAMPLES

from . import figures, layer_plots
from .differences import differences_of_r
from .hierarchy import Estimate, comparisons_of_rho, record_estimates
from .profiles import Profile, profiles_of
from .published import line_up, public_targets

WHY_WIDER = (
    "Brain-Score's own standard error is smaller because its splits overlap: they share most images and all "
    "neuroids, so it tells how the score moves with the choice of split, not with other neuroids or images."
)


@dataclass(frozen=True)
class Shown:
    """A figure and what stands around it."""

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class SuiteSummary:
    """Everything about one suite."""

    name: str
    marks: tuple[str, ...]
    profiles: list[Profile]
    areas: list[str]
    averages: dict[str, float | None]
    estimates: list[Estimate]
    comparisons: list[dict[str, Any]]
    reference: str | None
    differences: pd.DataFrame
    figures: list[Shown]

    def estimate(self, model: str, formula: str = "today") -> Estimate | None:
        """The rho-hierarchy of a model, or None where an area is missing."""
        found = [one for one in self.estimates if (one.model, one.formula) == (model, formula)]
        return found[0] if found else None

    def best(self, area: str) -> float | None:
        """The highest score of an area."""
        scores = [p.values["today"][area] for p in self.profiles if area in p.values["today"]]
        return max(scores, default=None)


@dataclass(frozen=True)
class Summary:
    """Everything the report says."""

    results: str
    marks: tuple[str, ...]
    suites: list[SuiteSummary]
    records: pd.DataFrame
    measures: pd.DataFrame
    targets: pd.DataFrame
    searches: list[Shown]
    sentences: list[str]
    caveats: list[str]
    warnings: list[str]
    n_resamples: int
    seed: int


def summarise(results, *, n_resamples=N_RESAMPLES, seed=0) -> Summary:
    """Read a folder of records and work out everything the report says.

    Raises
    ------
    UserError
        The folder does not exist or holds no usable record.
    """
    table, unread = read_folder(results)
    if table.empty:
        more = f" {len(unread)} file(s) could not be used, first: {unread[0]}" if unread else ""
        raise UserError(f"no usable record under {results}.{more}\nScore a model: python evaluate.py --model 991")
    is_measure = table["kind"] == "measure"
    records, options = table[~is_measure], {"n_resamples": n_resamples, "seed": seed}
    profiles, gaps = profiles_of(records, **options)
    estimates, left_out = record_estimates(profiles)
    reached = dict.fromkeys(profile.suite for profile in profiles if profile.values["unceiled"])  # else: a warning
    suites = []
    for name in reached:
        mine = [profile for profile in profiles if profile.suite == name]
        reference = _reference(mine)
        of_suite = records[records["suite"] == name]
        differences, refused = differences_of_r(of_suite, reference, **options)
        left_out += refused
        suites.append(_suite(mine, [one for one in estimates if one.suite == name], reference, differences))
    searches, unread_searches = layer_searches(Path(results))
    return Summary(
        results=str(results),
        marks=marks_of(table.itertuples()),
        suites=suites,
        records=records,
        measures=table[is_measure],
        targets=public_targets(records),
        searches=searches,
        sentences=[sentence for suite in suites for sentence in _sentences(suite)],
        caveats=_caveats(suites),
        warnings=[*unread, *gaps, *left_out, *unread_searches],
        **options,
    )


def _suite(profiles, estimates, reference, differences):
    return SuiteSummary(
        name=profiles[0].suite,
        marks=marks_of(profiles),
        profiles=profiles,
        areas=[area for area in AREAS_AND_BEHAVIOR if any(area in one.values["unceiled"] for one in profiles)],
        averages={profile.model: _average(profile) for profile in profiles},
        estimates=estimates,
        comparisons=comparisons_of_rho([one for one in estimates if one.formula == "today"]),
        reference=reference,
        differences=differences,
        figures=_figures(profiles, estimates),
    )


def _average(profile):
    """Mean of the five areas; None where one is missing, never a mean over fewer."""
    scores = [profile.values["today"].get(area) for area in AREAS_AND_BEHAVIOR]
    return None if any(score is None for score in scores) else float(np.mean(scores))


def _reference(profiles):
    """Whom to compare with: 991 if it is there, else the highest average; nobody where there is but one model."""
    if len(profiles) < 2:
        return None
    return max(profiles, key=lambda profile: (profile.competition_id == 991, _average(profile) or -1)).model


def _figures(profiles, estimates):
    shown, name, lined_up = [], profiles[0].suite, line_up(profiles)
    ceiled = [profile for profile in profiles if profile.values["today"]]
    if ceiled:
        caption = "Bars: 95 % intervals. Behaviour is no level of the hierarchy, so no line leads there."
        shown.append(Shown(f"area-profile-{name}", figures.area_profile(ceiled), caption))
    today = [one for one in estimates if one.formula == "today"]
    if today:
        models = [profile.model for profile in profiles]
        caption = (
            "Points: rank of each area's score. Without ties the slope of the line is ρ; in brackets its interval."
        )
        shown.append(Shown(f"hierarchy-{name}", figures.hierarchy_slopes(today, models), caption))
    distribution = figures.neuroid_distributions(profiles)
    if distribution is not None:
        caption = "Signed r of each neuroid, before ceiling. The score is made from their median."
        shown.append(Shown(f"neuroids-{name}", distribution, caption))
    if not lined_up.empty:
        caption = f"Squares: {CAVEAT}. Dots: own, the same formula, other data. Compare shapes, not heights."
        shown.append(Shown(f"published-{name}", figures.published_against_own(lined_up), caption))
    return shown


def layer_searches(results: Path) -> tuple[list[Shown], list[str]]:
    """A heat map for each layer search under the folder, and a line for each that could not be read."""
    shown, warnings = [], []
    for path in sorted(results.rglob("layer_search/*/table.json")):  # <model>/layer_search/<suite>/table.json
        try:
            figure = layer_plots.heat_map(layer_plots.read_search(path))
            name = f"layer-search-{path.parents[2].name}-{path.parent.name}"
            shown.append(Shown(name, figure, str(path.with_suffix(".csv"))))
        except (ValueError, OSError) as error:
            warnings.append(f"left out: {path}: {error}")
        except KeyError as error:
            warnings.append(f"left out: {path}: {error} is missing")
    return shown, warnings


def _sentences(suite):
    """What a reader should take away of a suite, in a few plain sentences."""
    count = len(suite.profiles)
    yield f"Suite {suite.name}: {count} model{'s' * (count != 1)}, areas {', '.join(suite.areas)}."
    averages = {model: value for model, value in suite.averages.items() if value is not None}
    if averages and count > 1:
        best = max(averages, key=averages.get)
        yield f"Highest average of the five areas: {best}, {averages[best]:.3f}."
    today = [one for one in suite.estimates if one.formula == "today"]
    for one in today if count == 1 else []:
        yield f"ρ-hierarchy: {figures.rho_text(one)}, exact two-sided p = {one.hierarchy.p_two_sided:.3f}."
    if count > 1 and today:
        positive = [one for one in today if (one.hierarchy.rho or 0) > 0]
        sure = [one for one in positive if one.interval is not None and one.interval[0] > 0]
        yield (
            f"Scores rise with depth (ρ > 0) in {len(positive)} of {len(today)} models; "
            f"the interval leaves out 0 in {len(sure)} of them."
        )


def _caveats(suites):
    found = []
    if any("SIMULATED" in suite.marks for suite in suites):
        found.append(
            "SIMULATED: the recordings are made by a program. They check the machinery and say nothing of brains."
        )
    if any("UNTRAINED" in suite.marks for suite in suites):
        found.append("UNTRAINED: a network with random weights; its scores are a baseline, not a result.")
    if any(suite.name == "public" for suite in suites):
        found.append(find_suite("public").caveat)
    over = {kind for suite in suites for profile in suite.profiles for kind in profile.over.values()}
    if "normal" in over:
        found.append(
            "Where a record keeps no neuroids (behaviour, for one) the interval is ±1.96 of Brain-Score's own error, "
            "and too narrow."
        )
    return [
        *found,
        WHY_WIDER,
        "Intervals come from drawing neuroids and images again; the regression is not fitted again and the ceiling is "
        "held fixed. In simulations with known truth the 95 % interval held it in 96 % of data sets.",
        "With four areas the smallest two-sided p of ρ is 2/24 = .083: no ρ is significant at .05. Read its interval.",
        "r²/c and (r/c)² square the sign away: a negative r scores positive. The table of records shows signed r.",
        f"The paper's values are {CAVEAT}. Public data cannot reproduce them.",
    ]
