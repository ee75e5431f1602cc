"""What was measured with attacks -> records of the suite "robustness", each with a table of its images beside it.

    results/<model>/robustness/val.robust_accuracy.linf-4-255.pgd-10x1.json
    results/<model>/robustness/val.robust_accuracy.linf-4-255.pgd-10x1.csv      a row an image

The only file of this room that needs the room of records.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..labelled_images.images import LabelledImages
from ..models.model import Model
from ..plugin.errors import UserError, suggest
from ..plugin.files import write_whole
from ..scoring.naming import record_path
from ..scoring.records import Measure, Record, require_own_folder, versions
from ..scoring.sidecar import RecordError
from .blocks import Look, forget, image_by_image

logger = logging.getLogger(__name__)

SUITE = "robustness"
RERUN = ("missing", "all")
COMPUTES = ("python", "torch", "timm", "torchvision", "pillow", "numpy", "brainscore_submission")
TEXTS = ("identity", "reason")  # columns that are text even where they look like numbers


class Measured(NamedTuple):
    """A record, and its table: column -> array of length n_images."""

    record: Record
    table: dict[str, np.ndarray]


class RecordBook:
    """Looks at images with a model and keeps what was seen: unfinished batches, tables, records.

    Parameters
    ----------
    model : Model
    images : LabelledImages
    results : folder of records
    rerun : "missing" shows a record that is there, "all" makes it anew
    command : the command line
    suite : the folder among the model's records
    """

    def __init__(
        self,
        model: Model,
        images: LabelledImages,
        results: Path,
        rerun: str = "missing",
        command: str | None = None,
        suite: str = SUITE,
    ):
        if rerun not in RERUN:
            raise UserError(f"unknown rerun policy '{rerun}'.{suggest(rerun, RERUN)}")
        require_own_folder(results, model.name)
        self.model, self.images, self.results, self.rerun, self.command = model, images, results, rerun, command
        self.suite = suite

    @property
    def folder(self) -> Path:
        """Where the records of this model lie."""
        return record_path(self.results, self.model.name, self.suite, "any").parent

    def name(self, *parts: object) -> str:
        """Of a record: the images and what was done with them."""
        return ".".join(map(str, (self.images.name, *parts)))

    def kept(self, benchmark: str, settings: Mapping[str, Any]) -> Measured | None:
        """A record that is there already, of the same model, images, settings and versions; else None."""
        path = record_path(self.results, self.model.name, self.suite, benchmark)
        if self.rerun == "all" or not path.is_file():
            return None
        try:
            record = Record.from_json(path)
            table = read_table(path, record)
        except RecordError as error:
            logger.warning("measured again: %s", error)
            return None
        if record.fingerprint != self.fingerprint(settings):
            logger.warning("%s: replaces a record of other weights, images, settings or versions", benchmark)
            return None
        return Measured(record, table)

    def look(
        self,
        what: str,
        settings: Mapping[str, Any],
        look: Look,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[dict[str, np.ndarray], float]:
        """See `image_by_image`; unfinished batches lie beside the records until `forget`. Also seconds."""
        started = time.perf_counter()
        seen = image_by_image(
            self.images,
            look,
            size=self.model.batch_size,
            unfinished=self._unfinished(what, settings),
            progress=progress,
        )
        return seen, time.perf_counter() - started

    def keep(
        self,
        benchmark: str,
        settings: Mapping[str, Any],
        measured: Mapping[str, Any],
        table: Mapping[str, np.ndarray],
        *,
        seconds: float = 0.0,
        notes: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> Measured:
        """Write a record and, before it, its table.

        Parameters
        ----------
        benchmark : name of the record
        settings : what the number depends on, JSON-able
        measured : fields of `Measure`, "settings" aside
        table : column -> array of length n_images
        facts : what else was found, kept among the record's settings
        """
        table = {name: np.asarray(values) for name, values in table.items()}
        text = _as_csv(table)
        path = record_path(self.results, self.model.name, self.suite, benchmark)
        beside = {"images": self.images.name, "table": path.with_suffix(".csv").name, "table_sha256": _sha256(text)}
        record = Record(
            kind="measure",
            model=self.model.name,
            card=self.model.card.identifier,
            competition_id=self.model.card.competition_id,
            suite=self.suite,
            benchmark=benchmark,
            marks=tuple(self.model.marks),
            measured=Measure(**measured, settings=dict(settings) | dict(facts or {}) | beside),
            notes=(*self.images.notes, *notes),
            weights=dict(self.model.origin),
            preprocessing=self.model.card.preprocessing.name,
            precision=self.model.precision,
            device=self.model.device,
            batch_size=self.model.batch_size,
            command=self.command,
            data=self.images.fingerprint,
            fingerprint=self.fingerprint(settings),
            seconds={"looking": round(seconds, 3)},
            versions=versions(),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        write_whole(path.with_suffix(".csv"), text, "--results")
        record.write(self.results)
        return Measured(record, table)

    def forget(self, what: str, settings: Mapping[str, Any]) -> None:
        """Delete the unfinished batches of `look`, once the record is kept."""
        forget(self._unfinished(what, settings))

    def fingerprint(self, settings: Mapping[str, Any]) -> str:
        """See `fingerprint_of`."""
        return fingerprint_of(self.model, self.images, settings)

    def _unfinished(self, what: str, settings: Mapping[str, Any]) -> Path:
        return self.folder / "unfinished" / f"{what.partition(':')[0]}-{self.fingerprint(settings)[:24]}"


def fingerprint_of(model: Model, images: LabelledImages, settings: Mapping[str, Any]) -> str:
    """Hash of everything that a number depends on; the size of batches too, since it moves the last digits."""
    computes = {name: version for name, version in versions().items() if name in COMPUTES}
    facts = [model.fingerprint, images.fingerprint, model.batch_size, dict(settings), computes]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_table(path: Path, record: Record) -> dict[str, np.ndarray]:
    """The table of images beside a record, its columns as numbers where they are.

    Raises
    ------
    RecordError
        it is missing, or not the one that the record was written with
    """
    table = Path(path).with_suffix(".csv")
    try:
        text = table.read_bytes()
    except OSError as error:
        raise RecordError(f"{table}: {error.strerror}") from None
    if _sha256(text) != record.measured.settings.get("table_sha256"):
        raise RecordError(f"{table}: it belongs to another record than the one beside it, or was changed")
    header, *rows = csv.reader(io.StringIO(text.decode(), newline=""))
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    return {
        name: np.array(values) if name in TEXTS else _numbers(values)
        for name, values in zip(header, columns, strict=True)
    }


def _as_csv(table: Mapping[str, np.ndarray]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*(values.tolist() for values in table.values()), strict=True))
    return out.getvalue().encode()


def _numbers(values: Sequence[str]) -> np.ndarray:
    if set(values) <= {"True", "False"}:
        return np.array([value == "True" for value in values])
    for kind in (np.int64, np.float64):
        try:
            return np.array(values, dtype=kind)
        except (ValueError, OverflowError):
            continue
    return np.array(values)


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
