"""Networks to attack: linear ones with exact answers, and two trained on scikit-learn's digits."""

from types import SimpleNamespace

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from brainscore_submission.attacks.classifier import Classifier

EPS = 0.2  # of the adversarial training, linf


@pytest.fixture(autouse=True)
def _one_thread():
    """Small networks are slower on two threads, and another process may need the second core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits():
    """8 x 8 digits: 1000 to train on, 797 to test on; pixels of shape (n, 1, 8, 8) in [0, 1]."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    pixels = torch.tensor(data.images / 16, dtype=torch.float32)[order, None]
    labels = torch.tensor(data.target)[order]
    return SimpleNamespace(
        train_pixels=pixels[:1000], train_labels=labels[:1000], pixels=pixels[1000:], labels=labels[1000:]
    )


def small_network(seed=0):
    """Two convolutions, BatchNorm, two layers: 10 classes from (n, 1, 8, 8)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 16, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )


def trained(digits, eps, epochs, seed=0):
    """Adam; with eps > 0 on images of one FGSM step from a random start (Wong et al. 2020)."""
    network = small_network(seed)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(digits.train_pixels), generator=generator).split(100):
            pixels, labels = digits.train_pixels[rows], digits.train_labels[rows]
            if eps:
                delta = torch.empty_like(pixels).uniform_(-eps, eps, generator=generator).requires_grad_(True)
                loss = functional.cross_entropy(network((pixels + delta).clamp(0, 1)), labels)
                (gradient,) = torch.autograd.grad(loss, delta)
                delta = (delta.detach() + 1.25 * eps * gradient.sign()).clamp(-eps, eps)
                pixels = (pixels + delta).clamp(0, 1)
            optimizer.zero_grad()
            functional.cross_entropy(network(pixels), labels).backward()
            optimizer.step()
    optimizer.zero_grad()  # attacks must leave no gradient: start without one
    return Classifier(network.eval())


@pytest.fixture(scope="session")
def robust(digits):
    """Trained on adversarial digits."""
    return trained(digits, EPS, epochs=30)


@pytest.fixture(scope="session")
def standard(digits):
    """Trained on digits."""
    return trained(digits, 0, epochs=10)
