"""Promises of models.py: what a user types becomes a committed network, or an error that helps."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from brainscore_submission.models.layer_maps import layer_map_names, layer_map_path
from brainscore_submission.models.model import Model
from brainscore_submission.models.opening import describe, find_device, models, open_model
from brainscore_submission.plugin.areas import AREAS
from brainscore_submission.plugin.card import PREPROCESSINGS
from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.fingerprint import cache_identifier
from brainscore_submission.plugin.layer_map import read_layer_map

ROOT = Path(__file__).parents[2]
RESNET = {"V1": "layer1.0.act2", "V2": "layer2.0.act2", "V4": "layer3.0.act2", "IT": "layer4.0.act2"}


def test_every_card_ships_with_the_papers_map_and_the_code_comments():
    for card in models():
        assert layer_map_names(card) == ["code_comment", "paper"]
        paper = read_layer_map(layer_map_path(card, "paper"))
        comment = read_layer_map(layer_map_path(card, "code_comment"))
        assert paper["V1"] == comment["V1"] == "blocks.1.blocks.1.0.norm1"
        assert comment["V2"] == comment["V4"] == "blocks.1.blocks.1.0.mlp.act"
        assert card.behavior_layer == "blocks.2.revert_projs.1.2"


def test_competition_number_and_identifier_name_the_same_model():
    assert describe("991") == describe("crossvit_18_dagger_408_rotation_adv")


def test_a_timm_model_with_given_layers():
    model = open_model("timm:resnet10t", weights="untrained", layers={**RESNET, "behavior": "global_pool"})
    assert model.layer_map == RESNET
    assert model.layer_of("behavior") == "global_pool"
    assert model.origin["untrained"]
    assert model.load_image(_image()).shape == (3, 176, 176)  # timm's own input size of this network


def _image():
    import tempfile

    from PIL import Image

    path = Path(tempfile.mkdtemp()) / "image.png"
    Image.new("RGB", (64, 48), "gray").save(path)
    return path


def test_a_layer_map_written_into_the_current_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = describe("991")
    (tmp_path / "layer_maps").mkdir()
    mine = tmp_path / "layer_maps" / f"{card.identifier}.mine.json"
    mine.write_text(json.dumps(dict.fromkeys(AREAS, "norm")))
    assert layer_map_path(card, "mine").resolve() == mine
    assert layer_map_path(card, "paper").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "992"}, "unknown model '992'. Did you mean 991"),
        ({"name": "timm:resnet10x"}, "timm knows no model 'resnet10x'"),
        ({"name": "991", "layer_map": "papr"}, "no layer map 'papr'. Did you mean paper"),
        ({"name": "991", "layer_map": "absent.json"}, "cannot read layer map absent.json"),
        ({"name": "991", "preprocessing": "crop225"}, "unknown preprocessing 'crop225'. Did you mean crop224"),
        ({"name": "991", "device": "cuda:99"}, "unknown device 'cuda:99'"),
        ({"name": "991", "layers": {"V3": "norm"}}, "unknown area 'V3' in --layers"),
        ({"name": "resnet18"}, "'resnet18' is a model of timm: --model timm:resnet18"),
        (
            {"name": "timm:resnet10t", "layers": {**RESNET, "behavior": "fc"}, "layer_map": "nowhere"},
            "has no layer map 'nowhere'",
        ),
        ({"name": "timm:resnet10t"}, "has no layer map. Give one, --layers V1=…,V2=…,V4=…,IT=…,behavior=…, or"),
        ({"name": "timm:resnet10t", "areas": ["V4"]}, "has no layer map. Give one, --layers V4=…, or"),
        (
            {"name": "timm:resnet10t", "layers": {"V1": "layer1", "behavior": "fc"}},
            "has no layer map. Give one, --layers V2=…,V4=…,IT=…, or",
        ),
        (
            {"name": "timm:resnet10t", "layers": {**RESNET, "IT": "layer5", "behavior": "fc"}},
            "unknown layer 'layer5'. Did you mean layer",
        ),
        ({"name": "991", "weights": "absent.pt"}, "absent.pt"),
    ],
)
def test_whatever_does_not_exist_is_named_with_what_does(options, message):
    options = {"weights": "untrained", **options}
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace("?", r"\?")):
        open_model(**options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "a layer map is one object"),
        ("{", "not a JSON file"),
        ('{"V1": "a", "V2": "b", "V4": "c"}', "no layer for IT"),
        ('{"V1": "a", "V2": "b", "V4": "c", "IT": "d", "V3": "e"}', "unknown area 'V3'"),
        ('{"V1": "a", "V2": "b", "V4": "c", "IT": 4}', "the layer of IT must be a module name"),
    ],
)
def test_malformed_layer_maps(tmp_path, content, message):
    path = tmp_path / "map.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_layer_map(path)


def test_only_the_areas_that_are_scored_need_a_layer():
    model = open_model("timm:resnet10t", weights="untrained", layers={"V4": "layer3"}, areas=["V4"])
    assert model.layer_map == {"V4": "layer3"}
    with pytest.raises(UserError, match="unknown layer 'none given for behavior'"):
        model.activations_model().get_layer(model.commit().behavior_model.mapping["probabilities"].readout[0])


def test_for_behaviour_alone_no_area_needs_a_layer():
    layers = {"behavior": "global_pool"}
    model = open_model("timm:resnet10t", weights="untrained", layers=layers, areas=["behavior"])
    assert (model.layer_map, model.layer_map_name, model.layer_of("behavior")) == ({}, "given", "global_pool")


def test_what_brainscore_keeps_by_identifier_is_never_shared(tiny_card):
    loaded = load_network(tiny_card, "untrained")
    model = Model(tiny_card, loaded.network, loaded.origin, {"V1": "blocks.0.blocks.1.0.norm1"})
    moved = dataclasses.replace(model, layer_map={"V1": "blocks.1.blocks.1.0.norm1"})
    wider = dataclasses.replace(model, card=dataclasses.replace(tiny_card, visual_degrees=12))
    readout = dataclasses.replace(model, card=dataclasses.replace(tiny_card, behavior_layer="norm.0"))
    models = [model, moved, wider, readout, dataclasses.replace(model, precision="bfloat16")]
    assert len({one.commit().identifier for one in models}) == len(models)


def test_a_model_without_a_behavior_layer_says_how_to_give_one():
    with pytest.raises(UserError, match="Give one, --layers behavior=…, or"):
        open_model("timm:resnet10t", weights="untrained", layers=RESNET)


def test_auto_takes_the_gpu_where_there_is_one():
    assert find_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_same_identifier_other_weights_or_preprocessing_never_share_an_activation(tiny_card):
    origins = [load_network(tiny_card, "untrained", seed=seed).origin for seed in (0, 1)]
    other = dataclasses.replace(tiny_card, preprocessing=PREPROCESSINGS["squash224"])
    identifiers = {cache_identifier(card, origin) for card in (tiny_card, other) for origin in origins}
    assert len(identifiers) == 4
    assert all(identifier.startswith(tiny_card.identifier) for identifier in identifiers)


@pytest.mark.slow
def test_an_installed_wheel_finds_cards_and_layer_maps_from_any_folder(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT],
        check=True,
        cwd=tmp_path,
    )
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    # The present packages stand in for the dependencies; the project itself must come from the wheel.
    site = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    code = (
        "import brainscore_submission.models.layer_maps as m, pathlib\n"
        "card = m.describe('991'); path = m.layer_map_path(card, 'paper')\n"
        "print(m.__file__); print(m.read_layer_map(path)['IT'])"
    )
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "BS_INSTALL_DEPENDENCIES": "no"}
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    place, layer = done.stdout.split()
    assert str(tmp_path / "env") in place
    assert layer == "blocks.1.blocks.1.4.norm2"
    command = [tmp_path / "env" / "bin" / "brainscore-submission", "evaluate", "--model", "992"]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert refused.returncode == 1
    assert "Did you mean 991" in refused.stderr
