"""The house: rooms in one order, no circles, private names at home, and what loads where Brain-Score is missing."""

import ast
import subprocess
import sys
from collections import defaultdict

import pytest
from rooms import PACKAGE, ROOMS, ROOT, arrows, circles, files, graph_in_words, imports_of, room_of

# Private names of other people's objects that ours read, each because there is no public way.
FOREIGN = {
    "_assembly": "Brain-Score's benchmarks",
    "_metric": "Brain-Score's benchmarks",
    "_ceiling_func": "Brain-Score's benchmarks",
    "_similarity_metric": "Brain-Score's benchmarks",
    "_correlation": "Brain-Score's metrics",
    "_exit": "os",
}
WITHOUT_BRAINSCORE = {
    "plugin": ("errors", "files", "areas", "card", "checkpoint", "fetching", "fingerprint", "hooks", "layer_map"),
    "words": (),
    "engine": ...,
    "models": ...,
    "labelled_images": (),
    "attacks": ...,
    "robustness": (  # all but `recording`, which writes records
        "accuracy", "alignment", "blocks", "classifiers", "clickme", "cost", "effectiveness", "grid",
        "perceived", "semantics", "smallest", "summary", "targeted", "tfrecord", "tolerance",
    ),
    "probes": (
        "accuracy", "attention", "corruptions", "features", "lesion", "perturbations", "readouts", "segmentation",
        "shape_bias",
    ),
    "training": ...,
}  # fmt: skip


def short(path):
    return str(path.relative_to(ROOT))


def test_rooms_take_only_from_rooms_below():
    upward = [
        f"{short(path)} takes from {short(imported)}"
        for (room, other), between in arrows().items()
        if ROOMS.index(room) < ROOMS.index(other)
        for path, imported in between
    ]
    assert not upward


def test_every_file_stands_in_a_room():
    assert {room_of(path) for path in files()} - {None} <= set(ROOMS)
    assert len(ROOMS) <= 20


def test_no_files_import_each_other():
    assert not [[short(path) for path in circle] for circle in circles()]


def test_the_graph_in_contributing_is_the_houses():
    assert graph_in_words() in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [path for path in files() if room_of(path) == "plugin"], ids=lambda path: path.name)
def test_the_plugin_imports_nothing_of_ours_outside_itself(path):
    ours = {name for name in imports_of(path) if name.split(".")[0] in (PACKAGE, "analysis", "evaluate", "bench")}
    assert all(name.startswith(f"{PACKAGE}.plugin") for name in ours)


@pytest.mark.parametrize(
    "path", [path for path in files() if short(path).startswith(PACKAGE)], ids=lambda path: short(path)[22:]
)
def test_imports_inside_the_package_are_relative(path):
    absolute = [
        node.module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and not node.level and node.module.split(".")[0] == PACKAGE
    ]
    # The worker of a check runs as a file of its own, where the package may be missing.
    assert not absolute or path.name == "worker.py"


def test_private_names_stay_in_their_file():
    homes, taken = defaultdict(set), []
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files()}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and is_private(node.name):
                homes[node.name].add(path)
            if isinstance(node, ast.Attribute) and is_private(node.attr) and is_own(node):
                homes[node.attr].add(path)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                taken += [f"{short(path)}: imports {a.name}" for a in node.names if is_private(a.name) and node.level]
            if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_own(node):
                elsewhere = homes[node.attr] - {path}
                if elsewhere and path not in homes[node.attr] and node.attr not in FOREIGN:
                    taken.append(f"{short(path)}:{node.lineno}: {node.attr} of {short(min(elsewhere))}")
    assert not taken


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def is_own(node):
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


BLOCKED = """
import importlib, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(f"{{name}} is not here")
sys.meta_path.insert(0, Blocked())
for name in {modules}:
    importlib.import_module(name)
"""


# What is not there either, for rooms that run on a GPU machine: one process for those that do without the same.
WITHOUT_MORE = {
    "engine": {"xarray", "pandas", "sklearn"},
    "training": {"xarray", "pandas", "sklearn"},
    "attacks": {"xarray", "pandas", "sklearn", "timm", "torchvision", "scipy", "PIL"},
}


@pytest.mark.parametrize("more", [set(), WITHOUT_MORE["engine"], WITHOUT_MORE["attacks"]], ids=len)
def test_rooms_that_load_where_brainscore_is_missing(more):
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files()
        if (room := room_of(path)) in WITHOUT_BRAINSCORE and WITHOUT_MORE.get(room, set()) == more
        if path.name != "__init__.py"
        and ((wanted := WITHOUT_BRAINSCORE[room]) is ... or not wanted or path.stem in wanted)
    ]
    blocked = {"brainscore_vision", "brainscore_core", "brainscore", "boto3", "botocore", "pydantic"} | more
    code = BLOCKED.format(blocked=sorted(blocked), modules=modules)
    if "pandas" in more:
        code = f"import torch._dynamo  # asks whether pandas is there, and takes no exception for an answer\n{code}"
    assert len(modules) > 3
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_importing_does_nothing_visible(tmp_path):
    code = "import brainscore_submission, brainscore_submission.cli, brainscore_submission.plugin"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == done.stderr == ""


# Files that are written elsewhere than through `plugin.files`, each with the reason why half a file does no harm.
WRITES_ITSELF = {
    "brainscore_submission/plugin/files.py": "the one place",
    "brainscore_submission/plugin/fetching.py": "a download that goes on where it was",
    "brainscore_submission/plugin/test.py": "a picture in a folder of the test",
    "brainscore_submission/training/state.py": "a log that grows by whole lines",
    "brainscore_submission/demo/stimuli.py": "a draft, which gets its name when it is whole",
    "brainscore_submission/checking/archive.py": "a sandbox that is thrown away",
    "brainscore_submission/checking/judge.py": "a sandbox that is thrown away",
    "brainscore_submission/checking/running.py": "a sandbox that is thrown away",
    "brainscore_submission/checking/sandbox.py": "a sandbox that is thrown away",
    "brainscore_submission/checking/worker.py": "a sandbox that is thrown away",
}


def test_files_are_written_whole_or_not_at_all():
    def writes(call):
        function = call.func
        if isinstance(function, ast.Attribute) and function.attr in ("write_text", "write_bytes"):
            return True
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
        modes = [one.value for one in (*call.args, *(k.value for k in call.keywords)) if isinstance(one, ast.Constant)]
        opens = name == "open" and any(mode in ("w", "wb", "a", "ab", "x", "xb", "w+", "w+b") for mode in modes)
        unfinished = isinstance(function, ast.Attribute) and getattr(function.value, "id", None) == "unfinished"
        return opens and not unfinished  # `unfinished` is what `whole_file` gives

    found = {
        short(path)
        for path in files()
        if short(path).startswith(("brainscore_submission/", "analysis/"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and writes(node)
    }
    assert found <= set(WRITES_ITSELF), found - set(WRITES_ITSELF)
