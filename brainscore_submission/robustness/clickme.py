"""ClickMe's TFRecord files (Linsley et al. 2019) -> one npz of images, labels and importance maps; and its check."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from ..engine.budget import Budget
from ..labelled_images.sources import ARRAYS, checked_arrays, load_arrays
from ..plugin.errors import UserError
from ..plugin.files import require_writable, whole_file
from ..words import few, size_in_words
from .tfrecord import Feature, read_records

BLUR_PX = 11.5
"""Width of the blur that the released evaluation gives these maps: 10 x 10 pixels at 64 px, whose standard deviation is
2.9 px, 11.5 px at 256."""


def convert(
    paths: Sequence[Path],
    out: Path,
    n_classes: int = 1000,
    blur_px: float = BLUR_PX,
    progress: Callable[[int], None] | None = None,
) -> dict:
    """Read TFRecord files and write one npz of `image`, `label` and `heatmap`.

    Parameters
    ----------
    paths : TFRecord files of features image and heatmap (JPEG, PNG, or the float32 values of a square), and label
    out : npz to write
    blur_px : standard deviation of a Gaussian over each map, in pixels of the map; 0 keeps it as stored
    progress : called with the number of records read

    Returns
    -------
    dict : facts, as `check_maps`

    Raises
    ------
    UserError
        a damaged file, a record without one of the three, images of different sizes, more than half of the free memory
    """
    if blur_px < 0:
        raise UserError(f"a blur of {blur_px} is not possible: give 0 or more pixels.")
    require_writable(out)
    room = Budget.default(None).memory_bytes
    images, labels, maps, passed_over = [], [], [], set()
    for path in paths:
        for number, features in enumerate(read_records(path)):
            image, heatmap, label = _one(features, f"{path}, record {number}")
            if images and image.shape != images[0].shape:
                raise UserError(
                    f"{path}, record {number}: an image of {image.shape[:2]} after those of {images[0].shape[:2]}."
                )
            images.append(image)
            maps.append(gaussian_filter(heatmap, blur_px) if blur_px else heatmap)
            labels.append(label)
            passed_over |= set(features) - set(ARRAYS)
            if len(images) * (image.nbytes + 4 * heatmap.size) > room:
                raise UserError(
                    f"more than half of the free memory ({size_in_words(room)}) after {len(images)} records: "
                    "convert fewer files at a time."
                )
            if progress is not None:
                progress(len(images))
    if not images:
        raise UserError(f"{few(paths)}: no records.")
    arrays = {"image": np.stack(images), "label": np.array(labels), "heatmap": np.stack(maps).astype(np.float32)}
    checked_arrays(paths[0], arrays, n_classes)
    with whole_file(out) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **arrays)
    return _facts(arrays) | {"passed_over": sorted(passed_over)}


def check_maps(path: Path, n_classes: int = 1000) -> dict:
    """What an npz of images, labels and maps holds: numbers of images, classes and constant maps, and sizes.

    Raises
    ------
    UserError
        it lacks one of the three, or one is not what `attack tolerance` needs
    """
    arrays, passed_over = load_arrays(path, ARRAYS)
    if "heatmap" not in arrays:
        raise UserError(f"{path} lacks the array heatmap, of shape (images, height, width).")
    checked_arrays(path, arrays, n_classes)
    return _facts(arrays) | {"passed_over": passed_over}


def _facts(arrays: Mapping[str, np.ndarray]) -> dict:
    images, labels, maps = (arrays[name] for name in ARRAYS)
    flat = maps.reshape(len(maps), -1)
    return {
        "images": len(images),
        "size": [int(side) for side in images.shape[1:3]],
        "classes": len(np.unique(labels)),
        "constant_maps": int((np.ptp(flat, axis=1) == 0).sum()),
    }


def _one(features: Mapping[str, Feature], where: str) -> tuple[np.ndarray, np.ndarray, int]:
    missing = [name for name in ARRAYS if not len(features.get(name, ()))]
    if missing:
        raise UserError(f"{where} lacks {' and '.join(missing)}; it holds {few(features)}.")
    image = _picture(features["image"], 3, f"{where}, image")
    heatmap = _picture(features["heatmap"], 1, f"{where}, heatmap")[..., 0].astype(np.float32)
    if heatmap.shape != image.shape[:2]:
        raise UserError(f"{where}: the map is {heatmap.shape}, its image {image.shape[:2]}.")
    if image.dtype != np.uint8:
        image = (image * (255 if image.max(initial=0) <= 1 else 1)).round().clip(0, 255).astype(np.uint8)
    return image, heatmap, int(features["label"][0])


def _picture(feature: Feature, channels: int, what: str) -> np.ndarray:
    """An encoded picture, uint8, or the float32 values of a square one: (height, width, channels)."""
    if isinstance(feature, np.ndarray):
        return _square(feature, channels, what)
    (data,) = feature[:1]
    if data[:2] == b"\xff\xd8" or data[:4] == b"\x89PNG":
        try:
            picture = Image.open(io.BytesIO(data)).convert("RGB" if channels == 3 else "L")
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"{what}: not a readable picture ({error}).") from error
        return np.array(picture).reshape(picture.height, picture.width, channels)
    if len(data) % 4:
        raise UserError(f"{what}: {len(data)} bytes are no JPEG, no PNG and no square of float32.")
    return _square(np.frombuffer(data, "<f4"), channels, what)


def _square(values: np.ndarray, channels: int, what: str) -> np.ndarray:
    side = round((values.size / channels) ** 0.5)
    if not side or side * side * channels != values.size:
        raise UserError(f"{what}: {values.size} values are no JPEG, no PNG and no square of {channels} channel(s).")
    return values.reshape(side, side, channels)
