"""A list of models in a TOML file: what stands after --model, and what is to be said of each."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ..plugin.errors import UserError, suggest


@dataclass(frozen=True)
class Checkpoint:
    """One model of a list.

    Parameters
    ----------
    source : as after --model
    name : what records and tables call it; default as of `open_model`
    weights : a file, beside the list or with a path, or "untrained"
    epoch : of training, for tables
    """

    source: str
    name: str | None = None
    weights: str | None = None
    epoch: int | None = None


def read_checkpoints(path: Path) -> list[Checkpoint]:
    """Read a list of `[[model]]` tables with the fields of `Checkpoint`.

    Raises
    ------
    UserError
        no such file, no TOML, a field that is unknown, missing or of another kind, the same model twice
    """
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no TOML file: {error}.") from error
    tables = listed.get("model")
    if set(listed) != {"model"} or not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise UserError(f'{path}: expected tables [[model]] with source = "…", and nothing else.')
    found = [_checkpoint(table, f"{path}, model {number}", path.parent) for number, table in enumerate(tables, start=1)]
    require_different(found)
    return found


def require_different(listed: Sequence[Checkpoint]) -> None:
    """Refuse two models that tables could not tell apart.

    Raises
    ------
    UserError
    """
    said = [(one.name or one.source, one.epoch) for one in listed]
    twice = next((one for one in said if said.count(one) > 1), None)
    if twice:
        raise UserError(f"'{twice[0]}' stands twice in the list of models: give each a name of its own.")


def _checkpoint(table: dict, where: str, beside: Path) -> Checkpoint:
    known = {field.name: int if field.name == "epoch" else str for field in fields(Checkpoint)}
    unknown = next((key for key in table if key not in known), None)
    if unknown:
        raise UserError(f"{where}: unknown key '{unknown}'.{suggest(unknown, known)}")
    wrong = next((key for key, value in table.items() if type(value) is not known[key]), None)
    if wrong or "source" not in table:
        raise UserError(f"{where}: '{wrong or 'source'}' has to be {'a whole number' if wrong == 'epoch' else 'text'}.")
    weights = table.get("weights")
    if weights and (beside / weights).is_file():
        weights = str(beside / weights)
    return Checkpoint(**table | {"weights": weights})
