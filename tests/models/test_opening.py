"""Promises of models.py: what a user types becomes a committed network, or an error that helps."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from brainscore_vision.model_interface import BrainModel

from brainscore_submission.models.layer_maps import layer_map_names, layer_map_path
from brainscore_submission.models.model import Model
from brainscore_submission.models.opening import describe, find_device, open_model
from brainscore_submission.plugin.areas import AREAS
from brainscore_submission.plugin.card import PREPROCESSINGS, all_cards
from brainscore_submission.plugin.checkpoint import build_network, load_network
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.fingerprint import cache_identifier
from brainscore_submission.plugin.layer_map import read_layer_map

ROOT = Path(__file__).parents[2]
RESNET = {"V1": "layer1.0.act2", "V2": "layer2.0.act2", "V4": "layer3.0.act2", "IT": "layer4.0.act2"}


def test_every_card_ships_with_the_papers_map_and_the_code_comments():
    for card in all_cards():
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
    assert model.layers == {**RESNET, "behavior": "global_pool"}
    assert model.layer_map == "given"
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
        ({"typed": "992"}, "unknown model '992'. Did you mean 991"),
        ({"typed": "timm:resnet10x"}, "timm knows no model 'resnet10x'"),
        ({"typed": "991", "layer_map": "papr"}, "no layer map 'papr'. Did you mean paper"),
        ({"typed": "991", "layer_map": "absent.json"}, "cannot read layer map absent.json"),
        ({"typed": "991", "preprocessing": "crop225"}, "unknown preprocessing 'crop225'. Did you mean crop224"),
        ({"typed": "991", "device": "cuda:99"}, "unknown device 'cuda:99'"),
        ({"typed": "991", "layers": {"V3": "norm"}}, "unknown area 'V3' in --layers"),
        ({"typed": "resnet18"}, "'resnet18' is a model of timm: --model timm:resnet18 or --model torchvision:resnet18"),
        ({"typed": "torchvision:resnet19"}, "torchvision knows no model 'resnet19'. Did you mean resnet18"),
        (
            {"typed": "torchvision:resnet18.V7"},
            "torchvision knows no weights 'V7' of resnet18. Available: IMAGENET1K_V1",
        ),
        ({"typed": "hf-hub:name"}, "'hf-hub:name' is no Hugging Face repository. Write hf-hub:owner/name"),
        ({"typed": "absent.py"}, "absent.py: no such Python file"),
        ({"typed": "absent.toml"}, "cannot read card absent.toml"),
        (
            {"typed": "timm:resnet10t", "layers": {**RESNET, "behavior": "fc"}, "layer_map": "nowhere"},
            "has no layer map 'nowhere'",
        ),
        ({"typed": "timm:resnet10t"}, "has no layer map. Give one, --layers V1=…,V2=…,V4=…,IT=…,behavior=…, or"),
        ({"typed": "timm:resnet10t", "areas": ["V4"]}, "has no layer map. Give one, --layers V4=…, or"),
        (
            {"typed": "timm:resnet10t", "layers": {"V1": "layer1", "behavior": "fc"}},
            "has no layer map. Give one, --layers V2=…,V4=…,IT=…, or",
        ),
        (
            {"typed": "timm:resnet10t", "layers": {**RESNET, "IT": "layer5", "behavior": "fc"}},
            "unknown layer 'layer5'. Did you mean layer",
        ),
        ({"typed": "991", "weights": "absent.pt"}, "absent.pt"),
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
    assert model.layers == {"V4": "layer3"}
    for task in (BrainModel.Task.probabilities, BrainModel.Task.odd_one_out):  # Brain-Score would take layer3
        with pytest.raises(UserError, match=f"no layer for behaviour, which the task '{task}' reads"):
            model.commit().start_task(task, [])


def test_for_behaviour_alone_no_area_needs_a_layer():
    layers = {"behavior": "global_pool"}
    model = open_model("timm:resnet10t", weights="untrained", layers=layers, areas=["behavior"])
    assert model.layers == layers


def test_a_model_is_called_what_its_user_calls_it():
    options = {"weights": "untrained", "areas": []}
    assert open_model("timm:resnet10t", **options).name == "timm_resnet10t_c3_in1k-untrained"
    assert open_model("timm:resnet10t", name="mine", **options).name == "mine"


def test_checkpoints_of_one_architecture_have_names_of_their_own(tmp_path):
    network = build_network(describe("timm:test_resnet"))
    paths = [tmp_path / f"{number}.pt" for number in range(2)]
    for number, path in enumerate(paths):
        torch.save({key: value + number for key, value in network.state_dict().items()}, path)
    weights = [*paths, "untrained", "untrained:1", "untrained:0"]
    names = [open_model("timm:test_resnet", weights=one, areas=[]).name for one in weights]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest()[:8] for path in paths]
    assert names == [f"timm_test_resnet_r160_in1k-{end}" for end in (*hashes, "untrained", "untrained-1", "untrained")]


def test_an_identifier_that_a_table_shows_can_be_typed_again():
    for typed in ("timm:resnet10t", "timm:resnet18.a2_in1k", "torchvision:resnet18", "torchvision:vit_b_16"):
        assert describe(describe(typed).identifier) == describe(typed)


def test_an_unknown_name_is_told_all_kinds_of_names():
    with pytest.raises(UserError, match=r"timm:<name>, torchvision:<name>, hf-hub:<owner>/<name>.*my_net\.py"):
        describe("rsnet")


def test_what_brainscore_keeps_by_identifier_is_never_shared(tiny_card):
    loaded = load_network(tiny_card, "untrained")
    model = Model("tiny", tiny_card, loaded.network, loaded.origin, {"V1": "blocks.0.blocks.1.0.norm1"})
    moved = dataclasses.replace(model, layers={"V1": "blocks.1.blocks.1.0.norm1"})
    wider = dataclasses.replace(model, card=dataclasses.replace(tiny_card, visual_degrees=12))
    readout = dataclasses.replace(model, layers={**model.layers, "behavior": "norm.0"})
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
        "import brainscore_submission.models.layer_maps as m\n"
        "from brainscore_submission.models.opening import describe\n"
        "path = m.layer_map_path(describe('991'), 'paper')\n"
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
