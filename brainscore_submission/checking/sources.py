"""What the plugin's source says without being run: syntax, requirements, imports, CPU loading.

All of it is advice: the site's upload code reads none of it, and what it leads to shows when Brain-Score's own code
runs the plugin. An import is expected when it is Python's own, lies anywhere in the plugin, is Brain-Score's with what
that brings, or is declared in requirements.txt, setup.py or environment.yml. `--full` proves it by installing nothing
else.
"""

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..words import few_quoted
from .layout import Plugin
from .verdict import Problem, Rules, advice

# Brain-Score's test environment is brainscore_vision[test]: its script installs that before the plugin.
BASE = "brainscore_vision[test]"

# Import name -> distribution, for what is not installed here; what is installed, Python knows.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
    "clip": "openai-clip",
    "open_clip": "open-clip-torch",
    "pl_bolts": "lightning-bolts",
}
LOCAL_PATH = re.compile(r"^(/home/|/Users/|/root/|/mnt/|/scratch/|[A-Za-z]:\\)")


def requirement_lines(plugin: Plugin) -> list[str]:
    """The lines of requirements.txt that say something, comments cut off."""
    text = plugin.files.get("requirements.txt", b"").decode("utf-8", errors="replace")
    lines = [re.split(r"(?:^|\s)#", line)[0].strip() for line in text.splitlines()]
    return [line for line in lines if line]


def requirements(plugin: Plugin) -> list[Requirement]:
    """The declared requirements that name a package; the rule "requirements" reports the other lines."""
    lines = [*requirement_lines(plugin), *setup_requirements(plugin)]
    return [found for line in lines if (found := _requirement(line)) is not None]


def setup_requirements(plugin: Plugin) -> list[str]:
    """Requirements that setup.py names as text, read without running it: every word that is one, and no keyword."""
    for name, tree in _trees(plugin):
        if name == "setup.py":
            lists = [node for node in ast.walk(tree) if isinstance(node, ast.List | ast.Tuple)]
            return [text for node in lists for text in map(_text, node.elts) if text and _requirement(text)]
    return []


def _requirement(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _syntax(plugin: Plugin) -> Iterator[Problem]:
    for name, data in _python_files(plugin):
        try:
            ast.parse(data, filename=name)
        except (SyntaxError, ValueError) as error:  # ValueError: NUL bytes
            yield advice(f"{name} is not Python {sys.version_info.major}.{sys.version_info.minor}: {error}", "Mend it.")


def _python_files(plugin: Plugin) -> list[tuple[str, bytes]]:
    return [(name, data) for name, data in plugin.files.items() if name.endswith(".py")]


def _trees(plugin: Plugin) -> Iterator[tuple[str, ast.Module]]:
    for name, data in _python_files(plugin):
        try:
            yield name, ast.parse(data, filename=name)
        except (SyntaxError, ValueError):
            continue  # the rule "syntax" says so


def _requirements(plugin: Plugin) -> Iterator[Problem]:
    for line in requirement_lines(plugin):
        if line.startswith(("-e", ".", "/")) or "file:" in line:
            message = f"requirements.txt: {line!r} is a local path, which the server does not have"
            yield advice(message, "Name packages of the public registry, one a line.")
        elif _requirement(line) is None and not line.startswith(("git+", "http", "-")):
            yield advice(f"requirements.txt: {line!r} is no requirement", "Write name or name>=version.")
    if not DECLARES & plugin.files.keys():
        yield advice("no requirements.txt", "Add one, even if empty: it says what the plugin needs.")


DECLARES = {"requirements.txt", "setup.py", "environment.yml"}  # what Brain-Score's test script installs from


def _conflicts(plugin: Plugin) -> Iterator[Problem]:
    """A requirement that leaves out the version Brain-Score is running with here."""
    shared = dependency_closure(BASE)
    for requirement in requirements(plugin):
        name = canonicalize_name(requirement.name)
        if name in shared and _applies(requirement):
            version = importlib.metadata.version(name)
            if not requirement.specifier.contains(version, prereleases=True):
                message = f"the plugin asks for {requirement}; Brain-Score runs with {name} {version} here"
                yield advice(message, "Loosen it if you can; `--full` shows whether both can be installed.")


def _applies(requirement: Requirement, extras: frozenset[str] = frozenset()) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""})


@cache
def dependency_closure(root: str) -> frozenset[str]:
    """Names of a requirement and all it brings, as far as it is installed here.

    Parameters
    ----------
    root : a requirement, with extras where wanted

    Returns
    -------
    canonical distribution names; without those whose metadata is not installed
    """
    closure: set[str] = set()
    waiting = [Requirement(root)]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            brought = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        closure.add(name)
        waiting += [child for line in brought if _applies(child := Requirement(line), extras | {""})]
    return frozenset(closure)


@cache
def _installed_distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def distributions_of(module: str) -> set[str]:
    """Canonical names of the distributions that may provide a top-level module."""
    installed = {canonicalize_name(name) for name in _installed_distributions().get(module, [])}
    return installed or {canonicalize_name(DISTRIBUTIONS.get(module, module))}


def undeclared_imports(plugin: Plugin) -> dict[str, list[str]]:
    """Modules imported without being declared, and the files that do."""
    declared = set(dependency_closure(BASE))
    for requirement in requirements(plugin):
        declared.add(canonicalize_name(requirement.name))
        declared |= dependency_closure(str(requirement))
    conda = plugin.files.get("environment.yml", b"").decode("utf-8", errors="replace")
    declared |= {canonicalize_name(word) for word in re.findall(r"[\w.-]+", conda)}
    known = sys.stdlib_module_names | _own_modules(plugin)
    undeclared: dict[str, list[str]] = {}
    for name, tree in _trees(plugin):
        for module in sorted(_imported(tree) - known):
            if name != "setup.py" and not distributions_of(module) & declared:
                undeclared.setdefault(module, []).append(name)
    return undeclared


def declared_modules(plugin: Plugin) -> frozenset[str]:
    """Modules that the plugin's requirements may be meant to bring, by the names they are imported under."""
    names = {canonicalize_name(requirement.name) for requirement in requirements(plugin)}
    imported = {module for _, tree in _trees(plugin) for module in _imported(tree)}
    return frozenset(module for module in imported if distributions_of(module) & names)


def _own_modules(plugin: Plugin) -> set[str]:
    """Names that files and folders of the plugin could be imported under, with some folder of it on the path.

    Which of them works shows when it runs: sys.path is set in too many ways to be read.
    """
    paths = [PurePosixPath(name) for name, _ in _python_files(plugin)]
    return {path.stem for path in paths} | {part for path in paths for part in path.parts[:-1]}


def _imported(tree: ast.Module) -> set[str]:
    """Top-level modules a file cannot do without; relative imports are the plugin's own.

    Left out is what stands in a ``try`` that catches something: the file says itself what it does without it.
    """
    caught = {
        id(node)
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try) and attempt.handlers
        for statement in [*attempt.body, *(line for handler in attempt.handlers for line in handler.body)]
        for node in ast.walk(statement)
    }
    modules = set()
    for node in (node for node in ast.walk(tree) if id(node) not in caught):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and _name(node.func).split(".")[-1] in ("import_module", "__import__"):
            modules |= {value.split(".")[0] for value in map(_text, node.args[:1])}
    return modules - {""}


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _name(node: ast.expr) -> str:
    """Dotted name of an expression: ``torch.load`` for a call's function, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return f"{_name(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


def _imports(plugin: Plugin) -> Iterator[Problem]:
    for module, files in undeclared_imports(plugin).items():
        if module == "brainscore_submission":
            message = f"{few_quoted(files)} imports brainscore_submission, which is not on the server"
            yield advice(message, "Use relative imports within the plugin.")
        else:
            remedy = f"Add {min(distributions_of(module))} to requirements.txt, unless something declared brings it."
            yield advice(f"{few_quoted(files)} imports {module!r}, which requirements.txt does not declare", remedy)


def _cpu(plugin: Plugin) -> Iterator[Problem]:
    for name, tree in _trees(plugin):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) == "torch.load" and not _maps_location(node):
                message = f"{name}:{node.lineno}: torch.load without map_location; the server has no GPU"
                yield advice(message, "Write torch.load(…, map_location='cpu', weights_only=True).")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "cuda":
                message = f"{name}:{node.lineno}: .cuda(); the server has no GPU"
                yield advice(message, "Leave the network on the CPU: Brain-Score's wrapper moves it where it can.")


def _maps_location(call: ast.Call) -> bool:
    return len(call.args) > 1 or any(keyword.arg in ("map_location", None) for keyword in call.keywords)


def _commitment(plugin: Plugin) -> Iterator[Problem]:
    given = set()
    for _, tree in _trees(plugin):
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        given |= {keyword.arg for call in calls for keyword in call.keywords}
    for argument, otherwise in COMMITMENT.items():
        if argument not in given:
            yield advice(f"{argument}= is passed nowhere: {otherwise}", f"Pass {argument}= to ModelCommitment.")


COMMITMENT = {
    "region_layer_map": "the layers are looked up by name, and failing that searched",
    "behavioral_readout_layer": "behaviour is read from the last of layers=",
}


def _local_paths(plugin: Plugin) -> Iterator[Problem]:
    for name, tree in _trees(plugin):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and LOCAL_PATH.match(node.value):
                message = f"{name}:{node.lineno}: the path {node.value[:40]!r} exists on your machine only"
                yield advice(message, "Fetch weights by their public address and verify them by hash.")


def _tests(plugin: Plugin) -> Iterator[Problem]:
    for name, tree in _trees(plugin):
        if name == "test.py" and not any(
            isinstance(node, ast.FunctionDef) and node.name.startswith("test") for node in ast.walk(tree)
        ):
            yield advice("test.py holds no test function", "Add one that scores or records something.")


SOURCE_RULES: Rules = {
    "syntax": ("every Python file parses", _syntax),
    "requirements": ("requirements.txt can be read", _requirements),
    "conflicts": ("the requirements admit Brain-Score's own versions", _conflicts),
    "imports": ("nothing undeclared is imported", _imports),
    "cpu": ("checkpoints are loaded onto the CPU", _cpu),
    "commitment": ("layers and readout are passed explicitly", _commitment),
    "local-paths": ("no path of your own machine", _local_paths),
    "tests": ("test.py holds a test", _tests),
}
