"""The demo suite's images: generated on first use into a cache folder, verified whenever they are used again.

Textures and their matched noise are shown at 4 degrees, objects on textured backgrounds at 8. Every picture is
drawn from a `numpy.random.RandomState` of its own, whose streams numpy keeps for good: the pixels are the same
anywhere.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from PIL import Image

from . import objects, textures

SIZE_PX = 256
GREY = 128  # Brain-Score's screen is 128, too: pictures fade into it
TEXTURE_DEGREES = 4
OBJECT_DEGREES = 8
TEXTURE_SAMPLES = 5  # of each family, and as many of its noise
OBJECT_SAMPLES = 15  # of each object; the last TEST_SAMPLES of them test behaviour, the others fit its readout
TEST_SAMPLES = 6

# Of all pixels, in the order of `all_stimuli`. Another value means other pictures, whose scores do not compare.
PIXELS_SHA256 = "e5afbc62bf47e48d3366830a3551b717a8cf222061d3b891026e557a1b5454fb"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoStimulus:
    """One picture: its id, what is in it (columns of the stimulus set) and how to draw it."""

    stimulus_id: str
    meta: dict
    draw: Callable[[], np.ndarray]

    @property
    def filename(self):
        return f"{self.stimulus_id}.png"


def texture_stimuli() -> list[DemoStimulus]:
    """Five samples of each of ten texture families, and of each sample the noise with its amplitude spectrum."""
    return [
        _texture_stimulus(family, sample, kind)
        for family in textures.FAMILIES
        for kind in ("texture", "noise")
        for sample in range(TEXTURE_SAMPLES)
    ]


def object_stimuli() -> list[DemoStimulus]:
    """Fifteen views of each of eight objects, each on another background."""
    return [_object_stimulus(name, sample) for name in objects.OBJECTS for sample in range(OBJECT_SAMPLES)]


def all_stimuli() -> list[DemoStimulus]:
    """Everything the demo suite shows, in a fixed order."""
    return texture_stimuli() + object_stimuli()


def cache_folder() -> Path:
    """Where generated files go: `$BRAINSCORE_SUBMISSION_CACHE`, or the user's cache directory."""
    return Path(os.environ.get("BRAINSCORE_SUBMISSION_CACHE") or platformdirs.user_cache_dir("brainscore_submission"))


@dataclass(frozen=True)
class StimulusFolder:
    """Pictures on disk. `sha256` is the hash of their pixels."""

    path: Path
    sha256: str

    def file(self, stimulus: DemoStimulus) -> Path:
        return self.path / stimulus.filename


def stimulus_folder(cache: Path | None = None) -> StimulusFolder:
    """The folder of pictures: found and verified, or generated.

    A folder appears under its name only when it is complete, so an interrupted generation leaves nothing that is
    used; a folder with a missing or changed file is replaced.

    Parameters
    ----------
    cache : folder to look in; None for `cache_folder()`
    """
    folder = Path(cache or cache_folder()) / f"demo-stimuli-{PIXELS_SHA256[:12]}"
    if folder.exists() and not _is_intact(folder):
        logger.warning("%s is damaged: generating its pictures again.", folder)
        shutil.rmtree(folder)
    if not folder.exists():
        _generate(folder)
    sha256 = _manifest(folder)["pixels_sha256"]
    if sha256 != PIXELS_SHA256:
        logger.warning(
            "The demo pictures drawn here (%s) are not the published ones (%s): numpy %s draws otherwise. "
            "Scores do not compare with published demo scores.",
            sha256[:12], PIXELS_SHA256[:12], np.__version__,
        )  # fmt: skip
    return StimulusFolder(folder, sha256)


def _generate(folder: Path) -> None:
    """Draw everything into a temporary folder, then give it its name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        files, pixels_sha256 = {}, hashlib.sha256()
        for name, pixels in _pictures():
            Image.fromarray(pixels).convert("RGB").save(draft / name)
            files[name] = _sha256(draft / name)
            pixels_sha256.update(pixels.tobytes())
        manifest = {"files": files, "pixels_sha256": pixels_sha256.hexdigest()}
        (draft / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _rename(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _pictures() -> Iterator[tuple[str, np.ndarray]]:
    for stimulus in all_stimuli():
        yield stimulus.filename, stimulus.draw()


def _rename(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        if not (folder.exists() and _is_intact(folder)):  # else another process was first, with the same pictures
            raise


def _is_intact(folder: Path) -> bool:
    """Whether every file of the manifest is there with the bytes it was written with."""
    if not (folder / "manifest.json").is_file():
        return False
    files = _manifest(folder)["files"]
    return all((folder / name).is_file() and _sha256(folder / name) == sha256 for name, sha256 in files.items())


def _manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _texture_stimulus(family, sample, kind):
    seed = _seed("texture", family, sample)

    def draw():
        random = np.random.RandomState(seed)
        patch = textures.texture(family, random, SIZE_PX)
        if kind == "noise":
            patch = textures.scrambled(patch, random)
        return _pixels(0.19 * patch * _aperture(SIZE_PX))

    meta = {"texture_type": kind, "texture_family": family, "instance": sample}
    return DemoStimulus(f"{kind}-{family}-{sample}", meta, draw)


def _object_stimulus(name, sample):
    random = np.random.RandomState(_seed("object", name, sample))
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
        "instance": sample,
        "background": background,
        "position_x": view.x,
        "position_y": view.y,
        "object_radius": view.radius,
        "object_rotation": view.rotation,
    }
    return DemoStimulus(f"object-{name}-{sample:02}", meta, draw)


def is_test(stimulus: DemoStimulus) -> bool:
    """Whether an object picture tests behaviour (else it fits the readout)."""
    return stimulus.meta["instance"] >= OBJECT_SAMPLES - TEST_SAMPLES


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
