"""Losses against torch's and pyautoattack's."""

import logging

import pytest
import torch
from torch.nn import functional

from brainscore_submission.attacks import losses
from brainscore_submission.plugin.errors import UserError


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(50, 10, generator=generator, dtype=torch.float64)
    labels = torch.randint(10, (50,), generator=generator)
    return logits, labels, (labels + torch.randint(1, 10, (50,), generator=generator)) % 10


def test_log_odds_is_the_cross_entropy_on_another_scale(drawn):
    logits, labels, _ = drawn
    expected = functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(functional.softplus(losses.log_odds(logits, labels)), expected)


def test_log_odds_climbs_in_the_direction_of_the_cross_entropy(drawn):
    logits, labels, _ = drawn
    logits = logits.requires_grad_(True)
    (ours,) = torch.autograd.grad(losses.log_odds(logits, labels).sum(), logits)
    (theirs,) = torch.autograd.grad(functional.cross_entropy(logits, labels, reduction="sum"), logits)
    cosine = functional.cosine_similarity(ours, theirs)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_log_odds_keeps_its_gradient_where_the_cross_entropy_has_none():
    logits = torch.tensor([[400.0, 0.0, -1.0]], requires_grad=True)
    label = torch.tensor([0])
    (theirs,) = torch.autograd.grad(functional.cross_entropy(logits, label), logits)
    (ours,) = torch.autograd.grad(losses.log_odds(logits, label).sum(), logits)
    assert not theirs.any() and ours[0, 0] == -1


def test_dlr_agrees_with_pyautoattack(drawn):
    base = pytest.importorskip("pyautoattack.autopgd_base")
    logits, labels, targets = drawn
    judge = base.APGDAttack_targeted(None, eps=0.1, logger=logging.getLogger("judge"))
    torch.testing.assert_close(losses.dlr(logits, labels), judge.dlr_loss(logits, labels))
    judge.y_target = targets
    torch.testing.assert_close(losses.targeted_dlr(logits, labels, targets), judge.dlr_loss_targeted(logits, labels))


def test_dlr_does_not_depend_on_scale_and_shift(drawn):
    logits, labels, _ = drawn
    torch.testing.assert_close(losses.dlr(1e3 * logits + 7, labels), losses.dlr(logits, labels))


def test_logit_difference_is_above_zero_exactly_where_the_label_lost(drawn):
    logits, labels, targets = drawn
    assert torch.equal(losses.logit_difference(logits, labels) > 0, logits.argmax(1) != labels)
    won = losses.targeted_difference(logits, labels, targets) > 0
    assert torch.equal(won, logits.argmax(1) == targets)


def test_kl_agrees_with_torch(drawn):
    clean, _, _ = drawn
    other = clean.flip(0)
    expected = functional.kl_div(other.log_softmax(1), clean.log_softmax(1), reduction="none", log_target=True).sum(1)
    torch.testing.assert_close(losses.kl_divergence(other, clean), expected)


def test_too_few_classes_and_unknown_losses_are_refused(drawn):
    logits, labels, targets = drawn
    with pytest.raises(UserError, match="at least 3 classes, the network has 2"):
        losses.dlr(logits[:, :2], labels % 2)
    with pytest.raises(UserError, match="at least 4 classes, the network has 3"):
        losses.targeted_dlr(logits[:, :3], labels % 3, targets % 3)
    with pytest.raises(UserError, match="unknown loss 'dl'. Did you mean dlr"):
        losses.objective("dl", labels, None, torch.arange(50))
