"""`train` as a user types it: what training does for robustness, the alarm, what is refused; and from run to zip."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from training.commands import ran

from brainscore_submission.checking import check
from brainscore_submission.plugin.card import load_card
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.files import file_sha256
from brainscore_submission.training.images import open_images
from brainscore_submission.training.recipes import RECIPES, read_recipe
from brainscore_submission.training.state import read_log

HARD = (('"linf:4/255"', '"linf:0.15"'), ("epochs = 3", "epochs = 7"))


def lines_of(err):
    return [line for line in err.splitlines() if line.startswith("error: ")]


@pytest.mark.slow
def test_adversarial_training_makes_robust(tmp_path, all_digits, network, recipe, typed):
    """PGD-10 with two restarts within linf .15, on digits that were held out."""
    robust, plain = recipe(*HARD, name="robust.toml"), recipe(*HARD, ('kind = "fgsm"', 'kind = "clean"'))
    found = {}
    for name, asked in (("robust", robust), ("plain", plain)):
        code, out, err = typed(
            "train", "--recipe", asked, "--data", all_digits, "--model", network, "--run", tmp_path / name, "--json"
        )  # fmt: skip
        assert code == 0, err
        found[name] = json.loads(out)["validation"][-1]
    assert found["plain"]["top1"] > 0.8 and found["robust"]["top1"] > 0.8
    assert found["robust"]["robust_top1"] > found["plain"]["robust_top1"] + 0.3, found


@pytest.mark.slow
def test_catastrophic_overfitting_stops_the_run(tmp_path, all_digits, without_batchnorm, recipe, typed):
    """Steps as long as a large radius, from the image itself: as the radius grows, PGD's accuracy rises, then falls."""
    asked = recipe(
        ("epochs = 3", "epochs = 30"),
        ('"linf:4/255"', '"linf:0.3"\nstart = "image"\nstep = 1.0\nwarmup = "linear"\nwarmup_epochs = 8'),
        ("warmup_epochs = 0.3", "warmup_epochs = 0"), ("end = 1e-4", "end = 3e-3"),
        ("images = 200", "images = 150\nrestarts = 1"),
    )  # fmt: skip
    asked = ["train", "--recipe", asked, "--data", all_digits, "--model", without_batchnorm, "--run", tmp_path / "run"]
    code, _, err = typed(*asked)
    (fault,) = lines_of(err)
    assert code == 1 and fault.startswith("error: catastrophic overfitting after epoch")
    history = [row for row in read_log(tmp_path / "run") if row["kind"] == "validation"]
    best, last = max(history, key=lambda row: row["robust_top1"]), history[-1]
    assert last["robust_top1"] < best["robust_top1"] - 0.1 and last["fgsm_top1"] >= best["fgsm_top1"]
    assert len(history) < 30
    code, _, err = typed(*asked)  # a run that was stopped stays stopped
    assert code == 1 and lines_of(err) == [fault]
    code, out, _ = typed("train", "export", tmp_path / "run", "--name", "before", "--json")
    assert code == 0 and f"epoch {best['epoch']}" in load_card(json.loads(out)["card"]).training


@pytest.mark.slow
def test_from_a_recipe_to_a_checked_zip(tmp_path, digits, network, recipe, typed, demo_cache, monkeypatch):
    """Train, export, evaluate on the demo suite, package, check: the new network is a model like any other."""
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    run = tmp_path / "run"
    code, out, err = typed(
        "train", "--recipe", recipe(("epochs = 3", "epochs = 2")), "--data", digits, "--model", network, "--run", run
    )  # fmt: skip
    assert code == 0 and "train export" in out, err
    code, out, err = typed("train", "export", run, "--epoch", "1", "--name", "my_digits")
    assert code == 0 and out.strip() == str(run / "export" / "my_digits.toml"), err
    card = load_card(out.strip())
    weights = run / "export" / "my_digits.safetensors"
    assert card.weights.sha256 == file_sha256(weights) and card.weights.sources[0].path == str(weights)
    for told in ("recipe tiny", "fgsm, linf:4/255", "epoch 1", "seed 0", "540 images", "timm "):
        assert told in card.training
    text = Path(out.strip()).read_text()
    assert '# recipe.adversary.threat = "linf:4/255"' in text and str(tmp_path) not in text

    code, out, err = typed("evaluate", "--model", run / "export" / "my_digits.toml", "--suite", "demo", "--json",
                           "--results", tmp_path / "results")  # fmt: skip
    assert code == 0, err
    scored = json.loads(out)
    assert "UNTRAINED" not in json.dumps(scored) and "my_digits" in json.dumps(scored)

    asked = ["package", "--model", run / "export" / "my_digits.toml", "--name", "my_digits", "-o", tmp_path / "my.zip"]
    code, _, err = typed(*asked)
    assert code == 1 and "no place the server can fetch its weights from" in err  # the tensors have no address yet
    monkeypatch.chdir(tmp_path)
    location = "s3:brainscore-storage/brainscore-vision/models/user_1/my_digits.safetensors@abc.123"
    code, _, err = typed(*[*asked[:-1], tmp_path / "my_digits.zip"], "--weights-location", location)
    assert code == 0, err
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", str(weights.parent))  # where the site's bucket would be
    verdict = check(tmp_path / "my_digits.zip", timeout=600)
    assert verdict.passed, (verdict.failures, verdict.unchecked)
    assert {"loads", "area-V1", "area-IT", "behavior"} <= {finding.rule for finding in verdict.of("ok")}


def test_the_exported_network_answers_as_the_trained_one(tmp_path, digits, network, recipe, typed):
    from brainscore_submission.models.opening import open_model
    from brainscore_submission.training.state import load_state

    run = tmp_path / "run"
    typed("train", "--recipe", recipe(("epochs = 3", "epochs = 1")), "--data", digits, "--model", network, "--run", run)
    typed("train", "export", run, "--name", "mine")
    opened = open_model(str(run / "export" / "mine.toml"))
    assert opened.layers == {"V1": "layer1", "V2": "layer2", "V4": "layer3", "IT": "layer4", "behavior": "layer4"}
    trained = load_state(run, "cpu")["network"]
    assert all(torch.equal(tensor, trained[name]) for name, tensor in opened.network.state_dict().items())
    with (run / "export" / "mine.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(UserError, match="wrong file: sha256"):
        open_model(str(run / "export" / "mine.toml"))


def test_a_run_stops_at_a_broken_image_and_goes_on_once_it_is_mended(tmp_path, digits, network, recipe, typed):
    data = shutil.copytree(digits, tmp_path / "data")
    open_at = open_images(data, None, read_recipe("tiny"), load_card(network).preprocessing, 10)[0]
    broken = data / open_at.source.identities[open_at.order(0)[-1]]  # the last one of the first epoch
    whole = broken.read_bytes()
    Image.open(broken).save(tmp_path / "image.jpg")
    broken.write_bytes((tmp_path / "image.jpg").read_bytes()[:-120])  # a JPEG cut short
    asked = ["train", "--recipe", recipe(("epochs = 3", "epochs = 1")), "--data", data, "--model", network]
    code, _, err = typed(*asked, "--run", tmp_path / "run")
    assert code == 1 and len(lines_of(err)) == 1 and broken.name in err and "the same command goes on" in err
    step = json.loads((tmp_path / "run" / "state.json").read_text())["step"]
    assert step > 0  # up to what was decoded ahead, nothing is lost
    broken.write_bytes(whole)
    assert typed(*asked, "--run", tmp_path / "run")[0] == 0
    assert typed(*asked, "--run", tmp_path / "other")[0] == 0
    one, other = ((tmp_path / run / "epochs" / "epoch_0.safetensors").read_bytes() for run in ("run", "other"))
    assert one == other


def test_a_run_of_another_card_is_refused_and_other_images_are_named(tmp_path, digits, network, recipe, typed, caplog):
    data, card = shutil.copytree(digits, tmp_path / "digits"), shutil.copy(network, tmp_path)
    shutil.copy(network.with_suffix(".json"), tmp_path)
    words = ["train", "--recipe", recipe(("epochs = 3", "epochs = 1")), "--data", data, "--model", card]
    words += ["--run", tmp_path / "run"]
    assert typed(*words)[0] == 0
    for path in data.glob("7/*.png"):
        Image.new("RGB", (16, 16)).save(path)
    code, _, err = typed(*words)
    assert code == 0 and "other images than when the run began: 7/" in err + caplog.text
    text = Path(card).read_text()
    Path(card).write_text(text.replace("resize_px = 16", "resize_px = 32"))
    code, _, err = typed(*words)
    assert code == 1 and "network.preprocessing.resize_px was 16, now it is 32" in err


def test_a_run_of_another_recipe_is_refused_and_untouched(tmp_path, digits, network, recipe, typed):
    run, short = tmp_path / "run", (("epochs = 3", "epochs = 1"),)
    asked = ["--data", digits, "--model", network, "--run", run]
    assert typed("train", "--recipe", recipe(*short), *asked)[0] == 0
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    code, _, err = typed("train", "--recipe", recipe(*short, ("peak = 3e-3", "peak = 1e-3")), *asked)
    assert code == 1 and "recipe.learning_rate.peak was 0.003, now it is 0.001" in err and len(lines_of(err)) == 1
    code, _, err = typed("train", "--recipe", recipe(*short), *asked, "--precision", "float64")
    assert code == 1 and 'precision was "float32", now it is "float64"' in err
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--recipe and --data and --run missing"),
        (["--recipe", "tinny", "--data", "d", "--run", "r"], "Did you mean tiny?"),
        (["--recipe", "tiny", "--data", "nowhere", "--run", "r"], "there is no nowhere"),
        (["--recipe", "tiny", "--data", "d", "--run", "r", "--precision", "float16"], "unknown precision 'float16'"),
        (["--recipe", "tiny", "--data", "d", "--run", "r", "--device", "cuda:7"], "unknown device"),
        (["--recipe", "tiny", "--data", "d", "--run", "r", "--model", "timm:resnet999"], "timm knows no model"),
        (["export", "nowhere", "--name", "x"], "holds no run"),
        (["export", "nowhere", "--name", "../../out here"], "--name '../../out here' is refused; it must be letters"),
        (["export", "nowhere", "--name", "a b"], "--name 'a b' is refused"),
        (["export", "nowhere", "--name", "x" * 151], "at most 150"),
    ],
)
def test_what_cannot_be_done_is_one_line(typed, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    code, out, err = typed("train", *words)
    assert code == 1 and says in err and len(lines_of(err)) == 1 and not out and not list(tmp_path.iterdir())


def test_too_few_images_are_named(tmp_path, digits, network, typed):
    few = tmp_path / "few" / "3"
    few.mkdir(parents=True)
    for path in sorted((digits / "3").iterdir())[:20]:
        shutil.copy(path, few)
    code, _, err = typed("train", "--recipe", "tiny", "--data", few.parent, "--model", network, "--run", tmp_path / "r")
    assert code == 1 and "leaves 18 images to train on, fewer than a batch of 50" in err


def test_the_costs_of_a_dry_run(tmp_path, digits, network, typed):
    asked = ["train", "--recipe", "tiny", "--data", digits, "--model", network, "--run", tmp_path / "run", "--dry-run"]
    code, out, err = typed(*asked, "--json")
    facts = json.loads(out)
    assert code == 0 and facts["steps"] == 30 and 1.5 < facts["clean_steps"] < 1.8, err
    assert facts["flops"] == facts["flops_per_image"]["step"] * 50 * 30
    assert facts["timed_steps"] > 0 and facts["days"] == pytest.approx(facts["step_seconds"] * 30 / 86400)
    assert not (tmp_path / "run").exists()
    code, out, _ = typed(*asked)
    assert code == 0 and "30 steps of 50 images" in out and "waiting for data" in out


def test_recipes_are_listed(typed):
    code, out, _ = typed("train", "--list-recipes")
    assert code == 0 and all(path.stem in out for path in RECIPES.glob("*.toml"))
    assert len(json.loads(typed("train", "--list-recipes", "--json")[1])["recipes"]) == len(
        list(RECIPES.glob("*.toml"))
    )


def test_help_has_examples_and_lists_export(typed):
    code, out, _ = typed("train", "--help")
    assert code == 0 and "torchrun --nproc_per_node 8 -m brainscore_submission -- train" in out and "export" in out


@pytest.mark.slow
def test_a_full_disk_in_the_middle_of_a_run_loses_nothing(tmp_path, digits, network, recipe):
    """A limit on the size of a file, as a shell sets it: states do not fit, what was there stays."""
    import resource

    asked = ["--recipe", recipe(("epochs = 3", "epochs = 1")), "--data", digits, "--model", network]
    whole = tmp_path / "whole"
    assert ran(*asked, "--run", whole).returncode == 0
    run = tmp_path / "run"
    full = ran(*asked, "--run", run, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
    assert full.returncode == 1 and "error: cannot write to" in full.stderr and "Traceback" not in full.stderr
    assert not list(run.glob("state-*.pt"))
    assert ran(*asked, "--run", run).returncode == 0
    assert (run / "epochs" / "epoch_0.safetensors").read_bytes() == (
        whole / "epochs" / "epoch_0.safetensors"
    ).read_bytes()
