"""Records of a folder as everything the report says, before it is laid out: plain values and figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainscore_submission.plugin.areas import AREAS, AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.published import CAVEAT
from brainscore_submission.scoring.records import marks_of
from brainscore_submission.scoring.suites import find_suite
from brainscore_submission.scoring.uncertainty import N_RESAMPLES

from . import figures, layer_plots
from .comparable import read_results
from .comparisons import AVERAGE, compare, measures_of, value_of
from .display import number, signed
from .dot_plots import dot_plot
from .hierarchy import Estimate, comparisons_of_rho, record_estimates
from .profiles import Profile, by_depth, profiles_of
from .published import line_up, public_targets

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WHY_WIDER = (
    "Brain-Score's own standard error is smaller because its splits overlap: they share most images and all "
    "neuroids, so it tells how the score moves with the choice of split, not with other neuroids or images."
)
WITHOUT_NEUROIDS = "Without neuroids (behaviour, for one) an interval is ±1.96 of Brain-Score's own error: too narrow."


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

    def estimate(self, model: str) -> Estimate | None:
        """The rho-hierarchy of a model's scores of today, or None where an area is missing."""
        return next((one for one in self.estimates if (one.model, one.formula) == (model, "today")), None)

    @property
    def has_average(self) -> bool:
        """Whether any model was held against all five areas, so that an average, or its lack, says something."""
        return any(set(AREAS_AND_BEHAVIOR) <= set(profile.area_of.values()) for profile in self.profiles)

    def profile(self, model: str) -> Profile:
        """Of one of its models."""
        return next(one for one in self.profiles if one.model == model)

    def headline(self, profile: Profile) -> list[tuple[str, str]]:
        """What a model's card says first: average and rho where all areas were asked for, else the areas' scores."""
        if self.has_average:
            one = self.estimate(profile.model)
            rho = None if one is None else one.hierarchy.rho
            return [("average", number(self.averages[profile.model])), ("ρ-hierarchy", signed(rho, 1))]
        return [
            (area, number(value.value) if value.formula == "today" else f"r {signed(value.value)}")
            for area in self.areas
            if (value := value_of(profile, area)) is not None
        ]

    def best(self, area: str) -> float | None:
        """The highest score of an area."""
        scores = [p.values["today"][area] for p in self.profiles if area in p.values["today"]]
        return max(scores, default=None)


@dataclass(frozen=True)
class Summary:
    """Everything the report says; `table` holds every record, of whatever kind."""

    results: str
    table: pd.DataFrame
    suites: list[SuiteSummary]
    targets: pd.DataFrame
    searches: list[Shown]
    warnings: list[str]
    n_resamples: int
    seed: int

    @property
    def marks(self) -> tuple[str, ...]:
        """Of any record."""
        return marks_of(self.table.itertuples())

    @property
    def sentences(self) -> list[str]:
        """What a reader should take away of each suite."""
        return [sentence for suite in self.suites for sentence in _sentences(suite)]

    def of_kind(self, kind: str) -> pd.DataFrame:
        """The records of a kind, shallow areas first."""
        return by_depth(self.table[self.table["kind"] == kind], "suite", "model")


def summarise(results, *, n_resamples=N_RESAMPLES, seed=0) -> Summary:
    """Read a folder of records and work out everything the report says.

    Raises
    ------
    UserError
        The folder does not exist or holds no usable record.
    """
    import pandas as pd

    table, warnings = read_results(results)
    if table.empty:
        more = f" {len(warnings)} file(s) could not be used, first: {warnings[0]}" if warnings else ""
        raise UserError(f"no usable record under {results}.{more}\nScore a model: python evaluate.py --model 991")
    records, options = table[table["kind"] == "predictivity"], {"n_resamples": n_resamples, "seed": seed}
    profiles, gaps = profiles_of(records, **options)
    # A model that was never held against one of the four areas has no rho, and nothing is amiss.
    of_all_areas = [profile for profile in profiles if set(AREAS) <= set(profile.area_of.values())]
    estimates, without_rho = record_estimates(of_all_areas)
    warnings += gaps + without_rho
    suites = []
    for name in dict.fromkeys(one.suite for one in profiles if one.values["unceiled"]):  # of others a warning tells
        mine = [profile for profile in profiles if profile.suite == name]
        ranked = [one for one in estimates if one.suite == name]
        differences, refused = compare(mine, _reference(mine)) if len(mine) > 1 else (pd.DataFrame(), [])
        warnings += refused
        suite = SuiteSummary(
            name=name,
            marks=marks_of(mine),
            profiles=mine,
            areas=[area for area in AREAS_AND_BEHAVIOR if any(area in one.values["unceiled"] for one in mine)],
            averages={profile.model: _average(profile) for profile in mine},
            estimates=ranked,
            comparisons=comparisons_of_rho([one for one in ranked if one.formula == "today"]),
            reference=_reference(mine),
            differences=differences,
            figures=_figures(mine, ranked),
        )
        suites.append(suite)
    searches, unread = layer_searches(Path(results))
    targets, others = public_targets(records)
    return Summary(str(results), table, suites, targets, searches, warnings + unread + others, **options)


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
    ceiled = [profile for profile in profiles if profile.values["today"]]
    today = [one for one in estimates if one.formula == "today"]
    models, lined_up = [profile.model for profile in profiles], line_up(profiles)
    areas = [one for one in measures_of(profiles) if one != AVERAGE]
    drawn = {
        "area-profile": (
            figures.area_profile(ceiled) if ceiled and len(areas) > 1 else None,
            "Bars: 95 % intervals. Behaviour is no level of the hierarchy, so no line leads there.",
        ),
        "scores": (
            dot_plot(profiles, areas) if len(areas) == 1 else None,
            "Bars: 95 % intervals. Dashed: the score of a model whose r equals the noise ceiling.",
        ),
        "hierarchy": (
            figures.hierarchy_slopes(today, models) if today else None,
            "Points: rank of each area's score. Without ties the slope of the line is ρ; in brackets its interval.",
        ),
        "neuroids": (
            figures.neuroid_distributions(profiles),
            "Signed r of each neuroid, before ceiling. The score is made from their median.",
        ),
        "published": (
            None if lined_up.empty else figures.published_against_own(lined_up),
            f"Squares: {CAVEAT}. Dots: own, the same formula, other data. Compare shapes, not heights.",
        ),
    }
    suite = profiles[0].suite
    return [Shown(f"{name}-{suite}", figure, caption) for name, (figure, caption) in drawn.items() if figure]


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
    return shown, warnings


def _sentences(suite):
    count = len(suite.profiles)
    areas = f"area{'s' * (len(suite.areas) != 1)} {', '.join(suite.areas)}"
    yield f"Suite {suite.name}: {count} model{'s' * (count != 1)}, {areas}."
    averages = {model: value for model, value in suite.averages.items() if value is not None}
    if averages and count > 1:
        best = max(averages, key=averages.get)
        yield f"Highest average of the five areas: {best}, {averages[best]:.3f}."
    today = [one for one in suite.estimates if one.formula == "today"]
    for one in today if count == 1 else []:
        yield f"ρ-hierarchy: {figures.rho_text(one)}, exact two-sided p = {number(one.hierarchy.p_two_sided)}."
    if count > 1 and today:
        positive = [one for one in today if (one.hierarchy.rho or 0) > 0]
        sure = [one for one in positive if one.interval is not None and one.interval[0] > 0]
        yield (
            f"Scores rise with depth (ρ > 0) in {len(positive)} of {len(today)} models; "
            f"the interval leaves out 0 in {len(sure)} of them."
        )


def caveats(summary: Summary) -> list[str]:
    """What a reader should know."""
    marks, suites = summary.marks, summary.suites
    over = {kind for suite in suites for profile in suite.profiles for kind in profile.over.values()}
    only_of_some = [
        ("SIMULATED" in marks, "SIMULATED: recordings made by a program, a check of the machinery, not of brains."),
        ("UNTRAINED" in marks, "UNTRAINED: random weights; the scores are a baseline, not a result."),
        (any(suite.name == "public" for suite in suites), find_suite("public").caveat),
        ("normal" in over, WITHOUT_NEUROIDS),
    ]
    return [
        *(caveat for holds, caveat in only_of_some if holds),
        WHY_WIDER,
        "Intervals come from drawing neuroids and images again; the regression is not fitted again and the ceiling is "
        "held fixed. In simulations with known truth the 95 % interval held it in 96 % of data sets.",
        "With four areas the smallest two-sided p of ρ is 2/24 = .083: no ρ is significant at .05. Read its interval.",
        "r²/c and (r/c)² square the sign away: a negative r scores positive. The table of records shows signed r.",
        f"The paper's values are {CAVEAT}. Public data cannot reproduce them.",
    ]
