"""What a checkpoint holds -> the tensors that are meant, under the network's own names.

Trained weights lie in a file under many names: beside an optimizer, as a moving average, behind the prefixes of
wrappers. Whatever is chosen, cut off or left out is told in a note.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .errors import UserError

RAW = ("state_dict", "model", "model_state_dict", "network", "net")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict")  # exponential moving averages, in timm's order
WRAPPER_PREFIX = "module."  # put before every key by torch.nn.DataParallel
NAMED_KEYS = 3


class Held(NamedTuple):
    """What a checkpoint file holds.

    Parameters
    ----------
    layout : one of `card.LAYOUTS`
    tensors : by the names in the file, less a "module." that stands before all of them
    notes : what was chosen of several things
    """

    layout: str
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def unwrapped(content: Any, where: object, ema: bool = True) -> Held:
    """The state dict in what was read of a file.

    Parameters
    ----------
    content : what `torch.load` or safetensors gave
    where : the file, for messages
    ema : whether moving averages are taken where there are some, as timm does

    Raises
    ------
    UserError
        there is none, there are several that may be meant, or its tensors are no plain numbers
    """
    if _is_state_dict(content):
        return Held("bare", _plain(without_wrapper(content), where))
    fields = content if isinstance(content, Mapping) else {}
    averaged, raw = ([name for name in names if _is_state_dict(fields.get(name))] for names in (AVERAGED, RAW))
    if averaged and (ema or not raw):
        name, other = averaged[0], raw
        notes = (f"the moving averages under {name!r}; --no-ema takes those under {raw[0]!r}",) if other else ()
    elif len(raw) == 1:
        name = raw[0]
        notes = (f"not the moving averages under {averaged[0]!r}",) if averaged else ()
    elif raw:
        several = " and ".join(map(repr, raw))
        raise UserError(f"{where} holds tensors under {several}: save the one you mean.")
    else:
        held = ", ".join(map(repr, list(fields)[:8])) if fields else type(content).__name__
        raise UserError(
            f"{where} holds no state dict. Expected tensors at the top, or under 'state_dict' or 'model'; found {held}."
        )
    tensors = fields[name]
    layout = "model" if name.startswith("model") and name != "model_state_dict" else "state_dict"
    if layout == "state_dict" and _all_wrapped(tensors):
        layout = "training"
    return Held(layout, _plain(without_wrapper(tensors), where), notes)


def without_wrapper(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys less the "module." of DataParallel, if all of them have it."""
    cut = len(WRAPPER_PREFIX) if _all_wrapped(tensors) else 0
    return {key[cut:]: value for key, value in tensors.items()}


def under_own_names(
    tensors: Mapping[str, Tensor], expected: Collection[str], where: object
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a network out of a file that has them all behind one common prefix.

    torch.compile writes "_orig_mod.", Lightning "model.", robustness "module.model." beside a normaliser and an
    attacker, AveragedModel "module." beside a counter.

    Parameters
    ----------
    tensors : of the file
    expected : keys of the network, but those that may be missing

    Returns
    -------
    tensors : without the prefix, and without what does not stand behind it; as given where no prefix fits
    notes : what was cut off and left out

    Raises
    ------
    UserError
        several prefixes fit, and the tensors behind them differ: a student and a teacher, for example
    """
    longest = max(expected, key=len, default="")
    prefixes = {key.removesuffix(longest) for key in tensors if key.endswith(longest)}
    fitting = sorted((p for p in prefixes if all(p + key in tensors for key in expected)), key=lambda p: (len(p), p))
    if not fitting or not fitting[0]:
        return dict(tensors), []
    prefix, *others = fitting
    for other in others:
        if not all(torch.equal(tensors[prefix + key], tensors[other + key]) for key in expected):
            raise UserError(
                f"{where} holds two networks, whose keys begin {prefix!r} and {other!r}: save the one you mean."
            )
    own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    rest = [key for key in tensors if not key.startswith(prefix)]
    left_out = f"; {len(rest)} other tensors are left out ({first_of(rest)})" if rest else ""
    return own, [f"{prefix!r} is cut off its keys{left_out}"]


def as_numbers_of(network: Mapping[str, Tensor], tensors: Mapping[str, Tensor], complaint: str) -> list[str]:
    """Whether the numbers can become the network's without a change of meaning; a note where they lose digits.

    Raises
    ------
    UserError
        whole numbers or truth values in the place of weights, or the other way round
    """
    for key, value in network.items():
        given = tensors[key]
        if value.is_floating_point() != given.is_floating_point():
            whole = not value.is_floating_point() and bool((given == given.round()).all())
            if not whole:  # a counter of batches may be saved as 4.0
                raise UserError(f"{complaint}: {key} holds {_kind(given)}, must be {_kind(value)}.")
    doubles = [key for key in network if tensors[key].dtype == torch.float64]
    return [f"{len(doubles)} tensors of float64 are rounded to float32"] if doubles else []


def first_of(keys: list[str]) -> str:
    """The first of many keys, for messages."""
    return ", ".join(keys[:NAMED_KEYS]) + (", …" if len(keys) > NAMED_KEYS else "")


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    )


def _all_wrapped(tensors: Mapping[str, Tensor]) -> bool:
    return all(key.startswith(WRAPPER_PREFIX) for key in tensors)


def _plain(tensors: dict[str, Tensor], where: object) -> dict[str, Tensor]:
    for key, value in tensors.items():
        if value.is_quantized or value.is_complex() or value.layout != torch.strided or value.is_meta:
            raise UserError(f"{where}: {key} holds {_kind(value)}; a checkpoint holds plain numbers. Save it as such.")
    return tensors


def _kind(tensor: Tensor) -> str:
    if tensor.is_meta:
        return "no values (device 'meta')"
    what = "quantised " if tensor.is_quantized else "" if tensor.layout == torch.strided else "sparse "
    return what + str(tensor.dtype).removeprefix("torch.")
