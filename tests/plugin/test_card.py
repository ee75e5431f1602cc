"""Cards: what a model is, as data."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
from hypothesis import given
from hypothesis import strategies as st

from brainscore_submission.plugin import card as card_module
from brainscore_submission.plugin.card import (
    CARDS,
    PREPROCESSINGS,
    Card,
    Preprocessing,
    Source,
    Weights,
    all_cards,
    card_toml,
    find_card,
    load_card,
)
from brainscore_submission.plugin.errors import UserError, suggest

LAYER_MAPS = Path(__file__).parents[2] / "layer_maps"

MINIMAL = """
identifier = "small"
architecture = "resnet18"

[weights]
file = "small.pt"
layout = "bare"
"""


def write(folder, text, name="small.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_number_and_identifier_name_the_same_model():
    assert find_card(991) == find_card("991") == find_card("crossvit_18_dagger_408_rotation_adv")


def test_the_five_models_of_the_paper_are_there():
    numbers = {card.identifier: card.competition_id for card in all_cards()}
    assert numbers == {
        "crossvit_18_dagger_408_rotation_adv": 991,
        "crossvit_18_dagger_408_adv": 1084,
        "crossvit_18_dagger_408_rotation": 1095,
        "crossvit_18_dagger_408": 1057,
        "crossvit_18_dagger_408_rotation_adv_color": None,
    }


def test_no_two_models_share_a_checkpoint():
    hashes = [card.weights.sha1 for card in all_cards() if card.weights.sha1]
    assert len(hashes) == len(set(hashes)) == 4


@pytest.mark.parametrize("path", sorted(CARDS.glob("*.toml")), ids=lambda path: path.stem)
def test_file_name_is_the_identifier_and_timm_knows_the_network(path):
    card = load_card(path)
    assert card.identifier == path.stem
    assert timm.is_model(card.architecture)


def test_identifier_fits_the_website():
    for card in all_cards():
        assert re.fullmatch(r"[A-Za-z0-9_]+", card.identifier)


@pytest.mark.parametrize("card", all_cards(), ids=lambda card: card.identifier)
@pytest.mark.parametrize("variant", ["", ".code_comment"])
def test_every_model_has_both_layer_maps(card, variant):
    layer_map = json.loads((LAYER_MAPS / f"{card.identifier}{variant}.json").read_text())
    middle = "blocks.1.blocks.1.0.mlp.act" if variant else "blocks.1.blocks.1.0.norm1"
    assert layer_map == {
        "V1": "blocks.1.blocks.1.0.norm1",
        "V2": middle,
        "V4": middle,
        "IT": "blocks.1.blocks.1.4.norm2",
    }


def test_first_source_of_991_is_the_versioned_object():
    first, second = find_card(991).weights.sources
    assert (first.bucket, first.version) == ("brainscore-vision", "yLoNLVtxWxYXPJGM5hHCENrLKQiRzJwa")
    assert (second.bucket, second.version) == ("brainscore-storage", "null")


def test_unknown_model_is_answered_with_the_nearest_and_all_others():
    with pytest.raises(UserError, match=r"unknown model '992'\. Did you mean 991\? Available: .*1084"):
        find_card("992")


def test_cards_are_found_in_any_folder(tmp_path):
    write(tmp_path, MINIMAL)
    assert find_card("small", tmp_path).weights.layout == "bare"
    with pytest.raises(UserError, match="Available: small"):
        find_card(991, tmp_path)


def test_minimal_card_takes_the_submission_preprocessing(tmp_path):
    assert load_card(write(tmp_path, MINIMAL)).preprocessing == PREPROCESSINGS["crop224"]


REFUSED = {
    "unknown key": ("titel = 'x'\n" + MINIMAL, r"small\.toml: unknown key 'titel'; known keys: architecture, .*title"),
    "unknown key in a table": (MINIMAL + "url = 'x'", r"small\.toml \[weights\]: unknown key 'url'"),
    "unknown preprocessing key": (
        MINIMAL + "[preprocessing]\nname='a'\nresize_px=1\nresize=2",
        r"\[preprocessing\]: unknown key 'resize'; known keys: crop_px, .*resize_px",
    ),
    "missing key": (MINIMAL.replace('identifier = "small"', ""), r"identifier missing"),
    "hyphen": (MINIMAL.replace('"small"', '"sm-all"'), r"identifier = 'sm-all' is refused.*no hyphen"),
    "wrong type": ("num_classes = '1000'\n" + MINIMAL, r"num_classes = '1000' is refused"),
    "boolean for a number": ("competition_id = true\n" + MINIMAL, r"competition_id = True is refused"),
    "no field of view": ("visual_degrees = 0\n" + MINIMAL, r"between 0 and 9000"),
    "short hash": (MINIMAL + "sha1 = 'abc'", r"sha1 = 'abc' is refused; it must be 40"),
    "unknown layout": (MINIMAL.replace('"bare"', '"zip"'), r"layout = 'zip' is refused; .*training"),
    "folder in the file name": (MINIMAL.replace("small.pt", "../small.pt"), r"file = '\.\./small\.pt' is refused"),
    "unknown preprocessing": ("preprocessing = 'crop225'\n" + MINIMAL, r"one of crop224, squash224"),
    "list for a name": ("preprocessing = ['crop224']\n" + MINIMAL, r"preprocessing = \['crop224'\] is refused"),
    "unknown source": (MINIMAL + "[[weights.sources]]\nkind='hubb'", r"unknown kind 'hubb'\. Did you mean hub\?"),
    "source without kind": (MINIMAL + "[[weights.sources]]\nurl='x'", r"unknown kind None"),
    "list for a kind": (MINIMAL + "[[weights.sources]]\nkind=['s3']", r"unknown kind \['s3'\]"),
    "half a source": (MINIMAL + "[[weights.sources]]\nkind='s3'\nkey='a'", r"\(s3\): bucket missing"),
    "local address": (MINIMAL + "[[weights.sources]]\nkind='url'\nurl='file:///a'", r"url = 'file:///a' is refused"),
    "crop exceeds": (MINIMAL + "[preprocessing]\nname='a'\nresize_px=8\ncrop_px=9", r"crop_px 9 exceeds resize_px 8"),
    "aspect without crop": (
        MINIMAL + "[preprocessing]\nname='a'\nresize_px=8\nkeep_aspect=true",
        r"keep_aspect needs crop_px",
    ),
    "no spread": (
        MINIMAL + "[preprocessing]\nname='a'\nresize_px=8\nstd=[1, 0, 1]",
        r"std = \[1, 0, 1\] is refused; it must be three numbers above 0",
    ),
    "not TOML": ("identifier = small", r"small\.toml: not a TOML file: .*line 1"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_mistake_in_a_card_is_named(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as refusal:
        load_card(write(tmp_path, text))
    assert len(str(refusal.value).splitlines()) <= 2


def test_missing_card_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.toml: No such file"):
        load_card(tmp_path / "nowhere.toml")


def test_binary_file_is_no_card(tmp_path):
    (tmp_path / "small.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not text in UTF-8"):
        load_card(tmp_path / "small.toml")


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)
NUMBERS = st.floats(-10, 10, allow_nan=False)
SOURCES = st.one_of(
    st.builds(Source, kind=st.just("s3"), bucket=TEXT, key=TEXT, version=st.none() | TEXT),
    st.builds(Source, kind=st.just("url"), url=st.just("https://example.org/a.pt")),
    st.builds(Source, kind=st.just("hub"), tag=TEXT),
)


@given(title=TEXT, sources=st.lists(SOURCES, max_size=3), mean=st.tuples(NUMBERS, NUMBERS, NUMBERS), keep=st.booleans())
def test_a_written_card_reads_back_equal(tmp_path_factory, title, sources, mean, keep):
    card = Card(
        identifier="any_1",
        architecture="resnet18",
        weights=Weights("a.pt", "training", sha1="0" * 40, sources=tuple(sources)),
        preprocessing=Preprocessing("own", 64, 48, "bicubic", mean, (0.5, 0.5, 0.5), keep),
        title=title,
        competition_id=7,
        top1=73.5,
        visual_degrees=4.5,
        behavior_layer="head",
    )
    path = write(tmp_path_factory.getbasetemp(), card_toml(card), "written.toml")
    assert load_card(path) == card


@pytest.mark.parametrize("card", all_cards(), ids=lambda card: card.identifier)
def test_the_cards_that_ship_survive_writing(tmp_path, card):
    assert load_card(write(tmp_path, card_toml(card))) == card


CHANGES_ACTIVATIONS = {
    "architecture": {"architecture": "other"},
    "classes": {"num_classes": 10},
    "crop": {"preprocessing": PREPROCESSINGS["squash224"]},
    "mean": {"preprocessing": Preprocessing("crop224", 256, 224, mean=(0.5, 0.5, 0.5))},
    "interpolation": {"preprocessing": Preprocessing("crop224", 256, 224, interpolation="bicubic")},
}


@pytest.mark.parametrize("change", CHANGES_ACTIVATIONS.values(), ids=CHANGES_ACTIVATIONS)
def test_fingerprint_changes_with_what_changes_an_activation(change):
    card = find_card(991)
    assert dataclasses.replace(card, **change).fingerprint() != card.fingerprint()


def test_fingerprint_does_not_change_with_words():
    card = find_card(991)
    renamed = dataclasses.replace(card.preprocessing, name="mine")
    same = dataclasses.replace(card, identifier="x", title="y", top1=1.0, preprocessing=renamed)
    assert same.fingerprint() == card.fingerprint()


def test_fingerprint_is_the_same_in_another_process():
    code = "from brainscore_submission.plugin.card import find_card; print(find_card(991).fingerprint())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == find_card(991).fingerprint()


def test_listing_models_needs_no_torch():
    code = "import sys, brainscore_submission.plugin.card as card; card.all_cards(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_every_card_key_is_read():
    stated = set(card_module.CARD_KEYS)
    assert stated == {field.name for field in dataclasses.fields(Card)}


def test_suggestion_lists_no_more_than_asked():
    assert suggest("b", "abcd", limit=2) == " Did you mean b?"
    assert suggest("x", "abcd", limit=2) == " Available: a, b, …"
