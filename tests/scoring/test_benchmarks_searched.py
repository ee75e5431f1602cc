"""A layer search on Brain-Score's benchmarks, over stand-ins: each layer's score is the one an evaluation gives."""

import warnings

import pytest

from brainscore_submission.layer_search.search import SearchOptions, search_layers
from brainscore_submission.scoring.suites import single_benchmarks

# One set of images and one question; train and test images; several subjects, each with its own question.
IDENTIFIERS = [
    "Li2026.V4-ridgecv",
    "Li2026.V4-rdm",
    "Papale2025.V4-ridgecv",
    pytest.param("Zerbe2026_fmri.V4-cka", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("identifier", IDENTIFIERS)
def test_a_searched_layers_score_is_that_of_its_evaluation(identifier, stand_ins, tmp_path):
    from stand_ins.product import scored, tiny_model

    options = SearchOptions(results=tmp_path / "searched", layers=("v4", "it"))
    with warnings.catch_warnings(action="ignore"):  # of Brain-Score's own code
        result = search_layers(tiny_model(), single_benchmarks([identifier]), options)
    (evaluated,) = scored([identifier], tmp_path / "evaluated")
    scores = {score.layer: score.numbers.score for score in result.scores}
    assert set(scores) == {"v4", "it"}
    assert scores["v4"] == pytest.approx(evaluated.score, abs=1e-9)
    assert abs(scores["it"] - scores["v4"]) > 1e-3
