"""The one exception a user is meant to read. Imports nothing but the standard library."""

import difflib
from collections.abc import Iterable

MOST_SIGNS = 1600


class UserError(Exception):
    """Something the user gave cannot be used: what was given, what is possible, what to do.

    The command line prints the message without a traceback and ends with exit code 1. Of a message of more than
    `MOST_SIGNS`, because what was given is that long, the middle is left out.
    """

    def __init__(self, message: object):
        text = str(message)
        super().__init__(text if len(text) <= MOST_SIGNS else f"{text[: MOST_SIGNS // 2]} … {text[-MOST_SIGNS // 4 :]}")


def suggest(given: object, known: Iterable[object], limit: int = 20) -> str:
    """Name the nearest known word, then the known words.

    Parameters
    ----------
    given : what the user wrote
    known : what would have been accepted
    limit : how many known words to list; of more, the nearest if there are any

    Returns
    -------
    str, beginning with a space, to be put after the sentence that names the mistake

    Examples
    --------
    >>> suggest("publik", ["demo", "public"])
    ' Did you mean public? Available: demo, public.'
    >>> suggest("x", [])
    ' None is available.'
    """
    names = [str(name) for name in known]
    if not names:
        return " None is available."
    near = difflib.get_close_matches(str(given), names, n=5)
    if near and len(names) > limit:
        return f" Did you mean {' or '.join(near)}?"
    listed = ", ".join(names[:limit]) + (", …" if len(names) > limit else ".")
    return (f" Did you mean {near[0]}?" if near else "") + f" Available: {listed}"
