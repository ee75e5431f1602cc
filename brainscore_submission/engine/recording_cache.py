"""What was recorded of layers, on disk by what it was made of: Gram matrices, and features that are few enough."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import kept_arrays

# Features of more bytes are recorded again: only Gram matrices stay small, whatever the layer.
MOST_FEATURE_BYTES = 2**28


class RecordingCache:
    """Gram matrices, and features of at most `MOST_FEATURE_BYTES`, of one network.

    Parameters
    ----------
    folder : None keeps nothing
    facts : JSON-able, whatever decides an activation besides layer and stimuli (network, precision)
    fresh : whether what lies there is passed over, and written anew
    """

    def __init__(self, folder: Path | None, facts: dict, fresh: bool = False):
        self.folder = folder
        self._facts = facts
        self._fresh = fresh

    def facts(self, layer: str, hashes: Sequence[str]) -> dict:
        """What is recorded of a layer over stimuli is made of this."""
        stimuli = hashlib.sha256(json.dumps(list(hashes)).encode()).hexdigest()
        return {**self._facts, "layer": layer, "stimuli": stimuli}

    def key(self, layer: str, hashes: Sequence[str], **more: object) -> str:
        """A name for a file about a layer over stimuli."""
        return hashlib.sha256(kept_arrays.canonical({**self.facts(layer, hashes), **more}).encode()).hexdigest()

    def path(self, layer: str, hashes: Sequence[str], form: str = "gram") -> Path | None:
        """Where it lies or would lie, of the form "gram" or "features"; None where nothing is kept."""
        return self.folder and self.folder / f"{form.removesuffix('s')}s" / f"{self.key(layer, hashes)}.{form}"

    def has(self, layer: str, hashes: Sequence[str], form: str = "gram") -> bool:
        """Whether there is such a file, sound or not."""
        path = self.path(layer, hashes, form)
        return path is not None and not self._fresh and path.exists()

    def load(self, layer: str, hashes: Sequence[str], form: str = "gram") -> np.ndarray | None:
        """Of shape (n_stimuli, n_stimuli) or (n_stimuli, n_features); None where there is none that is sound."""
        if not self.has(layer, hashes, form):
            return None
        arrays = kept_arrays.load(self.path(layer, hashes, form), self.facts(layer, hashes))
        return None if arrays is None else arrays[form]

    def save(self, layer: str, hashes: Sequence[str], recorded: np.ndarray, form: str = "gram") -> None:
        """Keep it."""
        path = self.path(layer, hashes, form)
        if path is not None and (form == "gram" or recorded.nbytes <= MOST_FEATURE_BYTES):
            kept_arrays.save(path, {form: recorded}, self.facts(layer, hashes))
