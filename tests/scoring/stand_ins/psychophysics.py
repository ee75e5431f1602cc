"""Tasks that a network learns from fitting pictures before it is tested, and the odd one out of three."""

from pathlib import Path

import numpy as np
import pandas as pd
from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly, PropertyAssembly

from . import images
from .assemblies import choices, mosaics, seeded, with_stimuli
from .electrophysiology import OBJECTS
from .labels import blend, difficulties

OBJECTOME = tuple(f"objectome_{index:02d}" for index in range(24))
FERGUSON = [
    "circle_line",
    "color",
    "convergence",
    "eighth",
    "gray_easy",
    "gray_hard",
    "half",
    "juncture",
    "lle",
    "llh",
    "quarter",
    "round_f",
    "round_v",
    "tilted_line",
]
MALANIA_SUBJECTS = {  # condition: how many were measured
    "short2": 6,
    "short4": 5,
    "short6": 5,
    "short8": 5,
    "short16": 6,
    "equal2": 5,
    "long2": 5,
    "equal16": 5,
    "long16": 5,
    "vernier_only": 6,
}
LONNQVIST = ("inlab-instructions", "inlab-no-instructions", "online-no-instructions")
MANIQUET_LABELS = ("person", "cat", "bird", "tree", "banana", "building", "bus", "fire")
MANIQUET_TASKS = {  # what people did: how the pictures were manipulated
    "task_control": ("control", "control"),
    "clutter_heavy": ("clutter", "heavy"),
    "clutter_light": ("clutter", "light"),
    "occlusion_few_large_blobs_high": ("occluder", "fewlarge-high"),
    "occlusion_many_small_blobs_low": ("occluder", "manysmall-low"),
    "scrambling_highpass": ("phasescrambling", "highpass"),
    "scrambling_lowpass": ("phasescrambling", "lowpass"),
}


def datasets() -> dict:
    """Identifier of a data set to the function that builds it, given the folder for its pictures."""
    table = {"Coggan2024_behavior": coggan, "Hebart2023": hebart, "Maniquet2024": maniquet}
    for access in ("public", "private"):
        table[f"Rajalingham2018.{access}"] = lambda folder, access=access: rajalingham(folder, access)
    for name in FERGUSON:
        table[f"Ferguson2024_{name}"] = lambda folder, name=name: ferguson(folder, name)
    for condition in MALANIA_SUBJECTS:
        table[f"Malania2007.{condition}"] = lambda folder, condition=condition: malania(folder, condition)
    for group in LONNQVIST:
        table[f"Lonnqvist2024_{group}"] = lambda folder, group=group: lonnqvist(folder, group)
    return table


def stimulus_sets() -> dict:
    table = {
        "Coggan2024_behavior_fitting": coggan_fitting,
        "Hebart2023": lambda folder: hebart(folder).stimulus_set,
        "Maniquet2024-test": lambda folder: _maniquet_pictures(folder, "test", 3)[0],
        "Maniquet2024-train": lambda folder: _maniquet_pictures(folder, "train", 2)[0],
        "objectome.public": lambda folder: _objectome(folder, "public", 3)[0],
        "Lonnqvist2024_test": lambda folder: _lonnqvist_pictures(folder, "test", 6)[0],
        "Lonnqvist2024_train": lambda folder: _lonnqvist_pictures(folder, "train", 5)[0],
    }
    for name in FERGUSON:
        table[f"Ferguson2024_{name}_training_stimuli"] = lambda folder, name=name: _searches(folder, name, "train")[0]
    for condition in MALANIA_SUBJECTS:
        table[f"Malania2007.{condition}"] = lambda folder, condition=condition: _verniers(folder, condition)
        if condition != "vernier_only":
            table[f"Malania2007.{condition}_fit"] = lambda folder, c=condition: _verniers(folder, f"{c}_fit")
    return table


def _typical(name: str, labels) -> dict:
    """Each label's own mixture, the same in fitting and test pictures."""
    return dict(zip(labels, images.random_mixtures(len(labels), seeded(name, "typical")), strict=True))


def _objectome(folder: Path, access: str, number: int):
    random = seeded("objectome", access)
    names = np.repeat(OBJECTOME, number)
    difficulty = difficulties(len(names), random, 0.1, 0.7)
    typical = _typical("objectome", OBJECTOME)
    columns = {"object_name": names, "image_label": names}  # the metric itself adds the truth
    mixtures = blend(np.array([typical[name] for name in names]), difficulty, random)
    return *mosaics(f"objectome.{access}", folder, mixtures, columns), difficulty


def rajalingham(folder: Path, access: str):
    """Which of two objects was seen: every picture with every distractor, twenty times.

    People confuse objects whose colours are alike, more so in hard pictures.
    """
    stimuli, drawn, difficulty = _objectome(folder, access, 3 if access == "public" else 2)
    random = seeded("Rajalingham2018", access)
    typical = _typical("objectome", OBJECTOME)
    rows = []
    for index, (name, truth) in enumerate(zip(stimuli["stimulus_id"], stimuli["image_label"], strict=True)):
        for distractor in OBJECTOME:
            if distractor == truth:
                continue
            nearer = (
                np.square(drawn[index] - typical[distractor]).sum() - np.square(drawn[index] - typical[truth]).sum()
            )
            evidence = 4 * nearer + 1.6 - 1.5 * difficulty[index] + random.normal(0, 0.2)
            for _ in range(20):
                chosen = truth if evidence + random.logistic(0, 0.6) > 0 else distractor
                rows.append((name, truth, distractor, chosen))
    columns = dict(zip(("stimulus_id", "truth", "dist_obj", "choice"), map(list, zip(*rows, strict=True)), strict=True))
    columns["sample_obj"] = columns["truth"]
    assembly = BehavioralAssembly(
        columns["choice"],
        coords={name: ("presentation", column) for name, column in columns.items()},
        dims=["presentation"],
    )
    return with_stimuli(assembly, stimuli, f"dicarlo.Rajalingham2018.{access}")


def _searches(folder: Path, name: str, part: str):
    """24 search displays in each of two blocks, even numbers with an oddball; the more distractors, the harder."""
    random = seeded("Ferguson2024", name, part)
    repeats = 3 if part == "train" else 1
    rows = [(block, number) for block in ("first", "second") for number in range(24) for _ in range(repeats)]
    blocks, numbers = zip(*rows, strict=True)
    n_distractors = np.array([(1, 5, 11)[number // 2 % 3] for number in numbers])
    harder = np.where(np.array(blocks) == "first", 0.15, 0.0)
    difficulty = np.clip(0.35 + 0.03 * n_distractors + harder + random.normal(0, 0.1, len(rows)), 0, 0.95)
    typical = _typical(f"Ferguson2024_{name}", ("oddball", "same"))
    labels = np.where(np.array(numbers) % 2 == 0, "oddball", "same")
    mixtures = blend(np.array([typical[label] for label in labels]), difficulty, random)
    columns = {"image_number": list(numbers), "block": list(blocks)}
    suffix = "_training_stimuli" if part == "train" else ""
    stimuli, _ = mosaics(f"Ferguson2024_{name}{suffix}", folder, mixtures, columns)
    return stimuli, n_distractors, difficulty


def ferguson(folder: Path, name: str):
    """Eight people, each display twice."""
    stimuli, n_distractors, _ = _searches(folder, name, "test")
    random = seeded("Ferguson2024", name, "people")
    people = [f"participant_{index}" for index in range(8)]
    slope = random.uniform(0.005, 0.03, size=2)[(stimuli["block"].values == "second").astype(int)]
    accuracy = np.clip(0.97 - slope * n_distractors, 0.5, 1)
    correct = random.random((len(people), 2, len(stimuli))) < accuracy
    repeated = {
        "stimulus_id": stimuli["stimulus_id"].values,
        "image_number": stimuli["image_number"].values,
        "block": stimuli["block"].values,
        "distractor_nums": np.array([f"{number}.0" for number in n_distractors]),
        "target_present": stimuli["image_number"].values % 2 == 0,
        "trial_type": np.repeat("normal", len(stimuli)),
    }
    along = {key: ("presentation", np.tile(values, 2 * len(people))) for key, values in repeated.items()}
    along["participant_id"] = ("presentation", np.repeat(people, 2 * len(stimuli)))
    along["correct"] = ("presentation", correct.ravel())
    assembly = BehavioralAssembly(correct.ravel(), coords=along, dims=["presentation"])
    return with_stimuli(assembly, stimuli, f"Ferguson2024_{name}")


def malania(_folder: Path, condition: str):
    """Thresholds in seconds of arc of seven people, NaN where one was not measured."""
    random = seeded("Malania2007", condition)
    measured = MALANIA_SUBJECTS[condition]
    typical = 22.0 if condition == "vernier_only" else 34.0
    thresholds = typical * np.exp(random.normal(0, 0.08, size=7))
    thresholds[measured:] = np.nan
    assembly = PropertyAssembly(thresholds, coords={"subject": ("subject", list(range(1, 8)))}, dims=["subject"])
    assembly.attrs["identifier"] = f"Malania2007_{condition}"
    return assembly


def _verniers(folder: Path, name: str):
    """Five offsets, the labels to be told apart; the larger the offset, the clearer its colours.

    Brain-Score moves the eyes ten times and then names the responses image by image, though within a batch they come
    movement by movement. So its own score depends on the batch size, unless whole batches share a label: 16 pictures of
    each offset make every batch size that divides 16 give the same.
    """
    random = seeded("Malania2007", name)
    offsets = np.repeat([10, 20, 30, 40, 50], 16)
    n_colours = len(images.COLOURS)
    typical = 0.7 * np.eye(n_colours)[offsets // 10] + 0.3 / n_colours  # each offset a colour of its own
    clearness = np.interp(offsets, [10, 50], [0.1, 0.6]) if "fit" not in name else np.full(len(offsets), 0.8)
    crowding = 0.0 if "vernier" in name else 0.06
    difficulty = np.clip(1 - clearness + crowding + random.normal(0, 0.05, len(offsets)), 0.02, 0.95)
    mixtures = blend(typical, difficulty, random)
    columns = {"image_label": list(offsets), "vernier_offset_arcsec": list(offsets.astype(float))}
    return mosaics(f"Malania2007_{name}", folder, mixtures, columns)[0]


def _lonnqvist_pictures(folder: Path, part: str, number: int):
    """Do two ends belong to one curve? Seven lengths, two answers; longer curves are harder."""
    random = seeded("Lonnqvist2024", part)
    rows = pd.MultiIndex.from_product([["f", "j"], range(20, 201, 30), range(number)]).tolist()
    truths, lengths, crossings = map(list, zip(*rows, strict=True))
    difficulty = np.clip(0.25 + 0.0025 * np.array(lengths) + random.normal(0, 0.1, len(rows)), 0, 0.95)
    typical = _typical("Lonnqvist2024", ("f", "j"))
    mixtures = blend(np.array([typical[truth] for truth in truths]), difficulty, random)
    columns = {"truth": truths, "image_label": truths, "curve_length": lengths, "n_cross": crossings}
    return *mosaics(f"Lonnqvist2024_{part}", folder, mixtures, columns), difficulty


def lonnqvist(folder: Path, group: str):
    stimuli, _, difficulty = _lonnqvist_pictures(folder, "test", 6)
    random = seeded("Lonnqvist2024", group)
    truths = stimuli["truth"].values
    wrong = random.random((6, len(truths))) < np.clip(0.6 * difficulty, 0.02, 0.5)
    given = np.where(wrong, np.where(truths == "f", "j", "f"), truths)
    return choices(stimuli, given, range(6))


def _maniquet_pictures(folder: Path, part: str, number: int):
    random = seeded("Maniquet2024", part)
    kinds = list(MANIQUET_TASKS.values()) if part == "test" else [("control", "control")] * 4
    rows = [(label, kind) for label in MANIQUET_LABELS for kind in kinds for _ in range(number)]
    labels, manipulations = zip(*rows, strict=True)
    added = np.array([0.05 + 0.1 * list(MANIQUET_TASKS.values()).index(kind) for kind in manipulations])
    difficulty = np.clip(added + random.uniform(0, 0.25, len(rows)), 0, 0.95)
    typical = _typical("Maniquet2024", MANIQUET_LABELS)
    mixtures = blend(np.array([typical[label] for label in labels]), difficulty, random)
    columns = {
        "image_label": list(labels),
        "manipulation": [kind for kind, _ in manipulations],
        "manipulation_details": [detail for _, detail in manipulations],
    }
    return *mosaics(f"Maniquet2024-{part}", folder, mixtures, columns), difficulty


def maniquet(folder: Path):
    """Eight people; they confuse labels whose colours are alike."""
    stimuli, drawn, difficulty = _maniquet_pictures(folder, "test", 3)
    random = seeded("Maniquet2024", "people")
    typical = np.array(list(_typical("Maniquet2024", MANIQUET_LABELS).values()))
    likeness = -8 * np.square(drawn[:, None] - typical).sum(axis=-1)
    likeness = likeness + 3 * (stimuli["image_label"].values[:, None] == np.array(MANIQUET_LABELS)) * (
        1 - difficulty[:, None]
    )
    seen = likeness + random.gumbel(size=(8, *likeness.shape))
    given = np.array(MANIQUET_LABELS)[seen.argmax(axis=-1)]
    names = {kind: task for task, kind in MANIQUET_TASKS.items()}
    kinds = zip(stimuli["manipulation"], stimuli["manipulation_details"], strict=True)
    tasks = np.array([names[kind] for kind in kinds])
    n_people, n_stimuli = given.shape
    along = {
        "subject_id": ("presentation", np.repeat(np.arange(n_people), n_stimuli)),
        "stimulus_id": ("presentation", np.tile(stimuli["stimulus_id"].values, n_people)),
        "image_label": ("presentation", np.tile(stimuli["image_label"].values, n_people)),
        "task": ("presentation", np.tile(tasks, n_people)),
        "prediction": ("presentation", given.ravel()),
    }
    correct = (given == stimuli["image_label"].values).astype(float).ravel()
    return with_stimuli(BehavioralAssembly(correct, coords=along, dims=["presentation"]), stimuli, "Maniquet2024")


def coggan_fitting(folder: Path):
    random = seeded("Coggan2024_behavior_fitting")
    labels = np.repeat(OBJECTS, 12)
    typical = _typical("Coggan2024_behavior", OBJECTS)
    mixtures = blend(
        np.array([typical[label] for label in labels]), difficulties(len(labels), random, 0.1, 0.4), random
    )
    return mosaics("Coggan2024_behavior_fitting", folder, mixtures, {"image_label": labels})[0]


def coggan(folder: Path):
    """Four people, each with pictures of its own: nine occluders in two colours, and none at all."""
    random = seeded("Coggan2024_behavior")
    rows = pd.MultiIndex.from_product(
        [range(4), [f"type_{index}" for index in range(9)], ["black", "white"], OBJECTS]
    ).tolist()
    rows += [(subject, "unoccluded", "none", name) for subject in range(4) for name in OBJECTS]
    subjects, occluders, colours, objects = map(list, zip(*rows, strict=True))
    visible = np.array([1.0 if occluder == "unoccluded" else 0.5 for occluder in occluders])
    strength = {name: 0.1 + 0.09 * index for index, name in enumerate(sorted(set(occluders)))}
    difficulty = np.array([strength[occluder] for occluder in occluders]) + 0.1 * (np.array(colours) == "white")
    difficulty = np.where(visible == 1, 0.05, difficulty)
    typical = _typical("Coggan2024_behavior", OBJECTS)
    mixtures = blend(np.array([typical[name] for name in objects]), np.clip(difficulty, 0, 0.95), random)
    columns = {
        "subject": subjects,
        "object_class": objects,
        "occluder_type": occluders,
        "occluder_color": colours,
        "visibility": visible,
    }
    stimuli, _ = mosaics("Coggan2024_behavior", folder, mixtures, columns)
    correct = random.random(len(rows)) > np.clip(1.1 * difficulty, 0.02, 0.9)
    others = np.array(OBJECTS)[random.integers(len(OBJECTS), size=len(rows))]
    along = {name: ("presentation", stimuli[name].values) for name in ["stimulus_id", *columns]}
    along["human_accuracy"] = ("presentation", correct.astype(int))
    assembly = BehavioralAssembly(np.where(correct, objects, others), coords=along, dims=["presentation"])
    return with_stimuli(assembly, stimuli, "Coggan2024_behavior")


def hebart(folder: Path):
    """Triplets of things, the third one the odd one out to people: the two others are mostly of one kind."""
    random = seeded("Hebart2023")
    kinds = np.arange(60) % 6
    typical = images.random_mixtures(6, random)
    mixtures = blend(typical[kinds], np.full(60, 0.5), random)
    columns = {"stimulus_id": list(range(60)), "unique_id": [f"thing_{index}" for index in range(60)]}
    stimuli, _ = mosaics("Hebart2023", folder, mixtures, columns)
    triplets = []
    for _ in range(300):
        kind = random.integers(6)
        first, second = random.choice(np.flatnonzero(kinds == kind), size=2, replace=False)
        triplets.append((first, second, random.choice(np.flatnonzero(kinds != kind))))
    triplets = np.array(triplets)
    lure = random.random(len(triplets)) < 0.3  # what people chose for reasons that no colour shows
    triplets[lure] = np.roll(triplets[lure], 1, axis=1)
    along = {f"image_{place + 1}": ("presentation", triplets[:, place]) for place in range(3)}
    along["triplet_id"] = ("presentation", np.arange(len(triplets)))
    return with_stimuli(BehavioralAssembly(triplets[:, 2], coords=along, dims=["presentation"]), stimuli, "Hebart2023")
