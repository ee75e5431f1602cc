"""Find which layer of a network fits which brain area: `python -m analysis.layer_search --model 991`.

The search itself is `brainscore_submission.layer_search`; here are the command, what it prints, and the plots.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from brainscore_submission.cli.front_end import Terminal, front_end, parse_bytes, run
from brainscore_submission.cli.progress import downloading, progress_bar

if TYPE_CHECKING:
    import pandas as pd

    from brainscore_submission.engine.survey import Candidate
    from brainscore_submission.layer_search.cluster import Opener
    from brainscore_submission.layer_search.search import SearchResult
    from brainscore_submission.layer_search.workbench import Watcher
    from brainscore_submission.models.model import Model

# Options of the search that `evaluate.py` takes too, with the values it has anyway.
_USUAL = {"device": ("auto",), "precision": ("float32",)}

HELP = """
Score every layer of a network on every benchmark of a suite, and choose a layer for each brain area.

A search that is stopped goes on where it was. Tables, plots and records go to results/<model>/layer_search/<suite>/.

Examples:

  python -m analysis.layer_search --model 991

  python -m analysis.layer_search --model 991 --layers 'blocks.1.*' --areas V4,IT --compare paper

  python -m analysis.layer_search --model timm:resnet50 --suite demo --write

  python -m analysis.layer_search --model 991 --list-layers --kind norm
"""


def layer_search(
    model: Annotated[str, typer.Option(help="991, 1084, 1095, 1057, a card's identifier, or timm:<name>.")],
    suite: Annotated[str, typer.Option(help="public, demo or competition2022.")] = "public",
    benchmark: Annotated[list[str] | None, typer.Option(help="A Brain-Score benchmark id; repeatable.")] = None,
    recordings: Annotated[Path | None, typer.Option(help="Folder of your own recordings.")] = None,
    metric: Annotated[str, typer.Option(help="For --recordings: pls, ridge_cv, cka or rdm.")] = "pls",
    weights: Annotated[str | None, typer.Option(help='A checkpoint file, or "untrained".')] = None,
    preprocessing: Annotated[str | None, typer.Option(help="crop224 or squash224; default the card's.")] = None,
    areas: Annotated[str, typer.Option(help="V1,V2,V4,IT,behavior; default all of the suite.")] = "",
    layers: Annotated[str, typer.Option(help="Globs, or regular expressions after re:, with commas between.")] = "",
    kind: Annotated[str, typer.Option(help="norm,attn,mlp,block,act,conv,linear,pool,other.")] = "",
    every: Annotated[int, typer.Option(help="Every N-th layer only.")] = 1,
    list_layers: Annotated[
        bool, typer.Option("--list-layers", help="List the layers and stop; nothing is downloaded for it.")
    ] = False,
    exact: Annotated[
        bool | None, typer.Option("--exact/--sketch", help="Exact throughout, or a sketch first; default by the time.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Layers of each area confirmed exactly after a sketch.")] = 8,
    columns: Annotated[int, typer.Option(min=64, help="Columns of the sketch.")] = 4096,
    seed: Annotated[int, typer.Option(help="Of the sketch.")] = 0,
    readout_features: Annotated[int, typer.Option(help="Larger layers are no readout layers for behaviour.")] = 10_000,
    ordered: Annotated[
        bool, typer.Option("--ordered", help="Among tied layers, take the order V1, V2, V4, IT.")
    ] = False,
    compare: Annotated[str | None, typer.Option(help="A layer map to hold against the best: paper, or a file.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the chosen layers to layer_maps/.")] = False,
    memory: Annotated[
        str | None, typer.Option(help="For the recording, e.g. 4GB; default half of what is free.")
    ] = None,
    disk: Annotated[str | None, typer.Option(help="For features and Gram matrices, e.g. 20GB; 0 for none.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:i].")] = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images in a forward pass.")] = None,
    precision: Annotated[str, typer.Option(help="float32, tf32, bfloat16 or float16.")] = "float32",
    scheduler: Annotated[str | None, typer.Option(help="A dask scheduler: tcp://host:8786.")] = None,
    results: Annotated[Path, typer.Option(help="Where tables, plots and records go.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what Brain-Score logs.")] = False,
) -> None:
    """See `HELP`, which is the help text."""
    with front_end(verbose) as terminal:
        from brainscore_submission.engine.sketch import Sketch
        from brainscore_submission.layer_search.cluster import Opener
        from brainscore_submission.layer_search.search import Options, search_layers
        from brainscore_submission.layer_search.table import compared, summary, write_tables
        from brainscore_submission.layer_search.workbench import Settings
        from brainscore_submission.layer_search.written_map import (
            named_layer_map,
            origin_note,
            require_whole_map,
            write_layer_map,
        )
        from brainscore_submission.models.opening import default_cache

        chosen = {
            "weights": _weights_for_listing(model) if list_layers and weights is None else weights,
            "preprocessing": preprocessing,
            "device": device,
            "batch_size": batch_size,
            "precision": precision,
        }
        opener = Opener(
            model=model,
            options=tuple(chosen.items()),
            suite=suite,
            benchmarks=tuple(benchmark or ()),
            recordings=str(recordings or ""),
            metric=metric,
        )
        settings = Settings(
            cache=default_cache(),
            memory_bytes=parse_bytes(memory) if memory else None,
            disk_bytes=parse_bytes(disk) if disk else None,
            readout_features=readout_features,
        )
        searched = opener.open_suite()
        if write:
            source = "the recordings" if recordings else "the benchmarks"
            require_whole_map(_words(areas) or list(searched.areas), list(searched.areas), source)
        with downloading(terminal) as progress:
            opened = opener.open_model(progress=progress)
        if list_layers:
            _list_layers(opened, _words(layers), _words(kind), every, as_json, terminal)
            return
        given = named_layer_map(opened, compare) if compare else {}
        given_by = origin_note(opened, compare) if compare else None  # now: --write may replace the map
        with _watching(terminal) as watcher:
            options = Options(
                areas=tuple(_words(areas)),
                layers=tuple(_words(layers)),
                kinds=tuple(_words(kind)),
                every=every,
                exact=exact,
                sketch=Sketch(columns, seed),
                top=top,
                ordered=ordered,
                results=results,
                settings=settings,
                scheduler=scheduler,
                opener=opener,
                watcher=watcher,
            )
            result = search_layers(opened, searched, options)
        paths = [*write_tables(result), *draw(result, given or _committed(opened))]
        against = compared(result, given)
        map_path, map_name = write_layer_map(result) if write else (None, None)
        if as_json:
            facts = summary(result) | {"compared": json.loads(against.to_json(orient="records"))}
            facts |= {"compared_with": given_by}
            facts |= {"files": [str(path) for path in paths], "layer_map": str(map_path) if map_path else None}
            terminal.out.write(json.dumps(facts, ensure_ascii=False) + "\n")
            return
        _print(terminal, result, against, given_by, [*paths, *([map_path] if map_path else [])])
        if map_name or set(result.choices) == set(searched.areas):
            terminal.console.print(_how_to_use(result, opener, map_name), soft_wrap=True, highlight=False, markup=False)


def draw(result: SearchResult, committed: Mapping[str, str]) -> list[Path]:
    """Draw heat map and profiles into the search's folder, as SVG and PNG.

    Parameters
    ----------
    result : SearchResult
    committed : area -> layer of a given layer map, marked in the plots
    """
    from brainscore_submission.layer_search.table import table

    from . import layer_plots
    from .figures import save

    frame = table(result)
    names = {area: result.survey.same_as.get(layer, layer) for area, layer in committed.items()}
    marks = [
        mark
        for mark, holds in (
            ("UNTRAINED", result.model.origin.get("untrained")),
            ("SIMULATED", result.suite.simulated),
        )
        if holds
    ]
    arguments = frame, result.model.card.identifier, names, marks
    return [
        *save(layer_plots.heat_map(*arguments), result.folder, "heat_map"),
        *save(layer_plots.profiles(*arguments), result.folder, "profiles"),
    ]


def _committed(model: Model) -> dict[str, str]:
    behavior = {"behavior": model.card.behavior_layer} if model.card.behavior_layer else {}
    return {**model.layer_map, **behavior}


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


# --- what a person sees -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _watching(terminal: Terminal) -> Iterator[Watcher]:
    """The plan before the work starts, then a bar over layers and benchmarks."""
    from brainscore_submission.layer_search.workbench import Watcher

    with progress_bar(terminal) as advance:
        yield Watcher(
            stage=lambda text: advance(text, 0, None),
            planned=lambda lines: terminal.console.print("Plan:", *lines, sep="\n", highlight=False, soft_wrap=True),
            recorded=lambda done, total: advance("images begun", done, total),
            scored=lambda score, done, total: advance(f"scored {score.benchmark} {score.layer}", done, total),
        )


def _print(
    terminal: Terminal, result: SearchResult, against: pd.DataFrame, given_by: str | None, paths: list[Path]
) -> None:
    from rich.console import Console

    parts: list[Any] = [Text(_title(result), style="bold"), _choices(result)]
    if not against.empty:
        parts.append(_comparison(against))
    if given_by:
        parts.append(Text(given_by))
    parts += [Text(line, style="dim") for line in (*_footnotes(result), *result.notes)]
    parts += [Text(str(path), style="dim") for path in paths]
    Console(file=terminal.out).print(Group(*parts))


def _title(result: SearchResult) -> str:
    marks = "".join(
        f"  [{mark}]"
        for mark, holds in (
            ("UNTRAINED", result.model.origin.get("untrained")),
            ("SIMULATED", result.suite.simulated),
        )
        if holds
    )
    return (
        f"Layer search of {result.model.card.identifier}, suite {result.suite.name}, "
        f"{len(result.candidates)} layers{marks}"
    )


def _choices(result: SearchResult) -> Table:
    table = Table("area", Column("layer", overflow="fold"))
    for column in ("depth", "score", "nested", "tied", "p (chance)"):
        table.add_column(column, justify="right")
    depth = {candidate.layer: candidate.depth for candidate in result.candidates}
    for area, choice in result.choices.items():
        table.add_row(
            area,
            choice.layer,
            f"{depth[choice.layer]:.0%}",
            f"{choice.chosen_score:+.3f}",
            "–" if choice.nested_score is None else f"{choice.nested_score:+.3f}",
            f"{len(choice.tied)} of {choice.n_layers}",
            "–" if choice.chance_p is None else f"{choice.chance_p:.2g}",
        )
    return table


def _comparison(against: pd.DataFrame) -> Table:
    table = Table("area", Column("given layer", overflow="fold"), title="The given layer map beside the best")
    for column in ("rank", "score", "best", "distance", "tied"):
        table.add_column(column, justify="right")
    for row in against.itertuples():
        if row.searched_as is None:
            table.add_row(row.area, f"{row.layer} (not searched)", "–", "–", f"{row.best_score:+.3f}", "–", "–")
            continue
        name = row.layer if row.searched_as == row.layer else f"{row.layer} (= {row.searched_as})"
        rank = f"{row.rank:.0f} of {row.of}"
        scores = f"{row.score:+.3f}", f"{row.best_score:+.3f}", f"{row.distance:.3f}"
        table.add_row(row.area, name, rank, *scores, "yes" if row.tied else "no")
    return table


def _footnotes(result: SearchResult) -> list[str]:
    rules = {choice.rule for choice in result.choices.values()}
    notes = [f"Rule: {rule}." for rule in sorted(rules)]
    notes.append(
        "Score: with the sign of r. Nested: layer chosen on half of the splits, scored on the other half. Tied: the "
        "95 % interval of the paired difference to the best holds 0. p: that an r as high comes by chance, Bonferroni."
    )
    for area, sketch in result.confirmations.items():
        notes.append(
            f"{area}: ranked by a sketch of {sketch.columns} columns (seed {sketch.seed}), off by {sketch.error:.4f} "
            f"(root mean square over {sketch.n_confirmed} layers confirmed exactly); all choices are exact."
        )
    if result.image_passes is not None:
        notes.append(f"Image passes: {result.planned_passes} planned, {result.image_passes} made.")
    return notes


def _how_to_use(result: SearchResult, searched: Opener, map_name: str | None) -> str:
    """The command that evaluates the model with what was chosen: the options of the search, the map if it was written.

    A layer map holds the four areas, so the layer for behaviour is named beside it.
    """
    layers = {area: choice.layer for area, choice in result.choices.items() if not map_name or area == "behavior"}
    on_the_card = result.model.card.behavior_layer
    if "behavior" in result.suite.areas and on_the_card is None:
        layers.setdefault("behavior", "<layer>")
    elif layers.get("behavior") == on_the_card:
        layers.pop("behavior", None)
    words = ["python", "evaluate.py", "--model", searched.model, *_suite_options(searched)]
    for name, value in searched.options:
        words += [f"--{name.replace('_', '-')}", str(value)] if value not in (None, *_USUAL.get(name, ())) else []
    words += ["--layer-map", map_name] if map_name not in (None, "paper") else []
    words += ["--layers", ",".join(f"{area}={layer}" for area, layer in layers.items())] if layers else []
    return f"Evaluate with it: {shlex.join(words)}"


def _suite_options(searched: Opener) -> list[str]:
    if searched.recordings:
        metric = [] if searched.metric == "pls" else ["--metric", searched.metric]
        return ["--recordings", searched.recordings, *metric]
    if searched.benchmarks:
        return [word for benchmark in searched.benchmarks for word in ("--benchmark", benchmark)]
    return ["--suite", searched.suite]


def _weights_for_listing(model: str) -> str | None:
    """Random weights, rather than a download, where the model's own are not on this machine."""
    from brainscore_submission.models.opening import describe
    from brainscore_submission.plugin.fetching import is_present

    return None if is_present(describe(model)) else "untrained"


def _list_layers(
    model: Model, patterns: list[str], kinds: list[str], every: int, as_json: bool, terminal: Terminal
) -> None:
    """The candidates of a network, and how many modules were left out for what."""
    from rich.console import Console

    from brainscore_submission.engine.survey import choose, same_values_in_words
    from brainscore_submission.engine.sweeps import survey_recorder

    size = model.card.preprocessing.input_px
    found = survey_recorder(model.recorder(None), (3, size, size), patterns)
    chosen = choose(found, patterns, kinds, every)
    if as_json:
        rows = [_as_row(candidate) for candidate in chosen]
        facts = {"layers": rows, "left_out": dict(found.left_out), "untrained": bool(model.origin.get("untrained"))}
        terminal.out.write(json.dumps(facts) + "\n")
        return
    table = Table(Column("layer", overflow="fold"), "kind")
    for column in ("shape", "features", "depth"):
        table.add_column(column, justify="right")
    for candidate in chosen:
        row = _as_row(candidate)
        shape = "x".join(map(str, row["shape"]))
        table.add_row(row["layer"], "+".join(row["kinds"]), shape, f"{row['n_features']:,}", f"{row['depth']:.1%}")
    lines = [*same_values_in_words(found, patterns, chosen), *_left_out(found.left_out)]
    if model.origin.get("untrained"):
        lines.append("UNTRAINED: which layers have the same values may depend on the random weights.")
    Console(file=terminal.out).print(Group(table, *(Text(line, style="dim") for line in lines)))


def _as_row(candidate: Candidate) -> dict[str, Any]:
    return {
        "layer": candidate.layer,
        "kinds": list(candidate.kinds),
        "shape": list(candidate.shape),
        "n_features": candidate.n_features,
        "depth": candidate.depth,
    }


def _left_out(reasons: Mapping[str, str]) -> list[str]:
    """A line a reason, with its number of modules and one of them."""
    by_reason: dict[str, list[str]] = {}
    for layer, reason in reasons.items():
        same = reason.startswith(("the same values as", "another name of"))
        by_reason.setdefault("a duplicate of another layer" if same else reason, []).append(layer)
    return [f"left out: {len(layers)} modules, {reason} ({layers[0]})" for reason, layers in by_reason.items()]


def main() -> None:
    """Entry point of `python -m analysis.layer_search`."""
    run(layer_search, HELP)


if __name__ == "__main__":
    main()
