"""Figures of records, made to order: which models and areas, their labels, the size and the kind of file.

python -m analysis.plots results/ -o figures/
python -m analysis.plots results/ -o figures/ --models 991,1057 --areas V4,IT --label 991=ours --kinds pdf
python -m analysis.plots results/ -o figures/ --scatter V4,IT
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.errors import UserError, suggest
from brainscore_submission.scoring.records import marks_of
from brainscore_submission.scoring.uncertainty import N_RESAMPLES
from brainscore_submission.words import words_of

from .comparisons import compare, measures_of, value_of
from .differences import chosen
from .display import AsJson, Resamples, ResultsFolder, Seed
from .dot_plots import dot_plot, scatter
from .figures import save
from .profiles import find_model, profiles_of, read_predictivity


def main(
    results: ResultsFolder,
    output: Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="Folder for the figures.")] = Path(
        "figures"
    ),
    models: Annotated[str, typer.Option(help="These models alone, with commas between.")] = "",
    areas: Annotated[str, typer.Option(help="V1,V2,V4,IT,behavior,Avg; default all.")] = "",
    scatter_of: Annotated[str | None, typer.Option("--scatter", help="One measure over another: V4,IT.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="What to call a model: 991=ours; repeatable.")] = None,
    brackets: Annotated[bool, typer.Option("--brackets", help="Join the models that can be told apart.")] = False,
    size: Annotated[str | None, typer.Option(help="Width and height in inches: 6x4.")] = None,
    kinds: Annotated[str, typer.Option(help="png,svg,pdf.")] = "svg,png",
    resamples: Resamples = N_RESAMPLES,
    seed: Seed = 0,
    as_json: AsJson = False,
):
    """Scores of models as dots with intervals, a panel for each area; or one measure over another.

    Examples:

      python -m analysis.plots results/ -o figures/ --brackets

      python -m analysis.plots results/ -o figures/ --models 991,1057 --areas V4,IT --label 991=ours --size 6x3

      python -m analysis.plots results/ -o figures/ --scatter V4,IT --kinds pdf
    """
    with front_end() as terminal:
        table, warnings = read_predictivity(results)
        profiles, gaps = profiles_of(table, n_resamples=resamples, seed=seed)
        mine, inches = chosen(profiles, models), _inches(size)
        called = dict(_label(one, mine) for one in label or ())
        paths = []
        for suite in dict.fromkeys(one.suite for one in mine):
            of_suite = [one for one in mine if one.suite == suite]
            known = measures_of(of_suite)
            wanted = words_of(scatter_of or areas) or known
            unknown = [name for name in wanted if name not in known]
            if unknown:
                raise UserError(f"no model has a '{unknown[0]}' on suite {suite}.{suggest(unknown[0], known)}")
            if scatter_of:
                figure = _scatter(of_suite, wanted, called, inches)
                name = f"scatter-{suite}-{'-'.join(wanted)}"
            else:
                pairs = compare(of_suite)[0] if brackets else None
                figure, name = dot_plot(of_suite, wanted, called, inches, pairs), f"scores-{suite}"
            paths += save(figure, output, name, "-o", words_of(kinds))
        if not paths:
            raise UserError(f"there is nothing to draw under {results}.")
        if as_json:
            facts = {"written": [str(path) for path in paths], "marks": marks_of(mine), "warnings": warnings + gaps}
            terminal.write_json(facts)
            return
        terminal.warn(warnings + gaps)
        Console(file=terminal.out).print(*paths, sep="\n", soft_wrap=True, highlight=False, markup=False)


def _scatter(profiles, wanted, called, inches):
    if len(wanted) != 2:
        raise UserError(f"--scatter takes two measures with a comma between, not {len(wanted)}: --scatter V4,IT")
    if not any(value_of(one, wanted[0]) and value_of(one, wanted[1]) for one in profiles):
        raise UserError(f"no model has both {wanted[0]} and {wanted[1]}.")
    return scatter(profiles, *wanted, called, inches)


def _inches(text):
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    try:
        inches = float(width), float(height)
    except ValueError:
        raise UserError(f"--size: '{text}' is not of the form 6x4, width and height in inches.") from None
    if not all(0.5 <= one <= 60 for one in inches):
        raise UserError(f"--size: {text} inches cannot be drawn; give 0.5 to 60 each.")
    return inches


def _label(text, profiles):
    name, equals, label = text.partition("=")
    if not equals or not label.strip():
        raise UserError(f"--label: '{text}' is not of the form model=what to call it.")
    return find_model(name.strip(), profiles), label.strip()


if __name__ == "__main__":
    run(main)
