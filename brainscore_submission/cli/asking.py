"""The options that say which model is meant and what it is held against: the same for every command that opens one."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..asked import Asked
from .front_end import typed_command

# Fields of `Asked`. Their defaults are those of the class.
MODEL = ("model", "name", "weights", "ema", "preprocessing", "device", "batch_size")
LAYERS = ("layer_map", "layers")
HELD_AGAINST = ("benchmarks", "suite", "recordings", "metric", "areas")
OUTCOME = ("results", "rerun", "dry_run", "as_json")
EmaOption = Annotated[
    bool, typer.Option("--ema/--no-ema", help="Moving averages of the weights, where the file has them.")
]
OPTIONS = {
    "model": Annotated[str, typer.Option(help="991, a card's identifier, timm:<name>, my_net.py, …")],
    "name": Annotated[str | None, typer.Option(help="What records and tables call it; default the identifier.")],
    "weights": Annotated[str | None, typer.Option(help="A checkpoint file, untrained, or untrained:<seed>.")],
    "ema": EmaOption,
    "preprocessing": Annotated[str | None, typer.Option(help="crop224 or squash224; default the card's.")],
    "device": Annotated[str, typer.Option(help="auto, cpu, cuda[:i], or mps (Apple's GPU).")],
    "batch_size": Annotated[int | None, typer.Option(min=1, help="Images at a time; default 8, on a GPU 64.")],
    "layer_map": Annotated[str, typer.Option(help="paper, another name, or a JSON file.")],
    "layers": Annotated[str | None, typer.Option(help="V1=…,V2=…,V4=…,IT=…,behavior=…")],
    "benchmarks": Annotated[
        list[str] | None, typer.Option("--benchmark", help="For brain scores, a benchmark id; repeatable.")
    ],
    "suite": Annotated[str | None, typer.Option(help="For brain scores: public, demo, my.toml, …")],
    "recordings": Annotated[Path | None, typer.Option(help="For brain scores, a folder of your own recordings.")],
    "metric": Annotated[str, typer.Option(help="For --recordings: pls, ridge_cv, cka or rdm.")],
    "areas": Annotated[str | None, typer.Option(help="Of the suite these alone: V4,IT.")],
}


def asks_for(*fields: str, model_required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of these fields, which reach it as one `Asked`, its parameter `asked`.

    In the help --model stands first, the others behind the command's own, before what says where results go.

    Parameters
    ----------
    fields : of `OPTIONS`
    model_required : whether it is a usage error to leave the model away; otherwise it is "" then
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        defaults = {field.name: field.default for field in dataclasses.fields(Asked)} | {"benchmarks": None}
        defaults["model"] = inspect.Parameter.empty if model_required else ""
        options = {name: _keyword(name, defaults[name], OPTIONS[name]) for name in fields}
        hints = get_type_hints(command, include_extras=True)
        parameters = inspect.signature(command).parameters.values()
        own = [_keyword(one.name, one.default, hints[one.name]) for one in parameters if one.name != "asked"]
        end = next(place for place, one in enumerate(own) if one.name in OUTCOME)
        first = [options.pop("model")] if "model" in options else []
        shown = [*first, *own[:end], *options.values(), *own[end:]]

        @functools.wraps(command)
        def typed(**given: Any) -> Any:
            facts = {name: given.pop(name) for name in fields}
            if "benchmarks" in facts:
                facts["benchmarks"] = tuple(facts["benchmarks"] or ())
            if facts.get("recordings") is not None:
                facts["recordings"] = str(facts["recordings"])
            return command(asked=Asked(**facts, command=typed_command()), **given)

        typed.__signature__ = inspect.Signature(shown)
        return typed

    return decorate


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
