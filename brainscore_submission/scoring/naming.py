"""What models, suites and benchmarks may be called: their names become the folders and files of records."""

import re
from pathlib import Path

from ..plugin.errors import UserError

SEARCHES = "layer_search"  # folder of a model's layer searches
LEVELS = "probe_levels"  # folder of what was scored on perturbed images, read only where it is asked for itself
SUITE_FILE = "suite.json"  # beside the records of a user's own suite: how they average, see `suite_files.keep_suite`
LONGEST = 200  # bytes: file systems take 255, and a file that is being written has a longer name than its own


def folder_name(name: str) -> str:
    """The folder or file of what is called so: signs that the name of a file may not hold become "-".

    Raises
    ------
    UserError
        the name is empty, leads out of its folder, cannot be printed, is too long, or is that of a folder that no
        table reads

    Examples
    --------
    >>> folder_name("timm:resnet18"), folder_name("resnet18, fine-tuned")
    ('timm-resnet18', 'resnet18-fine-tuned')
    """
    made = re.sub(r"[^\w.+-]+", "-", name)
    if len(made.encode()) > LONGEST:
        fault = f"is too long for a folder: {len(made.encode())} bytes, and {LONGEST} are possible"
    elif not name.isprintable():
        fault = "holds signs that cannot be printed"
    elif not name.strip() or not made.strip("."):
        fault = "cannot be the name of a folder"
    elif made in (SEARCHES, LEVELS):
        fault = "is the name of a folder that tables of records pass over"
    else:
        return made
    shown = name if len(name) <= 60 else f"{name[:60]}…"
    raise UserError(f"the name {shown!r} {fault}. Give another, such as 'resnet50-at'.")


def record_path(results: str | Path, model: str, suite: str, benchmark: str) -> Path:
    """Where the record of a model on a benchmark lies.

    Raises
    ------
    UserError
        a name that `folder_name` refuses

    Examples
    --------
    >>> record_path("results", "timm:resnet18", "demo", "demo.V1-pls").as_posix()
    'results/timm-resnet18/demo/demo.V1-pls.json'
    """
    model, suite, benchmark = map(folder_name, (model, suite, benchmark))
    return Path(results) / model / suite / f"{benchmark}.json"
