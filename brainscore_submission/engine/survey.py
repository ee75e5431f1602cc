"""Which layers of a network can be searched: found by one hooked forward pass, in the order of execution.

Names alone do not tell: a module may yield a list, never fire, fire twice, or only pass on what came in.
"""

from __future__ import annotations

import fnmatch
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..plugin.errors import UserError, suggest
from ..plugin.hooks import LOGITS, Firing, checked_output, exact_arithmetic
from .live_memory import LiveMemory

PROBE_IMAGES = 3  # a batch axis of 3 is seldom met by accident
NAMED_LAYERS = 8

# The first pattern that the name of a module's class matches tells its kind.
KINDS = {
    "block": r"Block|Bottleneck|InvertedResidual|DepthwiseSeparable",
    "attn": r"Attention|Attn",
    "mlp": r"Mlp|MLP|FeedForward|FFN",
    "norm": r"Norm",
    "act": r"GELU|GeLU|ReLU|SiLU|Sigmoid|Tanh|Hardswish|Softmax",
    "conv": r"Conv",
    "linear": r"Linear",
    "pool": r"Pool",
}
OTHER = "other"


@dataclass(frozen=True)
class Candidate:
    """A layer that can be recorded.

    Parameters
    ----------
    layer : name of the module, or "logits"
    kinds : of `KINDS`, or "other": the module's own, then those of other modules that say the same
    shape : of its output for one image, without the batch axis
    depth : share of the forward pass's floating-point operations done when it has fired
    firings : how often it fires; the last output is the one that counts, as in Brain-Score
    live_bytes : intermediate results alive when it has fired, its own output among them, per image
    """

    layer: str
    kinds: tuple[str, ...]
    shape: tuple[int, ...]
    depth: float
    firings: int
    live_bytes: int

    @property
    def n_features(self) -> int:
        return math.prod(self.shape)

    @property
    def firing(self) -> Firing:
        return Firing(self.firings, self.shape)


@dataclass(frozen=True)
class Survey:
    """What one forward pass showed of a network.

    Parameters
    ----------
    candidates : in the order of execution
    left_out : layer -> why it is none of them
    same_as : layer that was left out as a duplicate -> the candidate that says the same
    peak_bytes : most intermediate results alive at once, per image
    flops : floating-point operations for one image
    """

    candidates: tuple[Candidate, ...]
    left_out: Mapping[str, str]
    same_as: Mapping[str, str]
    peak_bytes: int
    flops: int

    def candidate(self, layer: str) -> Candidate:
        """The candidate of this name, or the one that says the same.

        Raises
        ------
        UserError
            If there is none; the reason is given where the network has such a module.
        """
        name = self.same_as.get(layer, layer)
        for candidate in self.candidates:
            if candidate.layer == name:
                return candidate
        if layer in self.left_out:
            raise UserError(f"layer '{layer}' cannot be searched: {self.left_out[layer]}.")
        raise UserError(f"unknown layer '{layer}'.{suggest(layer, [c.layer for c in self.candidates])}")


def survey(network: nn.Module, images: Tensor, preferred: Sequence[str] = ()) -> Survey:
    """Show a network a few images and see which of its modules are candidates.

    Left out are modules that yield anything but one tensor with a batch axis, that never fire, that say the same for
    every image, and those whose features equal another candidate's in every value (Dropout and Identity in eval
    mode, views, an output handed on by the enclosing module).

    Parameters
    ----------
    network : nn.Module, in eval mode
    images : Tensor of shape (n_images, 3, height, width), at least 2 different ones
    preferred : patterns as of `choose`; of layers with the same values, the first that one matches is the candidate,
        or the first of all
    """
    firings: dict[str, _Seen] = {}
    is_preferred = _matcher_of_any(preferred)
    names = _names(network)
    live, flops = LiveMemory(network), FlopCounterMode(display=False)

    def receive(layer: str, output: object) -> None:
        # Put back at the end: a layer stands where it fired last.
        before = firings.pop(layer, None)
        firings[layer] = _look(layer, output, len(images), 1 + (before.firings if before else 0))
        firings[layer].flops, firings[layer].live_bytes = flops.get_total_flops(), live.now

    with ExitStack() as stack:
        # A parameter handed from module to module, such as CaiT's class token, would break the counter's hooks.
        for parameter in [parameter for parameter in network.parameters() if parameter.requires_grad]:
            stack.callback(parameter.requires_grad_, True)
            parameter.requires_grad_(False)
        for module, (layer, *_) in names.items():
            handle = module.register_forward_hook(lambda _m, _i, output, layer=layer: receive(layer, output))
            stack.callback(handle.remove)
        for context in (torch.inference_mode(), exact_arithmetic(), live, flops):
            stack.enter_context(context)
        live.note(images)
        network(images)
    return _sorted_out(names, firings, is_preferred, images, flops.get_total_flops(), live.peak)


@dataclass
class _Seen:
    """A module's last firing: a fault, or a shape and a digest of the values."""

    firings: int
    fault: str | None = None
    shape: tuple[int, ...] = ()
    digest: bytes = b""
    flops: int = 0
    live_bytes: int = field(default=0)


def _names(network: nn.Module) -> dict[nn.Module, list[str]]:
    """Each module with all its names; the network itself goes by "logits"."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in network.named_modules(remove_duplicate=False):
        if name != LOGITS:  # Brain-Score's word for the class output: a module of that name cannot be asked for
            names.setdefault(module, []).append(name or LOGITS)
    return names


def _look(layer: str, output: object, n_images: int, firings: int) -> _Seen:
    try:
        output = checked_output(layer, output, n_images)
    except UserError:
        return _Seen(firings, fault=_fault_of_form(output))
    if not output.is_floating_point():
        return _Seen(firings, fault=f"it yields {output.dtype} numbers")
    features = output.flatten(1).float()
    fault = None
    if not torch.isfinite(features).all():
        fault = "it yields NaN or infinity"
    elif bool((features == features[:1]).all()):
        fault = "it says the same for every image"
    # Of the values now: an in-place module that follows will overwrite them.
    digest = hashlib.blake2b(features.cpu().contiguous().numpy().tobytes()).digest()
    return _Seen(firings, fault, tuple(output.shape[1:]), digest)


def _fault_of_form(output: object) -> str:
    if not isinstance(output, Tensor):
        return f"it yields a {type(output).__name__}, not one tensor"
    return "the first axis of what it yields is not the batch"


def _sorted_out(
    names: Mapping[nn.Module, Sequence[str]],
    firings: Mapping[str, _Seen],
    is_preferred: Callable[[str], bool],
    images: Tensor,
    flops: int,
    peak_bytes: int,
) -> Survey:
    kinds = {layers[0]: _kind(module) for module, layers in names.items()}
    left_out = {layer: seen.fault for layer, seen in firings.items() if seen.fault is not None}
    same_values: dict[bytes, list[str]] = {}
    for layer, seen in firings.items():
        if seen.fault is None:
            same_values.setdefault(seen.digest, []).append(layer)
    kinds_of: dict[str, list[str]] = {}
    same_as: dict[str, str] = {}
    for group in same_values.values():
        candidate = next(filter(is_preferred, group), group[0])
        others = [layer for layer in group if layer != candidate]
        kinds_of[candidate] = [kinds[layer] for layer in (candidate, *others)]
        same_as |= dict.fromkeys(others, candidate)
        left_out |= dict.fromkeys(others, f"the same values as {candidate}")
    for layers in names.values():
        if layers[0] not in firings:
            left_out[layers[0]] = "it never fires in a forward pass"
        for alias in layers[1:]:
            left_out[alias] = f"another name of {layers[0]}"
            same_as[alias] = same_as.get(layers[0], layers[0])
    n = len(images)
    candidates = (layer for layer in firings if layer in kinds_of)  # in the order of execution
    made = tuple(_candidate(layer, firings[layer], kinds_of[layer], flops, n) for layer in candidates)
    return Survey(made, left_out, same_as, -(-peak_bytes // n), flops // n)


def _candidate(layer: str, seen: _Seen, kinds: Sequence[str], flops: int, n_images: int) -> Candidate:
    own, *others = kinds
    kinds = (own, *dict.fromkeys(kind for kind in others if kind not in (own, OTHER)))
    live_bytes = -(-seen.live_bytes // n_images)
    return Candidate(layer, kinds, seen.shape, seen.flops / max(flops, 1), seen.firings, live_bytes)


def _kind(module: nn.Module) -> str:
    name = type(module).__name__
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), OTHER)


def choose(
    survey: Survey, patterns: Sequence[str] = (), kinds: Sequence[str] = (), every: int = 1
) -> tuple[Candidate, ...]:
    """The candidates a user asked for.

    Parameters
    ----------
    survey : Survey
    patterns : globs such as "blocks.1.*" (a star also spans dots), or regular expressions after "re:"; a layer is kept
        if any of them matches its name, or that of a duplicate of it; none keeps all
    kinds : of `KINDS`, the layer's or a duplicate's; none keeps all
    every : keep every N-th of what is left, the last one among them

    Raises
    ------
    UserError
        For a pattern that matches nothing, an unknown kind, or when nothing is left.
    """
    unknown = [kind for kind in kinds if kind not in (*KINDS, OTHER)]
    if unknown:
        raise UserError(f"unknown kind '{unknown[0]}'.{suggest(unknown[0], [*KINDS, OTHER])}")
    if every < 1:
        raise UserError(f"--every {every}: give 1 or more.")
    kept = {candidate.layer for pattern in patterns for candidate in _matching(survey, pattern)}
    chosen = [
        candidate
        for candidate in survey.candidates
        if (not patterns or candidate.layer in kept) and (not kinds or set(kinds) & set(candidate.kinds))
    ]
    if not chosen:
        raise UserError(f"no layer is left by --layers and --kind {','.join(kinds)}. See them all: --list-layers.")
    return tuple(chosen[::-1][::every][::-1])


def same_values_in_words(survey: Survey, patterns: Sequence[str], candidates: Sequence[Candidate]) -> list[str]:
    """A line on the layers that patterns match and that stand among the candidates under another name, or none."""
    matches, searched = _matcher_of_any(patterns), {candidate.layer for candidate in candidates}
    same = [f"{layer} = {other}" for layer, other in survey.same_as.items() if other in searched and matches(layer)]
    if not same:
        return []
    more = f" and {len(same) - NAMED_LAYERS} more" if len(same) > NAMED_LAYERS else ""
    return [f"{', '.join(same[:NAMED_LAYERS])}{more} (same values)"]


def _matching(survey: Survey, pattern: str) -> list[Candidate]:
    matches = _matcher(pattern)
    found = [candidate for candidate in survey.candidates if matches(candidate.layer)]
    found += [survey.candidate(layer) for layer in survey.same_as if matches(layer)]
    if found:
        return found
    refused = [layer for layer in survey.left_out if matches(layer)]
    if refused:
        raise UserError(f"layer '{refused[0]}' cannot be searched: {survey.left_out[refused[0]]}.")
    raise UserError(f"--layers '{pattern}' matches no layer.{suggest(pattern, [c.layer for c in survey.candidates])}")


def _matcher_of_any(patterns: Sequence[str]) -> Callable[[str], bool]:
    matchers = [_matcher(pattern) for pattern in patterns]
    return lambda layer: any(matches(layer) for matches in matchers)


def _matcher(pattern: str) -> Callable[[str], bool]:
    if not pattern.startswith("re:"):
        return lambda layer: fnmatch.fnmatchcase(layer, pattern)
    try:
        expression = re.compile(pattern.removeprefix("re:"))
    except re.error as error:
        raise UserError(f"--layers '{pattern}' is no regular expression: {error}.") from error
    return lambda layer: expression.search(layer) is not None
