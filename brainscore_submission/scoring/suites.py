"""Suites: which benchmarks stand for which area, how their scores average, and how they are loaded.

The benchmarks are Brain-Score's own objects; the demo suite's are built from its classes in ``demo/``. All other suites
are data: the TOML files in ``named_suites/``, or a user's own.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..plugin.areas import AREAS, AREAS_AND_BEHAVIOR, BEHAVIOR
from ..plugin.errors import UserError, suggest
from .naming import folder_name
from .registry import known_benchmarks, registered
from .suite_files import ENDING, NAMED, SuiteFile, Tree, read_suite_file, shipped_suites


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
    source : where the tree is from, and of when
    partial : averages are taken over what was scored, and stand beside the rule of Brain-Score's site
    file : that a user's own suite was read from, whole; None of all others
    """

    name: str
    areas: Tree
    simulated_leaves: frozenset[str] = frozenset()
    caveat: str = ""
    loaders: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    data: str | None = None
    source: str = ""
    partial: bool = False
    file: SuiteFile | None = None

    def __post_init__(self):
        for name in (self.name, *self.leaves):
            folder_name(name)  # refused before any work

    @property
    def simulated(self) -> bool:
        """Whether any of it is simulated."""
        return bool(self.simulated_leaves)

    @property
    def leaves(self) -> dict[str, str]:
        """Benchmark id -> area, in order."""
        return {leaf: area for area, branch in self.areas.items() for leaf in _leaves(branch)}

    def of_areas(self, wanted: Sequence[str]) -> Suite:
        """Some of its areas, as if it had no others: of five areas or none there is an average.

        Raises
        ------
        UserError
            For areas that it does not have.
        """
        unknown = [area for area in wanted if area not in self.areas]
        if unknown:
            raise UserError(f"suite '{self.name}' has no area '{unknown[0]}'.{suggest(unknown[0], self.areas)}")
        return replace(self, areas={area: branch for area, branch in self.areas.items() if area in wanted})

    def without(self, leaves: Container[str]) -> Suite:
        """All but some of its benchmarks."""
        areas = {area: _pruned(branch, leaves) for area, branch in self.areas.items()}
        return replace(self, areas={area: branch for area, branch in areas.items() if branch})

    def average(self, scores: Mapping[str, Any]) -> dict[str, Any]:
        """Score of each area, and ``"average"`` of the five.

        Of a `partial` suite all means are over what was scored; otherwise None stands wherever a leaf is missing.

        Parameters
        ----------
        scores : benchmark id -> score (a number, or an array of resamples), None or absent where there is none
        """
        mean = _mean_of_scored if self.partial else _mean
        areas = {area: mean([_value(node, scores, mean) for node in branch]) for area, branch in self.areas.items()}
        complete = all(area in areas for area in AREAS_AND_BEHAVIOR)
        return {**areas, "average": mean([areas[area] for area in AREAS_AND_BEHAVIOR]) if complete else None}

    def average_by_site_rule(self, scores: Mapping[str, float | None]) -> dict[str, float | None]:
        """As Brain-Score's site averages: what failed or is missing counts as 0, and behaviour is half of it all.

        The rule is read from the site's code (``benchmarks/sql/mv.sql`` of brain-score/brain-score.web): a node's score
        is the sum of its children that have one over the number of its children.

        Parameters
        ----------
        scores : benchmark id -> score, None or absent where there is none

        Returns
        -------
        dict: each area (None where nothing was scored, which the site shows as X and counts as 0), ``"neural"`` (mean
        of V1, V2, V4 and IT) and ``"average"`` (mean of neural and behaviour, the site's Global Score); these two are
        None without all five areas, and where nothing was scored.
        """
        filled = {leaf: 0.0 if scores.get(leaf) is None else scores[leaf] for leaf in self.leaves}
        areas = {area: _mean([_value(node, filled, _mean) for node in branch]) for area, branch in self.areas.items()}
        scored = {area for leaf, area in self.leaves.items() if scores.get(leaf) is not None}
        shown = {area: value if area in scored else None for area, value in areas.items()}
        if not scored & set(AREAS_AND_BEHAVIOR) or not set(AREAS_AND_BEHAVIOR) <= set(areas):
            return {**shown, "neural": None, "average": None}
        neural = sum(areas[area] for area in AREAS) / len(AREAS)
        return {**shown, "neural": neural, "average": (neural + areas[BEHAVIOR]) / 2}


def _value(node: str | Tree, scores: Mapping[str, Any], mean: Callable[[list[Any]], Any]) -> Any:
    if isinstance(node, str):
        return scores.get(node)
    (branch,) = node.values()
    return mean([_value(child, scores, mean) for child in branch])


def _mean(values: Sequence[Any]) -> Any:
    return None if not values or any(value is None for value in values) else sum(values) / len(values)


def _mean_of_scored(values: Sequence[Any]) -> Any:
    return _mean([value for value in values if value is not None])


def _pruned(branch: Iterable[str | Tree], leaves: Container[str]) -> tuple[str | Tree, ...]:
    kept: list[str | Tree] = []
    for node in branch:
        if isinstance(node, str):
            kept += [] if node in leaves else [node]
        else:
            ((name, children),) = node.items()
            if left := _pruned(children, leaves):
                kept.append({name: left})
    return tuple(kept)


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


def _from_file(path: Path) -> Suite:
    file_of_ours = path.parent == NAMED
    demo = None if file_of_ours else _demo()
    found = read_suite_file(path, demo.leaves if demo else {})
    if not file_of_ours and found.name in (*SUITES, SINGLE, *MEASURED):
        raise UserError(f"{path}: the name '{found.name}' is taken: records of two suites would lie in one folder.")
    simulated = frozenset(demo.leaves if demo else ()) & {leaf for leaf, _ in found.leaves}
    return Suite(
        found.name,
        found.tree,
        simulated_leaves=simulated,
        caveat=found.caveat,
        loaders={leaf: demo.loaders[leaf] for leaf in simulated},
        source=found.source,
        partial=found.average == "scored",
        file=None if file_of_ours else found,
    )


SUITES = ("demo", *shipped_suites())
MEASURED = ("robustness", "probes")  # what attacks and probes have measured lies under these names
SINGLE = "benchmarks"  # what benchmarks given by id are called


def find_suite(name: str) -> Suite:
    """A suite by name, or a user's own by the path of its TOML file.

    Raises
    ------
    UserError
        For an unknown name, and for a file that cannot be used.
    """
    if name.endswith(ENDING):
        return _from_file(Path(name))
    if name not in SUITES:
        raise UserError(f"unknown suite '{name}'.{suggest(name, SUITES)} Or give a TOML file: --suite my.toml.")
    return _demo() if name == "demo" else _from_file(NAMED / f"{name}{ENDING}")


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
    return Suite(SINGLE, areas, simulated_leaves=simulated, loaders=loaders)


def loaded_once(suite: Suite) -> Suite:
    """The same suite, each benchmark of which is built once, however many models are scored on it; or refused once."""

    @functools.cache
    def outcome(identifier: str) -> Any:
        try:
            return load(identifier, suite)
        except Exception as error:  # noqa: BLE001  (told to whoever asks)
            return error

    def again(identifier: str) -> Any:
        found = outcome(identifier)
        if isinstance(found, Exception):
            raise found
        return found

    return replace(suite, loaders={leaf: functools.partial(again, leaf) for leaf in suite.leaves})


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

    from .downloads import find_netcdf_readers, reason_for_bad_data, reason_for_no_access
    from .recorded_model import nothing_kept

    find_netcdf_readers()
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
