"""What was found in a recording folder: remarks that let it pass, and the error that does not."""

from dataclasses import dataclass

from ..plugin.errors import UserError

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One remark about a recording folder.

    Attributes
    ----------
    severity : "error" (cannot be scored), "warning" (can be scored; read this first) or "note"
    message : what was found
    remedy : what to do about it; empty where nothing needs doing
    """

    severity: str
    message: str
    remedy: str = ""


class FolderError(UserError):
    """A recording folder that cannot be read: what was found on one line, the remedy on the next."""

    def __init__(self, message: str, remedy: str):
        super().__init__(f"{message}\n{remedy}")
        self.finding = Finding("error", message, remedy)


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
