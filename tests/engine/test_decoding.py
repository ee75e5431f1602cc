"""Promises of decoding.py: the pixels of one file at a time, whoever reads them, and an error that is short."""

import numpy as np
import pytest
import torch
from PIL import Image

from brainscore_submission.engine import decoding
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


def read(path):
    return read_pixels(path, PREPROCESSING)


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
