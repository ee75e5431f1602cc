"""Recordings of people: fMRI of many subjects, split into train and test pictures, and EEG."""

from pathlib import Path

import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly, NeuroidAssembly

from . import images
from .assemblies import mosaics, recordings, responses, seeded, stimulus_set, with_stimuli
from .electrophysiology import OBJECTS

AREAS = ("V1", "V2", "V4", "IT")
ALLEN = {  # data set: subjects
    "Allen2022_fmri": range(1, 9),
    "Allen2022_fmri_4subj": (1, 2, 5, 7),
    "Allen2022_fmri_surface": range(1, 9),
    "Allen2022_fmri_surface_4subj": (1, 2, 5, 7),
}
LAION_SUBJECTS = ("sub-01", "sub-03", "sub-05", "sub-06", "sub-07")
N_SHARED, N_OWN = 60, 30  # LAION-fMRI's pictures that all subjects saw, and those of one subject


def datasets() -> dict:
    """Identifier of a data set to the function that builds it, given the folder for its pictures."""
    table = {"Bracci2019": bracci, "Coggan2024_fMRI": coggan}
    for prefix, subjects in ALLEN.items():
        _add_split(table, prefix, lambda folder, p=prefix, s=subjects: both_splits(folder, p, s, AREAS))
    _add_split(table, "Hebart2023_fmri", lambda folder: both_splits(folder, "Hebart2023_fmri", (1, 2, 3), AREAS))
    _add_split(table, "Papale2025", papale)
    _add_split(table, "Gifford2022", gifford)
    for subject in LAION_SUBJECTS:
        for prefix in ("Zerbe2026_fmri", "Zerbe2026_fmri_persubject"):
            table[f"{prefix}_full_{subject}"] = lambda folder, p=prefix, s=subject: laion(folder, p, s)
    return table


def stimulus_sets() -> dict:
    return {
        "Bracci2019": lambda folder: bracci(folder).stimulus_set,
        "Zerbe2026_fmri_stim_full": lambda folder: _laion_pictures(folder)[0],
        "Zerbe2026_fmri_persubject_stim_full": lambda folder: _laion_pictures(folder)[0],
    }


def _add_split(table, prefix, build):
    for index, side in enumerate(("train", "test")):
        table[f"{prefix}_{side}"] = lambda folder, index=index: build(folder)[index]


def both_splits(folder: Path, prefix: str, subjects, areas, reliability: str = "nc_testset", threshold: float = 30):
    """Train pictures shown once, test pictures three times, to the same neuroids of all subjects.

    A quarter of the neuroids lies below the threshold of the benchmark's own filter.

    Returns
    -------
    the assemblies of the train and of the test pictures
    """
    random = seeded(prefix)
    per_area = 5 if len(subjects) > 4 else 8
    rows = [(subject, area) for subject in subjects for area in areas for _ in range(per_area)]
    neuroids = dict(zip(("subject", "region"), map(list, zip(*rows, strict=True)), strict=True))
    neuroids |= {"neuroid_id": range(len(rows)), reliability: random.uniform(0.5, 3.5, len(rows)) * threshold}
    stimuli, mixtures = [], []
    for side, number in (("train", 60), ("test", 24)):
        drawn = mosaics(
            f"{prefix}_{side}_Stimuli",
            folder,
            images.random_mixtures(number, random),
            {"stimulus_id": [f"{side}_{index:03d}" for index in range(number)]},
        )
        stimuli.append(drawn[0])
        mixtures.append(drawn[1])
    values = responses(np.vstack(mixtures), len(rows), 3, random, hidden=0.5, noise=0.7)
    train = recordings(stimuli[0], values[:60, :1], neuroids, identifier=f"{prefix}_train", cls=NeuroidAssembly)
    test = recordings(stimuli[1], values[60:], neuroids, identifier=f"{prefix}_test", cls=NeuroidAssembly)
    return train, test


def papale(folder: Path):
    """Multi-unit activity of two monkeys, which comes in the same form."""
    return both_splits(folder, "Papale2025", ("monkeyF", "monkeyN"), ("V1", "V4", "IT"), "reliability", 0.3)


def gifford(folder: Path):
    """EEG of three people at one electrode, 100 samples a second; the benchmark takes 60 from stimulus onset."""
    random = seeded("Gifford2022")
    neuroids = {"subject": [1, 2, 3], "neuroid_id": [1, 2, 3], "channel": ["Oz", "O1", "O2"]}
    starts = np.round(np.arange(-0.05, 0.65, 0.01), 2)
    bins = list(zip(starts, np.round(starts + 0.01, 2), strict=True))
    course = 0.3 + np.exp(-np.square((starts - 0.2) / 0.15))
    assemblies = []
    weights = random.integers(2**31)
    for side, number, n_repetitions in (("train", 50, 2), ("test", 20, 4)):
        columns = {"stimulus_id": [f"{side}_{index:03d}" for index in range(number)]}
        stimuli, mixtures = mosaics(f"Gifford2022_{side}", folder, images.random_mixtures(number, random), columns)
        values = responses(mixtures, 3, n_repetitions, np.random.default_rng(weights))[..., None] * course
        values = values + 0.3 * random.normal(size=values.shape)
        assemblies.append(recordings(stimuli, values, neuroids, bins, f"Gifford2022_{side}", NeuroidAssembly))
    return assemblies


def _laion_pictures(folder: Path):
    random = seeded("Zerbe2026")
    names = [f"shared_{index:03d}" for index in range(N_SHARED)]
    names += [f"{subject}_{index:03d}" for subject in LAION_SUBJECTS for index in range(N_OWN)]
    mixtures = images.random_mixtures(len(names), random)
    return mosaics("Zerbe2026_fmri_stim_full", folder, mixtures, {"stimulus_id": names, "image_name": names})


def laion(folder: Path, prefix: str, subject: str):
    """One subject's voxels for the pictures that all saw; for the pool of its own also those that only it saw."""
    everything, mixtures = _laion_pictures(folder)
    mine = everything["stimulus_id"].str.startswith(("shared", subject) if "persubject" in prefix else "shared").values
    random = seeded(prefix, subject)
    per_area = 7
    areas = np.repeat(AREAS, per_area)
    nc = random.uniform(20, 90, len(areas))
    neuroids = {"region": areas, "roi": [f"{area}v" for area in areas], "subject_id": [subject] * len(areas)}
    neuroids |= {"voxel_index_in_brain_mask": 100 + np.arange(len(areas))}
    neuroids |= {"nc_4rep": nc - 10, "nc_12rep": nc, "nc_allrep": nc + 5}
    stimuli = everything[mine]
    stimuli.stimulus_paths, stimuli.identifier = everything.stimulus_paths, everything.identifier
    # All subjects share most of what they respond to, part of it in no colour: a ceiling between subjects.
    shared = responses(mixtures, len(areas), 1, seeded("Zerbe2026", "common"), hidden=0.9, noise=0.0)[mine]
    own = responses(mixtures[mine], len(areas), 4, random, noise=0.8)
    assembly = recordings(
        stimuli[["stimulus_id"]],
        0.8 * shared + 0.4 * own,
        neuroids,
        cls=NeuroidAssembly,
        identifier=f"{prefix}_full_{subject}",
    )
    attributes = assembly.attrs
    coordinates = {name: ("presentation", assembly[name].values) for name in ("stimulus_id", "repetition")}
    coordinates["subject_id_pres"] = ("presentation", [subject] * assembly.sizes["presentation"])
    coordinates |= {name: ("neuroid", assembly[name].values) for name in neuroids}
    coordinates |= {"time_bin_start": ("time_bin", [0]), "time_bin_end": ("time_bin", [0])}
    assembly = NeuroidAssembly(assembly.values, coords=coordinates, dims=assembly.dims)
    return with_stimuli(assembly, stimuli, attributes["identifier"])


def split_masks(trials: pd.DataFrame, split: str, pool: str = "shared", ood_types=None):
    """Which trials belong to the train and to the test pictures of a split: stands in for LAION-fMRI's own tables.

    Returns
    -------
    two bool arrays of shape (n_trials,)
    """
    number = trials["label"].str.rsplit("_", n=1).str[-1].astype(int).to_numpy()
    if split == "tau":
        test = number % 3 == 0
    elif split == "ood":
        test = number % 4 == 1
    else:
        raise LookupError(f"no stand-in for the split {split!r} of LAION-fMRI")
    inside = trials["label"].str.startswith("shared" if pool == "shared" else ("shared", pool)).to_numpy()
    return inside & ~test, inside & test


def bracci(folder: Path):
    """Voxels of five people in three regions; a voxel's number means the same in all: the benchmark averages them."""
    random = seeded("Bracci2019")
    groups, kinds, exemplars = ("animal", "lookalike", "object"), ("bear", "cow", "fish", "bird"), range(3)
    rows = [(group, kind, exemplar) for group in groups for kind in kinds for exemplar in exemplars]
    typical = np.repeat(images.random_mixtures(len(groups) * len(kinds), random), len(exemplars), axis=0)
    mixtures = 0.5 * typical + 0.5 * images.random_mixtures(len(rows), random)
    columns = {
        "image_group": [row[0] for row in rows],
        "image_label": [f"{row[0]}_{row[1]}" for row in rows],
        "exemplar_number": [row[2] for row in rows],
        "stimulus_name": [f"{row[0]}_{row[1]}_{row[2]}" for row in rows],
        "stimulus_id": [f"bracci_{index:02d}" for index in range(len(rows))],
    }
    stimuli, drawn = mosaics("Bracci2019", folder, mixtures, columns)
    subjects, rois, voxels = range(5), range(3), range(15)
    common = responses(drawn, len(rois) * len(voxels), 1, random)[:, 0]
    values = np.tile(common, len(subjects))
    values = values + 0.8 * random.normal(size=values.shape)
    index = pd.MultiIndex.from_product([subjects, rois, voxels])
    across = {
        name: ("neuroid", index.get_level_values(level)) for level, name in enumerate(("subject", "roi", "voxels"))
    }
    along = {name: ("presentation", stimuli[name].values) for name in columns}
    return with_stimuli(
        NeuroidAssembly(values, coords=along | across, dims=["presentation", "neuroid"]), stimuli, "Bracci2019"
    )


def coggan(folder: Path):
    """Similarity matrices of 24 pictures, (presentation, presentation, subject), nine people in each of four areas."""
    random = seeded("Coggan2024_fMRI")
    objects, conditions = zip(*[(name, how) for how in ("none", "upper", "lower") for name in OBJECTS], strict=True)
    typical = images.random_mixtures(len(OBJECTS), random)
    mixtures = 0.5 * np.tile(typical, (3, 1)) + 0.5 * images.random_mixtures(24, random)
    pictures = [images.mosaic(mixture, random) for mixture in mixtures]
    columns = {"object_name": list(objects), "occlusion_condition": list(conditions)}
    stimuli = stimulus_set("Coggan2024_fMRI", folder, pictures, columns)
    drawn = np.array([images.mixture_of(pixels) for pixels in pictures])
    matrices, regions, subjects = [], [], []
    for region in AREAS:
        for subject in range(9):
            patterns = responses(drawn, 12, 1, random, hidden=0.4, noise=0.5)[:, 0]
            matrices.append(np.corrcoef(patterns))
            regions.append(region)
            subjects.append(f"sub-{subject:02d}")
    ids = stimuli["stimulus_id"].values
    coordinates = {
        "stimulus_id": ("presentation", ids),
        "object_name": ("presentation", list(objects)),
        "stimulus_id_2": ("presentation_2", ids),
        "object_name_2": ("presentation_2", list(objects)),
        "region": ("subject_region", regions),
        "subject_number": ("subject_region", subjects),
        "row": ("subject_region", range(len(subjects))),
    }
    values = np.stack(matrices, axis=-1)
    assembly = DataAssembly(values, coords=coordinates, dims=["presentation", "presentation_2", "subject_region"])
    return with_stimuli(assembly.rename({"subject_region": "subject"}), stimuli, "Coggan2024_fMRI")
