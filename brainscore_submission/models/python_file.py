"""A user's own Python file as a model. It is run only where a user names it, `--model my_net.py`, never from results.

import torch
from torch import nn

def load() -> nn.Module:                       # required: the network, with its weights
    network = nn.Sequential(nn.Conv2d(3, 64, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(7), nn.Flatten())
    network.load_state_dict(torch.load("my_net.pt", weights_only=True))
    return network

preprocessing = {"resize_px": 256, "crop_px": 224}  # required: as [preprocessing] of a card, or "crop224"
layers = {"V1": "0", "V4": "1", "IT": "2"}          # may be left away, as all below; --layers goes over it
visual_degrees, training, untrained = 8, "on faces", False
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from ..plugin.areas import AREAS_AND_BEHAVIOR
from ..plugin.card import Card, Preprocessing, Weights, read_preprocessing
from ..plugin.checkpoint import GIVEN, Loaded, fill, is_untrained, origin_facts, read_checkpoint, seeded
from ..plugin.errors import UserError, suggest
from ..plugin.files import file_sha256, hash_file
from ..plugin.timm_card import identifier_of

OF_THE_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib")
MAY_HOLD = ("load", "preprocessing", "layers", "visual_degrees", "training", "untrained")


def python_card(typed: str) -> Card:
    """Describe the model of a file: its network is built once, to see how many classes it tells apart.

    Raises
    ------
    UserError
        there is no such file, it fails, or it lacks what it must hold
    """
    path = Path(typed)
    module = _run(path)
    preprocessing = _preprocessing(module, path)
    network = _network(module, path)
    n_classes = _n_classes(network, preprocessing.input_px, path)
    return Card(
        identifier=identifier_of(path.stem) if path.stem[0].isalpha() else f"model_{identifier_of(path.stem)}",
        architecture=f"{path.name} {_hash_of_making(path, network)}",  # whatever changes it may change an activation
        weights=Weights(file=str(path)),
        preprocessing=preprocessing,
        title=path.name,
        training=getattr(module, "training", ""),
        num_classes=n_classes,
        visual_degrees=getattr(module, "visual_degrees", 8),
    )


def python_layers(typed: str) -> dict[str, str]:
    """Area -> layer, as the file states them."""
    layers = getattr(_run(Path(typed)), "layers", {})
    unknown = [area for area in layers if area not in AREAS_AND_BEHAVIOR]
    if unknown:
        raise UserError(f"{typed}: unknown area '{unknown[0]}' in layers.{suggest(unknown[0], AREAS_AND_BEHAVIOR)}")
    return dict(layers)


def load_python(card: Card, weights: str | Path | None = None, ema: bool = True, progress: object = None) -> Loaded:
    """The file's network; `weights`, if given, over its own, strictly."""
    path = Path(card.weights.file)
    if is_untrained(weights):
        raise UserError(
            f"{path}: its load() says what weights there are. Write `untrained = True` where they are random."
        )
    module = _run(path)
    network = _network(module, path)
    if weights is None:
        untrained = bool(getattr(module, "untrained", False))
        facts = origin_facts(str(path), sha256=_hash(network), untrained=untrained, seed=0 if untrained else None)
        return Loaded(network, facts)
    held = read_checkpoint(weights, ema)
    notes = fill(network, held.tensors, f"{weights} does not fit the network of {path}")
    sha1, sha256 = hash_file(weights)
    note = "; ".join([f"{GIVEN}, over those of {path}", *held.notes, *notes])
    return Loaded(network, origin_facts(str(weights), sha1=sha1, sha256=sha256, note=note))


def _run(path: Path) -> ModuleType:
    if not path.is_file():
        near = [file.name for file in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UserError(f"{path}: no such Python file.{suggest(path.name, near)}")
    spec = importlib.util.spec_from_file_location(f"model_file_{identifier_of(path.stem)}", path)
    module = importlib.util.module_from_spec(spec)
    _forget_imported()
    with _beside(path), _as_user_errors(path):
        spec.loader.exec_module(module)
    if not isinstance(getattr(module, "load", None), Callable):
        raise UserError(
            f"{path} holds no function load() that returns the network. It may hold: {', '.join(MAY_HOLD)}."
        )
    return module


def _network(module: ModuleType, path: Path) -> nn.Module:
    with seeded(0), _beside(path), _as_user_errors(path):
        network = module.load()
    if not isinstance(network, nn.Module):
        raise UserError(f"{path}: load() returned a {type(network).__name__}, and must return a torch.nn.Module.")
    return network.eval().cpu()


def _preprocessing(module: ModuleType, path: Path) -> Preprocessing:
    given: Any = getattr(module, "preprocessing", None)
    if given is None:
        raise UserError(f'{path} states no preprocessing. Write: preprocessing = {{"resize_px": 256, "crop_px": 224}}')
    if isinstance(given, Mapping):
        # A card's triples are lists, because it is TOML.
        given = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
        given = {"name": path.name, **given}
    return read_preprocessing(given, f"{path} preprocessing")


def _n_classes(network: nn.Module, input_px: int, path: Path) -> int:
    with torch.no_grad(), _beside(path), _as_user_errors(path):
        output = network(torch.zeros(1, 3, input_px, input_px))
    return output.shape[1] if isinstance(output, torch.Tensor) and output.ndim == 2 else 0


def _hash(network: nn.Module) -> str:
    """Of all parameters and buffers, those that no checkpoint keeps among them, under their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted((network.state_dict() | dict(network.named_buffers())).items()):
        digest.update(f"{name} {_in_words(tensor)}\n".encode())
    return digest.hexdigest()


_imported: dict[str, Path] = {}  # modules beside the model file that was run last, which it has imported
_opened: set[Path] = set()  # files that were opened to be read while it ran, or its network
_watching = False


@functools.cache
def _watch_files() -> None:
    """Note what is opened, from now on: Python has no way to take such a hook away."""

    def note(event: str, arguments: tuple) -> None:
        if not _watching or event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path, mode, flags = arguments
        written = set(mode) & set("wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
        if not written:
            _opened.add(Path(os.fsdecode(path)).resolve())

    sys.addaudithook(note)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Modules that lie beside the file can be imported by it, as where Python runs it; files it reads are noted."""
    global _watching
    folder, before = path.absolute().parent, set(sys.modules)
    sys.path.insert(0, str(folder))
    _watch_files()
    _watching = True
    try:
        yield
    finally:
        _watching = False
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = Path(getattr(sys.modules[name], "__file__", None) or "")
            ours = name.split(".")[0] == __name__.split(".")[0]
            if folder in file.absolute().parents and "site-packages" not in file.parts and not ours:
                _imported[name] = file.absolute()


def _forget_imported() -> None:
    """So that the next file imports its own: two may call a module `blocks`, and one may have been edited."""
    for name in _imported:
        sys.modules.pop(name, None)
    _imported.clear()
    _opened.clear()
    importlib.invalidate_caches()


def _hash_of_making(path: Path, network: nn.Module) -> str:
    """Of the file that was run last, of what it imported beside it and what it read, and how its modules are set.

    Left out is what comes with the system, and with Python's packages: their versions are in every fingerprint.
    """
    with_python = [Path(one).resolve() for one in (sys.prefix, sys.base_prefix, Path(__file__).parent.parent)]
    read = {
        file
        for file in _opened
        if file.is_file()
        and file.parent.name != "__pycache__"
        and not str(file).startswith(OF_THE_SYSTEM)
        and not any(file.is_relative_to(place) for place in with_python)
    }
    files = sorted({path.resolve(), *(file.resolve() for file in _imported.values()), *read})
    facts: list[tuple] = [(os.path.relpath(file, path.resolve().parent), file_sha256(file)) for file in files]
    plain = vars(nn.Module()).keys()
    for name, module in network.named_modules():
        settings = {key: _in_words(value) for key, value in sorted(vars(module).items()) if key not in plain}
        facts.append((name, type(module).__qualname__, settings))
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _in_words(value: Any) -> str:
    """The same for the same value in every process: numbers, words and arrays whole, all else by its kind."""
    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(flat.view(torch.uint8).numpy()).hexdigest()}"
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype} {value.shape} {hashlib.sha256(np.ascontiguousarray(value)).hexdigest()}"
    if isinstance(value, Mapping):
        return repr([(repr(key), _in_words(held)) for key, held in value.items()])
    if isinstance(value, list | tuple):
        return repr([_in_words(held) for held in value])
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        return repr(value)
    return getattr(value, "__qualname__", type(value).__qualname__)


@contextlib.contextmanager
def _as_user_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (Exception, SystemExit) as error:  # a user's own code may raise anything
        trace, line = error.__traceback__, "?"
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == str(path.absolute()):
                line = str(trace.tb_lineno)
            trace = trace.tb_next
        hint = ""
        if isinstance(error, SystemExit):
            hint = '\nIt ends the program, as argparse does: put that part under `if __name__ == "__main__":`.'
        raise UserError(f"{path}, line {line}: {type(error).__name__}: {error}{hint}") from error
