"""Suites as data: a TOML file with areas, named groups and benchmark ids, read and checked.

.. code-block:: toml

    name = "mine"
    caveat = "What belongs beside every table of this suite."

    [areas]
    V4 = ["MajajHong2015public.V4-pls", "Li2026"]

    [groups]
    Li2026 = ["Li2026.V4-ridgecv", "Li2026.V4-rdm"]
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from ..plugin.areas import AREAS_AND_BEHAVIOR
from ..plugin.errors import UserError, suggest
from ..plugin.files import read_json, read_toml, write_whole
from .naming import folder_name
from .registry import known_benchmarks, registered

# A suite's shape: area -> what is averaged, each either a benchmark id or a named group of such, all unweighted.
Tree = Mapping[str, "Sequence[str | Tree]"]

ENDING = ".toml"
NAMED = Path(__file__).with_name("named_suites")
AREA_NAMES = (*AREAS_AND_BEHAVIOR, "engineering")


class SuiteFile(BaseModel):
    """What a suite's TOML file holds.

    Parameters
    ----------
    name : as in tables, and of the folder of its records
    caveat : one sentence that belongs beside every table of this suite
    source : where the tree is from, and of when
    average : "complete" (no average where a benchmark has no score) or "scored" (over what was scored, beside the
        rule of Brain-Score's site)
    areas : area -> benchmark ids and names of groups, averaged unweighted
    groups : name -> benchmark ids and names of groups, which count as one
    left_out : reason -> benchmark ids that are not part of the suite for it
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    caveat: str = ""
    source: str = ""
    average: Literal["complete", "scored"] = "complete"
    areas: dict[str, list[str]]
    groups: dict[str, list[str]] = {}
    left_out: dict[str, list[str]] = {}

    @property
    def tree(self) -> dict[str, tuple[str | Tree, ...]]:
        """Area -> what is averaged, each group in its place."""
        return {area: tuple(self._node(one) for one in members) for area, members in self.areas.items()}

    @property
    def leaves(self) -> list[tuple[str, str]]:
        """(benchmark id, area) as often as it is named."""
        return [(leaf, area) for area, members in self.areas.items() for leaf in self._below(members)]

    def _node(self, name: str) -> str | Tree:
        return {name: tuple(self._node(one) for one in self.groups[name])} if name in self.groups else name

    def _below(self, members: Sequence[str]) -> Iterator[str]:
        for one in members:
            yield from self._below(self.groups[one]) if one in self.groups else (one,)


def shipped_suites() -> list[str]:
    """Names of the suites that come with the product as data."""
    return sorted(path.stem for path in NAMED.glob(f"*{ENDING}"))


def read_suite_file(path: Path, others: Mapping[str, str]) -> SuiteFile:
    """Read and check a suite's TOML file.

    Parameters
    ----------
    path : of the file
    others : benchmark id -> area, of benchmarks that are not Brain-Score's

    Raises
    ------
    UserError
        For a file that is missing or not TOML; for unknown keys, areas and ids; for an id in another area than its own
        or named twice; for groups that are empty, unused or in a circle; for no benchmark at all.
    """
    try:
        found = SuiteFile(**_entries(path))
    except ValidationError as error:
        raise UserError(f"{path}: {_fault(error)}") from None
    checks = (_require_name, _require_areas, _require_sound_groups, _require_known_benchmarks, _require_used_groups)
    for check in checks:
        fault = check(found, others)
        if fault:
            raise UserError(f"{path}: {fault}")
    return found


class KeptSuite(NamedTuple):
    """A suite as it was when records were made: ISO time, and what its file held."""

    created: str
    file: SuiteFile


def keep_suite(file: SuiteFile, path: Path) -> None:
    """Write what a suite's file holds beside the records that are made of it; the same is not written again."""
    try:
        if read_kept_suite(path).file == file:
            return
    except UserError:  # none yet, or a broken one: it is written anew
        pass
    facts = {"created": datetime.now(UTC).isoformat(timespec="seconds"), "suite": file.model_dump()}
    write_whole(path, (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode(), "--results")


def read_kept_suite(path: Path) -> KeptSuite:
    """What `keep_suite` wrote.

    Raises
    ------
    UserError
        It is missing or broken.
    """
    facts = read_json(path, "suite")
    if not isinstance(facts, dict) or set(facts) != {"created", "suite"} or not isinstance(facts["suite"], dict):
        raise UserError(f"{path}: no suite as evaluate keeps it.")
    try:
        found = SuiteFile(**facts["suite"])
    except ValidationError as error:
        raise UserError(f"{path}: {_fault(error)}") from None
    if fault := _require_areas(found, {}) or _require_sound_groups(found, {}):
        raise UserError(f"{path}: {fault}")
    return KeptSuite(str(facts["created"]), found)


def _entries(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(
            f"no suite file at {path}. Give a TOML file, or one of: {', '.join(['demo', *shipped_suites()])}."
        )
    return read_toml(path, "suite")


def _fault(error: ValidationError) -> str:
    """The first thing that is wrong with a file's shape, in words."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key '{place}'.{suggest(place, SuiteFile.model_fields)}"
    if first["type"] == "missing":
        return f"the key '{place}' is missing."
    return f"{place} = {first['input']!r} cannot be used: {first['msg'][0].lower()}{first['msg'][1:]}."


def _require_name(found: SuiteFile, _others: Mapping[str, str]) -> str | None:
    try:
        as_it_is = folder_name(found.name) == found.name
    except UserError as error:
        return str(error)
    return None if as_it_is else f"name = {found.name!r} cannot be used: letters, digits and _ . + - are possible."


def _require_areas(found: SuiteFile, _others: Mapping[str, str]) -> str | None:
    unknown = [area for area in found.areas if area not in AREA_NAMES]
    if unknown:
        return f"unknown area '{unknown[0]}'.{suggest(unknown[0], AREA_NAMES)}"
    if not found.areas:
        return 'there is no area in [areas]. Name one: V4 = ["MajajHong2015public.V4-pls"].'
    empty = [area for area, members in found.areas.items() if not members]
    return f"area {empty[0]} is empty. Give it a benchmark, or leave it out." if empty else None


def _require_sound_groups(found: SuiteFile, _others: Mapping[str, str]) -> str | None:
    known = known_benchmarks()
    for name, members in found.groups.items():
        if name in known:
            return f"the group '{name}' has the name of a benchmark. Give it another."
        if not members:
            return f"the group '{name}' is empty. Give it a benchmark, or leave it out."
        if name in _reached(name, found.groups):
            return f"the group '{name}' holds itself."
    return None


def _reached(name: str, groups: Mapping[str, Sequence[str]]) -> set[str]:
    """Names of the groups inside a group, at any depth."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        new = {one for one in groups[waiting.pop()] if one in groups} - reached
        reached |= new
        waiting += new
    return reached


def _require_known_benchmarks(found: SuiteFile, others: Mapping[str, str]) -> str | None:
    table = known_benchmarks()
    left_out = [leaf for leaves in found.left_out.values() for leaf in leaves]
    named = [leaf for leaf, _ in found.leaves] + left_out
    for leaf in named:
        if leaf not in table and leaf not in others and leaf not in registered():
            # What is nearest may be a group of this file; of 289 ids only the nearest are listed.
            return f"unknown benchmark '{leaf}'.{suggest(leaf, [*table, *others, *found.groups])}"
    twice = [leaf for leaf, times in Counter(named).items() if times > 1]
    if twice:
        return f"'{twice[0]}' is named twice."
    # A benchmark newer than the table is taken at the file's word.
    its = {name: one.area for name, one in table.items()} | dict(others)
    wrong = [(leaf, area) for leaf, area in found.leaves if its.get(leaf, area) != area]
    return f"'{wrong[0][0]}' stands under {wrong[0][1]}, but is about {its[wrong[0][0]]}." if wrong else None


def _require_used_groups(found: SuiteFile, _others: Mapping[str, str]) -> str | None:
    members = [one for members in (*found.areas.values(), *found.groups.values()) for one in members]
    unused = [name for name in found.groups if name not in members]
    return f"no area and no group holds the group '{unused[0]}'." if unused else None
