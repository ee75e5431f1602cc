"""Brain-Score's ridge metrics from a Gram matrix: cross-validated, and with separate training and test images.

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
from .recorded_model import Products


class GramRidge:
    """In place of the regression inside Brain-Score's `XarrayRegression`.

    Source assemblies hold, instead of features, for each presentation the number of its row in a Gram matrix
    (`gram_row`), and the matrix itself in the coordinate `products` of their only column, as
    `recorded_model.RecordedActivations` writes them: training and test images alike are rows of one matrix.

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
        self._train: np.ndarray | None = None
        self._decomposed: tuple[Products, bytes, Spectrum, np.ndarray] | None = None

    def fit(self, source: NeuroidAssembly, target: NeuroidAssembly) -> None:
        """Fit responses `target` (presentation x neuroid) from the products of their presentations."""
        self._train = source["gram_row"].values
        if np.ndim(self._alphas):
            spectrum, mean = self._spectrum(source["products"].values[0])
            fit = ridge_cv(spectrum, target.values, self._alphas)
            self.alpha_ = fit.alpha
        else:
            gram, mean = self._centred(source["products"].values[0])
            fit = ridge(gram, target.values, self._alphas)
        # The weights sum to zero over stimuli: of the centring of test stimuli only this constant is left.
        self._fit = RidgeFit(fit.weights, fit.intercept - mean @ fit.weights, fit.alpha)

    def predict(self, source: NeuroidAssembly) -> np.ndarray:
        """Predictions of shape (presentation, target neuroid)."""
        gram = source["products"].values[0].gram
        return predict(self._fit, gram[np.ix_(source["gram_row"].values, self._train)])

    def _centred(self, products: Products) -> tuple[np.ndarray, np.ndarray]:
        """Gram matrix of the training stimuli, centred over them, and the mean of each column before."""
        gram = products.gram[np.ix_(self._train, self._train)]
        mean = gram.mean(axis=0)
        gram -= mean
        gram -= mean[:, None] - mean.mean()
        return gram, mean

    def _spectrum(self, products: Products) -> tuple[Spectrum, np.ndarray]:
        """Decomposed once for subjects that saw the same training stimuli; what is held before is let go first."""
        train = self._train.tobytes()
        if self._decomposed is None or self._decomposed[0].gram is not products.gram or self._decomposed[1] != train:
            self._decomposed = None
            gram, mean = self._centred(products)
            self._decomposed = products, train, decompose(gram, self._device, overwrite=True), mean
        return self._decomposed[2:]


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
    """A copy of a metric that `covers`, to be given numbers of rows of a Gram matrix (see `GramRidge`)."""
    fast, fast.regression = copy.copy(metric), copy.copy(metric.regression)
    fast.regression._regression = GramRidge(metric.regression._regression, device)
    return fast
