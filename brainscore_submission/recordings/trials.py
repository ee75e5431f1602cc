"""Human choices between two objects: trials.csv, one line a trial."""

import math
from collections import Counter

import pandas as pd

from .findings import Finding, FolderError
from .heads import find_heads, lacking
from .images import Image, file_names
from .manifest import Manifest
from .tables import optional_table, read_table

TRIAL_FIELDS = ("stimulus", "sample_object", "distractor", "choice")
RUN = 20  # lines


def read_trials(
    manifest: Manifest, stimuli: pd.DataFrame, images: dict[str, Image]
) -> tuple[pd.DataFrame | None, list[Finding]]:
    """Read human choices: one line a trial.

    Parameters
    ----------
    manifest : Manifest
    stimuli : DataFrame with `stimulus_id` and `image`
    images : the images found

    Returns
    -------
    trials : DataFrame with the columns `stimulus_id`, `sample_object`, `distractor`, `choice`, `subject`, sorted; None
        where the folder holds no trials
    findings : list of Finding
    """
    path = optional_table(manifest.trials, manifest.folder, "trials")
    if path is None:
        return None, []
    given = read_table(path)
    heads = find_heads(given.columns, (*TRIAL_FIELDS, "subject"), manifest.columns)
    missing = [name for name in TRIAL_FIELDS if name not in heads]
    if missing:
        raise lacking(path.name, given.columns, missing[0], f"{', '.join(TRIAL_FIELDS)} and perhaps subject")
    trials = pd.DataFrame({name: given[heads[name]] for name in TRIAL_FIELDS})
    trials["subject"] = given[heads["subject"]] if "subject" in heads else "unknown"
    findings = _pasted_twice(path.name, given)
    unanswered = trials["choice"] == ""
    if unanswered.any():
        findings.append(
            Finding("note", f"{path.name}: {unanswered.sum()} of {len(trials)} trials without a choice, left out.")
        )
    trials = trials[~unanswered]
    ids = dict(zip(stimuli["stimulus_id"], stimuli["stimulus_id"], strict=True))
    unknown = [name for name in dict.fromkeys(trials["stimulus"]) if name not in ids]
    by_file = dict(zip(stimuli["image"], stimuli["stimulus_id"], strict=True))
    for name, image in zip(unknown, file_names(unknown, images, path.name), strict=True):
        if image not in by_file:
            raise FolderError(f"{path.name}: {name} is no line of the stimuli table.", "Add it there.")
        ids[name] = by_file[image]
    trials["stimulus_id"] = [ids[name] for name in trials.pop("stimulus")]
    _check_trials(trials, path.name)
    # In one order, whatever that of the lines: i2n deals the trials into halves by their place.
    trials = trials.sort_values(list(trials.columns), kind="stable").reset_index(drop=True)
    return trials, findings


def _check_trials(trials: pd.DataFrame, where: str) -> None:
    third = trials[(trials["choice"] != trials["sample_object"]) & (trials["choice"] != trials["distractor"])]
    if len(third):
        row = third.iloc[0]
        raise FolderError(
            f"{where}: line {third.index[0] + 2}: the choice '{row['choice']}' is neither the sample "
            f"'{row['sample_object']}' nor the distractor '{row['distractor']}'.",
            "A trial offers two objects and the choice is one of them.",
        )
    same = trials[trials["sample_object"] == trials["distractor"]]
    if len(same):
        raise FolderError(
            f"{where}: line {same.index[0] + 2}: sample and distractor are both '{same.iloc[0]['distractor']}'.",
            "Give the object that was not shown as distractor.",
        )
    objects = trials.groupby("stimulus_id")["sample_object"].nunique()
    if (objects > 1).any():
        raise FolderError(
            f"{where}: stimulus {objects.idxmax()} has {objects.max()} sample objects.",
            "A stimulus shows one object: use the same name in all its trials.",
        )


def _pasted_twice(where: str, given: pd.DataFrame) -> list[Finding]:
    """Warn of lines that were pasted in again: trials counted twice make the choices look consistent.

    Chance does not repeat each of 20 different lines equally often, nor, where lines tell of a subject, 20 in a row.
    """
    lines = list(given.itertuples(index=False, name=None))
    times = math.gcd(*Counter(lines).values()) if lines else 1
    said = None
    if times > 1 and len(set(lines)) >= RUN:
        said = f"every line stands there {times} times"
    elif given.shape[1] > len(TRIAL_FIELDS):
        seen: dict[tuple, int] = {}
        for start in range(len(lines) - RUN + 1):
            run = tuple(lines[start : start + RUN])
            first = seen.setdefault(run, start)
            if start - first >= RUN and len(set(run)) > RUN / 2:
                said = f"lines {first + 2} to {first + RUN + 1} stand there again from line {start + 2} on"
                break
    if said is None:
        return []
    return [
        Finding(
            "warning",
            f"{where}: {said}: pasted in twice? It raises the ceiling of the choices.",
            "Remove the second copy. If the trials are different ones, add a column that numbers them.",
        )
    ]
