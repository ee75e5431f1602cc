"""Recordings as Brain-Score benchmarks."""

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
import pandas as pd
from brainscore_core.metrics import Score
from brainscore_vision.benchmark_helpers.neural_common import NeuralBenchmark
from brainscore_vision.benchmark_helpers.screen import place_on_screen
from brainscore_vision.metrics import Ceiling

from ..plugin.errors import UserError, suggest
from ..scoring.suites import Suite
from ..words import count
from .assembly import assembly
from .behavior import ChoiceBenchmark
from .consistency import StatedCeiling, ValidRepetitionsConsistency, has_ceiling
from .findings import FolderError
from .metrics import METRICS
from .reading import Recordings


class RecordedBenchmark(NeuralBenchmark):
    """One area's recordings compared by one metric.

    Attributes
    ----------
    load_id : `recordings.<name>.<area>-<metric>`; `identifier` carries the content beside it
    metric_name : a key of `METRICS`
    content_hash : of the recordings
    unceiled : whether there is no ceiling; the score is then the raw value
    """

    unceiled = False

    def __init__(self, recordings: Recordings, area: str, metric: str):
        averaged = assembly(recordings, area, average=True)
        super().__init__(
            identifier=f"{recordings.identifier}.{area}-{metric}",
            version=1,
            assembly=averaged,
            similarity_metric=METRICS[metric].build(recordings.manifest.strata),
            visual_degrees=recordings.manifest.visual_degrees,
            number_of_trials=recordings.responses.shape[2],
            ceiling_func=None if self.unceiled else partial(ceiling_of(recordings, area), averaged),
            parent=area,
        )
        self.load_id = benchmark_id(recordings, area, metric)
        self.metric_name = metric
        self.content_hash = recordings.content_hash

    @cached_property
    def ceiling(self) -> Score:
        """Split-half consistency, kept in memory: Brain-Score's own property keeps it on disk, by identifier."""
        return self._ceiling_func()


class UnceiledBenchmark(RecordedBenchmark):
    """The same without a ceiling: no repetitions, or a metric without one value a neuroid."""

    unceiled = True
    ceiling = None

    def __call__(self, candidate) -> Score:
        """Return the metric's value as it is, `attrs["ceiling"]` None."""
        candidate.start_recording(self.region, time_bins=self.timebins)
        stimuli = place_on_screen(
            self._assembly.stimulus_set,
            target_visual_degrees=candidate.visual_degrees(),
            source_visual_degrees=self._visual_degrees,
        )
        source = candidate.look_at(stimuli, number_of_trials=self._number_of_trials)
        if "time_bin" in source.dims and source.sizes["time_bin"] == 1:
            source = source.squeeze("time_bin")
        raw = self._similarity_metric(source, self._assembly)
        score = Score(raw.values)
        if "error" in raw.attrs:
            score.attrs["error"] = raw.attrs["error"]
        score.attrs[Score.RAW_VALUES_KEY] = raw
        score.attrs["ceiling"] = None
        return score


def benchmark_id(recordings: Recordings, area: str, metric: str) -> str:
    """Name a benchmark as a user types it.

    Parameters
    ----------
    recordings : Recordings
    area : a brain area, or "behavior"
    metric : a key of `METRICS`, or "i2n"
    """
    return f"recordings.{recordings.name}.{area}-{metric}"


def benchmarks(recordings: Recordings, metric: str = "pls") -> dict[str, Callable]:
    """List the benchmarks that recordings make, one an area and one for human choices.

    Parameters
    ----------
    recordings : Recordings
    metric : a key of `METRICS`, for the neural ones

    Returns
    -------
    dict from load id to a function without arguments that builds the benchmark
    """
    if metric not in METRICS:
        raise UserError(f"unknown metric '{metric}'." + suggest(metric, METRICS))
    built = {}
    for area in recordings.areas:
        check_metric(recordings, area, metric)
        ceiled = METRICS[metric].per_neuroid and ceiling_of(recordings, area) is not None
        kind = RecordedBenchmark if ceiled else UnceiledBenchmark
        built[benchmark_id(recordings, area, metric)] = partial(kind, recordings, area, metric)
    if recordings.trials is not None:
        load_id = benchmark_id(recordings, "behavior", "i2n")
        built[load_id] = partial(ChoiceBenchmark, recordings, load_id)
    return built


def recordings_suite(recordings: Recordings, metric: str = "pls") -> Suite:
    """Make recordings a suite: scored, recorded and reported like the others.

    Parameters
    ----------
    recordings : Recordings
    metric : a key of `METRICS`, for the neural benchmarks
    """
    loaders = benchmarks(recordings, metric)
    areas = [*recordings.areas, *([] if recordings.trials is None else ["behavior"])]
    return Suite(
        f"recordings.{recordings.name}",
        {area: (load_id,) for area, load_id in zip(areas, loaders, strict=True)},
        loaders=loaders,
        data=recordings.content_hash,
    )


def ceiling_of(recordings: Recordings, area: str) -> Ceiling | None:
    """The ceiling of an area: of its repetitions, else as neuroids.csv gives it, else none."""
    values = recordings.of_area(area)
    if has_ceiling(values):
        return ValidRepetitionsConsistency(values)
    stated = recordings.neuroids_of(area).get("ceiling")
    return None if stated is None else StatedCeiling(stated.to_numpy(dtype=float))


def check_metric(recordings: Recordings, area: str, metric: str) -> None:
    """Refuse a metric that these recordings cannot be scored with.

    Raises
    ------
    FolderError
    """
    card = METRICS[metric]
    n_neuroids, n_stimuli, _ = recordings.of_area(area).shape
    if n_stimuli < card.min_stimuli:
        possible = [name for name, other in METRICS.items() if other.min_stimuli <= n_stimuli]
        raise FolderError(
            f"{count(n_stimuli, 'stimulus', 'stimuli')}: the metric {metric} needs {card.min_stimuli} or more.",
            f"Use another metric: {', '.join(possible)}." if possible else "Record more.",
        )
    if n_neuroids < card.min_neuroids:
        raise FolderError(
            f"{area} has {count(n_neuroids, 'neuroid')}: the metric {metric} needs {card.min_neuroids} or more.",
            f"Use another metric: {', '.join(n for n, o in METRICS.items() if o.min_neuroids <= n_neuroids)}.",
        )
    if card.per_neuroid and recordings.manifest.strata is not None:
        _check_strata(recordings.stimuli[recordings.manifest.strata], recordings.manifest.strata)


def _check_strata(values: pd.Series, strata: str) -> None:
    """Refuse strata that ten per cent of the stimuli cannot represent, as scikit-learn's splitter would."""
    sizes = values.value_counts()
    if sizes.min() < 2:
        raise FolderError(
            f"strata = '{strata}': '{sizes.idxmin()}' has a single stimulus and cannot be split.",
            "Merge small strata, or leave strata out of recordings.toml.",
        )
    n_test = int(np.ceil(len(values) * 0.1))
    if len(sizes) > n_test:
        raise FolderError(
            f"strata = '{strata}': {len(sizes)} strata do not fit into the {n_test} test stimuli of a split.",
            "Use fewer strata, or leave strata out of recordings.toml.",
        )
