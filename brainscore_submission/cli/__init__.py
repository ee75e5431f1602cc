"""The command line, `brainscore-submission`: evaluate, models, benchmarks, search, package, check, weights, recordings,
attack, train.

`evaluate.py` at the top of the repository calls the same `evaluate`.
"""

import typer

from .attack import attack_app
from .benchmarks import BENCHMARKS_HELP, benchmarks
from .evaluate import EVALUATE_HELP, evaluate, list_all
from .front_end import run
from .packaging import check, package, weights
from .recordings import recordings_app
from .search import SEARCH_HELP, search_command
from .train import train_app

__all__ = ["EVALUATE_HELP", "app", "evaluate", "main", "run"]

app = typer.Typer(
    help="Put a vision model to the brain's test: evaluate, search, package, check.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(help=EVALUATE_HELP)(evaluate)
app.command(help=BENCHMARKS_HELP)(benchmarks)
app.command(help=SEARCH_HELP)(search_command())
app.command("models")(list_all)
for _command in (package, check, weights):
    app.command()(_command)
app.add_typer(recordings_app, name="recordings")
app.add_typer(attack_app, name="attack")
app.add_typer(train_app, name="train")


def main() -> None:
    """Entry point of `brainscore-submission`."""
    run(app)
