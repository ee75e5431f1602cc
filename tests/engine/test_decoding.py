"""Promises of decoding.py: the pixels of one file at a time, whoever reads them, and an error that is short."""

import dataclasses
import functools
import importlib
import os
import pickle
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from brainscore_submission.engine import decoding
from brainscore_submission.engine.images import Request, read_stimuli
from brainscore_submission.labelled_images.sources import read_source
from brainscore_submission.models.opening import open_model
from brainscore_submission.plugin import preprocessing
from brainscore_submission.plugin.card import Preprocessing
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.preprocessing import load_pixels, normalise, read_pixels, unit_range

PREPROCESSING = Preprocessing("small", resize_px=40, crop_px=32)
FORMATS = {"png": "RGB", "jpg": "RGB", "bmp": "L", "gif": "P", "webp": "RGBA"}


@pytest.fixture
def files(tmp_path):
    """Forty pictures of several formats, modes and sizes."""
    made = []
    for number in range(40):
        suffix, mode = list(FORMATS.items())[number % len(FORMATS)]
        size = 30 + number, 50 - number // 2
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        made.append(tmp_path / f"{number}.{suffix}")
        Image.fromarray(pixels).convert(mode).save(made[-1])
    return made


read = functools.partial(read_pixels, preprocessing=PREPROCESSING)


def prepare(pixels):
    return normalise(unit_range(pixels), PREPROCESSING)


@pytest.mark.parametrize("reading", [decoding._in_threads, decoding._in_processes])
def test_batches_are_those_of_one_file_at_a_time_bit_for_bit(files, reading):
    batches = [files[at : at + 7] for at in range(0, 40, 7)]
    with reading(read, batches) as pixels:
        found = torch.cat([prepare(pixels(number)) for number in range(len(batches))])
    expected = torch.stack([normalise(load_pixels(path, PREPROCESSING), PREPROCESSING) for path in files])
    assert torch.equal(found, expected)


def test_pixels_are_torchvisions(files):
    from torchvision import transforms

    way = transforms.Compose([transforms.Resize((40, 40)), transforms.CenterCrop(32), transforms.ToTensor()])
    for path in files:
        with Image.open(path) as image:
            assert torch.equal(load_pixels(path, PREPROCESSING), way(image.convert("RGB")))


@pytest.mark.parametrize("reading", [decoding._in_threads, decoding._in_processes])
def test_a_broken_file_is_one_line(files, reading):
    files[9].write_bytes(b"no picture")
    with pytest.raises(UserError) as error, reading(read, [files[:8], files[8:16]]) as pixels:
        for number in range(2):
            pixels(number)
    assert str(files[9]) in str(error.value) and "\n" not in str(error.value)


READER = """
import os, threading, torch
DONE_HERE = []  # what this process has done; a copy of it would know
def facts_of_the_reader(_path):
    return torch.tensor([os.getppid(), len(DONE_HERE), threading.active_count()])
"""


def test_processes_are_no_copies_of_one_that_has_threads_and_has_used_torch(tmp_path, monkeypatch):
    """A copy could not use a GPU that this process has used, and would wait for locks that its threads hold."""
    (tmp_path / "who_reads.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    who_reads, done = importlib.import_module("who_reads"), threading.Event()
    for _ in range(4):
        threading.Thread(target=done.wait, args=(60,)).start()
    torch.rand(300, 300) @ torch.rand(300, 300)  # torch's own threads
    who_reads.DONE_HERE.append("has used the GPU, say")
    try:
        with decoding._in_processes(who_reads.facts_of_the_reader, [["a"], ["b"]]) as pixels:
            found = torch.cat([pixels(0), pixels(1)])
    finally:
        done.set()
    assert not (found[:, 0] == os.getpid()).any() and (found[:, 1] == 0).all()
    assert (found[:, 2] < 5).all()  # its own and those of its queues, none of the four that waited here


def test_what_reads_a_models_images_apart_holds_no_network(files):
    model = open_model("timm:test_resnet", weights="untrained", areas=(), device="cpu")
    packed = pickle.dumps(model.reading)
    assert len(packed) < 2000 and torch.equal(pickle.loads(packed)(files[0]), model.read_image(files[0]))


@pytest.mark.parametrize(
    ("device", "n", "apart", "chosen"),
    [
        ("cuda", 512, True, "_in_processes"),
        ("cuda", 512, False, "_in_threads"),  # what may look with a network stays in this process
        ("cuda", 511, True, "_in_threads"),
        ("cpu", 5000, True, "_in_threads"),
    ],
)
def test_who_reads(device, n, apart, chosen, monkeypatch):
    asked = []
    for name in ("_in_threads", "_in_processes"):
        monkeypatch.setattr(decoding, name, functools.partial(asked_for, asked, name))
    with decoding.decoded(read, prepare, [["a"] * n], device, apart):
        assert asked == [chosen]


class asked_for:  # noqa: N801  (stands where a function stands)
    def __init__(self, asked, name, *_):
        asked.append(name)

    def __enter__(self):
        return None

    def __exit__(self, *_):
        return None


def test_files_of_labelled_images_may_be_read_apart_and_arrays_may_not(files, tmp_path):
    (tmp_path / "set" / "0").mkdir(parents=True)
    files[0].rename(tmp_path / "set" / "0" / "0.png")
    source = read_source(tmp_path / "set", 2)
    assert source.apart and pickle.loads(pickle.dumps(source.picture))(0).size == source.picture(0).size
    np.savez(tmp_path / "a.npz", image=np.zeros((2, 8, 8, 3), np.uint8), label=np.zeros(2, int))
    assert not read_source(tmp_path / "a.npz", 2).apart


# --- images that are shown again ---


def test_a_second_model_and_every_level_read_no_file_again(files, monkeypatch):
    read_files = []
    own = preprocessing.open_rgb
    monkeypatch.setattr(preprocessing, "open_rgb", lambda path: read_files.append(path) or own(path))
    resnet = open_model("timm:test_resnet", weights="untrained", areas=(), device="cpu")
    normalised = dataclasses.replace(resnet.card.preprocessing, name="other", mean=(0.5, 0.5, 0.5))
    other = dataclasses.replace(resnet, card=dataclasses.replace(resnet.card, preprocessing=normalised))
    darker = dataclasses.replace(resnet, perturbation=Darker())
    request = [Request(tuple(read_stimuli(files)), features=frozenset(["layer1"]))]

    def recorded(model):
        return next(iter(model.recorder(None).record(request).matrices.values()))

    alone = [recorded(resnet), recorded(darker), recorded(resnet)]
    n_alone, n_files = len(read_files), len(files)
    assert n_alone > 3 * n_files  # those that the probe shows are read once more
    read_files.clear()
    with decoding.pixels_kept(10**8), decoding.pixels_kept(0):  # within another one, that one goes on
        kept = [recorded(resnet), recorded(darker), recorded(resnet)]
        assert sorted(read_files) == sorted(files)
        other.read_image(files[0])
        assert len(read_files) == n_files
        changed = Image.open(files[0]).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        changed.save(files[0])
        resnet.read_image(files[0])
        assert len(read_files) == n_files + 1
    assert all(np.array_equal(one, two) for one, two in zip(alone, kept, strict=True))
    assert not np.array_equal(alone[0], alone[1])


def test_what_there_is_no_room_for_is_read_again(files, monkeypatch):
    read_files = []
    one = read(files[0]).nbytes

    def counted(path):
        read_files.append(path)
        return read(path)

    with decoding.pixels_kept(2 * one):
        for _ in range(2):
            with decoding.decoded(counted, prepare, [files[:3]], apart=True) as batch:
                batch(0)
    assert len(read_files) == 3 + 1


class Darker:
    facts = {"kind": "darker"}  # noqa: RUF012

    def __call__(self, pixels, path):
        return pixels // 2
