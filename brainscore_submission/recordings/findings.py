"""What was found in a recording folder: remarks that let it pass, and the error that does not."""

from dataclasses import dataclass

from ..plugin.errors import UserError

SEVERITIES = ("error", "warning", "note")
LONGEST = 900  # signs of a message: a damaged table may give a name of a million


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

    def __post_init__(self):
        object.__setattr__(self, "message", shown(self.message))
        object.__setattr__(self, "remedy", shown(self.remedy))


class FolderError(UserError):
    """A recording folder that cannot be read: what was found on one line, the remedy on the next."""

    def __init__(self, message: str, remedy: str):
        self.finding = Finding("error", message, remedy)
        super().__init__(f"{self.finding.message}\n{self.finding.remedy}")


def shown(text: str) -> str:
    """A user's words on one line, no longer than is read, and without the signs that a terminal obeys.

    >>> shown("\\x1b[2J" + "a" * 2000)[:12]
    '\\\\x1b[2Jaaaaa'
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in " ".join(text.split("\n")))


def named(names) -> list[str]:
    """Names to be shown in a message: an empty one as such.

    >>> named(["dog", " "])
    ['dog', "' ' (empty)"]
    """
    return [str(name) if str(name).strip() else f"'{name}' (empty)" for name in names]
