"""Brain-Score's images on its screen: placed by one process at a time, and used only as they were placed.

Brain-Score removes and rewrites a folder of placed images without a lock, and its cache of results claims ever after
that they are there: runs side by side destroy each other's images, an emptied folder is a dead end, and another image
under the same name goes unnoticed. Here a folder belongs to its source images, by their content.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers import screen
from filelock import FileLock
from PIL import Image

from ..plugin.files import file_sha256, write_whole, writing_to

_BRAINSCORE_PLACE = screen._place_on_screen


@contextlib.contextmanager
def placed_safely() -> Iterator[None]:
    """While inside, what Brain-Score places on its screen is there, whole, and made of the images that were given."""
    screen._place_on_screen = functools.partial(_placed, _BRAINSCORE_PLACE.__wrapped__)  # without its cache
    try:
        yield
    finally:
        # not what was there before: of two threads, the last to leave would put the first one's back
        screen._place_on_screen = _BRAINSCORE_PLACE


def _placed(
    place: Callable[..., StimulusSet],
    stimuli_identifier: str,
    stimulus_set: StimulusSet,
    target_visual_degrees: float,
    source_visual_degrees: float | None = None,
) -> StimulusSet:
    """What `place`, Brain-Score's code, returns; images that lie there whole are not made again."""
    ids = list(dict.fromkeys(stimulus_set["stimulus_id"]))
    sources = [str(stimulus_set.get_stimulus(stimulus_id)) for stimulus_id in ids]
    degrees = (
        stimulus_set["degrees"].astype(float).tolist()
        if source_visual_degrees is None
        else float(source_visual_degrees)
    )
    facts = [stimuli_identifier, float(target_visual_degrees), degrees, [str(one) for one in ids], _hashes(sources)]
    content = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    note = Path(screen.root_path) / "notes" / f"{content}.json"
    with contextlib.ExitStack() as placing:
        placing.enter_context(writing_to(screen.root_path, "BRAINSCORE_HOME"))
        note.parent.mkdir(parents=True, exist_ok=True)
        placing.enter_context(FileLock(f"{note}.lock"))
        placing.enter_context(warnings.catch_warnings(action="ignore"))  # of pandas, about attributes of a table
        if (paths := _as_noted(note)) is None:
            made = place(
                stimuli_identifier=f"{stimuli_identifier}--{content}",
                stimulus_set=stimulus_set,
                target_visual_degrees=target_visual_degrees,
                source_visual_degrees=source_visual_degrees,
            )
            paths = [str(made.stimulus_paths[stimulus_id]) for stimulus_id in ids]
            frames = [_frame(*both) for both in zip(sources, paths, strict=True)]
            write_whole(note, json.dumps({"paths": paths, "hashes": _hashes(paths), "frames": frames}).encode())
        placed = StimulusSet(stimulus_set.copy(deep=True))
        placed.stimulus_paths = dict(zip(ids, paths, strict=True))
        placed.identifier = _name_on_screen(stimuli_identifier, target_visual_degrees, source_visual_degrees)
        placed["degrees"] = target_visual_degrees
        placed.original_paths = copy.deepcopy(stimulus_set.stimulus_paths)
    return placed


def _name_on_screen(identifier: str, target: float, source: float | None) -> str:
    return f"{identifier}--target{target:.2f}--source" + ("None" if source is None else f"{source:.2f}")


def _as_noted(note: Path) -> list[str] | None:
    """Where the images lie, if every one of them is what was written."""
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        return noted["paths"] if noted["frames"] and noted["hashes"] == _hashes(noted["paths"]) else None
    except (OSError, ValueError, KeyError):
        return None


class Frame(NamedTuple):
    """Where on its canvas a picture lies, in pixels: of a picture that fills it, the whole."""

    left: int
    top: int
    right: int
    bottom: int
    width: int
    height: int


def picture_in(path: str | Path) -> Frame | None:
    """Where the picture lies in an image that Brain-Score has placed on its screen; None of any other file."""
    path = Path(path)
    if not path.is_relative_to(screen.root_path):
        return None
    # <identifier>--<content>--target8.00--source4.00/<file>
    content = path.relative_to(screen.root_path).parts[0].split("--")[-3]
    frame = _frames(str(Path(screen.root_path) / "notes" / f"{content}.json")).get(str(path))
    return frame and Frame(*frame)


@functools.lru_cache(maxsize=64)
def _frames(note: str) -> dict[str, list[int]]:
    noted = json.loads(Path(note).read_text(encoding="utf-8"))
    return dict(zip(noted["paths"], noted["frames"], strict=True))


def _frame(source: str, placed: str) -> Frame:
    """By the arithmetic of Brain-Score's `ImageConverter`: amid a larger canvas, or cut to a smaller one."""
    with Image.open(source) as picture, Image.open(placed) as canvas:
        (width, height), (wide, tall) = picture.size, canvas.size
    left, top = round((wide - width) / 2), round((tall - height) / 2)
    return Frame(max(left, 0), max(top, 0), min(left + width, wide), min(top + height, tall), wide, tall)


def _hashes(paths: Sequence[str]) -> list[str]:
    stamps = ((path, Path(path).stat()) for path in paths)
    return [_known_sha256(path, stamp.st_size, stamp.st_mtime_ns, stamp.st_ino) for path, stamp in stamps]


@functools.lru_cache(maxsize=200_000)
def _known_sha256(path: str, *_stamp: int) -> str:
    """Hashed once a run, unless the file has changed meanwhile."""
    return file_sha256(path)
