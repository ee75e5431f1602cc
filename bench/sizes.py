"""How large each measurement is, and which measurements make up a run. Data only.

The true sizes are those of Brain-Score's public benchmarks: FreemanZiemba2013 (V1, V2), MajajHong2015 (V4, IT) and
Rajalingham2018 (behaviour).
"""

from __future__ import annotations

from dataclasses import dataclass

CROSSVIT_FEATURES = 577 * 448  # of the layers that V1, V2, V4 and IT are committed to


@dataclass(frozen=True)
class MetricSize:
    """PLS predictivity of one benchmark.

    Parameters
    ----------
    n_stimuli, n_features, n_neuroids : int
    n_strata : groups of stimuli that the splits keep in proportion
    brainscore_folds : of its ten folds, how many Brain-Score's metric is measured on
    wanted : ratio of times that was promised, if any
    """

    n_stimuli: int
    n_features: int
    n_neuroids: int
    n_strata: int
    brainscore_folds: int = 10
    wanted: int | None = None


@dataclass(frozen=True)
class SuiteSize:
    """Stimuli and responses of the five areas.

    Parameters
    ----------
    textures, objects, behavior : images of V1 and V2, of V4 and IT, and of the behavioural task
    v1, v2, v4, it : neuroids
    texture_trials, object_trials : repetitions of each image, which the ceilings are made of
    object_names, behavior_objects : different objects among the images
    pair_trials : human trials for each image and distractor
    """

    textures: int
    objects: int
    behavior: int
    v1: int = 102
    v2: int = 103
    v4: int = 88
    it: int = 168
    texture_trials: int = 20
    object_trials: int = 50
    object_names: int = 64
    behavior_objects: int = 24
    pair_trials: int = 4

    @property
    def images(self) -> int:
        """Images of all sets."""
        return self.textures + self.objects + self.behavior


TRUE_SUITE = SuiteSize(textures=135, objects=3200, behavior=2160)

SUITE_SIZES = {
    "tiny": SuiteSize(
        textures=40, objects=40, behavior=24, v1=3, v2=3, v4=3, it=4,
        texture_trials=4, object_trials=4, object_names=4, behavior_objects=3, pair_trials=8,
    ),
    "quick": SuiteSize(
        textures=60, objects=120, behavior=72, v1=20, v2=20, v4=20, it=30,
        texture_trials=6, object_trials=6, object_names=8, behavior_objects=6,
    ),
    "scaled": SuiteSize(textures=64, objects=128, behavior=120, object_names=8),
    "true": TRUE_SUITE,
}  # fmt: skip


@dataclass(frozen=True)
class ScalingSize:
    """One row of the helper sizes: what Gram and PLS cost at a size, ours alone."""

    n_stimuli: int
    n_features: int
    n_neuroids: int


@dataclass(frozen=True)
class Plan:
    """What one run measures.

    Parameters
    ----------
    metric : sizes of the metric alone
    recording : images of the recording alone (its neuroids and trials play no part)
    recording_network : "crossvit" or "tiny"
    brainscore_batch : images in one of Brain-Score's forward passes; None for its default, 64
    evaluate : key of `SUITE_SIZES`
    evaluate_network : "crossvit" or "tiny"
    scaling : helper sizes
    """

    metric: tuple[MetricSize, ...]
    recording: SuiteSize
    recording_network: str
    brainscore_batch: int | None
    evaluate: str
    evaluate_network: str
    scaling: tuple[ScalingSize, ...]


_STANDARD_METRIC = (
    MetricSize(640, 40_000, 50, 8, wanted=100),
    MetricSize(1280, 50_000, 168, 64, wanted=200),
    MetricSize(315, 200_000, 103, 2, wanted=400),
    MetricSize(135, CROSSVIT_FEATURES, 102, 2),
)

_SCALING = (
    ScalingSize(135, CROSSVIT_FEATURES, 102),
    ScalingSize(640, CROSSVIT_FEATURES, 50),
    ScalingSize(1280, CROSSVIT_FEATURES, 168),
    ScalingSize(3200, CROSSVIT_FEATURES, 88),
    ScalingSize(3200, CROSSVIT_FEATURES, 168),
    ScalingSize(3200, 3 * CROSSVIT_FEATURES, 168),  # the code-comment variant of the layer map
    ScalingSize(3200, 20_000, 168),
)

PLANS = {
    "tiny": Plan(
        metric=(MetricSize(60, 300, 4, 2),),
        recording=SuiteSize(textures=4, objects=4, behavior=4),
        recording_network="tiny",
        brainscore_batch=4,
        evaluate="tiny",
        evaluate_network="tiny",
        scaling=(ScalingSize(60, 500, 4),),
    ),
    "quick": Plan(
        metric=(MetricSize(240, 8_000, 30, 4),),
        recording=SuiteSize(textures=8, objects=8, behavior=8),
        recording_network="crossvit",
        brainscore_batch=8,  # its 64 would pad these few images eightfold
        evaluate="quick",
        evaluate_network="tiny",
        scaling=(ScalingSize(320, 48_000, 40),),
    ),
    "standard": Plan(
        metric=_STANDARD_METRIC,
        recording=SuiteSize(textures=64, objects=128, behavior=64),
        recording_network="crossvit",
        brainscore_batch=None,
        evaluate="scaled",
        evaluate_network="crossvit",
        scaling=_SCALING,
    ),
    "full": Plan(
        metric=(*_STANDARD_METRIC, MetricSize(3200, CROSSVIT_FEATURES, 168, 64, brainscore_folds=1)),
        recording=SuiteSize(textures=64, objects=128, behavior=64),
        recording_network="crossvit",
        brainscore_batch=None,
        evaluate="true",
        evaluate_network="crossvit",
        scaling=_SCALING,
    ),
}
"""What `--plan` may be, from half a minute to hours."""
