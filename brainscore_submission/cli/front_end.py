"""What all commands share: errors and exit codes, where things are written, the words that were typed."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.logging import RichHandler
from typer.main import get_command

from ..plugin.errors import UserError


def run(command: Callable[..., Any] | typer.Typer, help_text: str | None = None) -> None:
    """Run a command as a program: a UserError is one or two lines and exit code 1, a bug keeps its traceback.

    With ``--json`` whatever ends it early is an object on standard output too, beside the lines for a reader: an error,
    wrong usage (exit code 2), Ctrl-C (130).
    """
    if not isinstance(command, typer.Typer):
        single = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=False)
        single.command(help=help_text)(command)
        command = single
    program = get_command(command)
    _refuse_repeated(program)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal of latin-1 is shown the rest of a table too
    try:
        with _short_names():
            program()
    except UserError as error:
        _as_json(str(error))
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _as_json(STOPPED)
            print(f"\n{STOPPED}", file=sys.stderr)  # noqa: T201
        elif wrong_usage := getattr(ended.__context__, "format_message", None):  # typer has said it already
            _as_json(wrong_usage())
        raise
    except Exception as error:
        _as_json(f"{type(error).__name__}: {error}")
        raise


@contextlib.contextmanager
def _short_names() -> Iterator[None]:
    """Whatever is given as a path may be too long for any file: `Path.exists` raises then."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UserError(f"{error.filename}: too long for the name of a file. Give a shorter one.") from error


def _refuse_repeated(command: Any) -> None:
    """Of an option that takes one value and is given two, the first would be dropped without a word."""
    for below in getattr(command, "commands", {}).values():
        _refuse_repeated(below)
    if hasattr(command, "commands"):
        return
    make_parser = command.make_parser

    def with_check(context: Any) -> Any:
        parser = make_parser(context)
        parse = parser.parse_args

        def parse_args(args: list[str]) -> tuple[Any, list[str], list[Any]]:
            found = parse(args=args)
            given = found[-1]  # in the order they were typed
            for one in given:
                takes_one = one.param_type_name == "option" and one.nargs == 1 and not one.multiple
                if takes_one and given.count(one) > 1 and (one.secondary_opts or not one.is_flag):
                    context.fail(f"{one.opts[0]} is given more than once: it takes one value.")
            return found

        parser.parse_args = parse_args
        return parser

    command.make_parser = with_check


INTERRUPTED = 130  # as shells count: 128 + SIGINT
STOPPED = "Stopped. What is done is kept; the same command goes on where it was."


def _as_json(error: str) -> None:
    if "--json" in sys.argv[1:]:
        print(_json_for(sys.stdout, {"error": error}))  # noqa: T201


def _json_for(out: TextIO, facts: Mapping[str, Any]) -> str:
    """One line of JSON; what only Unicode can write is escaped as JSON does where `out` has another encoding."""
    unicode = (out.encoding or "utf-8").lower().startswith("utf")
    return json.dumps(facts, ensure_ascii=not unicode, allow_nan=False)


_SCRIPTS = {
    "evaluate.py": ("python", "evaluate.py"),
    "layer_search.py": ("python", "-m", "analysis.layer_search"),
}


def typed_command() -> str:
    """The command line as it was typed, for the records that it makes."""
    program, *words = sys.argv
    return shlex.join([*_SCRIPTS.get(Path(program).name, ("brainscore-submission",)), *words])


@dataclass(frozen=True)
class Terminal:
    """Where things are written: the result to `out`, everything else to `console` (standard error)."""

    out: TextIO
    console: Console

    def write_json(self, facts: Mapping[str, Any]) -> None:
        """The one object of ``--json``."""
        self.out.write(_json_for(self.out, facts) + "\n")

    def complain(self, text: str) -> None:
        """An error beside a result that was shown."""
        self.console.print(f"error: {text}", soft_wrap=True, markup=False, highlight=False)

    def warn(self, lines: Iterable[str]) -> None:
        """A warning a line; nothing in them is taken for markup."""
        for line in lines:
            self.console.print(f"warning: {line}", style="yellow", soft_wrap=True, markup=False, highlight=False)


@contextlib.contextmanager
def front_end(verbose: bool = False) -> Iterator[Terminal]:
    """Standard output belongs to the result: what Brain-Score prints goes to standard error, its bars nowhere."""
    os.environ.setdefault("BS_INSTALL_DEPENDENCIES", "no")
    if not verbose:
        os.environ.setdefault("TQDM_DISABLE", "1")
        # Brain-Score and its pinned libraries warn of each other; an import of theirs undoes `filterwarnings`.
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").setLevel(logging.ERROR)
    terminal = Terminal(sys.stdout, Console(file=sys.stderr))
    handler = RichHandler(console=terminal.console, show_path=False, show_time=False)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", handlers=[handler])
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield terminal
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
