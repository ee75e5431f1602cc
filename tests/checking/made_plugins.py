"""Made plugins, one for each way of writing one that Brain-Score's loader takes; all hold the same small network."""

import zipfile

MODEL = """
import functools
import torch
from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper, load_preprocess_images
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment
{more}

LAYERS = {{"V1": "0", "V2": "1", "V4": "2", "IT": "3"}}


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(*[torch.nn.Conv2d(3, 3, 3, stride=2) for _ in range(4)], torch.nn.Flatten())


def get_model(name):
    built = {build}
    preprocessing = functools.partial(load_preprocess_images, image_size=64)
    wrapper = PytorchWrapper(identifier=name, model=built.eval(), preprocessing=preprocessing)
    wrapper.image_size = 64
    return ModelCommitment(
        identifier=name, activations_model=wrapper, layers=list(LAYERS.values()), region_layer_map=LAYERS
    )
"""
INIT = """
from brainscore_vision import model_registry
from .model import get_model

model_registry['{name}'] = lambda: get_model('{name}')
"""
TEST = """
import brainscore_vision


def test_has_identifier():
    assert brainscore_vision.load_model('{name}').identifier == '{name}'
"""
SETUP = """
from setuptools import setup

requirements = ["torchvision", "timm>=0.9"]

setup(name="made_setup", version="1", install_requires=requirements + ["brainscore_vision"])
"""
OWN_FOLDER = (
    "import os, sys\nsys.path.insert(0, os.path.dirname(__file__))\nfrom neighbour_of_the_made_plugin import same"
)
VENDORED = """import os, sys
sys.path.append(os.path.join(os.path.dirname(__file__), 'third_party'))
from vendored_net import same
"""
ROUND_TRIP = """import io


def loaded(built):
    file = io.BytesIO()
    torch.save(built.state_dict(), file)
    file.seek(0)
    built.load_state_dict(torch.load(file))
    return built
"""


def plugin(name, more="", build="network()", init=INIT, **files):
    """Path in the plugin folder -> text."""
    made = {"__init__.py": init.format(name=name), "model.py": MODEL.format(more=more, build=build)}
    made["test.py"] = TEST.format(name=name)
    return made | {path.replace("__", "/").replace("_py", ".py"): text for path, text in files.items()}


# What is special: (identifier, the plugin's files).
MADE = {
    "plain": ("made_plain", plugin("made_plain")),
    "imports declared in setup.py": (
        "made_setup",
        plugin("made_setup", "import timm", setup_py=SETUP),
    ),
    "imports inside try/except": (
        "made_try",
        plugin("made_try", "try:\n    import absent_of_the_made_plugin\nexcept ImportError:\n    pass"),
    ),
    "own folder on sys.path": (
        "made_path",
        plugin("made_path", OWN_FOLDER, "same(network())")
        | {"neighbour_of_the_made_plugin.py": "def same(net):\n    return net\n"},
    ),
    "vendored files": (
        "made_vendored",
        plugin("made_vendored", VENDORED, "same(network())")
        | {
            "third_party/vendored_net/__init__.py": "from vendored_parts import same\n",
            "third_party/vendored_parts.py": "def same(net):\n    return net\n",
        },
    ),
    "torch.load without map_location": ("made_load", plugin("made_load", ROUND_TRIP, "loaded(network())")),
    "identifier in double quotes": ("made_quotes", plugin("made_quotes", init=INIT.replace("'{name}']", '"{name}"]'))),
    "a layer map passed in code": (
        "made_map",
        plugin("made_map") | {"region_layer_map/of_another_name.json": '{"V1": "0"}'},
    ),
}
HYPHEN = ("made-hyphen", plugin("made-hyphen", init=INIT.replace("'{name}']", '"{name}"]')))
FORMAT_2022 = {
    "sample-model-submission/": "",
    "sample-model-submission/setup.py": "from setuptools import setup\nsetup(name='mine', packages=['models'])\n",
    "sample-model-submission/models/": "",
    "sample-model-submission/models/__init__.py": "",
    "sample-model-submission/models/base_models.py": "def get_model_list():\n    return ['mine']\n",
    "sample-model-submission/models/weights.pth": "x",
}


def zipped(path, folder, files):
    """A submission of one plugin, with folders as entries of their own."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in ("root/", "root/models/", f"root/models/{folder}/"):
            archive.mkdir(entry)
        for name, text in files.items():
            archive.writestr(f"root/models/{folder}/{name}", text.lstrip())
    return path
