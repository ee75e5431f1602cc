"""`evaluate` and `models`. Heavy imports wait inside the commands, so that `--help` is instant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..asked import Asked
from ..plugin.errors import UserError
from .front_end import front_end, typed_command
from .progress import downloading, watching

EVALUATE_HELP = """
Evaluate a model on a suite of benchmarks, and print the table with the rho-hierarchy.

Examples:

  python evaluate.py --model 991

  python evaluate.py --model 991 --suite demo --weights untrained

  python evaluate.py --model timm:resnet50 --layers V1=layer1,V2=layer2,V4=layer3,IT=layer4,behavior=global_pool

  python evaluate.py --model 991 --benchmark MajajHong2015public.IT-pls --json

  python evaluate.py --model 991 --suite leaderboard

  python evaluate.py --model 991 --suite my.toml

  python evaluate.py --model 991 --recordings my_v4_session/

Suites: public (five areas, public data), li2026 (12 benchmarks of V1, V2, V4 and IT, public data), demo (simulated,
offline), competition2022 (33 benchmarks, private data), leaderboard (the site's 99 of March 2026, most of them private;
what cannot be had is shown, and averages are over what was scored, beside the site's rule). A suite of your own is a
TOML file: docs/suites.md.
"""


def evaluate(
    model: Annotated[str, typer.Option(help="991, 1084, 1095, 1057, a card's identifier, or timm:<name>.")] = "",
    name: Annotated[str | None, typer.Option(help="What records and tables call it; default the identifier.")] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="public (default), demo, li2026, competition2022, leaderboard, or your own: my.toml."),
    ] = None,
    benchmark: Annotated[list[str] | None, typer.Option(help="A Brain-Score benchmark id; repeatable.")] = None,
    recordings: Annotated[Path | None, typer.Option(help="Folder of your own recordings.")] = None,
    weights: Annotated[str | None, typer.Option(help='A checkpoint file, or "untrained".')] = None,
    layer_map: Annotated[str, typer.Option(help="paper, code_comment, another name, or a JSON file.")] = "paper",
    layers: Annotated[str | None, typer.Option(help="V1=…,V2=…,V4=…,IT=…,behavior=…")] = None,
    preprocessing: Annotated[str | None, typer.Option(help="crop224 or squash224; default the card's.")] = None,
    engine: Annotated[
        str, typer.Option(help="gram (ours, exact), surrogate, converged, or brainscore (the reference).")
    ] = "gram",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:i].")] = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images in a forward pass.")] = None,
    precision: Annotated[str, typer.Option(help="float32, tf32, bfloat16 or float16.")] = "float32",
    memory: Annotated[
        str | None, typer.Option(help="Memory for features, e.g. 4GB; default half of what is free.")
    ] = None,
    disk: Annotated[str | None, typer.Option(help="Disk for features, e.g. 20GB; 0 for none.")] = None,
    results: Annotated[Path, typer.Option(help="Where records go.")] = Path("results"),
    rerun: Annotated[str, typer.Option(help="missing, all or never.")] = "missing",
    metric: Annotated[str, typer.Option(help="For --recordings: pls, ridge_cv, cka or rdm.")] = "pls",
    list_models: Annotated[bool, typer.Option("--list-models", help="List the models and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what Brain-Score logs.")] = False,
) -> None:
    """See `EVALUATE_HELP`, which is the help text."""
    if list_models:
        models(as_json)
        return
    if not model:
        raise typer.BadParameter("give a model, for example --model 991, or --list-models.", param_hint="--model")
    asked = Asked(
        model=model,
        name=name,
        suite=suite,
        benchmarks=tuple(benchmark or ()),
        recordings=recordings and str(recordings),
        metric=metric,
        weights=weights,
        layer_map=layer_map,
        layers=layers,
        preprocessing=preprocessing,
        device=device,
        batch_size=batch_size,
        precision=precision,
        memory=memory,
        disk=disk,
        command=typed_command(),
    )
    with front_end(verbose) as terminal:
        from ..scoring.display import show, summary
        from ..scoring.score import ScoreOptions, score_suite

        chosen = asked.open_suite()
        with downloading(terminal) as progress:
            opened = asked.open_model(tuple(chosen.areas), progress)
        budget = asked.budget(opened.device)
        with watching(terminal) as watcher:
            options = ScoreOptions(engine, results, rerun, budget.scratch, budget, asked.command, watcher)
            records = score_suite(opened, chosen, options)
        if as_json:
            terminal.out.write(json.dumps(summary(opened, chosen, records), ensure_ascii=False) + "\n")
        else:
            show(opened, chosen, records, Console(file=terminal.out))
        if not any(record.status == "scored" for record in records):
            reasons = sorted({record.reason for record in records if record.reason}) or ["no record is there"]
            raise UserError(f"nothing was scored: {'; '.join(reasons)}. --suite demo needs no data.")
        if any(record.status != "scored" for record in records):
            raise typer.Exit(1)  # the table says which and why


def models(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")] = False,
) -> None:
    """List the models: identifier, training, whether the weights are here, the published average."""
    with front_end() as terminal:
        from ..plugin.card import all_cards
        from ..plugin.fetching import is_present
        from ..scoring.display import model_table
        from ..scoring.published import published_model

        rows = []
        for card in all_cards():
            published = published_model(card.competition_id) if card.competition_id else None
            average = published.average if published else None
            rows.append((card.name, card.identifier, card.training, is_present(card), average))
        if as_json:
            names = ("name", "identifier", "training", "weights_present", "published_average")
            listed = [dict(zip(names, row, strict=True)) for row in rows]
            terminal.out.write(json.dumps({"models": listed}, ensure_ascii=False) + "\n")
        else:
            Console(file=terminal.out).print(model_table(rows))
