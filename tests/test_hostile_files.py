"""Whatever lies where a card, a map, weights, a record or a cache should be: read, or refused in words.

Recordings have theirs in `recordings/test_hostile.py`.
"""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from hostile import in_place_of_a_file, mutated, require_read_or_refused
from safetensors.torch import save as safetensors

from brainscore_submission.cli.model_lists import model_entries
from brainscore_submission.engine import kept_arrays
from brainscore_submission.engine.stores import DiskStore
from brainscore_submission.plugin.card import load_card
from brainscore_submission.plugin.checkpoint import read_checkpoint
from brainscore_submission.plugin.layer_map import read_layer_map
from brainscore_submission.scoring.records import Measure, Record
from brainscore_submission.scoring.sidecar import Sidecar
from brainscore_submission.scoring.suites import find_suite

TENSORS = {"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.zeros(2), "count": torch.tensor(3)}
CARD = """
identifier = "tiny"
architecture = "resnet18"
title = "a card"
visual_degrees = 8
num_classes = 1000

[weights]
file = "tiny.pt"
layout = "bare"
sha256 = "{sha}"
[[weights.sources]]
kind = "url"
url = "https://example.org/tiny.pt"

[preprocessing]
name = "own"
resize_px = 256
crop_px = 224
mean = [0.5, 0.5, 0.5]
""".format(sha="0" * 64)
SUITE = """
name = "mine"
[areas]
V4 = ["MajajHong2015public.V4-pls", "Li2026.V4"]
[groups]
"Li2026.V4" = ["Li2026.V4-ridgecv", "Li2026.V4-rdm"]
"""
MODELS = """
[[models]]
model = "timm:resnet18"
name = "first"
layers = "search"
[[models]]
model = "991"
weights = "untrained"
"""


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def record():
    body = Measure(metric="top-1", value=0.5, n=8)
    fields = {"model": "m", "card": "m", "suite": "s", "benchmark": "b", "kind": "measure", "fingerprint": "f"}
    return Record(**fields, measured=body, versions={"python": "3"}, created="2026-11-27T00:00:00+00:00")


def sidecar(folder):
    arrays = {"r": np.zeros((2, 3)), "neuroid_id": np.array(["a", "b", "c"]), "stimulus_id": np.array(["s", "t"])}
    held = {"test_index": np.zeros((2, 1), int), "prediction": np.zeros((2, 1, 3)), "target": np.zeros((2, 3))}
    return Sidecar(**arrays, **held).write(folder / "s.npz", "checksum").read_bytes()


def gram(folder):
    kept_arrays.save(folder / "g.gram", {"gram": np.eye(4)}, {"layer": "a"})
    return (folder / "g.gram").read_bytes()


def spooled(folder):
    store = DiskStore(folder / "spool", 4, 3)
    store.write([0, 2], torch.ones(2, 3))
    store.flush()
    store._close()
    return (folder / "spool" / "done").read_bytes()


def open_spool(path):
    folder = path.parent / "layer"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(path, folder / "done")
    (folder / "features.f32").write_bytes(b"".join(np.float32(1).tobytes() for _ in range(12)))
    store = DiskStore(folder, 4, 3)
    assert set(store.features()[store.done].ravel()) <= {1.0}
    store._close()


# What is read: the file's name, valid bytes, the reader.
READERS = {
    "card": ("card.toml", lambda folder: CARD.encode(), load_card),
    "layer map": (
        "map.json",
        lambda folder: json.dumps({"V1": "a", "V2": "b", "V4": "c", "IT": "d"}).encode(),
        read_layer_map,
    ),
    "suite": ("suite.toml", lambda folder: SUITE.encode(), lambda path: find_suite(str(path))),
    "models": ("models.toml", lambda folder: MODELS.encode(), model_entries),
    "record": ("r.json", lambda folder: record().to_json().encode(), Record.from_json),
    "sidecar": ("s.npz", sidecar, Sidecar.load),
    "checkpoint, zip": ("w.pt", lambda folder: saved({"state_dict": TENSORS, "epoch": 3}), read_checkpoint),
    "checkpoint, old": (
        "w.pt",
        lambda folder: saved({"state_dict": TENSORS}, _use_new_zipfile_serialization=False),
        read_checkpoint,
    ),
    "checkpoint, safetensors": ("w.safetensors", lambda folder: safetensors(TENSORS), read_checkpoint),
    "Gram matrix": ("g.gram", gram, lambda path: kept_arrays.load(path, {"layer": "a"})),
    "spool": ("done", spooled, open_spool),
}
NUMBERS = [8, pytest.param(100, marks=pytest.mark.slow)]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_read_or_refused(tmp_path, name, number):
    file, valid, read = READERS[name]
    path, valid = tmp_path / file, valid(tmp_path)
    path.write_bytes(valid)
    assert require_read_or_refused(lambda: read(path), "valid") is None
    for what, damaged in mutated(valid, seed=17, number=number):
        path.write_bytes(damaged)
        require_read_or_refused(lambda: read(path), what)


@pytest.mark.parametrize("name", [name for name in READERS if name != "spool"])
def test_anything_in_a_files_place_is_refused(tmp_path, name):
    file, valid, read = READERS[name]
    (tmp_path / file).write_bytes(valid(tmp_path))
    for what in in_place_of_a_file(tmp_path / file):
        require_read_or_refused(lambda: read(tmp_path / file), what)
