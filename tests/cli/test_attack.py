"""`attack` and its commands as a user types them, on a small untrained network and images it gets right."""

import csv
import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from brainscore_submission.cli import app
from brainscore_submission.labelled_images.images import read_labelled_images
from brainscore_submission.models.opening import open_model
from brainscore_submission.robustness.recording import fingerprint_of
from brainscore_submission.robustness.summary import read_summary

NETWORK = "timm:test_resnet"
MODEL = ["--model", NETWORK, "--weights", "untrained"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six images; the network is right about the first four."""
    folder = tmp_path_factory.mktemp("attack")
    opened = open_model(NETWORK, weights="untrained", areas=(), device="cpu")
    (folder / "images").mkdir()
    images, rows = [], []
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((168, 168), Image.Resampling.NEAREST)
        image.save(folder / "images" / f"{number}.png")
        with torch.no_grad():
            logits = opened.network(opened.load_image(folder / "images" / f"{number}.png")[None])
        label = int(logits.argmax()) if number < 4 else int(logits.argmin())
        rows.append((f"{number}.png", label))
        images.append(np.asarray(image))
    with (folder / "images" / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "class_index"), *rows])
    maps = np.random.default_rng(9).random((6, 168, 168)).astype(np.float32)
    np.savez(folder / "maps.npz", image=np.stack(images), label=np.array([label for _, label in rows]), heatmap=maps)
    judge = f'[[models]]\nmodel = "{NETWORK}"\nweights = "untrained"\nname = "small"\n'
    (folder / "judges.toml").write_text(judge)
    (folder / "list.toml").write_text(f"{judge}epoch = 3\n")
    return folder


@pytest.fixture
def typed(folder, monkeypatch, in_this_process):
    """Run `brainscore-submission attack …` in this process: exit code, standard output, standard error."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")

    return partial(in_this_process, app, "attack")


def test_robust_accuracy_as_a_table_and_as_json(typed, folder):
    asked = [*MODEL, "--images", "images", "--threat", "linf:4/255", "--attack", "fgsm", "--attack", "pgd:3x1"]
    code, out, err = typed(*asked, "--results", "r1")
    assert code == 0
    for text in ("UNTRAINED", "clean_accuracy", "0.667", "robust_accuracy linf:4/255 fgsm+pgd:3x1", "r1/"):
        assert text in out
    assert "at most 4 passes forward and 3 back an image" in err and "at most about" in err
    code, out, _ = typed(*asked, "--results", "r1", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["marks"] == ["UNTRAINED"] and facts["images"] == "images"
    metrics = [record["measured"]["metric"] for record in facts["records"]]
    assert metrics == ["clean_accuracy", "robust_accuracy", "robust_accuracy", "robust_accuracy"]
    values = [record["measured"]["value"] for record in facts["records"]]
    assert values[0] == 4 / 6 and values[3] <= min(values[1:3])
    assert all(record["command"].startswith("brainscore-submission attack --model") for record in facts["records"])


def test_a_dry_run_states_the_cost_and_attacks_nothing(typed, folder):
    code, out, _ = typed(*MODEL, "--images", "images", "--attack", "union", "--dry-run", "--json", "--results", "dry")
    plan = json.loads(out)["dry_run"]
    assert code == 0 and plan["images"] == 6 and plan["passes"]["union"] == {"forward": 1268, "backward": 1251}
    assert plan["seconds"] > 0 and not (folder / "dry").exists()


def test_tolerance_with_maps(typed):
    code, out, _ = typed("tolerance", *MODEL, "--maps", "maps.npz", "--steps", "60", "--results", "r2", "--json")
    records = {record["measured"]["metric"]: record["measured"] for record in json.loads(out)["records"]}
    assert code == 0 and set(records) == {"clean_accuracy", "l2_tolerance", "alignment"}
    assert 0 < records["l2_tolerance"]["value"] <= 10 and records["l2_tolerance"]["n"] == 4
    assert abs(records["alignment"]["value"]) < 0.1  # with noise
    code, out, _ = typed("tolerance", *MODEL, "--maps", "maps.npz", "--steps", "60", "--results", "r2")
    assert code == 0 and "l2_tolerance minimal:60" in out and "of the human ceiling" in out


def test_effectiveness_writes_the_published_columns(typed, folder):
    asked = ["effectiveness", "--models", "list.toml", "--images", "images", "--steps", "1,4", "--seeds", "0,1"]
    code, out, err = typed(*asked)
    assert code == 0 and "gap to the strongest attack's loss" in out and "2 x pgd:4" in err
    rows = read_summary(folder / "summary.csv")
    assert [(row["model"], row["epoch"], row["attack_steps"]) for row in rows] == [
        ("small [UNTRAINED]", "3", "1"),
        ("small [UNTRAINED]", "3", "4"),
    ] * 2
    assert not list(folder.glob(".summary.csv*"))


def test_convergence_rises(typed):
    code, out, _ = typed("convergence", *MODEL, "--images", "images", "--seeds", "2", "--steps", "5", "--json")
    facts = json.loads(out)
    assert code == 0 and [row["step"] for row in facts["losses"]] == [0, 1, 2, 5] and facts["images"] == 4
    assert facts["losses"][-1]["loss"] > facts["losses"][0]["loss"]


@pytest.mark.parametrize(
    "asked",
    [
        ["convergence", *MODEL, "--images", "images", "--seeds", "2", "--steps", "2"],
        ["effectiveness", "--models", "list.toml", "--images", "images", "--steps", "1,2", "--seeds", "0,1"],
    ],
)
def test_a_killed_study_keeps_its_batches_whatever_ends_beside_it(typed, folder, tmp_path, monkeypatch, asked):
    asked = [*asked, "-o", tmp_path / "table.csv"]
    with monkeypatch.context() as killed:
        killed.setattr("brainscore_submission.cli.attack_studies.write_whole", stop)
        assert typed(*asked)[0] == 130
    kept = set(tmp_path.rglob("*.npz"))
    code, _, err = typed(*asked, "--threat", "linf:2/255")
    assert code == 0 and "6 of 6" in err and "is there already" not in err
    assert kept == set(tmp_path.rglob("*.npz")) and len(kept) > 1
    other = (tmp_path / "table.csv").read_text()
    code, _, err = typed(*asked)
    assert code == 0 and "table.csv is there already and will be replaced (--output" in err
    assert "6 of 6" not in err and [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert all("[UNTRAINED]" in row["model"] for row in rows) and (tmp_path / "table.csv").read_text() != other


def stop(*_):
    raise KeyboardInterrupt


def test_batches_of_other_versions_are_not_taken(folder, monkeypatch):
    model = open_model(NETWORK, weights="untrained", areas=(), device="cpu")
    images = read_labelled_images(folder / "images", model.card.preprocessing, 1000)
    before = fingerprint_of(model, images, {})
    monkeypatch.setattr("brainscore_submission.robustness.recording.versions", lambda: {"torch": "0.1"})
    assert fingerprint_of(model, images, {}) != before


def test_semantics_names_its_judges(typed):
    code, out, _ = typed("semantics", *MODEL, "--images", "images", "--judge-list", "judges.toml", "--results", "r3")
    assert code == 0 and "perturbation_top1 linf:4/255 pgd:100x1 small" in " ".join(out.split())
    assert out.count("UNTRAINED") == 2  # the network and its judge


def test_maps_are_checked(typed):
    code, out, _ = typed("maps", "maps.npz")
    assert code == 0 and "maps.npz: 6 images of 168 x 168 px" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([*MODEL, "--images", "images", "--threat", "linf:4"], "Did you mean 4/255?"),
        ([*MODEL, "--images", "images", "--threat", "linf"], "write norm:radius, for example linf:4/255"),
        ([*MODEL, "--images", "images", "--attack", "pdg"], "unknown attack 'pdg'. Did you mean pgd?"),
        ([*MODEL, "--images", "images", "--attack", "minimal"], "give an l2 threat, not linf:4/255"),
        ([*MODEL, "--images", "image"], "there is no image. Give a folder"),
        ([*MODEL, "--images", "list.toml"], "list.toml is no set of images"),
        (["--model", "timm:resnet999", "--images", "images"], "timm knows no model"),
        ([*MODEL, "--images", "images", "--rerun", "al"], "unknown rerun policy 'al'"),
        (["tolerance", *MODEL, "--maps", "images"], "images holds no heatmap"),
        (["tolerance", *MODEL, "--images", "images", "--limit", "1e9"], "a limit of 1e+09 is not possible"),
        (["effectiveness", "--models", "list.toml", "--images", "images", "--steps", "1"], "two or more different"),
        (["effectiveness", "--models", "none.toml", "--images", "images"], "cannot read list of models none.toml"),
        (["semantics", *MODEL, "--images", "images", "--judge-list", "list.toml"], "unknown key 'epoch'"),
        (["semantics", *MODEL, "--images", "images"], "give the models that judge"),
        (["semantics", *MODEL, "--images", "images", "--judges", "timm:resnet999"], "timm knows no model"),
        (["maps", "list.toml"], "where to? Give the npz to write"),
        (["maps", "list.toml", "-o", "x.npz"], "list.toml is no TFRecord file"),
        (["maps", "maps.npz", "-o", "x.npz"], "an npz is checked, not converted"),
    ],
)
def test_wrong_words_are_one_or_two_lines(typed, arguments, says):
    code, out, err = typed(*arguments)
    error = err[err.index("error: ") :]
    assert code == 1 and says in error and error.count("\n") <= 3 and not out and "Traceback" not in err


@pytest.mark.parametrize("arguments", [[], ["--model", "991"], ["effectiveness"]])
def test_what_is_missing_is_a_usage_error(typed, arguments):
    code, _, err = typed(*arguments)
    assert code == 2 and "give" in err


def test_help_shows_examples(typed):
    for command in ([], ["tolerance"], ["effectiveness"], ["convergence"], ["semantics"], ["maps"]):
        code, out, _ = typed(*command, "--help")
        assert code == 0 and "Example" in out
