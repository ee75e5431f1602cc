"""`search`: which layer of a network fits which brain area. Heavy imports wait inside the command."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..asked import Asked
from ..plugin.files import require_writable_later
from ..words import words_of
from .asking import MODEL, asks_for
from .front_end import Terminal, front_end
from .progress import downloading, watching

if TYPE_CHECKING:
    from ..layer_search.search import SearchResult
    from ..models.model import Model

SEARCH_HELP = """
Score every layer of a network on every benchmark of a suite, and choose a layer for each brain area.

A search that is stopped goes on where it was. Tables and records go to results/<model>/layer_search/<suite>/;
`python -m analysis.layer_search` takes the same options and draws the plots too.

Examples:

  brainscore-submission search --model 991

  brainscore-submission search --model 991 --layers 'blocks.1.*' --areas V4,IT --compare paper

  brainscore-submission search --model timm:resnet50 --suite demo --write

  brainscore-submission search --model 991 --list-layers --kind norm
"""


def search_command(
    draw: Callable[[SearchResult, Mapping[str, str]], list[Path]] | None = None,
) -> Callable[..., None]:
    """The command; `draw` makes figures of a result and of the layers of a given map, and names their files."""

    @asks_for(*MODEL)
    def search(
        asked: Asked,
        suite: Annotated[
            str | None,
            typer.Option(help="public (default), demo, li2026, competition2022, leaderboard, or your own: my.toml."),
        ] = None,
        benchmark: Annotated[list[str] | None, typer.Option(help="A Brain-Score benchmark id; repeatable.")] = None,
        recordings: Annotated[Path | None, typer.Option(help="Folder of your own recordings.")] = None,
        metric: Annotated[str, typer.Option(help="For --recordings: pls, ridge_cv, cka or rdm.")] = "pls",
        areas: Annotated[str, typer.Option(help="V1,V2,V4,IT,behavior; default all of the suite.")] = "",
        layers: Annotated[str, typer.Option(help="Globs, or regular expressions after re:, with commas between.")] = "",
        kind: Annotated[str, typer.Option(help="norm,attn,mlp,block,act,conv,linear,pool,other.")] = "",
        every: Annotated[int, typer.Option(help="Every N-th layer only.")] = 1,
        list_layers: Annotated[
            bool, typer.Option("--list-layers", help="List the layers and stop; nothing is downloaded for it.")
        ] = False,
        exact: Annotated[
            bool | None,
            typer.Option("--exact/--sketch", help="Exact throughout, or a sketch first; default by the time."),
        ] = None,
        top: Annotated[int, typer.Option(min=1, help="Layers of each area confirmed exactly after a sketch.")] = 8,
        columns: Annotated[int, typer.Option(min=64, help="Columns of the sketch.")] = 4096,
        seed: Annotated[int, typer.Option(help="Of the sketch.")] = 0,
        readout_features: Annotated[
            int, typer.Option(help="Larger layers are no readout layers for behaviour.")
        ] = 10_000,
        ordered: Annotated[
            bool, typer.Option("--ordered", help="Among tied layers, take the order V1, V2, V4, IT.")
        ] = False,
        compare: Annotated[
            str | None, typer.Option(help="A layer map to hold against the best: paper, or a file.")
        ] = None,
        write: Annotated[bool, typer.Option("--write", help="Write the chosen layers to layer_maps/.")] = False,
        memory: Annotated[
            str | None, typer.Option(help="For the recording, e.g. 4GB; default half of what is free.")
        ] = None,
        disk: Annotated[str | None, typer.Option(help="For features and Gram matrices, e.g. 20GB; 0 for none.")] = None,
        precision: Annotated[str, typer.Option(help="float32, tf32, bfloat16 or float16.")] = "float32",
        scheduler: Annotated[str | None, typer.Option(help="A dask scheduler: tcp://host:8786.")] = None,
        results: Annotated[Path, typer.Option(help="Where tables, plots and records go.")] = Path("results"),
        as_json: Annotated[
            bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")
        ] = False,
        verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what Brain-Score logs.")] = False,
    ) -> None:
        """See `SEARCH_HELP`, which is the help text."""
        with front_end(verbose) as terminal:
            from ..engine.sketch import Sketch
            from ..layer_search.display import how_to_use, show
            from ..layer_search.search import SearchOptions, search_layers
            from ..layer_search.table import compared, summary, write_tables
            from ..layer_search.written_map import named_layer_map, origin_note, require_whole_map, write_layer_map

            if list_layers and asked.weights is None:
                asked = replace(asked, weights=_weights_for_listing(asked.model))
            asked = replace(
                asked,
                suite=suite,
                benchmarks=tuple(benchmark or ()),
                recordings=recordings and str(recordings),
                metric=metric,
                precision=precision,
                memory=memory,
                disk=disk,
            )
            searched = asked.open_suite()
            if write:
                source = "the recordings" if recordings else "the benchmarks"
                require_whole_map(words_of(areas) or list(searched.areas), list(searched.areas), source)
            if not list_layers:
                require_writable_later(results, "--results")
            with downloading(terminal) as progress:
                opened = asked.open_model(areas=(), progress=progress)
            if list_layers:
                _list_layers(opened, words_of(layers), words_of(kind), every, as_json, terminal)
                return
            given = named_layer_map(opened, compare) if compare else {}
            given_by = origin_note(opened, compare) if compare else None  # now: --write may replace the map
            with watching(terminal) as watcher:
                options = SearchOptions(
                    areas=tuple(words_of(areas)),
                    layers=tuple(words_of(layers)),
                    kinds=tuple(words_of(kind)),
                    every=every,
                    exact=exact,
                    sketch=Sketch(columns, seed),
                    top=top,
                    ordered=ordered,
                    readout_features=readout_features,
                    results=results,
                    budget=asked.budget(opened.device),
                    scheduler=scheduler,
                    asked=asked,
                    command=asked.command,
                    watcher=watcher,
                )
                result = search_layers(opened, searched, options)
            paths = write_tables(result)
            paths += draw(result, paths[-1], given or opened.layers) if draw else []
            against = compared(result, given)
            map_path, map_name = write_layer_map(result) if write else (None, None)
            paths += [map_path] if map_path else []
            if as_json:
                facts = summary(result) | {"compared": json.loads(against.to_json(orient="records"))}
                facts |= {"compared_with": given_by, "files": [str(path) for path in paths]}
                facts |= {"layer_map": str(map_path) if map_path else None}
                terminal.write_json(facts)
                return
            show(result, against, given_by, paths, Console(file=terminal.out))
            if map_name or set(result.choices) == set(searched.areas):
                how = how_to_use(result, asked, map_name)
                terminal.console.print(how, soft_wrap=True, highlight=False, markup=False)

    return search


def _weights_for_listing(model: str) -> str | None:
    """Random weights, rather than a download, where the model's own are not on this machine."""
    from ..models.opening import describe
    from ..plugin.fetching import is_present

    return None if is_present(describe(model)) else "untrained"


def _list_layers(
    model: Model, patterns: list[str], kinds: list[str], every: int, as_json: bool, terminal: Terminal
) -> None:
    from ..engine.many_layers import survey_recorder
    from ..engine.survey import choose
    from ..layer_search.display import show_layers

    size = model.card.preprocessing.input_px
    found = survey_recorder(model.recorder(None), (3, size, size), patterns)
    chosen = choose(found, patterns, kinds, every)
    if not as_json:
        show_layers(found, chosen, patterns, model.marks, Console(file=terminal.out))
        return
    rows: list[dict[str, Any]] = [
        {
            "layer": layer.layer,
            "kinds": list(layer.kinds),
            "shape": list(layer.shape),
            "n_features": layer.n_features,
            "depth": layer.depth,
        }
        for layer in chosen
    ]
    facts = {"layers": rows, "left_out": dict(found.left_out), "marks": list(model.marks)}
    terminal.write_json(facts)
