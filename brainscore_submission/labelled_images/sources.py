"""Where labelled images lie: class folders, a CSV beside images, an npz. Names and labels are checked here."""

from __future__ import annotations

import csv
import functools
import hashlib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from torch import Tensor

from ..engine.budget import Budget
from ..engine.kept_arrays import NPZ_DAMAGE
from ..plugin.card import Preprocessing
from ..plugin.errors import UserError, suggest
from ..plugin.files import file_sha256
from ..plugin.preprocessing import framed, open_rgb
from ..words import count, few, size_in_words
from .classes import require_known

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm")
CLASS_COLUMNS = ("class_index", "class")
ARRAYS = ("image", "label", "heatmap")


@dataclass(frozen=True)
class Source:
    """Images that were found, not decoded yet.

    Parameters
    ----------
    name : of the folder or file
    identities, labels, maps, notes : see `LabelledImages`
    picture : row -> the image as it lies there, in RGB
    hash_of : row -> sha256 of what is read there
    apart : whether `picture` may go to other processes: it holds names of files, no images
    """

    name: str
    identities: tuple[str, ...]
    labels: np.ndarray
    picture: Callable[[int], Image.Image]
    hash_of: Callable[[int], str]
    maps: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    apart: bool = False

    def read(self, row: int, preprocessing: Preprocessing) -> Tensor:
        """One image as a network sees it: uint8 Tensor of shape (3, input_px, input_px)."""
        return framed(self.picture(row), preprocessing)


Classes = int | Sequence[str]
"""How many classes a network tells apart, or what a user's own classes are called: their index is their place."""


def class_folders(where: Path) -> tuple[str, ...]:
    """What the folders of a folder are called, in the order of the alphabet: a user's own classes.

    Raises
    ------
    UserError
        no folder, or fewer than two in it
    """
    if not where.is_dir():
        raise UserError(f"there is no folder {where}. Give one with a folder for each class.")
    names = tuple(path.name for path in _folders_in(where) if any(path.iterdir()))
    if len(names) < 2:
        have = count(len(names), "folder")
        raise UserError(f"{where} has {have}: put the images of each class into a folder of its own, of two or more.")
    return names


def _folders_in(where: Path) -> list[Path]:
    """In the order of the alphabet, without those that programs hide (.ipynb_checkpoints)."""
    return sorted(path for path in where.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_source(where: Path, n_classes: Classes) -> Source:
    """What lies there; see `images.read_labelled_images`."""
    if where.is_dir():
        tables = sorted(path for path in where.glob("*.csv") if _has_files(path))
        if len(tables) > 1:
            raise UserError(f"{where} holds several tables of images: {few([path.name for path in tables])}. Name one.")
        return _of_table(tables[0], n_classes) if tables else _of_folders(where, n_classes)
    if not where.is_file():
        raise UserError(f"there is no {where}. Give a folder with a folder for each class, a CSV file or an npz.")
    readers = {".csv": _of_table, ".npz": _of_arrays}
    if where.suffix.lower() not in readers:
        raise UserError(f"{where} is no set of images: give a folder, a CSV file or an npz.")
    return readers[where.suffix.lower()](where, n_classes)


# --- a folder for each class -------------------------------------------------------------------------------------


def _of_folders(folder: Path, n_classes: Classes) -> Source:
    folders = _folders_in(folder)
    if isinstance(n_classes, tuple):  # a user's own, of which none is empty
        folders = [path for path in folders if path.name in n_classes or any(path.iterdir())]
    if not folders:
        raise UserError(
            f"{folder} holds no labels: put the images of each class into a folder of its own (n01443537/, goldfish/ "
            "or 1/), or a table labels.csv (file,class_index) beside them."
        )
    index_of = require_known([path.name for path in folders], n_classes, str(folder))
    by_class = _by_class(index_of)
    twice = next((names for names in by_class.values() if len(names) > 1), None)
    if twice:
        raise UserError(f"{folder}: the folders {' and '.join(twice)} are the same class. Put them together.")
    files, passed_over = [], [path.name for path in sorted(folder.iterdir()) if path.is_file()]
    for path in folders:
        found = sorted(file for file in path.rglob("*") if file.is_file())
        files += [file for file in found if file.suffix.lower() in SUFFIXES]
        passed_over += [str(file.relative_to(folder)) for file in found if file.suffix.lower() not in SUFFIXES]
    labels = [index_of[file.relative_to(folder).parts[0]] for file in files]
    empty = [path.name for path in folders if index_of[path.name] not in set(labels)]
    notes = [f"passed over, no images of a class: {few(passed_over)}."] if passed_over else []
    notes += [f"{count(len(empty), 'class folder')} without an image: {few(empty)}."] if empty else []
    return _of_files(folder, files, labels, notes)


def _by_class(index_of: dict[str, int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name, index in index_of.items():
        found.setdefault(index, []).append(name)
    return found


def _of_files(folder: Path, files: list[Path], labels: list[int], notes: Iterable[str]) -> Source:
    if not files:
        raise UserError(f"{folder} holds no images ({', '.join(SUFFIXES)}).")
    return Source(
        name=folder.absolute().name,
        identities=tuple(file.relative_to(folder).as_posix() for file in files),
        labels=np.array(labels, dtype=np.int64),
        picture=functools.partial(_picture_of, tuple(map(str, files))),
        hash_of=lambda row: file_sha256(files[row]),
        notes=tuple(notes),
        apart=True,
    )


def _picture_of(files: Sequence[str], row: int) -> Image.Image:
    return open_rgb(files[row])


# --- a table beside images -----------------------------------------------------------------------------------------


def _has_files(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return "file" in next(csv.reader(file), [])


def _of_table(path: Path, n_classes: Classes) -> Source:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file in UTF-8 ({error}).") from error
    columns = list(rows[0]) if rows else []
    column = next((name for name in CLASS_COLUMNS if name in columns), None)
    if "file" not in columns or column is None:
        raise UserError(f"{path}: the columns file and class_index are needed, found {few(map(repr, columns))}.")
    names = [(row["file"] or "", row[column] or "") for row in rows]
    for line, (name, called) in enumerate(names, start=2):
        if not name or not called:
            raise UserError(f"{path}, line {line}: a file and its class are needed.")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name.replace("\\", "/")).parts:
            raise UserError(f"{path}, line {line}: '{name}' leads out of the folder. Give paths within it.")
    twice = len(names) - len({name for name, _ in names})
    if twice:
        raise UserError(f"{path}: {count(twice, 'file')} stand twice. Leave one line for each image.")
    index_of = require_known(list(dict.fromkeys(called for _, called in names)), n_classes, str(path))
    files = [path.parent / name for name, _ in names]
    listed = {file.absolute() for file in files}
    others = [
        file.name for file in sorted(path.parent.iterdir())
        if file.suffix.lower() in SUFFIXES and file.absolute() not in listed
    ]  # fmt: skip
    notes = [f"passed over, not in {path.name}: {few(others)}."] if others else []
    return _of_files(path.parent, files, [index_of[called] for _, called in names], notes)


# --- arrays ----------------------------------------------------------------------------------------------------------


def _of_arrays(path: Path, n_classes: Classes) -> Source:
    arrays, passed_over = load_arrays(path, ARRAYS)
    known = n_classes if isinstance(n_classes, int) else len(n_classes)
    images, labels, maps = checked_arrays(path, arrays, known)
    notes = [f"passed over in {path.name}: the arrays {few(passed_over)}."] if passed_over else []
    if images.dtype != np.uint8:
        levels = images * 255
        if np.abs(levels - levels.round()).max(initial=0) > 1e-3:
            notes.append(f"{path.name}: pixels were rounded to 8 bits, as of an image file.")
        images = levels.round().astype(np.uint8)

    def hash_of(row: int) -> str:
        hashed = hashlib.sha256(np.ascontiguousarray(images[row]).tobytes())
        hashed.update(b"" if maps is None else np.ascontiguousarray(maps[row]).tobytes())
        return hashed.hexdigest()

    return Source(
        name=path.stem,
        identities=tuple(map(str, range(len(images)))),
        labels=labels,
        picture=lambda row: Image.fromarray(images[row]),
        hash_of=hash_of,
        maps=maps,
        notes=tuple(notes),
    )


def load_arrays(path: Path, known: Iterable[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of an npz that are known, and the names of the others; nothing in it is run.

    Raises
    ------
    UserError
        no npz, a damaged one, arrays of objects, or more than half of the free memory
    """
    room = Budget.default(None).memory_bytes
    try:
        with zipfile.ZipFile(path) as archive:
            stated = sum(member.file_size for member in archive.infolist())
        if stated > room:
            raise UserError(
                f"{path} holds {size_in_words(stated)}, more than half of the free memory ({size_in_words(room)}). "
                "Split it, or write the images as files with a labels.csv."
            )
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in known}
            if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
                raise ValueError(f"'{others[0]}' in it is no array")
            return arrays, [name for name in file.files if name not in known]
    except NPZ_DAMAGE as error:
        raise UserError(f"{path} cannot be read as an npz of numbers ({error}).") from error


def checked_arrays(
    path: Path, arrays: dict[str, np.ndarray], n_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Images, labels and maps of an npz, if they are what `read_labelled_images` says.

    Raises
    ------
    UserError
    """
    missing = [name for name in ("image", "label") if name not in arrays]
    if missing:
        raise UserError(f"{path} lacks the array {' and '.join(missing)}.{suggest(missing[0], arrays)}")
    images, labels, maps = arrays["image"], arrays["label"], arrays.get("heatmap")
    if images.ndim != 4 or images.shape[-1] != 3 or not images.size:
        raise UserError(f"{path}: image has shape {images.shape}, needed is (images, height, width, 3).")
    floats = np.issubdtype(images.dtype, np.floating)
    if images.dtype != np.uint8 and not (floats and images.min() >= 0 and images.max() <= 1):
        between = f" in {images.min():g} to {images.max():g}" if floats else ""
        raise UserError(f"{path}: image is {images.dtype}{between}; needed are uint8, or floats in 0 to 1.")
    n_images = len(images)
    if labels.shape != (n_images,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{path}: label is {labels.dtype} {labels.shape}; {n_images} images need {n_images} integers.")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise UserError(
            f"{path}: labels lie in {labels.min()} to {labels.max()}, the network has {n_classes} classes, "
            f"0 to {n_classes - 1}."
        )
    if maps is not None and (maps.shape != images.shape[:3] or not np.issubdtype(maps.dtype, np.number)):
        raise UserError(f"{path}: heatmap is {maps.dtype} {maps.shape}; these images need {images.shape[:3]}.")
    if maps is not None and not np.isfinite(maps).all():
        bad = int((~np.isfinite(maps).all((1, 2))).sum())
        raise UserError(f"{path}: {count(bad, 'heat map')} hold NaN or infinity. Take them out.")
    return images, labels.astype(np.int64), maps
