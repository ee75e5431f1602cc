"""Is one model better than another? All pairs of models, or one against the others, with a verdict.

python -m analysis.differences results/
python -m analysis.differences results/ --against 991
"""

from typing import Annotated

import typer
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import marks_of
from brainscore_submission.scoring.uncertainty import N_RESAMPLES
from brainscore_submission.words import words_of

from .comparisons import compare, is_certain, p_in_words
from .display import AsJson, Resamples, ResultsFolder, Seed, interval, signed, write_table
from .profiles import FORMULA_LABELS, Profile, find_model, profiles_of, read_predictivity

FOOTNOTE = (
    "Both models are resampled together, so what they share (hard images, noisy neuroids) cancels. p is corrected for "
    "the pairs of a table (Holm), not for the number of tables."
)


def chosen(profiles: list[Profile], models: str) -> list[Profile]:
    """Those of the models that are named, with commas between; all where none is."""
    names = [models] if models in {profile.model for profile in profiles} else words_of(models)
    wanted = [find_model(name, profiles) for name in names]
    return [profile for profile in profiles if not wanted or profile.model in wanted]


def main(
    results: ResultsFolder,
    against: Annotated[str | None, typer.Option(help="Compare with this model alone: number or name.")] = None,
    models: Annotated[str, typer.Option(help="These models alone, with commas between.")] = "",
    areas: Annotated[str, typer.Option(help="V1,V2,V4,IT,behavior,Avg; default all.")] = "",
    resamples: Resamples = N_RESAMPLES,
    seed: Seed = 0,
    as_json: AsJson = False,
):
    """Differences in score between models, on each area and on average, with paired 95 % intervals and a verdict.

    Examples:

      python -m analysis.differences results/

      python -m analysis.differences results/ --against 991 --areas V4,Avg
    """
    import pandas as pd

    with front_end() as terminal:
        table, warnings = read_predictivity(results)
        rival = None if against is None else find_model(against, table.itertuples())
        profiles, gaps = profiles_of(table, n_resamples=resamples, seed=seed)
        warnings += gaps
        mine = chosen(profiles, models)
        found = pd.DataFrame()
        for suite in dict.fromkeys(profile.suite for profile in mine):
            pairs, refused = compare([one for one in mine if one.suite == suite], rival)
            found, warnings = pd.concat([found, pairs]), warnings + refused
        if words_of(areas) and not found.empty:
            found = found[found["measure"].isin(words_of(areas))]
        if as_json:
            facts = {"against": rival, "marks": marks_of(mine), "warnings": warnings}
            terminal.write_json(facts | {"differences": found.to_dict("records")})
            return
        terminal.warn(warnings)
        if found.empty:
            other = (
                f"no other model under {results} can be compared with {rival}"
                if rival
                else "there is no pair to compare"
            )
            raise UserError(
                f"{other}: it takes two models with scores and errors on one suite. See the warnings, if any."
            )
        _show(found, mine, Console(file=terminal.out))


def _show(found, profiles, console):
    marks_by_name = {profile.model: profile.marks for profile in profiles}
    for (suite, measure), pairs in found.groupby(["suite", "measure"], sort=False):
        formula = FORMULA_LABELS[pairs["formula"].iloc[0]] if measure != "behavior" else "r/√c"
        rows = [
            {
                "model": _marked(row.a, marks_by_name),
                "minus": _marked(row.b, marks_by_name),
                "difference": signed(row.difference, 3),
                "95 % interval": interval((row.low, row.high), sign=True),
                "p (Holm)": p_in_words(row.p_corrected).removeprefix("= "),
            }
            for row in pairs.itertuples()
        ]
        marks = marks_of(one for one in profiles if one.model in {*pairs["a"], *pairs["b"]})
        write_table(console, f"{measure} ({formula}), suite {suite}", rows, names=2, marks=marks)
        for verdict in _sentences(pairs):
            console.print(f"  {verdict}", markup=False, highlight=False, soft_wrap=True)
        console.print()
    console.print(FOOTNOTE, soft_wrap=True)


def _marked(model, marks):
    return " ".join([model, *(f"[{mark}]" for mark in marks.get(model, ()) if mark != "SIMULATED")])


def _sentences(pairs):
    """Every verdict of a few pairs; of many, those that tell two models apart, and how many do not."""
    if len(pairs) <= 6:
        return list(pairs["verdict"])
    certain = [row.verdict for row in pairs.itertuples() if is_certain(row)]
    return [*certain[:6], f"{len(certain)} of {len(pairs)} pairs can be told apart by these data."]


if __name__ == "__main__":
    run(main)
