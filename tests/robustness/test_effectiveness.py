"""The published numbers of Debenedetti et al. (2023), from their published losses."""

import numpy as np
import pytest

from brainscore_submission.plugin.errors import UserError
from brainscore_submission.robustness.effectiveness import effectiveness_gap

STEPS = [1, 2, 5, 10, 200]

# Adversarial losses after the last of 100 epochs, a row for each of seeds 0, 1, 2: column adv_loss of the tables
# attack-effectiveness-*.csv in the repository dedeswim/vits-robustness-torch.
RESNET50_GELU = [
    [2.3120133876800537, 2.417287826538086, 2.525928497314453, 2.5836663246154785, 2.64974045753479],
    [2.313863754272461, 2.4173145294189453, 2.525789737701416, 2.583665609359741, 2.6499133110046387],
    [2.3139398097991943, 2.417332410812378, 2.525852680206299, 2.583709955215454, 2.6497442722320557],
]
XCIT_S12_CANONICAL = [
    [2.000368118286133, 2.3059468269348145, 2.9118292331695557, 4.182182312011719, 7.034876823425293],
    [2.005833387374878, 2.3011295795440674, 2.9134633541107178, 4.1818013191223145, 7.032093048095703],
    [2.0046069622039795, 2.3020379543304443, 2.911713123321533, 4.181310653686523, 7.033618450164795],
]


@pytest.mark.parametrize(
    ("losses", "published", "digits"),
    [
        (RESNET50_GELU, [12.700, 8.774, 4.677, 2.495], 3),
        (XCIT_S12_CANONICAL, [71.51, 67.26, 58.59, 40.55], 2),
    ],
)
def test_the_published_losses_give_the_published_gaps(losses, published, digits):
    mean = effectiveness_gap(losses, STEPS).mean(0)
    assert mean.round(digits).tolist() == [*published, 0.0]


def test_columns_may_stand_in_any_order_and_epochs_in_front():
    losses = np.array([RESNET50_GELU, XCIT_S12_CANONICAL])
    order = [4, 0, 3, 1, 2]
    shuffled = effectiveness_gap(losses[..., order], [STEPS[i] for i in order])
    np.testing.assert_array_equal(shuffled, effectiveness_gap(losses, STEPS)[..., order])


@pytest.mark.parametrize(
    ("losses", "steps", "match"),
    [
        ([1.0, 2.0], [1], "do not fit"),
        ([1.0, 2.0], [5, 5], "different numbers of steps"),
        (1.0, [1], "do not fit"),
        ([1.0, float("nan")], [1, 2], "finite losses"),
        ([1.0, 0.0], [1, 2], "above 0"),
    ],
)
def test_losses_without_an_answer_are_refused(losses, steps, match):
    with pytest.raises(UserError, match=match):
        effectiveness_gap(losses, steps)
