"""Sizes, times, numbers and lists, as people read and type them."""

from __future__ import annotations

from collections.abc import Iterable

from .plugin.errors import UserError


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


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_bytes(text: str) -> int:
    """Bytes of a size such as "4GB" or "500 MB".

    >>> parse_bytes("1.5GB")
    1500000000
    """
    number = text.strip().upper().rstrip("KMGTB ")
    unit = text.strip().upper().removeprefix(number).strip()
    if unit not in _UNITS or not number.replace(".", "", 1).isdigit():
        raise UserError(f"'{text}' is not a size. Write for example 4GB or 500MB.")
    return int(float(number) * _UNITS[unit])


def few_quoted(names: Iterable[str], limit: int = 3) -> str:
    """As `few`, each name in quotes.

    >>> few_quoted(["a", "b", "c", "d"])
    "'a', 'b', 'c' and 1 more"
    """
    return few([repr(name) for name in names], limit)
