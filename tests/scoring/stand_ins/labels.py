"""Label tasks: what people and networks call a picture, and engineering benchmarks that only know the truth.

A picture's colours are those of one of the ImageNet classes behind its true label, mixed with those of no class. The
more is mixed in, the harder the picture, for people and for the tiny network alike.
"""

from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

from . import images
from .assemblies import choices, mosaics, seeded, stimulus_set

GEIRHOS_LABELS = [
    "airplane",
    "bear",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "car",
    "cat",
    "chair",
    "clock",
    "dog",
    "elephant",
    "keyboard",
    "knife",
    "oven",
    "truck",
]
GEIRHOS_CONDITIONS = {  # two that are kept, and all that the benchmark leaves out
    "colour": ["bw", "cr"],
    "contrast": ["c10", "c30", "c100", "c03", "c01"],
    "cue-conflict": ["0"],
    "edge": ["0"],
    "eidolonI": ["4-10-10", "8-10-10", "1-10-10", "64-10-10", "128-10-10"],
    "eidolonII": ["4-3-10", "8-3-10", "1-3-10", "32-3-10", "64-3-10", "128-3-10"],
    "eidolonIII": ["4-0-10", "8-0-10", "1-0-10", "16-0-10", "32-0-10", "64-0-10", "128-0-10"],
    "false-colour": ["True-Colour", "False-Colour"],
    "high-pass": [3.0, 1.0, np.inf, 0.55, 0.45, 0.4],
    "low-pass": [1.0, 3.0, 0.0, 15.0, 40.0],
    "phase-scrambling": [30.0, 60.0, 0.0, 150.0, 180.0],
    "power-equalisation": ["pow", "0"],
    "rotation": [90, 180, 0],
    "silhouette": ["0"],
    "sketch": ["0"],
    "stylized": ["0"],
    "uniform-noise": [0.03, 0.1, 0.0, 0.6, 0.9],
}
SCIALOM_LABELS = ["Banana", "Beanie", "Binoculars", "Boot", "Bowl", "Cup", "Glasses", "Lamp", "Pan"] + [
    "Sewing machine",
    "Shovel",
    "Truck",
]
SCIALOM_ELEMENTS = (12, 16, 21, 27, 35, 46, 59, 77, 100)
SCIALOM_SETS = ["rgb", "contours"] + [f"{kind}-{n}" for kind in ("phosphenes", "segments") for n in SCIALOM_ELEMENTS]
KATO_SETS = ("Ori", "Fil", "Lin", "SilTex", "Sil", "Tex", "LinFil", "Sparse", "Dense")
KATO_LABELS = [
    "corn",
    "bird",
    "fish",
    "spider",
    "hammer",
    "clock",
    "turtle",
    "bear",
    "chair",
    "car",
    "frog",
    "banana",
    "mushroom",
    "dog",
    "airplane",
    "guitar",
]
BMD_SETS = ("texture_1", "texture_2", "dotted_1", "dotted_2")
BAKER_LABELS = ["bear", "bunny", "cat", "elephant", "frog", "lizard", "tiger", "turtle", "wolf"]
IMAGENET_C = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("glass_blur", "motion_blur", "zoom_blur", "defocus_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("pixelate", "contrast", "elastic_transform", "jpeg_compression"),
}


def datasets() -> dict:
    """Identifier of a data set to the function that builds it, given the folder for its pictures."""
    table = {}
    for name, conditions in GEIRHOS_CONDITIONS.items():
        table[f"Geirhos2021_{name}"] = lambda folder, name=name, all_=conditions: geirhos(folder, name, all_)
    for name in SCIALOM_SETS:
        table[f"Scialom2024_{name}"] = lambda folder, name=name: scialom(folder, name, [name.split("-")[0]])
    for kind in ("phosphenes", "segments"):
        groups = ["RGB", "contours", kind]
        table[f"Scialom2024_{kind}-all"] = lambda folder, kind=kind, g=groups: scialom(folder, f"{kind}-all", g)
    for name in KATO_SETS:
        table[f"Kato2026.{name}"] = lambda folder, name=name: kato(folder, name)
    for name in BMD_SETS:
        table[f"BMD2024.{name}"] = lambda folder, name=name: bmd(folder, name)
    for name in ("normal", "inverted"):
        table[f"Baker2022_{name}_distortion"] = lambda folder, name=name: baker(folder, name)
    return table


def stimulus_sets() -> dict:
    table = {
        "Geirhos2021_cue-conflict": lambda folder: geirhos(folder, "cue-conflict", ["0"]).stimulus_set,
        "BarbuMayo2019": objectnet,
    }
    for category in IMAGENET_C:
        table[f"imagenet_c.{category}"] = lambda folder, category=category: imagenet_c(folder, category)
    return table


def difficulties(number: int, random: np.random.Generator, easiest: float = 0.05, hardest: float = 0.75) -> np.ndarray:
    """How much of each picture's colours belong to no class, of shape (number,)."""
    return random.uniform(easiest, hardest, size=number)


def label_mixtures(truths, difficulty: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mixtures of pictures of these labels, of shape (n_pictures, n_colours)."""
    from brainscore_vision.model_helpers.brain_transformation.behavior import LabelToImagenetIndices

    prototypes = {label: LabelToImagenetIndices.label_to_indices(label) for label in sorted(set(truths))}
    # The mean over a label's classes: what Brain-Score's own pooling of the class output looks for.
    table = {label: images.class_mixtures()[indices].mean(axis=0) for label, indices in prototypes.items()}
    typical = np.array([table[label] for label in truths])
    return blend(typical, difficulty, random)


def blend(typical: np.ndarray, difficulty: np.ndarray, random: np.random.Generator) -> np.ndarray:
    other = images.random_mixtures(len(typical), random)
    return (1 - difficulty[:, None]) * typical + difficulty[:, None] * other


def answers(
    truths, difficulty: np.ndarray, labels, n_subjects: int, random, threshold: float = 0.5, hidden: float = 0.15
) -> np.ndarray:
    """What people call pictures: beyond a difficulty, another label. Of shape (n_subjects, n_pictures)."""
    truths, labels = np.asarray(truths), np.asarray(labels)
    for_people = difficulty + random.normal(0, hidden, size=len(truths))  # hard in a way that no colour shows
    wrong = for_people + random.normal(0, 0.1, size=(n_subjects, len(truths))) > threshold
    others = labels[random.integers(len(labels), size=wrong.shape)]
    return np.where(wrong, others, truths)


def crossed(*columns):
    """All combinations of the values, as one list for each column, the last running fastest."""
    return [list(column) for column in zip(*[row for row in _product(columns)], strict=True)]


def _product(columns):
    return pd.MultiIndex.from_product(columns).tolist()


def geirhos(folder: Path, name: str, conditions):
    """``Geirhos2021_<name>``: 16 labels, four people, all of whom saw all pictures."""
    random = seeded("Geirhos2021", name)
    number = 6 if len(conditions) == 1 else 3
    truths, condition, _ = crossed(GEIRHOS_LABELS, conditions, range(number))
    difficulty = difficulties(len(truths), random)
    columns = {"truth": truths, "condition": condition, "image_category": truths}
    mixtures = label_mixtures(truths, difficulty, random)
    if name == "cue-conflict":
        conflict = [GEIRHOS_LABELS[index] for index in random.integers(len(GEIRHOS_LABELS), size=len(truths))]
        columns |= {"original_image_category": truths, "conflict_image_category": conflict}
        mixtures = 0.7 * mixtures + 0.3 * label_mixtures(conflict, difficulty, random)
    identifier = f"Geirhos2021_{name}"
    columns["stimulus_id"] = columns["image_id"] = [f"{name}_{index:04d}" for index in range(len(truths))]
    stimuli, _ = mosaics(identifier, folder, mixtures, columns)
    given = answers(truths, difficulty, GEIRHOS_LABELS, 4, random, hidden=0.05)
    return choices(stimuli, given, [f"subject-{n:02d}" for n in range(1, 5)], {"choice": given})


def scialom(folder: Path, name: str, groups):
    """``Scialom2024_<name>``: 12 labels; composites hold three groups of pictures, their conditions."""
    random = seeded("Scialom2024", name)
    truths, condition, _ = crossed(SCIALOM_LABELS, groups, range(4 if len(groups) > 1 else 6))
    difficulty = difficulties(len(truths), random)
    columns = {"truth": truths, "condition": condition, "percentage_elements": [name] * len(truths)}
    columns["stimulus_id"] = list(range(len(truths)))
    stimuli, _ = mosaics(f"Scialom2024_{name}", folder, label_mixtures(truths, difficulty, random), columns)
    return choices(stimuli, answers(truths, difficulty, SCIALOM_LABELS, 5, random, 0.65), range(5))


def kato(folder: Path, name: str):
    """``Kato2026.<name>``: pictures named as in the base condition but for the last word; a few trials were void."""
    random, base = seeded("Kato2026", name), seeded("Kato2026")
    labels = [f"kato2026_{label}" for label in KATO_LABELS]
    truths, number = crossed(labels, range(6))
    difficulty = np.clip(difficulties(len(truths), base) + random.normal(0, 0.1, len(truths)), 0.05, 0.9)
    columns = {"truth": truths, "condition": [name] * len(truths)}
    columns["stimulus_id"] = [f"{label}_{n}_{name}" for label, n in zip(truths, number, strict=True)]
    stimuli, _ = mosaics(f"Kato2026.{name}", folder, label_mixtures(truths, difficulty, random), columns)
    n_subjects = 12 if name == "Ori" else 10
    given = answers(truths, difficulty, [*labels, "kato2026_others"], n_subjects, random)
    given = np.where(random.random(given.shape) < 0.03, "NaN", given)
    return choices(stimuli, given, [f"S{n:02d}" for n in range(n_subjects)])


def bmd(folder: Path, name: str):
    """``BMD2024.<name>``: pictures of dogs, cats and others made of texture or dots, eight people."""
    random = seeded("BMD2024", name)
    labels = ["bear", "bird", "cat", "dog", "elephant"]
    truths, _ = crossed(labels, range(20))
    difficulty = difficulties(len(truths), random)
    columns = {"truth": truths, "condition": [name.split("_")[0]] * len(truths)}
    mixtures = label_mixtures(truths, difficulty, random)
    stimuli, _ = mosaics(f"BMD_2024_{name}", folder, mixtures, columns)
    return choices(stimuli, answers(truths, difficulty, labels, 8, random), range(8))


def baker(folder: Path, name: str):
    """``Baker2022_<name>_distortion``: whole (w), frankenstein (f) and fragmented (o) animals, and what was correct."""
    random = seeded("Baker2022", name)
    types = ("w", "f", "o") if name == "normal" else ("w", "f")
    truths, kind, _ = crossed(BAKER_LABELS, types, range(5))
    added = np.array([{"w": 0.0, "f": 0.28, "o": 0.4}[letter] for letter in kind])
    difficulty = difficulties(len(truths), random, 0.05, 0.5) + added
    columns = {"truth": truths, "animal": truths, "image_type": kind, "orientation": [name] * len(truths)}
    mixtures = label_mixtures(truths, difficulty, random)
    stimuli, _ = mosaics(f"Baker2022_{name}_distortion", folder, mixtures, columns)
    subjects = range(1, 13)
    correct = answers(truths, difficulty, BAKER_LABELS, len(subjects), random) == np.array(truths)
    return choices(stimuli, correct.astype(int), subjects)


def imagenet_table(folder: Path) -> pd.DataFrame:
    """The list of ImageNet's validation pictures that Brain-Score's own benchmark reads from its package."""
    stimuli = _imagenet_pictures(folder, "imagenet2012", {"none": range(1)}, 150, 0.02, 0.5)
    frame = pd.DataFrame(stimuli[["filename", "synset", "label"]])
    frame["image_id"] = stimuli["stimulus_id"]
    frame["filepath"] = [str(stimuli.get_stimulus(name)) for name in stimuli["stimulus_id"]]
    return frame


def objectnet(folder: Path) -> StimulusSet:
    return _imagenet_pictures(folder, "BarbuMayo2019", {"none": range(1)}, 150, 0.05, 0.6)


def imagenet_c(folder: Path, category: str) -> StimulusSet:
    levels = {kind: range(1, 6) for kind in IMAGENET_C[category]}
    return _imagenet_pictures(folder, f"imagenet_c.{category}", levels, 12, 0.02, 0.5)


def _imagenet_pictures(folder, identifier, levels, number, easiest, hardest):
    random = seeded(identifier)
    kinds, strengths = zip(*[(kind, level) for kind, range_ in levels.items() for level in range_], strict=True)
    kinds, strengths = np.repeat(kinds, number), np.repeat(strengths, number)
    labels = random.integers(1000, size=len(kinds))
    difficulty = difficulties(len(kinds), random, easiest, hardest) * (1 + 0.1 * strengths)
    lines = resources.files("brainscore_vision.model_helpers.brain_transformation")
    synsets = lines.joinpath("imagenet_classes.txt").read_text().splitlines()
    columns = {"label": labels, "synset": [synsets[label] for label in labels]}
    columns |= {"noise_type": kinds, "noise_level": strengths}
    mixtures = blend(images.class_mixtures()[labels], difficulty, random)
    stimuli, _ = mosaics(identifier, folder, mixtures, columns)
    return stimuli


__all__ = ["datasets", "imagenet_table", "stimulus_set", "stimulus_sets"]
