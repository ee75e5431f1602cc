"""A run -> a model like any other: weights as safetensors, a card with their sha256, and a layer map."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes

from ..models.layer_maps import committed_layers
from ..models.opening import opener_of
from ..plugin.areas import AREAS
from ..plugin.card import IDENTIFIER, IDENTIFIER_IN_WORDS, Card, Source, Weights, card_toml
from ..plugin.errors import UserError, suggest
from ..plugin.files import file_sha256, write_whole
from .loop import versions
from .network import open_network
from .recipes import Recipe, flat, recipe_from
from .state import RUN, epoch_path, read_log, read_object
from .validation import best_epoch


def export(run: Path, name: str, epoch: int | None = None) -> tuple[Path, list[str]]:
    """Write ``export/<name>.toml``, ``.safetensors`` and, where the architecture has one, its layer map ``.json``.

    Parameters
    ----------
    run : folder of a run, which may go on
    name : identifier of the new model
    epoch : counted from 0; None takes the one with the best robust top-1

    Returns
    -------
    path : of the card, for `--model`
    notes : what a reader should know

    Raises
    ------
    UserError
        the name cannot be an identifier, there is no such epoch, its file is damaged, or the network is of a Python
        file, which no card describes
    """
    if not re.fullmatch(IDENTIFIER, name):
        raise UserError(f"--name {name[:100]!r} is refused; it must be {IDENTIFIER_IN_WORDS}, such as my_991.")
    if not (run / RUN).is_file():
        raise UserError(f"{run} holds no run. Give the folder that was named with --run.")
    facts, rows = read_object(run / RUN), [row for row in read_log(run) if row.get("kind") == "validation"]
    recipe = recipe_from(facts.get("recipe", {}), str(run / RUN))
    done = [number for number in range(recipe.epochs) if epoch_path(run, number).is_file()]
    if epoch is None and rows:
        epoch = rows[best_epoch(rows)]["epoch"]
    if epoch not in done:
        asked = "no epoch is validated yet" if epoch is None else f"there is no epoch {epoch}"
        raise UserError(f"{run}: {asked}.{suggest(epoch, done)}")
    opened = open_network(dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, weights="untrained")))
    source = epoch_path(run, epoch)
    try:
        tensors = load_file(source)
        opened.network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise UserError(f"{source} is damaged, or of another network than the recipe's.") from error
    found = next((row for row in rows if row["epoch"] == epoch), {})
    # A card travels: what it began with goes by its name, not by where that lies here.
    facts["recipe"]["model"]["name"] = opened.card.identifier
    facts["recipe"]["model"]["weights"] = Path(recipe.model.weights).name
    about = {"recipe": recipe.name, "epoch": epoch, "validation": found, "versions": versions(), "run": facts}
    folder = run / "export"
    weights = folder / f"{name}.safetensors"
    metadata = {"training": json.dumps(about)}
    write_whole(weights, safetensors_bytes(tensors, metadata), "--run")
    card = _card(opened.card, name, weights, _in_words(recipe, epoch, facts))
    path = write_whole(folder / f"{name}.toml", (_comment(about) + card_toml(card)).encode(), "--run")
    opener, rest = opener_of(recipe.model.name)
    layers, _ = committed_layers(opened.card, recipe.model.name, needed=(), own=opener.layers(rest))
    layer_map = {area: layers[area] for area in AREAS if area in layers}
    if len(layer_map) < len(AREAS):
        return path, [f"{opened.card.architecture} has no layer map: give --layers, or search one with --model {path}"]
    write_whole(path.with_suffix(".json"), (json.dumps(layer_map, indent=4) + "\n").encode(), "--run")
    return path, []


def _card(card: Card, name: str, weights: Path, training: str) -> Card:
    return dataclasses.replace(
        card,
        identifier=name,
        competition_id=None,
        paper_name=None,
        top1=None,
        title=name,
        training=training,
        weights=Weights(
            weights.name, "bare", sha256=file_sha256(weights), sources=(Source("file", path=weights.name),)
        ),
    )


def _in_words(recipe: Recipe, epoch: int, facts: dict[str, Any]) -> str:
    """One line: recipe, epochs, radius, seed, data, versions."""
    attack = "no adversary" if recipe.objective.kind == "clean" else recipe.adversary.threat
    of = " ".join(f"{name} {version}" for name, version in versions().items())
    return (
        f"recipe {recipe.name}: {recipe.objective.kind}, {attack}, from "
        f"{facts['recipe']['model']['name']}; weights of epoch {epoch}, the first being 0, of {recipe.epochs}; "
        f"seed {recipe.seed}; {facts['data']['images']} images, names and labels {facts['data']['fingerprint'][:12]}; "
        f"{facts['precision']}; {of}"
    )


def _comment(about: dict[str, Any]) -> str:
    """All that is known of the training, above the card."""
    lines = [f"# {key} = {json.dumps(value)}" for key, value in flat(about["run"]).items()]
    return "\n".join(["# Written by `train export`. The run:", *lines]) + "\n"
