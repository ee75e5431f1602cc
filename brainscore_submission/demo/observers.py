"""SIMULATED observers of a match-to-sample task: a picture, then two objects to choose from.

An observer reads the ground-truth network's decision values for the sample's and the distractor's object, prefers the
larger one with a logistic rule, and sometimes guesses.
"""

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly

from .ground_truth import BEHAVIOR_LAYER
from .neurons import features, stimulus_set
from .objects import OBJECTS
from .stimuli import OBJECT_DEGREES, is_test, object_stimuli

N_OBSERVERS = 12
TRIALS_PER_OBSERVER = 10  # of each picture with each distractor
SENSITIVITY = 0.7  # logits per unit of decision; each observer's own is near it
LAPSES = 0.1  # share of trials that are guessed
SEED = 6


def choices() -> BehavioralAssembly:
    """Every trial of the simulated observers on the pictures that test behaviour, in Brain-Score's format.

    Returns
    -------
    BehavioralAssembly of shape (n_trials,), as Rajalingham2018: the value is the chosen object; presentation levels
    `stimulus_id`, `truth`, `sample_obj`, `dist_obj`, `choice`, `correct` and `observer`
    """
    tested = [stimulus for stimulus in object_stimuli() if is_test(stimulus)]
    names = np.array(list(OBJECTS))
    trials = _trials(len(tested), np.array([list(OBJECTS).index(s.meta["object_name"]) for s in tested]))
    random = np.random.RandomState(SEED)
    sensitivity = SENSITIVITY * np.exp(0.2 * random.standard_normal(N_OBSERVERS))
    preference = _preference(trials) * sensitivity[trials["observer"]]
    probability = LAPSES / 2 + (1 - LAPSES) / (1 + np.exp(-preference))
    correct = random.uniform(size=len(probability)) < probability
    sample, distractor = names[trials["sample"]], names[trials["distractor"]]
    chosen = np.where(correct, sample, distractor)
    shown = stimulus_set(tested, "objects-test")
    columns = {
        "stimulus_id": shown["stimulus_id"].values[trials["picture"]],
        "truth": sample,
        "sample_obj": sample,
        "dist_obj": distractor,
        "choice": chosen,
        "correct": correct,
        "observer": trials["observer"],
    }
    assembly = BehavioralAssembly(
        chosen,
        coords={name: ("presentation", values) for name, values in columns.items()},
        dims=["presentation"],
    )
    assembly.attrs = {"stimulus_set": shown, "stimulus_set_identifier": shown.identifier, "simulated": True}
    return assembly


def fitting_stimuli():
    """The object pictures that do not test behaviour: Brain-Score fits the readout of a model to them."""
    return stimulus_set([stimulus for stimulus in object_stimuli() if not is_test(stimulus)], "objects-fit")


def _trials(n_pictures, objects_shown):
    """Every picture with every distractor for every observer: columns of indices."""
    picture, distractor, observer, _ = np.meshgrid(
        *map(np.arange, (n_pictures, len(OBJECTS), N_OBSERVERS, TRIALS_PER_OBSERVER)), indexing="ij"
    )
    sample = objects_shown[picture]
    kept = sample != distractor
    columns = {"picture": picture, "sample": sample, "distractor": distractor, "observer": observer}
    return {name: column[kept] for name, column in columns.items()}


def _preference(trials):
    """How much larger the decision value of the sample's object is than the distractor's."""
    decision = features(OBJECT_DEGREES)[BEHAVIOR_LAYER]
    decision = decision[[is_test(stimulus) for stimulus in object_stimuli()]]
    return decision[trials["picture"], trials["sample"]] - decision[trials["picture"], trials["distractor"]]
