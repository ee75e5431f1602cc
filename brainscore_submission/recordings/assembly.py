"""Recordings as Brain-Score's own objects: StimulusSet, NeuroidAssembly, BehavioralAssembly."""

from pathlib import Path

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly, NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.neural_common import average_repetition

from .reading import Recordings


def stimulus_set(recordings: Recordings, keep: np.ndarray | None = None, part: str = "") -> StimulusSet:
    """Build the stimulus set of the recordings, or of a part of them.

    Parameters
    ----------
    recordings : Recordings
    keep : boolean ndarray of shape (n_stimuli,); all where None
    part : name of the part, made part of the identifier

    Returns
    -------
    StimulusSet
        Its identifier carries the recordings' content, because Brain-Score caches placed stimuli by it.
    """
    keep = np.ones(len(recordings.stimuli), dtype=bool) if keep is None else keep
    table = recordings.stimuli[keep].reset_index(drop=True)
    # Only what is meant: every column becomes a coordinate of the model's activations, and one called
    # "degrees" would overrule the field of view.
    built = StimulusSet(table[_label_columns(recordings)])
    built["stimulus_file_name"] = table["image"]
    if "object_name" in table:
        built["image_label"] = table["object_name"]  # what Brain-Score's readout is fitted to
    paths = [image.path for image, kept in zip(recordings.images, keep, strict=True) if kept]
    built.stimulus_paths = dict(zip(table["stimulus_id"], map(Path, paths), strict=True))
    built.identifier = recordings.identifier + (f"-{part}" if part else "")
    return built


def _label_columns(recordings: Recordings) -> list[str]:
    wanted = dict.fromkeys(("stimulus_id", "object_name", recordings.manifest.strata))
    return [name for name in wanted if name in recordings.stimuli.columns]


def assembly(recordings: Recordings, area: str, average: bool = False) -> NeuroidAssembly:
    """Build the assembly of one area.

    Parameters
    ----------
    recordings : Recordings
    area : one of `recordings.areas`
    average : mean over the repetitions (by Brain-Score's `average_repetition`, which skips NaN), or each

    Returns
    -------
    NeuroidAssembly of shape (n_presentations, n_neuroids)
        Coordinates `stimulus_id`, `repetition`, `stimulus_file_name`, the strata column and `object_name`
        where there are; `neuroid_id`, `region`, `animal`; the scalar `time_bin`. A repetition that no
        neuroid has is dropped; one that some neuroids have is NaN for the others.
    """
    values = recordings.of_area(area)
    n_neuroids, n_stimuli, n_repetitions = values.shape
    flat = values.transpose(1, 2, 0).reshape(n_stimuli * n_repetitions, n_neuroids)
    present = ~np.isnan(flat).all(axis=1)
    built = NeuroidAssembly(
        flat[present][:, :, np.newaxis],
        coords={
            **_presentation_coords(recordings, n_repetitions, present),
            **_neuroid_coords(recordings, area),
            "time_bin_start": ("time_bin", [recordings.time_window_ms[0]]),
            "time_bin_end": ("time_bin", [recordings.time_window_ms[1]]),
        },
        dims=["presentation", "neuroid", "time_bin"],
    ).squeeze("time_bin")  # as Brain-Score's own static benchmarks do
    built.attrs["stimulus_set"] = stimulus_set(recordings)
    built.attrs["stimulus_set_identifier"] = recordings.identifier
    built.attrs["identifier"] = f"{recordings.identifier}.{area}"
    return average_repetition(built) if average else built


def _presentation_coords(recordings: Recordings, n_repetitions: int, present: np.ndarray) -> dict:
    table = recordings.stimuli
    names = {"stimulus_id": "stimulus_id", "stimulus_file_name": "image"}
    names |= {name: name for name in _label_columns(recordings)}
    coords = {
        name: ("presentation", np.repeat(table[column].to_numpy(dtype=object), n_repetitions)[present])
        for name, column in names.items()
    }
    repetition = np.tile(np.arange(n_repetitions), len(table))[present]
    return coords | {"repetition": ("presentation", repetition)}


def _neuroid_coords(recordings: Recordings, area: str) -> dict:
    table = recordings.neuroids_of(area)
    columns = {"neuroid_id": "neuroid_id", "region": "area", "animal": "subject"}
    return {name: ("neuroid", table[column].to_numpy(dtype=object)) for name, column in columns.items()}


def choices(recordings: Recordings) -> BehavioralAssembly:
    """Build the assembly of human choices, as Brain-Score holds Rajalingham 2018.

    Returns
    -------
    BehavioralAssembly of shape (n_trials,)
        The chosen objects, with coordinates `stimulus_id`, `sample_obj`, `dist_obj`, `truth`, `subject`.
    """
    trials = recordings.trials
    columns = {
        "stimulus_id": "stimulus_id",
        "sample_obj": "sample_object",
        "dist_obj": "distractor",
        "truth": "sample_object",
        "subject": "subject",
    }
    coords = {name: ("presentation", trials[column].to_numpy(dtype=object)) for name, column in columns.items()}
    return BehavioralAssembly(trials["choice"].to_numpy(dtype=object), coords=coords, dims=["presentation"])
