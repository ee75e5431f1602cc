"""The grid of attacks as a table: summary.csv, written and read, and the effectiveness that follows from it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..plugin.errors import UserError
from .effectiveness import effectiveness_gap

COLUMNS = (
    "model", "epoch", "seed", "attack", "attack_steps",
    "top1", "top5", "robust_top1", "robust_top5", "loss", "adv_loss",
)  # fmt: skip


def gaps_of(rows: Sequence[Mapping]) -> dict[tuple[str, str], dict[int, tuple[float, float]]]:
    """The effectiveness of each model and epoch of a summary: steps -> (mean over seeds, standard deviation).

    Parameters
    ----------
    rows : of the columns `COLUMNS`

    Raises
    ------
    UserError
        a model that lacks a number of steps for some seed; and what `effectiveness_gap` refuses
    """
    found = {}
    for key in dict.fromkeys((row["model"], row["epoch"]) for row in rows):
        mine = {
            (int(row["seed"]), int(row["attack_steps"])): float(row["adv_loss"])
            for row in rows
            if (row["model"], row["epoch"]) == key
        }
        seeds, steps = (sorted({pair[place] for pair in mine}) for place in (0, 1))
        if len(mine) != len(seeds) * len(steps):
            raise UserError(f"{key[0]}: not every seed has every number of steps ({len(mine)} rows).")
        gaps = effectiveness_gap([[mine[seed, number] for number in steps] for seed in seeds], steps)
        spread = gaps.std(0, ddof=1) if len(seeds) > 1 else np.full(len(steps), np.nan)
        found[key] = {
            number: (float(mean), float(sd)) for number, mean, sd in zip(steps, gaps.mean(0), spread, strict=True)
        }
    return found


def summary_csv(rows: Sequence[Mapping]) -> bytes:
    """Rows as the CSV file of the columns `COLUMNS`."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def read_summary(path: Path) -> list[dict[str, str]]:
    """The rows of a summary.

    Raises
    ------
    UserError
        it cannot be read, or lacks a column
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from error
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise UserError(f"{path} is no summary of attacks: it lacks {', '.join(missing)}.")
    return rows
