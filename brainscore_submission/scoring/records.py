"""One JSON file per score, with its origin; per-neuroid numbers in a sidecar .npz; a folder as one table.

    results/<model>/<suite>/<benchmark>.json
    results/<model>/<suite>/<benchmark>.npz

How a score is made is in `scoring`, how sure it is in `uncertainty`.
"""

import dataclasses
import json
import math
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin

import pandas as pd

from ..plugin.errors import suggest
from ..plugin.files import write_whole
from .sidecar import RecordError, Sidecar

SCHEMA = 1
STATUSES = ("scored", "no access")
_PACKAGES = (
    "brainscore_submission",
    "brainscore_vision",
    "brainscore_core",
    "torch",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "xarray",
    "pandas",
)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A score and all that is needed to make it again.

    Higher is better for `score`, `score_2022` and `raw`; lower for every `*_error` (standard errors, each
    propagated to the scale of its number). `raw` is the signed correlation r, `ceiling` its noise ceiling c.
    """

    schema: int = SCHEMA
    model: str
    competition_id: int | None = None
    suite: str
    benchmark: str
    area: str
    layer: str | None = None
    layer_map: str | None = None
    status: str = "scored"
    reason: str | None = None
    score: float | None = None
    score_error: float | None = None
    score_2022: float | None = None
    score_2022_error: float | None = None
    interval: tuple[float, float] | None = None
    interval_over: str | None = None  # "neuroids and stimuli", "neuroids" or "normal"
    raw: float | None = None
    raw_error: float | None = None
    ceiling: float | None = None
    ceiling_error: float | None = None
    formula: str | None = None
    metric: str | None = None
    engine: str | None = None
    raw_per_split: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()
    n_stimuli: int | None = None
    n_neuroids: int | None = None
    n_features: int | None = None
    visual_degrees: float | None = None
    weights: dict | None = None
    preprocessing: str | None = None
    simulated: bool = False
    fingerprint: str
    precision: str | None = None
    device: str | None = None
    seconds: dict | None = None
    versions: dict
    created: str

    def __post_init__(self):
        for name in ("interval", "raw_per_split", "notes"):  # JSON has lists only
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        fault = _fault(self)
        if fault:
            raise RecordError(f"record of {self.model} on {self.benchmark}: {fault}")

    @property
    def untrained(self) -> bool:
        """Whether the weights were random."""
        return bool((self.weights or {}).get("untrained"))

    def to_json(self) -> str:
        """All fields, in order, as JSON text; NaN and infinity are refused."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def path(self, results) -> Path:
        """Where this record lies under a results folder."""
        return record_path(results, self.model, self.suite, self.benchmark)

    def write(self, results, sidecar: "Sidecar | None" = None) -> Path:
        """Write the record, and its sidecar first, so that a record never lacks its neuroids.

        Both are written to a temporary name and renamed: there is never half a file.
        """
        path = self.path(results)
        if sidecar is not None:
            sidecar.write(path.with_suffix(".npz"))
        return write_whole(path, self.to_json().encode(), "--results")

    @classmethod
    def from_json(cls, path) -> "Record":
        """Read one record, strictly.

        Raises
        ------
        RecordError
            Broken JSON, an unknown or missing field, NaN, or a value of the wrong kind; names the file.
        """
        path = Path(path)
        fields = _json_object(path)
        known = [field.name for field in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                raise RecordError(f"{path}: unknown field '{name}'.{suggest(name, known, limit=len(known))}")
        missing = [name for name in known if name not in fields]
        if missing:
            raise RecordError(f"{path}: missing field {', '.join(missing)}")
        try:
            return cls(**fields)
        except RecordError as error:
            raise RecordError(f"{path}: {error}") from None


def record_path(results, model: str, suite: str, benchmark: str) -> Path:
    """Where the record of a model on a benchmark lies; signs a file name may not hold become "-".

    Examples
    --------
    >>> record_path("results", "timm:resnet18", "demo", "demo.V1-pls").as_posix()
    'results/timm-resnet18/demo/demo.V1-pls.json'
    """
    model, suite, benchmark = (re.sub(r"[^\w.+-]+", "-", name) for name in (model, suite, benchmark))
    return Path(results) / model / suite / f"{benchmark}.json"


def _json_object(path):
    def refuse(constant):
        raise RecordError(f"{path}: holds {constant}; a record holds finite numbers or null")

    def once(pairs):
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise RecordError(f"{path}: a field stands twice")
        return dict(pairs)

    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse, object_pairs_hook=once)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: broken JSON, {error}") from None
    if not isinstance(value, dict):
        raise RecordError(f"{path}: not a record: expected a JSON object, found a {type(value).__name__}")
    return value


def _fault(record):
    """What is wrong with the values of a record, or None."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if not _is_of_kind(value, field.type):
            return f"field '{field.name}' is {value!r}, expected {_kind_name(field.type)}"
    if record.schema != SCHEMA:
        return f"schema {record.schema} is not {SCHEMA}, the one this version reads"
    if record.status not in STATUSES:
        return f"unknown status '{record.status}'.{suggest(record.status, STATUSES)}"
    if record.status == "no access":
        return _fault_without_access(record)
    if record.raw is None or record.formula is None:
        return "status is 'scored' but there is no raw or no formula"
    if record.ceiling is None and (record.score is not None or record.score_2022 is not None):
        return "a score without a ceiling; unceiled records hold raw only"
    if record.ceiling is not None and (record.score is None or record.score_2022 is None):
        return "a ceiling without score and score_2022"
    if record.interval is not None and record.interval[0] > record.interval[1]:
        return f"interval {record.interval} is upside down"
    return None


def _fault_without_access(record):
    numbers = [name for name in ("score", "score_2022", "raw", "interval") if getattr(record, name) is not None]
    if numbers:
        return f"status is 'no access' but {', '.join(numbers)} is given"
    return None if record.reason else "status is 'no access' but there is no reason"


def _is_of_kind(value, kind):
    if get_origin(kind) is UnionType:
        return any(_is_of_kind(value, option) for option in get_args(kind))
    if get_origin(kind) is tuple:
        item, *rest = get_args(kind)
        right_length = isinstance(value, tuple) and (rest == [Ellipsis] or len(value) == 1 + len(rest))
        return right_length and all(_is_of_kind(one, item) for one in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _kind_name(kind):
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def read_folder(folder) -> tuple[pd.DataFrame, list[str]]:
    """All records under a results folder as one table.

    Parameters
    ----------
    folder : path of `results/`, or of one model or suite in it

    Returns
    -------
    table : DataFrame, one row per record
        A column per field of `Record`, `untrained`, `path`, and `sidecar` (path, or None where there is none).
    warnings : list of str
        One line for each file left out, naming it and saying why. Nothing is left out silently.

    Raises
    ------
    RecordError
        The folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordError(f"there is no folder {folder}. Score a model first: python evaluate.py --model 991")
    rows, warnings, seen = [], [], {}
    for path in _record_files(folder):
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
    columns = [field.name for field in dataclasses.fields(Record)] + ["untrained", "path", "sidecar"]
    return pd.DataFrame(rows, columns=columns), warnings


def _record_files(folder):
    """JSON files that should be records: those of a layer search are not."""
    found = sorted(folder.rglob("*.json"))
    return [path for path in found if "layer_search" not in path.relative_to(folder).parts]


def _row(record, path):
    sidecar = path.with_suffix(".npz")
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    own = {"untrained": record.untrained, "path": path, "sidecar": sidecar if sidecar.is_file() else None}
    return fields | own


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a score depends on; those not installed are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
