"""Recordings of neurons in monkeys: the classics, their temporal and reversed kin, and newer sets of many sessions."""

from pathlib import Path

import numpy as np
from brainscore_core.supported_data_standards.brainio.assemblies import (
    DataAssembly,
    NeuroidAssembly,
    NeuronRecordingAssembly,
)

from . import images
from .assemblies import mosaics, recordings, responses, seeded, with_stimuli

OBJECTS = tuple(f"object_{letter}" for letter in "abcdefgh")
COWLEY_SESSIONS = ("190923", "201025", "210225", "211022")
LI_ANIMALS = {"V1": ("M1", "M2"), "V2": ("M1", "M2"), "V4": ("M2", "M3"), "IT": ("M1", "M2", "M3", "M4", "M5")}


def datasets() -> dict:
    """Identifier of a data set to the function that builds it, given the folder for its pictures."""
    table = {
        "Cadena2017": cadena,
        "Igustibagus2024": igustibagus,
        "Kar2019": kar,
        "Li2026": li,
        "Rajalingham2020": lambda folder: sanghavi(folder, "Rajalingham2020", 8, 33),
        "Sanghavi2020": lambda folder: sanghavi(folder, "Sanghavi2020", 8, 28),
        "SanghaviJozwik2020": lambda folder: sanghavi(folder, "SanghaviJozwik2020", 8, 37),
        "SanghaviMurty2020": lambda folder: sanghavi(folder, "SanghaviMurty2020", 5, 50),
    }
    for access in ("public", "private"):
        table[f"MajajHong2015.{access}"] = lambda folder, access=access: majajhong(folder, access)
        table[f"FreemanZiemba2013.{access}"] = lambda folder, access=access: freemanziemba(folder, access)
    table["MajajHong2015.temporal.public"] = majajhong_over_time
    for session in COWLEY_SESSIONS:
        table[f"Cowley2026.{session}"] = lambda folder, session=session: cowley(folder, session)
    return table


def stimulus_sets() -> dict:
    return {"Igustibagus2024": lambda folder: _domain_pictures(folder)[0]}


def regions(numbers: dict[str, int], prefix: str) -> dict[str, list]:
    """Coordinates of neuroids: so many of each region."""
    names = [region for region, number in numbers.items() for _ in range(number)]
    return {"neuroid_id": [f"{prefix}_{index:03d}" for index in range(len(names))], "region": names}


def objects(folder: Path, identifier: str, number: int):
    """Pictures of eight objects, ``number`` of each; an object's pictures share part of their colours."""
    random = seeded(identifier)
    names = np.repeat(OBJECTS, number)
    typical = images.random_mixtures(len(OBJECTS), random)
    mixtures = 0.3 * np.repeat(typical, number, axis=0) + 0.7 * images.random_mixtures(len(names), random)
    columns = {"object_name": names, "category_name": names, "image_id": [f"image_{i:04d}" for i in range(len(names))]}
    columns["stimulus_id"] = columns["image_id"]
    return *mosaics(identifier, folder, mixtures, columns), random


def majajhong(folder: Path, access: str):
    stimuli, mixtures, random = objects(folder, f"MajajHong2015.{access}", 10)
    neuroids = regions({"V4": 27, "IT": 28}, "MajajHong2015")  # more than the 25 components of the reversed fit
    neuroids["animal"] = ["Chabo" if index % 2 else "Tito" for index in range(55)]
    values = responses(mixtures, 55, 6, random)
    return recordings(stimuli, values, neuroids, cls=NeuronRecordingAssembly)


def majajhong_over_time(folder: Path):
    """Six bins of 20 ms: what is seen grows and fades, so that bins differ."""
    stimuli, mixtures, random = objects(folder, "MajajHong2015.temporal.public", 10)
    neuroids = regions({"V4": 5, "IT": 5}, "MajajHong2015.temporal") | {"animal": ["Tito"] * 10}
    bins = [(start, start + 20) for start in range(0, 120, 20)]
    course = np.array([0.3, 0.6, 1.0, 1.3, 1.0, 0.7])
    values = responses(mixtures, 10, 4, random)[..., None] * course
    values = values + 0.4 * random.normal(size=values.shape)
    return recordings(stimuli, values, neuroids, bins, cls=NeuronRecordingAssembly)


def freemanziemba(folder: Path, access: str):
    """Textures and noise; spikes in bins of 1 ms, of which the benchmark takes 50 to 200 ms."""
    identifier = f"FreemanZiemba2013.{access}"
    random = seeded(identifier)
    kinds = np.tile(["texture", "noise"], 35)
    columns = {"texture_type": kinds, "texture_family": np.arange(70) // 10, "sample": np.arange(70) % 10}
    stimuli, mixtures = mosaics(
        f"FreemanZiemba2013.aperture-{access}", folder, images.random_mixtures(70, random), columns
    )
    neuroids = regions({"V1": 10, "V2": 10}, "FreemanZiemba2013")
    bins = [(start, start + 1) for start in range(40, 210)]
    values = np.repeat(responses(mixtures, 20, 5, random)[..., None], len(bins), axis=-1)
    return recordings(stimuli, values, neuroids, bins, identifier, NeuronRecordingAssembly)


def sanghavi(folder: Path, identifier: str, degrees: int, n_repetitions: int):
    """As many repetitions as the benchmark asserts; one time bin that is selected by its number."""
    stimuli, mixtures, random = objects(folder, identifier, 9)
    neuroids = regions({"V4": 6, "IT": 6}, identifier) | {"neuroid_num": range(12)}
    values = responses(mixtures, 12, n_repetitions, random, noise=2.0)
    attributes = {"image_size_degree": degrees}
    if identifier == "Rajalingham2020":
        return recordings(stimuli, values, neuroids, cls=NeuronRecordingAssembly, attributes=attributes)
    assembly = recordings(stimuli, values, neuroids, cls=NeuronRecordingAssembly, attributes=attributes)
    attributes = assembly.attrs
    numbered = assembly.reset_index("time_bin").assign_coords(time_bin_id=("time_bin", [0]))
    numbered = numbered.set_index(time_bin=["time_bin_id", "time_bin_start", "time_bin_end"])
    numbered.attrs = attributes
    return numbered


def cadena(folder: Path):
    """Natural pictures and their textures; some were not shown to some neurons, which are NaN."""
    random = seeded("Cadena2017")
    columns = {"image_type": np.tile(["original", "conv1", "conv4"], 30)}
    stimuli, mixtures = mosaics("Cadena2017", folder, images.random_mixtures(90, random), columns)
    values = responses(mixtures, 12, 4, random)
    values[::11, :, 3] = np.nan
    neuroids = regions({"V1": 12}, "Cadena2017")
    assembly = recordings(stimuli, values, neuroids, cls=NeuronRecordingAssembly, repetition="repetition_id")
    attributes = assembly.attrs
    presentations = assembly.reset_index("presentation")
    levels = [name for name in presentations.coords if presentations[name].dims == ("presentation",)]
    presentations = presentations.assign_coords(id=("presentation", np.arange(assembly.sizes["presentation"])))
    assembly = presentations.set_index(presentation=[*[n for n in levels if n != "presentation"], "id"])
    assembly.attrs = attributes
    return assembly


def li(folder: Path):
    """Five monkeys; each neuron comes with two reliabilities, of which some lie below the benchmark's threshold."""
    random = seeded("Li2026")
    stimuli, mixtures = mosaics("Li2026_Stimuli", folder, images.random_mixtures(80, random), {"nsd_id": range(80)})
    numbers = {region: 8 * len(animals) for region, animals in LI_ANIMALS.items()}
    neuroids = regions(numbers, "Li2026")
    neuroids["animal"] = [animal for region in LI_ANIMALS for animal in np.repeat(LI_ANIMALS[region], 8)]
    n_neuroids = sum(numbers.values())
    reliability = random.uniform(0.3, 0.95, size=n_neuroids)
    neuroids |= {"reliability": reliability + 0.03, "reliability_window": reliability}
    values = responses(mixtures, n_neuroids, 1, random, hidden=0.4, noise=0.6)
    return recordings(
        stimuli, values, neuroids, identifier="Li2026_Assembly", cls=NeuronRecordingAssembly, repetition="session"
    )


def cowley(folder: Path, session: str):
    """One session: its own pictures and neurons, numbers of repeats that differ, a window in the first one only."""
    random = seeded("Cowley2026", session)
    number = 70
    columns = {"object_name": [f"{i:04d}" for i in range(number)]}
    columns["stimulus_id"] = [f"image{i:04d}" for i in range(number)]
    stimuli, mixtures = mosaics(f"Cowley2026.{session}", folder, images.random_mixtures(number, random), columns)
    neuroids = regions({"V4": 8}, session)
    assembly = recordings(stimuli, responses(mixtures, 8, 6, random), neuroids, [(50, 150)], cls=NeuroidAssembly)
    shown = assembly["repetition"].values < np.where(np.arange(number) % 3, 6, 4).repeat(6)
    attributes = assembly.attrs
    assembly = assembly.isel(presentation=np.flatnonzero(shown))
    if session != "190923":
        plain = assembly.isel(time_bin=0).reset_coords(drop=True)
        coordinates = {
            name: (dims, assembly[name].values)
            for name, dims in [(level, ("presentation",)) for level in assembly.indexes["presentation"].names]
            + [(level, ("neuroid",)) for level in assembly.indexes["neuroid"].names]
        }
        assembly = NeuroidAssembly(plain.values, coords=coordinates, dims=["presentation", "neuroid"])
    return with_stimuli(assembly, stimuli, f"Cowley2026.{session}", attributes)


DOMAINS = [  # (source, style)
    ("Silhouette", "original"),
    ("Art", "cartoon"),
    ("Art", "line_drawing"),
    ("Art", "mosaic"),
    ("Art", "painting"),
    ("Art", "sketch"),
    ("Silhouette", "convex_hull"),
    ("Silhouette", "outline"),
    ("Silhouette", "skeleton"),
    ("Silhouette", "silhouette"),
    ("COCOColor", "original"),
    ("COCOGray", "grayscale"),
    ("TDW", "textures"),
]
CATEGORIES = ("apple", "bear", "bird", "car", "chair", "dog", "elephant", "face", "plane", "zebra")


def _domain_pictures(folder: Path):
    """Ten objects in thirteen styles. Silhouettes of one background belong together; elsewhere it is 0."""
    random = seeded("Igustibagus2024")
    typical = dict(zip(CATEGORIES, images.random_mixtures(len(CATEGORIES), random), strict=True))
    rows, mixtures = [], []
    for source, style in DOMAINS:
        number = 5 if source == "Silhouette" else 3  # of each object; 30 of a style are a whole test set
        for category in CATEGORIES:
            for index in range(number):
                background = 1 + CATEGORIES.index(category) * 5 + index if source == "Silhouette" else 0
                rows.append((source, style, category, background))
                mixtures.append(0.5 * typical[category] + 0.5 * images.random_mixtures(1, random)[0])
    columns = dict(
        zip(("stimulus_source", "object_style", "object_label", "background_id"), zip(*rows, strict=True), strict=True)
    )
    columns = {name: list(values) for name, values in columns.items()}
    columns["identifier"] = columns["stimulus_source"]
    return *mosaics("Igustibagus2024", folder, np.array(mixtures), columns), random


def igustibagus(folder: Path):
    """Neurons of two monkeys; some are noise, which the benchmark's own filter drops."""
    stimuli, mixtures, random = _domain_pictures(folder)
    neuroids = regions({"IT": 12}, "Igustibagus2024") | {"animal": ["Pico", "Oleo"] * 6}
    values = responses(mixtures, 12, 6, random)
    values[:, :, 10:] = random.normal(size=values[:, :, 10:].shape)
    assembly = recordings(stimuli, values, neuroids, cls=NeuronRecordingAssembly)
    attributes = assembly.attrs
    assembly = assembly.reset_index("time_bin").assign_coords(time_bin_id=("time_bin", [0]))
    assembly = assembly.set_index(time_bin=["time_bin_id", "time_bin_start", "time_bin_end"])
    assembly.attrs = attributes
    return assembly


def kar(folder: Path):
    """Object solution times of each picture, by decoder."""
    stimuli, _, random = objects(folder, "Kar2019", 4)
    stimuli["image_label"] = stimuli["object_name"]
    number = len(stimuli)
    along = {name: ("presentation", stimuli[name].values) for name in stimuli.columns}
    along |= {"i1": ("presentation", random.uniform(0, 3, number))}
    values = random.uniform(90, 220, size=(number, 2))
    assembly = DataAssembly(values, coords=along | {"decoder": ["svm", "other"]}, dims=["presentation", "decoder"])
    return with_stimuli(assembly, stimuli, "dicarlo.Kar2019")
