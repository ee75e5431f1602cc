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
