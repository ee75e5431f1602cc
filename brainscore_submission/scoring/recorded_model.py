"""A recording, dressed as the activations model that Brain-Score's own `ModelCommitment` asks.

Brain-Score's commitment, time alignment and behavioural readout run unchanged on top; only where activations
come from differs: from one recording for all benchmarks, as features, as a Gram matrix or as its surrogate.
"""

from __future__ import annotations

import contextlib
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


class Recorded:
    """What has been recorded so far, and what records the rest when it is asked for.

    Parameters
    ----------
    record : callable, requests -> Recording
    recording : what there is already
    """

    def __init__(self, record: Callable[[Sequence[Request]], Recording], recording: Recording | None = None):
        self.recording = recording or Recording()
        self._record = record
        self._stimuli: dict[Path, Stimulus] = {}

    def stimuli(self, shown: StimulusSet) -> list[Stimulus]:
        """The images of a stimulus set in its order, each file hashed once."""
        paths = [Path(shown.get_stimulus(stimulus_id)) for stimulus_id in shown["stimulus_id"]]
        new = [path for path in dict.fromkeys(paths) if path not in self._stimuli]
        self._stimuli |= zip(new, read_stimuli(new), strict=True)
        return [self._stimuli[path] for path in paths]

    def ensure(self, request: Request) -> None:
        """Record a request, unless that has been done."""
        missing = [layer for layer in request.features if not self.recording.has(layer, request.stimuli, "features")]
        missing += [layer for layer in request.grams if not self.recording.has(layer, request.stimuli, "gram")]
        if missing:
            self.recording.update(self._record([request]))


class RecordedActivations:
    """Activations model over a recording.

    Parameters
    ----------
    identifier : str
    form : one of `FORMS`
    recorded : Recorded, which several of these may share
    """

    def __init__(self, identifier: str, form: str, recorded: Recorded):
        self.identifier = identifier
        self._form = form
        self._recorded = recorded
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
        shown = self._recorded.stimuli(stimuli)
        self.asked(_request(shown, layers, self._form))
        recording = self._recorded.recording
        if self._form == "features":
            blocks = [recording.features(layer, shown) for layer in layers]
        else:  # layers side by side: their Gram matrices add up
            gram = sum(recording.gram(layer, shown) for layer in layers)
            blocks = [surrogate(gram) if self._form == "surrogate" else gram]
        columns = np.concatenate([np.full(block.shape[1], layer) for layer, block in zip(layers, blocks, strict=False)])
        return _assembly(np.concatenate(blocks, axis=1), columns, stimuli, self.identifier)

    def asked(self, request: Request) -> None:
        """See that what is asked for is there."""
        self._recorded.ensure(request)


class _Rehearsed(Exception):  # noqa: N818  (a signal, not an error)
    """Ends a rehearsal: the benchmark has shown everything it needs to before its first answer."""


class _Listening(RecordedActivations):
    """Takes note of what is asked, and answers nothing."""

    def __init__(self, form: str, recorded: Recorded):
        super().__init__("rehearsal", form, recorded)
        self.requests: list[Request] = []

    def asked(self, request: Request) -> None:
        """Take note, and end the look."""
        self.requests.append(request)
        raise _Rehearsed


def rehearse(
    benchmark: Callable, commit: Callable[[RecordedActivations], ModelCommitment], form: str, recorded: Recorded
) -> list[Request]:
    """What a benchmark will ask for, found by running it up to its first question.

    Parameters
    ----------
    benchmark : Brain-Score benchmark
    commit : callable, activations model -> Brain-Score model
    form : one of `FORMS`
    recorded : whose knowledge of image files is used
    """
    listening = _Listening(form, recorded)
    with contextlib.suppress(_Rehearsed):
        benchmark(_Rehearsal(commit(listening)))
    return listening.requests


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
        except _Rehearsed:
            # `start_task` was cut short before the commitment switched to behaviour, so look there directly.
            self._looking = self._candidate.behavior_model

    def start_recording(self, *args: object, **kwargs: object) -> None:
        self._candidate.start_recording(*args, **kwargs)

    def look_at(self, *args: object, **kwargs: object) -> object:
        return self._looking.look_at(*args, **kwargs)


class _FieldOfView:
    def set_visual_degrees(self, visual_degrees: float) -> None:
        """Only microsaccades would need it, and those are refused."""


def _request(shown: Sequence[Stimulus], layers: Sequence[str], form: str) -> Request:
    if form == "features":
        return Request(tuple(shown), features=frozenset(layers))
    return Request(tuple(shown), grams=frozenset(layers))


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
