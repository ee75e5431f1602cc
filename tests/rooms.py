"""The rooms of the house and what they take from each other: `python tests/rooms.py` prints the graph."""

import ast
import functools
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "brainscore_submission"

# From the ground up: a room takes from those before it, never from those after it.
ROOMS = (
    "plugin",
    "words",
    "engine",
    "demo",
    "models",
    "labelled_images",
    "scoring",
    "attacks",
    "recordings",
    "asked",
    "robustness",
    "probes",
    "training",
    "layer_search",
    "checking",
    "packaging",
    "cli",
    "evaluate",
    "analysis",
    "bench",
)


def files() -> list[Path]:
    """Every Python file of the house, tests apart."""
    folders = (PACKAGE, "analysis", "bench")
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [*found, ROOT / "evaluate.py"]


def room_of(path: Path) -> str | None:
    """The room a file stands in; None for the package's own ``__init__`` and ``__main__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] != PACKAGE:
        return parts[0]
    return None if parts[1] in ("__init__", "__main__") else parts[1]


@functools.cache
def imports_of(path: Path) -> set[str]:
    """Dotted names of all that a file imports anywhere in it, relative imports resolved."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


@functools.cache
def files_imported_by(path: Path) -> set[Path]:
    """The files of the house that a file imports."""
    found = set()
    for name in imports_of(path):
        place = ROOT.joinpath(*name.split("."))
        found |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}
    return {file for file in found - {path} if file.is_relative_to(ROOT) and room_of(file) in ROOMS}


@functools.cache
def arrows() -> dict[tuple[str, str], list[tuple[Path, Path]]]:
    """(room, room that it takes from) -> the files between which that happens."""
    found = defaultdict(list)
    for path in files():
        for imported in files_imported_by(path):
            if room_of(path) and room_of(path) != room_of(imported):
                found[room_of(path), room_of(imported)].append((path, imported))
    return dict(found)


def circles() -> list[list[Path]]:
    """Files that import each other, directly or through others: every circle once."""
    graph = {path: files_imported_by(path) for path in files() if path.name != "__init__.py"}
    reached = {path: _reachable(path, graph) for path in graph}
    rings = {frozenset(other for other in reached[path] if path in reached[other]) for path in graph}
    return [sorted(ring) for ring in rings if ring]


def _reachable(start: Path, graph: dict[Path, set[Path]]) -> set[Path]:
    found, waiting = set(), [start]
    while waiting:
        new = {path for path in graph[waiting.pop()] if path in graph} - found
        found |= new
        waiting += new
    return found


def graph_in_words() -> str:
    """A line a room, from the ground up: what it takes from."""
    present = {room_of(path) for path in files()}
    takes = {room: sorted((to for here, to in arrows() if here == room), key=ROOMS.index) for room in ROOMS}
    return "\n".join(f"{room:16} {' '.join(takes[room])}".rstrip() for room in ROOMS if room in present)


if __name__ == "__main__":
    print(graph_in_words())  # noqa: T201
