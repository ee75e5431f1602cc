"""Suites: which benchmarks stand for which area, how their scores average, and how they are loaded.

The benchmarks are Brain-Score's own objects; the demo suite's are built from its classes in ``demo/``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..plugin.areas import AREAS_AND_BEHAVIOR
from ..plugin.errors import UserError, suggest
from .downloads import reason_for_bad_data, reason_for_no_access
from .registry import known_benchmarks, registered

# A suite's shape: area -> what is averaged, each either a benchmark id or a named group of such, all unweighted.
Tree = Mapping[str, "Sequence[str | Tree]"]

MARQUES_GROUPS: dict[str, tuple[str, ...]] = {
    "orientation": (
        "Ringach2002-circular_variance",
        "Ringach2002-or_bandwidth",
        "Ringach2002-orth_pref_ratio",
        "Ringach2002-or_selective",
        "Ringach2002-cv_bandwidth_ratio",
        "Ringach2002-opr_cv_diff",
        "DeValois1982-pref_or",
    ),
    "spatial_frequency": ("DeValois1982-peak_sf", "Schiller1976-sf_bandwidth", "Schiller1976-sf_selective"),
    "response_selectivity": (
        "FreemanZiemba2013-texture_selectivity",
        "FreemanZiemba2013-texture_sparseness",
        "FreemanZiemba2013-texture_variance_ratio",
        "Ringach2002-modulation_ratio",
    ),
    "receptive_field_size": ("Cavanaugh2002-grating_summation_field", "Cavanaugh2002-surround_diameter"),
    "surround_modulation": ("Cavanaugh2002-surround_suppression_index",),
    "texture_modulation": (
        "FreemanZiemba2013-texture_modulation_index",
        "FreemanZiemba2013-abs_texture_modulation_index",
    ),
    "response_magnitude": ("Ringach2002-max_dc", "FreemanZiemba2013-max_texture", "FreemanZiemba2013-max_noise"),
}

_V4_IT_DATA = ("MajajHong2015", "Sanghavi2020", "SanghaviJozwik2020", "SanghaviMurty2020")


@dataclass(frozen=True)
class Suite:
    """Benchmarks by area.

    Parameters
    ----------
    name : as in `--suite`
    areas : area -> what is averaged (see `Tree`)
    simulated_leaves : benchmarks whose recordings are simulated: everything shown of them must say so
    caveat : one sentence that belongs beside every table of this suite
    loaders : benchmark id -> callable that builds it; empty for Brain-Score's registry
    data : hash of the recordings, where they are the user's own
    """

    name: str
    areas: Tree
    simulated_leaves: frozenset[str] = frozenset()
    caveat: str = ""
    loaders: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    data: str | None = None

    @property
    def simulated(self) -> bool:
        """Whether any of it is simulated."""
        return bool(self.simulated_leaves)

    @property
    def leaves(self) -> dict[str, str]:
        """Benchmark id -> area, in order."""
        return {leaf: area for area, branch in self.areas.items() for leaf in _leaves(branch)}

    def average(self, scores: Mapping[str, float | None]) -> dict[str, float | None]:
        """Score of each area, and ``"average"`` of the five; None wherever a leaf is missing.

        Parameters
        ----------
        scores : benchmark id -> score, None or absent where there is none
        """
        areas = {area: _mean([_value(node, scores) for node in branch]) for area, branch in self.areas.items()}
        complete = all(area in areas for area in AREAS_AND_BEHAVIOR)
        return {**areas, "average": _mean(list(areas.values())) if complete else None}


def _value(node: str | Tree, scores: Mapping[str, float | None]) -> float | None:
    if isinstance(node, str):
        return scores.get(node)
    (branch,) = node.values()
    return _mean([_value(child, scores) for child in branch])


def _mean(values: Sequence[float | None]) -> float | None:
    return None if not values or any(value is None for value in values) else sum(values) / len(values)


def _leaves(branch: Iterable[str | Tree]) -> list[str]:
    return [
        leaf
        for node in branch
        for leaf in ([node] if isinstance(node, str) else [name for part in node.values() for name in _leaves(part)])
    ]


def _demo() -> Suite:
    from ..demo.benchmarks import demo_benchmarks  # only when asked for: it draws in Brain-Score's classes

    areas = {area: (f"demo.{area}-{'i2n' if area == 'behavior' else 'pls'}",) for area in AREAS_AND_BEHAVIOR}
    return Suite(
        "demo",
        areas,
        simulated_leaves=frozenset(leaf for leaves in areas.values() for leaf in leaves),
        caveat="SIMULATED recordings: a check of the machinery, no statement about brains.",
        loaders=demo_benchmarks(),
    )


def _public() -> Suite:
    return Suite(
        "public",
        {
            "V1": ("FreemanZiemba2013public.V1-pls",),
            "V2": ("FreemanZiemba2013public.V2-pls",),
            "V4": ("MajajHong2015public.V4-pls",),
            "IT": ("MajajHong2015public.IT-pls",),
            "behavior": ("Rajalingham2018public-i2n",),
        },
        caveat="Public data. The behavioural readout is fitted and tested on the same images: optimistic.",
    )


def _competition2022() -> Suite:
    marques = {
        "Marques2020": tuple(
            {group: tuple(f"Marques2020_{leaf}" for leaf in leaves)} for group, leaves in MARQUES_GROUPS.items()
        )
    }
    return Suite(
        "competition2022",
        {
            "V1": ("FreemanZiemba2013.V1-pls", marques),
            "V2": ("FreemanZiemba2013.V2-pls",),
            "V4": tuple(f"{data}.V4-pls" for data in _V4_IT_DATA),
            "IT": tuple(f"{data}.IT-pls" for data in _V4_IT_DATA),
            "behavior": ("Rajalingham2018-i2n",),
        },
        caveat="Private data: needs Brain-Score's credentials.",
    )


SUITES: dict[str, Callable[[], Suite]] = {"demo": _demo, "public": _public, "competition2022": _competition2022}


def find_suite(name: str) -> Suite:
    """A suite by name.

    Raises
    ------
    UserError
        For an unknown name.
    """
    if name not in SUITES:
        raise UserError(f"unknown suite '{name}'.{suggest(name, SUITES)}")
    return SUITES[name]()


def single_benchmarks(identifiers: Sequence[str]) -> Suite:
    """Benchmarks given by id, of Brain-Score or of the demo suite, without an average.

    Raises
    ------
    UserError
        If no benchmark has such an id.
    """
    ours = {leaf: (area, suite) for suite in (_demo(),) for leaf, area in suite.leaves.items()}
    table = known_benchmarks()
    areas: dict[str, tuple[str, ...]] = {}
    for identifier in dict.fromkeys(identifiers):
        if identifier not in ours and identifier not in table and identifier not in registered():
            raise UserError(f"unknown benchmark '{identifier}'.{suggest(identifier, [*table, *ours])}")
        # One that is newer than the table says itself what it is about, once it is built.
        area = ours[identifier][0] if identifier in ours else getattr(table.get(identifier), "area", identifier)
        areas[area] = (*areas.get(area, ()), identifier)
    simulated = frozenset(leaf for leaf in identifiers if leaf in ours)
    loaders = {leaf: ours[leaf][1].loaders[leaf] for leaf in identifiers if leaf in ours}
    return Suite("benchmarks", areas, simulated_leaves=simulated, loaders=loaders)


class NoAccess(Exception):
    """A benchmark whose data cannot be had: no credentials, or no internet connection."""


class BadData(NoAccess):
    """A benchmark whose data came broken, or are not what Brain-Score registers."""


def load(identifier: str, suite: Suite) -> Any:
    """Build a benchmark.

    Raises
    ------
    NoAccess
        If its data cannot be had; `BadData` if they are broken.
    UserError
        If no benchmark has this identifier.
    """
    if identifier in suite.loaders:
        return suite.loaders[identifier]()
    os.environ.setdefault("BS_INSTALL_DEPENDENCIES", "no")  # otherwise loading runs pip
    import brainscore_vision

    from .recorded_model import nothing_kept

    try:
        with nothing_kept():  # an assembly kept of an earlier run is found by its name alone, and no hash is looked at
            benchmark = brainscore_vision.load_benchmark(identifier)
            _fetch_all(benchmark)
    except Exception as error:  # Brain-Score wraps S3's answers into a bare Exception
        if isinstance(error, AssertionError) and "No registrations found" in str(error):
            raise UserError(f"unknown benchmark '{identifier}'.{suggest(identifier, known_benchmarks())}") from error
        if reason := reason_for_no_access(error):
            raise NoAccess(reason) from error
        if reason := reason_for_bad_data(error):
            raise BadData(reason) from error
        raise
    return benchmark


def _fetch_all(benchmark: Any) -> None:
    """Some benchmarks put their download off until they are run; what cannot be had is to be known before recording."""
    from brainscore_vision.utils import LazyLoad

    if issubclass(type(assembly := getattr(benchmark, "_assembly", None)), LazyLoad):
        assembly._ensure_loaded()
