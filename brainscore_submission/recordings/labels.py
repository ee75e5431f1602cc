"""What lies beside an array in its file: names of its images, by name or by number, of its neuroids, areas, animals.

A vector is known by what it is called; names of images by what they say, too.
"""

import dataclasses

import numpy as np
import pandas as pd

from ..words import count, few
from .findings import Finding, FolderError, named
from .heads import find_heads
from .images import Image, file_names, matches
from .manifest import Manifest
from .responses import Responses, own_names, stack_repetitions

OF_NEUROIDS = {"neuroid": "neuroid_id", "area": "area", "subject": "subject"}
TELLING_APART = ("session", "condition", "time_bin")
TIMES = ("time_bin_start", "time_bin_end")


def settle_labels(found: Responses, images: dict[str, Image], ordered: list[str], manifest: Manifest) -> Responses:
    """Give an array the names that lie beside it.

    Parameters
    ----------
    found : Responses
    images : the images there are
    ordered : their names in the order of stimuli.csv, or in the usual order; empty where that is unclear
    manifest : Manifest

    Returns
    -------
    Responses
        With `stimulus_ids` where a vector names the images, `neuroids` where vectors name them; a vector that is not
        used is named in `findings`.
    """
    if not found.beside:
        return found
    vectors = {name: _vector(value) for name, value in found.beside.items()}
    vectors = {name: value for name, value in vectors.items() if value is not None}
    fields = ("stimulus", "stimulus_index", "repetition", *OF_NEUROIDS, *TELLING_APART, *TIMES)
    heads = find_heads(vectors, fields, manifest.columns)
    values, axes, ids, used = found.values, found.axes or manifest.axes, None, set()
    naming = _naming(vectors, heads, images, ordered)
    if naming:
        ids, used = naming
    if "time_bin" not in (axes or ()):
        _refuse_telling_apart(vectors, heads, values.shape, ids)
    axis = _stimulus_axis(values.shape, axes, ids, used)
    if axis is not None and len(set(ids)) < len(ids):
        values, axes, ids, more = _stacked(values, axes, axis, ids, vectors, heads)
        used |= more
    neuroids, more = _neuroids(vectors, heads, values.shape)
    bins, times = _time_bins(vectors, heads)
    used |= more | times
    unused = [name for name in found.beside if name not in used]
    note = [Finding("note", f"beside the responses, not used: {few(named(unused), 8)}.")] if unused else []
    return dataclasses.replace(
        found,
        values=values,
        axes=axes if axes != manifest.axes else found.axes,
        stimulus_ids=None if ids is None else tuple(ids),
        neuroids=neuroids,
        time_bins_ms=bins or found.time_bins_ms,
        beside={},
        findings=(*found.findings, *note),
    )


def _vector(value: np.ndarray) -> np.ndarray | None:
    return value.ravel() if value.size > 1 and max(value.shape) == value.size and value.dtype.kind in "USiufb" else None


def _texts(vector: np.ndarray) -> list[str]:
    """Names as they would be written: a whole number without its point.

    >>> _texts(np.array([1.0, 2.0])), _texts(np.array(["a "]))
    (['1', '2'], ['a'])
    """
    if vector.dtype.kind == "S":
        vector = np.char.decode(vector, "utf-8", "replace")
    if vector.dtype.kind == "f" and ((np.abs(vector) < 2**53) & (vector == np.floor(vector))).all():
        vector = vector.astype(np.int64)
    return [str(name).strip() for name in vector]


def _naming(vectors, heads, images, ordered) -> tuple[list[str], set[str]] | None:
    """The names of the stimuli and the vectors that give them; two that disagree are refused."""
    readings = {}
    for name, vector in vectors.items():
        texts = _texts(vector)
        if name == heads.get("stimulus") or vector.dtype.kind in "US" and matches(texts, images):
            readings[name] = file_names(texts, images, name)
    number = heads.get("stimulus_index")
    if number and not readings:
        readings[number] = _by_number(number, vectors[number], images, ordered)
    if not readings:
        return None
    (first, ids), *others = readings.items()
    for other, others_ids in others:
        if others_ids != ids:
            raise FolderError(
                f"{first} and {other} name the images of the responses in different orders.",
                f'Say which one counts: columns = {{ stimulus = "{first}" }} in recordings.toml, and rename the other.',
            )
    return ids, set(readings) | ({number} if number else set())


def _by_number(name: str, vector: np.ndarray, images: dict[str, Image], ordered: list[str]) -> list[str]:
    """Images by their number, from 1 or from 0 on; where numbers are names of images too, both must say the same."""
    numbers = [int(text) for text in _texts(vector) if text.isdecimal() and len(text) < 10]
    first, last = (min(numbers), max(numbers)) if len(numbers) == len(vector) else (-1, -1)
    readings = []
    base = 0 if first == 0 else 1
    if first >= 0 and last - base < len(ordered):
        readings.append([ordered[number - base] for number in numbers])
    readings += [file_names(_texts(vector), images, name)] if matches(_texts(vector), images) else []
    agreed = bool(readings) and all(reading == readings[0] for reading in readings)
    # Where neither image 0 nor the last one is named, they may be counted from 0 or from 1.
    if agreed and (first == 0 or last == len(ordered) or len(readings) > 1 or not ordered):
        return readings[0]
    raise FolderError(
        f"{name} counts images from {first} to {last}, and {count(len(images), 'image')} lie here: "
        "it is unclear which number is which image.",
        "Give the images' names instead of their numbers, or write stimuli.csv with the images in the order counted.",
    )


def _stimulus_axis(shape, axes, ids, used) -> int | None:
    """The axis that the names belong to; None without names."""
    if ids is None or axes and len(axes) != len(shape):  # the latter is refused where the axes are found
        return None
    fitting = [axes.index("stimulus")] if axes else [index for index, side in enumerate(shape) if side == len(ids)]
    if not fitting or shape[fitting[0]] != len(ids):
        raise FolderError(
            f"{few(sorted(used))} names {count(len(ids), 'image')}, and the array of responses is {shape}.",
            "Give one name for every stimulus or presentation of the array.",
        )
    return fitting[0]


def _stacked(values, axes, axis, ids, vectors, heads):
    """Presentations, of which several show one image, become stimuli and repetitions."""
    rest = [index for index in range(values.ndim) if index != axis]
    if len(rest) > 1 and axes is None:
        raise FolderError(
            f"the responses {values.shape} are {len(ids)} presentations of {len(set(ids))} images, and more axes.",
            'Say what they are: axes = ["neuroid", "stimulus", "time_bin"] in recordings.toml, in the array\'s order.',
        )
    others = [axes[index] for index in rest] if axes else ["neuroid"]
    if "repetition" in others:
        raise FolderError("an image is named twice, and the array has an axis of repetitions.", "Name each image once.")
    rest.sort(key=dict(zip(rest, (name != "neuroid" for name in others), strict=True)).get)
    name = heads.get("repetition")
    repetition = None if name is None or len(vectors[name]) != len(ids) else vectors[name]
    stacked, ids = stack_repetitions(values.transpose([rest[0], axis, *rest[1:]]), ids, repetition, "the responses")
    used = set() if repetition is None else {name}
    return stacked, ("neuroid", "stimulus", "repetition", *(["time_bin"] * (len(rest) > 1))), list(ids), used


def _neuroids(vectors, heads, shape) -> tuple[pd.DataFrame | None, set[str]]:
    """Names, areas and animals of the neuroids, as far as vectors as long as one axis say so."""
    names = {field: heads[field] for field in OF_NEUROIDS if field in heads}
    lengths = {len(vectors[name]) for name in names.values()}
    if len(lengths) != 1 or not lengths <= set(shape):
        return None, set()
    table = pd.DataFrame({OF_NEUROIDS[field]: _texts(vectors[name]) for field, name in names.items()})
    if "neuroid_id" in table:
        table["neuroid_id"] = own_names(table)
    return table, set(names.values())


def _time_bins(vectors, heads) -> tuple[tuple[tuple[float, float], ...] | None, set[str]]:
    """The bins, where two vectors of numbers say when they start and end."""
    names = [heads[field] for field in TIMES if field in heads]
    edges = [vectors[name] for name in names if vectors[name].dtype.kind in "iuf"]
    if len(edges) != 2 or len(edges[0]) != len(edges[1]) or not (edges[0] < edges[1]).all():
        return None, set()
    return tuple((float(start), float(end)) for start, end in zip(*edges, strict=True)), set(names)


def _refuse_telling_apart(vectors, heads, shape, presented) -> None:
    """Refuse conditions, sessions and times that would pass for repetitions of one stimulus."""
    for field in TELLING_APART:
        labels = _texts(vectors[heads[field]]) if field in heads else []
        along_repetitions = len(shape) == 3 and len(labels) == shape[2] and len(labels) not in shape[:2]
        if along_repetitions and len(set(labels)) > 1:
            differing = True
        elif presented is not None and len(labels) == len(presented):
            differing = len(set(zip(presented, labels, strict=True))) > len(set(presented))
        else:
            differing = False
        if differing:
            raise FolderError(
                f"{heads[field]} tells responses to one stimulus apart ({few(named(dict.fromkeys(labels)), 3)}): they "
                "are no repetitions of one another, and it is not known how to use it.",
                f"Keep one {heads[field]} a file, or make it part of the stimulus' name.",
            )
