"""Sizes, times, numbers and lists, as people read and type them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..plugin.errors import UserError


def size_in_words(n_bytes: float) -> str:
    """
    >>> size_in_words(2_400_000_000), size_in_words(0)
    ('2.4 GB', '0 MB')
    """
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def duration_in_words(seconds: float) -> str:
    """
    >>> duration_in_words(0.4), duration_in_words(75), duration_in_words(7300)
    ('0.4 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def words_of(text: str) -> list[str]:
    """A list as people type it.

    >>> words_of("V1, IT,")
    ['V1', 'IT']
    """
    return [word.strip() for word in text.split(",") if word.strip()]


def few(names, limit: int = 5) -> str:
    """Name the first few, then say how many more there are.

    Examples
    --------
    >>> few(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    names = [str(name) for name in names]
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> count(1, "image"), count(3, "stimulus", "stimuli")
    ('1 image', '3 stimuli')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_bytes(text: str) -> int:
    """Bytes of a size such as "4GB" or "500 MB"; a number alone is refused, but for 0.

    >>> parse_bytes("1.5GB"), parse_bytes("0")
    (1500000000, 0)
    """
    number = text.strip().upper().rstrip("KMGTB ")
    unit = text.strip().upper().removeprefix(number).strip()
    if not number.replace(".", "", 1).isdigit() or unit not in ("", *_UNITS):
        raise UserError(f"'{text}' is not a size. Write for example 4GB or 500MB.")
    if not unit and float(number):
        raise UserError(f"'{text}' is a size without a unit. Did you mean {number}GB?")
    return int(float(number) * _UNITS.get(unit, 1))


def parse_layers(text: str | None) -> dict[str, str]:
    """Layers as people write them.

    >>> parse_layers("V1=layer1, IT=layer4")
    {'V1': 'layer1', 'IT': 'layer4'}
    """
    if not text:
        return {}
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    wrong = [area for area, equals, layer in pairs if not equals or not layer.strip()]
    if wrong:
        raise UserError(f"--layers: '{wrong[0]}' is not of the form area=layer. Example: V1=layer1,V2=layer2.")
    layers = {area.strip(): layer.strip() for area, _, layer in pairs}
    if len(layers) < len(pairs):
        raise UserError(f"--layers names an area twice: {text}. Give one layer for each.")
    return layers


def few_quoted(names: Iterable[str], limit: int = 3) -> str:
    """As `few`, each name in quotes.

    >>> few_quoted(["a", "b", "c", "d"])
    "'a', 'b', 'c' and 1 more"
    """
    return few([repr(name) for name in names], limit)


_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
# Controls but for line end and tab, and what turns the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Text of others without what a terminal would obey: escape sequences, control characters, turned directions.

    >>> printable("\\x1b[2J\\x1b]0;title\\x07all is \\x1b[32mwell\\r\\n")
    'all is well\\n'
    """
    return _CONTROLS.sub("", _ESCAPES.sub("", text))
