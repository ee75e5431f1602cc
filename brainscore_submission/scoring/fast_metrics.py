"""Which activations a benchmark's metric needs, and the fast metric that stands in for Brain-Score's PLS.

The benchmark object, its assembly, its splits, its ceiling and its formula stay Brain-Score's.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
import sklearn.cross_decomposition
from brainscore_core.metrics import Score
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly, walk_coords
from brainscore_vision.benchmark_helpers.neural_common import RSABenchmark
from brainscore_vision.metric_helpers.transformations import apply_aggregate
from brainscore_vision.metric_helpers.xarray_utils import XarrayCorrelation
from brainscore_vision.metrics.rdm.metric import RDM
from brainscore_vision.metrics.regression_correlation.metric import CrossRegressedCorrelation

from ..engine.pls import Predictivity, cross_validate
from ..plugin.errors import UserError, suggest
from . import gram_ridge
from .i2n import with_array_i2n
from .registry import known_benchmarks

ENGINES = {
    "gram": "our PLS and ridge from the Gram matrix; CKA and RDM get a surrogate of it, the rest features (default)",
    "converged": "as gram, each component iterated to convergence: PLS by the book, not Brain-Score's number",
    "surrogate": "Brain-Score's own metric on n_stimuli columns with the same Gram matrix",
    "brainscore": "Brain-Score's own code throughout, on raw activations: the reference",
}


def require_engine(engine: str) -> str:
    """The engine's name itself, or a UserError that lists the engines."""
    if engine not in ENGINES:
        raise UserError(f"unknown engine '{engine}'.{suggest(engine, ENGINES)}")
    return engine


@dataclass
class Job:
    """A benchmark to be scored, made ready for an engine.

    Parameters
    ----------
    identifier : that it is loaded by
    area : of `AREAS_AND_BEHAVIOR`, or "engineering"
    benchmark : Brain-Score benchmark, a shallow copy where its metric was replaced
    form : what its activations may be, one of `recorded_model.FORMS`
    engine : the engine that will really run: metrics that are no function of the Gram matrix get raw activations
    metric : the replacement, where there is one that has more to say than its score
    calls : how often it asks for activations
    reference : whether nothing of Brain-Score's code is to be replaced
    parts : what makes the benchmarks it is a mean over (subjects, sessions), each of which asks `calls` times
    """

    identifier: str
    area: str
    benchmark: Any
    form: str
    engine: str
    metric: GramPredictivity | NotedPLS | None = None
    calls: int = 1
    reference: bool = False
    parts: tuple[Callable[[], Any], ...] = ()


def make_job(
    identifier: str, area: str, benchmark: Any, engine: str, device: str = "cpu", calls: int | None = None
) -> Job:
    """Choose what a benchmark gets to see under an engine.

    Examples of what comes out under "gram": PLS gets the Gram matrix and our PLS, ridge the Gram matrix and our ridge,
    CKA and RDM a surrogate, and everything else (the behavioural readout standardises its features) the raw
    activations.

    Parameters
    ----------
    calls : how often it asks for activations; None: as the registry's table knows of the identifier, else once, and
        twice where it is taught a task first
    """
    if calls is None:
        known = known_benchmarks().get(identifier)
        calls = known.calls if known else 2 if hasattr(benchmark, "_fitting_stimuli") else 1
    if engine == "brainscore":
        return Job(identifier, area, benchmark, "features", "brainscore", calls=calls, reference=True)
    made = functools.partial(Job, identifier, area, calls=calls)
    if hasattr(benchmark, "_sessions"):
        sessions = [make_job(identifier, area, session, engine, device) for session in benchmark._sessions]
        if {job.form for job in sessions} == {"gram"}:
            fast = copy.copy(benchmark)
            fast._sessions = [job.benchmark for job in sessions]
            parts = tuple(lambda one=one: one for one in fast._sessions)
            return made(fast, "gram", engine, calls=1, parts=parts)
    if hasattr(benchmark, "_factory") and hasattr(benchmark, "_subjects"):
        return _of_subjects(made, benchmark, engine, device, calls)
    metric = getattr(benchmark, "_similarity_metric", None)
    if engine in ("gram", "converged") and _is_pls(metric):
        fast = copy.copy(benchmark)
        fast._similarity_metric = GramPredictivity(metric, device, converged=engine == "converged")
        return made(fast, "gram", engine, fast._similarity_metric)
    if engine in ("gram", "converged") and gram_ridge.covers(metric):
        fast = copy.copy(benchmark)
        fast._similarity_metric = gram_ridge.with_gram_ridge(metric, device)
        return made(fast, "rows", "gram")
    if _is_pls(metric):
        fast = copy.copy(benchmark)
        fast._similarity_metric = NotedPLS(metric)
        return made(fast, "surrogate", "surrogate", fast._similarity_metric)
    if gram_ridge.covers(metric):
        return made(benchmark, "surrogate", "surrogate")
    if _is_rdm(benchmark):
        return made(benchmark, "rdm", "surrogate")
    if type(benchmark).__name__ in DEPENDS_ON_PRODUCTS_ONLY:
        return made(benchmark, "products", "surrogate")
    return made(with_array_i2n(benchmark), "features", "brainscore")


def _of_subjects(made: Callable[..., Job], benchmark: Any, engine: str, device: str, calls: int) -> Job:
    """A benchmark that makes another one for each subject: each is made ready when it is made."""
    make, subjects = benchmark._factory, benchmark._subjects
    each = calls // len(subjects) or 1
    first = make_job("", "", make(subjects[0]), engine, device, each)
    form, engine_used = first.form, first.engine
    if type(benchmark).__name__ in DEPENDS_ON_GRAM_ONLY:
        form, engine_used = "surrogate", "surrogate"
    fast = copy.copy(benchmark)
    fast._factory = lambda subject: make_job("", "", make(subject), engine, device, each).benchmark
    parts = tuple(functools.partial(make, subject) for subject in subjects)
    return made(fast, form, engine_used, calls=each, parts=parts)


# Benchmarks whose own metric is computed on a surrogate of the features: CKA depends on inner products only.
DEPENDS_ON_GRAM_ONLY = ("_MultiSubjectCKABenchmark",)
# And those that see the products as they are: the odd one of three is outside of the pair with the largest dot product.
DEPENDS_ON_PRODUCTS_ONLY = ("Hebart2023Match",)


class GramPredictivity:
    """Brain-Score's `CrossRegressedCorrelation` with PLS, computed from the Gram matrix of the source.

    Splits, aggregation over neuroids and over splits are those of the metric it stands in for.

    Parameters
    ----------
    metric : CrossRegressedCorrelation around scikit-learn's PLSRegression(scale=False)
    device : where the PLS runs
    converged : whether each component is iterated to convergence, where scikit-learn stops early
    """

    def __init__(self, metric: CrossRegressedCorrelation, device: str = "cpu", converged: bool = False):
        self._metric = metric
        self._device = device
        self._converged = converged
        self.predictivity: Predictivity | None = None
        self.splits: list[tuple[np.ndarray, np.ndarray]] = []
        self.neuroid_order: np.ndarray | None = None

    def __call__(self, source: NeuroidAssembly, target: NeuroidAssembly) -> Score:
        """Score of the Gram matrix `source` (presentation x presentation) against responses `target`."""
        target = target.transpose("presentation", "neuroid")
        _require_responses(target)
        _, self.splits = self._metric.cross_validation._split.build_splits(target)
        options = self._metric.regression._regression
        self.predictivity = cross_validate(
            _aligned(source, target),
            target.values.astype(float),
            self.splits,
            n_components=options.n_components,
            tol=options.tol,
            max_iter=options.max_iter,
            device=self._device,
            converged=self._converged,
        )
        self._target, self._stimulus_id = target.values, target["stimulus_id"].values.astype(str)
        position = dict(zip(source["stimulus_id"].values, source["gram_row"].values, strict=True))
        self._rows = np.array([position[stimulus] for stimulus in target["stimulus_id"].values])
        self._neuroid_id = target["neuroid_id"].values.astype(str)
        # Brain-Score sorts neuroids by their id.
        self.neuroid_order = np.argsort(target["neuroid_id"].values, kind="stable")
        scores = _packaged(self.predictivity.r[:, self.neuroid_order], target[:, self.neuroid_order])
        score = apply_aggregate(self._metric.aggregate, scores)
        return apply_aggregate(self._metric.cross_validation.aggregate, score)

    @property
    def notes(self) -> list[str]:
        """What a reader of the last score should know."""
        return self.predictivity.notes if self.predictivity else []

    def fitted_to(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """What the last call was about, for a fit to all of it.

        Returns
        -------
        rows : (n_stimuli,), the row of each stimulus in the Gram matrix that was recorded
        target : (n_stimuli, n_neuroids), float64; neuroids in the order of their ids
        neuroid_id : (n_neuroids,)
        settings : n_components, tol, max_iter
        """
        options = self._metric.regression._regression
        settings = {name: getattr(options, name) for name in ("n_components", "tol", "max_iter")}
        order = self.neuroid_order
        return self._rows, self._target[:, order].astype(float), self._neuroid_id[order], settings

    def held_out(self) -> dict[str, np.ndarray]:
        """Predictions and responses of the last call less each neuroid's mean: the arrays of `records.Sidecar`."""
        order, mean = self.neuroid_order, self._target.mean(axis=0, dtype=float)  # which float32 may not hold
        return {
            "stimulus_id": self._stimulus_id,
            "test_index": np.stack([test for _, test in self.splits]),
            "prediction": (np.stack(list(self.predictivity.prediction)) - mean)[:, :, order].astype(np.float32),
            "target": (self._target - mean)[:, order].astype(np.float32),
        }


class NotedPLS:
    """Brain-Score's own PLS, which says where a surrogate of the features has too few dimensions for it.

    Parameters
    ----------
    metric : CrossRegressedCorrelation around scikit-learn's PLSRegression
    """

    def __init__(self, metric: CrossRegressedCorrelation):
        self._metric = metric
        self.notes: list[str] = []

    def __call__(self, source: NeuroidAssembly, target: NeuroidAssembly) -> Score:
        """Brain-Score's score."""
        rank = int(source.transpose("presentation", "neuroid").values.any(axis=0).sum())
        wanted = self._metric.regression._regression.n_components
        if rank < wanted:
            self.notes = [
                f"the activations have rank {rank} as far as inner products tell; scikit-learn fits the rest of "
                f"{wanted} components to rounding errors, so the number is noise (--engine gram stops at the rank)"
            ]
        return self._metric(source, target)

    def held_out(self) -> dict[str, np.ndarray]:
        """Nothing is kept."""
        return {}


def _is_pls(metric: Any) -> bool:
    """Whether a metric is Brain-Score's PLS predictivity, with nothing changed that `GramPredictivity` does not honour.

    Exactly these classes: a subclass (reverse predictivity, for one) may do anything else.
    """
    if type(metric) is not CrossRegressedCorrelation or metric.cross_validation._preprocess_indices is not None:
        return False
    regression = getattr(metric.regression, "_regression", None)
    if type(regression) is not sklearn.cross_decomposition.PLSRegression or regression.scale:
        return False
    correlation = metric.correlation
    pearson = type(correlation) is XarrayCorrelation and correlation._correlation is scipy.stats.pearsonr
    return pearson and metric.cross_validation._split_coord == "stimulus_id"


def _is_rdm(benchmark: Any) -> bool:
    """Whether all that a benchmark computes of a model is Brain-Score's RDM."""
    return type(benchmark) is RSABenchmark and type(benchmark._rdm) is RDM and benchmark._rdm._neuroid_dim == "neuroid"


def _require_responses(target: NeuroidAssembly) -> None:
    if np.isnan(target.values).any():
        neuroid = target["neuroid_id"].values[np.isnan(target.values).any(axis=0)][0]
        raise UserError(
            f"the recorded responses hold NaN, first in neuroid {neuroid}: PLS cannot be fitted. "
            "Leave out the stimuli or neuroids without responses."
        )
    ids = target["stimulus_id"].values
    if len(set(ids)) < len(ids):
        raise UserError(
            "the recorded responses hold several presentations of one stimulus. Average repetitions first, "
            "or use --engine brainscore."
        )


def _aligned(source: NeuroidAssembly, target: NeuroidAssembly) -> np.ndarray:
    """The Gram matrix with rows and columns in the target's presentation order."""
    source = source.transpose("presentation", "neuroid")
    shown = source["stimulus_id"].values
    wanted = target["stimulus_id"].values
    if sorted(shown) != sorted(wanted):
        raise UserError("the model was shown other stimuli than the recorded responses belong to.")
    row_of = {stimulus: row for row, stimulus in enumerate(shown)}
    rows = np.array([row_of[stimulus] for stimulus in wanted])
    # Columns stand in the order in which the stimuli were shown, whatever Brain-Score did to the rows since.
    column_of = {number: column for column, number in enumerate(source["neuroid_num"].values)}
    shown_number = source["gram_row"].values
    columns = np.array([column_of[shown_number[row]] for row in rows])
    return np.ascontiguousarray(source.values[np.ix_(rows, columns)])


def _packaged(r: np.ndarray, target: NeuroidAssembly) -> Score:
    neuroid_coords = {
        coord: (dims, values) for coord, dims, values in walk_coords(target) if tuple(dims) == ("neuroid",)
    }
    return Score(r, coords={"split": np.arange(len(r)), **neuroid_coords}, dims=["split", "neuroid"])
