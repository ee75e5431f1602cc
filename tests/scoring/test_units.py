"""Intervals over subjects, sessions and images: from Brain-Score's own score objects over stand-ins."""

import numpy as np
import pytest
import scipy.stats
from brainscore_core.metrics import Score

from brainscore_submission.scoring.formulas import read_score
from brainscore_submission.scoring.units import Units, read_units, units_interval


def student(values):
    error = scipy.stats.sem(values)
    return scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), error), error


def wilson(right, n):
    """The ends p at which (right / n - p)² = z² p (1 - p) / n: roots of a quadratic in p."""
    z = scipy.stats.norm.ppf(0.975)
    return tuple(sorted(np.roots([1 + z**2 / n, -(2 * right / n + z**2 / n), (right / n) ** 2])))


def test_an_interval_over_subjects_is_students():
    values = np.random.default_rng(0).normal(0.5, 0.1, 7)
    interval, error = units_interval(Units(values, "subjects", of_raw=False))
    assert (interval, error) == (pytest.approx(student(values)[0], abs=1e-12), pytest.approx(student(values)[1]))


def test_it_covers_the_truth_where_subjects_are_few():
    generator = np.random.default_rng(1)
    held = [
        low <= 0.3 <= high
        for values in generator.normal(0.3, 0.1, (2000, 4))
        for low, high in [units_interval(Units(values, "subjects", of_raw=False))[0]]
    ]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)  # three standard errors of 2000 draws


def test_an_interval_over_images_is_wilsons():
    right = np.arange(40) < 37
    interval, _ = units_interval(Units(right, "images", of_raw=False))
    assert interval == pytest.approx(wilson(37, 40), abs=1e-9)


@pytest.mark.parametrize(
    "identifier, over",
    [
        ("Zerbe2026_fmri.V1-rdm-pearson", "subjects"),  # scores nested by subject
        ("Allen2022_fmri_surface_4subj.IT-ridge", "subjects"),
        ("Li2026.V4-rdm", "subjects"),  # raw values in a list
        ("Geirhos2021falsecolour-error_consistency", "subjects"),  # subjects by conditions, the mean negative
        pytest.param("Malania2007.equal2-threshold_elevation", "subjects", marks=pytest.mark.slow),
        ("Cowley2026.V4-pls", "sessions"),
    ],
)
def test_a_record_has_the_interval_over_what_the_score_keeps(identifier, over, stand_ins, tmp_path):
    from stand_ins.product import scored

    (record,) = scored([identifier], tmp_path)
    low, high = record.measured.interval
    assert record.measured.interval_over == over
    assert low < record.measured.score < high and record.measured.score_error > 0


@pytest.mark.parametrize(
    "identifier, n", [("Geirhos2021falsecolour-top1", 48), ("Scialom2024_contoursEngineeringAccuracy", 72)]
)
def test_an_accuracy_has_wilsons_interval_over_its_images(identifier, n, stand_ins, tmp_path):
    from stand_ins.product import scored

    (record,) = scored([identifier], tmp_path)
    measured = record.measured
    assert measured.interval_over == "images"
    assert measured.interval == pytest.approx(wilson(round(measured.score * n), n), abs=1e-9)
    assert measured.score_error == pytest.approx(np.sqrt(measured.score * (1 - measured.score) / n))


def test_error_consistencys_interval_is_that_of_its_subjects_over_the_ceiling(stand_ins, tmp_path):
    from stand_ins.alone import brainscore_alone
    from stand_ins.product import scored

    identifier = "Scialom2024_segments-allBehavioralErrorConsistency"
    score = brainscore_alone(identifier)
    kappas = score.attrs["raw"].attrs["raw"].mean("condition").values
    ceiling = float(score.attrs["ceiling"])
    interval, error = student(kappas)
    (record,) = scored([identifier], tmp_path)
    assert record.measured.interval == pytest.approx(np.array(interval) / ceiling, abs=1e-9)
    assert record.measured.raw_error == pytest.approx(error)
    assert record.measured.score_error == pytest.approx(error / ceiling)


@pytest.mark.parametrize("identifier", ["Hebart2023-match", "Islam2021-shape_it_dimensionality"])
def test_where_nothing_is_kept_there_is_no_interval_and_the_reason(identifier, stand_ins, tmp_path):
    from stand_ins.product import scored

    (record,) = scored([identifier], tmp_path)
    assert record.measured.interval is None
    assert any("keeps no values of subjects" in note for note in record.notes)


def test_values_whose_mean_is_another_number_are_not_used():
    score = Score(0.4)
    score.attrs.update(raw=Score(0.5), ceiling=Score(0.625), session_scores={"a": 0.1, "b": 0.2})
    assert read_units(score, read_score(score, None), None) is None
