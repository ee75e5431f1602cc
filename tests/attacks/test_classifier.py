"""The door: what cannot be attacked is refused in one line, and the network leaves as it came."""

import pytest
import torch
from torch import nn

from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.attacks.pgd import fgsm, pgd
from brainscore_submission.attacks.threats import Threat
from brainscore_submission.plugin.errors import UserError

THREAT = Threat("linf", 4 / 255)


def network(n_classes=3):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 36, n_classes)
        ).eval()


def images(n=4):
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 3


class Wrapped(nn.Module):
    """A network whose logits go through a function."""

    def __init__(self, change):
        super().__init__()
        self.inner, self.change = network(), change

    def forward(self, images):
        return self.change(self.inner(images))


def refused(match, pixels=None, labels=None, net=None, **options):
    drawn, classes = images()
    with pytest.raises(UserError, match=match) as error:
        fgsm(
            net if isinstance(net, Classifier) else Classifier(net or network()),
            drawn if pixels is None else pixels,
            classes if labels is None else labels,
            THREAT,
            **options,
        )
    assert "\n" not in str(error.value)


def test_pixels_that_are_not_pixels_are_refused():
    pixels, _ = images()
    refused("Divide 8-bit images by 255", pixels=(pixels * 255).byte())
    refused("divide 8-bit images by 255", pixels=pixels * 255)
    refused("give mean and std to the classifier", pixels=pixels - 0.5)
    refused("pixels lie in nan", pixels=pixels.clone().index_fill_(0, torch.tensor(1), torch.nan))


def test_labels_and_targets_must_be_among_the_classes():
    refused(r"labels lie in 0 to 3, but the network has 3 classes: 0 to 2", labels=torch.tensor([0, 1, 2, 3]))
    refused(r"labels lie in -1 to 2", labels=torch.tensor([0, 1, 2, -1]))
    refused(r"targets lie in 7 to 7", targets=7)
    refused(r"shape \(3,\); 4 images", labels=torch.tensor([0, 1, 2]))
    refused("whole numbers", labels=torch.rand(4))


def test_train_mode_is_refused_and_the_module_named():
    net = network()
    net[2].train()
    refused(r"train mode \(2\): call network.eval\(\)", net=net)
    refused("the whole network", net=network().train())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda logits: logits.detach(), "no gradient reaches the pixels"),
        (lambda logits: torch.zeros(4, 3, requires_grad=True) + 0, "no gradient reaches the pixels"),
        (lambda logits: (logits, logits), "gives tuple for"),
        (lambda logits: logits[:, :, None], "not logits of"),
        (lambda logits: logits[:, :1], "not logits of"),
        (lambda logits: logits * torch.nan, "logits are not finite"),
        (lambda logits: logits / 0, "logits are not finite"),
    ],
)
def test_a_network_that_cannot_be_attacked_is_refused(change, match):
    pixels, labels = images()
    classifier = Classifier(Wrapped(change).eval())
    classifier.n_classes = 3
    refused(match, pixels, labels, classifier)


class NanGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.tensor([1.0, torch.nan, 1.0, torch.nan])[:, None]


def test_gradients_that_are_not_finite_are_refused_with_the_images():
    pixels, labels = images()
    refused(
        r"gradients are not finite \(NaN or infinity\) for 2 of 4 images \(number 1, 3 of the batch\)",
        pixels,
        labels,
        Classifier(Wrapped(NanGradient.apply).eval()),
    )


def test_precisions_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r"call network.double\(\)"):
        Classifier(network(), dtype=torch.float64)
    with pytest.raises(UserError, match="float32 or float64"):
        Classifier(network(), dtype=torch.float16)


def test_a_network_in_bfloat16_gives_float32_logits():
    pixels, labels = images()
    classifier = Classifier(network().bfloat16())
    assert classifier(pixels).dtype == torch.float32
    assert fgsm(classifier, pixels, labels, THREAT).adversarial.dtype == torch.float32


def test_normalisation_is_that_of_the_mean_and_std_given():
    pixels, _ = images()
    net, mean, std = network(), (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    by_hand = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(Classifier(net, mean, std)(pixels), net(by_hand))


def test_the_network_leaves_as_it_came():
    pixels, labels = images()
    net = network()
    net[0].weight.requires_grad_(False)
    before = {name: values.clone() for name, values in net.state_dict().items()}
    wanted = [weight.requires_grad for weight in net.parameters()]
    classifier = Classifier(net)
    pgd(classifier, pixels, labels, THREAT, steps=3)
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())
    assert [weight.requires_grad for weight in net.parameters()] == wanted
    assert all(weight.grad is None for weight in net.parameters())
    with pytest.raises(UserError):
        pgd(classifier, pixels, labels + 9, THREAT, steps=3)
    assert [weight.requires_grad for weight in net.parameters()] == wanted


def test_train_mode_by_request_leaves_the_running_statistics():
    pixels, labels = images()
    net = network().train()
    before = {name: values.clone() for name, values in net.named_buffers()}
    pgd(Classifier(net, train_mode=True), pixels, labels, THREAT, steps=3)
    assert len(before) == 3 and net.training
    assert all(torch.equal(values, before[name]) for name, values in net.named_buffers())


def test_gradients_left_by_training_are_not_touched():
    pixels, labels = images()
    net = network()
    net(pixels).sum().backward()
    before = net[0].weight.grad.clone()
    fgsm(Classifier(net), pixels, labels, THREAT)
    assert torch.equal(net[0].weight.grad, before)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_an_attack_takes_gradients_wherever_it_is_called(context):
    pixels, labels = images()
    classifier = Classifier(network())
    expected = pgd(classifier, pixels, labels, THREAT, steps=2)
    with context():
        pixels, labels = images()
        found = pgd(classifier, pixels, labels, THREAT, steps=2)
    assert torch.equal(found.adversarial, expected.adversarial)


def test_passes_are_counted():
    pixels, labels = images()
    classifier = Classifier(network())
    attack = pgd(classifier, pixels, labels, THREAT, steps=5)
    assert attack.passes.tolist() == [6.0] * 4
    assert classifier.passes == 4 * 6 + 1  # one image at the door tells the number of classes
