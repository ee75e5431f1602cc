"""A recording, dressed as the activations model that Brain-Score's own `ModelCommitment` asks.

Brain-Score's commitment, time alignment and behavioural readout run unchanged on top; only where activations
come from differs: from one recording for all benchmarks, as features, as a Gram matrix or as its surrogate.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

from ..engine.gram import surrogate
from ..engine.images import CONSTANT, ONES, ZEROS, Recording, Request, Stimulus, read_stimuli
from ..engine.similarity import products_surrogate, rdm_surrogate
from ..plugin.areas import LOGITS
from ..plugin.errors import UserError
from .placement import placed_safely

logger = logging.getLogger(__name__)

# Modules of Brain-Score that keep results which depend on a model or a file.
KEEPING = ("brainscore_vision.benchmark_helpers.properties_common", "brainscore_vision.benchmarks")
N_CLASSES = 1000  # of the class output that Brain-Score's label tasks read

FORMS = ("gram", "rows", "surrogate", "rdm", "products", "features")
"""What stands in for a layer's features: the rows of its Gram matrix; their numbers, with the matrix beside them, of
which nothing then makes copies; n_stimuli columns with the same Gram matrix; 2 n_stimuli columns with the same RDM;
n_stimuli columns with the same products though not centred; or the features themselves."""


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


def framed(form: str, stimuli: Sequence[Stimulus]) -> tuple[Stimulus, ...]:
    """What is to be recorded for a form: what sees where the origin is takes two more rows than there are images."""
    return (*stimuli, ZEROS, ONES) if form in ("rdm", "products") else tuple(stimuli)


class Products:
    """A Gram matrix, hashable, so that it can be a coordinate of an assembly that holds numbers of its rows."""

    def __init__(self, gram: np.ndarray):
        self.gram = gram


class Answer(NamedTuple):
    """What stands for the layers that were asked for.

    Parameters
    ----------
    blocks : arrays of shape (n_shown, n_columns) side by side
    rows : for each stimulus shown the row of the Gram matrix that is its own
    products : the matrix itself, where the block holds numbers of rows
    """

    blocks: list[np.ndarray]
    rows: np.ndarray
    products: Products | None = None


class NeedsVariance(Exception):  # noqa: N818  (a signal, not an error)
    """A benchmark asks for activations that differ from trial to trial, which a recording does not hold."""


class RecordedActivations:
    """Activations model over a recording.

    Parameters
    ----------
    identifier : str
    form : one of `FORMS`
    recorded : Recorded, which several of these may share
    basis : for Gram matrices and surrogates, all stimuli that a benchmark will show; its looks then share the columns,
        so that what is fitted to one can predict another. None: those of each look
    """

    def __init__(self, identifier: str, form: str, recorded: Recorded, basis: Sequence[Stimulus] | None = None):
        self.identifier = identifier
        self._form = form
        self._recorded = recorded
        self._basis = basis
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
            raise NeedsVariance
        shown = self._recorded.stimuli(stimuli)
        blocks, rows, products = self._answer(shown, layers)
        columns = np.concatenate([np.full(block.shape[1], layer) for layer, block in zip(layers, blocks, strict=False)])
        return _assembly(np.concatenate(blocks, axis=1), columns, rows, stimuli, self.identifier, products)

    def _answer(self, shown: Sequence[Stimulus], layers: Sequence[str]) -> Answer:
        """What stands for the layers."""
        recording = self._recorded.recording
        if self._form == "features":
            self._recorded.ensure(Request(tuple(shown), features=frozenset(layers)))
            return Answer([recording.features(layer, shown) for layer in layers], np.arange(len(shown)))
        basis = [stimulus for stimulus in self._basis or shown if stimulus.sha256 not in CONSTANT]
        position = {stimulus.sha256: at for at, stimulus in reversed(list(enumerate(basis)))}
        if any(stimulus.sha256 not in position for stimulus in shown):
            raise UserError("this benchmark shows images that it did not announce: run it with --engine brainscore.")
        recorded = framed(self._form, basis)
        self._recorded.ensure(Request(recorded, grams=frozenset(layers)))
        if self._form == "rows":
            gram, row_of = recording.whole_gram(layers, recorded)
            rows = np.array([row_of[stimulus.sha256] for stimulus in shown])
            return Answer([rows[:, None]], rows, Products(gram))
        # Layers side by side: their Gram matrices add up.
        gram = sum(recording.gram(layer, recorded) for layer in layers)
        rows = np.array([position[stimulus.sha256] for stimulus in shown])
        if self._form in ("rdm", "products"):
            seen = np.append(rows, [-2, -1])
            gram = gram[np.ix_(seen, seen)]
            return Answer([rdm_surrogate(gram) if self._form == "rdm" else products_surrogate(gram)], rows)
        if self._basis is None:
            rows = np.arange(len(shown))
        return Answer([(surrogate(gram) if self._form == "surrogate" else gram)[rows]], rows)


class _Rehearsed(Exception):  # noqa: N818  (a signal, not an error)
    """Ends a rehearsal: everything has been asked."""


class _Listening(RecordedActivations):
    """Takes note of what is asked, and answers with noise, until it has been asked so often."""

    def __init__(self, form: str, recorded: Recorded, calls: int):
        super().__init__("rehearsal", form, recorded)
        self.requests: list[Request] = []
        self._calls = calls

    def _answer(self, shown: Sequence[Stimulus], layers: Sequence[str]) -> Answer:
        names = frozenset(layers)
        features = self._form == "features"
        wanted = {"features" if features else "grams": names}
        self.requests.append(Request(framed(self._form, shown), **wanted))
        if len(self.requests) >= self._calls:
            raise _Rehearsed
        width = N_CLASSES if LOGITS in names else 5
        noise = np.random.default_rng(0).normal(size=(len(shown), width)).astype(np.float32)
        return Answer([noise for _ in layers], np.arange(len(shown)))


def rehearse(
    benchmark: Callable,
    commit: Callable[[RecordedActivations], ModelCommitment],
    form: str,
    recorded: Recorded,
    calls: int,
) -> list[Request]:
    """What a benchmark will ask for, found by running it up to its last question, with noise for the answers before.

    Parameters
    ----------
    benchmark : Brain-Score benchmark, or one of those that it is made of
    commit : callable, activations model -> Brain-Score model
    form : one of `FORMS`
    recorded : whose knowledge of image files is used
    calls : how often it will ask

    Raises
    ------
    NeedsVariance
    """
    listening = _Listening(form, recorded, calls)
    with nothing_kept(), placed_safely(), warnings.catch_warnings(action="ignore"):  # of a readout fitted to noise
        try:
            benchmark(commit(listening))
        except (_Rehearsed, NeedsVariance) as signal:
            if isinstance(signal, NeedsVariance):
                raise
        except Exception as error:  # noqa: BLE001
            # Noise is not what it was made for. What it would have asked next is recorded when it asks in earnest.
            logger.debug("the rehearsal ended early: %s", error)
    return listening.requests


@contextlib.contextmanager
def nothing_kept() -> Iterator[None]:
    """Brain-Score keeps what some benchmarks make of a model (Marques2020) or a file (FreemanZiemba2013): not here.

    Images resized to a field of view are kept as ever: otherwise each run would resize them anew.
    """
    before = os.environ.get("RESULTCACHING_DISABLE")
    if before != "1":
        os.environ["RESULTCACHING_DISABLE"] = ",".join([*filter(None, [before]), *KEEPING])
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("RESULTCACHING_DISABLE", None)
        else:
            os.environ["RESULTCACHING_DISABLE"] = before


class _FieldOfView:
    def set_visual_degrees(self, visual_degrees: float) -> None:
        """Only microsaccades would need it, and those are refused."""


def _assembly(
    values: np.ndarray,
    layers: np.ndarray,
    rows: np.ndarray,
    stimuli: StimulusSet,
    identifier: str,
    products: Products | None,
) -> NeuroidAssembly:
    numbers = np.arange(values.shape[1])
    coords = {column: ("presentation", stimuli[column].values) for column in stimuli.columns}
    coords |= {
        "gram_row": ("presentation", rows),  # which column of a Gram matrix is this stimulus
        "neuroid_num": ("neuroid", numbers),
        "neuroid_id": ("neuroid", [f"{identifier}.{layer}.{n}" for layer, n in zip(layers, numbers, strict=True)]),
        "model": ("neuroid", [identifier] * len(numbers)),
        "layer": ("neuroid", layers),
    }
    if products is not None:
        coords["products"] = ("neuroid", np.array([products]))
    return NeuroidAssembly(values, coords=coords, dims=["presentation", "neuroid"])
