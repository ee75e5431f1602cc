"""Is one model better than another on a benchmark? The difference of their r with its paired interval.

python -m analysis.differences results/ --against 991
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from brainscore_submission.cli import run
from brainscore_submission.plugin.areas import AREAS_AND_BEHAVIOR
from brainscore_submission.plugin.errors import UserError, suggest
from brainscore_submission.scoring.records import read_folder
from brainscore_submission.scoring.sidecar import Sidecar
from brainscore_submission.scoring.uncertainty import N_RESAMPLES, paired_difference

from .profiles import marks

COLUMNS = ("suite", "benchmark", "area", "model", "against", "difference", "low", "high", "share_positive", "over")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def differences(table: pd.DataFrame, against: str, **options) -> tuple[pd.DataFrame, list[str]]:
    """Raw r of every other model minus that of `against`, on each benchmark that both keep their neuroids of.

    Parameters
    ----------
    table : DataFrame, from `records.read_folder`
    against : a model of the table
    **options : `n_resamples`, `seed`, `over` of `uncertainty.paired_difference`

    Returns
    -------
    found : DataFrame with the columns `COLUMNS`; `low` and `high` are the 95 % interval
    warnings : list of str, a line for each pair that cannot be compared
    """
    rows, warnings = [], []
    for a, b in _pairs(table, against):
        try:
            found = paired_difference(Sidecar.load(a.sidecar), Sidecar.load(b.sidecar), **options)
        except UserError as error:
            warnings.append(f"no difference of {a.model} to {against} on {a.benchmark}: {error}")
            continue
        origin = {name: getattr(a, name) for name in ("suite", "benchmark", "area", "model")}
        rows.append(origin | {"against": against} | vars(found))
    return pd.DataFrame(rows, columns=list(COLUMNS)), warnings


def _pairs(table: pd.DataFrame, against: str) -> Iterator[tuple]:
    """Records of one benchmark, another model's and that of `against`."""
    depth = {area: position for position, area in enumerate(AREAS_AND_BEHAVIOR)}
    shallow_to_deep = table.sort_values("area", key=lambda areas: areas.map(depth), kind="stable")
    kept = shallow_to_deep.dropna(subset="sidecar")
    for _, records in kept.groupby(["suite", "benchmark"], sort=False):
        references = records[records["model"] == against].itertuples()
        yield from ((a, b) for b in references for a in records.itertuples() if a.model != against)


def find_model(name: str, table: pd.DataFrame) -> str:
    """The model meant by its name or competition number.

    Raises
    ------
    UserError
        No such model in the table.
    """
    numbers = table["competition_id"].map(lambda number: None if pd.isna(number) else str(int(number)))
    found = table[(table["model"] == name) | (numbers == name)]["model"]
    if found.empty:
        raise UserError(f"no records of a model '{name}'.{suggest(name, table['model'].unique())}")
    return found.iloc[0]


@app.command()
def main(
    results: Annotated[Path, typer.Argument(help="Folder of records, as evaluate.py writes it.")],
    against: Annotated[str, typer.Option(help="The model that the others are compared with: number or name.")],
    resamples: Annotated[int, typer.Option(help="Number of resamples.", min=100)] = N_RESAMPLES,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
):
    """Difference in r to one model on every benchmark, with its paired 95 % interval.

    Example:

      python -m analysis.differences results/ --against 991
    """
    table, unread = read_folder(results)
    against = find_model(against, table)
    found, refused = differences(table, against, n_resamples=resamples, seed=seed)
    if as_json:
        facts = {"against": against, "marks": marks(table.itertuples()), "warnings": unread + refused}
        typer.echo(json.dumps(facts | {"differences": found.to_dict("records")}, indent=1))
        return
    notes = Console(stderr=True)
    for line in unread + refused:
        notes.print(f"warning: {line}", style="yellow", soft_wrap=True, markup=False, highlight=False)
    if found.empty:
        raise UserError(f"no other model under {results} keeps its neuroids on a benchmark of {against}.")
    _show(found, table, against)


def _show(found, table, against):
    console = Console()
    console.width = max(console.width, 120)
    for suite, mine in found.groupby("suite", sort=False):
        shown = table[(table["suite"] == suite) & table["model"].isin({against, *mine["model"]})]
        title = " · ".join([f"r minus that of {escape(against)}, suite {escape(suite)}", *marks(shown.itertuples())])
        untrained = set(shown[shown["untrained"]]["model"])
        console.print(_table(mine, untrained, title))
    console.print(
        "Both models are resampled together, so what they share (hard images, noisy neuroids) cancels. "
        "Of models that are equal, one interval in 20 leaves out 0 by chance.",
        soft_wrap=True,
    )


def _table(found, untrained, title):
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("benchmark", "model"):
        table.add_column(heading, overflow="fold")
    for heading in ("difference", "95 % interval", "P(> 0)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("resampled over")
    for row in found.itertuples():
        mark = " [UNTRAINED]" if row.model in untrained else ""
        interval = f"{row.low:+.3f} to {row.high:+.3f}"
        share = f"{row.share_positive:.2f}"
        table.add_row(row.benchmark, escape(row.model + mark), f"{row.difference:+.3f}", interval, share, row.over)
    return table


if __name__ == "__main__":
    run(app)
