"""What a run is and how far it is, on the disk: whole files, the last state kept until the next one is read back.

A run folder holds ``run.json`` (what was asked for), ``state.json`` (which state counts, and its sha256),
``state-<step>.pt``, ``epochs/epoch_<number>.safetensors`` and ``log.jsonl``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from ..plugin.errors import UserError
from ..plugin.files import read_json, require_writable_folder, sweep, write_whole, writing_to
from .recipes import flat

RUN, IMAGES, STATE, LOG = "run.json", "images.json", "state.json", "log.jsonl"


@contextlib.contextmanager
def held(run: Path) -> Iterator[None]:
    """The run folder, made where it is missing, for this process alone; what a kill left half written is removed.

    Raises
    ------
    UserError
        it cannot be written, or another process trains into it
    """
    require_writable_folder(run, "--run")
    try:
        with FileLock(run / ".lock", timeout=0):
            sweep(run)
            yield
    except Timeout as error:
        raise UserError(
            f"another process trains into {run}. Wait for it, or give another folder with --run."
        ) from error


def require_same_run(run: Path, facts: Mapping[str, Any]) -> None:
    """Write down what is asked for; of a run that goes on, refuse whatever differs.

    Parameters
    ----------
    facts : recipe, data, precision …

    Raises
    ------
    UserError
        with the first difference, both values
    """
    path, asked = run / RUN, json.loads(json.dumps(dict(facts)))
    if not path.is_file():
        if (run / STATE).is_file():
            raise UserError(f"{run} holds a state without {RUN}: it cannot be said of which run. Give another --run.")
        write_whole(path, json.dumps(asked, indent=1).encode(), "--run")
        return
    before, asked = flat(read_object(path)), flat(asked)
    for key in dict.fromkeys([*before, *asked]):
        if before.get(key) != asked.get(key):
            raise UserError(
                f"{run} is of another run: {key} was {_shown(before.get(key))}, now it is {_shown(asked.get(key))}.\n"
                "Give what it began with, or another folder with --run."
            )


def changed_images(run: Path, hashes: Mapping[str, str]) -> list[str]:
    """Names of images that are no longer what they were when the run began, which notes them here.

    Parameters
    ----------
    hashes : name -> sha256
    """
    path = run / IMAGES
    if not path.is_file():
        write_whole(path, json.dumps(dict(hashes)).encode(), "--run")
    before = read_object(path)
    return [name for name, sha in hashes.items() if before.get(name, sha) != sha]


def _shown(value: Any) -> str:
    return "not stated" if value is None else json.dumps(value)


def save_state(run: Path, step: int, facts: Mapping[str, Any]) -> None:
    """Write a state, read it back, and only then let it count and remove the one before.

    Parameters
    ----------
    step : steps done
    facts : what goes on from there: tensors, numbers and text in dicts and lists

    Raises
    ------
    UserError
        it cannot be written, or what was read back is not what was written; the state before still counts
    """
    buffer = io.BytesIO()
    torch.save(dict(facts), buffer)
    content = buffer.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    # Of one step there may be two states, before and after validation: neither may take the other's place.
    path = write_whole(run / f"state-{step}-{sha256[:8]}.pt", content, "--run")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        path.unlink()
        raise UserError(f"{path} does not read back as it was written: the disk is failing. The state before is kept.")
    pointer = {"file": path.name, "sha256": sha256, "step": step}
    write_whole(run / STATE, json.dumps(pointer).encode(), "--run")
    for old in run.glob("state-*.pt"):
        if old != path:
            old.unlink()


def load_state(run: Path, device: str) -> dict[str, Any] | None:
    """The state that counts; None where there is none yet.

    Raises
    ------
    UserError
        its file is missing, is not the one that was written, or holds more than tensors and numbers
    """
    if not (run / STATE).is_file():
        return None
    pointer = read_object(run / STATE)
    name = str(pointer.get("file"))
    path = run / name
    if Path(name).name != name or not path.is_file():
        raise UserError(f"{run / STATE} names {name}, which is not there. Start again in another folder.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != pointer.get("sha256"):
        raise UserError(f"{path} is damaged: its sha256 is not that of {STATE}. Start again in another folder.")
    try:
        return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"{path} holds more than a state, and is not read: it could run code.") from error


def epoch_path(run: Path, epoch: int) -> Path:
    """Where the weights at the end of an epoch lie; epochs count from 0."""
    return run / "epochs" / f"epoch_{epoch}.safetensors"


def save_epoch(run: Path, epoch: int, tensors: Mapping[str, Tensor]) -> Path:
    """Write the weights of an epoch, which `export` takes; the same weights give the same bytes."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return write_whole(epoch_path(run, epoch), safetensors_bytes(whole), "--run")


class Log:
    """`log.jsonl`, a line a row; and TensorBoard, where it is installed.

    Parameters
    ----------
    run : folder
    step, epochs : steps and validations done; rows of later ones are of work that a kill has undone, and are removed
    """

    def __init__(self, run: Path, step: int, epochs: int):
        self._path = run / LOG
        rows = [row for row in read_log(run) if row["step"] <= step]
        rows = [row for row in rows if row.get("kind") != "validation" or row["epoch"] < epochs]
        write_whole(self._path, "".join(f"{json.dumps(row)}\n" for row in rows).encode(), "--run")
        self._board = None
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(run / "tensorboard", purge_step=step)

    def write(self, **row: Any) -> None:
        """Add a row; `step` is one of its values."""
        with writing_to(self._path, "--run"), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
        if self._board is not None:
            for name, value in row.items():
                if isinstance(value, int | float) and name != "step":
                    self._board.add_scalar(name, value, row["step"])


def read_log(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's log; a last line that a kill cut short is passed over.

    Raises
    ------
    UserError
        a line that is no row
    """
    path = run / LOG
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    rows = []
    for number, line in enumerate(lines[:-1], 1):  # a whole line ends in a line break
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise UserError(f"{path}, line {number} is no JSON. Remove it; the state does not need it.") from error
        if not isinstance(rows[-1], dict) or not isinstance(rows[-1].get("step"), int):
            raise UserError(f"{path}, line {number} is no row with a step. Remove it; the state does not need it.")
    return rows


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object of a run folder.

    Raises
    ------
    UserError
    """
    facts = read_json(path, "file of a run")
    if not isinstance(facts, dict):
        raise UserError(f"{path} holds no JSON object. Start again in another folder.")
    return facts
