"""Folders, tables and arrays give the same images and labels; what cannot be used is named."""

import csv
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import ImageNetInfo
from torchvision import transforms

from brainscore_submission.labelled_images.classes import class_index, class_name
from brainscore_submission.labelled_images.images import framed_maps, read_labelled_images
from brainscore_submission.labelled_images.sources import class_folders
from brainscore_submission.plugin.card import Preprocessing
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.preprocessing import load_pixels

SMALL = Preprocessing("small", resize_px=40, crop_px=32)
CLASSES = {"n01440764": 0, "goldfish": 1, "17": 17}  # an id, a name, an index


@pytest.fixture
def folder(tmp_path):
    """Three class folders of two images each."""
    for seed, (name, _) in enumerate(CLASSES.items()):
        (tmp_path / "val" / name).mkdir(parents=True)
        for number in range(2):
            pixels = np.random.default_rng([seed, number]).integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "val" / name / f"{number}.png")
    return tmp_path / "val"


def as_table(folder):
    path = folder / "labels.csv"
    rows = [(f"{name}/{number}.png", index) for name, index in CLASSES.items() for number in range(2)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "class_index"), *rows])
    return path


def as_arrays(folder, **more):
    files = sorted(folder.rglob("*.png"))
    images = np.stack([np.asarray(Image.open(file)) for file in files])
    labels = np.array([CLASSES[file.parent.name] for file in files])
    np.savez(folder.parent / "val.npz", **{"image": images, "label": labels} | more)
    return folder.parent / "val.npz"


def in_one(images):
    return next(images.batches(len(images)))


def test_folders_tables_and_arrays_are_the_same_images(folder):
    of_folders, arrays = in_one(read_labelled_images(folder, SMALL)), as_arrays(folder)
    of_arrays, of_table = (in_one(read_labelled_images(where, SMALL)) for where in (arrays, as_table(folder)))
    assert sorted(of_folders.labels.tolist()) == [0, 0, 1, 1, 17, 17]
    assert torch.equal(of_folders.pixels, of_arrays.pixels) and torch.equal(of_folders.labels, of_arrays.labels)
    order = [of_table.identities.index(name) for name in of_folders.identities]
    assert torch.equal(of_folders.pixels, of_table.pixels[order])
    for name, pixels in zip(of_folders.identities, of_folders.pixels, strict=True):
        assert torch.equal(pixels, load_pixels(folder / name, SMALL))


def test_batches_hold_every_image_once_and_in_order(folder):
    images = read_labelled_images(folder, SMALL)
    batches = list(images.batches(4))
    assert [len(batch.labels) for batch in batches] == [4, 2]
    assert sum((batch.identities for batch in batches), ()) == images.identities
    assert [next(images.batches(1, [row])).identities[0] for row in (5, 0)] == [
        images.identities[5],
        images.identities[0],
    ]
    some = images.sample(3)
    assert set(images.sample(2).identities) < set(some.identities) < set(images.identities)
    assert torch.equal(
        in_one(some).pixels, in_one(images).pixels[[images.identities.index(i) for i in some.identities]]
    )


def test_the_fingerprint_holds_bytes_labels_and_names(folder):
    before = read_labelled_images(folder, SMALL).fingerprint
    assert read_labelled_images(folder, SMALL).fingerprint == before
    (folder / "17" / "0.png").rename(folder / "17" / "2.png")
    renamed = read_labelled_images(folder, SMALL).fingerprint
    (folder / "17").rename(folder / "18")
    relabelled = read_labelled_images(folder, SMALL).fingerprint
    Image.new("RGB", (48, 64)).save(folder / "18" / "2.png")
    assert len({before, renamed, relabelled, read_labelled_images(folder, SMALL).fingerprint}) == 4


def test_heat_maps_take_the_crop_of_their_images(folder):
    """A map that is a colour channel stays that channel, up to its rounding to bytes between the two resizings."""
    images = np.load(as_arrays(folder))["image"]
    batch = in_one(read_labelled_images(as_arrays(folder, heatmap=images[..., 1].astype(np.float32)), SMALL))
    assert batch.maps.shape == (6, 32, 32)
    torch.testing.assert_close(batch.maps, 255 * batch.pixels[:, 1], rtol=0, atol=1.01)
    not_cropped = torch.stack(
        [torch.from_numpy(np.array(Image.fromarray(one[..., 1]).resize((32, 32)))) for one in images]
    )
    assert float((batch.maps - not_cropped).abs().mean()) > 10


def test_maps_agree_with_torchvision(folder):
    maps = np.random.default_rng(0).random((2, 48, 64)).astype(np.float32)
    theirs = [transforms.CenterCrop(32)(transforms.Resize((40, 40))(Image.fromarray(one))) for one in maps]
    np.testing.assert_array_equal(framed_maps(maps, SMALL).numpy(), np.stack([np.asarray(one) for one in theirs]))


def test_every_class_of_imagenet_by_id_and_index():
    info = ImageNetInfo()
    ids = info.label_names()
    assert [class_index(name) for name in ids] == list(range(1000)) == [class_index(str(i)) for i in range(1000)]
    assert class_index("Carassius auratus") == class_index("GOLDFISH") == 1 and class_name(1) == "goldfish"
    names = [info.index_to_description(index) for index in range(1000)]
    unique = [index for index, name in enumerate(names) if names.count(name) == 1]
    assert len(unique) == 1000 - 2 and all(
        class_index(names[index]) == index for index in unique if "," in names[index]
    )


@pytest.mark.parametrize(
    ("called", "says"),
    [
        ("crane", "2 classes of ImageNet: write n02012849 .index 134. or n03126707 .index 517."),
        ("goldfsh", "Did you mean goldfish"),
        ("1000", "class 1000 is out of range: the network has 1000 classes, 0 to 999"),
        ("-1", "out of range"),
        ("n99999999", "is no class of ImageNet"),
    ],
)
def test_names_that_are_no_class(called, says):
    with pytest.raises(UserError, match=says):
        class_index(called)


def test_other_networks_have_indices_alone():
    assert class_index("3", n_classes=10) == 3 and class_name(3, n_classes=10) == "class 3"
    with pytest.raises(UserError, match="names are known for ImageNet's 1000 classes, the network has 10"):
        class_index("goldfish", n_classes=10)


def test_a_folder_that_is_no_class_is_named(folder):
    (folder / "goldfsh").mkdir()
    (folder / "misc").mkdir()
    with pytest.raises(UserError, match=r"2 of 5 names are no class: 'goldfsh', 'misc'(.|\n)*Did you mean goldfish"):
        read_labelled_images(folder, SMALL)


def test_two_folders_of_one_class_are_refused(folder):
    (folder / "n01443537").mkdir()
    with pytest.raises(UserError, match="goldfish and n01443537 are the same class"):
        read_labelled_images(folder, SMALL)


def test_what_is_passed_over_is_said(folder):
    (folder / "17" / "notes.txt").write_text("x")
    (folder / "stray.png").write_bytes(b"x")
    (folder / "5").mkdir()
    notes = " ".join(read_labelled_images(folder, SMALL).notes)
    assert "stray.png" in notes and "notes.txt" in notes and "1 class folder without an image: 5" in notes
    table = as_table(folder)
    assert read_labelled_images(table, SMALL).notes == ("passed over, not in labels.csv: stray.png.",)


def test_a_broken_file_in_a_hundred_is_left_out_and_named(tmp_path):
    (tmp_path / "3").mkdir()
    for number in range(100):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "3" / f"{number:03}.png")
    whole = (tmp_path / "3" / "041.png").read_bytes()
    (tmp_path / "3" / "041.png").write_bytes(whole[:50])
    images = read_labelled_images(tmp_path, Preprocessing("tiny", resize_px=8))
    assert len(images) == 99 and "3/041.png" not in images.identities
    assert "1 broken image left out: 3/041.png" in images.notes[0]
    assert float(in_one(images).pixels[41, 0, 0, 0]) == pytest.approx(42 / 255)  # rows close up
    (tmp_path / "3" / "000.png").write_bytes(b"")
    with pytest.raises(UserError, match="2 of 100 images cannot be read, more than 1 %: 3/000.png"):
        read_labelled_images(tmp_path, Preprocessing("tiny", resize_px=8))


def test_an_image_that_says_it_is_huge_is_not_decoded(tmp_path):
    """The header of a PNG of 60000 x 60000 pixels, and nothing behind it."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "huge.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I4sI", 0, b"IDAT", zlib.crc32(b"IDAT"))
    )
    with pytest.raises(
        UserError, match="1 of 1 images cannot be read, more than 1 %: 3/huge.png: not a readable .*decompression bomb"
    ):
        read_labelled_images(tmp_path, SMALL)


def test_progress_counts_the_images(folder):
    said = []
    read_labelled_images(folder, SMALL, progress=lambda done, total: said.append((done, total)))
    assert said == [(number, 6) for number in range(1, 7)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,class_index\n../x.png,0\n", "leads out of the folder"),
        ("file,class_index\n/etc/passwd,0\n", "leads out of the folder"),
        ("file,class_index\n17/0.png,1000\n", "out of range"),
        ("file,class_index\n17/0.png,1\n17/0.png,1\n", "1 file stand twice"),
        ("file,class_index\n17/0.png,\n", "line 2: a file and its class are needed"),
        ("file,labl\n17/0.png,1\n", "columns file and class_index are needed, found 'file', 'labl'"),
        ("file,class_index\n", "columns file and class_index are needed"),
        ("file,class_index\n17/none.png,1\n", "no such image file"),
    ],
)
def test_tables_that_cannot_be_used(folder, text, says):
    (folder / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=says):
        read_labelled_images(folder / "labels.csv", SMALL)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"image": np.array([{"a": 1}], dtype=object)}, "cannot be read as an npz of numbers"),
        ({"label": np.arange(5)}, r"label is int64 \(5,\); 6 images need 6 integers"),
        ({"label": np.full(6, 1000)}, "labels lie in 1000 to 1000, the network has 1000 classes"),
        ({"label": np.full(6, -1)}, "labels lie in -1 to -1"),
        ({"label": np.full(6, 1.0)}, "label is float64"),
        ({"image": np.zeros((6, 8, 8), np.uint8)}, r"image has shape \(6, 8, 8\)"),
        ({"image": np.full((6, 8, 8, 3), 200.0)}, "floats in 0 to 1"),
        ({"image": np.full((6, 8, 8, 3), np.nan)}, "floats in 0 to 1"),
        ({"image": np.full((6, 8, 8, 3), "x")}, "image is <U1; needed are uint8"),
        ({"image": np.ones((6, 8, 8, 3), int)}, "image is int64; needed are uint8"),
        ({"heatmap": np.zeros((6, 8, 8))}, r"heatmap is float64 \(6, 8, 8\); these images need \(6, 48, 64\)"),
        ({"heatmap": np.full((6, 48, 64), np.nan)}, "6 heat maps hold NaN"),
    ],
)
def test_arrays_that_cannot_be_used(folder, arrays, says):
    with pytest.raises(UserError, match=says):
        read_labelled_images(as_arrays(folder, **arrays), SMALL)


def test_folders_of_a_users_own_classes(tmp_path, folder):
    for name in ("002.Auk", "001.Wren"):
        shutil.copytree(folder / "17", tmp_path / "birds" / name)
    for name in (".ipynb_checkpoints", "003.Owl"):  # what an editor leaves, and a class without an image
        (tmp_path / "birds" / name).mkdir()
    names = class_folders(tmp_path / "birds")
    assert names == ("001.Wren", "002.Auk")
    found = read_labelled_images(tmp_path / "birds", SMALL, names)
    wanted = [name.startswith("002") for name in found.identities]
    assert found.labels.tolist() == wanted and {False, True} == set(wanted)
    with pytest.raises(UserError, match=r"'001.Wren' is none of the 2 classes. Did you mean 001.Wrens"):
        read_labelled_images(tmp_path / "birds", SMALL, ("001.Wrens", "002.Auk"))


def test_places_that_are_no_images(tmp_path, folder):
    for where, says in (
        (tmp_path / "none", "there is no "),
        (folder / "17" / "0.png", "is no set of images"),
        (folder / "17", "holds no labels"),
    ):
        with pytest.raises(UserError, match=says):
            read_labelled_images(where, SMALL)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(UserError, match="cannot be read as an npz"):
        read_labelled_images(tmp_path / "broken.npz", SMALL)
    np.savez(tmp_path / "other.npz", images=np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(UserError, match="lacks the array image and label"):
        read_labelled_images(tmp_path / "other.npz", SMALL)


def test_an_npz_that_says_it_is_huge_is_not_loaded(tmp_path, folder, monkeypatch):
    from brainscore_submission.engine.budget import Budget

    monkeypatch.setattr(Budget, "default", classmethod(lambda cls, scratch, device="cpu": cls(1000, 0, None)))
    with pytest.raises(UserError, match="more than half of the free memory"):
        read_labelled_images(as_arrays(folder), SMALL)


def test_floats_are_bytes_over_255(folder):
    arrays = as_arrays(folder)
    as_bytes = in_one(read_labelled_images(arrays, SMALL))
    pixels = np.load(arrays)["image"].astype(np.float32) / 255
    as_floats = read_labelled_images(as_arrays(folder, image=pixels), SMALL)
    assert torch.equal(in_one(as_floats).pixels, as_bytes.pixels) and not as_floats.notes
    between = read_labelled_images(as_arrays(folder, image=pixels * 0.999), SMALL)
    assert "rounded to 8 bits" in between.notes[0]
