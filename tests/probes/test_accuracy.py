"""The curve of accuracy over levels: closed forms, the same in any batch and order, and after a kill."""

from math import comb

import numpy as np
import pytest

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.probes.accuracy import measure_accuracy
from brainscore_submission.probes.perturbations import Occlusion, Shuffle, random_cells
from brainscore_submission.scoring.records import Record

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LEVELS = [Occlusion(share, grid=(4, 4)) for share in SHARES]


def accuracies(measured):
    return [one["value"] for one in measured.record.measured.settings["curve"]]


def test_accuracy_under_drop_is_the_closed_form(planted):
    """All of m planted cells are among k hidden ones of n with probability C(n - m, k - m) / C(n, k)."""
    found = measure_accuracy(planted.book(), planted.classifier, LEVELS)
    for share, accuracy in zip(SHARES, accuracies(found), strict=True):
        hidden = [random_cells((4, 4), share, 0, name) for name in planted.images.identities]
        exact = np.mean([(cells & ~mask).any() for cells, mask in zip(planted.cells, hidden, strict=True)])
        k = int(16 * share)
        expected = 1 - (comb(14, k - 2) / comb(16, k) if k >= 2 else 0)
        assert accuracy == exact
        assert abs(accuracy - expected) <= 4 * np.sqrt(expected * (1 - expected) / 600)


def test_the_ends_of_the_curve(planted):
    found = measure_accuracy(planted.book(), planted.classifier, LEVELS)
    assert (found.table["answer at 0"] == 1).all()  # the image as it is
    assert (found.table["answer at 1"] == 0).all()  # one constant answer
    settings = found.record.measured.settings
    assert settings["chance"] == 0.5 and settings["axis"] == "share hidden"
    assert all(one["interval"][0] <= one["value"] <= one["interval"][1] for one in settings["curve"])


def test_the_value_is_the_area_under_the_curve(planted, tmp_path):
    found = measure_accuracy(planted.book(), planted.classifier, LEVELS)
    measured = found.record.measured
    trapezia = np.mean([(a + b) / 2 for a, b in zip(accuracies(found), accuracies(found)[1:], strict=False)])
    assert measured.value == pytest.approx(trapezia) and measured.interval[0] < measured.value < measured.interval[1]
    assert (measured.metric, measured.n) == ("occlusion_accuracy", 600)
    record = Record.from_json(found.record.path(tmp_path / "results"))
    assert (record.suite, record.benchmark) == ("probes", "planted.occlusion.random.4x4")


def test_any_batch_and_any_order_give_the_same(planted):
    one = measure_accuracy(planted.book("a"), planted.classifier, LEVELS)
    batches = measure_accuracy(planted.book("b", batch_size=7), planted.classifier, LEVELS)
    rows = np.random.default_rng(3).permutation(600)
    order = measure_accuracy(planted.book("c", images=planted.images.of(rows)), planted.classifier, LEVELS)
    assert one.record.measured == batches.record.measured.model_copy(update={"settings": one.record.measured.settings})
    for name, values in one.table.items():
        np.testing.assert_array_equal(values, batches.table[name])
        np.testing.assert_array_equal(values[rows], order.table[name])
    assert accuracies(one) == accuracies(batches) == accuracies(order)


def test_a_killed_run_goes_on_where_it_was(planted):
    def stop(done, _total):
        if done >= 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_accuracy(planted.book(), planted.classifier, LEVELS, progress=stop)
    before = planted.network.seen
    resumed = measure_accuracy(planted.book(), planted.classifier, LEVELS)
    assert planted.network.seen - before == len(LEVELS) * (600 - 320)  # five batches of 64 were kept
    fresh = measure_accuracy(planted.book("fresh"), planted.classifier, LEVELS)
    assert resumed.record.measured.settings == fresh.record.measured.settings
    assert resumed.record.fingerprint == fresh.record.fingerprint
    before = planted.network.seen
    again = measure_accuracy(planted.book(), planted.classifier, LEVELS)
    assert again.record.checksum == resumed.record.checksum
    assert planted.network.seen == before  # taken from the record


def test_another_seed_or_grid_is_another_record(planted):
    books = [measure_accuracy(planted.book(), planted.classifier, [level]) for level in (
        Occlusion(0.5, grid=(4, 4)), Occlusion(0.5, grid=(4, 4), seed=1), Occlusion(0.5, grid=(2, 2)),
    )]  # fmt: skip
    assert len({one.record.benchmark for one in books}) == len({one.record.fingerprint for one in books}) == 3


def test_attention_that_knows_the_cells_hides_them_first(planted):
    cells = dict(zip(range(600), planted.cells, strict=True))
    rows = iter(range(600))

    def attend(pixels):
        return np.stack([cells[next(rows)] for _ in pixels]).astype(float)

    salient = [Occlusion(share, grid=(4, 4), saliency="salient", source="planted") for share in (0.0, 0.4, 1.0)]
    found = measure_accuracy(planted.book(), planted.classifier, salient, attend)
    assert accuracies(found) == [1, 1, 0]  # one of two white cells holds half of the attention
    rows = iter(range(600))
    others = [Occlusion(share, grid=(4, 4), saliency="non-salient", source="planted") for share in (0.0, 0.4, 0.5)]
    found = measure_accuracy(planted.book(), planted.classifier, others, attend)
    assert accuracies(found) == [1, 1, 1] and found.record.measured.settings["axis"] == "mass dropped"


def test_shuffling_changes_nothing_for_a_network_that_sees_no_places(planted):
    found = measure_accuracy(planted.book(), planted.classifier, [Shuffle(n) for n in (1, 4, 16, 64)])
    assert accuracies(found) == [1, 1, 1, 1] and found.record.measured.value == 1


def test_a_grid_that_does_not_fit_is_refused(planted):
    with pytest.raises(
        UserError, match="3 x 3 cells do not divide an image of 8 x 8 px. Rows and columns that do: 2, 4"
    ):
        measure_accuracy(planted.book(), planted.classifier, [Occlusion(0.5, grid=(3, 3))])
