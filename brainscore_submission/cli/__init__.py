"""The command line, `brainscore-submission`: evaluate, search, predict, attack, probe, train, package and check.

`evaluate.py` at the top of the repository calls the same `evaluate`.
"""

from importlib import metadata
from typing import Annotated

import typer

from .attack import attack_app
from .benchmarks import BENCHMARKS_HELP, benchmarks
from .cache import CACHE_HELP, cache
from .evaluate import EVALUATE_HELP, evaluate, list_all
from .front_end import run
from .packaging import check, package, weights
from .predict import PREDICT_HELP, predict
from .probe import probe_app
from .recordings import recordings_app
from .search import SEARCH_HELP, search_command
from .train import train_app

__all__ = ["EVALUATE_HELP", "app", "evaluate", "main", "run"]

app = typer.Typer(
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _about(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Put a vision model to the brain's test: evaluate, search, predict, attack, probe, train, package, check."""
    if version:
        typer.echo(metadata.version("brainscore-submission"))
        raise typer.Exit


app.command(help=EVALUATE_HELP)(evaluate)
app.command(help=BENCHMARKS_HELP)(benchmarks)
app.command(help=SEARCH_HELP)(search_command())
app.command(help=PREDICT_HELP)(predict)
app.command("models")(list_all)
app.command(help=CACHE_HELP)(cache)
for _command in (package, check, weights):
    app.command()(_command)
app.add_typer(recordings_app, name="recordings")
app.add_typer(attack_app, name="attack")
app.add_typer(train_app, name="train")
app.add_typer(probe_app, name="probe")


def main() -> None:
    """Entry point of `brainscore-submission`."""
    run(app)
