"""Feature ensembles: timm's intermediate features, scikit-learn's logistic regression, a closed form of the steps."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from timm.models.vision_transformer import VisionTransformer

from brainscore_submission.attacks.classifier import Classifier
from brainscore_submission.labelled_images.images import Batch, read_labelled_images
from brainscore_submission.models.model import Model
from brainscore_submission.plugin.card import Card, Preprocessing, Weights
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.probes import readouts
from brainscore_submission.probes.features import ensemble, features_of, reading_of
from brainscore_submission.probes.readouts import (
    QUERIES,
    FewShot,
    episodes,
    few_shot_accuracy,
    fit_linear,
    measure_features,
)
from brainscore_submission.robustness.classifiers import classifier_of
from brainscore_submission.robustness.recording import RecordBook

CLASSES, PX = 6, 32


def gratings(n, seed):
    """Noisy gratings of six directions, which overlap: a network is right about nine in ten."""
    rng, labels = np.random.default_rng(seed), np.arange(n) % CLASSES
    x, y = np.meshgrid(*[np.linspace(-1, 1, PX)] * 2)
    turned = (np.pi * labels / CLASSES + rng.normal(0, 0.15, n))[:, None, None]
    waves = np.sin(10 * np.pi * (x * np.cos(turned) + y * np.sin(turned)) + rng.uniform(0, 2 * np.pi, (n, 1, 1)))
    images = 128 + 60 * waves[..., None] * rng.uniform(0.5, 1, (n, 1, 1, 3)) + rng.normal(0, 100, (n, PX, PX, 3))
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def trained():
    """A vision transformer of four blocks that has seen two epochs of gratings, as a command would open it."""
    torch.manual_seed(0)
    network = VisionTransformer(img_size=PX, patch_size=8, embed_dim=48, depth=4, num_heads=4, num_classes=CLASSES)
    images, labels = gratings(3000, 0)
    pixels, labels = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    for _epoch in range(2):
        for rows in torch.randperm(len(labels)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(network(pixels[rows]), labels[rows]).backward()
            optimizer.step()
    card = Card(
        identifier="trained",
        architecture="trained",
        weights=Weights(file="none"),
        preprocessing=Preprocessing("small", resize_px=PX, mean=(0.5,) * 3, std=(0.5,) * 3),
        num_classes=CLASSES,
    )
    return Model("trained", card, network.eval(), {"sha256": "of the test"}, {}, batch_size=50)


@pytest.fixture
def bench(trained, tmp_path):
    """Images of both sets, books of them, and a count of what the network is shown."""
    sets = []
    for name, n, seed in (("train", 600, 1), ("test", 300, 2)):
        images, labels = gratings(n, seed)
        np.savez(tmp_path / f"{name}.npz", image=images, label=labels)
        sets.append(read_labelled_images(tmp_path / f"{name}.npz", trained.card.preprocessing, CLASSES))
    shown = []
    handle = trained.network.register_forward_pre_hook(lambda _module, args: shown.append(len(args[0])))

    def books(folder="results"):
        return [RecordBook(trained, one, tmp_path / folder, suite="probes") for one in sets]

    yield SimpleNamespace(books=books, shown=shown, classifier=classifier_of(trained), network=trained.network)
    handle.remove()


def seen_by(network, reading, pixels):
    """Features as they are recorded, of pixels that need no normalisation."""
    look = features_of(Classifier(network.eval()), reading)
    return look(Batch(tuple(range(len(pixels))), (), torch.zeros(len(pixels)), pixels, None))


# --- which features --------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("name", ["test_vit", "deit_tiny_distilled_patch16_224"])
def test_class_and_patch_tokens_are_timms_intermediates_after_the_final_norm(name):
    network = timm.create_model(name).eval()
    pixels = torch.rand(2, 3, *network.default_cfg["input_size"][1:], generator=torch.Generator().manual_seed(0))
    wanted = network.forward_intermediates(
        pixels, indices=3, norm=True, return_prefix_tokens=True, intermediates_only=True, output_fmt="NLC"
    )
    for patches in (False, True):
        reading = reading_of(network, 3, patches=patches)
        seen = seen_by(network, reading, pixels)
        for n, (tokens, prefix) in enumerate(wanted):
            parts = [prefix[:, 0], *([tokens.mean(1)] if patches else [])]
            found = torch.from_numpy(seen[f"features of {reading.layers[n]}"])
            torch.testing.assert_close(found, torch.cat(parts, 1), rtol=0, atol=1e-5)
    assert ensemble(seen, reading, 2).shape[1] == 2 * found.shape[1]


@torch.no_grad()
def test_of_a_crossvit_both_branches_are_read_and_this_is_said():
    network = timm.create_model("crossvit_tiny_test").eval()
    pixels = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    reading = reading_of(network)
    assert reading.layers == ("blocks.0", "blocks.1", "blocks.2") and "both branches" in reading.said
    seen = seen_by(network, reading, pixels)
    last = torch.cat([branch[:, 0] for branch in network.forward_features(pixels)], 1)
    torch.testing.assert_close(torch.from_numpy(seen["features of blocks.2"]), last)
    # and one block earlier: the same network without its last block
    del network.blocks[2]
    before = torch.cat([branch[:, 0] for branch in network.forward_features(pixels)], 1)
    torch.testing.assert_close(torch.from_numpy(seen["features of blocks.1"]), before)
    with pytest.raises(UserError, match="--last 4: the network has 2 blocks. Give 1 to 2"):
        reading_of(network, 4)


@torch.no_grad()
def test_where_the_class_token_comes_later_the_mean_patch_token_is_read_and_this_is_said():
    network = timm.create_model("xcit_nano_12_p16_224", img_size=32).eval()
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    reading = reading_of(network, 1)
    assert "no class token passes through the blocks" in reading.said
    (tokens,) = network.forward_intermediates(pixels, indices=1, intermediates_only=True, output_fmt="NLC")
    found = torch.from_numpy(seen_by(network, reading, pixels)["features of blocks.11"])
    torch.testing.assert_close(found, network.norm(tokens).mean(1), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["test_resnet", "swin_tiny_patch4_window7_224"])
def test_of_a_network_with_stages_they_are_pooled(name):
    network = timm.create_model(name).eval()
    pixels = torch.rand(2, 3, *network.default_cfg["input_size"][1:], generator=torch.Generator().manual_seed(0))
    reading = reading_of(network, 2)
    wanted = network.forward_intermediates(pixels, indices=2, intermediates_only=True)  # (n, channels, rows, columns)
    seen = seen_by(network, reading, pixels)
    for layer, features in zip(reading.layers, wanted, strict=True):
        np.testing.assert_allclose(seen[f"features of {layer}"], features.mean((2, 3)).numpy(), atol=1e-5)
    assert reading.axis == "last stages" and reading.words == ("last-2",)


def test_other_networks_need_layers():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(2))
    network(torch.rand(1, 3, 8, 8))
    with pytest.raises(UserError, match="name some, --layers"):
        reading_of(network)
    with pytest.raises(UserError, match="unknown layer '9'"):
        reading_of(network, layers=["9"])
    with pytest.raises(UserError, match="--patches goes beside a class token"):
        reading_of(network, layers=["1"], patches=True)
    reading = reading_of(network, layers=["1", "3"])
    assert {values.shape for values in seen_by(network, reading, torch.rand(2, 3, 8, 8)).values()} == {(2, 4), (2, 2)}


# --- what is learnt of them ------------------------------------------------------------------------------------------


def test_the_last_block_alone_is_within_half_a_point_of_scikit_learns_logistic_regression(trained):
    """3000 images to learn from, 2000 to be asked, of which nine in ten are answered right; 30 epochs."""
    reading, seen = reading_of(trained.network), []
    look = features_of(classifier_of(trained), reading)
    for n, seed in ((3000, 1), (2000, 2)):
        images, labels = gratings(n, seed)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        seen.append((look(Batch(tuple(range(n)), (), torch.from_numpy(labels), pixels, None)), labels))
    (learnt, labels), (asked, truth) = [(ensemble(one, reading, 1), labels) for one, labels in seen]
    judge = LogisticRegression(solver="newton-cg", max_iter=5000).fit(learnt, labels).score(asked, truth)
    answers = readouts.predicted(fit_linear(learnt, labels, CLASSES, epochs=30), asked)
    assert 0.85 < judge < 0.95
    assert abs((answers == truth).mean() - judge) <= 0.005


def test_what_features_have_in_common_and_their_scales_change_no_answer():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(500, 8)).astype(np.float32), rng.integers(0, 3, 500)
    features[:, 0] += labels
    moved = features * np.float32(2) ** rng.integers(-6, 6, 8) + 64
    moved = np.column_stack([moved, np.full(500, 7)]).astype(np.float32)  # a feature that all have alike
    answers = [readouts.predicted(fit_linear(one, labels, 3), one) for one in (features, moved)]
    assert (answers[0] == answers[1]).mean() > 0.99


def test_the_cosine_falls_at_every_step():
    """Of one batch an epoch and a gradient that hardly changes, AdamW's steps are the learning rate: 5.5 of 10."""
    features, labels = np.full((8, 1), 1e-3, dtype=np.float32), np.zeros(8, dtype=np.int64)
    layer = fit_linear(features, labels, 2)
    cosine = sum(0.5 * (1 + math.cos(math.pi * step / 10)) for step in range(10))
    assert cosine == pytest.approx(5.5)
    np.testing.assert_allclose(layer.bias.numpy(), [5.5 * 5e-4, -5.5 * 5e-4], rtol=1e-3)


def test_curve_and_few_shots_come_of_one_showing_of_each_image(bench):
    reading = reading_of(bench.network)
    few = FewShot(ways=3, shots=2, runs=20)
    linear, shots = measure_features(*bench.books(), bench.classifier, reading, few=few)
    assert sum(bench.shown) == 900
    assert linear.record.benchmark == "test.features" and shots.record.benchmark == "test.features.3-way-2-shot"
    for one, metric in ((linear, "features_accuracy"), (shots, "few_shot_accuracy")):
        curve = one.record.measured.settings["curve"]
        assert one.record.measured.metric == metric and [point["level"] for point in curve] == [1, 2, 3, 4]
        assert curve[-1]["value"] == one.record.measured.value and one.record.measured.settings["axis"] == "last blocks"
    for n in (1, 4):
        right = linear.table[f"answer at {n}"] == linear.table["label"]
        assert right.mean() == linear.record.measured.settings["curve"][n - 1]["value"]
    assert "the linear layer took 100 steps" in linear.record.notes[0]
    bench.shown.clear()
    again = measure_features(*bench.books(), bench.classifier, reading, few=few)
    assert bench.shown == [] and [one.record.checksum for one in again] == [
        one.record.checksum for one in (linear, shots)
    ]


def test_a_killed_run_goes_on_where_it_was(bench, monkeypatch):
    reading = reading_of(bench.network)
    (whole,) = measure_features(*bench.books("whole"), bench.classifier, reading)

    def killed(*_):
        if sum(bench.shown) >= 700:
            raise KeyboardInterrupt

    bench.shown.clear()
    handle = bench.network.register_forward_hook(killed)
    with pytest.raises(KeyboardInterrupt):
        measure_features(*bench.books(), bench.classifier, reading)
    handle.remove()
    before = sum(bench.shown)
    (resumed,) = measure_features(*bench.books(), bench.classifier, reading)
    assert before == 700 and sum(bench.shown) == 950  # the batch that was killed is shown again
    assert resumed.record.measured == whole.record.measured
    assert not list(bench.books()[0].folder.rglob("*.npz"))


def test_images_in_both_sets_are_named(bench):
    train, _ = bench.books()
    (found,) = measure_features(train, train, bench.classifier, reading_of(bench.network, 1))
    assert found.record.notes[0] == "600 test images among those that were learnt from"


# --- few shots -------------------------------------------------------------------------------------------------------


def test_episodes_are_drawn_by_class_and_always_the_same():
    train, test = np.repeat(np.arange(8), 6), np.repeat(np.arange(8), 20)
    drawn = list(episodes(train, test, FewShot(5, 3, 40), seed=1))
    for one in drawn:
        classes, counts = np.unique(train[one.support], return_counts=True)
        assert len(classes) == 5 and set(counts) == {3} and len(set(one.support)) == 15
        asked, counts = np.unique(test[one.queries], return_counts=True)
        assert set(asked) == set(classes) and set(counts) == {QUERIES}
    fewer = list(episodes(train, test, FewShot(5, 3, 10), seed=1))
    assert all(np.array_equal(a.queries, b.queries) for a, b in zip(drawn, fewer, strict=False))
    assert not np.array_equal(next(episodes(train, test, FewShot(5, 3, 1), seed=2)).support, drawn[0].support)
    with pytest.raises(UserError, match="8 classes have 3 training images and a test image"):
        next(episodes(train, test, FewShot(9, 3, 1)))
    with pytest.raises(UserError, match="0 classes have 7 training images"):
        next(episodes(train, test, FewShot(2, 7, 1)))


def test_few_shots_of_planted_features_are_all_right_and_of_noise_are_chance():
    train, test, few = np.repeat(np.arange(6), 10), np.repeat(np.arange(6), 30), FewShot(4, 1, 200)
    planted = np.eye(6)
    noise = np.random.default_rng(0).normal(size=(len(train) + len(test), 20))
    clean, chance = [], []
    for one in episodes(train, test, few):
        clean.append(few_shot_accuracy(planted[train], train, planted[test], test, one))
        chance.append(few_shot_accuracy(noise[: len(train)], train, noise[len(train) :], test, one))
    assert set(clean) == {1.0}
    assert np.mean(chance) == pytest.approx(1 / 4, abs=4 * np.std(chance) / math.sqrt(200))
