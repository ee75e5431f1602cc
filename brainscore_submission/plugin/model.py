"""The model under the names Brain-Score's plugins use: registered identifier -> committed model.

Used inside a submission zip, where the folder holds one card and ``region_layer_map/<identifier>.json``.
"""

from pathlib import Path

from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

from .activations import ActivationsModel
from .card import Card, load_card
from .checkpoint import load_network
from .commitment import commit
from .fingerprint import cache_identifier
from .layer_map import read_layer_map

FOLDER = Path(__file__).parent
BIBTEX = """@article{berrios2022joint,
  title={Joint rotational invariance and adversarial training of a dual-stream Transformer yields state of the art
         Brain-Score for Area V4},
  author={Berrios, William and Deza, Arturo},
  journal={arXiv preprint arXiv:2203.06649},
  year={2022}
}"""


def get_model(identifier: str) -> ModelCommitment:
    """Load the model on the CPU: its weights fetched, verified by their hash, and committed to areas and behaviour."""
    card = get_card(identifier)
    loaded = load_network(card)
    layer_map = read_layer_map(FOLDER / "region_layer_map" / f"{identifier}.json")
    activations = ActivationsModel(loaded.network, card.preprocessing, cache_identifier(card, loaded.origin))
    return commit(card, layer_map, activations, identifier)


def get_card(identifier: str) -> Card:
    """The card in this folder."""
    return load_card(FOLDER / "cards" / f"{identifier}.toml")


def get_layers(identifier: str) -> list[str]:
    """Every layer the model is recorded from."""
    layer_map = read_layer_map(FOLDER / "region_layer_map" / f"{identifier}.json")
    return list(dict.fromkeys([*layer_map.values(), get_card(identifier).behavior_layer]))


def get_bibtex(identifier: str) -> str:
    """The paper that describes the model; empty for models the paper does not list."""
    return BIBTEX if get_card(identifier).paper_name else ""
