"""Several models to be scored alike: named one by one on the command line, or in a TOML file.

    [[models]]
    model = "timm:resnet18"                  # as after --model
    name = "resnet18, fine-tuned"            # what records and tables call it; may be left away, as all below
    weights = "best.pth"                     # a file, "untrained", "untrained:7"
    layers = {V1 = "layer1", IT = "layer4"}  # or "V1=layer1,IT=layer4", or "search"
    layer_map = "paper"
    preprocessing = "crop224"

Files are found from the folder of the TOML file. What an entry leaves away is taken from the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..asked import Asked
from ..plugin.errors import UserError, suggest
from ..plugin.files import read_toml
from ..scoring.naming import folder_name

KEYS = ("model", "name", "weights", "layers", "layer_map", "preprocessing")
FILES = (".pt", ".pth", ".tar", ".bin", ".ckpt", ".safetensors", ".py", ".toml", ".json")


def asked_of_each(models: Sequence[str], list_file: Path | None, common: Asked) -> list[Asked]:
    """What is asked of each model.

    Parameters
    ----------
    models : as typed after each --model
    list_file : of --models
    common : what is asked of all of them

    Raises
    ------
    UserError
        The file cannot be used, the records of two names would lie in one folder, or a model stands twice.
    """
    entries = [{"model": one} for one in models] + (model_entries(list_file) if list_file else [])
    if common.name and len(entries) > 1:
        raise UserError(
            f"--name calls one model, and {len(entries)} are given. Name each in a file: --models models.toml"
        )
    each = [replace(common, **entry) for entry in entries]
    named: dict[str, str] = {}  # folder of records -> name
    for number, one in enumerate(each):
        if one in each[:number]:
            what = f"'{one.model}' with the same weights stands twice"
        elif one.name and (other := named.setdefault(folder_name(one.name), "")):
            what = f"'{one.name}' stands twice" if other == one.name else f"'{other}' stands beside '{one.name}'"
        else:
            named |= {folder_name(one.name): one.name} if one.name else {}
            continue
        raise UserError(f"{what} among the models: their records would lie in one place.")
    return each


def model_entries(path: Path, also: Mapping[str, type] | None = None) -> list[dict[str, Any]]:
    """The models of a list: fields of `Asked`, and what else a command wants to know of each.

    Parameters
    ----------
    path : of the TOML file
    also : key -> kind of its value, beside `KEYS`

    Raises
    ------
    UserError
        The file cannot be used.
    """
    content = read_toml(path, "list of models")
    models = content.pop("models", [])
    if content or not isinstance(models, list) or not models:
        found = f"found {', '.join(content)}" if content else "found none"
        raise UserError(f'{path}: expected tables [[models]], each with model = "…"; {found}.')
    also = also or {}
    return [_entry(one, f"{path}, model {number}", path.parent, also) for number, one in enumerate(models, 1)]


def _entry(entry: Any, where: str, folder: Path, also: Mapping[str, type]) -> dict[str, Any]:
    entry = dict(entry)
    more = {key: entry.pop(key) for key in also if key in entry}
    for key, value in more.items():
        if type(value) is not also[key]:
            raise UserError(f"{where}: {key} must be {'a whole number' if also[key] is int else 'text'}.")
    unknown = [key for key in entry if key not in KEYS]
    if unknown:
        raise UserError(f"{where}: unknown key '{unknown[0]}'.{suggest(unknown[0], (*KEYS, *also))}")
    if isinstance(entry.get("layers"), dict):
        entry["layers"] = ",".join(f"{area}={layer}" for area, layer in entry["layers"].items())
    entry = {key: str(value) if key == "model" else value for key, value in entry.items()}  # 991 may stand as a number
    wrong = [key for key, value in entry.items() if not isinstance(value, str) or not value.strip()]
    if wrong or "model" not in entry:
        raise UserError(f'{where}: {wrong[0] if wrong else "model"} must be text, such as model = "timm:resnet18".')
    return more | {
        key: _found_from(folder, value) if key in ("model", "weights", "layer_map") else value
        for key, value in entry.items()
    }


def _found_from(folder: Path, value: str) -> str:
    is_file = value.endswith(FILES) and ":" not in value
    return str(folder / value) if is_file else value
