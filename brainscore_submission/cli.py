"""The command line: `brainscore-submission evaluate|models|package|check|weights|recordings`.

`evaluate.py` calls the same `evaluate`. Heavy imports wait inside the commands, so that `--help` is instant.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .plugin.errors import UserError

app = typer.Typer(
    help="Put a vision model to the brain's test: evaluate, package, check.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
recordings_app = typer.Typer(
    help="Your own recordings as a benchmark.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(recordings_app, name="recordings")

EVALUATE_EXAMPLES = """
Evaluate a model on a suite of benchmarks, and print the table with the rho-hierarchy.

Examples:

  python evaluate.py --model 991

  python evaluate.py --model 991 --suite demo --weights untrained

  python evaluate.py --model timm:resnet50 --layers V1=layer1,V2=layer2,V4=layer3,IT=layer4,behavior=global_pool

  python evaluate.py --model 991 --benchmark MajajHong2015public.IT-pls --json

  python evaluate.py --model 991 --recordings my_v4_session/
"""


def run(command: Callable[..., Any] | typer.Typer) -> None:
    """Run a command as a program: a UserError is one or two lines and exit code 1, a bug keeps its traceback."""
    if not isinstance(command, typer.Typer):
        single = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=False)
        single.command(help=EVALUATE_EXAMPLES)(command)
        command = single
    try:
        command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


def main() -> None:
    """Entry point of `brainscore-submission`."""
    run(app)


def evaluate(
    model: Annotated[str, typer.Option(help="991, 1084, 1095, 1057, a card's identifier, or timm:<name>.")] = "",
    suite: Annotated[str, typer.Option(help="public, demo or competition2022.")] = "public",
    benchmark: Annotated[list[str] | None, typer.Option(help="A Brain-Score benchmark id; repeatable.")] = None,
    recordings: Annotated[Path | None, typer.Option(help="Folder of your own recordings.")] = None,
    weights: Annotated[str | None, typer.Option(help='A checkpoint file, or "untrained".')] = None,
    layer_map: Annotated[str, typer.Option(help="paper, code_comment, another name, or a JSON file.")] = "paper",
    layers: Annotated[str | None, typer.Option(help="V1=…,V2=…,V4=…,IT=…,behavior=…")] = None,
    preprocessing: Annotated[str | None, typer.Option(help="crop224 or squash224; default the card's.")] = None,
    engine: Annotated[str, typer.Option(help="gram (ours, exact), surrogate, or brainscore (the reference).")] = "gram",
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
    """See `EVALUATE_EXAMPLES`, which is the help text."""
    if list_models:
        models()
        return
    if not model:
        raise typer.BadParameter("give a model, for example --model 991, or --list-models.", param_hint="--model")
    with _front_end(verbose) as console:
        from .benchmarks import find_suite, single_benchmarks
        from .display import show, summary
        from .models import default_cache, open_model
        from .scoring import Options, score_suite

        chosen = (
            _recordings_suite(recordings, metric)
            if recordings is not None
            else single_benchmarks(benchmark)
            if benchmark
            else find_suite(suite)
        )
        with _downloading(console) as progress:
            opened = open_model(
                model,
                weights=weights,
                layer_map=layer_map,
                layers=_parse_layers(layers),
                preprocessing=preprocessing,
                device=device,
                batch_size=batch_size,
                precision=precision,
                progress=progress,
            )
        cache = default_cache()
        with _watching(console) as watcher:
            options = Options(engine, results, rerun, cache, _budget(memory, disk, cache, opened.device), watcher)
            records = score_suite(opened, chosen, options)
        if as_json:
            sys.__stdout__.write(json.dumps(summary(opened, chosen, records), ensure_ascii=False) + "\n")
        else:
            show(opened, chosen, records, Console(file=sys.__stdout__))


app.command(name="evaluate", help=EVALUATE_EXAMPLES)(evaluate)


@app.command()
def models() -> None:
    """List the models: identifier, training, whether the weights are here, the published average."""
    from .display import model_table
    from .models import models as cards
    from .plugin.fetching import is_present
    from .published import published_model

    rows = []
    for card in cards():
        published = published_model(card.competition_id) if card.competition_id else None
        present = is_present(card)
        rows.append((card.name, card.identifier, card.training, present, published.average if published else None))
    Console().print(model_table(rows))


def _recordings_suite(folder: Path, metric: str) -> Any:
    from .recordings import suite as recordings_suite

    return recordings_suite(folder, metric)


def _parse_layers(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    wrong = [area for area, equals, layer in pairs if not equals or not layer.strip()]
    if wrong:
        raise UserError(f"--layers: '{wrong[0]}' is not of the form area=layer. Example: V1=layer1,V2=layer2.")
    return {area.strip(): layer.strip() for area, _, layer in pairs}


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_bytes(text: str) -> int:
    """Bytes of a size such as "4GB" or "500 MB".

    >>> parse_bytes("1.5GB")
    1500000000
    """
    number = text.strip().upper().rstrip("KMGTB ")
    unit = text.strip().upper().removeprefix(number).strip()
    if unit not in _UNITS or not number.replace(".", "", 1).isdigit():
        raise UserError(f"'{text}' is not a size. Write for example 4GB or 500MB.")
    return int(float(number) * _UNITS[unit])


def _budget(memory: str | None, disk: str | None, cache: Path, device: str) -> Any:
    from .recording import Budget

    default = Budget.default(cache, device)
    return Budget(
        parse_bytes(memory) if memory else default.memory_bytes,
        parse_bytes(disk) if disk else default.disk_bytes,
        cache,
    )


# --- what a person sees while it runs ---------------------------------------------------------------------------


@contextlib.contextmanager
def _front_end(verbose: bool) -> Iterator[Console]:
    """Standard output belongs to the result: what Brain-Score prints goes to standard error, its bars nowhere."""
    os.environ.setdefault("BS_INSTALL_DEPENDENCIES", "no")
    if not verbose:
        os.environ.setdefault("TQDM_DISABLE", "1")
    console = Console(file=sys.__stderr__)
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", handlers=[RichHandler(console=console, show_path=False)])
    with contextlib.redirect_stdout(sys.stderr):
        yield console


@contextlib.contextmanager
def _downloading(console: Console) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("weights", total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)


@contextlib.contextmanager
def _watching(console: Console) -> Iterator[Any]:
    from .scoring import Watcher

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        yield Watcher(
            stage=lambda text: progress.update(task, description=text, completed=0, total=None),
            recorded=lambda done, total: progress.update(task, completed=done, total=total),
            scored=lambda record: console.print(_one_line(record), highlight=False),
        )


def _one_line(record: Any) -> str:
    if record.status == "no access":
        return f"{record.benchmark}: no access ({record.reason})"
    value = f"score {record.score:.3f}" if record.score is not None else "unceiled"
    return f"{record.benchmark}: {value}, r {record.raw:+.3f}"
