"""A command with nothing left to do loads no network and no Brain-Score, and never answers with what is stale."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from brainscore_submission.asked import Asked
from brainscore_submission.cli import EVALUATE_HELP, remembered
from brainscore_submission.cli import evaluate as evaluate_command
from brainscore_submission.cli.many import answered, score_one
from brainscore_submission.models.opening import describe
from brainscore_submission.plugin.card import Source, card_toml
from brainscore_submission.plugin.checkpoint import build_network
from brainscore_submission.plugin.fetching import weights_path
from brainscore_submission.scoring.kept import ScoreOptions
from brainscore_submission.scoring.records import read_folder
from brainscore_submission.scoring.suite_files import read_kept_suite
from brainscore_submission.scoring.suites import find_suite

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "timm", "torchvision", "brainscore_vision", "brainscore_core")
LAYERS = "V4=layer3,IT=layer4"
DEMO = ("--suite", "demo", "--areas", "V4", "--layers", LAYERS)
ENTRIES = {
    "evaluate.py": "import runpy; runpy.run_path({script!r}, run_name='__main__')",
    "brainscore-submission": "sys.argv.insert(1, 'evaluate'); from brainscore_submission.cli import main; main()",
}


@pytest.fixture(scope="module")
def drawn(demo_cache):
    """A cache in which the demo suite's pictures are drawn, and what its neurons answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
        for build in find_suite("demo").loaders.values():
            build()
    return demo_cache


@pytest.fixture
def here(drawn, tmp_path, monkeypatch):
    """An empty folder with a cache of its own, in which there is nothing to draw."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in drawn.glob("*demo-stimuli-*"):
        (cache / path.name).symlink_to(path)
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def typed(here, in_this_process):
    """`typed(*words)`: evaluate.py in this process; exit code, standard output and error."""

    return partial(in_this_process, evaluate_command, program="evaluate.py", help_text=EVALUATE_HELP)


def in_a_process(entry, *words):
    """Exit code and standard output of a new process, and the heavy packages that it had loaded when it ended."""
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: open('loaded', 'w').write(repr([m for m in {HEAVY} if m in sys.modules])))\n"
        f"sys.argv = ['evaluate.py', *{list(map(str, words))}]\n"
        f"{ENTRIES[entry].format(script=str(ROOT / 'evaluate.py'))}"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout, Path("loaded").read_text(), done.stderr


def checkpoint(path, seed=5):
    tensors = build_network(describe("timm:test_resnet"), seed=seed).state_dict()
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    return path


def as_fetched():
    """The weights of timm:test_resnet, where a download from timm's hub would leave them."""
    path = weights_path(describe("timm:test_resnet"))
    path.parent.mkdir(parents=True)
    return checkpoint(path)


def lab(folder, seed=0):
    """A folder of recordings from V4: 30 images, 4 neuroids, 3 repetitions."""
    (folder / "stimuli").mkdir(parents=True)
    random = np.random.default_rng(seed)
    for index in range(30):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"stimuli/s{index:02}.png")
    np.save(folder / "responses.npy", random.normal(size=(4, 30, 1)) + 0.3 * random.normal(size=(4, 30, 3)))
    (folder / "recordings.toml").write_text('area = "V4"\nvisual_degrees = 8\ntime_window_ms = [70, 170]\n')
    return folder


def own_card(folder, **changes):
    """my.toml, a card of timm's test_resnet with weights in a file beside it, and the map my.json."""
    card = describe("timm:test_resnet")
    sha256 = remembered.file_sha256(checkpoint(folder / "my.pt"))
    source = Source("file", path="my.pt")
    weights = replace(card.weights, file="my.pt", layout="bare", sha256=sha256, sources=(source,))
    (folder / "my.toml").write_text(card_toml(replace(card, identifier="my", weights=weights, **changes)))
    layers = {"V1": "layer1", "V2": "layer1", "V4": "layer3", "IT": "layer4"}
    (folder / "my.json").write_text(json.dumps(layers))
    return folder / "my.toml"


# --- what is loaded ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", ["checkpoint", "timm", "card", "own card", "list", "recordings"])
def test_a_rerun_with_nothing_to_do_loads_neither_network_nor_brainscore(typed, here, kind, entry):
    words = {
        "checkpoint": ["--model", "timm:test_resnet", "--weights", checkpoint(here / "best.pth"), *DEMO],
        "timm": ["--model", "timm:test_resnet", *DEMO],
        "card": ["--model", "demo:ground_truth", "--suite", "demo"],
        "own card": ["--model", own_card(here), "--suite", "demo", "--areas", "V4"],
        "list": ["--models", "models.toml", *DEMO],
        "recordings": ["--model", "timm:test_resnet", "--recordings", lab(here / "lab"), "--layers", LAYERS],
    }[kind]
    as_fetched()
    (here / "models.toml").write_text(
        '[[models]]\nmodel = "timm:test_resnet"\nweights = "untrained:1"\n'
        '[[models]]\nmodel = "timm:test_resnet"\nname = "tuned"\nweights = "best.pth"\n'
    )
    checkpoint(here / "best.pth")
    code, first, err = typed(*words)
    assert code == 0, err
    for more in ([], ["--rerun", "never"]):
        code, again, loaded, err = in_a_process(entry, *words, *more)
        assert (code, loaded) == (0, "[]"), err
        assert again == first
    as_json = json.loads(in_a_process(entry, *words, "--json")[1])
    (here / "cache" / remembered.FOLDER).rename(here / "gone")
    assert as_json == json.loads(typed(*words, "--json")[1])  # as the long way says it


@pytest.mark.slow
def test_a_card_that_ships_is_answered_at_once(typed, here):
    words = ["--model", "991", "--weights", "untrained", "--suite", "demo", "--areas", "V4"]
    code, first, _ = typed(*words)
    assert code == 0
    assert in_a_process("evaluate.py", *words)[:3] == (0, first, "[]")


def test_a_plan_of_nothing_is_made_at_once(typed, here):
    words = ["--model", "demo:ground_truth", "--suite", "demo"]
    typed(*words)
    code, out, loaded, _ = in_a_process("evaluate.py", *words, "--dry-run")
    assert (code, loaded) == (0, "[]") and "demo_ground_truth: all 5 scores are there" in out


# --- what is stale ----------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(here):
    """`scored(**fields)`: a model that was just scored; what it was asked with, and `is_there(**changes)`."""
    options = ScoreOptions(results=here / "results")

    def score(**fields):
        asked = Asked(**fields)
        score_one(asked, asked.open_suite(), options)

        def is_there(how=options, **changes):
            return answered(replace(asked, **changes), how) is not None

        assert is_there()
        return is_there

    score.options = options
    return score


TIMM = {"model": "timm:test_resnet", "layers": LAYERS, "suite": "demo", "areas": "V4"}


def test_other_words_find_nothing(scored, here):
    is_there = scored(**TIMM, weights="untrained")
    for changes in (
        {"weights": "untrained:3"},
        {"layers": "V4=layer2"},
        {"areas": "IT"},
        {"preprocessing": "squash224"},
        {"precision": "bfloat16"},
        {"name": "other"},
        {"model": "timm:test_vit"},
        {"device": "cuda:7"},
        {"layers": "search"},
    ):
        assert not is_there(**changes), changes
    for field, other in {"engine": "surrogate", "rerun": "all", "results": here / "elsewhere"}.items():
        assert not is_there(replace(scored.options, **{field: other})), field
    assert is_there(memory="4GB", command="what was typed")


def test_another_file_of_weights_under_the_same_name_is_stale(scored, here):
    is_there = scored(**TIMM, weights=str(checkpoint(here / "best.pth")), name="mine")
    content = (here / "best.pth").read_bytes()
    checkpoint(here / "best.pth", seed=6)
    assert not is_there()
    (here / "best.pth").unlink()
    assert not is_there()
    (here / "best.pth").write_bytes(content)
    assert is_there()


def test_weights_without_a_stated_hash_are_looked_at(scored, here):
    fetched = as_fetched()
    is_there = scored(**TIMM)
    checkpoint(fetched, seed=6)
    assert not is_there()
    fetched.unlink()
    assert not is_there()


@pytest.mark.parametrize("changed", ["my.toml", "my.json", "my.pt"])
def test_a_card_its_map_or_its_weights_changed(scored, here, changed):
    is_there = scored(model=str(own_card(here)), suite="demo", areas="V4")
    if changed == "my.pt":
        shutil.rmtree(here / "cache" / "weights", ignore_errors=True)
        checkpoint(here / "my.pt", seed=6)
    else:
        text = (here / changed).read_text()
        (here / changed).write_text(text.replace("layer3", "layer2").replace("resize_px = ", "resize_px = 1"))
    assert not is_there()


def test_a_layer_map_of_the_current_folder_comes_before_the_old_one(scored, here):
    (here / "map.json").write_text(json.dumps(dict.fromkeys(("V1", "V2", "V4", "IT"), "layer3")))
    is_there = scored(model="timm:test_resnet", weights="untrained", suite="demo", areas="V4", layer_map="map.json")
    (here / "layer_maps").mkdir()
    (here / "layer_maps" / "timm_test_resnet_r160_in1k.json").write_text("{}")
    assert not is_there()
    shutil.rmtree(here / "layer_maps")
    assert is_there()
    (here / "map.json").write_text(json.dumps(dict.fromkeys(("V1", "V2", "V4", "IT"), "layer2")))
    assert not is_there()


def test_a_suite_of_ones_own_changed(scored, here):
    (here / "own.toml").write_text('name = "own"\n[areas]\nV4 = ["demo.V4-pls"]\n')
    is_there = scored(**TIMM | {"suite": "own.toml"}, weights="untrained")
    (here / "own.toml").write_text('name = "own"\n[areas]\nV4 = ["demo.V4-pls"]\nIT = ["demo.IT-pls"]\n')
    assert not is_there()


def test_how_a_suite_of_ones_own_averages_lies_beside_its_records(scored, here):
    whole = 'name = "own"\n[areas]\nV4 = ["demo.V4-pls"]\nIT = ["demo.IT-pls"]\n'
    for text in (whole, f'caveat = "another"\n{whole}', whole):  # the third time nothing is opened
        (here / "own.toml").write_text(text)
        scored(**TIMM | {"suite": "own.toml"}, weights="untrained")
        (kept,) = here.rglob("suite.json")
        assert read_kept_suite(kept).file == find_suite("own.toml").file, "whole, whatever --areas says"
    records, unread = read_folder(here / "results")
    assert list(records["benchmark"]) == ["demo.V4-pls"] and unread == []


@pytest.mark.parametrize(
    "changed", ["stimuli/s03.png", "responses.npy", "recordings.toml", "outside.npy", "behind a link"]
)
def test_recordings_changed(scored, here, changed):
    folder = lab(here / "lab")
    if changed == "outside.npy":
        (folder / "responses.npy").rename(here / "outside.npy")
        with (folder / "recordings.toml").open("a") as file:
            file.write('responses = "../outside.npy"\n')
    if changed == "behind a link":
        (folder / "stimuli").rename(here / "pictures")
        (folder / "stimuli").symlink_to(here / "pictures")
    fields = {"recordings": str(folder), "suite": None, "areas": None}
    is_there = scored(**TIMM | fields, weights="untrained")
    other = lab(here / "other", seed=1)
    if changed == "recordings.toml":
        text = (folder / changed).read_text()
        (folder / changed).write_text(text.replace("= 8", "= 6"))
    else:
        names = {"outside.npy": "responses.npy", "behind a link": "stimuli/s03.png"}
        changes = {"outside.npy": here / "outside.npy", "behind a link": here / "pictures" / "s03.png"}
        shutil.copy(other / names.get(changed, changed), changes.get(changed, folder / changed))
    assert not is_there()


@pytest.mark.parametrize("package", ["torch", "timm", "numpy", "brainscore_vision", "brainscore_submission"])
def test_another_version_of_a_package(scored, monkeypatch, package):
    is_there = scored(**TIMM, weights="untrained")
    installed = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.1" if name == package else installed(name))
    assert not is_there()


def test_our_own_files_changed(scored, here, monkeypatch):
    ours = here / "package" / "brainscore_submission"
    ours.mkdir(parents=True)
    (ours / "card.toml").write_text("one")
    monkeypatch.setattr(remembered, "_PACKAGE", ours)
    is_there = scored(**TIMM, weights="untrained")
    (ours / "card.toml").write_text("two")
    assert not is_there()


def test_a_python_file_is_run_each_time(here):
    (here / "net.py").write_text(
        "import torch\n"
        "def load():\n    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 8, 8), torch.nn.Flatten())\n"
        'preprocessing, layers, untrained = {"resize_px": 32, "crop_px": 32}, {"V4": "0"}, True\n'
    )
    asked, options = Asked("net.py", suite="demo", areas="V4"), ScoreOptions(results=here / "results")
    assert score_one(asked, asked.open_suite(), options).records[0].status == "scored"
    assert answered(asked, options) is None and not list((here / "cache").glob(f"{remembered.FOLDER}/*"))


def test_records_that_are_gone_damaged_or_of_another_model(scored, here):
    is_there = scored(**TIMM, weights="untrained", name="mine")
    (record,) = (here / "results").rglob("*.json")
    intact = record.read_bytes()
    for content in (None, intact[:-20], intact.replace(b'"scored"', b'"failed"')):
        record.unlink() if content is None else record.write_bytes(content)
        assert not is_there()
    record.write_bytes(intact)
    assert is_there()
    other = Asked(**TIMM, weights="untrained:8", name="mine")
    score_one(other, other.open_suite(), scored.options)
    assert not is_there()


def test_what_is_stale_is_shown_where_nothing_may_run_and_said_to_be(typed, here, caplog):
    words = ["--model", "timm:test_resnet", "--name", "mine", *DEMO]
    assert typed(*words, "--weights", "untrained")[0] == 0
    assert typed(*words, "--weights", "untrained:8")[0] == 0
    caplog.clear()
    code, out, _ = typed(*words, "--weights", "untrained", "--rerun", "never")
    assert code == 0 and "demo.V4-pls" in out
    assert "shown as recorded" in caplog.text


def test_a_note_that_cannot_be_read_or_written_is_no_note(scored, here, monkeypatch):
    is_there = scored(**TIMM, weights="untrained")
    (note,) = (here / "cache" / remembered.FOLDER).iterdir()
    noted = note.read_bytes()
    for text in (b"{", b"{}", b"[]", b"null", noted.replace(b"timm_test", b"timm_text"), b""):
        note.write_bytes(text)
        assert not is_there()
    note.write_bytes(noted)
    assert is_there()
    shutil.rmtree(note.parent)
    note.parent.write_text("in the way")
    asked = Asked(**TIMM, weights="untrained")
    assert score_one(asked, asked.open_suite(), scored.options).records
