"""Long work on images, batch by batch: what is known of a batch is on disk at once, and a killed run goes on there."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from ..engine.kept_arrays import NPZ_DAMAGE
from ..labelled_images.images import Batch, LabelledImages
from ..plugin.errors import UserError
from ..plugin.files import write_whole

Look = Callable[[Batch], Mapping[str, np.ndarray]]
"""A batch of n images -> arrays of length n, by the name of what was seen."""


def image_by_image(
    images: LabelledImages,
    look: Look,
    *,
    size: int,
    unfinished: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Look at all images in batches of `size`.

    Parameters
    ----------
    images : LabelledImages, at least one
    look : what is done with a batch; a batch that does not fit into the GPU's memory is looked at in halves
    unfinished : folder for what is known of each batch, to be deleted by `forget` once the result is safe; its name has
        to change with everything that `look` depends on. None keeps nothing
    progress : called with (images done, of how many)

    Returns
    -------
    dict : what `look` gave, joined over all batches in the order of the images; `identity` and `label` first

    Raises
    ------
    UserError
        one image alone does not fit into the GPU's memory; the folder cannot be written
    """
    if not len(images):
        raise UserError("there are no images to look at.")
    blocks = {}
    for number in range(-(-len(images) // size)):
        known = _read(_path(unfinished, number)) if unfinished else None
        if known is not None:
            blocks[number] = known
    missing = [number for number in range(-(-len(images) // size)) if number not in blocks]
    rows = [row for number in missing for row in range(number * size, min((number + 1) * size, len(images)))]
    done = len(images) - len(rows)
    for number, batch in zip(missing, images.batches(size, rows), strict=True):
        blocks[number] = _with_names(batch, _in_halves(look, batch))
        if unfinished:
            buffer = io.BytesIO()
            np.savez(buffer, **blocks[number])
            write_whole(_path(unfinished, number), buffer.getvalue(), "--results")
        done += len(batch.rows)
        if progress is not None:
            progress(done, len(images))
    ordered = [blocks[number] for number in sorted(blocks)]
    return {name: np.concatenate([block[name] for block in ordered]) for name in ordered[0]}


def forget(unfinished: Path) -> None:
    """Delete what was kept of the batches, and the folder that it lay in where no other run's batches lie there."""
    shutil.rmtree(unfinished, ignore_errors=True)
    with contextlib.suppress(OSError):  # it is not empty
        unfinished.parent.rmdir()


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.npz"


def _read(path: Path) -> dict[str, np.ndarray] | None:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return dict(file)
    except FileNotFoundError:
        return None
    except NPZ_DAMAGE:  # damaged on disk: that batch is done again
        return None


def _with_names(batch: Batch, seen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"identity": np.array(batch.identities), "label": batch.labels.numpy(), **seen}


def _in_halves(look: Look, batch: Batch) -> Mapping[str, np.ndarray]:
    try:
        return look(batch)
    except torch.OutOfMemoryError as error:
        if len(batch.rows) == 1:
            raise UserError("one image does not fit into the GPU's memory. Use --device cpu, or free it.") from error
    torch.cuda.empty_cache()
    parts = [_in_halves(look, part) for part in _halves(batch)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _halves(batch: Batch) -> Iterator[Batch]:
    middle = (len(batch.rows) + 1) // 2
    for part in (slice(None, middle), slice(middle, None)):
        yield Batch(*(None if values is None else values[part] for values in batch))
