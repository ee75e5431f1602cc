"""Card -> network: the weights verified, read without running any code, and loaded strictly.

Where the file comes from is in ``fetching.py``.
"""

import argparse
import codecs
import contextlib
import json
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file as load_safetensors
from torch import Tensor, nn

from . import architectures as architectures
from .card import GIVEN, Card
from .errors import UserError, suggest
from .fetching import Progress, WeightsFile, fetch_file, owner
from .files import hash_file
from .state_dict import Held, as_numbers_of, first_of, under_own_names, unwrapped

UNTRAINED = "untrained"
TORCHVISION = "torchvision"  # before the colon of an architecture that is not timm's
SUFFIXES = (".pt", ".pth", ".tar", ".bin", ".ckpt", ".safetensors")
MSDOS_FOLDER = 0x10

# What lies beside the weights of many files and runs nothing: timm's own train.py saves its options, others the best
# accuracy as a number of numpy, or the path of a run. Files name the functions of numpy 1 or of numpy 2.
NUMPY = {"scalar": np.float64(0).__reduce__()[0], "_reconstruct": np.zeros(1).__reduce__()[0]}
HARMLESS = [
    argparse.Namespace,
    np.dtype,
    np.ndarray,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")),
    *((function, f"numpy.{core}.multiarray.{name}") for name, function in NUMPY.items() for core in ("core", "_core")),
    (codecs.encode, "_codecs.encode"),
    *(
        (PurePath, f"pathlib{local}.{name}")
        for local in ("", "._local")
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
    ),
]

# How files begin that are taken for checkpoints by mistake.
OTHER_FILES = {
    b"version https://git-lfs": "a pointer of git-lfs, not the file itself: fetch it with git lfs pull",
    b"<!doctype": "a web page: the address led to a page about the file, or to a login. Fetch the file itself",
    b"<html": "a web page: the address led to a page about the file, or to a login. Fetch the file itself",
    b"\x89hdf": "an HDF5 file, as Keras writes it: convert it to a state dict of torch first",
    b"\x93numpy": "a NumPy array: convert it to a state dict of torch first",
    b"\x1f\x8b": "compressed: unpack it first (gunzip, or tar -xzf)",
}

MOST_INFLATED = 50  # times a file's size; torch itself compresses nothing
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
    origin : for the record: source, sha1, sha256, note, untrained, seed, ema
    num_classes : of its class output, where it is not the card's; 0 without one
    file : that the weights were read from, of the sha256 in `origin`; None without one
    """

    network: nn.Module
    origin: dict[str, Any]
    num_classes: int | None = None
    file: Path | None = None


def load_network(
    card: Card,
    weights: str | Path | None = None,
    *,
    seed: int = 0,
    ema: bool = True,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Loaded:
    """Build the card's network and load its weights.

    Parameters
    ----------
    weights : None for the card's own, a path to a checkpoint, or "untrained" or "untrained:7" for random weights
    seed : of the untrained network, where `weights` names none; the global random state is left alone
    ema : whether moving averages of the weights are taken where the file has them, as timm does
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
    held = read_checkpoint(file.path, ema)
    if weights is None and card.weights.layout not in (held.layout, "timm"):
        raise UserError(
            f"{file.path}: the card of {card.name} says layout {card.weights.layout!r}, the file has {held.layout!r}. "
            f"Correct the card."
        )
    network, notes, num_classes = _fitted(card, held.tensors, file.path, from_hub=weights is None)
    note = "; ".join(filter(None, [note, *held.notes, *notes])) or None
    facts = {"sha1": file.sha1, "sha256": file.sha256, "note": note} | ({} if ema else {"ema": False})
    return Loaded(network, origin_facts(file.source, **facts), num_classes, file.path)


def build_network(card: Card, seed: int = 0) -> nn.Module:
    """The card's network with seeded random weights, in eval mode, on the CPU."""
    return _create(card, seed, num_classes=card.num_classes)


def read_checkpoint(path: str | Path, ema: bool = True) -> Held:
    """The layout of a checkpoint (see `card.LAYOUTS`), its tensors, and notes on what was chosen.

    Raises
    ------
    UserError
        the file is missing, damaged, cut short, holds code, or holds no state dict
    """
    path = Path(path)
    return unwrapped(_read(path), path, ema)


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
        head = file.read(64)
    if not head:
        raise UserError(f"{path} is empty.")
    for begins, what in OTHER_FILES.items():
        if head.lstrip().lower().startswith(begins):
            raise UserError(f"{path} is {what}.")
    if head.startswith(b"PK"):
        _check_zip(path)
        return _read_torch(path)
    if head[:1] == b"\x80":  # torch.save before PyTorch 1.6
        return _read_torch(path)
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        return _read_safetensors(path)
    raise UserError(f"{path} is neither a PyTorch checkpoint nor a .safetensors file.")


def _check_zip(path: Path) -> None:
    """Compare the checksums: torch.load ignores them and would load a flipped byte."""
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path} is cut short: the end of the archive is missing. Fetch it again.")
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            _demand_torch_archive(path, archive.namelist())
            if sum(record.file_size for record in records) > MOST_INFLATED * path.stat().st_size:
                raise UserError(f"{path} is damaged: it announces far more bytes than it holds. Fetch it again.")
            damaged = [record.filename for record in records if not _is_sound(archive, record)]
    except ZIP_DAMAGE as error:
        raise UserError(f"{path} is damaged: its table of contents cannot be read. Fetch it again.") from error
    # torch.serialization.set_crc32_options(False) writes no checksum anywhere; then there is nothing to compare.
    if damaged and len(damaged) < len(records):
        raise UserError(f"{path} is damaged: {damaged[0]} fails its checksum. Fetch it again.")


def _demand_torch_archive(path: Path, names: list[str]) -> None:
    if any("/code/" in name and name.endswith(".py") for name in names):
        raise UserError(
            f"{path} is TorchScript, a program, and is not run. Save the weights alone: "
            "torch.save(torch.jit.load(path).state_dict(), 'weights.pt')."
        )
    if names and all(name.endswith(".npy") for name in names):
        raise UserError(
            f"{path} is a NumPy archive, as JAX models are saved: convert it to a state dict of torch first."
        )


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
        # torch warns of protocols that it has not been tried with: what comes of them is checked.
        with torch.serialization.safe_globals(HARMLESS), warnings.catch_warnings(action="ignore"):
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
    except MemoryError as error:
        raise UserError(f"{path} asks for more memory than is free: it is damaged or too large.") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
    if not 0 < n_header <= path.stat().st_size - 8:
        raise UserError(f"{path} is damaged or cut short (its header does not fit into it). Fetch it again.")
    try:
        return load_safetensors(path)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is damaged or cut short ({error}). Fetch it again.") from error


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


def _fitted(
    card: Card, tensors: dict[str, Tensor], path: Path, from_hub: bool
) -> tuple[nn.Module, list[str], int | None]:
    """The network, what a reader should know of its weights, and its number of classes if that is not the card's."""
    complaint = f"{path} does not fit {card.architecture}"
    if card.architecture.startswith(f"{TORCHVISION}:"):
        tensors = _as_named_today(tensors)
    network, head = build_network(card), _head(card)
    tensors, notes = under_own_names(tensors, [key for key in network.state_dict() if key not in head], path)
    # timm's hub files are loaded as timm loads them; a user's own file may be either timm's or the network's.
    if card.weights.layout == "timm" and (from_hub or _differences(network, tensors)):
        num_classes = None if from_hub else _classes(head, tensors, card)
        card = card if num_classes is None else replace(card, num_classes=num_classes)
        return _renamed_by_timm(card, tensors, complaint), [*notes, *_on_classes(num_classes)], num_classes
    num_classes = None if from_hub else _classes(head, tensors, card)
    if num_classes is not None:
        network = build_network(replace(card, num_classes=num_classes))
    return network, [*notes, *_on_classes(num_classes), *fill(network, tensors, complaint)], num_classes


def _head(card: Card) -> dict[str, torch.Size]:
    """Shapes of the tensors that the number of classes changes: those of the class output."""
    with torch.device("meta"):
        ours, another = (
            build_network(replace(card, num_classes=n)).state_dict() for n in (card.num_classes, card.num_classes + 1)
        )
    return {key: value.shape for key, value in ours.items() if value.shape != another[key].shape}


def _classes(head: Mapping[str, torch.Size], tensors: Mapping[str, Tensor], card: Card) -> int | None:
    """The number of classes of a file whose class output is another one, 0 if it has none; None if it is the card's."""
    given = {key: tensors[key].shape for key in head if key in tensors}
    if not given:
        return 0 if head and ":" not in card.architecture else None
    shapes = {(shape[0], *head[key][1:]) == tuple(shape) for key, shape in given.items() if len(shape)}
    found = {shape[0] for shape in given.values() if len(shape)}
    if len(given) < len(head) or shapes != {True} or len(found) != 1 or found == {card.num_classes}:
        return None
    return found.pop()


def _on_classes(num_classes: int | None) -> list[str]:
    if num_classes is None:
        return []
    return [f"its class output has {num_classes} classes" if num_classes else "it has no class output"]


def fill(network: nn.Module, tensors: Mapping[str, Tensor], complaint: str) -> list[str]:
    """Give a network its weights: exactly those that it has, behind one common prefix or none.

    Returns
    -------
    list of str, what a reader should know of them

    Raises
    ------
    UserError
        `complaint`, and which keys are missing, unexpected, mis-shaped or no such numbers
    """
    expected = network.state_dict()
    tensors, notes = under_own_names(tensors, expected, complaint.partition(" does not fit")[0])
    if differences := _differences(network, tensors):
        raise UserError(f"{complaint}: {differences}.")
    notes += as_numbers_of(expected, tensors, complaint)
    network.load_state_dict(tensors, strict=True)
    return notes


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
    return "; ".join(f"{len(keys)} {kind} ({first_of(keys)})" for kind, keys in kinds.items() if keys)
