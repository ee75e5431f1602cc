"""Attacks as they are typed."""

import pytest
import torch
from torch import nn

from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.attacks.named import ATTACKS, most_passes, parse_attack, run_attack
from brainscore_submission.attacks.threats import Threat
from brainscore_submission.plugin.errors import UserError


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("fgsm", "fgsm"),
        ("pgd:10x1", "pgd:10x1"),
        ("pgd:50", "pgd:50x1"),
        ("PGD", "pgd:10x1"),
        ("apgd", "apgd:100x1"),
        ("apgd-t:50x3", "apgd-t:50x3"),
        ("minimal:200", "minimal:200"),
        ("union", "union"),
        ("linsley2023", "linsley2023"),
        ("autoattack", "autoattack"),
    ],
)
def test_an_attack_is_read_and_written_with_its_numbers(typed, read):
    assert str(parse_attack(typed)) == read and str(parse_attack(read)) == read


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("pdg", "unknown attack 'pdg'. Did you mean pgd?"),
        ("", "Available: fgsm, pgd, apgd"),
        ("pgd:10x", "write pgd:STEPSxREPEATS with whole numbers from 1 on, for example pgd:10x1"),
        ("pgd:0x1", "whole numbers from 1 on"),
        ("pgd:1e3", "whole numbers"),
        ("pgd:-1", "whole numbers"),
        ("pgd:10x1x1", "whole numbers"),
        ("fgsm:3", "takes no numbers: write fgsm"),
        ("minimal:100x2", "write minimal:STEPS with"),
    ],
)
def test_what_is_no_attack_is_refused_with_the_way_out(typed, answer):
    with pytest.raises(UserError) as error:
        parse_attack(typed)
    assert answer in str(error.value) and "\n" not in str(error.value)


def few_classes(n):
    """Class 0 where the first three pixels outweigh the last one, as in an even grey; the others where they do not."""
    layer = nn.Linear(4, n, bias=False)
    signs = torch.tensor([1.0, 1.0, 1.0, -1.0])
    layer.weight.data = torch.stack([signs] + [-signs] * (n - 1))
    return Classifier(nn.Sequential(nn.Flatten(), layer).eval())


def test_an_attack_that_cannot_aim_or_knows_another_norm_says_so():
    pixels, labels = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    for name in (name for name, kind in ATTACKS.items() if "targets" not in kind.takes):
        with pytest.raises(UserError, match="cannot aim at a class; these can: fgsm, pgd, apgd, apgd-dlr, minimal"):
            run_attack(name, few_classes(5), pixels, labels, Threat("l2", 0.1), targets=1)
    for name in ("minimal", "linsley2023"):
        with pytest.raises(UserError, match="give an l2 threat, not linf:4/255"):
            run_attack(name, few_classes(5), pixels, labels, Threat("linf", 4 / 255))


def test_few_classes_leave_the_attacks_that_need_no_more():
    pixels, labels = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    with pytest.raises(UserError, match="at least 4 classes, the network has 3"):
        run_attack("apgd-t", few_classes(3), pixels, labels, Threat("l2", 0.1))
    assert run_attack("union", few_classes(2), pixels, labels, Threat("l2", 5.0)).found.tolist() == [True]


def test_a_search_counts_what_lies_within_the_threat():
    """The boundary of this network is .1 away from the first image and .2 from the second."""
    network = nn.Linear(2, 2, bias=False)
    network.weight.data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    classifier = Classifier(network.eval(), mean=0.5)
    pixels, labels = torch.tensor([[0.6, 0.5], [0.7, 0.5]]), torch.tensor([0, 0])
    for name in ("minimal", "linsley2023"):
        attack = run_attack(name, classifier, pixels, labels, Threat("l2", 0.15))
        assert attack.found.tolist() == [True, False] and attack.size[1].isnan()
        assert torch.equal(attack.adversarial[1], pixels[1])
        assert abs(float(attack.size[0]) - 0.1) < 0.011


@pytest.mark.parametrize(
    "typed", ["fgsm", "pgd:6x3", "apgd:7x2", "apgd-dlr:5x1", "apgd-t:4x9", "minimal:12", "linsley2023"]
)
def test_the_stated_passes_are_those_of_an_image_that_resists(typed):
    """Counted on a network that no pixel moves, so that every try is made."""

    class Same(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :1] * 0 + torch.arange(6, 0, -1).to(images)

    classifier = Classifier(Same().eval())
    pixels, labels = torch.full((3, 1, 2, 2), 0.5), torch.zeros(3, dtype=torch.int64)
    classifier(pixels[:1])
    classifier.passes = 0
    threat = Threat("l2" if typed.startswith(("minimal", "linsley")) else "linf", 0.1)
    run_attack(typed, classifier, pixels, labels, threat)
    forward, backward = most_passes(typed, threat.norm, classifier.n_classes)
    assert classifier.passes / 3 <= forward and backward < forward
    if typed != "linsley2023":  # which stops where the largest radius finds nothing
        assert classifier.passes / 3 >= forward - 1
