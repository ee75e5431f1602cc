"""How responses and features are compared: Brain-Score's own metrics, chosen by name."""

from collections.abc import Callable
from dataclasses import dataclass

from brainscore_core.metrics import Metric
from brainscore_vision.metrics.cka.metric import CKA
from brainscore_vision.metrics.rdm.metric import RDMMetric
from brainscore_vision.metrics.regression_correlation.metric import (
    CrossRegressedCorrelation,
    pearsonr_correlation,
    pls_regression,
    ridge_cv_regression,
)


@dataclass(frozen=True)
class MetricCard:
    """What the benchmark needs to know about a metric.

    Attributes
    ----------
    build : strata column (or None) -> Brain-Score metric
    per_neuroid : whether it gives one value a neuroid; only these have a ceiling by internal consistency
    min_stimuli, min_neuroids : fewer cannot be scored
    """

    build: Callable[[str | None], Metric]
    per_neuroid: bool
    min_stimuli: int
    min_neuroids: int = 1


def _cross_validated(regression: Callable, strata: str | None) -> Metric:
    return CrossRegressedCorrelation(
        regression=regression(),
        correlation=pearsonr_correlation(),
        crossvalidation_kwargs={"stratification_coord": strata},
    )


METRICS = {
    # 25 components need 26 training stimuli (centring takes one), nine tenths of 29.
    "pls": MetricCard(lambda strata: _cross_validated(pls_regression, strata), True, min_stimuli=29),
    # Brain-Score registers a ridge of fixed strength as "ridge_cv"; this one chooses the strength by RidgeCV.
    "ridge_cv": MetricCard(lambda strata: _cross_validated(ridge_cv_regression, strata), True, min_stimuli=20),
    "cka": MetricCard(lambda strata: CKA(), False, min_stimuli=4),  # linear, Brain-Score's unbiased estimate
    "rdm": MetricCard(lambda strata: RDMMetric(), False, min_stimuli=3, min_neuroids=3),
}
