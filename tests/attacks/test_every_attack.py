"""What holds for every attack, over norms, radii, precisions, batches and networks that give nothing to hold on to."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.attacks.found import Attack, joined
from brainscore_submission.attacks.named import Named, run_attack
from brainscore_submission.attacks.pgd import pgd
from brainscore_submission.attacks.threats import NORMS, Threat
from brainscore_submission.plugin.errors import UserError

SHORT = {
    "fgsm": Named("fgsm"),
    "pgd": Named("pgd", 4, 2),
    "apgd": Named("apgd", 6, 2),
    "apgd-dlr": Named("apgd-dlr", 6, 1),
    "apgd-t": Named("apgd-t", 5, 3),
    "minimal": Named("minimal", 10),
    "linsley2023": Named("linsley2023"),
}
L2_ONLY = ("minimal", "linsley2023")
N_CLASSES = 5
ROOM = Path(__file__).parents[2] / "brainscore_submission" / "attacks"


class Zero(nn.Module):
    """Logits that no pixel moves, though a gradient of zero flows."""

    def forward(self, images):
        return images.flatten(1)[:, :N_CLASSES] * 0 + torch.arange(N_CLASSES, 0, -1).to(images)


class Tie(Zero):
    """The same, all logits equal: the label wins or loses by its place alone."""

    def forward(self, images):
        return super().forward(images) * 0


class Nan(nn.Module):
    """Logits that are NaN for bright images."""

    def forward(self, images):
        flat = images.flatten(1)[:, :N_CLASSES]
        return torch.where(flat.mean(1, keepdim=True) > 0.2, torch.nan, flat)


def smooth(dtype=torch.float64, seed=0, batch_norm=False):
    """A network without kinks, where rounding cannot flip a sign."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        norm = [nn.BatchNorm2d(4)] if batch_norm else []
        layers = [nn.Conv2d(1, 4, 3), *norm, nn.Tanh(), nn.Flatten(), nn.Linear(64, N_CLASSES)]
    return nn.Sequential(*layers).to(dtype).eval()


def drawn(n, dtype=torch.float64, seed=0, saturated=False):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(n, 1, 6, 6, generator=generator, dtype=dtype)
    return pixels.round() if saturated else pixels, torch.randint(N_CLASSES, (n,), generator=generator)


def holds(attack: Attack, classifier, pixels, labels, threat):
    """The promises of `Attack`, checked from outside."""
    delta = attack.adversarial.double() - pixels.double()
    size = NORMS[threat.norm].size(delta)
    assert attack.adversarial.shape == pixels.shape and attack.adversarial.dtype == classifier.dtype
    assert bool((size <= threat.eps * (1 + 1e-6)).all())
    assert bool(((attack.adversarial >= 0) & (attack.adversarial <= 1)).all())
    assert torch.equal(attack.size.isnan(), ~attack.found)
    torch.testing.assert_close(attack.size[attack.found], size[attack.found])
    if len(pixels):
        with torch.no_grad():
            logits = classifier(attack.adversarial)
        assert torch.equal((logits.argmax(1) != labels)[attack.found], attack.found[attack.found])
    assert attack.found.shape == attack.loss.shape == attack.passes.shape == labels.shape
    assert len(attack.curve) == len(labels)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(SHORT)),
    norm=st.sampled_from(sorted(NORMS)),
    eps=st.sampled_from([0.0, 1e-7, 1 / 255, 0.1, 0.9]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    n=st.sampled_from([0, 1, 5]),
    saturated=st.booleans(),
    network=st.sampled_from(["smooth", "zero", "tie"]),
    seed=st.integers(0, 1000),
)
def test_every_attack_keeps_its_promises(name, norm, eps, dtype, n, saturated, network, seed):
    threat = Threat("l2" if name in L2_ONLY else norm, eps)
    pixels, labels = drawn(n, dtype, seed, saturated)
    networks = {"smooth": smooth(dtype, seed), "zero": Zero().eval(), "tie": Tie().eval()}
    classifier = Classifier(networks[network], 0.5, 0.25, dtype=dtype)
    attack = run_attack(SHORT[name], classifier, pixels, labels, threat, seed=seed)
    holds(attack, classifier, pixels, labels, threat)
    if network != "smooth":
        assert torch.equal(attack.found, labels != 0)  # nothing moves: found where it is wrong already


@pytest.mark.parametrize("name", [*SHORT, "union"])
@pytest.mark.parametrize("norm", sorted(NORMS))
def test_nan_is_refused_never_counted_as_success(name, norm):
    pixels, labels = drawn(4)
    pixels[2] = 0.9
    threat = Threat("l2" if name in L2_ONLY else norm, 0.1)
    with pytest.raises(UserError, match="not finite"):
        run_attack(SHORT.get(name, name), Classifier(Nan().eval(), dtype=torch.float64), pixels, labels, threat)


@pytest.mark.parametrize("name", [*SHORT, "union"])
@pytest.mark.parametrize("norm", sorted(NORMS))
def test_an_image_alone_and_in_a_batch_meets_the_same_attack(name, norm):
    if name in L2_ONLY and norm != "l2":
        pytest.skip("an l2 search")
    classifier = Classifier(smooth(), dtype=torch.float64)
    pixels, _ = drawn(6)
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    threat, names = Threat(norm, 0.05 if norm == "linf" else 0.3), [f"{i}.png" for i in range(6)]
    named = SHORT.get(name, name)
    together = run_attack(named, classifier, pixels, labels, threat, seed=3, identities=names)
    alone = [
        run_attack(named, classifier, pixels[[i]], labels[[i]], threat, seed=3, identities=[names[i]]) for i in range(6)
    ]
    alone = joined(alone)
    assert torch.equal(together.found, alone.found) and int(together.found.sum()) > 0
    found = together.found
    torch.testing.assert_close(together.adversarial[found], alone.adversarial[found], rtol=0, atol=1e-12)
    # Where none wins, a hundred steps end on a plateau: which of its images has the largest loss is the last bit's say.
    plateau = 1e-7 if name == "union" else 1e-12
    torch.testing.assert_close(together.adversarial, alone.adversarial, rtol=0, atol=plateau)
    torch.testing.assert_close(together.size, alone.size, rtol=0, atol=1e-12, equal_nan=True)
    assert torch.equal(together.passes, alone.passes)


@pytest.mark.parametrize("name", [*SHORT, "union"])
def test_the_network_is_untouched_by_every_attack(name):
    network = smooth(batch_norm=True)
    before = {key: values.clone() for key, values in network.state_dict().items()}
    pixels, labels = drawn(4)
    run_attack(SHORT.get(name, name), Classifier(network, dtype=torch.float64), pixels, labels, Threat("l2", 0.1))
    assert all(torch.equal(values, before[key]) for key, values in network.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize("name", ["pgd", "apgd", "apgd-t"])
def test_noise_changes_with_the_seed_and_nothing_changes_without(name):
    classifier = Classifier(smooth(), dtype=torch.float64)
    pixels, labels = drawn(4)
    threat = Threat("linf", 0.01)
    one, same, other = (
        run_attack(SHORT[name], classifier, pixels, labels, threat, seed=seed).curve[:, 0] for seed in (0, 0, 1)
    )
    assert torch.equal(one, same) and not (one == other).any()


def test_the_global_random_state_is_not_used():
    classifier = Classifier(smooth(), dtype=torch.float64)
    pixels, labels = drawn(4)
    before = torch.get_rng_state()
    for named in SHORT.values():
        run_attack(named, classifier, pixels, labels, Threat("l2", 0.1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd", "minimal"])
def test_a_targeted_attack_is_found_where_the_target_wins(name):
    classifier = Classifier(smooth(), dtype=torch.float64)
    pixels, _ = drawn(8)
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    attack = run_attack(SHORT[name], classifier, pixels, labels, Threat("l2", 3.0), targets=2)
    with torch.no_grad():
        logits = classifier(attack.adversarial)
    assert torch.equal(attack.found, logits.argmax(1) == 2) and int(attack.found.sum()) >= 6
    torch.testing.assert_close((-attack.loss).exp(), logits.softmax(1)[:, 2])


def test_the_best_image_on_the_way_is_kept():
    """Steps far too large: the last image is thrown about, the best one is not."""
    classifier = Classifier(smooth(), dtype=torch.float64)
    pixels, labels = drawn(50)
    threat = Threat("l2", 0.5)
    best, last = (pgd(classifier, pixels, labels, threat, steps=15, step=3.0, keep=keep) for keep in ("best", "last"))
    assert bool((best.found >= last.found).all())
    torch.testing.assert_close(last.curve, best.curve)
    torch.testing.assert_close(last.loss, last.curve[:, -1])
    right = ~best.found  # of these no image won: the largest loss of the curve is kept
    torch.testing.assert_close(best.loss[right], best.curve[right].amax(1))
    assert float((best.loss - last.loss).mean()) > 0


def test_restarts_only_ever_add():
    classifier = Classifier(smooth(), dtype=torch.float64)
    pixels, _ = drawn(60)
    with torch.no_grad():
        labels = classifier(pixels).argmax(1)
    one, five = (run_attack(f"pgd:3x{n}", classifier, pixels, labels, Threat("l2", 0.35)) for n in (1, 5))
    assert bool((five.found >= one.found).all()) and bool((five.loss >= one.loss)[~five.found].all())
    assert torch.equal(five.passes[one.found], one.passes[one.found])
    assert bool((five.passes[~five.found] == 5 * 4).all())


def test_a_climb_can_be_watched():
    classifier = Classifier(smooth(), dtype=torch.float64)
    pixels, labels = drawn(3)
    seen = []
    attack = pgd(
        classifier, pixels, labels, Threat("l2", 300.0), steps=20, step=1.0, start="image", targets=1,
        watch=lambda step, images: seen.append((step, images)),
    )  # fmt: skip
    assert [step for step, _ in seen] == list(range(21)) and torch.equal(seen[0][1], pixels)
    with torch.no_grad():
        losses = [nn.functional.cross_entropy(classifier(images), torch.ones_like(labels)) for _, images in seen]
    torch.testing.assert_close(torch.stack(losses), attack.curve.mean(0))
    assert bool(attack.found.all()) and bool((attack.curve[:, -1] < attack.curve[:, 0] - 0.2).all())


def test_the_gradient_is_asked_for_in_one_place():
    texts = {path.name: path.read_text() for path in ROOM.glob("*.py")}
    assert [name for name, text in texts.items() if "autograd.grad(" in text] == ["gradients.py"]
    assert not [name for name, text in texts.items() if ".backward(" in text]
