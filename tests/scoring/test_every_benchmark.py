"""Every registered benchmark runs without a connection, over stand-ins for its stored data.

One id of each class runs by default, all of them under the marker `slow`.
"""

import functools
import json
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.registry import TABLE, known_benchmarks, registered

SHIPPED = json.loads(TABLE.read_text())
# What is no formula of raw value and ceiling: a bias, a dimensionality, sessions whose parts the object does not keep.
OWN_FORMULA = {
    "Cowley2026.V4-pls",
    "Hermann2020cueconflict-shape_bias",
    *(identifier for identifier in SHIPPED if identifier.startswith("Islam2021")),
}
FACTS = json.loads(Path(__file__).with_name("stand_ins").joinpath("facts.json").read_text())

# What Brain-Score itself cannot score here: id to (exception, what it says).
REFUSED = {
    "Cadena2017-mask": (ModuleNotFoundError, "tensorflow"),  # mask regression is written in TensorFlow
    # The metric walks over the names of a dict of human thresholds instead of over the thresholds.
    "Malania2007.vernieracuity-threshold": (TypeError, "ufunc 'subtract'"),
}
# Object solution times of a network whose responses do not change over time are undefined.
UNDEFINED = {"Kar2019-ost"}
# Ids whose data no stand-in replaces, with the reason.
WITHOUT_STAND_IN: dict[str, str] = {}

CHANCE = {  # of accuracies, by package and kind; elsewhere a score without information is 0
    "Geirhos2021": 1 / 16,
    "Hermann2020cueconflict-shape_match": 1 / 16,
    "Hermann2020cueconflict-shape_bias": 1 / 2,
    "Igustibagus2024.IT_readout-accuracy": 1 / 2,
    "Lonnqvist2024_EngineeringAccuracy": 1 / 2,
    "ImageNet": 1 / 1000,
    "ObjectNet": 1 / 1000,
    "Scialom2024": 1 / 12,
}


def chance(identifier: str) -> float:
    if identifier.startswith(("Geirhos2021", "Scialom2024")) and not identifier.endswith(
        ("top1", "EngineeringAccuracy")
    ):
        return 0.0
    return next((value for start, value in CHANCE.items() if identifier.startswith(start)), 0.0)


def kind(identifier: str) -> tuple:
    """What makes two benchmarks run through the same code: class, child's class, metric and regression."""
    facts = FACTS[identifier]
    metrics = [metric for metric in facts.get("metric", {}).values() if isinstance(metric, dict)]
    code = [json.dumps(metric.get("regression", metric["class"])) for metric in metrics]
    return facts.get("class"), facts.get("child_class"), *code


def fastest_of_each_kind() -> set[str]:
    chosen = {}
    for identifier in sorted(FACTS, key=lambda identifier: FACTS[identifier]["seconds"]):
        chosen.setdefault(kind(identifier), identifier)
    return set(chosen.values())


# Brain-Score's own code takes ten seconds or more: a thousand fits, two hundred bootstraps.
BY_DEFAULT = fastest_of_each_kind() - {
    "Baker2022inverted-accuracy_delta",
    "Igustibagus2024.IT_readout-accuracy",
    "Malania2007.equal2-threshold_elevation",
    "Malania2007.vernieracuity-threshold",
    "Zerbe2026_fmri.IT-cka",
}
IDENTIFIERS = [
    pytest.param(identifier, marks=[] if identifier in BY_DEFAULT else pytest.mark.slow) for identifier in sorted(FACTS)
]


def test_the_shipped_table_is_what_was_found_by_running():
    from stand_ins.shipped import table

    assert json.loads(json.dumps(table(FACTS))) == SHIPPED
    assert set(known_benchmarks()) == registered()


def test_facts_are_known_of_every_registered_benchmark(stand_ins):
    from stand_ins.alone import registered

    assert {identifier: facts["package"] for identifier, facts in FACTS.items()} == registered()
    assert len(WITHOUT_STAND_IN) <= 15


@pytest.fixture
def cka_in_float64(monkeypatch):
    """Brain-Score's CKA multiplies float32 features as they are, which moves it by up to 3e-5: here as float64."""
    from brainscore_vision.metrics.cka import metric

    own = metric.unbiased_linear_CKA
    monkeypatch.setattr(metric, "unbiased_linear_CKA", lambda x, y: own(x.astype(float), y.astype(float)))


@pytest.mark.parametrize("identifier", IDENTIFIERS)
def test_the_product_gives_brainscores_score(identifier, stand_ins, cka_in_float64, tmp_path):
    """Brain-Score alone scores the stand-in, neither 0, 1 nor chance; and the product gives its score, or refusal."""
    from stand_ins.alone import brainscore_alone
    from stand_ins.formulas import formula_of, names
    from stand_ins.product import scored

    if identifier in REFUSED:
        error, said = REFUSED[identifier]
        with pytest.raises(error, match=said):
            brainscore_alone(identifier)
        (record,) = scored([identifier], tmp_path)
        assert record.status == "failed" and said in record.reason and "\n" not in record.reason
        return
    score = brainscore_alone(identifier)
    if identifier in UNDEFINED:
        assert np.isnan(score.item())
        with pytest.raises(UserError, match="the score is NaN"):
            scored([identifier], tmp_path)
        return
    # The second number of this one is its error.
    value = (score.sel(aggregation="center") if "aggregation" in score.coords else score).values
    assert ((value > 0) & (value < 1) & (abs(value - chance(identifier)) > 0.01)).all()
    assert names(formula_of(score)) == names(FACTS[identifier]["formula"])
    (record,) = scored([identifier], tmp_path)
    assert record.status == "scored", record.reason
    assert record.score == pytest.approx(float(value.mean()), abs=1e-6)
    if identifier not in OWN_FORMULA:
        assert record.measured.formula == (SHIPPED[identifier]["formula"] or "r")


@pytest.mark.slow
def test_a_hundred_benchmarks_are_computed_from_gram_matrices(stand_ins):
    import brainscore_vision

    from brainscore_submission.scoring.fast_metrics import make_job

    compared = {i: known for i, known in known_benchmarks().items() if known.task in ("recording", "odd_one_out")}
    forms = Counter(
        make_job(identifier, known.area, brainscore_vision.load_benchmark(identifier), "gram").form
        for identifier, known in compared.items()
    )
    assert (forms["gram"] + forms["rows"], forms["surrogate"] + forms["rdm"] + forms["products"]) == (74, 29)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unique with argument")
def test_the_ceiling_of_every_benchmark_can_be_kept(stand_ins):
    import brainscore_vision

    from brainscore_submission.scoring.ceilings import fingerprint

    assert all(
        fingerprint(getattr(brainscore_vision.load_benchmark(one), "_ceiling_func", None)) for one in known_benchmarks()
    )


@pytest.mark.parametrize("identifier", ["Marques2020_DeValois1982-pref_or", "Maniquet2024-confusion_similarity"])
def test_the_same_seeds_give_the_same_score(identifier, stand_ins):
    from stand_ins.alone import brainscore_alone

    assert brainscore_alone(identifier).item() == brainscore_alone(identifier).item()


def test_the_four_numbers_of_marques2020_are_those_of_a_hand_computation(stand_ins, tmp_path):
    """Score and error are raw value and its error over the ceiling, in 2022 as today; no square."""
    from stand_ins.alone import brainscore_alone
    from stand_ins.product import scored

    identifier = "Marques2020_DeValois1982-pref_or"
    score = brainscore_alone(identifier)
    raw, ceiling = float(score.attrs["raw"]), float(score.attrs["ceiling"])
    raw_error = float(score.attrs["raw"].attrs["error"])
    (record,) = scored([identifier], tmp_path)
    measured = record.measured
    assert (measured.formula, measured.score) == ("r/c", pytest.approx(raw / ceiling, abs=1e-12))
    assert measured.score_2022 == measured.score
    assert measured.score_error == pytest.approx(raw_error / ceiling, abs=1e-12)
    assert 0 < raw < ceiling < 1


@pytest.mark.slow
def test_v1_and_rho_of_the_competition_of_2022_are_those_of_a_hand_computation(stand_ins, tmp_path):
    """From Brain-Score's own 33 scores: what each was in 2022, averaged as the leaderboard did, ranked by scipy."""
    from scipy.stats import spearmanr
    from stand_ins.alone import brainscore_alone
    from stand_ins.product import tiny_model

    from brainscore_submission.engine.budget import Budget
    from brainscore_submission.scoring.display import summary
    from brainscore_submission.scoring.score import ScoreOptions, score_suite
    from brainscore_submission.scoring.suites import find_suite

    alone = functools.cache(brainscore_alone)

    def in_2022(identifier):
        ratio = float(alone(identifier).attrs["raw"]) / float(alone(identifier).attrs["ceiling"])
        return ratio if identifier.startswith("Marques2020") else ratio**2

    def by_hand(value):
        def properties(*names):
            return np.mean([value(f"Marques2020_{name}") for name in names])

        ringach, freeman, cavanaugh = "Ringach2002-", "FreemanZiemba2013-", "Cavanaugh2002-"
        tuning = ("circular_variance", "or_bandwidth", "orth_pref_ratio", "or_selective", "cv_bandwidth_ratio")
        textures = ("texture_selectivity", "texture_sparseness", "texture_variance_ratio")
        marques = np.mean(
            [
                properties(*(ringach + name for name in (*tuning, "opr_cv_diff")), "DeValois1982-pref_or"),
                properties("DeValois1982-peak_sf", "Schiller1976-sf_bandwidth", "Schiller1976-sf_selective"),
                properties(*(freeman + name for name in textures), ringach + "modulation_ratio"),
                properties(cavanaugh + "grating_summation_field", cavanaugh + "surround_diameter"),
                properties(cavanaugh + "surround_suppression_index"),
                properties(freeman + "texture_modulation_index", freeman + "abs_texture_modulation_index"),
                properties(ringach + "max_dc", freeman + "max_texture", freeman + "max_noise"),
            ]
        )
        packages = ("MajajHong2015", "Sanghavi2020", "SanghaviJozwik2020", "SanghaviMurty2020")
        return {
            "V1": (value("FreemanZiemba2013.V1-pls") + marques) / 2,
            "V2": value("FreemanZiemba2013.V2-pls"),
            "V4": np.mean([value(f"{package}.V4-pls") for package in packages]),
            "IT": np.mean([value(f"{package}.IT-pls") for package in packages]),
        }

    model, suite = tiny_model(), find_suite("competition2022")
    options = ScoreOptions(results=tmp_path, budget=Budget(10**9, 0, None))
    with warnings.catch_warnings(action="ignore"):  # of Brain-Score's own code
        found = summary(model, suite, score_suite(model, suite, options))
    for areas, value in (("areas_2022", in_2022), ("areas", lambda identifier: float(alone(identifier)))):
        expected = by_hand(value)
        assert {area: found[areas][area] for area in expected} == pytest.approx(expected, abs=1e-6)
    assert found["hierarchy"]["rho"] == pytest.approx(spearmanr([1, 2, 3, 4], list(expected.values())).statistic)


def test_a_data_set_without_a_stand_in_is_refused_not_fetched(stand_ins):
    import brainscore_vision

    with pytest.raises(LookupError, match="no stand-in for the data set 'Kuzovkin2018'"):
        brainscore_vision.data_registry["Kuzovkin2018"]
