"""From the name a user types to a network with committed layers: a table of the kinds of names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from torchvision.models import get_model_weights

from ..engine.recorder import require_precision
from ..plugin.areas import AREAS, AREAS_AND_BEHAVIOR
from ..plugin.card import PREPROCESSINGS, Card, Weights, find_card, load_card
from ..plugin.checkpoint import GIVEN, TORCHVISION, Loaded, build_network, load_network, torchvision_models
from ..plugin.errors import UserError, suggest
from ..plugin.fetching import is_present
from ..plugin.hooks import module_of
from ..plugin.timm_card import identifier_of, timm_card
from .hub_card import hub_card
from .layer_maps import DEFAULT_LAYER_MAP, committed_layers, layer_map_path, layers_beside, searched_with_others
from .model import Model
from .python_file import load_python, python_card, python_layers
from .torchvision_card import load_torchvision, torchvision_card

KINDS = (
    "A model is a card's number or identifier, timm:<name>, torchvision:<name>, hf-hub:<owner>/<name>, "
    "a card my_net.toml, or a Python file my_net.py."
)


class Opener(NamedTuple):
    """How a model of one kind of name is opened.

    Parameters
    ----------
    card : callable, what stands after the prefix -> Card
    load : callable, (card, weights, ema=…, progress=…) -> Loaded
    layers : callable, what stands after the prefix -> area -> layer, of models that bring their own commitment
    """

    card: Callable[[str], Card]
    load: Callable[..., Loaded] = load_network
    layers: Callable[[str], Mapping[str, str]] = lambda _name: {}


def _shipped(name: str) -> Card:
    try:
        return find_card(name)
    except UserError as error:
        libraries = {"timm": timm.is_model(name), TORCHVISION: name in torchvision_models()}
        if any(libraries.values()):
            places = [f"--model {library}:{name}" for library, known in libraries.items() if known]
            library = "timm" if libraries["timm"] else TORCHVISION
            raise UserError(f"'{name}' is a model of {library}: {' or '.join(places)}") from error
        raise UserError(f"{error} {KINDS}") from error


def _simulated(name: str) -> Card:
    """The network that the demo suite's SIMULATED neurons respond with: the calibration of suite and search."""
    from ..demo import ground_truth

    if name != "ground_truth":
        raise UserError(f"unknown model 'demo:{name}'.{suggest(name, ['demo:ground_truth'])}")
    return Card(
        identifier="demo_ground_truth",
        architecture="demo:ground_truth",
        weights=Weights(file="none"),
        preprocessing=ground_truth.PREPROCESSING,
        title="demo:ground_truth",
        training="built by hand",
        num_classes=len(ground_truth.objects.OBJECTS),
        visual_degrees=ground_truth.VISUAL_DEGREES,
        behavior_layer=ground_truth.BEHAVIOR_LAYER,
    )


def _build_simulated(card: Card, weights: object = None, ema: bool = True, progress: object = None) -> Loaded:
    from ..demo.ground_truth import GroundTruthNetwork

    source = "brainscore_submission.demo, no weights"
    return Loaded(GroundTruthNetwork().eval(), {"source": source, "untrained": False})


# What a name begins with, or ends with -> how it is opened; a name without any of these is a card's.
OPENERS: dict[str, Opener] = {
    "timm:": Opener(timm_card),
    f"{TORCHVISION}:": Opener(torchvision_card, load_torchvision),
    "hf-hub:": Opener(hub_card),
    "demo:": Opener(_simulated, _build_simulated, lambda _name: {area: area for area in AREAS}),
    "": Opener(_shipped),
}
FILES: dict[str, Opener] = {
    ".py": Opener(python_card, load_python, python_layers),
    ".toml": Opener(load_card, layers=lambda name: layers_beside(Path(name))),
}


def open_model(
    typed: str,
    *,
    name: str | None = None,
    weights: str | Path | None = None,
    ema: bool = True,
    layer_map: str = DEFAULT_LAYER_MAP,
    layers: Mapping[str, str] | None = None,
    preprocessing: str | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = "float32",
    progress: Callable[[int, int], None] | None = None,
    areas: Sequence[str] = AREAS_AND_BEHAVIOR,
    **for_what: Any,
) -> Model:
    """Open a model by what a user typed.

    Parameters
    ----------
    typed : card identifier, competition number, or one of the prefixes of `OPENERS` and a name
    name : what records and tables will call it; default: see `default_name`
    weights : a file, "untrained" or "untrained:<seed>", or None for the card's sources
    ema : whether moving averages of the weights are taken where the file has them, as timm does
    layer_map : "paper", another named map of the card, or a JSON file
    layers : area -> layer, over those of the layer map and the card
    preprocessing : "crop224" or "squash224"; default the card's
    device : "auto", "cpu", "cuda[:i]" or "mps"
    precision : one of `recorder.PRECISIONS`
    areas : those that will be scored, and so need a layer; none for a layer search, which has no map yet
    **for_what : `held_against` and `simulated` of `layer_maps.committed_layers`

    Raises
    ------
    UserError
        For whatever of this does not exist, before any weights are fetched.
    """
    device = find_device(device)
    require_precision(precision)
    card, committed, map_name = committed_model(typed, layer_map, layers, areas, **for_what)
    if preprocessing is not None:
        if preprocessing not in PREPROCESSINGS:
            raise UserError(f"unknown preprocessing '{preprocessing}'.{suggest(preprocessing, PREPROCESSINGS)}")
        card = dataclasses.replace(card, preprocessing=PREPROCESSINGS[preprocessing])
    if weights is None and card.weights.sources and not is_present(card):
        with torch.device("meta"):
            _require_layers(build_network(card), committed)  # before anything is fetched
    loaded = opener_of(typed)[0].load(card, weights, ema=ema, progress=progress)
    if loaded.num_classes is not None:
        card = dataclasses.replace(card, num_classes=loaded.num_classes)
    _require_layers(loaded.network, committed)  # now, and not after the recording
    if map_name.startswith("searched"):
        map_name += searched_with_others(layer_map_path(card, layer_map), loaded.origin)
    return Model(
        name=name or default_name(card, loaded.origin),
        card=card,
        network=loaded.network,
        origin=loaded.origin | _about(card, loaded),
        weights_file=loaded.file,
        layers=committed,
        layer_map=map_name,
        device=device,
        batch_size=batch_size or (8 if device == "cpu" else 64),
        precision=precision,
    )


def _require_layers(network: torch.nn.Module, committed: Mapping[str, str]) -> None:
    for layer in set(committed.values()):
        module_of(network, layer)


def default_name(card: Card, origin: Mapping[str, Any]) -> str:
    """What a model is called unless its user names it: other weights of one network are another model.

    Its card's identifier; with a file that is not the card's own, the first eight digits of its sha256 behind it; with
    random weights "untrained", and their seed unless it is 0.
    """
    if origin.get("untrained"):
        return f"{card.identifier}-untrained" + (f"-{origin['seed']}" if origin.get("seed") else "")
    given = str(origin.get("note") or "").startswith(GIVEN)
    return f"{card.identifier}-{origin['sha256'][:8]}" if given else card.identifier


def _about(card: Card, loaded: Loaded) -> dict[str, Any]:
    """What a reader of records wants to know of a network: how it was trained, how large and how good it is."""
    own = default_name(card, loaded.origin) == card.identifier
    given = "random weights" if loaded.origin.get("untrained") else f"weights of {loaded.origin['source']}"
    return {
        "training": (card.training or None) if own else given,
        "top1": card.top1 if own else None,
        "parameters": sum(parameter.numel() for parameter in loaded.network.parameters()),
    }


def committed_model(
    typed: str,
    layer_map: str = DEFAULT_LAYER_MAP,
    layers: Mapping[str, str] | None = None,
    areas: Sequence[str] = AREAS_AND_BEHAVIOR,
    **for_what: Any,
) -> tuple[Card, dict[str, str], str]:
    """The card, the layers and what to call these, without weights; parameters as of `open_model`."""
    card = describe(typed)
    opener, rest = opener_of(typed)
    return card, *committed_layers(card, typed, layer_map, layers, areas, own=opener.layers(rest), **for_what)


def describe(typed: str) -> Card:
    """The card of what a user typed, without its weights."""
    opener, rest = opener_of(typed)
    return opener.card(rest)


def opener_of(typed: str) -> tuple[Opener, str]:
    """How a name is opened, and what of it stands after the prefix."""
    if Path(typed).suffix in FILES and ":" not in str(typed):
        return FILES[Path(typed).suffix], str(typed)
    typed = _typed(str(typed))
    prefix = next(prefix for prefix in OPENERS if str(typed).startswith(prefix))
    return OPENERS[prefix], str(typed).removeprefix(prefix)


def _typed(name: str) -> str:
    """What to type for a model that records and tables call by its identifier: timm_resnet18_a1_in1k."""
    prefix, _, rest = name.partition("_")
    if not rest or prefix not in ("timm", TORCHVISION):
        return name
    if prefix == "timm":
        known = [*timm.list_pretrained(), *timm.list_models()]
    else:
        known = [f"{one}.{tag.name}" for one in torchvision_models() for tag in get_model_weights(one)]
    return next((f"{prefix}:{one}" for one in known if identifier_of(f"{prefix}:{one}") == name), name)


def find_device(device: str) -> str:
    """Resolve "auto" (the first CUDA device, or the CPU), and check that the device is there.

    Raises
    ------
    UserError
        For an unknown or absent device.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    elif device == "mps":
        raise UserError("unknown device 'mps': torch finds no GPU of Apple's here. Use --device cpu.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"unknown device '{device}': torch finds no CUDA device here. Use --device cpu.")
    if device not in available and device != "cuda":
        raise UserError(f"unknown device '{device}'.{suggest(device, ['auto', *available])}")
    return device
