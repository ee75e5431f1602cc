"""The images of a recording folder: found in a folder or a zip, decoded once, known by their hash.

Nothing is written beside the user's files: a zip is unpacked into the cache folder, under its own hash.
"""

import hashlib
import shutil
import stat
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image as PillowImage

from ..plugin.errors import suggest
from ..plugin.fetching import cache_folder
from ..plugin.files import file_sha256
from ..words import count, few
from .findings import FolderError
from .manifest import Manifest

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Image:
    """One readable image.

    Attributes
    ----------
    name : path below the stimuli folder, with forward slashes
    path : where it lies
    sha256 : hash of the file
    pixels_sha256 : hash of its RGB pixels and size: equal for the same picture in two file formats
    size : (width, height) in pixels
    mode : Pillow's name of the pixel format, such as "RGB", "L", "RGBA"
    """

    name: str
    path: Path
    sha256: str
    pixels_sha256: str
    size: tuple[int, int]
    mode: str


def find_images(manifest: Manifest, cache: Path | None = None) -> dict[str, Image]:
    """Find, decode and hash the images of a recording folder.

    Parameters
    ----------
    manifest : Manifest
    cache : where a zip is unpacked; the user's cache folder by default

    Returns
    -------
    dict from name to Image, sorted by name
    """
    root = _image_folder(manifest, cache)
    paths = [path for path in sorted(root.rglob("*")) if _is_image(path.relative_to(root))]
    if not paths:
        raise FolderError(f"{root} holds no images.", f"Put images there ({', '.join(SUFFIXES)}).")
    _refuse_equal_file_names(paths, root)
    return _decode_all(root, paths)


def file_names(given: list[str], images: dict[str, Image], where: str) -> list[str]:
    """Match what a table or an array calls the images with the images' names.

    Parameters
    ----------
    given : names with or without folder and suffix
    images : the images found
    where : the file that gave the names, for the message

    Returns
    -------
    list of str
        One image name each, in the order of `given`.
    """
    known: dict[str, set[str]] = {}
    for name in images:
        pure = PurePosixPath(name)
        for alias in {name, pure.name, pure.stem, str(pure.with_suffix(""))}:
            known.setdefault(alias, set()).add(name)
    missing = [name for name in given if name not in known]
    if missing:
        raise FolderError(
            f"{where}: no image for {count(len(missing), 'name')}: {few(missing)}.",
            f"Add the images or mend the names.{suggest(missing[0], images, limit=5)}",
        )
    unclear = [name for name in given if len(known[name]) > 1]
    if unclear:
        raise FolderError(
            f"{where}: '{unclear[0]}' may be {' or '.join(sorted(known[unclear[0]]))}.",
            "Write the names with their suffix.",
        )
    return [next(iter(known[name])) for name in given]


def _image_folder(manifest: Manifest, cache: Path | None) -> Path:
    given = manifest.stimuli
    if given is None:
        present = [path for path in (manifest.folder / "stimuli", manifest.folder / "stimuli.zip") if path.exists()]
        if not present:
            raise FolderError(
                f"{manifest.folder} holds no images: neither stimuli/ nor stimuli.zip.",
                'Add one of them, or say where the images are: stimuli = "…" in recordings.toml.',
            )
        if len(present) > 1:
            raise FolderError(
                f"{manifest.folder} holds both stimuli/ and stimuli.zip.",
                'Say which one is meant: stimuli = "stimuli" in recordings.toml.',
            )
        given = present[0]
    return given if given.is_dir() else _unpack(given, cache)


def _is_image(name: Path | PurePosixPath) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
    return name.suffix.lower() in SUFFIXES and not hidden


def _refuse_equal_file_names(paths: list[Path], root: Path) -> None:
    # Brain-Score writes placed stimuli into one flat folder, by file name: a/1.png would overwrite b/1.png.
    seen: dict[str, Path] = {}
    for path in paths:
        if path.name in seen:
            first, second = (item.relative_to(root).as_posix() for item in (seen[path.name], path))
            raise FolderError(
                f"two images share the file name {path.name}: {first} and {second}.",
                "Rename one of them: file names must be unique across subfolders.",
            )
        seen[path.name] = path


def _decode_all(root: Path, paths: list[Path]) -> dict[str, Image]:
    images, unreadable = {}, []
    for path in paths:
        name = path.relative_to(root).as_posix()
        try:
            images[name] = _decode(name, path)
        # Pillow reports a broken file by any of these, depending on the format.
        except (OSError, SyntaxError, ValueError) as error:
            unreadable.append(f"{name} ({error})")
    if unreadable:
        raise FolderError(
            f"{count(len(unreadable), 'image')} cannot be read: {few(unreadable, limit=3)}.",
            "Replace the files, or remove them together with their responses.",
        )
    return images


def _decode(name: str, path: Path) -> Image:
    with PillowImage.open(path) as image:
        pixels = image.convert("RGB")
        digest = hashlib.sha256(repr(pixels.size).encode())
        digest.update(pixels.tobytes())
        return Image(
            name=name,
            path=path,
            sha256=file_sha256(path),
            pixels_sha256=digest.hexdigest(),
            size=image.size,
            mode=image.mode,
        )


def _unpack(path: Path, cache: Path | None) -> Path:
    """Unpack a zip of images into the cache, whole or not at all."""
    if not zipfile.is_zipfile(path):
        raise FolderError(f"{path} is neither a folder nor a zip.", "Give a folder of images or a .zip of them.")
    cache = cache_folder(cache)
    target = cache / "recordings" / file_sha256(path)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        members = [member for member in archive.infolist() if _is_image(PurePosixPath(member.filename))]
        _refuse_unsafe(path, archive.infolist())
        _refuse_too_large(path, members, cache)
        unpacked = Path(scratch) / "images"
        unpacked.mkdir()
        for member in members:
            _extract(archive, member, unpacked, path)
        if not target.is_dir():  # another process may have been faster
            unpacked.rename(target)
    return target


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, unpacked: Path, path: Path) -> None:
    try:
        archive.extract(member, unpacked)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise FolderError(f"{path}: {member.filename} cannot be unpacked: {error}.", "Make the zip anew.") from error


def _refuse_unsafe(path: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        name = member.filename.replace("\\", "/")
        outside = name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name.split("/")[0]
        if outside or stat.S_ISLNK(member.external_attr >> 16):
            raise FolderError(
                f"{path}: the member {member.filename!r} leads out of the zip.",
                "Make the zip anew from the images alone.",
            )
        if member.flag_bits & 0x1:
            raise FolderError(f"{path} is locked with a password.", "Make the zip anew without a password.")


def _refuse_too_large(path: Path, members: list[zipfile.ZipInfo], cache: Path) -> None:
    needed, free = sum(member.file_size for member in members), shutil.disk_usage(cache).free
    if needed > free:
        raise FolderError(
            f"{path} unpacks to {needed / 1e9:.1f} GB, and {cache} has {free / 1e9:.1f} GB left.",
            "Make room, or unpack it yourself and give the folder.",
        )
