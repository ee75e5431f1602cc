"""On a GPU the same attack from the same noise."""

import copy

import pytest
import torch
from torch import nn

from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.attacks.named import run_attack
from brainscore_submission.attacks.threats import Threat

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("name", ["fgsm", "pgd:5x2", "apgd:20x1", "apgd-t:10x3", "minimal:20", "linsley2023", "union"])
def test_the_gpu_finds_what_the_cpu_finds(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 5)).double().eval()
    pixels = torch.rand(8, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = network(pixels).argmax(1)
    here = Classifier(network, dtype=torch.float64)
    there = Classifier(copy.deepcopy(network).cuda(), dtype=torch.float64)
    one, other = (run_attack(name, classifier, pixels, labels, Threat("l2", 0.4)) for classifier in (here, there))
    assert other.adversarial.is_cuda and torch.equal(one.found, other.found.cpu())
    found = one.found
    torch.testing.assert_close(other.adversarial.cpu()[found], one.adversarial[found], rtol=0, atol=1e-7)
    torch.testing.assert_close(other.size.cpu(), one.size, rtol=0, atol=1e-7, equal_nan=True)
    assert torch.equal(one.passes, other.passes.cpu())
