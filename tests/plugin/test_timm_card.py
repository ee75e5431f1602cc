"""Any timm model as a card. The judge is timm's own evaluation transform."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from brainscore_submission.plugin.card import card_toml, load_card
from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.preprocessing import load_pixels, normalise
from brainscore_submission.plugin.timm_card import timm_card

# One of each way timm prepares images: centre crop, no crop, squashed, bilinear, other mean.
PREPARED = ["resnet18.a1_in1k", "crossvit_18_dagger_408.in1k", "vit_base_patch16_siglip_224.webli", "mixer_b16_224"]


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, size=(187, 301, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize("name", PREPARED)
def test_images_are_prepared_as_timm_prepares_them(name, photo):
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    ours = timm_card(name).preprocessing
    with Image.open(photo) as image:
        expected = timm.data.create_transform(**config)(image)
    assert torch.equal(normalise(load_pixels(photo, ours), ours), expected)


def test_a_network_is_prepared_for_as_its_card_says():
    prepared = timm_card("resnet18.a1_in1k").preprocessing
    config = timm.data.resolve_model_data_config(timm.create_model("resnet18.a1_in1k"))
    assert (prepared.crop_px, prepared.mean, prepared.std) == (config["input_size"][1], config["mean"], config["std"])


def test_name_without_tag_is_timms_default():
    assert timm_card("resnet18") == timm_card(f"resnet18.{timm.get_pretrained_cfg('resnet18').tag}")


def test_identifier_fits_the_website_and_the_card_can_be_written(tmp_path):
    card = timm_card("vit_base_patch16_siglip_224.webli")
    (tmp_path / "card.toml").write_text(card_toml(card), encoding="utf-8")
    assert load_card(tmp_path / "card.toml") == card
    assert card.num_classes == 0


def test_untrained_timm_network_gives_its_classes():
    network = load_network(timm_card("test_vit.r160_in1k"), "untrained").network
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 160, 160)).shape == (1, 1000)


def test_model_without_trained_weights_has_no_source():
    card = timm_card("crossvit_tiny_test")
    assert card.weights.sources == ()
    with pytest.raises(UserError, match="the card names no source"):
        load_network(card)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnt18", r"timm knows no model 'resnt18'\. Did you mean resnet18\b"),
        (
            "resnet18.a9_in1k",
            r"timm knows no weights 'a9_in1k' of resnet18\. Did you mean a\d_in1k\? Available: a1_in1k",
        ),
        ("vit_base_patch16_sapiens2.fb", r"asks for an input of 1024 x 768; write a card"),
        ("", r"timm knows no model ''"),
    ],
)
def test_what_cannot_be_described_is_named(name, message):
    with pytest.raises(UserError, match=message) as refusal:
        timm_card(name)
    assert len(str(refusal.value).splitlines()) == 1
