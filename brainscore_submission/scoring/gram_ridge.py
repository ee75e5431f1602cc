"""Brain-Score's ridge metrics on rows of a Gram matrix: cross-validated, and with separate training and test images.

Splits, subjects, correlation, medians and the score object stay Brain-Score's; its regression alone is replaced.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly
from brainscore_vision.metric_helpers.xarray_utils import XarrayRegression
from brainscore_vision.metrics.regression_correlation.metric import (
    CrossRegressedCorrelation,
    DualRidgeCVRegression,
    DualRidgeRegression,
    TrainTestSplitCorrelation,
)
from sklearn.linear_model import Ridge, RidgeCV

from ..engine.ridge import RidgeFit, Spectrum, decompose, predict, ridge, ridge_cv


class GramRidge:
    """In place of the regression inside Brain-Score's `XarrayRegression`.

    Source assemblies hold inner products instead of features: a row for each presentation, a column for each stimulus
    that the model was shown, training and test images alike. The coordinate `gram_row` of a presentation is the
    `neuroid_num` of its own column, as `recorded_model.RecordedActivations` writes them.

    Parameters
    ----------
    regression : the one that is replaced, for its penalties
    device : where the products of a fit with several penalties run

    Attributes
    ----------
    alpha_ : float, the penalty chosen last; only where there is a choice, as in scikit-learn
    """

    def __init__(self, regression: Any, device: str = "cpu"):
        self._alphas = regression.alphas if hasattr(regression, "alphas") else regression.alpha
        self._device = device
        self._fit: RidgeFit | None = None
        self._train_numbers: np.ndarray | None = None
        self._decomposed: tuple[tuple, Spectrum] | None = None

    def fit(self, source: NeuroidAssembly, target: NeuroidAssembly) -> None:
        """Fit responses `target` (presentation x neuroid) from the products of their presentations."""
        self._train_numbers = source["gram_row"].values
        products = self._products(source)
        mean = products.mean(axis=0)
        gram = products - mean
        gram -= mean[:, None] - mean.mean()
        if np.ndim(self._alphas):
            fit = ridge_cv(self._spectrum(gram), target.values, self._alphas)
            self.alpha_ = fit.alpha
        else:
            fit = ridge(gram, target.values, self._alphas)
        # The weights sum to zero over stimuli: of the centring of test stimuli only this constant is left.
        self._fit = RidgeFit(fit.weights, fit.intercept - mean @ fit.weights, fit.alpha)

    def predict(self, source: NeuroidAssembly) -> np.ndarray:
        """Predictions of shape (presentation, target neuroid)."""
        return predict(self._fit, self._products(source))

    def _products(self, source: NeuroidAssembly) -> np.ndarray:
        """Columns of the training stimuli, in their order."""
        column_of = {number: column for column, number in enumerate(source["neuroid_num"].values)}
        return source.values[:, [column_of[number] for number in self._train_numbers]].astype(np.float64, copy=False)

    def _spectrum(self, gram: np.ndarray) -> Spectrum:
        """Decomposed once for subjects that saw the same training stimuli; another layer has another diagonal."""
        key = self._train_numbers.tobytes(), gram.diagonal().tobytes()
        if self._decomposed is None or self._decomposed[0] != key:
            self._decomposed = key, decompose(gram, self._device, overwrite=True)
        return self._decomposed[1]


def covers(metric: Any) -> bool:
    """Whether a metric is one of Brain-Score's ridge metrics that `with_gram_ridge` computes.

    The regression must have an intercept and nothing but its penalties changed: no scoring of its own, no penalty for
    each target, no folds within folds, no positive weights.
    """
    if type(metric) not in (CrossRegressedCorrelation, TrainTestSplitCorrelation):
        return False
    if type(metric.regression) is not XarrayRegression:
        return False
    regression = metric.regression._regression
    if type(regression) is DualRidgeRegression:
        return True
    if type(regression) is DualRidgeCVRegression:
        return regression.alphas is not None and not regression._ridgecv_kwargs
    if type(regression) not in (Ridge, RidgeCV):
        return False
    free = {"alpha", "alphas", "gcv_mode", "copy_X", "store_cv_results"}
    usual = type(regression)().get_params()
    changed = {name for name, value in regression.get_params().items() if value != usual[name] and name not in free}
    return not changed and (type(regression) is RidgeCV or np.ndim(regression.alpha) == 0 and regression.alpha > 0)


def with_gram_ridge(metric: Any, device: str = "cpu") -> Any:
    """A copy of a metric that `covers`, to be given rows of a Gram matrix (see `GramRidge`) instead of features."""
    fast, fast.regression = copy.copy(metric), copy.copy(metric.regression)
    fast.regression._regression = GramRidge(metric.regression._regression, device)
    return fast
