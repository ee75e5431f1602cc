"""Every command that opens a model takes the same words for it; --no-ema reaches the network in each."""

import json
import sys

import numpy as np
import pytest
import torch
import typer

from brainscore_submission.cli import app, run
from brainscore_submission.cli.asking import LAYERS, MODEL
from brainscore_submission.labelled_images.images import read_labelled_images
from brainscore_submission.models.opening import open_model
from brainscore_submission.plugin.preprocessing import normalise

NETWORK = "timm:test_resnet"
DESCRIBES_ITS_OWN_WAY = ("train", "package", "weights")  # a recipe, and what a zip holds


def commands(command, path=()):
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


def test_every_command_that_opens_a_model_has_the_same_options():
    seen = []
    for path, command in commands(typer.main.get_command(app)):
        options = {option.name for option in command.params}
        if "model" in options and path[0] not in DESCRIBES_ITS_OWN_WAY:
            seen.append(" ".join(path))
            assert set(MODEL) <= options, path
    assert {"evaluate", "search", "predict", "attack", "attack tolerance", "probe occlusion", "probe lesion"} <= set(
        seen
    )


@pytest.fixture
def both(tmp_path, monkeypatch):
    """A checkpoint whose moving averages are another network than its weights, and images; the answers of both."""
    monkeypatch.chdir(tmp_path)
    weights, averages = (open_model(NETWORK, weights=f"untrained:{seed}", areas=()) for seed in (1, 2))
    held = {"state_dict": weights.network.state_dict(), "state_dict_ema": averages.network.state_dict()}
    torch.save(held, "both.pt")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 160, 160, 3), dtype=np.uint8)
    np.savez("val.npz", image=pixels, label=np.arange(4))
    (batch,) = read_labelled_images("val.npz", weights.card.preprocessing).batches(4)
    shown = normalise(batch.pixels, weights.card.preprocessing)
    with torch.no_grad():
        return [one.network(shown).argmax(1).tolist() for one in (averages, weights)]


@pytest.mark.parametrize(
    ("command", "column"), [(["attack", "--attack", "fgsm"], "answer"), (["probe", "grey"], "answer at 0")]
)
def test_moving_averages_are_a_choice(both, command, column, monkeypatch, capsys, tmp_path):
    for more, wanted in zip(([], ["--no-ema"]), both, strict=True):
        words = [*command, "--model", NETWORK, "--weights", "both.pt", "--images", "val.npz", "--json", *more]
        monkeypatch.setattr(sys, "argv", ["brainscore-submission", *words])
        with pytest.raises(SystemExit) as ended:
            run(app)
        record = json.loads(capsys.readouterr().out)["records"][0]
        assert not ended.value.code and record["weights"].get("ema", True) is not bool(more)
        (table,) = tmp_path.rglob(record["measured"]["settings"]["table"])
        header, *rows = (line.split(",") for line in table.read_text().splitlines())
        assert [int(row[header.index(column)]) for row in rows] == wanted
    assert both[0] != both[1]


def test_weights_without_the_averages(both, monkeypatch, tmp_path):
    for more, seed in (([], 2), (["--no-ema"], 1)):
        words = ["weights", "--model", NETWORK, "--weights", "both.pt", "-o", "w.pt", *more]
        monkeypatch.setattr(sys, "argv", ["brainscore-submission", *words])
        with pytest.raises(SystemExit):
            run(app)
        wanted = open_model(NETWORK, weights=f"untrained:{seed}", areas=()).network.state_dict()
        found = torch.load("w.pt", weights_only=True)["state_dict"]
        assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_layers_are_asked_of_commands_that_score():
    by_path = {path: command for path, command in commands(typer.main.get_command(app))}
    assert set(LAYERS) <= {option.name for option in by_path["predict",].params}
    assert not set(LAYERS) & {option.name for option in by_path["probe", "lesion"].params}
