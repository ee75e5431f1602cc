"""Human choices between two objects as a Brain-Score benchmark (i2n)."""

import warnings
from contextlib import contextmanager

import numpy as np
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


class ChoiceBenchmark(_DicarloRajalingham2018):
    """Brain-Score's Rajalingham 2018 procedure over a lab's own trials: same calls, metric and ceiling.

    The readout is fitted to the images with `role` "fit" in stimuli.csv. Without that column it is fitted
    and tested on the same images, as Brain-Score's public benchmark does, and is optimistic.
    """

    unceiled = False

    def __init__(self, recordings: Recordings, load_id: str):
        fitting, testing = roles(recordings)
        check_choices(recordings)
        self._metric = I2n()
        self._fitting_stimuli = stimulus_set(recordings, fitting, part="fit")
        self._assembly = choices(recordings)
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
        self._kept_ceiling = None

    def __call__(self, candidate) -> Score:
        """Score a candidate."""
        with _expected_empty_means():
            return super().__call__(candidate)

    @property
    def ceiling(self) -> Score:
        """Split-half consistency of the choices, kept in memory."""
        if self._kept_ceiling is None:
            with _expected_empty_means():
                self._kept_ceiling = self._ceiling_func()
        return self._kept_ceiling


@contextmanager
def _expected_empty_means():
    # i2n averages over (truth, choice) pairs, and the pairs of an object with itself are all NaN.
    with warnings.catch_warnings():
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
    _check_halves(recordings, offered)
    if "role" in table:
        return []
    return [
        Finding(
            "warning",
            "the behavioural readout is fitted and tested on the same images: its score is optimistic.",
            "Add images without trials, and mark them with role fit (others: test) in stimuli.csv.",
        )
    ]


def _check_halves(recordings: Recordings, offered: set[str]) -> None:
    # The metric compares with random halves of the trials, drawn as here; a stimulus or an object that is
    # missing from one of them stops it with an assertion.
    metric, state = I2n(), RandomState(seed=0)
    stimuli, chosen = (recordings.trials[name].to_numpy() for name in ("stimulus_id", "choice"))
    trials = np.arange(len(stimuli))
    for _ in range(2):
        for half in metric.generate_halves(trials, random_state=state):
            lost = sorted(set(stimuli) - set(stimuli[half])) or sorted(offered - set(chosen[half]))
            if lost:
                raise FolderError(
                    f"too few trials: a random half of them lacks {few(lost)}.",
                    "Collect more trials for it, or leave its images out: exclude_stimuli in recordings.toml.",
                )
