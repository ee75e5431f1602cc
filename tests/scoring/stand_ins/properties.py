"""Distributions of V1 properties with the gratings and textures that measure them (Marques2020), and Islam2021."""

from pathlib import Path

import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.assemblies import PropertyAssembly

from . import images
from .assemblies import mosaics, seeded, stimulus_set, with_stimuli

DEGREES = 8.0
PLACE_DEG = 0.5625  # the middle of a unit's filter in the tiny network: the benchmark keeps units within 0.15 degrees
ORIENTATIONS = tuple(range(0, 180, 15))
PHASES = (0, 90, 180, 270)
COLUMNS = ("position_y", "position_x", "contrast", "radius", "spatial_frequency", "orientation", "phase")

# Property: (lowest bin edge, highest, number of bins)
PROPERTIES = {
    "Cavanaugh2002a": (
        "Marques2020_size",
        60,
        {
            "surround_suppression_index": (0, 1, 10),
            "strongly_suppressed": (0, 1, 2),
            "grating_summation_field": (0, 7, 8),
            "surround_diameter": (0, 8, 8),
            "surround_grating_summation_field_ratio": (0, 8, 8),
        },
    ),
    "DeValois1982a": ("Marques2020_orientation", 80, {"preferred_orientation": (-22.5, 157.5, 4)}),
    "DeValois1982b": ("Marques2020_spatial_frequency", 70, {"peak_spatial_frequency": (0.3, 4, 8)}),
    "Schiller1976c": (
        "Marques2020_spatial_frequency",
        50,
        {"spatial_frequency_selective": (0, 1, 2), "spatial_frequency_bandwidth": (0, 100, 10)},
    ),
    "FreemanZiemba2013_V1_properties": (
        "FreemanZiemba2013_properties",
        60,
        {
            "texture_modulation_index": (-1, 1, 12),
            "absolute_texture_modulation_index": (0, 1, 10),
            "texture_selectivity": (0, 1, 10),
            "noise_selectivity": (0, 1, 10),
            "texture_sparseness": (0, 1, 10),
            "noise_sparseness": (0, 1, 10),
            "variance_ratio": (0, 4, 10),
            "sample_variance": (0, 1, 10),
            "family_variance": (0, 1, 10),
            "max_texture": (0, 120, 10),
            "max_noise": (0, 120, 10),
        },
    ),
    "Ringach2002": (
        "Marques2020_orientation",
        80,
        {
            "baseline": (0, 20, 8),
            "max_dc": (0, 150, 10),
            "min_dc": (0, 50, 10),
            "max_ac": (0, 150, 10),
            "modulation_ratio": (0, 2, 8),
            "circular_variance": (0, 1, 10),
            "bandwidth": (0, 100, 10),
            "orthogonal_preferred_ratio": (0, 1, 10),
            "orientation_selective": (0, 1, 2),
            "circular_variance_bandwidth_ratio": (0, 0.04, 10),
            "orthogonal_preferred_ratio_circular_variance_difference": (-1, 1, 10),
            "orthogonal_preferred_ratio_bandwidth_ratio": (0, 0.04, 10),
        },
    ),
}


def datasets() -> dict:
    """Identifier of a data set to the function that builds it, given the folder for its pictures."""
    return {name: lambda folder, name=name: properties(folder, name) for name in PROPERTIES}


def stimulus_sets() -> dict:
    return {
        "Islam2021": islam,
        "FreemanZiemba2013_properties": textures,
        "Marques2020_blank": blank,
        "Marques2020_receptive_field": lambda folder: gratings(
            folder,
            "Marques2020_receptive_field",
            [PLACE_DEG - 1, PLACE_DEG, PLACE_DEG + 1],
            [0.5],
            [1.0, 1.6],
            ORIENTATIONS[::3],
        ),
        "Marques2020_orientation": lambda folder: gratings(
            folder, "Marques2020_orientation", [PLACE_DEG], [1.0], [0.7, 1.0, 1.6], ORIENTATIONS
        ),
        "Marques2020_spatial_frequency": lambda folder: gratings(
            folder,
            "Marques2020_spatial_frequency",
            [PLACE_DEG],
            [1.0],
            [0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8],
            ORIENTATIONS[::2],
        ),
        "Marques2020_size": lambda folder: gratings(
            folder, "Marques2020_size", [PLACE_DEG], [0.25, 0.4, 0.6, 0.9, 1.3, 2.0, 3.0], [1.0, 1.6], ORIENTATIONS[::2]
        ),
    }


def properties(folder: Path, name: str):
    """Values of each property over neurons: a broad hump between the outermost edges of the bins."""
    stimuli_name, n_neuroids, ranges = PROPERTIES[name]
    random = seeded(name)
    columns, attributes = [], {"number_of_trials": 10}
    for label, (lowest, highest, number) in ranges.items():
        share = random.beta(1.5, 2.5, size=n_neuroids)
        columns.append(np.round(share) if number == 2 else lowest + share * (highest - lowest))
        attributes[f"{label}_bins"] = np.linspace(lowest, highest, number + 1)
    assembly = PropertyAssembly(
        np.stack(columns, axis=1),
        coords={
            "neuroid_id": ("neuroid", range(n_neuroids)),
            "region": ("neuroid", ["V1"] * n_neuroids),
            "neuronal_property": list(ranges),
        },
        dims=["neuroid", "neuronal_property"],
    )
    return with_stimuli(assembly, stimulus_sets()[stimuli_name](folder), name, attributes)


def gratings(folder: Path, identifier: str, places, radii, frequencies, orientations):
    """All combinations of the values, the phase running fastest and the vertical place slowest."""
    rows = pd.MultiIndex.from_product([places, places, [1.0], radii, frequencies, orientations, PHASES]).tolist()
    pictures = [
        images.grating((y, x), radius, frequency, orientation, phase, contrast, DEGREES)
        for y, x, contrast, radius, frequency, orientation, phase in rows
    ]
    columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)) | {"degrees": [DEGREES] * len(rows)}
    return stimulus_set(identifier, folder, pictures, columns)


def blank(folder: Path):
    """The grey screen."""
    columns = {name: [0.0] for name in COLUMNS} | {"degrees": [DEGREES]}
    grey = np.full((images.SIZE_PX, images.SIZE_PX, 3), images.GREY, dtype=np.uint8)
    return stimulus_set("Marques2020_blank", folder, [grey], columns)


def textures(folder: Path):
    """Five families of texture, mixtures of gratings, and noise of the same contrast; six samples each."""
    random = seeded("FreemanZiemba2013_properties")
    rows = pd.MultiIndex.from_product([["noise", "texture"], range(5), range(6)]).tolist()
    weights = random.dirichlet(np.full(8, 0.3), size=5)
    angles, frequencies = 22.5 * np.arange(8), np.tile([1.0, 1.6], 4)
    pictures = []
    for kind, family, _ in rows:
        parts = [
            images.grating((0, 0), 9, frequency, angle, random.uniform(0, 360)).astype(float) - images.GREY
            for angle, frequency in zip(angles, frequencies, strict=True)
        ]
        pattern = np.tensordot(weights[family], parts, axes=1)
        if kind == "noise":
            pattern = random.normal(0, 60, size=pattern.shape[:2])[..., None] * np.ones(3)
        pictures.append(np.clip(images.GREY + pattern, 0, 255).astype(np.uint8))
    columns = dict(zip(("type", "family", "sample"), map(list, zip(*rows, strict=True)), strict=True))
    columns |= {"position_y": PLACE_DEG, "position_x": PLACE_DEG, "degrees": DEGREES}
    columns = {name: [value] * len(rows) if np.isscalar(value) else value for name, value in columns.items()}
    return stimulus_set("FreemanZiemba2013_properties", folder, pictures, columns)


def islam(folder: Path):
    """Twenty shapes, two pictures of each, in five textures: colours are part shape, part texture."""
    random = seeded("Islam2021")
    shapes, textures_ = images.random_mixtures(20, random), images.random_mixtures(5, random)
    rows = pd.MultiIndex.from_product([range(20), range(2), range(5)]).tolist()
    mixtures = np.array([0.5 * shapes[shape] + 0.5 * textures_[texture] for shape, _, texture in rows])
    columns = {
        "shape": [f"shape_{shape:02d}" for shape, _, _ in rows],
        "texture": [f"texture_{texture}" for _, _, texture in rows],
        "original_image_id": [f"original_{shape:02d}_{number}" for shape, number, _ in rows],
    }
    return mosaics("Islam2021", folder, mixtures, columns)[0]
