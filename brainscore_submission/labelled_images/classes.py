"""What a class is called: its index among a network's outputs, for ImageNet its WordNet id or one of its names too."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cache

from timm.data import ImageNetInfo

from ..plugin.errors import UserError, suggest
from ..words import few

IMAGENET_CLASSES = 1000


def class_index(called: str | int, n_classes: int = IMAGENET_CLASSES) -> int:
    """The index of a class, from what people call it.

    Parameters
    ----------
    called : an index, a WordNet id ("n01443537") or one of WordNet's names ("goldfish", "Carassius auratus"); capitals,
        spaces and underscores do not matter
    n_classes : of the network; ids and names are known where it has the 1000 of ImageNet (ILSVRC 2012, as timm lists
        them)

    Raises
    ------
    UserError
        an index out of range, an unknown name, or one that several classes have

    Examples
    --------
    >>> class_index("goldfish"), class_index("n01443537"), class_index("1"), class_index("Great_White_Shark")
    (1, 1, 1, 2)
    """
    word = _plain(str(called))
    if re.fullmatch(r"-?\d+", word):
        if not 0 <= int(word) < n_classes:
            raise UserError(f"class {word} is out of range: the network has {n_classes} classes, 0 to {n_classes - 1}.")
        return int(word)
    if n_classes != IMAGENET_CLASSES:
        raise UserError(
            f"'{called}' is no class: names are known for ImageNet's 1000 classes, the network has {n_classes}. "
            f"Give an index, 0 to {n_classes - 1}."
        )
    found = _imagenet().get(word, ())
    if len(found) > 1:
        ids = ImageNetInfo().label_names()
        which = " or ".join(f"{ids[index]} (index {index})" for index in found)
        raise UserError(f"'{called}' is the name of {len(found)} classes of ImageNet: write {which}.")
    if not found:
        near = difflib.get_close_matches(word, _imagenet(), n=3)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UserError(
            f"'{called}' is no class of ImageNet.{meant} "
            "Possible are a WordNet id (n01443537), a name (goldfish) and an index (1)."
        )
    return found[0]


def class_name(index: int, n_classes: int = IMAGENET_CLASSES) -> str:
    """What to call a class where it is shown: WordNet's first name, elsewhere "class 3".

    Examples
    --------
    >>> class_name(1), class_name(1, n_classes=10)
    ('goldfish', 'class 1')
    """
    if n_classes != IMAGENET_CLASSES:
        return f"class {index}"
    return ImageNetInfo().index_to_description(index).split(",")[0]


def require_known(names: list[str], classes: int | Sequence[str], where: str) -> dict[str, int]:
    """The index of each of several names; those that are no class are named together.

    Parameters
    ----------
    classes : how many a network tells apart, or what a user's own are called, whose index is their place

    Raises
    ------
    UserError
    """
    indices, reasons = {}, {}
    for name in names:
        try:
            indices[name] = class_index(name, classes) if isinstance(classes, int) else _place(name, classes)
        except UserError as error:
            reasons[name] = str(error)
    if reasons:
        first = next(iter(reasons.values()))
        raise UserError(
            f"{where}: {len(reasons)} of {len(names)} names are no class: {few(map(repr, reasons))}.\n{first}"
        )
    return indices


def _place(name: str, classes: Sequence[str]) -> int:
    if name not in classes:
        raise UserError(f"'{name}' is none of the {len(classes)} classes.{suggest(name, classes)}")
    return classes.index(name)


def _plain(word: str) -> str:
    return " ".join(word.replace("_", " ").lower().split())


@cache
def _imagenet() -> dict[str, tuple[int, ...]]:
    """Every id and name -> the classes that have it."""
    info = ImageNetInfo()
    found: dict[str, tuple[int, ...]] = {}
    for index, label in enumerate(info.label_names()):
        names = info.index_to_description(index)
        for name in dict.fromkeys(map(_plain, (label, names, *names.split(",")))):
            found[name] = (*found.get(name, ()), index)
    return found
