"""What Brain-Score's own tests state of well-known models, and own records beside it: is this installation right?

    python -m analysis.reference [results/] [--model alexnet] [--json]

The values are data in `brainscore_submission/scoring/reference.toml`; the paper's are in `analysis.published`.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from brainscore_submission.cli.front_end import front_end, run
from brainscore_submission.plugin.errors import UserError, suggest
from brainscore_submission.scoring.reference import Stated, models, package, stated_of, stated_values, why_not

from .display import AsJson, named, number, signed, write_table

ANY_MODEL = "any (ceiling)"


def main(
    results: Annotated[Path | None, typer.Argument(help="Own records to line up beside them.")] = None,
    model: Annotated[str | None, typer.Option(help="One of the models, as Brain-Score calls it.")] = None,
    as_json: AsJson = False,
):
    """Scores of well-known models as Brain-Score's own tests state them, and own records beside them.

    Examples:

      python -m analysis.reference

      python -m analysis.reference --model alexnet

      python -m analysis.reference results/
    """
    with front_end() as terminal:
        stated = _of_model(model)
        rows, warnings = ([], []) if results is None else _lined_up(results, stated)
        if as_json:
            facts = {"package": package(), "stated": [one._asdict() for one in stated], "models": models()}
            terminal.write_json(facts | {"own": rows, "warnings": warnings})
            return
        terminal.warn(warnings)
        console = Console(file=terminal.out, highlight=False)
        if results is None:
            write_table(console, f"stated by the tests of {package()}", [_shown(one) for one in stated], names=2)
        elif rows:
            title = f"own records beside what the tests of {package()} state"
            write_table(console, title, [_compared(row) for row in rows], names=2)
        else:
            console.print(
                f"Nothing is stated of any of these models and benchmarks; {len(stated)} values are of others: "
                "python -m analysis.reference lists them.", soft_wrap=True,
            )  # fmt: skip
        for name, known in models().items():
            if model in (None, name):
                console.print(f"{name}: python evaluate.py {known['how']}", soft_wrap=True)
        console.print("Why a number may differ: docs/where_the_site_differs.md", soft_wrap=True)


def _of_model(model: str | None) -> list[Stated]:
    known = list(dict.fromkeys(one.model for one in stated_values() if one.model))
    if model is not None and model not in known:
        raise UserError(f"nothing is stated of '{model}'.{suggest(model, known)}")
    return [one for one in stated_values() if model in (None, one.model)]


def _lined_up(results: Path, stated: list[Stated]) -> tuple[list[dict], list[str]]:
    """A row for each record and value that belong together, and a line for each that do not, and each file left out."""
    from .profiles import read_predictivity

    table, warnings = read_predictivity(results)
    rows = []
    for record in table[table["status"] == "scored"].itertuples():
        for one in stated_of(record):
            off = one.beside(record)
            if one not in stated or off is None:
                continue
            if why := why_not(one, record):
                warnings.append(f"not compared: {record.model} on {record.benchmark} ({one.model}, {one.scale}): {why}")
            else:
                own = {"own": one.value + off, "off": off, "reproduced": abs(off) <= one.within}
                rows.append(one._asdict() | {"name": named(record)} | own)
    return rows, warnings


def _shown(one: Stated) -> dict[str, str]:
    return {
        "model": one.model or ANY_MODEL,
        "benchmark": one.benchmark,
        "of": one.scale,
        "stated": number(one.value, 4),
        "within": number(one.within, 4),
        "data": one.data or "–",
        "layer": one.layer or "–",
    }


def _compared(row: dict) -> dict[str, str]:
    verdict = "reproduced" if row["reproduced"] else f"differs by {signed(row['off'], 4)}"
    numbers = {"stated": number(row["value"], 4), "own": number(row["own"], 4)}
    return {"model": row["name"], "benchmark": row["benchmark"], "of": row["scale"], **numbers, "": verdict}


if __name__ == "__main__":
    run(main)
