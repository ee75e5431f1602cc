"""Card + layer map -> the zip that brain-score.org takes; weights -> the file for its upload page.

The zip holds ``plugin/`` as it is, one card, one layer map and a generated ``__init__.py``. The same input gives the
same bytes. Whether a zip is acceptable is judged in `checking`.
"""

import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from .checking.registration import name_problem
from .plugin.areas import AREAS, BEHAVIOR
from .plugin.card import IDENTIFIER, IDENTIFIER_IN_WORDS, Card, Source, Weights, card_toml
from .plugin.errors import UserError
from .plugin.files import hash_file, require_writable, whole_file

PLUGIN = Path(__file__).parent / "plugin"
HOW_TO_UPLOAD = (
    "Upload them: `brainscore-submission weights … -o w.pt`, then w.pt on brain-score.org (profile, large files).\n"
    "Then give --weights w.pt --weights-location s3:<bucket>/<key>@<version>, as that page shows it."
)
# Hosts that the server cannot reach, or where it would meet itself.
PRIVATE_HOST = re.compile(
    r"^(localhost|127\.[\d.]+|0\.0\.0\.0|10\.[\d.]+|192\.168\.[\d.]+|172\.(1[6-9]|2\d|3[01])\.[\d.]+|\[.*|[^.]+|.*\.(local|lan|internal))$"
)
FIXED_DATE = (1980, 1, 1, 0, 0, 0)
LOCATION_FORM = "s3:<bucket>/<key>@<version>, or an https address"
INIT = '''"""Registers the model; what it is stands in cards/{name}.toml."""

from brainscore_vision import model_registry

from .model import get_model

model_registry['{name}'] = lambda: get_model('{name}')
'''


def package(
    card: Card,
    layers: Mapping[str, str],
    name: str,
    out: str | Path,
    weights_location: str | Source | None = None,
    *,
    weights: str | Path | None = None,
) -> Path:
    """Build the submission zip of one model.

    Parameters
    ----------
    card, layers : the model and the layers of its areas and behaviour
    name : identifier on the site and folder of the plugin: new, and without hyphen or space
    out : the zip to write, or a folder to write ``<name>.zip`` into; text that ends in a slash means a folder, which is
        made if it is missing
    weights_location : where the server finds the weights, as `parse_weights_location` reads it; default the card's
        sources
    weights : the file that lies (or will lie) at the location, for its hash and layout; default: the file the card
        names by its hash

    Returns
    -------
    Path of the zip

    Raises
    ------
    UserError
        the name is refused or taken, a layer does not exist, or the weights are untrained or cannot be verified
    """
    if card.weights.file.endswith(".py"):
        raise UserError(f"{card.weights.file}: the site takes models that a card describes. See `Add a model`, README.")
    _demand_name(name)
    _demand_layers(card, layers)
    source = parse_weights_location(weights_location) if isinstance(weights_location, str) else weights_location
    packed_weights = _weights(card, source, weights)
    packed = replace(
        card if weights is None else _with_classes_of(card, weights),
        identifier=name,
        competition_id=None,
        weights=packed_weights,
        behavior_layer=layers[BEHAVIOR],
    )
    path = _zip_path(out, name)
    _write_zip(path, f"{name}/models/{name}", _files(packed, {area: layers[area] for area in AREAS}))
    return path


def parse_weights_location(location: str) -> Source:
    """Read where weights lie: what the site's large-file upload returns, or a web address.

    >>> parse_weights_location("s3:brainscore-storage/brainscore-vision/models/user_1/w.pt@abc").version
    'abc'
    """
    if re.fullmatch(r"https?://[^\s/]+/\S+", location):
        return Source("url", url=location)
    match = re.fullmatch(r"s3:(?://)?([a-z0-9][a-z0-9.-]+)/([^\s@<>]+[^\s@<>/])(?:@([^\s@<>]+))?", location)
    if match is None:
        raise UserError(f"{location!r} is no weights location. Write {LOCATION_FORM}, as the upload page shows it.")
    bucket, key, version = match.groups()
    return Source("s3", bucket=bucket, key=key, version=version)


def export_weights(card: Card, weights: str | Path | None, out: str | Path, ema: bool = True) -> dict[str, str]:
    """Write a model's weights as the site's upload page wants them: tensors only, under the network's own names.

    Parameters
    ----------
    card : the model
    weights : its checkpoint in any known layout; None fetches the card's own
    out : file to write; ``torch.load(out, weights_only=True)["state_dict"]`` reads it back
    ema : whether moving averages of the weights are taken where the file has them

    Returns
    -------
    dict with the "sha1" and "sha256" of the file (hex)
    """
    import torch

    from .plugin.checkpoint import load_network

    _demand_trained(card, weights)
    require_writable(out)
    network = load_network(card, weights, ema=ema).network
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}
    with whole_file(out) as unfinished, unfinished.open("wb") as file:  # torch's own error of a name is no OSError
        torch.save({"state_dict": tensors}, file)
    return hashes(Path(out))


def _with_classes_of(card: Card, weights: str | Path) -> Card:
    """The card with as many classes as the file has: the server builds the network by it alone."""
    from .plugin.checkpoint import load_network

    num_classes = load_network(card, weights).num_classes
    return card if num_classes is None else replace(card, num_classes=num_classes)


def _demand_name(name: str) -> None:
    problem = name_problem(name)
    if problem is not None:
        raise UserError(f"{problem[0]}. {problem[1]}")
    if not re.fullmatch(IDENTIFIER, name):
        plain = re.sub(r"\W", "_", name)[:100]
        raise UserError(
            f"{name[:100]!r} must begin with a letter and hold no dot: {IDENTIFIER_IN_WORDS}. Call it 'model_{plain}'."
        )


def _demand_layers(card: Card, layers: Mapping[str, str]) -> None:
    from .plugin.checkpoint import build_network
    from .plugin.hooks import module_of
    from .plugin.layer_map import checked_layer_map

    checked_layer_map({area: layer for area, layer in layers.items() if area != BEHAVIOR}, "layer map")
    if BEHAVIOR not in layers:
        raise UserError(f"model '{card.name}' has no layer for behaviour. Give one: --layers behavior=<layer>.")
    network = build_network(card)
    for layer in set(layers.values()):
        module_of(network, layer)


def _zip_path(out: str | Path, name: str) -> Path:
    path = Path(out)
    if str(out).endswith(("/", os.sep)):  # a Path does not remember it
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{out} cannot be made a folder: {error.strerror}. Name another.") from error
    return path / f"{name}.zip" if path.is_dir() else path


def _demand_trained(card: Card, weights: str | Path | None) -> None:
    from .plugin.checkpoint import is_untrained

    if is_untrained(weights):
        raise UserError(f"untrained weights of '{card.name}' do not go to the site. Give a trained checkpoint.")


def _weights(card: Card, location: Source | None, given: str | Path | None) -> Weights:
    """The packed card's weights: one file, known by its hash, at the places the server can reach."""
    _demand_trained(card, given)
    sources = (location,) if location else card.weights.sources
    reached = tuple(source for source in sources if not _is_private(source))
    if not reached:
        why = f"{sources[0]} can be reached from here only" if sources else "it names none"
        raise UserError(
            f"model '{card.name}' has no place the server can fetch its weights from ({why}).\n{HOW_TO_UPLOAD}"
        )
    if given is not None:
        return replace(_given_weights(card, location, Path(given)), sources=reached)
    if card.weights.sha1 is None and card.weights.sha256 is None:
        return replace(_pinned(card, sources), sources=reached)
    file = _file_name(location) if location else card.weights.file
    return replace(card.weights, file=file, sources=reached)


def _is_private(source: Source) -> bool:
    if source.kind == "file":
        return True
    host = urlsplit(source.url or "").hostname if source.kind == "url" else None
    return host is not None and PRIVATE_HOST.match(host) is not None


def _given_weights(card: Card, location: Source | None, path: Path) -> Weights:
    from .plugin.checkpoint import read_checkpoint

    layout = read_checkpoint(path).layout
    found = hashes(path)
    stated = {kind: getattr(card.weights, kind) for kind in found}
    same = all(stated[kind] in (None, found[kind]) for kind in found)
    if location is None:
        if not any(stated.values()):  # what its sources hold is known by fetching it alone
            try:
                same = _fetched_hashes(card) == found
            except UserError as error:
                raise UserError(
                    f"the server would fetch the weights of '{card.name}' from {card.weights.sources[0]}; whether "
                    f"{path} is that file cannot be seen from here. If it is another: {HOW_TO_UPLOAD}"
                ) from error
        if not same:
            raise UserError(
                f"{path} is not the file the card of '{card.name}' names, and the server would fetch that one. "
                f"{HOW_TO_UPLOAD}"
            )
        return replace(card.weights, **found)
    kept_layout = card.weights.layout if same and any(stated.values()) else layout
    return Weights(file=_file_name(location), layout=kept_layout, sources=(location,), **found)


def _pinned(card: Card, sources: tuple[Source, ...]) -> Weights:
    """A card without hash: fetch the file once, so that the server can verify that it gets the same."""
    if sources != card.weights.sources:
        raise UserError(
            f"the card of '{card.name}' states no hash, so the file at --weights-location cannot be verified. "
            "Give the same file with --weights as well."
        )
    return replace(card.weights, **_fetched_hashes(card))


def _fetched_hashes(card: Card) -> dict[str, str]:
    from .plugin.fetching import fetch_file

    file = fetch_file(card)
    return {"sha1": file.sha1, "sha256": file.sha256}


def _file_name(location: Source) -> str:
    return PurePosixPath((location.key or location.url).split("?")[0]).name


def hashes(path: Path) -> dict[str, str]:
    """The "sha1" and the "sha256" of a file, in hex."""
    return dict(zip(("sha1", "sha256"), hash_file(path), strict=True))


def _files(card: Card, layer_map: Mapping[str, str]) -> dict[str, bytes]:
    """Path in the plugin folder -> content."""
    verbatim = [path for path in PLUGIN.glob("*.py") if path.name != "__init__.py"]
    files = {path.name: path.read_bytes() for path in [*verbatim, PLUGIN / "requirements.txt"]}
    files["__init__.py"] = INIT.format(name=card.identifier).encode("ascii")
    files[f"cards/{card.identifier}.toml"] = card_toml(card).encode()
    files[f"region_layer_map/{card.identifier}.json"] = (json.dumps(dict(layer_map), indent=4) + "\n").encode()
    return files


def _write_zip(path: Path, folder: str, files: Mapping[str, bytes]) -> None:
    """Folders have entries of their own, which the site asks for; names are sorted, dates fixed."""
    members = {f"{folder}/{name}": data for name, data in files.items()}
    parents = {f"{parent}/" for name in members for parent in PurePosixPath(name).parents if str(parent) != "."}
    with whole_file(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
        for name in sorted([*members, *parents]):
            info = zipfile.ZipInfo(name, FIXED_DATE)
            info.create_system = 3  # Unix, whatever this machine is
            info.external_attr = (0o40755 << 16 | 0x10) if name.endswith("/") else 0o100644 << 16
            info.compress_type = zipfile.ZIP_STORED if name.endswith("/") else zipfile.ZIP_DEFLATED
            archive.writestr(info, members.get(name, b""), compresslevel=9)
