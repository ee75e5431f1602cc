"""What all commands share: errors and exit codes, sizes and layers as people write them."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer
from rich.console import Console
from rich.logging import RichHandler

from ..plugin.errors import UserError
from ..words import parse_bytes

if TYPE_CHECKING:
    from ..engine.budget import Budget


def run(command: Callable[..., Any] | typer.Typer, help_text: str | None = None) -> None:
    """Run a command as a program: a UserError is one or two lines and exit code 1, a bug keeps its traceback."""
    if not isinstance(command, typer.Typer):
        single = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=False)
        single.command(help=help_text)(command)
        command = single
    try:
        command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


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
    return {area.strip(): layer.strip() for area, _, layer in pairs}


def find_budget(memory: str | None, disk: str | None, cache: Path, device: str) -> Budget:
    """What --memory and --disk allow; half of what is free where they say nothing."""
    from ..engine.budget import Budget

    default = Budget.default(cache, device)
    return Budget(
        parse_bytes(memory) if memory else default.memory_bytes,
        parse_bytes(disk) if disk else default.disk_bytes,
        cache,
    )


@dataclass(frozen=True)
class Terminal:
    """Where things are written: the result to `out`, everything else to `console` (standard error)."""

    out: TextIO
    console: Console


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
    with contextlib.redirect_stdout(sys.stderr):
        yield terminal
