"""`evaluate` and `models`. Heavy imports wait inside the commands, so that `--help` is instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..asked import Asked
from ..words import few
from .front_end import Terminal, front_end, typed_command
from .many import (
    Outcome,
    answered_all,
    plan_many,
    require_usable,
    score_many,
    score_on_cluster,
    score_one,
)
from .model_lists import asked_of_each
from .progress import watching
from .remembered import SEARCH

if TYPE_CHECKING:
    from ..scoring.kept import ScoreOptions

EVALUATE_HELP = """
Evaluate a model on a suite of benchmarks, and print the table with the rho-hierarchy; or many models, and rank them.

Examples:

  python evaluate.py --model 991

  python evaluate.py --model 991 --suite demo --weights untrained

  python evaluate.py --model timm:resnet50 --layers V1=layer1,V2=layer2,V4=layer3,IT=layer4,behavior=global_pool

  python evaluate.py --model 991 --benchmark MajajHong2015public.IT-pls --json

  python evaluate.py --model 991 --suite leaderboard

  python evaluate.py --model 991 --suite my.toml

  python evaluate.py --model 991 --recordings my_v4_session/

  python evaluate.py --model torchvision:resnet50 --layers V4=layer3 --areas V4

  python evaluate.py --model timm:resnet18 --weights best.pth --name my_finetuned --layers search

  python evaluate.py --model my_net.py --suite demo

  python evaluate.py --models models.toml --suite demo --dry-run

Suites: public (five areas, public data), li2026 (12 benchmarks of V1, V2, V4 and IT, public data), demo (simulated,
offline), competition2022 (33 benchmarks, private data), leaderboard (the site's 99 of March 2026, most of them private;
what cannot be had is shown, and averages are over what was scored, beside the site's rule). A suite of your own is a
TOML file: docs/suites.md.
"""


def evaluate(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="991, 1084, 1095, 1057, a card's identifier, timm:<name>, torchvision:<name>, hf-hub:<owner>/<name>, "
            "my_card.toml, my_net.py; repeatable."
        ),
    ] = None,
    models: Annotated[
        Path | None, typer.Option("--models", help="Many models, a TOML file: docs/many_models.md.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What records and tables call it; default the identifier and the weights' hash.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="public (default), demo, li2026, competition2022, leaderboard, or your own: my.toml."),
    ] = None,
    benchmark: Annotated[list[str] | None, typer.Option(help="A Brain-Score benchmark id; repeatable.")] = None,
    recordings: Annotated[Path | None, typer.Option(help="Folder of your own recordings.")] = None,
    areas: Annotated[str | None, typer.Option(help="Of the suite these alone: V4,IT.")] = None,
    weights: Annotated[str | None, typer.Option(help="A checkpoint file, untrained, or untrained:<seed>.")] = None,
    ema: Annotated[
        bool, typer.Option("--ema/--no-ema", help="Moving averages of the weights, where the file has them.")
    ] = True,
    layer_map: Annotated[str, typer.Option(help="paper, code_comment, another name, or a JSON file.")] = "paper",
    layers: Annotated[str | None, typer.Option(help="V1=…,V2=…,V4=…,IT=…,behavior=…, or search.")] = None,
    preprocessing: Annotated[str | None, typer.Option(help="crop224 or squash224; default the card's.")] = None,
    engine: Annotated[
        str, typer.Option(help="gram (ours, exact), surrogate, converged, or brainscore (the reference).")
    ] = "gram",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda[:i], or mps (Apple's GPU).")] = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images in a forward pass.")] = None,
    precision: Annotated[str, typer.Option(help="float32, tf32, bfloat16 or float16.")] = "float32",
    memory: Annotated[
        str | None, typer.Option(help="Memory for features, e.g. 4GB; default half of what is free.")
    ] = None,
    disk: Annotated[str | None, typer.Option(help="Disk for features, e.g. 20GB; 0 for none.")] = None,
    results: Annotated[Path, typer.Option(help="Where records go.")] = Path("results"),
    rerun: Annotated[str, typer.Option(help="missing, all or never.")] = "missing",
    metric: Annotated[str, typer.Option(help="For --recordings: pls, ridge_cv, cka or rdm.")] = "pls",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it will take (images, passes, disk, time), and stop.")
    ] = False,
    scheduler: Annotated[str | None, typer.Option(help="A dask scheduler, one task a model: tcp://host:8786.")] = None,
    list_models: Annotated[bool, typer.Option("--list-models", help="List the models and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what Brain-Score logs.")] = False,
) -> None:
    """See `EVALUATE_HELP`, which is the help text."""
    if list_models:
        list_all(as_json)
        return
    if not model and not models:
        raise typer.BadParameter("give a model, for example --model 991, or --list-models.", param_hint="--model")
    common = Asked(
        model="",
        name=name,
        suite=suite,
        benchmarks=tuple(benchmark or ()),
        recordings=recordings and str(recordings),
        metric=metric,
        areas=areas,
        weights=weights,
        ema=ema,
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
    each = asked_of_each(model or (), models, common)
    with front_end(verbose) as terminal:
        from ..scoring.kept import ScoreOptions

        options = ScoreOptions(engine, results, rerun)
        if len(each) == 1 and not (models or scheduler or dry_run):
            _evaluate_one(each[0], options, as_json, terminal)
        else:
            _evaluate_many(each, options, scheduler, dry_run, as_json, terminal)


def _evaluate_one(asked: Asked, options: ScoreOptions, as_json: bool, terminal: Terminal) -> None:
    from ..scoring.display import show

    with watching(terminal) as watcher:
        scored = score_one(asked, None, replace(options, watcher=watcher))
    records = scored.records
    if as_json:
        terminal.write_json(scored.summary())
    else:
        show(scored.model, scored.suite, records, Console(file=terminal.out))
    if scored.left_out:
        terminal.console.print(
            f"Not scored, for want of a readout layer: {few(scored.left_out)}. Give one: --layers …,behavior=<layer>.",
            soft_wrap=True,
            highlight=False,
        )
    if not any(record.status == "scored" for record in records):
        reasons = sorted({record.reason for record in records if record.reason}) or ["no record is there"]
        terminal.complain(f"nothing was scored: {'; '.join(reasons)}. --suite demo needs no data.")
    if any(record.status != "scored" for record in records) or not records:
        raise typer.Exit(1)  # the table says which and why


def _evaluate_many(
    each: Sequence[Asked],
    options: ScoreOptions,
    scheduler: str | None,
    dry_run: bool,
    as_json: bool,
    terminal: Terminal,
) -> None:
    from ..scoring.display import show_many
    from ..scoring.plan import nothing_left, total_in_words
    from ..scoring.suites import loaded_once

    suite, ready = None, []
    there = answered_all(each, options)
    if there is None:
        for asked in each:
            require_usable(asked, options)
        suite = loaded_once(each[0].open_suite())
        plans, ready, outcome = plan_many(each, suite, options, terminal)
    else:
        plans = [nothing_left(one.model.name, len(one.suite.leaves)) for one in there]
        outcome = Outcome([one.summary() for one in there])
    lines = [*(plan.in_words() for plan in plans), total_in_words(plans)]
    searched = sum(asked.layers == SEARCH for asked in ready)
    lines += [f"{searched} more: layers are searched first, which is not in this plan"] if searched else []
    if not dry_run:
        terminal.console.print("Plan:", *lines, sep="\n", highlight=False, soft_wrap=True, markup=False)
        if scheduler and ready:
            score_on_cluster(scheduler, ready, options, terminal, outcome)
        elif ready:
            score_many(ready, suite, options, terminal, outcome)
    if as_json:
        facts = {"plan": [asdict(plan) for plan in plans], "models": outcome.summaries, "failures": outcome.failures}
        terminal.write_json(facts)
    elif dry_run:
        terminal.out.write("\n".join([*lines, *(f"{name}: {why}" for name, why in outcome.failures.items())]) + "\n")
    else:
        show_many(outcome.summaries, Console(file=terminal.out))
    for name, why in outcome.failures.items():
        if not dry_run:
            terminal.complain(f"{name}: {why}")
    statuses = {record["status"] for summary in outcome.summaries for record in summary["records"]}
    if outcome.failures or statuses - {"scored"}:
        raise typer.Exit(1)


def list_all(
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
            terminal.write_json({"models": listed})
        else:
            Console(file=terminal.out).print(model_table(rows))
