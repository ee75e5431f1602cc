"""The leaderboard before the leaderboard: the demo suite, scored through Brain-Score's registry and by evaluate.py.

What the two give must be equal to the last digit: same code of the model, same weights, same layers.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from ..plugin.errors import UserError
from . import running
from .sandbox import Sandbox

OWN_FILES = ("card.py", "checkpoint.py", "activations.py", "commitment.py")


def dry_run(
    plugin_folder: str | Path, identifier: str, *, python: str | Path = sys.executable, timeout: float = 3600
) -> dict[str, float]:
    """Score an extracted plugin on the demo suite in a fresh process.

    Parameters
    ----------
    plugin_folder : the plugin's folder, named as it is to be in ``models/``
    identifier : the registered identifier
    python : interpreter of the environment to run in
    timeout : seconds

    Returns
    -------
    dict, benchmark id -> score
    """
    with tempfile.TemporaryDirectory(prefix="brainscore-dry-run-") as folder:
        sandbox = Sandbox(Path(folder), python)
        placed = sandbox.place(Path(plugin_folder))
        scores, findings = running.dry_run(sandbox, placed, identifier, timeout)
    if scores is None:
        raise UserError(f"the plugin cannot be scored: {findings[0].message}")
    return scores


def own_scores_of(plugin_folder: Path) -> Callable[[Path, str], Mapping[str, float]] | None:
    """What computes evaluate.py's scores of a plugin: None for plugins that were not made by this project."""
    ours = all((plugin_folder / name).is_file() for name in OWN_FILES)
    return evaluate_scores if ours else None


def evaluate_scores(plugin_folder: Path, identifier: str) -> dict[str, float]:
    """Score the model of a plugin made by this project with this project's installed code.

    Its card and layer map are read from the plugin; everything else is what
    ``evaluate.py --suite demo --engine brainscore --device cpu`` runs.
    """
    # Only here: everything else of a check works without torch and Brain-Score in this process.
    from ..models.model import Model
    from ..plugin.card import load_card
    from ..plugin.checkpoint import load_network
    from ..plugin.layer_map import read_layer_map
    from ..scoring.score import Options, score_suite
    from ..scoring.suites import find_suite

    card = load_card(plugin_folder / "cards" / f"{identifier}.toml")
    layer_map = read_layer_map(plugin_folder / "region_layer_map" / f"{identifier}.json")
    loaded = load_network(card)
    model = Model(card=card, network=loaded.network, origin=loaded.origin, layer_map=layer_map, device="cpu")
    with tempfile.TemporaryDirectory(prefix="brainscore-evaluate-") as results:
        options = Options(engine="brainscore", results=Path(results), rerun="all")
        records = score_suite(model, find_suite("demo"), options)
    return {record.benchmark: record.score for record in records}
