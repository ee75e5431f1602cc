"""Per-neuroid numbers beside a record, as an npz file."""

import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..engine.kept_arrays import NPZ_DAMAGE
from ..plugin.errors import UserError, suggest
from ..plugin.files import write_whole


class RecordError(UserError):
    """A record or sidecar that cannot be used; the message names the file."""


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """Per-neuroid results of one score; only `r` and `neuroid_id` are always there.

    Shapes: r (n_splits, n_neuroids); neuroid_id (n_neuroids,); stimulus_id (n_stimuli,);
    test_index (n_splits, n_test), rows of `target`; prediction (n_splits, n_test, n_neuroids);
    target (n_stimuli, n_neuroids).
    """

    r: np.ndarray
    neuroid_id: np.ndarray
    stimulus_id: np.ndarray | None = None
    test_index: np.ndarray | None = None
    prediction: np.ndarray | None = None
    target: np.ndarray | None = None

    @property
    def has_stimuli(self) -> bool:
        """Whether predictions are kept, so that stimuli can be resampled."""
        return self.prediction is not None

    def write(self, path: str | Path, record: str) -> Path:
        """Write the file, whole or not at all, with the checksum of the record it belongs to."""
        arrays = {name: value for name, value in vars(self).items() if value is not None}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, record=np.array(record), **arrays)
        return write_whole(path, buffer.getvalue(), "--results")

    @classmethod
    def load(cls, path: str | Path, record: str | None = None) -> "Sidecar":
        """Read and check a sidecar.

        Parameters
        ----------
        path : of the file
        record : checksum of the record it should belong to; None asks for none

        Raises
        ------
        RecordError
            Not an npz file, an unknown or missing array, shapes that do not fit, another record's; names the file.
        """
        path = Path(path)
        if path.exists() and not path.is_file():
            raise RecordError(f"{path}: not a sidecar, it is no file")
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = dict(file)
        except NPZ_DAMAGE as error:
            raise RecordError(f"{path}: not a readable sidecar, {error}") from None
        own = str(arrays.pop("record", ""))
        if record not in (None, own):
            raise RecordError(f"{path}: it belongs to another record than the one beside it")
        fault = _sidecar_fault(arrays)
        if fault:
            raise RecordError(f"{path}: {fault}")
        return cls(**arrays)


def _sidecar_fault(arrays):
    """What is wrong with the arrays of a sidecar, or None."""
    known = [field.name for field in dataclasses.fields(Sidecar)]
    unknown = sorted(set(arrays) - set(known))
    if unknown:
        return f"unknown array '{unknown[0]}'.{suggest(unknown[0], known)}"
    for_stimuli = ("test_index", "prediction", "target")
    wanted = ("r", "neuroid_id", *(for_stimuli if "prediction" in arrays else ()))
    missing = [name for name in wanted if not isinstance(arrays.get(name), np.ndarray)]  # numpy gives bytes for others
    if missing:
        return f"missing array {', '.join(missing)}"
    if arrays["r"].ndim != 2:
        return f"array 'r' has {arrays['r'].ndim} dimension(s), expected (n_splits, n_neuroids)"
    n_splits, n_neuroids = arrays["r"].shape
    expected = {"neuroid_id": (n_neuroids,)}
    if "prediction" in arrays:
        n_test = arrays["test_index"].shape[-1]
        expected["test_index"] = (n_splits, n_test)
        expected["prediction"] = (n_splits, n_test, n_neuroids)
        expected["target"] = (len(arrays["target"]), n_neuroids)
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            return f"array '{name}' has shape {arrays[name].shape}, expected {shape}"
    return None
