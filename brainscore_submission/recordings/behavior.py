"""Human choices between two objects as a Brain-Score benchmark (i2n)."""

import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
from brainscore_core.metrics import Score
from brainscore_vision.benchmarks import BenchmarkBase
from brainscore_vision.benchmarks.rajalingham2018.benchmarks.benchmark import _DicarloRajalingham2018
from brainscore_vision.metrics.i1i2.metric import I2n
from numpy.random import RandomState

from ..words import count, few
from .assembly import choices, stimulus_set
from .findings import Finding, FolderError
from .reading import Recordings

ROLES = ("fit", "test")
N_HALVES = 10


class ChoiceBenchmark(_DicarloRajalingham2018):
    """Brain-Score's Rajalingham 2018 procedure over a lab's own trials: same calls, metric and ceiling.

    The readout is fitted to the images with `role` "fit" in stimuli.csv. Without that column it is fitted
    and tested on the same images, as Brain-Score's public benchmark does, and is optimistic.
    """

    unceiled = False

    def __init__(self, recordings: Recordings, load_id: str):
        fitting, testing = roles(recordings)
        check_choices(recordings)
        self._metric = _RememberedI2n()
        self._fitting_stimuli = stimulus_set(recordings, fitting, part="fit")
        self._trials, self._assembly = recordings.trials, choices(recordings)
        self._assembly.attrs["stimulus_set"] = stimulus_set(recordings, testing, part="test")
        self._assembly.attrs["stimulus_set_identifier"] = f"{recordings.identifier}-test"
        self._visual_degrees = recordings.manifest.visual_degrees
        self._number_of_trials = 2
        # Past the parent, whose own __init__ downloads the published data.
        BenchmarkBase.__init__(
            self,
            identifier=f"{recordings.identifier}.behavior-i2n",
            version=1,
            ceiling_func=lambda: self._metric.ceiling(self._assembly, skipna=True),
            parent="behavior",
        )
        self.load_id = load_id
        self.metric_name = "i2n"
        self.content_hash = recordings.content_hash
        self._kept_ceiling = self._other_ceilings = None

    def __call__(self, candidate) -> Score:
        """Score a candidate."""
        with _expected_empty_means():
            self.ceiling  # noqa: B018  (refuses choices that cannot be compared before the model looks at images)
            score = super().__call__(candidate)
            raw = [self._metric.of_one_split(target) for target in self._in_other_orders()]
            scores = np.array(raw) / np.sqrt(self.ceilings_of_other_halves())
        spread = float(np.nanstd(scores) / np.sqrt(score.ceiling.raw.sizes["split"]))
        if np.isfinite(spread):
            score.attrs["notes"] = (f"which random halves of the trials are drawn moves the score by ±{spread:.3f}",)
        return score

    @property
    def ceiling(self) -> Score:
        """Split-half consistency of the choices, kept in memory.

        Raises
        ------
        FolderError
            where a half has no two different values to correlate
        """
        if self._kept_ceiling is None:
            with _expected_empty_means():
                self._kept_ceiling = self._ceiling_func()
        if not np.isfinite(self._kept_ceiling.raw.values).all():
            raise FolderError(
                "the choices are too alike: in a random half of them no object is confused more often than another.",
                "Collect harder trials, or more of them.",
            )
        return self._kept_ceiling

    def ceilings_of_other_halves(self) -> np.ndarray:
        """The ceilings of up to `N_HALVES` splits of the trials in other orders, of shape (n_splits,)."""
        if self._other_ceilings is None:
            with _expected_empty_means():
                one = I2n(repetitions=1)
                found = [float(one.ceiling(target, skipna=True)) for target in self._in_other_orders()]
            self._other_ceilings = np.array(found)
        return self._other_ceilings

    def _in_other_orders(self):
        """The trials shuffled, so that other halves are drawn; without orders of which a half lacks a stimulus."""
        for seed in range(1, N_HALVES + 1):
            order = RandomState(seed).permutation(len(self._assembly))
            if not _lost_in_halves(self._trials.iloc[order], n_splits=1):
                yield self._assembly[order]


class _RememberedI2n:
    """Brain-Score's metric, which draws two splits; and its value for another, to say how much that matters."""

    def __init__(self):
        self._i2n = I2n()
        self.ceiling, self.aggregate = self._i2n.ceiling, self._i2n.aggregate

    def __call__(self, probabilities, target) -> Score:
        self._probabilities = probabilities.copy()
        return self._i2n(probabilities, target)

    def of_one_split(self, target) -> float:
        """The raw value against one half of these trials, for what the model said last."""
        return float(I2n(repetitions=1)(self._probabilities.copy(), target))


@contextmanager
def _expected_empty_means():
    # i2n averages over (truth, choice) pairs, and the pairs of an object with itself are all NaN; a split whose ceiling
    # is below 0 has no root, and is left out.
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        yield


def roles(recordings: Recordings) -> tuple[np.ndarray, np.ndarray]:
    """Say which stimuli the readout is fitted to and which it is tested on.

    Returns
    -------
    fitting, testing : boolean ndarrays of shape (n_stimuli,)
    """
    table = recordings.stimuli
    tried = table["stimulus_id"].isin(recordings.trials["stimulus_id"]).to_numpy()
    if "object_name" not in table:
        raise FolderError(
            "human choices need the object in every image, to fit the readout.",
            "Add a column object_name to stimuli.csv.",
        )
    if "role" not in table:
        return tried, tried
    wrong = table[~table["role"].isin(ROLES)]
    if len(wrong):
        raise FolderError(
            f"stimuli.csv: the role '{wrong.iloc[0]['role']}' of {wrong.iloc[0]['stimulus_id']} is not known.",
            "Write fit (for the readout) or test (has trials).",
        )
    fitting = (table["role"] == "fit").to_numpy()
    both = table["stimulus_id"][fitting & tried]
    if len(both):
        raise FolderError(
            f"{count(len(both), 'stimulus', 'stimuli')} with the role fit in trials.csv: {few(both)}.",
            "Give them the role test, or remove their trials.",
        )
    if not fitting.any():
        raise FolderError("stimuli.csv: no stimulus has the role fit.", "Leave the column role out, or mark some.")
    return fitting, tried


def check_choices(recordings: Recordings) -> list[Finding]:
    """Refuse choices that the i2n metric cannot compare, and remark on those that it flatters.

    Returns
    -------
    list of Finding
    """
    fitting, testing = roles(recordings)
    table, trials = recordings.stimuli, recordings.trials
    right = (trials["choice"] == trials["sample_object"]).sum()
    if right in (0, len(trials)):
        raise FolderError(
            f"{'every' if right else 'no'} choice of {count(len(trials), 'trial')} is right, so there is nothing "
            "to compare.",
            "See that choice holds what was chosen, not what was shown; else collect harder trials.",
        )
    labels = dict(zip(table["stimulus_id"], table["object_name"], strict=True))
    differing = trials[trials["sample_object"] != trials["stimulus_id"].map(labels)]
    if len(differing):
        row = differing.iloc[0]
        raise FolderError(
            f"{row['stimulus_id']} shows '{row['sample_object']}' in trials.csv and '{labels[row['stimulus_id']]}' "
            "in stimuli.csv.",
            "Use one name an object in both files.",
        )
    offered = set(trials["sample_object"]) | set(trials["distractor"])
    fitted = set(table["object_name"][fitting])
    if offered != fitted:
        raise FolderError(
            f"the objects of trials.csv and of the fitting images differ: {few(sorted(offered ^ fitted))}.",
            "Every object offered must be shown in a fitting image, and no other.",
        )
    lost = _lost_in_halves(trials)
    if lost:
        raise FolderError(
            f"too few trials: a random half of them lacks {few(lost)}.",
            "Collect more trials for it, or leave its images out: exclude_stimuli in recordings.toml.",
        )
    if "role" in table:
        return []
    return [
        Finding(
            "warning",
            "the behavioural readout is fitted and tested on the same images: its score is optimistic.",
            "Add images without trials, and mark them with role fit (others: test) in stimuli.csv.",
        )
    ]


def _lost_in_halves(trials: pd.DataFrame, n_splits: int = 2) -> list[str]:
    """Stimuli, or else objects, that a random half of the trials lacks: the metric stops there with an assertion."""
    metric, state = I2n(), RandomState(seed=0)  # as the metric draws them
    stimuli, chosen = (trials[name].to_numpy() for name in ("stimulus_id", "choice"))
    offered = set(trials["sample_object"]) | set(trials["distractor"])
    for _ in range(n_splits):
        for half in metric.generate_halves(np.arange(len(stimuli)), random_state=state):
            lost = sorted(set(stimuli) - set(stimuli[half])) or sorted(offered - set(chosen[half]))
            if lost:
                return lost
    return []
