"""Is one model better than another on a benchmark? The difference of their r with its paired interval.

python -m analysis.differences results/ --against 991
"""

from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import marks_of
from brainscore_submission.scoring.sidecar import Sidecar
from brainscore_submission.scoring.uncertainty import N_RESAMPLES, paired_difference

from .display import AsJson, Resamples, ResultsFolder, Seed, interval, named, number, signed, write_table
from .profiles import by_depth, find_model, read_predictivity

FOOTNOTE = (
    "Both models are resampled together, so what they share (hard images, noisy neuroids) cancels. "
    "Of models that are equal, one interval in 20 leaves out 0 by chance."
)


def differences_of_r(table: pd.DataFrame, against: str, **options) -> tuple[pd.DataFrame, list[str]]:
    """Raw r of every other model minus that of `against`, on each benchmark that both keep their neuroids of.

    Parameters
    ----------
    table : DataFrame, from `profiles.read_predictivity`
    against : a model of the table
    **options : `n_resamples`, `seed`, `over` of `uncertainty.paired_difference`

    Returns
    -------
    found : DataFrame, empty or with columns suite, benchmark, area, model, marks, against, and the fields of
        `uncertainty.Difference`; `low` and `high` are the 95 % interval
    warnings : list of str, a line for each pair that cannot be compared
    """
    rows, warnings = [], []
    kept = by_depth(table, "suite").dropna(subset="sidecar")
    others, references = kept[kept["model"] != against], kept[kept["model"] == against]
    for pair in others.merge(references, on=["suite", "benchmark"], suffixes=("", "_b")).itertuples():
        try:
            a, b = Sidecar.load(pair.sidecar, pair.checksum), Sidecar.load(pair.sidecar_b, pair.checksum_b)
            found = paired_difference(a, b, **options)
        except UserError as error:
            warnings.append(f"no difference of {pair.model} to {against} on {pair.benchmark}: {error}")
            continue
        origin = {name: getattr(pair, name) for name in ("suite", "benchmark", "area", "model", "marks")}
        rows.append(origin | {"against": against} | vars(found))
    return pd.DataFrame(rows), warnings


def main(
    results: ResultsFolder,
    against: Annotated[str, typer.Option(help="The model that the others are compared with: number or name.")],
    resamples: Resamples = N_RESAMPLES,
    seed: Seed = 0,
    as_json: AsJson = False,
):
    """Difference in r to one model on every benchmark, with its paired 95 % interval.

    Example:

      python -m analysis.differences results/ --against 991
    """
    with front_end() as terminal:
        table, warnings = read_predictivity(results)
        against = find_model(against, table.itertuples())
        found, refused = differences_of_r(table, against, n_resamples=resamples, seed=seed)
        warnings += refused
        if as_json:
            facts = {"against": against, "marks": marks_of(table.itertuples()), "warnings": warnings}
            terminal.write_json(facts | {"differences": found.to_dict("records")})
            return
        terminal.warn(warnings)
        if found.empty:
            raise UserError(f"no other model under {results} keeps its neuroids on a benchmark of {against}.")
        _show(found, table, against, Console(file=terminal.out))


def _show(found, table, against, console):
    for suite, mine in found.groupby("suite", sort=False):
        shown = table[(table["suite"] == suite) & table["model"].isin({against, *mine["model"]})]
        rows = [
            {
                "benchmark": row.benchmark,
                "model": named(row),
                "difference": signed(row.difference, 3),
                "95 % interval": interval((row.low, row.high), sign=True),
                "P(> 0)": number(row.share_positive, 2),
                "resampled over": row.over,
            }
            for row in mine.itertuples()
        ]
        marks = marks_of(shown.itertuples())
        write_table(console, f"r minus that of {against}, suite {suite}", rows, names=2, marks=marks)
    console.print(FOOTNOTE, soft_wrap=True)


if __name__ == "__main__":
    run(main)
