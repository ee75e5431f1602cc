"""`cache`: what this program keeps on the machine, and how to be rid of it."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..plugin.errors import UserError, suggest
from ..words import count, size_in_words
from ..words.tables import Rows
from .front_end import front_end

# Kind -> what it is, and the names that it has in the cache.
KINDS = {
    "weights": ("checkpoints, fetched and verified", r"weights"),
    "grams": ("Gram matrices of layers", r"grams"),
    "features": ("features of layers, where they are few", r"features"),
    "spool": ("features of recordings that were stopped and can go on", r"spool"),
    "mappings": ("mappings fitted for predictions", r"mappings"),
    "ceilings": ("noise ceilings", r"ceilings"),
    "opened": ("what models and suites are, so that a command with nothing to do answers at once", r"opened"),
    "recordings": ("images of your own recordings, unpacked", r"recordings"),
    "demo": ("the demo suite's pictures", r"\.?demo-stimuli-.*"),
    "environments": ("environments of check --full", r"environments"),
    "other": ("everything else", r".*"),
}
UNITS = {"h": 3600, "d": 86_400, "w": 604_800}

CACHE_HELP = """
Show what is kept on this machine, or empty it.

Everything in it can be fetched or computed again. BRAINSCORE_SUBMISSION_CACHE says where it lies.

Examples:

  brainscore-submission cache

  brainscore-submission cache --empty grams

  brainscore-submission cache --empty spool --older-than 7d
"""


def cache(
    empty: Annotated[str | None, typer.Option(help=f"Remove what is of this kind: {', '.join(KINDS)}, or all.")] = None,
    older_than: Annotated[str | None, typer.Option(help="Only what was not changed for so long: 12h, 7d, 4w.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")] = False,
) -> None:
    """See `CACHE_HELP`, which is the help text."""
    with front_end() as terminal:
        from ..plugin.fetching import cache_folder
        from ..plugin.files import sweep

        folder = cache_folder()
        if empty is not None and empty not in (*KINDS, "all"):
            raise UserError(f"unknown kind '{empty}'.{suggest(empty, [*KINDS, 'all'])}")
        if older_than is not None and empty is None:
            raise UserError("--older-than goes with --empty: say which kind, or all.")
        before = time.time() - seconds_of(older_than)
        sweep(folder)
        rows = []
        for kind, files in _files(folder).items():
            chosen = empty in (kind, "all")
            gone = [(path, size) for path, size, changed in files if chosen and changed < before]
            for path, _ in gone:
                path.unlink(missing_ok=True)
            rows.append(
                {
                    "kind": kind,
                    "files": len(files) - len(gone),
                    "bytes": sum(size for _, size, _ in files) - sum(size for _, size in gone),
                    "removed_bytes": sum(size for _, size in gone),
                    "oldest_days": round(
                        max([(time.time() - changed) / 86_400 for *_, changed in files], default=0), 1
                    ),
                }
            )
        if empty is not None:
            _remove_empty_folders(folder)
        facts = {"folder": str(folder), "free_bytes": _free(folder), "kinds": rows}
        if as_json:
            terminal.write_json(facts)
            return
        _show(facts, Console(file=terminal.out, highlight=False))


def seconds_of(text: str | None) -> float:
    """A time as people type it.

    >>> seconds_of("12h"), seconds_of("7d"), seconds_of(None)
    (43200.0, 604800.0, 0.0)
    """
    if text is None:
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([hdw])", text.strip())
    if found is None:
        raise UserError(f"cannot read the time '{text}'. Write 12h, 7d or 4w.")
    return float(found[1]) * UNITS[found[2]]


def _files(folder: Path) -> dict[str, list[tuple[Path, int, float]]]:
    """Kind -> (path, bytes, time of its last change) of each file; links are not followed."""
    found: dict[str, list[tuple[Path, int, float]]] = {kind: [] for kind in KINDS}
    for top in sorted(folder.iterdir()) if folder.is_dir() else []:
        kind = next(kind for kind, (_, names) in KINDS.items() if re.fullmatch(names, top.name))
        for path in [top] if not top.is_dir() or top.is_symlink() else top.rglob("*"):
            if path.is_symlink() or path.is_file():
                status = path.lstat()
                found[kind].append((path, status.st_size, status.st_mtime))
    return found


def _remove_empty_folders(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), key=lambda path: -len(path.parts)):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()


def _free(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def _show(facts: dict, console: Console) -> None:
    cells = []
    for row in facts["kinds"]:
        if row["files"] or row["removed_bytes"]:
            age = f"{row['oldest_days']:.0f} d" if row["files"] else "–"
            size = size_in_words(row["bytes"])
            cells.append((row["kind"], str(row["files"]), size, age, KINDS[row["kind"]][0]))
    console.print(Rows(("kind", "files", "size", "oldest", "what it is"), cells, prose=("what it is",)))
    total, removed = (sum(row[name] for row in facts["kinds"]) for name in ("bytes", "removed_bytes"))
    said = (
        f"{size_in_words(total)} in {count(sum(row['files'] for row in facts['kinds']), 'file')} in {facts['folder']}"
    )
    gone = f"; {size_in_words(removed)} removed" if removed else ""
    console.print(f"{said}{gone}; {size_in_words(facts['free_bytes'])} free on that disk.", soft_wrap=True)
