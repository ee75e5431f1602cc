"""How large each measurement is: the records of ``sizes.toml``."""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple


class MetricSize(NamedTuple):
    """PLS predictivity of one benchmark; of its ten folds Brain-Score's metric is measured on `brainscore_folds`."""

    n_stimuli: int
    n_features: int
    n_neuroids: int
    n_strata: int = 1
    wanted: int | None = None
    brainscore_folds: int = 10

    def __str__(self) -> str:
        return f"{self.n_stimuli:,} x {self.n_features:,} x {self.n_neuroids}"


class SuiteSize(NamedTuple):
    """Images of three sets; neuroids of each area; trials of each image, and of each image with each distractor."""

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

    def trials(self, images: str) -> int:
        """Of each of the textures or objects."""
        return {"textures": self.texture_trials, "objects": self.object_trials}[images]

    def __str__(self) -> str:
        return (
            f"{self.textures} images x {self.texture_trials} trials for V1 ({self.v1} neuroids) and V2 ({self.v2}), "
            f"{self.objects} x {self.object_trials} for V4 ({self.v4}) and IT ({self.it}), {self.behavior} images of "
            f"{self.behavior_objects} objects for behaviour"
        )


class Plan(NamedTuple):
    """What one run measures; networks are of `networks.NETWORKS`."""

    metric: tuple[MetricSize, ...]
    recording: SuiteSize
    evaluate: SuiteSize
    scaling: tuple[MetricSize, ...]
    recording_network: str = "crossvit"
    evaluate_network: str = "crossvit"
    brainscore_batch: int = 64
    brainscore_evaluates: bool = True


def _plan(table: dict[str, Any]) -> Plan:
    many = {name: tuple(MetricSize(**size) for size in table[name]) for name in ("metric", "scaling")}
    return Plan(**table | many | {name: SuiteSize(**table[name]) for name in ("recording", "evaluate")})


_TABLES = tomllib.loads(Path(__file__).with_name("sizes.toml").read_text(encoding="utf-8"))
TRUE_METRIC = MetricSize(**_TABLES["full"].pop("largest_metric"))
PLANS = {name: _plan(_TABLES["standard"] | table) for name, table in _TABLES.items()}
PLANS["full"] = PLANS["full"]._replace(metric=(*PLANS["full"].metric, TRUE_METRIC))
TRUE_SUITE = PLANS["full"].evaluate
