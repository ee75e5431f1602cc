"""What may stand in one row, and what may be compared: the door through which all readers take a folder of records.

- A benchmark counts while its suite holds it, and averages as the suite says.
- A row is one network: of several under one name the newest counts, and of its suite the newest precision, engine and
  layers. What is left out is named.
- Compared is what saw the same data: of several data sets under one name each goes by a name of its own, and so do
  areas under curves over other levels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR, LOGITS
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.naming import SUITE_FILE
from brainscore_submission.scoring.records import read_folder
from brainscore_submission.scoring.suite_files import read_kept_suite, shipped_suites
from brainscore_submission.scoring.suites import SINGLE, Suite, find_suite
from brainscore_submission.words import few

from .display import missing

if TYPE_CHECKING:
    import pandas as pd

PROBES = "probes"  # suite of the records of `brainscore-submission probe`


def read_results(folder: str | Path) -> tuple[pd.DataFrame, list[str]]:
    """The records of a folder, as `records.read_folder`, so that equal names mean what may be averaged and compared.

    Returns
    -------
    table : DataFrame, as of `read_folder`; `suite`, `benchmark`, `area` and `settings["images"]` as they compare
    warnings : list of str
        A line for what was left out, or goes by another name, and why.

    Raises
    ------
    RecordError
        The folder does not exist.
    """
    table, warnings = read_folder(folder)
    for rule in (_still_in_its_suite, _of_one_network, _on_one_data_set, _over_one_set_of_levels):
        if not table.empty:
            table, said = rule(table)
            warnings += said
    return table, warnings


# --- suites ----------------------------------------------------------------------------------------------------------


def suites_of(table: pd.DataFrame) -> tuple[dict[str, Suite], list[str]]:
    """Name -> suite, of those whose averages are known: that come with the product, or lie beside their records.

    Of several versions of a user's file the newest counts. An area that is not fully scored has no average, whatever
    the suite says: models would be compared on different benchmarks.

    Returns
    -------
    suites : by name
    warnings : a line for each file of a suite that cannot be read, and for several versions of one
    """
    suites, warnings = {}, []
    for name, records in _of_kind(table, "predictivity").groupby("suite", sort=True):
        if name in shipped_suites():
            suites[name] = replace(find_suite(name), partial=False)
            continue
        kept = {}
        for path in sorted({record.parent / SUITE_FILE for record in records["path"]}):
            try:
                found = read_kept_suite(path) if path.is_file() else None
            except UserError as error:
                warnings.append(f"left out: {error}")
                continue
            if found is not None:
                kept[path] = found
        if kept:
            newest = max(kept, key=lambda path: kept[path].created)
            suites[name] = Suite(name, kept[newest].file.tree)
            other = sorted(path.parent.parent.name for path in kept if kept[path].file.tree != suites[name].areas)
            if other:
                warnings.append(f"{name}: its file was changed since {few(other)} was scored; as it is now counts")
    return suites, warnings


def _still_in_its_suite(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    suites, warnings = suites_of(table)
    mine = _of_kind(table, "predictivity")
    left_out = []
    for name, records in mine.groupby("suite", sort=True):
        if name not in suites:
            several = records.groupby("area")["benchmark"].nunique().gt(1).any()
            if several and name not in (SINGLE, "demo"):
                warnings.append(
                    f"{name}: plain means, for want of {SUITE_FILE} beside its records: evaluate --suite writes it"
                )
            continue
        gone = records[~records["benchmark"].isin(suites[name].leaves)]
        left_out += list(gone.index)
        if len(gone):
            benchmarks, models = (few(sorted(set(gone[column]))) for column in ("benchmark", "model"))
            warnings.append(f"left out: {benchmarks} of {models}: no longer in suite {name}")
    area_now = [
        suites[row.suite].leaves.get(row.benchmark, row.area)
        if row.kind == "predictivity" and row.suite in suites
        else row.area
        for row in table.itertuples()
    ]
    return table.assign(area=area_now).drop(index=left_out), warnings


# --- one network a row -----------------------------------------------------------------------------------------------


def network_of(record: Any) -> str | None:
    """Which network a record is of, in words: card, weights and preprocessing; None where it names no weights."""
    if (weights := record.weights) is None:
        return None
    given = weights.get("sha256") or weights.get("sha1")
    words = [
        "random weights" if weights.get("untrained") else f"weights {given[:12]}" if given else "unknown weights",
        None if missing(weights.get("seed")) else f"seed {weights['seed']}",
        None if missing(weights.get("ema")) else f"ema {weights['ema']}",
        record.preprocessing,
    ]
    return ", ".join([record.card, *filter(None, words)])


def _precision(record):
    return record.precision if record.kind == "predictivity" else None


def _engine(record):
    # the others differ in how they compute, not in what
    return None if missing(record.engine) else "engine converged" if record.engine == "converged" else "other engines"


def _layer(record):
    read = record.kind == "predictivity" and record.area in AREAS_AND_BEHAVIOR and record.layer != LOGITS
    return record.layer if read else None


# Columns -> what is one thing within equal values of them; None: of the record nothing is asked.
ONE_OF: tuple[tuple[tuple[str, ...], Callable[[Any], str | None]], ...] = (
    (("model",), network_of),
    (("model", "suite"), _precision),
    (("model", "suite", "metric"), _engine),
    (("model", "suite", "area"), _layer),
)


def _of_one_network(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    warnings = []
    for columns, what in ONE_OF:
        said = [what(record) for record in table.itertuples()]
        asked = table.assign(what=said)[[one is not None for one in said]]
        left_out = []
        for _, mine in asked.groupby(list(columns), sort=True, dropna=False):
            newest = mine.sort_values("created", kind="stable")["what"].iloc[-1]
            for other, old in mine[mine["what"] != newest].groupby("what", sort=True):
                left_out += list(old.index)
                first = old.iloc[0]
                warnings.append(
                    f"left out: {few(sorted(set(old['benchmark'])))} of {first.model} ({other}): "
                    f"its newest records are of {newest}"
                )
        table = table.drop(index=left_out)
    return table, warnings


# --- one name, one thing that was seen -------------------------------------------------------------------------------


def _on_one_data_set(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    def seen(row):
        if row.kind == "predictivity":
            return row.suite
        # each probe is held against itself alone, measures of robustness also against each other
        return row.suite != PROBES and (row.settings or {}).get("images") or row.benchmark

    data = [f"data-{(row.data or 'unknown')[:8]}" for row in table.itertuples()]
    return _apart(table, [seen(row) for row in table.itertuples()], data, "holds several data sets, not compared")


def _over_one_set_of_levels(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    def levels(row):
        points = (row.settings or {}).get("curve", ()) if row.kind == "measure" else ()
        known = [point["level"] for point in points if point.get("relative", point.get("value")) is not None]
        return "levels-" + "-".join(f"{level:g}" for level in known)

    said = [levels(row) for row in table.itertuples()]
    return _apart(table, list(table["benchmark"]), said, "was measured over several levels, not compared")


def _apart(table, names, variants, why):
    """Rows of one name and several variants of it go by name and variant."""
    table, warnings = table.assign(called=names, variant=variants), []
    for (kind, name), mine in table.groupby(["kind", "called"], sort=True):
        if mine["variant"].nunique() == 1:
            continue
        each = [f"{one} ({few(sorted(set(rows['model'])))})" for one, rows in mine.groupby("variant", sort=True)]
        warnings.append(f"{name} {why}: {'; '.join(each)}")
        for row in mine.itertuples():
            own = f"{name}.{row.variant}"
            if kind == "predictivity":
                table.loc[row.Index, "suite"] = own
                continue
            table.loc[row.Index, "benchmark"] = row.benchmark.replace(name, own, 1)
            if (row.settings or {}).get("images") == name:
                table.at[row.Index, "settings"] = row.settings | {"images": own}
    return table.drop(columns=["called", "variant"]), warnings


def _of_kind(table, kind):
    return table[table["kind"] == kind]
