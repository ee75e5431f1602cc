"""Under which name the plugin registers: what brain-score.org's upload code and Brain-Score's scan read.

Both read the text of ``__init__.py``, not the running code, so the registration has to be one literal line. The upload
code reads single quotes only, Brain-Score either.
"""

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ..plugin.areas import AREAS
from ..words import few_quoted
from .layout import Plugin
from .verdict import Problem, Rules, advice, failed

UPLOAD_PATTERN = re.compile(r"model_registry\['(.+?)'\]")  # the upload code's own
DOUBLE_QUOTED = re.compile(r'model_registry\["(.+?)"\]')
LINE = "model_registry['<identifier>'] = lambda: …"

# On the site already, whatever this machine's Brain-Score holds.
TAKEN = ("custom_model_cv_18_dagger_408", "cv_18_dagger_408_pretrained", "resnet50_tutorial")


def identifiers(plugin: Plugin) -> list[str]:
    """Every identifier registered in ``__init__.py``, in order, repeats included.

    As the upload code reads it; failing that, what stands in double quotes, which Brain-Score's own loader reads.
    """
    text = _init_text(plugin)
    return UPLOAD_PATTERN.findall(text) or DOUBLE_QUOTED.findall(text)


@cache
def taken_names() -> frozenset[str]:
    """Model identifiers and plugin folders that exist: the known ones and the installed Brain-Score's."""
    names = set(TAKEN)
    spec = importlib.util.find_spec("brainscore_vision")
    if spec is not None and spec.origin is not None:
        for init in (Path(spec.origin).parent / "models").glob("*/__init__.py"):
            names.add(init.parent.name)
            names.update(UPLOAD_PATTERN.findall(init.read_text(encoding="utf-8").replace('"', "'")))
    return frozenset(names)


def name_problem(name: str) -> tuple[str, str] | None:
    """What is wrong with a name for an identifier or a plugin folder: message and remedy, or None.

    >>> name_problem("crossvit-18")
    ("'crossvit-18' has a hyphen, which the site refuses", "Call it 'crossvit_18'.")
    """
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "my_model"
    if "-" in name:
        return f"{name!r} has a hyphen, which the site refuses", f"Call it {plain!r}."
    if any(character.isspace() for character in name):
        return f"{name!r} has a space, which the site refuses", f"Call it {plain!r}."
    if not re.fullmatch(r"[\w.]+", name, flags=re.ASCII) or name.startswith("."):
        return f"{name!r} is not made of letters, digits and underscores", f"Call it {plain!r}."
    if name in taken_names():
        return f"{name!r} is taken: it is a model on the site already", f"Call it '{name}_' plus what is new in yours."
    return None


def _init_text(plugin: Plugin) -> str:
    return plugin.files["__init__.py"].decode("utf-8", errors="replace")


def _one_identifier(plugin: Plugin) -> Iterator[Problem]:
    found = identifiers(plugin)
    if not found:
        yield failed("__init__.py registers no identifier that the upload code can read", f"Write one line: {LINE}")
    elif len(set(found)) > 1:
        message = f"{len(set(found))} identifiers in one zip: {few_quoted(dict.fromkeys(found))}"
        yield failed(message, "Exactly one model a zip (lines in comments count): make a zip for each.")
    elif len(found) > 1:
        message = f"__init__.py names model_registry['{found[0]}'] {len(found)} times (comments count)"
        yield failed(message, "Name it once, in the line that registers it.")
    elif _in_double_quotes(plugin) and name_problem(found[0]) is None:  # else "identifier-name" says both
        message = (
            f"{found[0]!r} is registered in double quotes: Brain-Score reads them, the site's upload code does not"
        )
        yield advice(message, f"Write model_registry['{found[0]}'] in single quotes.")


def _in_double_quotes(plugin: Plugin) -> bool:
    return not UPLOAD_PATTERN.search(_init_text(plugin))


def _literal(plugin: Plugin) -> Iterator[Problem]:
    found = identifiers(plugin)
    if not found:
        return
    try:
        body = ast.parse(_init_text(plugin)).body
    except (SyntaxError, ValueError):
        return  # the rule "syntax" says so
    assigned = [node for node in body if isinstance(node, ast.Assign) and _registers(node.targets[0])]
    if not assigned:
        message = f"model_registry['{found[0]}'] is not assigned by a plain line of __init__.py"
        yield advice(message, f"Write one line that stands alone, not indented: {LINE}")
        return
    if not isinstance(assigned[0].value, ast.Lambda):
        message = "the registered value is no lambda: Brain-Score's metadata scan will miss the model"
        yield advice(message, f"Write {LINE}")
    line = _init_text(plugin).splitlines()[assigned[0].lineno - 1]
    if line.count("]") > 1:
        message = "the registration line has a second ']', and Brain-Score reads the identifier up to the last one"
        yield failed(message, "Move lists and indexing out of that line.")


def _registers(target: ast.expr) -> bool:
    return (
        isinstance(target, ast.Subscript)
        and isinstance(target.value, ast.Name)
        and target.value.id == "model_registry"
        and isinstance(target.slice, ast.Constant)
    )


def _identifier_name(plugin: Plugin) -> Iterator[Problem]:
    for name in dict.fromkeys(identifiers(plugin)):
        problem = name_problem(name)
        if problem:
            # The upload code refuses a hyphen and what is taken; and the name is that of Brain-Score's layer map file.
            kind = failed if set("-/\\") & set(name) or name in taken_names() else advice
            doubled = ", and stands in double quotes, which it does not read" if _in_double_quotes(plugin) else ""
            yield kind(f"identifier {problem[0]}{doubled}", problem[1] + (" In single quotes." if doubled else ""))


def _folder_name(plugin: Plugin) -> Iterator[Problem]:
    problem = name_problem(plugin.folder)
    if problem:
        yield failed(f"plugin folder {problem[0]}", problem[1])
    elif plugin.folder.startswith("_"):
        message = f"Brain-Score passes over the plugin folder {plugin.folder!r}: it begins with an underscore"
        yield failed(message, "Begin its name with a letter.")
    elif "." in plugin.folder:
        message = f"plugin folder {plugin.folder!r} has a dot and cannot be imported"
        yield failed(message, f"Call it {plugin.folder.replace('.', '_')!r}.")


def _layer_map(plugin: Plugin) -> Iterator[Problem]:
    """Without a map that it can read, Brain-Score takes what the code passes, or chooses the layers itself."""
    found = identifiers(plugin)
    maps = [name for name in plugin.files if name.startswith("region_layer_map/") and name.endswith(".json")]
    wanted = f"region_layer_map/{found[0] if found else '<identifier>'}.json"
    in_code = any(b"region_layer_map=" in data for name, data in plugin.files.items() if name.endswith(".py"))
    if not maps and in_code:
        return  # passed to ModelCommitment, which then looks for no file
    if not maps:
        message = "no layer map in the plugin: the server will choose the layers of the brain areas itself"
        yield advice(message, f'Add {wanted}: {{"V1": "<layer>", "V2": …, "V4": …, "IT": …}}')
    elif wanted not in maps:
        yield advice(f"the layer map {few_quoted(maps)} is not found under that name", f"Call it {wanted}.")
    else:
        yield from _map_problems(wanted, plugin.files[wanted])


def _map_problems(name: str, data: bytes) -> Iterator[Problem]:
    try:
        layers = json.loads(data)
    except ValueError as error:  # also a wrong encoding
        yield advice(f"{name} is not JSON: {error}", "Write it with json.dump.")
        return
    if not isinstance(layers, dict) or not all(isinstance(layer, str) for layer in layers.values()):
        yield advice(f"{name} does not map areas to layer names", '{"V1": "<layer>", …}')
        return
    missing = [area for area in AREAS if area not in layers]
    if missing:
        yield advice(f"{name} has no layer for {', '.join(missing)}", f"Name a layer for each of {', '.join(AREAS)}.")


REGISTRATION_RULES: Rules = {
    "one-identifier": ("exactly one identifier, as the upload code reads it", _one_identifier),
    "literal-line": ("registered by one literal line", _literal),
    "identifier-name": ("the identifier is well-formed and not known to be taken", _identifier_name),
    "folder-name": ("the plugin folder is well-named and not known to be taken", _folder_name),
    "layer-map": ("region_layer_map/ names a layer for V1, V2, V4 and IT", _layer_map),
}
