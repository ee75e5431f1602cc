"""The grid of losses on linear networks, whose attacked loss has a closed form."""

import csv
import io

import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score
from torch.nn import functional

from brainscore_submission.attacks.threats import Threat
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.blocks import image_by_image
from brainscore_submission.robustness.effectiveness import effectiveness_gap
from brainscore_submission.robustness.grid import grid_rows, loss_curves, rank_of
from brainscore_submission.robustness.summary import COLUMNS, gaps_of, read_summary, summary_csv

THREAT = Threat("linf", 1 / 255)


def rows_of(linear, **options):
    given = {"steps": [1, 2, 10], "seeds": [0, 1], "size": 7} | options
    return [
        {"model": "linear", "epoch": 3} | row for row in grid_rows(linear.classifier, linear.read(), THREAT, **given)
    ]


def test_the_clean_columns_are_scikit_learns(linear):
    row = rows_of(linear, steps=[1], seeds=[0])[0]
    with torch.no_grad():
        logits = linear.classifier(linear.pixels)
    labels = linear.labels.numpy()
    assert row["top1"] == pytest.approx(100 * top_k_accuracy_score(labels, logits.numpy(), k=1))
    assert row["loss"] == pytest.approx(float(functional.cross_entropy(logits, linear.labels)), rel=1e-6)
    assert row["top5"] == row["robust_top5"] == 100.0  # of five classes
    assert row["robust_top1"] <= row["top1"] and row["adv_loss"] > row["loss"]


def test_ranks_break_ties_as_argmax_does():
    logits = torch.tensor([[1.0, 3.0, 3.0, 2.0]] * 4)
    assert rank_of(logits, torch.arange(4)).tolist() == [3, 0, 1, 2]


def test_a_killed_grid_goes_on_cell_by_cell(linear, tmp_path):
    whole = rows_of(linear)
    kept = {(seed, steps): tmp_path / f"{seed}-{steps}" for seed in (0, 1) for steps in (1, 2, 10)}
    rows_of(linear, steps=[1, 2], unfinished=kept)
    said = []
    again = rows_of(linear, unfinished=kept, progress=lambda *one: said.append(one))
    assert again == whole and {what for what, *_ in said} == {"pgd:10, seed 0", "pgd:10, seed 1"}


def test_the_summary_goes_out_and_in_with_its_gaps(linear, tmp_path):
    rows = rows_of(linear)
    (tmp_path / "summary.csv").write_bytes(summary_csv(rows))
    read = read_summary(tmp_path / "summary.csv")
    assert tuple(read[0]) == COLUMNS and len(read) == 6
    gaps = gaps_of(read)["linear", "3"]
    losses = [[row["adv_loss"] for row in rows if row["seed"] == seed] for seed in (0, 1)]
    expected = effectiveness_gap(losses, [1, 2, 10])
    assert [gaps[step][0] for step in (1, 2, 10)] == pytest.approx(expected.mean(0))
    assert [gaps[step][1] for step in (1, 2, 10)] == pytest.approx(expected.std(0, ddof=1))


def test_summaries_that_cannot_be_read(tmp_path, linear):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is no summary of attacks: it lacks model, epoch"):
        read_summary(tmp_path / "other.csv")
    with pytest.raises(UserError, match="cannot be read"):
        read_summary(tmp_path / "none.csv")
    with pytest.raises(UserError, match="not every seed has every number of steps"):
        gaps_of(rows_of(linear)[:-1])


def test_the_curve_of_a_linear_network_rises_and_stands(linear):
    images = linear.read()
    seen = image_by_image(images, loss_curves(linear.classifier, THREAT, 12, 0), size=7)
    curves = seen["curve"][seen["correct"]]
    assert curves.shape == (20, 13) and np.isnan(seen["curve"][~seen["correct"]]).all()
    assert (curves[:, -1] >= curves[:, 0]).all()
    np.testing.assert_allclose(curves[:, -1], curves[:, -2], rtol=1e-2)  # 12 steps of eps / 4 reach the corner


def test_a_summary_is_plain_csv(linear):
    reader = csv.reader(io.StringIO(summary_csv(rows_of(linear, steps=[1], seeds=[0])).decode()))
    assert next(reader) == list(COLUMNS)
