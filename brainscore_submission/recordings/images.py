"""The images of a recording folder: found in a folder or a zip, decoded once, known by their hash.

What would not reach a network as it was shown is refused here, before Brain-Score's canvas could clip or turn it.

Nothing is written beside the user's files: a zip is unpacked into the cache folder, under its own hash.
"""

import hashlib
import shutil
import stat
import tempfile
import unicodedata
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from PIL import ExifTags

from ..plugin.errors import UserError, suggest
from ..plugin.fetching import CACHE_VARIABLE, cache_folder
from ..plugin.files import file_sha256, require_writable_folder
from ..plugin.preprocessing import opened_image
from ..words import count, few
from .damage import reading, reading_folder, require_file
from .findings import Finding, FolderError, named
from .manifest import Manifest

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Pictures all the same, which are not read: Brain-Score's canvas would write a GIF anew in 256 colours, Pillow cannot
# read a HEIC, a film is no picture. One that was shown must not be passed over.
OTHER_PICTURES = (
    *(".avif", ".avi", ".dng", ".eps", ".exr", ".gif", ".hdr", ".heic", ".heif", ".ico", ".j2k", ".jp2", ".jxl"),
    *(".mat", ".mov", ".mp4", ".npy", ".pdf", ".psd", ".raw", ".svg", ".tga"),
)
PLACES = ("stimuli", "stimuli.zip", "images", "images.zip")


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
    mode : Pillow's name of the pixel format, such as "RGB", "L", "RGBA"; "P with transparency" of such a palette
    """

    name: str
    path: Path
    sha256: str
    pixels_sha256: str
    size: tuple[int, int]
    mode: str


def find_images(manifest: Manifest, cache: Path | None = None) -> tuple[dict[str, Image], list[Finding]]:
    """Find, decode and hash the images of a recording folder.

    Parameters
    ----------
    manifest : Manifest
    cache : where a zip is unpacked; the user's cache folder by default

    Returns
    -------
    images : dict from name to Image, sorted by name
    findings : a note of what else lies there
    """
    return images_below(image_folder(manifest, cache))


def images_below(root: Path) -> tuple[dict[str, Image], list[Finding]]:
    """Find, decode and hash the images of any folder, or one image file; as `find_images`."""
    if not root.exists():
        raise FolderError(f"{root}: there is no such folder or image.", f"Give one of images ({', '.join(SUFFIXES)}).")
    if root.is_file():
        _refuse_other_pictures([PurePath(root.name)])
        return _decode_all(root.parent, [root]), []
    with reading_folder(root):
        found = sorted(path for path in root.rglob("*") if not path.is_dir() and not _is_hidden(path.relative_to(root)))
    paths = [path for path in found if path.suffix.lower() in SUFFIXES]
    _refuse_other_pictures([path.relative_to(root) for path in found])
    if not paths:
        raise FolderError(f"{root} holds no images.", f"Put images there ({', '.join(SUFFIXES)}).")
    _refuse_equal_file_names(paths, root)
    others = [path.relative_to(root).as_posix() for path in found if path not in set(paths)]
    note = [Finding("note", f"beside the images, not read: {few(named(others), limit=3)}.")] if others else []
    return _decode_all(root, paths), note


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
    known = _aliases(images)
    given = [_composed(name) for name in given]
    missing = [name for name in given if name not in known]
    if missing:
        raise FolderError(
            f"{where}: no image for {count(len(missing), 'name')}: {few(named(missing))}.",
            f"Add the images or mend the names.{suggest(missing[0], images, limit=5)}",
        )
    unclear = [name for name in given if len(known[name]) > 1]
    if unclear:
        raise FolderError(
            f"{where}: '{unclear[0]}' may be {' or '.join(sorted(known[unclear[0]]))}.",
            "Write the names with their suffix.",
        )
    return [next(iter(known[name])) for name in given]


def matches(given: list[str], images: dict[str, Image]) -> bool:
    """Whether every text is the name of one image."""
    known = _aliases(images)
    return all(len(known.get(_composed(name), ())) == 1 for name in given)


def _aliases(images: dict[str, Image]) -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for name in images:
        pure = PurePosixPath(_composed(name))
        for alias in {str(pure), pure.name, pure.stem, str(pure.with_suffix(""))}:
            known.setdefault(alias, set()).add(name)
    return known


def _composed(name: str) -> str:
    """One spelling of é: a Mac writes it as two signs in file names, a table as one."""
    return unicodedata.normalize("NFC", name)


def image_folder(manifest: Manifest, cache: Path | None = None) -> Path:
    """The folder of images: the one that recordings.toml names, or the only one there; a zip is unpacked."""
    given = manifest.stimuli
    if given is None:
        present = [name for name in PLACES if (manifest.folder / name).exists()]
        if not present:
            raise FolderError(
                f"{manifest.folder} holds no images: neither stimuli/ nor stimuli.zip (nor images/ or images.zip).",
                'Add one of them, or say where the images are: stimuli = "…" in recordings.toml.',
            )
        if len(present) > 1:
            names = " and ".join(name if name.endswith(".zip") else f"{name}/" for name in present)
            raise FolderError(
                f"{manifest.folder} holds both {names}.",
                f'Say which one is meant: stimuli = "{present[0]}" in recordings.toml.',
            )
        given = manifest.folder / present[0]
    return given if given.is_dir() else _unpack(given, cache)


def _is_hidden(name: PurePath) -> bool:
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in name.parts)


def _refuse_other_pictures(names: Sequence[PurePath]) -> None:
    others = [name.as_posix() for name in names if name.suffix.lower() in OTHER_PICTURES]
    if others:
        raise FolderError(
            f"{count(len(others), 'file')} beside the images cannot be read as image: {few(named(others), limit=3)}.",
            "Save them as PNG of 8 bits, as they were shown, or move them elsewhere.",
        )


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
    images, refused = {}, []
    for path in paths:
        name = path.relative_to(root).as_posix()
        try:
            images[name] = _decode(name, path)
        except UserError as error:
            refused.append(str(error).replace(str(path), name, 1))
    if refused:
        raise FolderError(
            f"{count(len(refused), 'image')} cannot be read: {few(refused, limit=3)}",
            "Replace the files, or remove them together with their responses.",
        )
    return images


def _decode(name: str, path: Path) -> Image:
    with opened_image(path) as image:
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # of a camera's MPO the others are previews
            raise UserError(f"{name}: {image.n_frames} frames; save the one that was shown.")
        turned = image.getexif().get(ExifTags.Base.Orientation, 1)
        if turned not in (0, 1):
            raise UserError(f"{name}: EXIF data turn it (orientation {turned}); save it turned as it was shown.")
        mode = image.mode + " with transparency" * (image.mode == "P" and "transparency" in image.info)
        pixels = image.convert("RGB")
    digest = hashlib.sha256(repr(pixels.size).encode())
    digest.update(pixels.tobytes())
    return Image(name, path, file_sha256(path), digest.hexdigest(), pixels.size, mode)


def _unpack(path: Path, cache: Path | None) -> Path:
    """Unpack a zip of images into the cache, whole or not at all."""
    require_file(path)
    if not zipfile.is_zipfile(path):
        raise FolderError(f"{path} is neither a folder nor a zip.", "Give a folder of images or a .zip of them.")
    cache = cache_folder(cache)
    target = cache / "recordings" / file_sha256(path)
    if target.is_dir():
        return target
    require_writable_folder(target.parent, CACHE_VARIABLE)
    with (
        reading(path, "a zip of images", "Make the zip anew."),
        path.open("rb") as file,
        zipfile.ZipFile(file) as archive,
        tempfile.TemporaryDirectory(dir=target.parent) as scratch,
    ):
        names = [(member, PurePosixPath(member.filename)) for member in archive.infolist() if not member.is_dir()]
        shown = [(member, name) for member, name in names if not _is_hidden(name)]
        _refuse_other_pictures([name for _, name in shown])
        members = [member for member, name in shown if name.suffix.lower() in SUFFIXES]
        _refuse_unsafe(path, archive.infolist())
        _refuse_too_large(path, members, cache)
        unpacked = Path(scratch) / "images"
        unpacked.mkdir()
        for member in members:
            with reading(path, f"a zip whose {member.filename} can be unpacked", "Make the zip anew."):
                archive.extract(member, unpacked)
        if not target.is_dir():  # another process may have been faster
            unpacked.rename(target)
    return target


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
    packed = sum(member.compress_size for member in members)
    if needed > 1_000_000_000 and needed > 100 * packed:  # pictures do not shrink so far
        raise FolderError(
            f"{path} holds {packed / 1e6:.1f} MB and would unpack to {needed / 1e9:.1f} GB.", "Make the zip anew."
        )
    if needed > free:
        raise FolderError(
            f"{path} unpacks to {needed / 1e9:.1f} GB, and {cache} has {free / 1e9:.1f} GB left.",
            "Make room, or unpack it yourself and give the folder.",
        )
