"""`probe` as a user types it, on a small untrained network and on the demo suite's own."""

import itertools
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from analysis import probes
from analysis.standings import read_standings
from brainscore_submission.cli import app
from brainscore_submission.probes.corruptions import ALEXNET, SEVERITIES

MODEL = ["--model", "timm:test_resnet", "--weights", "untrained"]
TRUTH = ["--model", "demo:ground_truth", "--suite", "demo", "--areas", "V1"]


@pytest.fixture
def typed(tmp_path, monkeypatch, in_this_process, demo_cache):
    """Run `brainscore-submission probe …` in this process: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 160, 160, 3), dtype=np.uint8)
    np.savez(tmp_path / "val.npz", image=pixels, label=np.arange(5))

    return partial(in_this_process, app, "probe")


def test_occlusion_of_labelled_images_as_a_table_and_as_json(typed):
    asked = ["occlusion", *MODEL, "--images", "val.npz", "--grid", "8", "--levels", "0.5,0.9"]
    code, out, err = typed(*asked)
    assert code == 0 and "UNTRAINED" in out and "val.occlusion.random.8x8" in out and "by share hidden" in out
    assert "3 levels x 5 images: 15 passes, about" in err
    code, out, _ = typed(*asked, "--json")
    facts = json.loads(out)
    (record,) = facts["records"]
    assert [point["level"] for point in record["measured"]["settings"]["curve"]] == [0, 0.5, 0.9]
    assert facts["marks"] == ["UNTRAINED"] and record["command"].startswith("brainscore-submission probe occlusion")


@pytest.mark.parametrize(("kind", "n"), [("rotation", 4), ("grey", 2)])
def test_the_views_that_checkpoints_were_trained_with(typed, kind, n):
    code, out, _ = typed(kind, *MODEL, "--images", "val.npz", "--json")
    assert code == 0 and len(json.loads(out)["records"][0]["measured"]["settings"]["curve"]) == n


def test_salient_cells_of_labelled_images_and_of_brain_scores(typed, tmp_path):
    asked = ["occlusion", "--model", "timm:test_vit", "--weights", "untrained", "--saliency", "non-salient", "--json"]
    code, out, _ = typed(*asked, "--images", "val.npz", "--grid", "10", "--levels", "0.3")
    (record,) = json.loads(out)["records"]
    level = record["measured"]["settings"]["levels"][1]
    assert code == 0 and level["source"].endswith("untrained-class") and len(level["source_fingerprint"]) == 64
    assert record["measured"]["settings"]["axis"] == "mass dropped"
    neural = [*TRUTH[2:], "--layers", "V1=blocks.0", "--levels", "0.3"]
    code, out, _ = typed(*asked, *neural)
    (record,) = json.loads(out)["records"]
    intact, dropped = record["measured"]["settings"]["curve"]
    assert code == 0 and "non-salient" in record["benchmark"] and intact["score"] != dropped["score"]


def test_segmentation(typed, tmp_path):
    for folder, mode in (("images", "RGB"), ("masks", "L")):
        (tmp_path / folder).mkdir()
        for number in range(3):
            Image.new(mode, (40, 40), number).save(tmp_path / folder / f"{number}.png")
    asked = ["segmentation", "--model", "timm:test_vit", "--weights", "untrained", "--images", "images"]
    code, out, _ = typed(*asked, "--masks", "masks", "--mass", "1", "--json")
    (record,) = json.loads(out)["records"]
    assert code == 0 and record["measured"]["value"] == 1 and record["measured"]["n"] == 2
    assert record["measured"]["settings"]["n_without_objects"] == 1
    code, out, _ = typed(*asked, "--masks", "masks", "--mass", "1")
    assert code == 0 and "images.segmentation.class" in out and "jaccard" in out
    code, _, err = typed(*asked, "--masks", "none")
    assert code == 1 and "--masks: there is no folder none" in err


def test_lesions_before_each_module(typed):
    asked = ["lesion", *MODEL, "--images", "val.npz", "--before", "layer2", "--before", "layer4", "--levels", "0.5"]
    code, out, err = typed(*asked, "--json")
    facts = json.loads(out)
    assert code == 0 and "4 levels x 5 images: 20 passes" in err
    assert [record["benchmark"] for record in facts["records"]] == ["val.lesion.layer2", "val.lesion.layer4"]


@pytest.fixture
def classes(tmp_path):
    """Twelve images in folders of three classes that ImageNet does not know, half of them to learn from."""
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)):
        folder = tmp_path / "birds" / ("train" if number < 6 else "test") / f"{number % 3:03}.Auk_{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return ["--train", "birds/train", "--test", "birds/test"]


def test_feature_ensembles(typed, classes, tmp_path):
    asked = ["features", "--model", "timm:test_vit", "--weights", "untrained", *classes, "--last", "3"]
    code, out, err = typed(*asked, "--dry-run", "--json")
    assert code == 0 and json.loads(out)["dry_run"]["passes"] == 12 and not (tmp_path / "results").exists()
    assert "class token, after the final norm: blocks.3, blocks.4, blocks.5" in err and "of 3 classes" in err
    code, out, _ = typed(*asked, "--shots", "1", "--ways", "3", "--runs", "8")
    assert code == 0 and "birds-test.features.last-3.3-way-1-shot" in out and "by last blocks" in out
    code, out, _ = typed(*asked, "--shots", "1", "--ways", "3", "--runs", "8", "--json")
    linear, shots = (record["measured"] for record in json.loads(out)["records"])
    assert (linear["n"], shots["n"]) == (6, 8) and linear["settings"]["chance"] == 1 / 3
    assert linear["interval_over"] == "images (Wilson)" and shots["interval_over"] == "runs (normal)"
    records, _ = probes.read_probes(tmp_path / "results")
    for benchmark, mine in records.groupby("benchmark"):
        axes = probes.curves(mine).axes[0]
        assert axes.get_xlabel() == "last blocks" and axes.get_xticks().tolist() == [1, 2, 3], benchmark
    assert {"features_accuracy", "few_shot_accuracy"} <= set(read_standings(tmp_path / "results").columns)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--train", "none"], "there is no folder none"),
        (["--train", "birds/test/000.Auk_0"], "has 0 folders: put the images of each class into a folder"),
        (["--test", "birds"], "2 of 2 names are no class: 'test', 'train'"),
        (["--last", "7"], "--last 7: the network has 6 blocks. Give 1 to 6"),
        (["--last", "2", "--layers", "blocks.0"], "--last for the last blocks or stages, or --layers for others"),
        (["--layers", "blocks.9"], "unknown layer 'blocks.9'"),
        (["--runs", "3"], "--ways and --runs are of few-shot learning: give --shots too"),
        (["--layers", "blocks.0,blocks.0"], "name modules, each once, with commas between"),
        (["--layers", ","], "name modules, each once, with commas between"),
        (["--shots", "3"], "0 classes have 3 training images and a test image"),
        (["--shots", "1", "--ways", "4"], "--ways 4 --shots 1: 3 classes have 1 training image and a test image"),
    ],
)
def test_wrong_input_of_features_is_named(typed, classes, arguments, says):
    given = dict(zip(classes[::2], classes[1::2], strict=True))
    given |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    words = ["features", "--model", "timm:test_vit", "--weights", "untrained", *itertools.chain(*given.items())]
    ended, out, err = typed(*words)
    assert ended == 1 and says in " ".join(err.split()) and not out


def test_corruptions_over_alexnet_and_over_another_model(typed, tmp_path):
    for name in ALEXNET:
        for severity in SEVERITIES:
            for number in range(2):
                folder = tmp_path / "imagenet-c" / name / str(severity) / "goldfish"
                folder.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (9 * severity, 0, number)).save(folder / f"{number}.png")
    asked = ["corruptions", *MODEL, "--images", "imagenet-c"]
    code, out, err = typed(*asked, "--dry-run", "--json")
    assert code == 0 and json.loads(out)["dry_run"]["passes"] == 150 and "75 x 2 images: 150 passes" in err
    code, out, _ = typed(*asked)
    assert code == 0 and "mCE" in out and "AlexNet, published" in out and "50000 images, these are 2" in out
    code, out, _ = typed(*asked, "--json")
    (record,) = json.loads(out)["records"]
    assert record["measured"]["value"] == pytest.approx(np.mean([1 / error for error in ALEXNET.values()]))
    (path,) = tmp_path.rglob("imagenet-c.corruptions.json")
    code, out, _ = typed(*asked, "--name", "same", "--baseline", path, "--json")
    assert code == 0 and json.loads(out)["records"][0]["measured"]["value"] == 1
    code, _, err = typed(*asked, "--sample", "1", "--baseline", path)
    assert code == 1 and "is a record of other images: measure" in err
    code, _, err = typed(*asked, "--baseline", "val.npz")
    assert code == 1 and "--baseline" in err
    records, _ = probes.read_probes(tmp_path / "results")
    assert probes.curves(records[records["model"] != "same"]).axes[0].get_xlabel() == "severity"


def test_shuffles_of_brain_scores(typed, tmp_path, caplog):
    asked = ["shuffle", *TRUTH, "--levels", "16"]
    code, out, err = typed(*asked, "--dry-run", "--json")
    plan = json.loads(out)["dry_run"]
    assert code == 0 and (plan["levels"], plan["passes"]) == (2, 200) and not (tmp_path / "results").exists()
    code, out, err = typed(*asked)
    assert code == 0 and "2 of 2 levels to record, 100 images each: 200 passes" in err
    assert "SIMULATED" in out and "demo.V1-pls.shuffle" in out and "by pieces" in out
    code, out, err = typed(*asked, "--json")
    assert code == 0 and "all 2 levels are recorded" in err
    assert json.loads(out)["rho_hierarchy"] == [None, None]
    code, _, err = typed(*asked, "--preprocessing", "squash224", "--dry-run")
    assert code == 0 and "2 of 2 levels to record" in err and "replaces" not in caplog.text  # nothing does yet


def test_shape_bias_of_decisions(typed, tmp_path):
    rows = ["subj,object_response,category,imagename"]
    rows += [f"subject-0{n},{answer},cat,cat1-dog2.png" for n in (1, 2) for answer in ("cat", "dog", "cat", "oven")]
    (tmp_path / "decisions").mkdir()
    (tmp_path / "decisions" / "all.csv").write_text("\n".join([*rows, "net,dog,cat,cat1-dog2.png"]))
    code, out, _ = typed("shape-bias", "--decisions", "decisions", "--json", "--by-category")
    subjects = json.loads(out)["subjects"]
    assert code == 0 and list(subjects) == ["subject-01", "subject-02", "net", "subject, 2 together"]
    assert [round(one["value"], 3) for one in subjects.values()] == [0.667, 0.667, 0, 0.667]
    assert subjects["net"]["by_category"]["cat"]["n_texture"] == 1
    code, out, _ = typed("shape-bias", "--decisions", "decisions")
    assert code == 0 and "subject, 2 together" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["occlusion", *MODEL], 2, "give --images val/, or --benchmark, --suite or"),
        (["occlusion", *MODEL, "--images", "val.npz", "--suite", "demo"], 1, "not both at once"),
        (["occlusion", *MODEL, "--images", "val.npz", "--levels", "0,half"], 1, "no list of numbers"),
        (["occlusion", *MODEL, "--images", "val.npz", "--levels", "50"], 1, "0.5 for one half"),
        (["occlusion", *MODEL, "--images", "val.npz", "--grid", "14by14"], 1, "Write 14, or rows and columns: 7x14"),
        (["occlusion", *MODEL, "--images", "val.npz", "--grid", "7"], 1, "7 x 7 cells do not divide an image of 160"),
        (["occlusion", *MODEL, "--images", "val.npz", "--saliency", "salent"], 1, "Did you mean salient?"),
        (["shuffle", *MODEL, "--images", "val.npz", "--levels", "5"], 1, "Possible are 1, 4, 8, 16"),
        (["rotation", *MODEL, "--images", "val.npz", "--levels", "45"], 1, "0, 90, 180 or 270 degrees, not 45"),
        (["occlusion", *TRUTH, "--benchmark", "demo.V1-pls"], 1, "give one of --suite, --benchmark"),
        (["shuffle", "--model", "timm:resnet999", "--images", "val.npz"], 1, "timm knows no model"),
        (
            ["occlusion", *MODEL, "--images", "val.npz", "--grid", "8", "--saliency", "salient"],
            1,
            "no class token whose",
        ),
        (["occlusion", *MODEL, "--images", "val.npz", "--grid", "8", "--attention", "class"], 1, "need --saliency"),
        (["lesion", *MODEL, "--images", "val.npz", "--before", "layer9"], 1, "unknown layer 'layer9'"),
        (["lesion", *MODEL, "--images", "val.npz", "--levels", "25"], 1, "0.5 for one half"),
        (["shape-bias"], 2, "give --model and --images, or --decisions"),
        (["shape-bias", *MODEL], 2, "a model needs --images"),
        (["shape-bias", *MODEL, "--images", "none"], 1, "there is no folder none"),
        (["shape-bias", "--decisions", "none.csv"], 1, "none.csv cannot be read as a CSV file"),
        (["shuffle", *MODEL, "--images", "none"], 1, "there is no none. Give a folder"),
    ],
)
def test_wrong_input_is_named(typed, arguments, code, says):
    ended, out, err = typed(*arguments)
    assert ended == code and says in " ".join(err.replace("│", " ").split()) and not out
