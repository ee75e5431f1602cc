"""Robust accuracy of a linear network against its closed form; records, tables, and runs that are killed."""

import csv
import json

import numpy as np
import pytest
import torch
from scipy.stats import norm

from brainscore_submission.attacks.named import parse_attack
from brainscore_submission.attacks.threats import Threat
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness import accuracy
from brainscore_submission.robustness.accuracy import measure_accuracy, share
from brainscore_submission.robustness.blocks import image_by_image
from brainscore_submission.scoring.records import Record, read_folder

FGSM, PGD = parse_attack("fgsm"), parse_attack("pgd:20x1")
THREAT = Threat("linf", 1 / 255)


def by_benchmark(found):
    return {one.record.benchmark: one.record.measured for one in found}


def test_a_linear_network_has_its_exact_robust_accuracy(linear, margins):
    """linf takes eps * |w_label - w_k|_1 from the difference to class k, as long as no pixel meets the range."""
    gaps, between = margins
    left = gaps - THREAT.eps * between.abs().sum(2)
    left.scatter_(1, linear.labels[:, None], torch.inf)
    robust = (left > 0).all(1)
    correct = torch.arange(30) % 3 != 0
    assert 0 < int(robust.sum()) < int(correct.sum()) == 20  # the case says something
    found = by_benchmark(measure_accuracy(linear.book(), linear.classifier, THREAT, [PGD]))
    assert found["drawn.clean_accuracy"].value == 20 / 30
    assert found["drawn.robust_accuracy.linf:1/255.pgd:20x1"].value == int((robust & correct).sum()) / 30
    assert found["drawn.robust_accuracy.linf:1/255.pgd:20x1"].settings["n_attacked"] == 20


def test_the_union_is_taken_image_by_image(linear):
    attacks = [FGSM, parse_attack("pgd:1x1"), PGD]
    found = measure_accuracy(linear.book(), linear.classifier, THREAT, attacks)
    *_, one, two, three, union = found
    robust = [table["correct"] & ~table["found"] for table in (one.table, two.table, three.table)]
    assert union.record.measured.value == np.logical_and.reduce(robust).mean()
    assert union.record.benchmark == "drawn.robust_accuracy.linf:1/255.fgsm+pgd:1x1+pgd:20x1"
    np.testing.assert_array_equal(union.table["found by fgsm"], one.table["found"])


def test_the_record_is_a_measure_whose_table_is_beside_it(linear, tmp_path):
    (_, measured) = measure_accuracy(linear.book(command="as typed"), linear.classifier, THREAT, [FGSM])
    path = measured.record.path(tmp_path / "results")
    record = Record.from_json(path)
    assert (record.kind, record.suite, record.command) == ("measure", "robustness", "as typed")
    assert record.measured.metric == "robust_accuracy" and record.measured.interval_over == "images (Wilson)"
    assert record.data == linear.read().fingerprint
    rows = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    assert [row["identity"] for row in rows] == [str(number) for number in range(30)]
    robust = [row["correct"] == "True" and row["found"] == "False" for row in rows]
    assert sum(robust) / 30 == record.measured.value
    assert all((row["size"] == "nan") == (row["found"] == "False") for row in rows)
    table, warnings = read_folder(tmp_path / "results")
    assert set(table["metric"]) == {"clean_accuracy", "robust_accuracy"} and not warnings


def test_a_record_that_is_there_is_shown_and_a_stale_one_is_not(linear, monkeypatch):
    first = measure_accuracy(linear.book(), linear.classifier, THREAT, [FGSM])[1]
    attacked = []
    spied = accuracy.under_attack
    monkeypatch.setattr(accuracy, "under_attack", lambda *given: attacked.append(given) or spied(*given))
    again = measure_accuracy(linear.book(), linear.classifier, THREAT, [FGSM])[1]
    assert not attacked and again.record == first.record
    for name, values in first.table.items():
        np.testing.assert_array_equal(again.table[name], values)
    measure_accuracy(linear.book(rerun="all"), linear.classifier, THREAT, [FGSM])
    measure_accuracy(linear.book(images=linear.read().sample(9)), linear.classifier, THREAT, [FGSM])
    measure_accuracy(linear.book(), linear.classifier, THREAT, [FGSM], seed=1)
    assert len(attacked) == 3
    with pytest.raises(UserError, match="unknown rerun policy 'al'"):
        linear.book(rerun="al")


def test_a_changed_table_is_measured_again(linear, tmp_path, caplog):
    first = measure_accuracy(linear.book(), linear.classifier, THREAT, [FGSM])[1]
    table = first.record.path(tmp_path / "results").with_suffix(".csv")
    table.write_text(table.read_text().replace("True", "False", 1))
    again = measure_accuracy(linear.book(), linear.classifier, THREAT, [FGSM])[1]
    assert again.record.measured == first.record.measured and "was changed" in caplog.text


def test_a_clean_accuracy_of_other_images_is_not_replaced_without_a_word(linear, caplog):
    other = parse_attack("pgd:3x2")  # another record
    first, _ = measure_accuracy(linear.book(), linear.classifier, THREAT, [FGSM])
    again, _ = measure_accuracy(linear.book(), linear.classifier, THREAT, [other])
    assert again.record == first.record and not caplog.text
    replaced, _ = measure_accuracy(
        linear.book(images=linear.read().sample(9)), linear.classifier, THREAT, [parse_attack("pgd:2x1")]
    )
    assert replaced.record.measured.n == 9
    assert f"{first.record.benchmark}: replaces a record of other weights, images, settings" in caplog.text


class Killed(BaseException):
    """As a signal ends a run: no handler of exceptions sees it."""


@pytest.mark.parametrize("moment", range(10))
def test_killed_at_ten_moments_the_record_is_the_same(linear, tmp_path, moment):
    attacks = [FGSM, parse_attack("pgd:3x2")]  # ten batches
    whole = measure_accuracy(linear.book(tmp_path / "whole"), linear.classifier, THREAT, attacks)
    done = 0

    def kill(_what, _done, _of):
        nonlocal done
        done += 1
        if done == moment + 1:
            raise Killed

    with pytest.raises(Killed):
        measure_accuracy(linear.book(tmp_path / "killed"), linear.classifier, THREAT, attacks, progress=kill)
    passes, seen = linear.classifier.passes, []
    resumed = measure_accuracy(
        linear.book(tmp_path / "killed"), linear.classifier, THREAT, attacks, progress=lambda *said: seen.append(said)
    )
    assert len(seen) == 9 - moment, "batches that were done are not done again"
    assert linear.classifier.passes > passes or moment == 9
    for one, other in zip(whole, resumed, strict=True):
        assert unstamped(one.record) == unstamped(other.record)
    assert not list((tmp_path / "killed").rglob("unfinished"))


def unstamped(record):
    return {name: value for name, value in record.model_dump().items() if name not in ("created", "seconds")}


def test_a_damaged_unfinished_batch_is_done_again(linear, tmp_path):
    def look(batch):
        return {"mean": batch.pixels.mean((1, 2, 3)).numpy()}

    images = linear.read()
    whole = image_by_image(images, look, size=7, unfinished=tmp_path / "unfinished")
    (tmp_path / "unfinished" / "000002.npz").write_bytes(b"PK\x03\x04")
    again = image_by_image(images, look, size=7, unfinished=tmp_path / "unfinished")
    np.testing.assert_array_equal(whole["mean"], again["mean"])


def test_a_batch_that_does_not_fit_is_looked_at_in_halves(linear):
    sizes = []

    def look(batch):
        sizes.append(len(batch.rows))
        if len(batch.rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {"label again": batch.labels.numpy()}

    seen = image_by_image(linear.read(), look, size=7)
    np.testing.assert_array_equal(seen["label"], seen["label again"])
    assert sizes[:4] == [7, 4, 2, 2]
    with pytest.raises(UserError, match="one image does not fit into the GPU's memory"):
        image_by_image(linear.read(), lambda batch: look(batch._replace(rows=(1, 2, 3))), size=1)


@pytest.mark.parametrize(("hits", "n"), [(0, 60), (50, 60), (60, 60), (1, 2)])
def test_the_interval_holds_what_the_score_test_does_not_refuse(hits, n):
    """Its ends solve (hits/n - p)² = z² p (1 - p) / n, the equation of Wilson (1927)."""
    found, z2 = share(np.arange(n) < hits), norm.ppf(0.975) ** 2
    ends = sorted(np.roots([1 + z2 / n, -2 * hits / n - z2 / n, (hits / n) ** 2]).real)
    assert found["interval"] == pytest.approx(ends, abs=1e-9)
    assert found["value"] == hits / n and found["n"] == n
    assert json.loads(json.dumps(found))["error"] == pytest.approx(np.sqrt(hits / n * (1 - hits / n) / n))


def test_no_image_right_is_no_robustness(linear):
    wrong = linear.read().of(range(0, 30, 3))
    found = measure_accuracy(linear.book(images=wrong), linear.classifier, THREAT, [FGSM])
    assert [one.record.measured.value for one in found] == [0.0, 0.0]
