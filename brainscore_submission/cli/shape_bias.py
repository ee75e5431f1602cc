"""What `probe shape-bias` does and shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ..asked import Asked
from ..plugin.errors import UserError
from ..words.tables import Rows
from .attacking import open_asked
from .front_end import Terminal
from .probing import SUITE
from .progress import progress_bar

if TYPE_CHECKING:
    from ..probes.shape_bias import Trial
    from ..scoring.records import Record

NUMBERED = re.compile(r"(.*\D)[-_ ]\d+$")


def bias_of_model(
    terminal: Terminal, asked: Asked, where: Path, pool: str, results: Path, rerun: str, output: Path | None
) -> tuple[Record, list[Trial]]:
    """Show a model the images; its record and its decisions, which are written to `output` too."""
    from ..plugin.files import require_writable
    from ..probes.shape_bias import cue_conflict_images, measure_shape_bias, write_decisions
    from ..robustness.classifiers import classifier_of
    from ..robustness.recording import RecordBook

    if output is not None:
        require_writable(output, "-o")
    if not where.is_dir():
        raise UserError(f"there is no folder {where}. Give one of images such as airplane1-bicycle2.png.")
    model = open_asked(terminal, asked)
    images = cue_conflict_images(where, model.card.preprocessing)
    terminal.warn(images.notes)
    book = RecordBook(model, images, results, rerun, asked.command, suite=SUITE)
    with progress_bar(terminal) as advance:
        measured, trials = measure_shape_bias(
            book, classifier_of(model), pool, lambda done, total: advance("images", done, total)
        )
    if output is not None:
        write_decisions(trials, output)
    return measured.record, trials


def show_bias(
    terminal: Terminal,
    record: Record | None,
    own: Sequence[Trial],
    others: Sequence[Trial],
    by_shape: bool,
    as_json: bool,
) -> None:
    """The bias of each subject, the model first, and of numbered observers (subject-01, subject-02, …) together."""
    from ..probes.shape_bias import by_category, shape_bias

    groups: dict[str, list[Trial]] = {}
    for trial in (*own, *others):
        groups.setdefault(trial.subject, []).append(trial)
    found: dict[str, dict[str, Any]] = {name: shape_bias(trials) for name, trials in groups.items()}
    for kind, mine in _observers(others).items():
        groups[kind], found[kind] = mine, shape_bias(mine)
    if as_json:
        subjects = {
            name: bias | {"by_category": by_category(groups[name])} if by_shape else bias
            for name, bias in found.items()
        }
        dumped = [] if record is None else [record.model_dump(mode="json")]
        terminal.write_json({"subjects": subjects, "records": dumped})
        return
    marks = () if record is None else record.marks
    cells = []
    for name, bias in found.items():
        cells.append(_cells(name, bias))
        cells += [_cells(f"  {shape}", one) for shape, one in by_category(groups[name]).items()] if by_shape else []
    headings = ("subject", "bias", "95 % interval", "shape", "texture", "conflict images", "without conflict")
    title = " · ".join(["shape bias: shape / (shape + texture)", *marks])
    Console(file=terminal.out).print(Rows(headings, cells, title=title))


def _observers(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """The trials of subjects whose names differ by their number alone."""
    kinds: dict[str, set[str]] = {}
    for trial in trials:
        if (found := NUMBERED.match(trial.subject)) is not None:
            kinds.setdefault(found.group(1), set()).add(trial.subject)
    return {
        f"{kind}, {len(names)} together": [trial for trial in trials if trial.subject in names]
        for kind, names in kinds.items()
        if len(names) > 1
    }


def _cells(name: str, bias: dict[str, Any]) -> list[str]:
    ends = "–" if bias["interval"] is None else f"{bias['interval'][0]:.4f} to {bias['interval'][1]:.4f}"
    value = "–" if bias["value"] is None else f"{bias['value']:.4f}"
    counts = (bias[key] for key in ("n_shape", "n_texture", "n_conflict", "n_no_conflict"))
    return [name, value, ends, *map(str, counts)]
