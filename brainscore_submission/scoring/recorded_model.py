"""A recording, dressed as the activations model that Brain-Score's own `ModelCommitment` asks.

Brain-Score's commitment, time alignment and behavioural readout run unchanged on top; only where activations
come from differs: from one recording for all benchmarks, as features, as a Gram matrix or as its surrogate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
from brainscore_vision.model_interface import BrainModel

from ..engine.gram import surrogate
from ..engine.images import Recording, Request, Stimulus, read_stimuli
from ..plugin.errors import UserError

FORMS = ("gram", "surrogate", "features")
"""What stands in for a layer's features: the rows of its Gram matrix, n_stimuli columns with the same Gram matrix,
or the features themselves."""


class Rehearsed(Exception):  # noqa: N818  (a signal, not an error)
    """Ends a rehearsal: the benchmark has shown everything it needs to before its first answer."""


class RecordedActivations:
    """Activations model over a recording.

    Parameters
    ----------
    identifier : str
    record : callable, requests -> Recording; asked for what the recording lacks
    """

    def __init__(self, identifier: str, record: Callable[[Sequence[Request]], Recording]):
        self.identifier = identifier
        self.recording = Recording()
        self.form = "features"
        self.rehearsing: list[Request] | None = None
        self._record = record
        self._stimuli: dict[Path, Stimulus] = {}
        self._extractor = _FieldOfView()  # ModelCommitment tells its activations model the field of view this way

    def __call__(
        self,
        stimuli: StimulusSet,
        layers: Sequence[str],
        stimuli_identifier: str | None = None,
        number_of_trials: int = 1,
        require_variance: bool = False,
    ) -> NeuroidAssembly:
        """Assembly of shape (presentation, neuroid) for one or several layers, as Brain-Score's extractor gives it."""
        if require_variance:
            raise UserError("this benchmark asks for trial-to-trial variance: run it with --engine brainscore.")
        shown = self._known(stimuli)
        request = self._request(shown, layers)
        if self.rehearsing is not None:
            self.rehearsing.append(request)
            raise Rehearsed
        self._ensure(request)
        if self.form == "features":
            blocks = [self.recording.features(layer, shown) for layer in layers]
        else:
            blocks = [self._stand_in(layers, shown)]
        columns = np.concatenate([np.full(block.shape[1], layer) for layer, block in zip(layers, blocks, strict=False)])
        return _assembly(np.concatenate(blocks, axis=1), columns, stimuli, self.identifier)

    def rehearse(self, benchmark: Callable, candidate: ModelCommitment, form: str) -> list[Request]:
        """What a benchmark will ask for, found by running it up to its first question.

        Parameters
        ----------
        benchmark : Brain-Score benchmark
        candidate : model committed over this object
        form : one of `FORMS`
        """
        self.form, self.rehearsing = form, []
        try:
            benchmark(_Rehearsal(candidate))
        except Rehearsed:
            pass
        finally:
            requests, self.rehearsing = self.rehearsing, None
        return requests

    def _request(self, shown: Sequence[Stimulus], layers: Sequence[str]) -> Request:
        if self.form == "features":
            return Request(tuple(shown), features=frozenset(layers))
        return Request(tuple(shown), grams=frozenset(layers))

    def _ensure(self, request: Request) -> None:
        form = "features" if request.features else "gram"
        missing = [layer for layer in request.features | request.grams if not self._has(layer, request, form)]
        if missing:
            self.recording.update(self._record([request]))

    def _has(self, layer: str, request: Request, form: str) -> bool:
        return self.recording.has(layer, request.stimuli, form)

    def _stand_in(self, layers: Sequence[str], shown: Sequence[Stimulus]) -> np.ndarray:
        """Gram matrix of the layers side by side (their Gram matrices add up), or its surrogate."""
        gram = sum(self.recording.gram(layer, shown) for layer in layers)
        return surrogate(gram) if self.form == "surrogate" else gram

    def _known(self, stimuli: StimulusSet) -> list[Stimulus]:
        paths = [Path(stimuli.get_stimulus(stimulus_id)) for stimulus_id in stimuli["stimulus_id"]]
        new = [path for path in dict.fromkeys(paths) if path not in self._stimuli]
        self._stimuli |= zip(new, read_stimuli(new), strict=True)
        return [self._stimuli[path] for path in paths]


class _Rehearsal:
    """A candidate that goes on after the stimuli a task is learnt on, and stops at those it is tested on."""

    def __init__(self, candidate: ModelCommitment):
        self._candidate = candidate
        self._looking = candidate
        self.visual_degrees = candidate.visual_degrees
        self.identifier = candidate.identifier

    def start_task(self, task: BrainModel.Task, *args: object, **kwargs: object) -> None:
        try:
            self._candidate.start_task(task, *args, **kwargs)
        except Rehearsed:
            # The commitment did not come to note that it is at a task: ask its behaviour from now on.
            self._looking = self._candidate.behavior_model

    def start_recording(self, *args: object, **kwargs: object) -> None:
        self._candidate.start_recording(*args, **kwargs)

    def look_at(self, *args: object, **kwargs: object) -> object:
        return self._looking.look_at(*args, **kwargs)


class _FieldOfView:
    def set_visual_degrees(self, visual_degrees: float) -> None:
        """Only microsaccades would need it, and those are refused."""


def _assembly(values: np.ndarray, layers: np.ndarray, stimuli: StimulusSet, identifier: str) -> NeuroidAssembly:
    numbers = np.arange(values.shape[1])
    coords = {column: ("presentation", stimuli[column].values) for column in stimuli.columns}
    coords |= {
        "gram_row": ("presentation", np.arange(len(values))),  # which column of a Gram matrix is this stimulus
        "neuroid_num": ("neuroid", numbers),
        "neuroid_id": ("neuroid", [f"{identifier}.{layer}.{n}" for layer, n in zip(layers, numbers, strict=True)]),
        "model": ("neuroid", [identifier] * len(numbers)),
        "layer": ("neuroid", layers),
    }
    return NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid"])
