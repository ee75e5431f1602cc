"""Activations as a ReLU layer gives them, and responses that depend on the same causes. numpy only."""

from __future__ import annotations

import numpy as np

N_CAUSES = 60
NOISE = 0.5
RESPONSE_NOISE = 1.0


class Activations:
    """max(0, U V + noise): few causes of falling strength, seen by many units.

    Parameters
    ----------
    n_stimuli, n_features, n_neuroids : int
    seed : int

    Attributes
    ----------
    causes : ndarray of shape (n_stimuli, N_CAUSES), float32
    """

    def __init__(self, n_stimuli: int, n_features: int, n_neuroids: int, seed: int):
        self._rng = np.random.default_rng(seed)
        strength = 1 / np.sqrt(1 + np.arange(N_CAUSES))
        self.causes = (self._rng.standard_normal((n_stimuli, N_CAUSES)) * strength).astype(np.float32)
        self._units = self._rng.standard_normal((N_CAUSES, n_features), dtype=np.float32)
        self._readout = self._rng.standard_normal((N_CAUSES, n_neuroids))
        self._response_noise = RESPONSE_NOISE * self._rng.standard_normal((n_stimuli, n_neuroids))

    def rows(self, rows: slice) -> np.ndarray:
        """Activations of some stimuli, float32; new noise at each call."""
        values = self.causes[rows] @ self._units
        values += NOISE * self._rng.standard_normal(values.shape, dtype=np.float32)
        return np.maximum(values, 0, out=values)

    def responses(self) -> np.ndarray:
        """Responses of shape (n_stimuli, n_neuroids), float64."""
        return self.causes @ self._readout + self._response_noise


def shuffled_splits(n_stimuli: int, n_splits: int = 10) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random nine tenths to train on and the rest to test."""
    n_train = n_stimuli * 9 // 10
    orders = [np.random.default_rng(split).permutation(n_stimuli) for split in range(n_splits)]
    return [(order[:n_train], order[n_train:]) for order in orders]
