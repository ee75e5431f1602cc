"""One JSON file for each thing that was measured, with its origin; and a folder of them as one table.

    results/<model>/<suite>/<benchmark>.json
    results/<model>/<suite>/<benchmark>.npz      per-neuroid numbers, see `sidecar`

A record is an envelope, the same for everything, and what was measured: a `Predictivity` or a `Measure`. How a score is
made is in `score`, how sure it is in `uncertainty`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..plugin.errors import UserError, suggest
from ..plugin.files import read_document, write_whole
from ..plugin.fingerprint import NETWORK_CODE, versions_of
from .naming import LEVELS, SEARCHES, SUITE_FILE, record_path
from .sidecar import RecordError, Sidecar

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

FORMAT = 2
MOST_BYTES = 50_000_000  # of a record
STATUSES = ("scored", "no access", "failed")
PACKAGES = (
    "brainscore_submission",
    "brainscore_vision",
    "brainscore_core",
    *NETWORK_CODE,
    "numpy",
    "scipy",
    "scikit-learn",
    "xarray",
    "pandas",
)

Interval = Annotated[tuple[float, float], Field(description="low and high end")]


class _Strict(BaseModel):
    """Unknown fields, values of the wrong kind, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **fields: Any):
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise RecordError(_faults(error, type(self))) from None


class Predictivity(_Strict):
    """How well a model predicts recordings.

    Higher is better for `score`, `score_2022` and `raw`; lower for every `*_error` (standard errors, each
    propagated to the scale of its number). `raw` is the signed correlation r, `ceiling` its noise ceiling c.
    """

    raw: float | None = None
    raw_error: float | None = None
    raw_spread: float | None = None  # standard deviation when neuroids and stimuli are drawn anew
    ceiling: float | None = None
    ceiling_error: float | None = None
    score: float | None = None
    score_error: float | None = None
    score_2022: float | None = None
    score_2022_error: float | None = None
    interval: Interval | None = None
    interval_over: str | None = None  # "neuroids and stimuli", "neuroids", "subjects", "sessions", "images" or "normal"
    formula: str
    metric: str | None = None
    engine: str | None = None
    raw_per_split: tuple[float, ...] | None = None
    parts: tuple[tuple[float, float], ...] | None = None  # raw and ceiling of each, where the score is a mean over them
    parts_over: str | None = None  # "subjects", "sessions", "splits" or "time bins"
    n_stimuli: int | None = None
    n_neuroids: int | None = None
    n_features: int | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Predictivity:
        if self.raw is None and self.score is None:
            raise ValueError("neither raw nor score")
        if self.ceiling is None and self.score is not None and self.formula not in ("r", "unknown"):
            raise ValueError(f"a score by {self.formula} without a ceiling")
        if self.ceiling is not None and self.score is None:
            raise ValueError("a ceiling without a score")
        _require_upright(self.interval)
        return self


class Measure(_Strict):
    """One number and how sure it is: an accuracy, a tolerance, an area under a curve."""

    metric: str
    value: float
    error: float | None = None
    interval: Interval | None = None
    interval_over: str | None = None
    n: int
    settings: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_consistent(self) -> Measure:
        _require_upright(self.interval)
        return self


class Record(_Strict):
    """The envelope: what was measured of which model on what, and all that is needed to do it again.

    `model` is what its user calls it, `card` what it is; `command` the command line that made the record, None from
    Python. `perturbation` is what was done to every image, None where nothing was. `marks` is what everything that
    shows the record must say: UNTRAINED, SIMULATED.
    """

    format: Literal[1, 2] = FORMAT  # 1: read from a file of version 0.1.0
    kind: Literal["predictivity", "measure"] = "predictivity"
    model: str
    card: str
    competition_id: int | None = None
    suite: str
    benchmark: str
    area: str | None = None
    layer: str | None = None
    layer_map: str | None = None
    status: str = "scored"
    reason: str | None = None
    measured: Predictivity | Measure | None = None
    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    visual_degrees: float | None = None
    weights: dict[str, Any] | None = None
    preprocessing: str | None = None
    perturbation: dict[str, Any] | None = None
    precision: str | None = None
    device: str | None = None
    batch_size: int | None = None
    command: str | None = None
    data: str | None = None
    fingerprint: str
    seconds: dict[str, float] | None = None
    versions: dict[str, str]
    created: str

    def __init__(self, **fields: Any):
        try:
            super().__init__(**fields)
        except RecordError as error:
            raise RecordError(f"record of {fields.get('model')} on {fields.get('benchmark')}: {error}") from None

    @model_validator(mode="after")
    def _is_consistent(self) -> Record:
        if self.status not in STATUSES:
            raise ValueError(f"unknown status '{self.status}'.{suggest(self.status, STATUSES)}")
        if self.status == "scored" and self.measured is None:
            raise ValueError("status is 'scored' but nothing was measured")
        if self.status != "scored" and self.measured is not None:
            raise ValueError(f"status is '{self.status}' but something was measured")
        if self.status != "scored" and not self.reason:
            raise ValueError(f"status is '{self.status}' but there is no reason")
        if self.measured is not None and self.kind != type(self.measured).__name__.lower():
            raise ValueError(f"kind is '{self.kind}' but a {type(self.measured).__name__.lower()} was measured")
        return self

    @property
    def untrained(self) -> bool:
        """Whether the weights were random."""
        return "UNTRAINED" in self.marks

    @property
    def score(self) -> float | None:
        """The ceiled score, if there is one."""
        return getattr(self.measured, "score", None)

    @cached_property
    def checksum(self) -> str:
        """sha256 over all fields, in hex: stands in the file, and in the sidecar that belongs to it."""
        return _checksum(self._fields())

    def to_json(self) -> str:
        """All fields, in order, and the checksum over them, as JSON text."""
        fields = self._fields() | {"checksum": self.checksum}
        return json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _fields(self) -> dict[str, Any]:
        """As JSON has them; those of an intact image as before there were perturbations, so that checksums hold."""
        return self.model_dump(mode="json", exclude={"perturbation"} if self.perturbation is None else None)

    def path(self, results: str | Path) -> Path:
        """Where this record lies under a results folder."""
        return record_path(results, self.model, self.suite, self.benchmark)

    def write(self, results: str | Path, sidecar: Sidecar | None = None) -> Path:
        """Write the record, and its sidecar first, so that a record never lacks its neuroids.

        There is never half a file; a record that an older version wrote is set aside, not overwritten.
        """
        path = self.path(results)
        set_aside_older(path)
        if sidecar is not None:
            sidecar.write(path.with_suffix(".npz"), self.checksum)
        return write_whole(path, self.to_json().encode(), "--results")

    @classmethod
    def from_json(cls, path: str | Path) -> Record:
        """Read one record, strictly; those of version 0.1.0 too.

        Raises
        ------
        RecordError
            Broken JSON, an unknown or missing field, NaN, a value of the wrong kind, or a checksum that does not fit;
            names the file.
        """
        try:
            return cls.from_fields(_json_object(Path(path)))
        except RecordError as error:
            raise RecordError(f"{path}: {error}") from None

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Record:
        """The record of the fields of its JSON, as `from_json`."""
        if fields.get("schema") == 1:
            return cls(**_from_0_1_0(fields))
        fields = dict(fields)
        stated = fields.pop("checksum", None)
        record = cls(**_with_tuples(fields))
        if stated != record.checksum:
            raise RecordError("its checksum does not fit: it was changed after it was written, or damaged")
        return record


MARKS = ("UNTRAINED", "SIMULATED")


def marks_of(records: Iterable[Record]) -> tuple[str, ...]:
    """What anything that shows these records must say: the marks of any of them."""
    found = {mark for record in records for mark in record.marks}
    return tuple(mark for mark in MARKS if mark in found)


def require_own_folder(results: str | Path, model: str) -> None:
    """See that what lies in a model's folder is its own: `a b` and `a-b` would share one.

    Raises
    ------
    UserError
    """
    folder = record_path(results, model, "any", "any").parents[1]
    for path in folder.glob("*/*.json"):
        try:
            found = Record.from_json(path).model
        except RecordError:
            continue
        if found != model:
            raise UserError(
                f"{folder} holds records of '{found}', and those of '{model}' would lie there too. "
                "Give another --name, or another folder with --results."
            )
        return


def set_aside_older(path: Path) -> None:
    """Give a record of an older version another name, ``<benchmark>.0.1.0.json``, before a new one takes its place."""
    if not path.is_file():
        return
    try:
        fields = _json_object(path)
    except RecordError:
        return
    if 1 in (fields.get("schema"), (fields.get("record") or {}).get("schema")):
        kept = path.with_name(f"{path.stem}{OLDER_SUFFIX}")
        path.rename(kept)
        if path.with_suffix(".npz").is_file():
            path.with_suffix(".npz").rename(kept.with_suffix(".npz"))
        logger.warning("%s was written by version 0.1.0: kept as %s", path, kept.name)


OLDER_SUFFIX = ".0.1.0.json"


def _from_0_1_0(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record as version 0.1.0 wrote it, in today's envelope."""
    fields = dict(fields)
    fields["format"] = fields.pop("schema")
    marks = [
        mark
        for mark, holds in (
            ("UNTRAINED", (fields.get("weights") or {}).get("untrained")),
            ("SIMULATED", fields.pop("simulated", False)),
        )
        if holds
    ]
    measured = {name: fields.pop(name) for name in Predictivity.model_fields if name in fields}
    scored = fields.get("status") == "scored"
    return _with_tuples(
        fields | {"card": fields.get("model"), "marks": marks, "measured": measured if scored else None}
    )


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists only; the body becomes the kind of thing that was measured."""
    fields = {name: _tuples(value) for name, value in fields.items()}
    body = fields.get("measured")
    if isinstance(body, dict):
        kind = Measure if fields.get("kind") == "measure" else Predictivity
        fields["measured"] = kind(**{name: _tuples(value) for name, value in body.items()})
    return fields


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def _checksum(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _require_upright(interval: Interval | None) -> None:
    if interval is not None and interval[0] > interval[1]:
        raise ValueError(f"interval {interval} is upside down")


def _faults(error: ValidationError, kind: type[BaseModel]) -> str:
    """What is wrong with the values of a record, in words."""
    known = list(kind.model_fields)
    first = error.errors()[0]
    name, given = str(first["loc"][0]) if first["loc"] else "", first["input"]
    if first["type"] == "extra_forbidden":
        return f"unknown field '{name}'.{suggest(name, known, limit=len(known))}"
    missing = [str(one["loc"][0]) for one in error.errors() if one["type"] == "missing" and len(one["loc"]) == 1]
    if missing:
        return f"missing field {', '.join(missing)}"
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    return f"field '{name}' is {given!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _json_object(path: Path) -> dict[str, Any]:
    def refuse(constant):
        raise RecordError(f"holds {constant}; a record holds finite numbers or null")

    def once(pairs):
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise RecordError("a field stands twice")
        return dict(pairs)

    try:
        text = read_document(path, "record", most=MOST_BYTES)
        value = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    except RecordError:
        raise
    except UserError as error:
        raise RecordError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"broken JSON, {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise RecordError(f"not a record: expected a JSON object, found a {type(value).__name__}")
    return value


def read_folder(folder: str | Path) -> tuple[pd.DataFrame, list[str]]:
    """All records under a results folder as one table.

    Parameters
    ----------
    folder : path of `results/`, or of one model or suite in it

    Returns
    -------
    table : DataFrame, one row per record
        A column per field of `Record`, of `Predictivity` and of `Measure`, and `path`, `sidecar` (path, or None where
        there is none), `checksum`.
    warnings : list of str
        One line for each file left out, naming it and saying why. Nothing is left out silently.

    Raises
    ------
    RecordError
        The folder does not exist.
    """
    import pandas as pd

    folder = Path(folder)
    if not folder.is_dir():
        raise RecordError(f"there is no folder {folder}. Score a model first: python evaluate.py --model 991")
    rows, warnings, seen = [], [], {}
    for path in _record_files(folder):
        if path.name.endswith(OLDER_SUFFIX):
            warnings.append(f"left out: {path}: of version 0.1.0, scored again since")
            continue
        try:
            record = Record.from_json(path)
        except RecordError as error:
            warnings.append(f"left out: {error}")
            continue
        key = (record.model, record.suite, record.benchmark)
        if key in seen:
            warnings.append(f"left out: {path}: the same model, suite and benchmark as {seen[key]}")
            continue
        seen[key] = path
        rows.append(_row(record, path))
    return pd.DataFrame(rows, columns=COLUMNS), warnings


COLUMNS = [
    *(name for name in Record.model_fields if name != "measured"),
    *Predictivity.model_fields,
    *(name for name in Measure.model_fields if name not in Predictivity.model_fields),
    "path",
    "sidecar",
    "checksum",
]


def _record_files(folder: Path) -> list[Path]:
    """JSON files that should be records: those of a layer search are not, and those of perturbed images stand apart."""
    found = sorted(path for path in folder.rglob("*.json") if path.name != SUITE_FILE)
    return [path for path in found if not {SEARCHES, LEVELS} & set(path.relative_to(folder).parts)]


def _row(record: Record, path: Path) -> dict[str, Any]:
    sidecar = path.with_suffix(".npz")
    envelope = {name: getattr(record, name) for name in Record.model_fields if name != "measured"}
    measured = {} if record.measured is None else dict(record.measured)
    own = {"path": path, "sidecar": sidecar if sidecar.is_file() else None}
    own["checksum"] = record.checksum if record.format == FORMAT else None
    return dict.fromkeys(COLUMNS) | envelope | measured | own


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a number depends on; those not installed are left out."""
    return {"python": platform.python_version(), **versions_of(PACKAGES)}
