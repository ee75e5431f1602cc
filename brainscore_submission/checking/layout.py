"""Where files lie in the zip: the rules of brain-score.org's upload code on names alone.

One root folder, ``root/models/<plugin>/`` with explicit directory entries, and nothing beside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from ..words import few_quoted
from .archive import Archive
from .verdict import Problem, Rules, advice, failed

PLUGIN_TYPES = ("models", "benchmarks", "data", "metrics")
METADATA = ("metadata.yaml", "metadata.yml")
LEFTOVERS = ("__pycache__", ".DS_Store", ".ipynb_checkpoints", ".git", ".idea", ".vscode", ".pytest_cache")
ROOT_REMEDY = "Zip one folder that holds models/<plugin>/, from the folder above it."
ENTRY_REMEDY = "Write folders as entries of their own: `zip -r` does, `zip -D` and many libraries do not."


@dataclass(frozen=True)
class Plugin:
    """The one plugin of a well laid-out zip.

    Parameters
    ----------
    root, folder : the zip's root folder and the plugin's, as in ``root/models/folder/``
    files : path within the plugin folder -> bytes
    """

    root: str
    folder: str
    files: dict[str, bytes]

    @property
    def path(self) -> str:
        return f"{self.root}/models/{self.folder}"


def format_of_2022(archive: Archive) -> bool:
    """Whether this is a submission as the competition of 2022 took it: a package ``models`` with a setup.py."""
    inside = {name.partition("/")[2] for name in archive.files}
    return "setup.py" in inside and bool(inside & {"models/base_models.py", "models/brain_models.py"})


FORMAT_OF_2022 = failed(
    "this is a submission of the 2022 format (setup.py beside models/base_models.py or brain_models.py)",
    "The site takes one plugin a model since: root/models/<name>/ with __init__.py (model_registry['<name>'] = lambda: "
    "…), model.py, test.py and requirements.txt; weights go through its large-file upload.",
)


def the_plugin(archive: Archive) -> Plugin:
    """The plugin of an archive that passed `LAYOUT_RULES`."""
    root = roots(archive)[0]
    folder = plugin_folders(archive)[0]
    start = f"{root}/models/{folder}/"
    inside = {name: data for name, data in archive.contents.items() if name.startswith(start)}
    return Plugin(root, folder, {name.removeprefix(start): data for name, data in inside.items()})


def roots(archive: Archive) -> list[str]:
    """Names of the top folders, in order."""
    return list(dict.fromkeys(name.split("/")[0] for name in archive.names if "/" in name))


def plugin_folders(archive: Archive) -> list[str]:
    """Names of the folders in ``root/models/``, whether or not they have an entry of their own."""
    paths = [name.split("/") for name in archive.names]
    return list(dict.fromkeys(path[2] for path in paths if len(path) > 3 and path[1] == "models"))


def _metadata(archive: Archive) -> Iterator[Problem]:
    names = [name for name in archive.files if PurePosixPath(name).name.lower() in METADATA]
    if names:
        yield failed(f"{few_quoted(names)} is not taken with an upload", "Take it out: the site makes metadata itself.")


def _spaces(archive: Archive) -> Iterator[Problem]:
    names = [name for name in archive.names if any(character.isspace() for character in name)]
    if names:
        yield failed(f"{few_quoted(names)} has a space in its name", "Rename it, with underscores for spaces.")


def _top_level(archive: Archive) -> Iterator[Problem]:
    names = [name for name in archive.names if "/" not in name]
    if names:
        yield failed(f"{few_quoted(names)} lies at the zip's top level", ROOT_REMEDY)


def _one_root(archive: Archive) -> Iterator[Problem]:
    found = roots(archive)
    if "__MACOSX" in found:
        remedy = "Remove it with `zip -d FILE '__MACOSX*'`, or zip on the command line with `zip -X -r`."
        yield failed("macOS has added a folder '__MACOSX'", remedy)
    elif len(found) > 1:
        yield failed(f"{len(found)} root folders: {few_quoted(found)}", ROOT_REMEDY)


def _plugin_type(archive: Archive) -> Iterator[Problem]:
    second = list(dict.fromkeys(name.split("/")[1] for name in archive.names if name.count("/") > 1))
    other = [name for name in second if name in PLUGIN_TYPES and name != "models"]
    if other:
        yield failed(f"the zip also submits {few_quoted(other)}", "Submit a model in a zip of its own.")
    elif "models" not in second:
        near = [name for name in second if name.lower().rstrip("s") == "model"]
        found = f"only {few_quoted(near or second)}" if second else "no folder at all"
        yield failed(f"no folder 'models' (lower case) in the root folder, {found}", ROOT_REMEDY)


def _models_entry(archive: Archive) -> Iterator[Problem]:
    entry = f"{(roots(archive) or ['root'])[0]}/models/"
    if "models" in [name.split("/")[1] for name in archive.names if "/" in name] and entry not in archive.folders:
        yield failed(f"the folder {entry!r} has no entry of its own in the zip", ENTRY_REMEDY)


def _plugin_entry(archive: Archive) -> Iterator[Problem]:
    root = (roots(archive) or ["root"])[0]
    for folder in plugin_folders(archive):
        entry = f"{root}/models/{folder}/"
        if entry not in archive.folders:
            yield failed(f"the plugin folder {entry!r} has no entry of its own in the zip", ENTRY_REMEDY)
            return


def _one_plugin(archive: Archive) -> Iterator[Problem]:
    folders = plugin_folders(archive)
    stray = [folder for folder in folders if folder in LEFTOVERS]
    if stray:
        message = f"the site takes {few_quoted(stray)} beside the plugin for another plugin"
        yield failed(message, "Delete it before zipping.")
    elif len(folders) > 1:
        message = f"{len(folders)} plugin folders: {few_quoted(folders)}"
        yield failed(message, "One model a zip: put each plugin into a zip of its own.")
    elif not folders and "models" in [name.split("/")[1] for name in archive.names if "/" in name]:
        yield failed("the folder 'models' holds no plugin folder", "Put the plugin into root/models/<plugin>/.")


def _required_file(wanted: str) -> object:
    def missing(archive: Archive) -> Iterator[Problem]:
        root = (roots(archive) or ["root"])[0]
        for folder in plugin_folders(archive):
            if folder not in LEFTOVERS and f"{root}/models/{folder}/{wanted}" not in archive.files:
                message = f"the plugin folder {folder!r} has no {wanted}"
                yield failed(message, REQUIRED_FILES[wanted])
                return

    return missing


REQUIRED_FILES = {
    "__init__.py": "Add it, with the line model_registry['<identifier>'] = lambda: …",
    "test.py": "Add it, with at least one test function.",
}


def _stray_files(archive: Archive) -> Iterator[Problem]:
    deep = [name for name in archive.files if name.count("/") == 2 and name.split("/")[1] == "models"]
    if deep:
        message = f"{few_quoted(deep)} lies beside the plugin folder and would change Brain-Score itself"
        yield failed(message, "Move it into the plugin folder, or leave it out.")
    shallow = [name for name in archive.files if name.count("/") == 1]
    if shallow:
        yield advice(f"{few_quoted(shallow)} lies outside the plugin folder and is of no use there", "Leave it out.")


def _leftovers(archive: Archive) -> Iterator[Problem]:
    parts = {part for name in archive.names for part in name.split("/")[3:]}
    found = sorted(parts.intersection(LEFTOVERS))
    if found:
        yield advice(f"{few_quoted(found)} would become part of the public pull request", "Delete it before zipping.")


LAYOUT_RULES: Rules = {
    "spaces": ("no space in any name", _spaces),
    "metadata": ("no metadata.yml", _metadata),
    "top-level": ("nothing at the zip's top level", _top_level),
    "one-root": ("one root folder", _one_root),
    "models-folder": ("the root folder holds models/", _plugin_type),
    "models-entry": ("models/ has an entry of its own", _models_entry),
    "one-plugin": ("one plugin folder, nothing beside it", _one_plugin),
    "plugin-entry": ("the plugin folder has an entry of its own", _plugin_entry),
    "init-file": ("the plugin has an __init__.py", _required_file("__init__.py")),
    "test-file": ("the plugin has a test.py", _required_file("test.py")),
    "stray-files": ("no file beside the plugin folder", _stray_files),
    "leftovers": ("no caches or editor folders", _leftovers),
}
