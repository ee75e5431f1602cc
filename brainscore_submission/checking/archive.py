"""Is this file a zip that is safe to open? Answered before anything is written to disk.

`read_archive` reads a zip into memory within fixed bounds, `ARCHIVE_RULES` judges its members, `extract`
writes them out. What the members should be called is in `layout`.
"""

import hashlib
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..words import few_quoted
from .verdict import Finding, Problem, Rules, advice, any_failed, apply, failed

ZIP_BYTES = 50_000_000  # the site's limit for an upload
MEMBERS = 1_000
UNPACKED_BYTES = 200_000_000
RATIO = 100  # ordinary source code shrinks three- to tenfold
RATIO_FROM_BYTES = 1_000_000  # smaller members may shrink as far as they like
DIRECTORY_BYTES = 1_000_000  # the zip's table of contents
NAME_BYTES = 255

NESTED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".whl", ".egg", ".jar")
WEIGHTS = (".pt", ".pth", ".ckpt", ".safetensors", ".h5", ".hdf5", ".onnx", ".pb", ".tflite", ".bin")
WEIGHTS += (".pkl", ".pickle", ".msgpack", ".npz", ".tar.gz")
ARCHIVE_MAGIC = {b"PK\x03\x04": "zip (torch.save writes this, too)", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z"}

# What Python's zipfile raises on a file that is damaged, or is no zip at all.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError)
DAMAGE += (UnicodeDecodeError, ValueError, OSError, OverflowError, IndexError)


@dataclass(frozen=True)
class Archive:
    """A zip read into memory.

    Parameters
    ----------
    path : where it lies
    sha256 : hash of the zip file
    members : its table of contents, in the order of the zip
    contents : name -> bytes of every file; empty until the members have been judged
    """

    path: Path
    sha256: str
    members: tuple[zipfile.ZipInfo, ...]
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [member.filename for member in self.members]

    @property
    def files(self) -> list[str]:
        return [member.filename for member in self.members if not _is_folder(member)]

    @property
    def folders(self) -> list[str]:
        return [member.filename for member in self.members if _is_folder(member)]


def _is_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith("/")  # ZipInfo.is_dir() raises on an empty name


def read_archive(path: Path) -> tuple[Archive | None, list[Finding]]:
    """Read a zip, if it is one, within fixed bounds of memory. Nothing is written.

    Returns
    -------
    the archive, or None where a rule failed; and the findings
    """
    findings = [_size(path), _directory(path)]
    if any_failed(findings):
        return None, findings
    data_hash = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        with zipfile.ZipFile(path) as opened:
            archive = Archive(path, data_hash, tuple(opened.infolist()))
    except DAMAGE as error:
        return None, [*findings, _unreadable(f"it cannot be opened ({error})")]
    findings += [Finding("zip", "ok", "the file is a zip archive"), *apply(ARCHIVE_RULES, archive)]
    if any_failed(findings):
        return None, findings
    contents, damage = _contents(archive)
    findings.append(damage)
    if any_failed(findings):
        return None, findings
    archive.contents.update(contents)
    findings += apply(CONTENT_RULES, archive)
    return (None if any_failed(findings) else archive), findings


def extract(archive: Archive, folder: Path) -> None:
    """Write a judged archive's files under an existing folder, as ordinary files."""
    top = folder.resolve()
    for name in archive.folders:
        _inside(top, name).mkdir(parents=True, exist_ok=True)
    for name, data in archive.contents.items():
        target = _inside(top, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _inside(top: Path, name: str) -> Path:
    # The rules have refused every such name already; this is the lock on the door itself.
    target = (top / name).resolve()
    if not target.is_relative_to(top):
        raise ValueError(f"{name!r} leads out of {top}")
    return target


def _size(path: Path) -> Finding:
    size = path.stat().st_size
    if size > ZIP_BYTES:
        remedy = "Take weights and data out; weights go through the site's large-file upload."
        return Finding("zip-size", "failed", f"the zip is {size / 1e6:.1f} MB; the site takes 50 MB", remedy)
    return Finding("zip-size", "ok", f"the zip is {size / 1e3:.1f} kB (50 MB allowed)")


def _unreadable(reason: str) -> Finding:
    return Finding("zip", "failed", f"not a readable zip archive: {reason}", "Build the zip again.")


def _directory(path: Path) -> Finding:
    """Bound the table of contents before Python reads it whole."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65_600))
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        return _unreadable("it has no table of contents (cut short, or another kind of file)")
    if b"PK\x06\x07" in tail[max(0, end - 20) : end]:
        remedy = "Build it with ordinary zip: a plugin is far below the size that needs zip64."
        return Finding("zip-directory", "failed", "the table of contents is in zip64 format", remedy)
    (size,) = struct.unpack("<L", tail[end + 12 : end + 16])
    if size > DIRECTORY_BYTES:
        message = f"the table of contents alone is {size} bytes ({DIRECTORY_BYTES} at most)"
        return Finding("zip-directory", "failed", message, "Zip the plugin folder and nothing else.")
    return Finding("zip-directory", "ok", "the table of contents is of ordinary size")


def _contents(archive: Archive) -> tuple[dict[str, bytes], Finding]:
    """Unpack every file in memory; their announced sizes, already bounded, are never exceeded."""
    contents = {}
    name = ""
    try:
        with zipfile.ZipFile(archive.path) as opened:
            for member in archive.members:
                name = member.filename
                if not _is_folder(member):
                    contents[name] = opened.read(member)
    except DAMAGE as error:
        message = f"{name!r} cannot be unpacked: {error}"
        return {}, Finding("intact", "failed", message, "The zip is damaged: build it again.")
    return contents, Finding("intact", "ok", "every file unpacks and matches its checksum")


# --- rules on the table of contents ---


def _empty(archive: Archive) -> Iterator[Problem]:
    if not archive.files:
        yield failed("the zip holds no file", "Put root/models/<plugin>/ with __init__.py and test.py into it.")


def _too_many(archive: Archive) -> Iterator[Problem]:
    if len(archive.members) > MEMBERS:
        message = f"the zip has {len(archive.members)} entries ({MEMBERS} at most)"
        yield failed(message, "Leave caches, data and version control out.")


def _bomb(archive: Archive) -> Iterator[Problem]:
    total = sum(member.file_size for member in archive.members)
    if total > UNPACKED_BYTES:
        message = f"unpacked it would be {total / 1e6:.0f} MB ({UNPACKED_BYTES / 1e6:.0f} MB at most): a zip bomb?"
        yield failed(message, "Take data out; a plugin is source code.")


def _ratio(archive: Archive) -> Iterator[Problem]:
    large = [member for member in archive.members if member.file_size > RATIO_FROM_BYTES]
    dense = [member.filename for member in large if member.file_size > RATIO * max(1, member.compress_size)]
    if dense:
        message = f"{few_quoted(dense)} shrinks more than {RATIO} times, as zip bombs do"
        yield failed(message, "Take the file out; if the plugin needs it, let the code make it.")


def _overlap(archive: Archive) -> Iterator[Problem]:
    ordered = sorted(archive.members, key=lambda member: member.header_offset)
    for first, second in zip(ordered, ordered[1:], strict=False):
        if first.header_offset + 30 + first.compress_size > second.header_offset:
            message = f"{first.filename!r} and {second.filename!r} share the same bytes, as zip bombs do"
            yield failed(message, "Build the zip again with an ordinary tool.")
            return


def _encrypted(archive: Archive) -> Iterator[Problem]:
    names = [member.filename for member in archive.members if member.flag_bits & 0x41]
    if names:
        yield failed(f"{few_quoted(names)} is encrypted", "Zip without a password: the code becomes public anyway.")


def _compression(archive: Archive) -> Iterator[Problem]:
    usual = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    names = [member.filename for member in archive.members if member.compress_type not in usual]
    if names:
        message = f"{few_quoted(names)} is packed by a method that not every unzip knows"
        yield failed(message, "Use ordinary zip compression (deflate).")


def _absolute(archive: Archive) -> Iterator[Problem]:
    names = [name for name in archive.names if name.startswith(("/", "~")) or re.search(r"(^|/)[A-Za-z]:", name)]
    if names:
        yield failed(f"{few_quoted(names)} is an absolute path", "Zip the folder from the folder above it.")


def _parent(archive: Archive) -> Iterator[Problem]:
    names = [name for name in archive.names if ".." in re.split(r"[/\\]", name)]
    if names:
        yield failed(f"{few_quoted(names)} climbs out of the zip by '..'", "Zip the folder from the folder above it.")


def _backslash(archive: Archive) -> Iterator[Problem]:
    names = [name for name in archive.names if "\\" in name]
    if names:
        yield failed(
            f"{few_quoted(names)} has a backslash in its name", "Separate folders by '/': use another zip tool."
        )


def _links(archive: Archive) -> Iterator[Problem]:
    for member in archive.members:
        mode = member.external_attr >> 16
        kind = stat.S_IFMT(mode) if member.create_system == 3 else 0
        if kind == stat.S_IFLNK:
            yield failed(f"{member.filename!r} is a symbolic link", "Put the file itself into the zip.")
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            message = f"{member.filename!r} is neither file nor folder (a device, pipe or socket)"
            yield failed(message, "Take it out of the zip.")


def _encoding(archive: Archive) -> Iterator[Problem]:
    names = [m.filename for m in archive.members if not m.filename.isascii() and not m.flag_bits & 0x800]
    if names:
        message = f"{few_quoted(names)} has a name that is not in UTF-8"
        yield failed(message, "Rename it with plain letters, digits and underscores.")


def _odd_names(archive: Archive) -> Iterator[Problem]:
    for member in archive.members:
        name = member.filename
        parts = name.removesuffix("/").split("/")
        if not name.strip("/"):
            yield failed(f"an entry of the zip has no name ({name!r})", "Build the zip again.")
        elif member.orig_filename != name and "\\" not in member.orig_filename:
            yield failed(f"{member.orig_filename!r} has a NUL character in its name", "Rename the file.")
        elif not name.isprintable():
            yield failed(f"{name!r} has an invisible character in its name", "Rename the file.")
        elif "" in parts or "." in parts:
            yield failed(f"{name!r} has an empty or '.' folder in its path", "Build the zip again.")
        elif any(len(part.encode()) > NAME_BYTES for part in parts):
            yield failed(f"{name[:40] + '…'!r} is too long for a file system", "Rename the file.")


def _duplicates(archive: Archive) -> Iterator[Problem]:
    names = [name.removesuffix("/") for name in archive.names]
    twice = [name for name, count in Counter(names).items() if count > 1]
    alike = [name for name, count in Counter(name.casefold() for name in names).items() if count > 1]
    if twice:
        message = f"{few_quoted(twice)} is in the zip more than once"
        yield failed(message, "Build the zip anew instead of adding to an old one.")
    elif alike:
        message = f"{few_quoted(alike)} is in the zip more than once but for upper and lower case"
        yield advice(message, "Rename one: not every file system can hold both.")


def _file_as_folder(archive: Archive) -> Iterator[Problem]:
    files = set(archive.files)
    for name in archive.names:
        above = [str(parent) for parent in PurePosixPath(name).parents]
        clash = files.intersection(above)
        if clash:
            yield failed(f"{min(clash)!r} is a file and a folder at once", "Build the zip again.")
            return


def _folder_with_data(archive: Archive) -> Iterator[Problem]:
    names = [member.filename for member in archive.members if _is_folder(member) and member.file_size]
    if names:
        yield failed(f"{few_quoted(names)} is a folder that carries data", "Build the zip again.")


def _nested(archive: Archive) -> Iterator[Problem]:
    names = [name for name in archive.files if name.lower().endswith(NESTED)]
    if names:
        yield advice(f"{few_quoted(names)} is an archive within the zip", "Put the files themselves into the zip.")


def _weights(archive: Archive) -> Iterator[Problem]:
    names = [name for name in archive.files if name.lower().endswith(WEIGHTS)]
    if names:
        remedy = "Upload weights on the site's large-file page and let the plugin fetch and verify them."
        yield advice(f"{few_quoted(names)} looks like weights or data; they do not belong into the zip", remedy)


ARCHIVE_RULES: Rules = {
    "not-empty": ("the zip holds files", _empty),
    "member-count": (f"at most {MEMBERS} entries", _too_many),
    "unpacked-size": (f"at most {UNPACKED_BYTES / 1e6:.0f} MB unpacked", _bomb),
    "ratio": ("no file shrinks like a zip bomb", _ratio),
    "overlap": ("no two entries share bytes", _overlap),
    "encryption": ("nothing is encrypted", _encrypted),
    "compression": ("packed by the usual methods", _compression),
    "absolute-path": ("no absolute path", _absolute),
    "parent-path": ("no path climbs out by '..'", _parent),
    "backslash": ("no backslash in a name", _backslash),
    "links": ("no link, device or pipe", _links),
    "name-encoding": ("every name is UTF-8", _encoding),
    "odd-names": ("no invisible or unusable name", _odd_names),
    "duplicates": ("every name occurs once", _duplicates),
    "file-or-folder": ("no name is both file and folder", _file_as_folder),
    "folder-data": ("folders carry no data", _folder_with_data),
    "nested-archive": ("no archive within the archive", _nested),
    "no-weights": ("no weights inside", _weights),
}


def _disguised(archive: Archive) -> Iterator[Problem]:
    for name, data in archive.contents.items():
        kinds = [kind for magic, kind in ARCHIVE_MAGIC.items() if data.startswith(magic)]
        if kinds:
            remedy = "Put the files themselves into the zip; weights go through the large-file upload."
            yield advice(f"{name!r} is a {kinds[0]} archive under another name", remedy)


CONTENT_RULES: Rules = {"disguised-archive": ("no archive under another name", _disguised)}
