"""The demo suite's images: generated on first use into a cache folder, verified whenever they are used again.

Textures and their matched noise are shown at 4 degrees, objects on textured backgrounds at 8. Every picture is
drawn from a `numpy.random.RandomState` of its own, whose streams numpy keeps for good: the pixels are the same
anywhere.
"""

import hashlib
import json
import logging
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from ..plugin.errors import UserError
from ..plugin.fetching import CACHE_VARIABLE, cache_folder
from ..plugin.files import file_sha256
from . import objects, textures

SIZE_PX = 256
GREY = 128  # Brain-Score's screen is 128, too: pictures fade into it
TEXTURE_DEGREES = 4
OBJECT_DEGREES = 8
TEXTURE_INSTANCES = 5  # of each family, and as many of its noise
OBJECT_INSTANCES = 15  # of each object; the last TEST_INSTANCES of them test behaviour, the others fit its readout
TEST_INSTANCES = 6

# Of all pixels, in the order of `all_stimuli`. Another value means other pictures, whose scores do not compare.
PIXELS_SHA256 = "e5afbc62bf47e48d3366830a3551b717a8cf222061d3b891026e557a1b5454fb"
MANIFEST = "manifest.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoStimulus:
    """One picture: its id, what is in it (columns of the stimulus set) and how to draw it.

    `mask` draws which pixels are the object's, between 0 and 1; None of a texture.
    """

    stimulus_id: str
    meta: dict
    draw: Callable[[], np.ndarray]
    mask: Callable[[], np.ndarray] | None = None

    @property
    def filename(self):
        return f"{self.stimulus_id}.png"


def texture_stimuli() -> list[DemoStimulus]:
    """Five instances of each of ten texture families, and for each the noise with its amplitude spectrum."""
    return [
        _texture_stimulus(family, instance, kind)
        for family in textures.FAMILIES
        for kind in ("texture", "noise")
        for instance in range(TEXTURE_INSTANCES)
    ]


def object_stimuli() -> list[DemoStimulus]:
    """Fifteen views of each of eight objects, each on another background."""
    return [_object_stimulus(name, instance) for name in objects.OBJECTS for instance in range(OBJECT_INSTANCES)]


def all_stimuli() -> list[DemoStimulus]:
    """Everything the demo suite shows, in a fixed order."""
    return texture_stimuli() + object_stimuli()


def is_test(stimulus: DemoStimulus) -> bool:
    """Whether an object picture tests behaviour (else it fits the readout)."""
    return stimulus.meta["instance"] >= OBJECT_INSTANCES - TEST_INSTANCES


@dataclass(frozen=True)
class StimulusFolder:
    """Pictures on disk. `sha256` is the hash of their pixels."""

    path: Path
    sha256: str

    def file(self, stimulus: DemoStimulus) -> Path:
        """Where a picture lies."""
        return self.path / stimulus.filename


def stimulus_folder(cache: str | Path | None = None) -> StimulusFolder:
    """The folder of pictures: found and verified, or generated (10 to 20 seconds).

    A folder appears under its name only when it is complete, so an interrupted generation leaves nothing that is
    used; a folder with a missing or changed file is replaced.

    Parameters
    ----------
    cache : see `brainscore_submission.plugin.fetching.cache_folder`

    Raises
    ------
    UserError
        The cache cannot be written to.
    """
    folder = cache_folder(cache) / f"demo-stimuli-{PIXELS_SHA256[:12]}"
    manifest = _intact_manifest(folder)
    if manifest is None:
        manifest = _generate(folder)
    if manifest["pixels_sha256"] != PIXELS_SHA256:
        logger.warning(
            "these demo pictures (%s) are not the published ones (%s): numpy %s draws them otherwise. "
            "Scores on them do not compare with published demo scores.",
            *(manifest["pixels_sha256"][:12], PIXELS_SHA256[:12], np.__version__),
        )
    return StimulusFolder(folder, manifest["pixels_sha256"])


def _intact_manifest(folder: Path) -> dict | None:
    """The folder's manifest, if every picture is there with the bytes that it was written with."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        written = {stimulus.filename: file_sha256(folder / stimulus.filename) for stimulus in all_stimuli()}
    except (OSError, ValueError):
        return None
    return manifest if manifest.get("files") == written else None


def _generate(folder: Path) -> dict:
    """Draw everything into a draft, then give it the folder's name; of two runs at once, one draws."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            manifest = _intact_manifest(folder)
            if manifest is None:
                with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as draft:
                    manifest = _draw(Path(draft, "new"))
                    if folder.exists():
                        logger.warning("%s was damaged: its pictures were drawn again.", folder)
                        folder.rename(Path(draft, "damaged"))
                    Path(draft, "new").rename(folder)
    except OSError as error:
        raise UserError(
            f"cannot write the demo pictures into {folder.parent}: {error.strerror or error}. "
            f"Free some space (15 MB) or set {CACHE_VARIABLE} to a folder that can be written."
        ) from error
    return manifest


def _draw(folder: Path) -> dict:
    """Write every picture and the manifest: the hash of each file, and of all pixels in order."""
    folder.mkdir()
    files, all_pixels = {}, hashlib.sha256()
    for stimulus in all_stimuli():
        pixels = stimulus.draw()
        Image.fromarray(pixels).convert("RGB").save(folder / stimulus.filename)
        files[stimulus.filename] = file_sha256(folder / stimulus.filename)
        all_pixels.update(pixels.tobytes())
    manifest = {"files": files, "pixels_sha256": all_pixels.hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return manifest


def _texture_stimulus(family, instance, kind):
    seed = _seed("texture", family, instance)

    def draw():
        random = np.random.RandomState(seed)
        patch = textures.texture(family, random, SIZE_PX)
        if kind == "noise":
            patch = textures.scrambled(patch, random)
        return _pixels(0.19 * patch * _aperture(SIZE_PX))

    meta = {"texture_type": kind, "texture_family": family, "instance": instance}
    return DemoStimulus(f"{kind}-{family}-{instance}", meta, draw)


def _object_stimulus(name, instance):
    random = np.random.RandomState(_seed("object", name, instance))
    view = objects.View(
        x=random.uniform(-0.08, 0.08),
        y=random.uniform(-0.08, 0.08),
        radius=random.uniform(0.27, 0.38),
        rotation=random.uniform(-0.5, 0.5),
        squash=random.uniform(0.75, 1.0),
        lamp=random.uniform(-np.pi, 0.0),
        tone=random.choice([-0.35, 0.45]) + random.uniform(-0.1, 0.1),
    )
    background = random.choice(list(textures.FAMILIES))
    contrast = random.uniform(0.05, 0.13)
    background_seed = random.randint(2**31)

    def draw():
        stream = np.random.RandomState(background_seed)
        behind = contrast * textures.texture(background, stream, SIZE_PX)
        behind = behind + 0.06 * textures.coloured_noise(stream, SIZE_PX, 1.6)
        shade, mask = objects.rendered(name, view, SIZE_PX)
        return _pixels(behind * (1 - mask) + 0.45 * shade * mask)

    meta = {
        "object_name": name,
        "image_label": name,  # what Brain-Score's readout of behaviour is fitted to
        "instance": instance,
        "background": background,
        "position_x": view.x,
        "position_y": view.y,
        "object_radius": view.radius,
        "object_rotation": view.rotation,
    }
    return DemoStimulus(f"object-{name}-{instance:02}", meta, draw, lambda: objects.rendered(name, view, SIZE_PX)[1])


def _pixels(contrast):
    """Grey levels, shape (size, size), uint8; `contrast` 0 is the screen's grey, 0.5 about white."""
    return np.clip(np.round(GREY + 255 * contrast), 0, 255).astype(np.uint8)


def _aperture(size):
    """1 inside a disc, falling to 0 along a raised cosine at the picture's edge."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    radius = np.hypot(axis[:, None], axis[None, :])
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - 0.8) / 0.2, 0.0, 1.0))


def _seed(*words):
    return zlib.crc32("/".join(map(str, words)).encode())
