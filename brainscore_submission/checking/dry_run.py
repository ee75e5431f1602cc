"""The leaderboard before the leaderboard: the demo suite, scored through Brain-Score's registry and by evaluate.py.

What the two give must be equal to the last digit: same code of the model, same weights, same layers.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

OWN_FILES = ("card.py", "checkpoint.py", "activations.py", "commitment.py")


def own_scores_of(plugin_folder: Path) -> Callable[[Path, str], Mapping[str, float]] | None:
    """What computes evaluate.py's scores of a plugin: None for plugins that were not made by this project."""
    ours = all((plugin_folder / name).is_file() for name in OWN_FILES)
    return evaluate_scores if ours else None


def weights_of(plugin_folder: Path, identifier: str, progress: Callable[[str], None]) -> dict[str, Path]:
    """The checkpoint of a plugin made by this project, fetched and verified here; nothing of another's.

    So the plugin need not fetch it, which it could not behind the wall.

    Returns
    -------
    its name -> where it lies

    Raises
    ------
    UserError
        it cannot be fetched: what each source answered
    """
    card_file = plugin_folder / "cards" / f"{identifier}.toml"
    if own_scores_of(plugin_folder) is None or not card_file.is_file():
        return {}
    from ..plugin.card import load_card
    from ..plugin.fetching import fetch

    card = load_card(card_file)
    progress(f"fetching {card.weights.file}")
    return {card.weights.file: fetch(card)}


def evaluate_scores(plugin_folder: Path, identifier: str) -> dict[str, float]:
    """Score the model of a plugin made by this project with this project's installed code.

    Its card and layer map are read from the plugin; everything else is what
    ``evaluate.py --suite demo --engine brainscore --device cpu`` runs.
    """
    # Only here: everything else of a check works without torch and Brain-Score in this process.
    from ..models.model import Model
    from ..plugin.areas import BEHAVIOR
    from ..plugin.card import load_card
    from ..plugin.checkpoint import load_network
    from ..plugin.layer_map import read_layer_map
    from ..scoring.score import ScoreOptions, score_suite
    from ..scoring.suites import find_suite

    card = load_card(plugin_folder / "cards" / f"{identifier}.toml")
    layer_map = read_layer_map(plugin_folder / "region_layer_map" / f"{identifier}.json")
    loaded = load_network(card)
    layers = {**layer_map, BEHAVIOR: card.behavior_layer}
    model = Model(identifier, card, loaded.network, loaded.origin, layers, device="cpu")
    with tempfile.TemporaryDirectory(prefix="brainscore-evaluate-") as results:
        options = ScoreOptions(engine="brainscore", results=Path(results), rerun="all")
        records = score_suite(model, find_suite("demo"), options)
    return {record.benchmark: record.score for record in records}
