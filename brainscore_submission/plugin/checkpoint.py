"""Card -> network: the weights verified, read without running any code, and loaded strictly.

Where the file comes from is in ``fetching.py``.
"""

import argparse
import contextlib
import json
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file as load_safetensors
from torch import Tensor, nn

from .card import Card
from .errors import UserError, suggest
from .fetching import Progress, WeightsFile, fetch_file, owner
from .files import hash_file

UNTRAINED = "untrained"
GIVEN = "given by --weights"  # begins the note on a file that is not the card's own
TORCHVISION = "torchvision"  # before the colon of an architecture that is not timm's
SUFFIXES = (".pt", ".pth", ".tar", ".bin", ".ckpt", ".safetensors")
WRAPPER_PREFIX = "module."  # put before every key by torch.nn.DataParallel
NAMED_KEYS = 3
MSDOS_FOLDER = 0x10

# A pickle is a program, and a damaged one can raise anything a program does.
DAMAGE = (RuntimeError, EOFError, LookupError, ValueError, AttributeError, TypeError, AssertionError, struct.error)
# What reading a damaged archive raises.
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, EOFError, ValueError, OverflowError, struct.error)


@dataclass(frozen=True)
class Loaded:
    """A network with its weights.

    Parameters
    ----------
    network : in eval mode, on the CPU
    origin : for the record: source, sha1, sha256, note, untrained, seed
    """

    network: nn.Module
    origin: dict[str, Any]


def load_network(
    card: Card,
    weights: str | Path | None = None,
    *,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Loaded:
    """Build the card's network and load its weights.

    Parameters
    ----------
    weights : None for the card's own, a path to a checkpoint, or "untrained" or "untrained:7" for random weights
    seed : of the untrained network, where `weights` names none; the global random state is left alone
    cache, progress : see `fetching.fetch`

    Raises
    ------
    UserError
        nothing could be fetched; the file is damaged, holds code, is another model's, or does not fit
    """
    if is_untrained(weights):
        seed = int(str(weights).partition(":")[2] or seed)
        return Loaded(build_network(card, seed), origin_facts(UNTRAINED, untrained=True, seed=seed))
    if weights is None:
        file, note = fetch_file(card, cache, progress), None
        if card.weights.sha1 is None and card.weights.sha256 is None:
            note = "the card states no hash to compare this file with"
    else:
        file, note = _given(card, Path(weights).expanduser())
    layout, tensors = read_checkpoint(file.path)
    if weights is None and card.weights.layout not in (layout, "timm"):
        raise UserError(
            f"{file.path}: the card of {card.name} says layout {card.weights.layout!r}, the file has {layout!r}. "
            f"Correct the card."
        )
    network = _fitted(card, tensors, file.path, from_hub=weights is None)
    return Loaded(network, origin_facts(file.source, sha1=file.sha1, sha256=file.sha256, note=note))


def build_network(card: Card, seed: int = 0) -> nn.Module:
    """The card's network with seeded random weights, in eval mode, on the CPU."""
    return _create(card, seed, num_classes=card.num_classes)


def read_checkpoint(path: str | Path) -> tuple[str, dict[str, Tensor]]:
    """The layout of a checkpoint (see `card.LAYOUTS`), and its tensors under the network's own names.

    Raises
    ------
    UserError
        the file is missing, damaged, cut short, holds code, or holds no state dict
    """
    path = Path(path)
    return _unwrapped(_read(path), path)


def is_untrained(weights: str | Path | None) -> bool:
    """Whether random weights are asked for.

    >>> is_untrained("untrained"), is_untrained("untrained:7"), is_untrained("untrained.pt"), is_untrained(None)
    (True, True, False, False)
    """
    return re.fullmatch(rf"{UNTRAINED}(:\d+)?", str(weights)) is not None


def origin_facts(source: str, **facts: Any) -> dict[str, Any]:
    """Where weights came from, as a record keeps it."""
    empty = {"source": source, "sha1": None, "sha256": None, "note": None, "untrained": False, "seed": None}
    return empty | facts


def _given(card: Card, path: Path) -> tuple[WeightsFile, str | None]:
    """A file the user named: another known model's is refused, an unknown one accepted with a note."""
    _demand_file(path)
    sha1, sha256 = hash_file(path)
    other = owner(sha1, card)
    if other is not None:
        raise UserError(
            f"{path}: this is {other.name}'s checkpoint; you asked for {card.name}. "
            f"Use --model {other.name}, or give {card.name}'s file ({card.weights.file})."
        )
    note = None if sha1 == card.weights.sha1 else f"{GIVEN}; its hash is not that of {card.name}'s file"
    return WeightsFile(path, sha1, sha256, str(path)), note


def _demand_file(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the checkpoint file itself.")
    if not path.is_file():
        near = [file.name for file in path.parent.glob("*") if file.suffix in SUFFIXES] if path.parent.is_dir() else []
        raise UserError(f"{path}: no such checkpoint file.{suggest(path.name, near)}")


# --- reading a file: the container is told by its first bytes ---


def _read(path: Path) -> Any:
    _demand_file(path)
    with path.open("rb") as file:
        head = file.read(9)
    if not head:
        raise UserError(f"{path} is empty.")
    if head.startswith(b"PK"):
        _check_zip(path)
        return _read_torch(path)
    if head[:1] == b"\x80":  # torch.save before PyTorch 1.6
        return _read_torch(path)
    if path.suffix == ".safetensors" or head[8:] == b"{":
        return _read_safetensors(path)
    raise UserError(f"{path} is neither a PyTorch checkpoint nor a .safetensors file.")


def _check_zip(path: Path) -> None:
    """Compare the checksums: torch.load ignores them and would load a flipped byte."""
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path} is cut short: the end of the archive is missing. Fetch it again.")
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            damaged = [record.filename for record in records if not _is_sound(archive, record)]
    except ZIP_DAMAGE as error:
        raise UserError(f"{path} is damaged: its table of contents cannot be read. Fetch it again.") from error
    # torch.serialization.set_crc32_options(False) writes no checksum anywhere; then there is nothing to compare.
    if damaged and len(damaged) < len(records):
        raise UserError(f"{path} is damaged: {damaged[0]} fails its checksum. Fetch it again.")


def _is_sound(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> bool:
    if record.external_attr & MSDOS_FOLDER:  # torch.load would leave such a tensor as the memory happens to be
        return False
    try:
        with archive.open(record) as content:
            while content.read(1 << 20):
                pass
    except ZIP_DAMAGE:
        return False
    return True


def _read_torch(path: Path) -> Any:
    try:
        # argparse.Namespace: timm's own train.py saves its options beside the weights. It runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is None:
            raise UserError(f"{path} is damaged or not a PyTorch checkpoint. Fetch it again.") from error
        raise UserError(
            f"{path} holds more than weights: reading it would run {code[1]}, so it is refused. "
            f"Save it again as torch.save({{'state_dict': network.state_dict()}}, path) where you trust it."
        ) from error
    except DAMAGE as error:
        raise UserError(f"{path} is damaged or cut short. Fetch it again.") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_safetensors(path)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is damaged or cut short ({error}). Fetch it again.") from error


# --- the four layouts, told apart by their structure ---


def _unwrapped(content: Any, path: Path) -> tuple[str, dict[str, Tensor]]:
    if _is_state_dict(content):
        return "bare", _without_prefix(content)
    wrapped = [
        key for key in ("state_dict", "model") if isinstance(content, Mapping) and _is_state_dict(content.get(key))
    ]
    if len(wrapped) == 2:
        raise UserError(f"{path} holds tensors under both 'state_dict' and 'model': save the one you mean.")
    if not wrapped:
        held = ", ".join(map(repr, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
        raise UserError(
            f"{path} holds no state dict. Expected tensors at the top, or under 'state_dict' or 'model'; found {held}."
        )
    tensors = content[wrapped[0]]
    layout = "training" if wrapped == ["state_dict"] and _is_prefixed(tensors) else wrapped[0]
    return layout, _without_prefix(tensors)


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    )


def _is_prefixed(tensors: Mapping[str, Tensor]) -> bool:
    return all(key.startswith(WRAPPER_PREFIX) for key in tensors)


def _without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    cut = len(WRAPPER_PREFIX) if _is_prefixed(tensors) else 0
    return {key[cut:]: value for key, value in tensors.items()}


# --- building and fitting ---


def _create(card: Card, seed: int, **options: Any) -> nn.Module:
    library, colon, name = card.architecture.rpartition(":")
    if library == TORCHVISION:
        is_known, known, create = name in torchvision_models(), torchvision_models, _create_in_torchvision
    else:
        is_known, known, create = timm.is_model(card.architecture), timm.list_models, timm.create_model
    if not is_known:
        raise UserError(
            f"{card.identifier}: {library or 'timm'} knows no {name!r}.{suggest(name, known())} "
            f"An architecture is a name of timm, or {TORCHVISION}:<name>."
        )
    with seeded(seed):
        return create(name, **options).eval()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random weights that are drawn in here are the same each time; the generators outside are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: torch.manual_seed would reseed CUDA too
        yield


def torchvision_models() -> list[str]:
    """Names of torchvision's image classifiers."""
    return torchvision.models.list_models(module=torchvision.models)


def _create_in_torchvision(name: str, num_classes: int) -> nn.Module:
    # What torchvision itself sets where it loads trained weights: these two turn ImageNet's normalisation back.
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"transform_input": True, "aux_logits": True, "init_weights": False}
    return torchvision.models.get_model(name, weights=None, num_classes=num_classes, **options)


def _as_named_today(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's files of DenseNet are older than its code: "denselayer1.norm.1" is "denselayer1.norm1" today."""
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
    return {old.sub(r"\1\2", key): value for key, value in tensors.items()}


def _fitted(card: Card, tensors: dict[str, Tensor], path: Path, from_hub: bool) -> nn.Module:
    network = build_network(card)
    # timm's hub files are loaded as timm loads them; a user's own file may be either timm's or the network's.
    if card.weights.layout == "timm" and (from_hub or _differences(network, tensors)):
        return _renamed_by_timm(card, tensors, f"{path} does not fit {card.architecture}")
    if card.architecture.startswith(f"{TORCHVISION}:"):
        tensors = _as_named_today(tensors)
    fill(network, tensors, f"{path} does not fit {card.architecture}")
    return network


def fill(network: nn.Module, tensors: Mapping[str, Tensor], complaint: str) -> None:
    """Give a network its weights: exactly those that it has.

    Raises
    ------
    UserError
        `complaint`, and which keys are missing, unexpected or mis-shaped
    """
    if differences := _differences(network, tensors):
        raise UserError(f"{complaint}: {differences}.")
    network.load_state_dict(tensors, strict=True)


def _renamed_by_timm(card: Card, tensors: dict[str, Tensor], complaint: str) -> nn.Module:
    """Let timm's own filter bring the hub's keys to the network's, then load them as strictly."""
    overlay = {"state_dict": tensors, "num_classes": card.num_classes}
    try:
        return _create(card, 0, pretrained=True, num_classes=card.num_classes, pretrained_cfg_overlay=overlay)
    except (RuntimeError, KeyError) as error:
        raise UserError(f"{complaint}: {_differences(build_network(card), tensors)}.") from error


def _differences(network: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """Missing, unexpected and mis-shaped keys in words; empty if there are none."""
    expected = network.state_dict()
    missing = [key for key in expected if key not in tensors]
    unexpected = [key for key in tensors if key not in expected]
    misshaped = [
        f"{key} is {tuple(tensors[key].shape)}, must be {tuple(value.shape)}"
        for key, value in expected.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "mis-shaped": misshaped}
    return "; ".join(f"{len(keys)} {kind} ({_first(keys)})" for kind, keys in kinds.items() if keys)


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:NAMED_KEYS]) + (", …" if len(keys) > NAMED_KEYS else "")
