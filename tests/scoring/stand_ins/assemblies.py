"""Stimulus sets, recordings and choices in the shapes in which Brain-Score stores them, filled with planted values."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly, NeuroidAssembly
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

from . import images


def seeded(*words) -> np.random.Generator:
    """A random generator that depends on these words only (not on Python's hash)."""
    return np.random.default_rng(list("|".join(map(str, words)).encode()))


def stimulus_set(
    identifier: str, folder: Path, pictures: Sequence[np.ndarray], columns: Mapping[str, Sequence]
) -> StimulusSet:
    """Pictures with their columns as a stimulus set whose files lie in ``folder / identifier``.

    ``stimulus_id`` may be among the columns; else it is made of the identifier and a number.
    """
    names = columns.get("stimulus_id", [f"{identifier}_{index:04d}" for index in range(len(pictures))])
    files = [f"{name}.png" for name in names]
    stimuli = StimulusSet(dict(columns) | {"stimulus_id": list(names), "filename": files})
    stimuli.stimulus_paths = {
        name: images.write(pixels, folder / identifier / file)
        for name, file, pixels in zip(names, files, pictures, strict=True)
    }
    stimuli.identifier = identifier
    stimuli.name = identifier
    return stimuli


def mosaics(identifier: str, folder: Path, mixtures: np.ndarray, columns: Mapping[str, Sequence]):
    """A stimulus set of mosaics and the mixtures that the drawn pictures have.

    Returns
    -------
    StimulusSet of n stimuli, array of shape (n, n_colours)
    """
    random = seeded(identifier, "tiles")
    pictures = [images.mosaic(mixture, random) for mixture in mixtures]
    drawn = np.array([images.mixture_of(pixels) for pixels in pictures])
    return stimulus_set(identifier, folder, pictures, columns), drawn


def responses(
    mixtures: np.ndarray,
    n_neuroids: int,
    n_repetitions: int,
    random: np.random.Generator,
    hidden: float = 0.6,
    noise: float = 0.5,
) -> np.ndarray:
    """Noisy linear responses to mixtures.

    A neuroid's signal has variance 1 over stimuli from what a network can see, ``hidden``² from what it cannot, and
    each repetition adds ``noise``².

    Returns
    -------
    array of shape (n_stimuli, n_repetitions, n_neuroids)
    """
    seen = mixtures @ random.normal(size=(mixtures.shape[1], n_neuroids))
    seen = (seen - seen.mean(axis=0)) / seen.std(axis=0)
    signal = seen + hidden * random.normal(size=seen.shape)
    return 3 + signal[:, None] + noise * random.normal(size=(len(mixtures), n_repetitions, n_neuroids))


def recordings(
    stimuli: StimulusSet,
    values: np.ndarray,
    neuroids: Mapping[str, Sequence],
    time_bins: Sequence[tuple[int, int]] = ((70, 170),),
    identifier: str | None = None,
    cls: Callable = NeuroidAssembly,
    attributes: Mapping | None = None,
    repetition: str = "repetition",
):
    """Responses as an assembly (presentation, neuroid, time_bin), the stimulus set's columns along presentation.

    Parameters
    ----------
    values : array of shape (n_stimuli, n_repetitions, n_neuroids) or (n_stimuli, n_repetitions, n_neuroids, n_bins)
    neuroids : coordinates along the neuroids
    """
    n_stimuli, n_repetitions, n_neuroids = values.shape[:3]
    values = values.reshape(n_stimuli * n_repetitions, n_neuroids, -1)
    values = np.broadcast_to(values, (*values.shape[:2], len(time_bins))).copy()
    along = {name: ("presentation", np.repeat(stimuli[name].values, n_repetitions)) for name in stimuli.columns}
    along[repetition] = ("presentation", np.tile(np.arange(n_repetitions), n_stimuli))
    across = {name: ("neuroid", np.asarray(column)) for name, column in neuroids.items()}
    starts, ends = zip(*time_bins, strict=True)
    bins = {"time_bin_start": ("time_bin", list(starts)), "time_bin_end": ("time_bin", list(ends))}
    assembly = cls(values, coords=along | across | bins, dims=["presentation", "neuroid", "time_bin"])
    return with_stimuli(assembly, stimuli, identifier or stimuli.identifier, attributes)


def choices(
    stimuli: StimulusSet, answers: np.ndarray, subjects: Sequence, columns: Mapping[str, np.ndarray] | None = None
) -> BehavioralAssembly:
    """Answers of every subject to every stimulus as an assembly along presentation.

    Parameters
    ----------
    answers : array of shape (n_subjects, n_stimuli)
    columns : further coordinates, each of shape (n_subjects, n_stimuli)
    """
    n_subjects, n_stimuli = answers.shape
    along = {name: ("presentation", np.tile(stimuli[name].values, n_subjects)) for name in stimuli.columns}
    along["subject"] = ("presentation", np.repeat(np.asarray(subjects), n_stimuli))
    along |= {name: ("presentation", np.asarray(column).ravel()) for name, column in (columns or {}).items()}
    assembly = BehavioralAssembly(answers.ravel(), coords=along, dims=["presentation"])
    return with_stimuli(assembly, stimuli, stimuli.identifier)


def with_stimuli(assembly, stimuli: StimulusSet, identifier: str, attributes: Mapping | None = None):
    """The assembly with the attributes that Brain-Score's loader gives to one."""
    assembly.attrs |= dict(attributes or {}) | {
        "stimulus_set": stimuli,
        "stimulus_set_identifier": stimuli.identifier,
        "identifier": identifier,
    }
    assembly.name = identifier
    return assembly
