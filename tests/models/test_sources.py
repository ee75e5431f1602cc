"""Models from torchvision, from Hugging Face repositories and from a user's own Python file."""

import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file

from brainscore_submission.models.opening import describe, open_model
from brainscore_submission.models.torchvision_card import load_torchvision
from brainscore_submission.packaging import package
from brainscore_submission.plugin.checkpoint import torchvision_models
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.fetching import weights_path
from brainscore_submission.plugin.preprocessing import normalise, read_pixels, unit_range

LAYERS = {"V1": "layer1", "V2": "layer2", "V4": "layer3", "IT": "layer4", "behavior": "avgpool"}


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)).save(path)
    return path


# --- torchvision ------------------------------------------------------------------------------------------------------


def test_every_classifier_of_torchvision_has_a_card():
    cards = [describe(f"torchvision:{name}") for name in torchvision_models()]
    assert len({card.identifier for card in cards}) == len(cards) > 70
    assert all(60 < card.top1 < 90 or "squeeze" in card.title or "alexnet" in card.title for card in cards)


@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny", "efficientnet_b1", "swin_t"])
def test_images_are_prepared_as_torchvision_prepares_them(name, image):
    card = describe(f"torchvision:{name}")
    prepare = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    expected = prepare(Image.open(image))
    ours = normalise(unit_range(read_pixels(image, card.preprocessing)), card.preprocessing)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_the_networks_are_torchvisions_with_the_weights_of_a_file(tmp_path, image):
    torch.manual_seed(3)
    network = torchvision.models.resnet18().eval()
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    model = open_model("torchvision:resnet18", weights=tmp_path / "mine.pth", layers=LAYERS)
    inputs = model.load_image(image)[None]
    torch.testing.assert_close(model.network(inputs), network(inputs), rtol=0, atol=0)
    assert model.layers == LAYERS
    assert model.origin["parameters"] == 11_689_512  # as torchvision's table says
    assert (model.origin["top1"], model.origin["training"]) == (None, f"weights of {tmp_path / 'mine.pth'}")


def test_a_fetched_file_has_to_begin_as_its_name_says(monkeypatch):
    card = describe("torchvision:squeezenet1_1")
    path = weights_path(card)
    path.parent.mkdir(parents=True)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), path)
    with pytest.raises(UserError, match="its sha256 begins .*, not b8a52dc0 as its name says"):
        load_torchvision(card)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    renamed = re.sub("b8a52dc0", sha256[:8], card.weights.file)
    path.rename(path.with_name(renamed))
    weights = type(card.weights)(renamed, "bare", sources=card.weights.sources)
    card = type(card)(**{**vars(card), "weights": weights})
    assert load_torchvision(card).origin["sha256"] == sha256


def test_the_older_names_of_densenets_files_fit(tmp_path):
    tensors = torchvision.models.densenet121().state_dict()
    old = {re.sub(r"(denselayer\d+)\.(norm|relu|conv)(\d)\.", r"\1.\2.\3.", key): tensors[key] for key in tensors}
    assert set(old) != set(tensors)
    torch.save(old, tmp_path / "densenet.pth")
    open_model("torchvision:densenet121", weights=tmp_path / "densenet.pth", areas=[])


def test_a_torchvision_model_is_packed_like_any_other(tmp_path):
    torch.save(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "w.pth")
    layers = dict.fromkeys(LAYERS, "features.12")
    location = "s3:brainscore-storage/brainscore-vision/models/user_1/w.pth@abc"
    path = package(
        describe("torchvision:squeezenet1_1"), layers, "mine", tmp_path, location, weights=tmp_path / "w.pth"
    )
    assert path.stat().st_size > 1000


# --- Hugging Face -----------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """`repository(**config)`: somebody's repository as Hugging Face's cache holds it, without a connection."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def build(**config):
        snapshot = tmp_path / "hub" / "models--lab--net" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text("abc")
        facts = {"input_size": [3, 160, 160], "crop_pct": 0.9, "mean": [0.5] * 3, "std": [0.5] * 3, "num_classes": 7}
        text = json.dumps({"architecture": "test_resnet", "num_classes": 7, "pretrained_cfg": facts} | config)
        (snapshot / "config.json").write_text(text)
        network = timm.create_model("test_resnet", num_classes=7).eval()
        save_file(network.state_dict(), snapshot / "model.safetensors")
        return network

    return build


def test_a_hugging_face_repository_is_opened_with_its_own_preprocessing(repository, image):
    network = repository()
    model = open_model("hf-hub:lab/net", layers=dict.fromkeys(("V1", "V4"), "layer1"), areas=["V1"])
    assert (model.name, model.card.num_classes, model.card.preprocessing.mean) == ("hf_hub_lab_net", 7, (0.5, 0.5, 0.5))
    inputs = model.load_image(image)[None]
    torch.testing.assert_close(model.network(inputs), network(inputs), rtol=0, atol=0)


def test_what_is_no_model_of_timm_is_refused_by_name(repository):
    repository(architecture="BertModel")
    with pytest.raises(UserError, match=r"names no architecture of timm \('BertModel'\).*Python file"):
        describe("hf-hub:lab/net")


def test_a_repository_that_builds_its_network_otherwise_is_refused(repository):
    repository(model_args={"img_size": 96})
    with pytest.raises(UserError, match="sets img_size"):
        describe("hf-hub:lab/net")


def test_without_a_connection_the_answer_says_so(repository):
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        describe("hf-hub:lab/absent")


# --- a Python file ----------------------------------------------------------------------------------------------------

FILE = """
from torch import nn
import beside

def load():
    return nn.Sequential(nn.Conv2d(3, 4, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(beside.SIZE), nn.Flatten())

preprocessing = {"resize_px": 64, "crop_px": 48, "mean": (0, 0, 0), "std": (1, 1, 1)}
layers = {"V1": "0", "IT": "2"}
training = "none"
untrained = True
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "beside.py").write_text("SIZE = 2")
    path = tmp_path / "my_net.py"
    path.write_text(FILE)
    return path


def test_a_python_file_is_a_model(file, image, tmp_path):
    model = open_model(str(file), areas=["V1", "IT"], layers={"IT": "1"})
    assert (model.name, model.layers, model.marks) == ("my_net-untrained", {"V1": "0", "IT": "1"}, ("UNTRAINED",))
    assert (model.card.num_classes, model.load_image(image).shape) == (16, (3, 48, 48))
    assert model.fingerprint == open_model(str(file), areas=[]).fingerprint  # random weights, the same each time
    file.write_text(FILE + "\nvisual_degrees = 6\n")
    other = open_model(str(file), areas=[])
    assert other.card.visual_degrees == 6
    assert other.fingerprint != model.fingerprint

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "beside.py").write_text("SIZE = 3  # of the same name, and another module")
    (elsewhere / "my_net.py").write_text(FILE)
    assert open_model(str(elsewhere / "my_net.py"), areas=[]).card.num_classes == 36
    (tmp_path / "beside.py").write_text("from deeper import SIZE")
    (tmp_path / "deeper.py").write_text("SIZE = 2")
    beside = [open_model(str(file), areas=[])]
    (tmp_path / "deeper.py").write_text("SIZE, UNUSED = 2, 3")
    beside.append(open_model(str(file), areas=[]))
    assert [one.card.num_classes for one in beside] == [16, 16]
    assert len({one.fingerprint for one in (other, *beside)}) == 3  # whatever changes the code may change an activation

    network = model.network
    torch.save({key: value + 1 for key, value in network.state_dict().items()}, tmp_path / "w.pt")
    trained = open_model(str(file), weights=tmp_path / "w.pt", areas=[])
    torch.testing.assert_close(trained.network[0].bias, network[0].bias + 1)
    assert (trained.marks, re.fullmatch(r"my_net-[0-9a-f]{8}", trained.name) is not None) == ((), True)


GATED = """
import json, os
from pathlib import Path
import numpy as np
import torch
from torch import nn

class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        here = Path(__file__).parent
        self.by_file = json.loads((here / "gate.json").read_text())["k"] > 1  # itself the same for 2 and for 3
        self.by_place, self.array = float(os.environ["GATE"]), np.array([float(os.environ["GATE_ARRAY"])])
        self.register_buffer("kept_by_none", torch.tensor([float(os.environ["GATE_BUFFER"])]), persistent=False)
        self.choice = nn.ReLU() if os.environ["GATE_KIND"] == "relu" else nn.GELU()

    def forward(self, x):
        return self.choice(x * self.by_place).flatten(1)[:, :5]

load = Gate
preprocessing = {"resize_px": 64, "crop_px": 48}
"""


def test_whatever_a_network_is_made_of_makes_it_another(tmp_path, monkeypatch):
    path, names = tmp_path / "gated.py", ("GATE", "GATE_ARRAY", "GATE_BUFFER", "GATE_KIND")
    path.write_text(GATED)

    def fingerprint(k=2, **given):
        (tmp_path / "gate.json").write_text(f'{{"k": {k}}}')
        for name in names:
            monkeypatch.setenv(name, given.get(name, "1"))
        return open_model(str(path), areas=[]).fingerprint

    assert fingerprint() == fingerprint()
    others = [fingerprint(k=3), *(fingerprint(**{name: "2"}) for name in names[:3]), fingerprint(GATE_KIND="relu")]
    assert len({fingerprint(), *others}) == 1 + len(others)


def test_the_same_file_is_the_same_model_in_another_process(tmp_path, monkeypatch):
    (tmp_path / "gated.py").write_text(GATED + "import beside\n")
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "gate.json").write_text('{"k": 2}')
    for name in ("GATE", "GATE_ARRAY", "GATE_BUFFER", "GATE_KIND"):
        monkeypatch.setenv(name, "1")
    code = (
        "import sys; from brainscore_submission.models.opening import open_model;"
        "print(open_model(sys.argv[1], areas=[]).fingerprint)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "gated.py")]
    here = open_model(str(tmp_path / "gated.py"), areas=[]).fingerprint
    # It finds compiled what was compiled here.
    assert subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.strip() == here


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("x = 1/0", r"my_net\.py, line 1: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(2)", r"my_net\.py, line 1: SystemExit: 2\n.*under `if __name__"),
        ("def load(", r"my_net\.py, line \?: SyntaxError"),
        ("x = 1", r"holds no function load\(\)"),
        ("def load(): return 3\npreprocessing = 'crop224'", r"load\(\) returned a int, and must return"),
        (
            "def load():\n    raise OSError('no file best.pt')\npreprocessing = 'crop224'",
            r"line 2: OSError: no file best\.pt",
        ),
        ("def load(): ...", "states no preprocessing. Write: preprocessing ="),
        ("def load(): ...\npreprocessing = {'resize': 3}", r"preprocessing: unknown key 'resize'"),
        ("def load(): ...\npreprocessing = 'crop22'", r"unknown preprocessing 'crop22'\. Did you mean crop224"),
        (FILE.replace('"V1"', '"V3"'), r"unknown area 'V3' in layers"),
        (FILE.replace('"IT": "2"', '"IT": "9"'), r"unknown layer '9'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(file, written, message, monkeypatch):
    file.write_text(written)
    monkeypatch.chdir(file.parent)
    with pytest.raises(UserError, match=message) as refused:
        open_model(file.name, areas=["V1"])
    assert str(refused.value).count("\n") < 3


def test_the_weights_of_another_network_are_refused(file, tmp_path):
    torch.save({"0.weight": torch.zeros(4, 3, 5, 5)}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"does not fit the network of .*1 missing \(0\.bias\).*1 mis-shaped"):
        open_model(str(file), weights=tmp_path / "w.pt", areas=[])


def test_a_files_weights_are_its_own_affair_and_it_is_no_submission(file, tmp_path):
    with pytest.raises(UserError, match="Write `untrained = True`"):
        open_model(str(file), weights="untrained", areas=[])
    with pytest.raises(UserError, match="the site takes models that a card describes"):
        package(describe(str(file)), {}, "mine", tmp_path)


def test_a_card_of_ones_own_is_a_model(tmp_path, tiny_card):
    from brainscore_submission.plugin.card import card_toml

    (tmp_path / "mine.toml").write_text(card_toml(tiny_card))
    assert describe(str(tmp_path / "mine.toml")) == tiny_card
