"""Which activations a benchmark's metric needs, and the fast metric that stands in for Brain-Score's PLS.

The benchmark object, its assembly, its splits, its ceiling and its formula stay Brain-Score's.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn.cross_decomposition
import sklearn.linear_model
from brainscore_core.metrics import Score
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly, walk_coords
from brainscore_vision.metric_helpers.transformations import apply_aggregate
from brainscore_vision.metrics.regression_correlation.metric import (
    CrossRegressedCorrelation,
    DualRidgeCVRegression,
    DualRidgeRegression,
)

from ..engine.pls import Predictivity, cross_validate
from ..plugin.errors import UserError, suggest

ENGINES = {
    "gram": "our PLS from the Gram matrix; other metrics that depend on it only get the surrogate (default)",
    "converged": "as gram, each component iterated to convergence: PLS by the book, not Brain-Score's number",
    "surrogate": "Brain-Score's own metric on n_stimuli columns with the same Gram matrix",
    "brainscore": "Brain-Score's own code throughout, on raw activations: the reference",
}

# Fits that depend on the features X only through X Xᵀ. All centre X themselves; none may standardise it.
_INVARIANT = (
    sklearn.linear_model.Ridge,
    sklearn.linear_model.RidgeCV,
    DualRidgeRegression,
    DualRidgeCVRegression,
)


def require_engine(engine: str) -> str:
    """The engine's name itself, or a UserError that lists the engines."""
    if engine not in ENGINES:
        raise UserError(f"unknown engine '{engine}'.{suggest(engine, ENGINES)}")
    return engine


@dataclass
class Fitted:
    """A benchmark made ready for an engine.

    Parameters
    ----------
    benchmark : Brain-Score benchmark, a shallow copy where its metric was replaced
    form : what its activations may be: "gram", "surrogate" or "features" (see `candidate.FORMS`)
    engine : the engine that will really run: metrics that are no function of the Gram matrix get raw activations
    metric : the replacement, or None
    """

    benchmark: Any
    form: str
    engine: str
    metric: GramPredictivity | None = None


def fit_engine(benchmark: Any, engine: str, device: str = "cpu") -> Fitted:
    """Choose what a benchmark gets to see under an engine.

    Examples of what comes out under "gram": PLS gets the Gram matrix and our PLS, ridge the surrogate, and
    everything else (the behavioural readout standardises its features) the raw activations.
    """
    metric = getattr(benchmark, "_similarity_metric", None)
    if engine == "brainscore" or not _depends_on_gram_only(metric):
        return Fitted(benchmark, "features", "brainscore")
    if engine in ("gram", "converged") and _is_pls(metric):
        benchmark = copy.copy(benchmark)
        benchmark._similarity_metric = GramPredictivity(metric, device, converged=engine == "converged")
        return Fitted(benchmark, "gram", engine, benchmark._similarity_metric)
    return Fitted(benchmark, "surrogate", "surrogate")


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
        # Brain-Score sorts neuroids by their id.
        self.neuroid_order = np.argsort(target["neuroid_id"].values, kind="stable")
        scores = _packaged(self.predictivity.r[:, self.neuroid_order], target[:, self.neuroid_order])
        score = apply_aggregate(self._metric.aggregate, scores)
        return apply_aggregate(self._metric.cross_validation.aggregate, score)

    def held_out(self) -> dict[str, np.ndarray]:
        """Predictions and responses of the last call, for resampling: the arrays of `records.Sidecar`."""
        order = self.neuroid_order
        return {
            "stimulus_id": self._stimulus_id,
            "test_index": np.stack([test for _, test in self.splits]),
            "prediction": np.stack(list(self.predictivity.prediction))[:, :, order].astype(np.float32),
            "target": self._target[:, order].astype(np.float32),
        }


def _is_pls(metric: Any) -> bool:
    return isinstance(metric.regression._regression, sklearn.cross_decomposition.PLSRegression)


def _depends_on_gram_only(metric: Any) -> bool:
    # Exactly this class: a subclass (reverse predictivity, for one) may do anything else.
    if type(metric) is not CrossRegressedCorrelation or metric.cross_validation._preprocess_indices is not None:
        return False
    regression = getattr(metric.regression, "_regression", None)
    if isinstance(regression, sklearn.cross_decomposition.PLSRegression):
        return not regression.scale
    return isinstance(regression, _INVARIANT)


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
