"""What a model is: frozen dataclasses, read from ``cards/<identifier>.toml``.

Data only. Building the network and fetching its weights is in ``checkpoint.py``, reading images in
``preprocessing.py``, the layers of each brain area in the layer map. Nothing here imports torch.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .errors import UserError, suggest
from .files import read_toml

CARDS = Path(__file__).parent / "cards"
GIVEN = "given by --weights"  # begins the note on a weights file that is not the card's own

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]{0,149}"  # a folder and files are called so
IDENTIFIER_IN_WORDS = "letters, digits and underscores (no hyphen), at most 150"

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")

# What a checkpoint file holds. `checkpoint.read_checkpoint` recognises each by its structure.
LAYOUTS = {
    "state_dict": "a dict with the tensors under 'state_dict', keys as in the network",
    "training": "a training checkpoint: 'state_dict' whose keys begin 'module.', beside the optimizer",
    "bare": "the tensors themselves, .pt or .safetensors",
    "model": "a dict with the tensors under 'model'",
    "timm": "a bare state dict from timm's hub, whose keys timm may have to rename",
}


@dataclass(frozen=True)
class Source:
    """One place the weights can be fetched from.

    Parameters
    ----------
    kind : "s3" (bucket, key, version), "hub" (tag: timm's pretrained tag), "hf" (repo: "owner/name"), "url" (url), or
        "file" (path, relative to the card)
    version : the S3 version id; "null" is S3's own name for a version from before versioning
    """

    kind: str
    bucket: str | None = None
    key: str | None = None
    version: str | None = None
    url: str | None = None
    tag: str | None = None
    repo: str | None = None
    path: str | None = None

    def __str__(self) -> str:
        if self.kind == "s3":
            return f"s3://{self.bucket}/{self.key}" + (f"?versionId={self.version}" if self.version else "")
        return self.url or self.path or (f"hf-hub:{self.repo}" if self.repo else f"timm hub, tag {self.tag!r}")


@dataclass(frozen=True)
class Weights:
    """The trained weights: one file, known by its hash, and where to find it, in order."""

    file: str
    layout: str = "state_dict"
    sha1: str | None = None
    sha256: str | None = None
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Preprocessing:
    """How an image file becomes the network's input.

    Parameters
    ----------
    resize_px : side of the square the image is resized to (aspect not kept)
    crop_px : side of the centre crop that follows; None for no crop
    interpolation : one of `INTERPOLATIONS`
    mean, std : per channel (R, G, B), of pixels in [0, 1]
    keep_aspect : resize the short side to `resize_px` instead; needs `crop_px`
    """

    name: str
    resize_px: int
    crop_px: int | None = None
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    keep_aspect: bool = False

    @property
    def input_px(self) -> int:
        """Side of the square the network is given."""
        return self.crop_px or self.resize_px


PREPROCESSINGS = {
    # As submitted to the 2022 competition.
    "crop224": Preprocessing("crop224", resize_px=256, crop_px=224),
    # What Brain-Score's in-tree plugin cv_18_dagger_408_pretrained became when it lost its crop.
    "squash224": Preprocessing("squash224", resize_px=224),
}


@dataclass(frozen=True)
class Card:
    """A model as data.

    Parameters
    ----------
    identifier : letters, digits and underscores, as brain-score.org demands
    competition_id : its number on the leaderboard, an alias of the identifier
    training : one line on how it was trained
    architecture : timm's name of the network, or "torchvision:<name>"
    visual_degrees : width of the field of view the input spans
    behavior_layer : layer the behavioural readout is fitted on
    top1 : ImageNet top-1 accuracy, percent
    """

    identifier: str
    architecture: str
    weights: Weights
    preprocessing: Preprocessing = PREPROCESSINGS["crop224"]
    competition_id: int | None = None
    title: str = ""
    training: str = ""
    num_classes: int = 1000
    visual_degrees: float = 8
    behavior_layer: str | None = None
    paper_name: str | None = None
    top1: float | None = None

    @property
    def name(self) -> str:
        """What people call it: the competition number where there is one."""
        return str(self.competition_id or self.identifier)

    def fingerprint(self) -> str:
        """Hash of what changes an activation, the weights' bytes aside.

        Returns
        -------
        str, sha256 in hex over the canonical JSON of architecture, number of classes and preprocessing
        (its values; under which name they go does not matter)
        """
        preprocessing = {key: value for key, value in asdict(self.preprocessing).items() if key != "name"}
        facts = {
            "architecture": self.architecture,
            "num_classes": self.num_classes,
            "preprocessing": preprocessing,
        }
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def load_card(path: str | Path) -> Card:
    """Read one card; anything the card format does not know is refused.

    Raises
    ------
    UserError
        file, table and key of the first mistake, and what is allowed there
    """
    path = Path(path)
    return _beside(path, _card(read_toml(path, "card"), path.name))


def _beside(path: Path, card: Card) -> Card:
    """The card with paths of its weights as seen from here."""
    sources = (
        replace(source, path=str(path.parent / source.path)) if source.path else source
        for source in card.weights.sources
    )
    return replace(card, weights=replace(card.weights, sources=tuple(sources)))


def all_cards(folder: str | Path = CARDS) -> list[Card]:
    """Every card in a folder, those with a competition number first, newest name last."""
    cards = [load_card(path) for path in sorted(Path(folder).glob("*.toml"))]
    return sorted(cards, key=lambda card: (card.competition_id is None, card.competition_id or 0))


def find_card(name: str | int, folder: str | Path = CARDS) -> Card:
    """Find a card by its identifier or its competition number.

    >>> find_card(991).identifier == find_card("991").identifier
    True
    """
    cards = all_cards(folder)
    for card in cards:
        if str(name) in (card.identifier, str(card.competition_id)):
            return card
    known = [str(card.competition_id) for card in cards if card.competition_id is not None]
    known += [card.identifier for card in cards]
    raise UserError(f"unknown model {str(name)!r}.{suggest(name, known)}")


def card_toml(card: Card) -> str:
    """Write a card as TOML that `load_card` reads back to an equal card."""
    facts = asdict(card)
    weights = facts.pop("weights")
    sources = weights.pop("sources")
    preprocessing = facts.pop("preprocessing")
    lines = _toml_lines(facts)
    lines += ["", "[weights]", *_toml_lines(weights)]
    for source in sources:
        lines += ["", "[[weights.sources]]", *_toml_lines(source)]
    lines += ["", "[preprocessing]", *_toml_lines(preprocessing)]
    return "\n".join(lines) + "\n"


def _toml_lines(table: dict[str, Any]) -> list[str]:
    # JSON's strings, numbers, booleans and lists are TOML's too; TOML has no null, so what is not stated is left out.
    stated = {key: value for key, value in table.items() if value not in (None, "")}
    written = {key: json.dumps(value, ensure_ascii=False) for key, value in stated.items()}
    return [f"{key} = {value}" for key, value in written.items()]


# --- reading: each table has its keys, each key its test and what the test asks for ---

Check = tuple[Callable[[Any], bool], str]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_triple(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_number(item) for item in value)


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _one_of(choices: Iterable[str]) -> Check:
    choices = tuple(choices)
    return (lambda value: value in choices), "one of " + ", ".join(choices)


TEXT: Check = (lambda value: isinstance(value, str) and value.strip() != ""), "a non-empty string"
COUNT: Check = _is_count, "a whole number above 0"

CARD_KEYS: dict[str, Check] = {
    "identifier": (_matches(IDENTIFIER), IDENTIFIER_IN_WORDS),
    "competition_id": COUNT,
    "title": TEXT,
    "training": TEXT,
    "architecture": TEXT,
    "num_classes": (lambda value: value == 0 or _is_count(value), "a whole number, 0 for a network without classifier"),
    "visual_degrees": (lambda value: _is_number(value) and 0 < value < 9000, "degrees between 0 and 9000"),
    "behavior_layer": TEXT,
    "paper_name": TEXT,
    "top1": (lambda value: _is_number(value) and 0 <= value <= 100, "a percentage between 0 and 100"),
    "weights": (lambda value: isinstance(value, dict), "a table [weights]"),
    "preprocessing": (
        lambda value: isinstance(value, dict) or value in tuple(PREPROCESSINGS),
        f"a table [preprocessing] or one of {', '.join(PREPROCESSINGS)}",
    ),
}
WEIGHTS_KEYS: dict[str, Check] = {
    "file": (_matches(r"[^/\\\s]+"), "a file name without folder or space"),
    "layout": _one_of(LAYOUTS),
    "sha1": (_matches(r"[0-9a-f]{40}"), "40 lower-case hex digits"),
    "sha256": (_matches(r"[0-9a-f]{64}"), "64 lower-case hex digits"),
    "sources": (lambda value: isinstance(value, list), "an array of tables [[weights.sources]]"),
}
SOURCE_KEYS: dict[str, dict[str, Check]] = {
    "s3": {"bucket": TEXT, "key": TEXT, "version": TEXT},
    "url": {"url": (_matches(r"https?://\S+"), "an address beginning http:// or https://")},
    "hub": {"tag": TEXT},
    "hf": {"repo": (_matches(r"[\w.-]+/[\w.-]+"), "owner/name")},
    "file": {"path": (_matches(r"(?!/)(?!(.*/)?\.\.(/|$))[^\\\n]+"), "a path from the card's folder, within it")},
}
PREPROCESSING_KEYS: dict[str, Check] = {
    "name": TEXT,
    "resize_px": COUNT,
    "crop_px": COUNT,
    "interpolation": _one_of(INTERPOLATIONS),
    "mean": (_is_triple, "three numbers (R, G, B)"),
    "std": (
        lambda value: _is_triple(value) and all(item > 0 for item in value),
        "three numbers above 0 (R, G, B)",
    ),
    "keep_aspect": (lambda value: isinstance(value, bool), "true or false"),
}


def _card(entries: dict[str, Any], file: str) -> Card:
    _check(entries, CARD_KEYS, ("identifier", "architecture", "weights"), file)
    weights = _weights(entries.pop("weights"), f"{file} [weights]")
    preprocessing = read_preprocessing(entries.pop("preprocessing", "crop224"), f"{file} [preprocessing]")
    return Card(weights=weights, preprocessing=preprocessing, **entries)


def _weights(entries: dict[str, Any], where: str) -> Weights:
    _check(entries, WEIGHTS_KEYS, ("file", "layout"), where)
    sources = tuple(_source(source, f"{where} source") for source in entries.pop("sources", []))
    if "sha256" not in entries and any(source.kind == "file" for source in sources):
        raise UserError(f"{where}: a source of kind 'file' needs the file's sha256: another may come to lie there.")
    return Weights(sources=sources, **entries)


def _source(entries: Any, where: str) -> Source:
    kind = entries.get("kind") if isinstance(entries, dict) else None
    if kind not in tuple(SOURCE_KEYS):
        raise UserError(f"{where}: unknown kind {kind!r}.{suggest(kind, SOURCE_KEYS)}")
    keys = {"kind": TEXT, **SOURCE_KEYS[kind]}
    _check(entries, keys, set(keys) - {"version"}, f"{where} ({kind})")
    return Source(**entries)


def read_preprocessing(entries: str | dict[str, Any], where: str) -> Preprocessing:
    """The preprocessing of a card's table, or one by name.

    Raises
    ------
    UserError
        `where` it stands, the first mistake, and what is allowed there
    """
    if isinstance(entries, str):
        if entries not in PREPROCESSINGS:
            raise UserError(f"{where}: unknown preprocessing {entries!r}.{suggest(entries, PREPROCESSINGS)}")
        return PREPROCESSINGS[entries]
    _check(entries, PREPROCESSING_KEYS, ("name", "resize_px"), where)
    triples = {key: tuple(entries[key]) for key in ("mean", "std") if key in entries}
    preprocessing = Preprocessing(**entries | triples)
    crop, resize = preprocessing.crop_px, preprocessing.resize_px
    if crop is not None and crop > resize:
        raise UserError(f"{where}: crop_px {crop} exceeds resize_px {resize}.")
    if crop is None and preprocessing.keep_aspect:
        raise UserError(f"{where}: keep_aspect needs crop_px, else a batch would hold images of several shapes.")
    return preprocessing


def _check(entries: dict[str, Any], keys: dict[str, Check], required: Iterable[str], where: str) -> None:
    for key, value in entries.items():
        if key not in keys:
            raise UserError(f"{where}: unknown key {key!r}; known keys: {', '.join(sorted(keys))}.")
        passes, asks_for = keys[key]
        if not passes(value):
            raise UserError(f"{where}: {key} = {value!r} is refused; it must be {asks_for}.")
    missing = sorted(set(required) - set(entries))
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} missing; known keys: {', '.join(sorted(keys))}.")
