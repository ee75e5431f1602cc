"""Networks trained on digits: the order of the attacks, and the judges pyautoattack and foolbox."""

import copy

import pytest
import torch

from brainscore_submission.attacks.autoattack import autoattack
from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.attacks.minimal import minimal_l2
from brainscore_submission.attacks.named import run_attack
from brainscore_submission.attacks.threats import Threat
from brainscore_submission.plugin.errors import UserError

EPS = 0.2  # that the robust network was trained with
THREAT = Threat("linf", EPS)
"""For the robust network; the standard one is broken at a tenth already."""


def robust_accuracy(attack):
    return 1 - float(attack.found.double().mean())


def right_ones(classifier, digits, n):
    with torch.no_grad():
        right = classifier(digits.pixels).argmax(1) == digits.labels
    return digits.pixels[right][:n], digits.labels[right][:n]


def test_robust_accuracy_falls_from_fgsm_to_the_union(robust, digits):
    pixels, labels = digits.pixels[:300], digits.labels[:300]
    accuracy = {
        name: robust_accuracy(run_attack(name, robust, pixels, labels, THREAT))
        for name in ("fgsm", "pgd:50x1", "pgd:50x5", "union")
    }
    assert list(accuracy.values()) == sorted(accuracy.values(), reverse=True) and len(set(accuracy.values())) == 4
    assert accuracy["fgsm"] - accuracy["union"] > 0.2, accuracy


def test_adversarial_training_shows(robust, standard, digits):
    pixels, labels = digits.pixels[:300], digits.labels[:300]
    trained, plain = (
        robust_accuracy(run_attack("pgd:20x1", network, pixels, labels, THREAT)) for network in (robust, standard)
    )
    assert trained > plain + 0.15, (trained, plain)


@pytest.mark.slow
def test_our_apgd_agrees_with_pyautoattack(robust, digits):
    """Mean of three seeds, since one seed moves either of them by a point."""
    pytest.importorskip("pyautoattack")
    pixels, labels = digits.pixels[:500], digits.labels[:500]
    seeds = range(3)
    ours = [robust_accuracy(run_attack("apgd", robust, pixels, labels, THREAT, seed=seed)) for seed in seeds]
    theirs = [
        robust_accuracy(autoattack(robust, pixels, labels, THREAT, version="apgd-ce", seed=seed)) for seed in seeds
    ]
    assert abs(sum(ours) - sum(theirs)) / 3 <= 0.01, (ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "eps"), [("linf", EPS), ("l2", 0.6)])
def test_the_union_is_not_above_autoattack(robust, digits, norm, eps):
    pytest.importorskip("pyautoattack")
    pixels, labels = digits.pixels[:150], digits.labels[:150]
    threat = Threat(norm, eps)
    ours = robust_accuracy(run_attack("union", robust, pixels, labels, threat))
    theirs = robust_accuracy(run_attack("autoattack", robust, pixels, labels, threat))
    assert ours <= theirs + 0.01, (ours, theirs)


@pytest.mark.slow
def test_the_union_is_not_above_autoattack_on_the_standard_network(standard, digits):
    pytest.importorskip("pyautoattack")
    pixels, labels = digits.pixels[:500], digits.labels[:500]
    threat = Threat("linf", 0.1)
    ours = robust_accuracy(run_attack("union", standard, pixels, labels, threat))
    theirs = robust_accuracy(run_attack("autoattack", standard, pixels, labels, threat))
    assert ours <= theirs + 0.01, (ours, theirs)


@pytest.mark.parametrize("name", ["robust", "standard"])
def test_the_smallest_perturbation_is_not_above_foolbox(request, digits, name):
    foolbox = pytest.importorskip("foolbox")
    network = request.getfixturevalue(name)
    pixels, labels = right_ones(network, digits, 300)
    judge = foolbox.PyTorchModel(network, bounds=(0, 1))
    _, theirs, _ = foolbox.attacks.DDNAttack(steps=100)(judge, pixels, labels, epsilons=None)
    theirs = (theirs - pixels).flatten(1).norm(dim=1).double()
    ours = minimal_l2(network, pixels, labels)
    assert bool(ours.found.all())
    assert float(ours.size.median()) <= float(theirs.median()) and float(ours.size.mean()) <= float(theirs.mean())
    assert float((ours.size <= theirs * 1.001).double().mean()) > 0.98


def test_foolbox_agrees_on_one_step(robust, digits):
    """In float64: in float32 the gradient of foolbox's cross-entropy has lost digits where the network is sure."""
    foolbox = pytest.importorskip("foolbox")
    network = Classifier(copy.deepcopy(robust.network).double(), dtype=torch.float64)
    pixels, labels = digits.pixels[:100].double(), digits.labels[:100]
    judge = foolbox.PyTorchModel(network, bounds=(0, 1))
    for norm, attack in (("linf", foolbox.attacks.FGSM()), ("l2", foolbox.attacks.FGM())):
        _, theirs, _ = attack(judge, pixels, labels, epsilons=EPS)
        ours = run_attack("fgsm", network, pixels, labels, Threat(norm, EPS)).adversarial
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_autoattack_keeps_what_it_promises(robust, digits):
    pytest.importorskip("pyautoattack")
    pixels, labels = digits.pixels[:40], digits.labels[:40]
    robust.zero_grad()  # foolbox leaves gradients on the weights
    before = torch.get_rng_state()
    attack = autoattack(robust, pixels, labels, THREAT, version="apgd-ce")
    delta = (attack.adversarial.double() - pixels.double()).flatten(1).abs().amax(1)
    assert bool((delta <= EPS * (1 + 1e-6)).all()) and torch.equal(attack.size.isnan(), ~attack.found)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(weight.grad is None and weight.requires_grad for weight in robust.parameters())
    assert len(autoattack(robust, pixels[:0], labels[:0], THREAT).found) == 0


def test_without_pyautoattack_the_extra_is_named(robust, digits, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyautoattack", None)
    with pytest.raises(UserError, match=r"pip install 'brainscore-submission\[robustness\]'"):
        run_attack("autoattack", robust, digits.pixels[:2], digits.labels[:2], THREAT)


def test_autoattack_refuses_what_it_cannot_attack(robust, digits):
    pytest.importorskip("pyautoattack")
    with pytest.raises(UserError, match="unknown version 'standrd' of AutoAttack. Did you mean standard"):
        autoattack(robust, digits.pixels[:2], digits.labels[:2], THREAT, version="standrd")
    with pytest.raises(UserError, match="takes pixels in 0 to 1, not -1 to 1"):
        autoattack(robust, digits.pixels[:2], digits.labels[:2], Threat("linf", 0.1, low=-1))
