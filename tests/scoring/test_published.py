"""The paper's tables are typed in without a slip: they agree with themselves."""

import numpy as np
import pytest

from brainscore_submission.scoring.published import PUBLIC_TARGETS, PUBLISHED, published_model


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.description)
def test_the_printed_average_is_the_mean_of_the_five_columns(row):
    assert np.mean(list(row.scores.values())) == pytest.approx(row.average, abs=0.00041)


def test_the_joint_model_holds_the_best_v4_of_the_paper():
    assert max(PUBLISHED, key=lambda row: row.V4) == published_model(991)


def test_competition_ids_are_unique():
    ids = [row.competition_id for row in PUBLISHED if row.competition_id]
    assert len(ids) == len(set(ids))


def test_an_unknown_competition_id_has_no_row():
    assert published_model(992) is None


def test_public_targets_say_how_the_pictures_were_cut():
    assert {target.preprocessing for target in PUBLIC_TARGETS} == {"crop224", "squash224"}
