"""`recordings init` and `recordings check`: a lab's own recordings, described and understood."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .front_end import front_end

recordings_app = typer.Typer(
    help="Your own recordings as a benchmark.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@recordings_app.callback()
def _group() -> None:
    """Your own recordings as a benchmark."""


@recordings_app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A folder with recordings.toml, stimuli and responses.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Say what was understood of a recording folder: shapes, reliability, problems and their remedies.

    Example:

      brainscore-submission recordings check my_v4_session/
    """
    with front_end() as terminal:
        from ..recordings import check as run_check
        from ..recordings import render

        report = run_check(folder)
        if as_json:
            terminal.write_json(report.to_json())
        else:
            render(report, Console(file=terminal.out))
    if not report.ok:
        raise typer.Exit(1)  # the report has said why


@recordings_app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A folder with images and responses, and no recordings.toml yet.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Write recordings.toml from what lies in a folder, and say what was guessed and what only you can fill in.

    Example:

      brainscore-submission recordings init my_v4_session/
    """
    with front_end() as terminal:
        from ..recordings import write_draft

        draft = write_draft(folder)
        if as_json:
            terminal.write_json(
                {
                    "path": str(draft.path),
                    "guesses": draft.guesses,
                    "to_fill_in": draft.to_fill_in,
                    "problem": draft.problem,
                }
            )
            return
        lines = [f"wrote {draft.path}", *(f"guessed: {sentence}" for sentence in draft.guesses)]
        lines += [f"fill in: {key}" for key in draft.to_fill_in]
        lines += [f"to be mended: {draft.problem}"] if draft.problem else []
        terminal.out.write(
            "\n".join([*lines, f"then: brainscore-submission recordings check {shlex.quote(str(folder))}"]) + "\n"
        )
