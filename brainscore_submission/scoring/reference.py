"""Scores of well-known models that Brain-Score's own tests state, as data: what an installation can be held against."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..plugin.card import GIVEN

TABLE = Path(__file__).with_name("reference.toml")
FIELDS = {"raw": ("raw",), "ceiling": ("ceiling",), "score": ("score", "score_2022")}
"""Scale of a stated value -> fields of a record that may hold it."""
OTHER_WEIGHTS = "other weights than its card's own"


class Stated(NamedTuple):
    """One value that a source states.

    Parameters
    ----------
    model : as Brain-Score calls it; "" for a ceiling, which is the same for every model
    benchmark : id
    value : on the `scale` "raw", "score" or "ceiling"
    within : tolerance of the source
    source : file of the package, or how it was computed
    formula : "2022" of a score that is known to be (r/c)²; "" where the source does not say
    data : "private", "public", or "" where the source does not say
    layer : that features were recorded from, "" where the source does not say
    """

    model: str
    benchmark: str
    value: float
    within: float
    scale: str
    source: str
    formula: str = ""
    data: str = ""
    layer: str = ""

    def beside(self, record: Any) -> float | None:
        """How far a record's number is off, signed; of two formulas that may be meant, the nearer. None without one.

        Parameters
        ----------
        record : of this benchmark, with the fields of `records.Predictivity`
        """
        fields = ("score_2022",) if self.formula == "2022" else FIELDS[self.scale]
        own = [value for field in fields if (value := getattr(record, field, None)) is not None and value == value]
        return min((value - self.value for value in own), key=abs, default=None)


@functools.cache
def stated_values() -> tuple[Stated, ...]:
    """All of them: ceilings first, then model by model."""
    groups = tomllib.loads(TABLE.read_text(encoding="utf-8"))["stated"]
    return tuple(
        Stated(benchmark=benchmark, value=value, **{"model": "", **group})
        for group in ({**group} for group in groups)
        for benchmark, value in group.pop("values").items()
    )


def has_own_weights(origin: Mapping[str, Any] | None) -> bool:
    """Whether weights are those that a card names: not random ones, nor a file that was given.

    Parameters
    ----------
    origin : as `records.Record` holds it under `weights`; None counts as the card's own

    Examples
    --------
    >>> has_own_weights({"untrained": False, "note": None}), has_own_weights({"untrained": True})
    (True, False)
    """
    weights = origin or {}
    return not (weights.get("untrained") or str(weights.get("note") or "").startswith(GIVEN))


def why_not(one: Stated, record: Any) -> str | None:
    """Why what is stated is not of a record of that model: other weights or another layer. A ceiling is of any model.

    Parameters
    ----------
    record : with the fields of `records.Record`
    """
    if one.model and not has_own_weights(record.weights):
        return OTHER_WEIGHTS
    return f"layer {record.layer}, not {one.layer}" if one.layer and record.layer != one.layer else None


def stated_of(record: Any) -> list[Stated]:
    """What is stated of a record's benchmark and model, which is known by its name or by its card; see `why_not`.

    Parameters
    ----------
    record : with the fields of `records.Record`
    """
    called = {"", record.model, *(model for model, known in models().items() if record.card in known["cards"])}
    return [one for one in stated_values() if one.benchmark == record.benchmark and one.model in called]


@functools.cache
def models() -> dict[str, dict[str, Any]]:
    """Brain-Score's name of a model -> "cards", ours for the same weights, and "how", the options to evaluate it."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))["models"]


@functools.cache
def package() -> str:
    """The package and its version that the values were read in."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))["package"]
