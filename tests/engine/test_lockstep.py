"""Promises of lockstep.py and grams.py: the recorder's matrix whatever the plan, and nothing left behind."""

import itertools
import threading

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from brainscore_submission.engine.budget import Budget
from brainscore_submission.engine.images import ONES, ZEROS, Recording, Request, Stimulus, read_stimuli
from brainscore_submission.engine.lockstep import Sink, Sweep, Walker, batches_of
from brainscore_submission.engine.many_layers import GramSource, survey_recorder
from brainscore_submission.engine.plan import make_plan
from brainscore_submission.engine.recorder import Recorder
from brainscore_submission.engine.sketch import Sketch
from brainscore_submission.engine.survey import survey
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.preprocessing import load_pixels, normalise

PLENTY = 10**9
N_STIMULI = 11


@pytest.fixture
def stimuli(tmp_path):
    for i in range(N_STIMULI):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return read_stimuli(sorted(tmp_path.glob("*.png")))


@pytest.fixture
def make_recorder(tiny_network, tiny_card, tmp_path):
    def make(memory=PLENTY, disk=0, cache=None, network=tiny_network, **options):
        load = lambda path: normalise(load_pixels(path, tiny_card.preprocessing), tiny_card.preprocessing)  # noqa: E731
        budget = Budget(memory, disk, tmp_path / "scratch" if disk else None)
        return Recorder(network, load, "fingerprint", batch_size=4, budget=budget, cache=cache, **options)

    return make


@pytest.fixture
def tight(monkeypatch):
    """Plans as if a minibatch took no memory by itself, so that tiny networks meet their limits."""
    from brainscore_submission.engine import plan

    monkeypatch.setattr(plan, "COLUMN_BLOCK_BYTES", 0)
    monkeypatch.setattr(plan, "TRANSIENT_MARGIN", 0)
    monkeypatch.setattr(plan, "LEAST_FEATURES", 1)


def images_for(network, n=10, seed=0):
    size = network.pretrained_cfg["input_size"][-1]
    return torch.randn((n, 3, size, size), generator=torch.Generator().manual_seed(seed))


def recorded_by_recorder(network, images, layers):
    paths = [f"image {i}" for i in range(len(images))]
    load = lambda path: images[int(str(path).split()[1])]  # noqa: E731
    recorder = Recorder(network, load, "fingerprint", batch_size=4, budget=Budget(PLENTY, 0, None))
    stimuli = [Stimulus(path, f"{i:03d}") for i, path in enumerate(paths)]
    recording = recorder.record([Request(tuple(stimuli), grams=frozenset(layers))])
    return {layer: recording.gram(layer, stimuli) for layer in layers}


def lockstep(network, images, firings):
    """Gram matrices of all layers, at which minibatches of four wait for each other, as they come."""
    hashes = tuple(f"{i:03d}" for i in range(len(images)))
    parked = {Sink(layer, hashes, "gram", 0, firing.n_features): None for layer, firing in firings.items()}
    batches = batches_of(hashes, list(firings), 4)
    sweep = Sweep(network, firings, parked, {})
    return sweep.run(batches, lambda number: images[4 * number : 4 * number + 4])


def in_lockstep(network, images, firings):
    return {sink.layer: gram for sink, gram in lockstep(network, images, firings)}


MORE = [pytest.param(name, marks=pytest.mark.slow) for name in ("test_byobnet", "test_convnext", "test_maxvit")]


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", *MORE])
def test_lockstep_equals_the_recorder_on_every_layer_of_any_architecture(name):
    torch.manual_seed(0)
    network = timm.create_model(name).eval()
    images = images_for(network)
    firings = {candidate.layer: candidate.firing for candidate in survey(network, images[:3]).candidates}
    grams = in_lockstep(network, images, firings)
    expected = recorded_by_recorder(network, images, list(firings))
    assert list(grams) == list(firings)
    for layer, gram in grams.items():
        np.testing.assert_allclose(gram, expected[layer], rtol=0, atol=1e-10 * np.abs(expected[layer]).max())


class TwiceTheSame(nn.Module):
    """A module that fires twice, in place, between others."""

    pretrained_cfg = {"input_size": (3, 8, 8)}

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(192, 20), nn.Linear(20, 12)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images):
        return self.relu(self.second(self.relu(self.first(images.flatten(1)))))


def test_of_a_module_that_fires_twice_the_last_output_counts():
    torch.manual_seed(0)
    network = TwiceTheSame().eval()
    images = images_for(network)
    firings = {candidate.layer: candidate.firing for candidate in survey(network, images[:3]).candidates}
    assert firings["relu"].count == 2
    grams = in_lockstep(network, images, firings)
    for layer, expected in recorded_by_recorder(network, images, list(firings)).items():
        np.testing.assert_allclose(grams[layer], expected, rtol=0, atol=1e-10 * np.abs(expected).max())


BUDGETS = {
    "all in memory": (PLENTY, 0),
    "lockstep": (45_000 * N_STIMULI, 0),
    "on disk": (5_000 * N_STIMULI, PLENTY),
    "lockstep and disk": (30_500 * N_STIMULI, 60_000 * N_STIMULI),
    "some features at a time": (2_000 * N_STIMULI, 0),
}


@pytest.mark.parametrize("way", BUDGETS)
def test_every_plan_gives_the_recorders_matrices_and_makes_the_passes_it_promised(way, make_recorder, stimuli, tight):
    memory, disk = BUDGETS[way]
    recorder = make_recorder(memory, disk)
    found = survey_recorder(recorder, (3, 48, 48))
    source = GramSource(recorder, found)
    plan = source.plan(found.candidates, stimuli)
    assert plan.memory_bytes <= memory and plan.disk_bytes <= disk
    grams = {candidate.layer: gram for candidate, gram in source.grams(found.candidates, stimuli, plan)}
    assert recorder.image_passes == plan.image_passes
    layers = [candidate.layer for candidate in found.candidates]
    assert list(grams) == layers
    recording = make_recorder().record([Request(tuple(stimuli), grams=frozenset(layers))])
    hashes = Request(tuple(stimuli)).hashes
    for layer in layers:
        expected = recording.grams[layer, hashes]
        np.testing.assert_allclose(grams[layer], expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    ways = {
        (bool(sweep.parked), len(sweep.layers) > len(sweep.parked), sweep.on_disk, sweep.columns is not None)
        for sweep in plan.sweeps
    }
    assert {
        "all in memory": ways == {(False, True, False, False)},
        "lockstep": (True, False, False, False) in ways,
        "on disk": any(on_disk for *_, on_disk, _ in ways),
        "lockstep and disk": (True, True, True, False) in ways,
        "some features at a time": any(columns for *_, columns in ways),
    }[way]


@pytest.mark.parametrize("way, sketch", [("lockstep", None), ("on disk", None), ("lockstep and disk", Sketch(64, 0))])
def test_stimuli_without_an_image_are_rows_of_every_plans_matrices(way, sketch, make_recorder, stimuli, tight):
    memory, disk = BUDGETS[way]
    recorder = make_recorder(memory, disk)
    found = survey_recorder(recorder, (3, 48, 48))
    asked = (*stimuli, ZEROS, ONES)
    layers = [candidate.layer for candidate in found.candidates]
    recording = make_recorder().record([Request(tuple(stimuli), features=frozenset(layers))])
    for candidate, gram in GramSource(recorder, found, sketch).grams(found.candidates, asked):
        features = torch.from_numpy(recording.features(candidate.layer, stimuli))
        features = torch.cat([features, torch.zeros_like(features[:1]), torch.ones_like(features[:1])])
        if sketch is not None and candidate.n_features > sketch.columns:
            features = sketch.projection(candidate.n_features)(features)
        centred = features.double().numpy() - features.double().numpy().mean(axis=0)
        answer = Recording(grams={(candidate.layer, Request(asked).hashes): gram}).gram(candidate.layer, asked)
        np.testing.assert_allclose(answer, centred @ centred.T, rtol=0, atol=1e-6 * np.abs(answer).max())


@pytest.mark.parametrize("budget", [(PLENTY, 0), (5_000 * N_STIMULI, PLENTY), (2_000 * N_STIMULI, 0)])
def test_the_recorder_takes_them_along_with_other_layers_of_the_same_images(budget, make_recorder, stimuli):
    recorder = make_recorder(*budget)
    layers = [candidate.layer for candidate in survey_recorder(make_recorder(), (3, 48, 48)).candidates]
    framed, plain = frozenset(layers[:2]), frozenset(layers[2:4])
    asked = (ZEROS, ONES, *stimuli)
    recording = recorder.record([Request(asked, grams=framed), Request(tuple(stimuli), grams=plain)])
    features = make_recorder().record([Request(tuple(stimuli), features=framed)])
    for layer in framed:
        x = features.features(layer, stimuli).astype(float)
        x = np.concatenate([np.zeros_like(x[:1]), np.ones_like(x[:1]), x])
        x -= x.mean(axis=0)
        np.testing.assert_allclose(recording.gram(layer, asked), x @ x.T, rtol=0, atol=1e-9 * np.abs(x @ x.T).max())


def test_what_the_cache_holds_is_not_recorded_again(make_recorder, stimuli, tmp_path, tight):
    recorder = make_recorder(45_000 * N_STIMULI, cache=tmp_path / "cache")
    found = survey_recorder(recorder, (3, 48, 48))
    source = GramSource(recorder, found)
    recording = source.grams(found.candidates, stimuli)
    first = {candidate.layer: gram for candidate, gram in itertools.islice(recording, 100)}
    recording.close()
    again = GramSource(make_recorder(45_000 * N_STIMULI, cache=tmp_path / "cache"), found)
    plan = again.plan(found.candidates, stimuli)
    assert plan.layers == tuple(candidate.layer for candidate in found.candidates[100:])
    second = {candidate.layer: gram for candidate, gram in again.grams(found.candidates, stimuli, plan)}
    assert len(first) == 100 and len(second) == len(found.candidates)
    for layer, gram in first.items():
        assert np.array_equal(gram, second[layer])


def hooks_of(network):
    return [name for name, module in network.named_modules() if module._forward_hooks]


def test_an_error_in_one_minibatch_is_raised_and_leaves_no_thread_and_no_hook(make_recorder, tiny_network, stimuli):
    recorder = make_recorder()
    found = survey_recorder(recorder, (3, 48, 48))
    firings = {candidate.layer: candidate.firing for candidate in found.candidates}
    images = torch.randn(N_STIMULI, 3, 48, 48)

    def fail(_module, inputs):
        if len(inputs[0][0]) == 3:  # the last minibatch, while the others wait
            raise ZeroDivisionError("in the middle")

    threads = threading.active_count()
    handle = tiny_network.blocks[1].register_forward_pre_hook(fail)
    with pytest.raises(ZeroDivisionError, match="in the middle"):
        in_lockstep(tiny_network, images, firings)
    handle.remove()
    assert threading.active_count() == threads and not hooks_of(tiny_network)


def test_leaving_in_the_middle_leaves_no_thread_and_no_hook(tiny_network, make_recorder):
    firings = {c.layer: c.firing for c in survey_recorder(make_recorder(), (3, 48, 48)).candidates}
    images = torch.randn(N_STIMULI, 3, 48, 48)
    threads = threading.active_count()
    recording = lockstep(tiny_network, images, firings)
    for _ in range(5):
        next(recording)
    assert threading.active_count() > threads
    recording.close()
    assert threading.active_count() == threads and not hooks_of(tiny_network)


class DependsOnTheImage(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(192, 5), nn.Linear(192, 5)

    def forward(self, images):
        flat = images.flatten(1)
        first, second = (self.left, self.right) if flat.sum() > 0 else (self.right, self.left)
        return first(flat) + second(flat)


def test_an_order_of_execution_that_depends_on_the_image_is_refused():
    network = DependsOnTheImage().eval()
    images = torch.cat([torch.ones(4, 3, 8, 8), -torch.ones(4, 3, 8, 8)]) + torch.rand(8, 1, 1, 1)
    firings = {c.layer: c.firing for c in survey(network, images[:3]).candidates}
    with pytest.raises(UserError, match="order of execution depends on the image"):
        in_lockstep(network, images, firings)


def test_nan_names_layer_and_first_stimulus(make_recorder, tiny_network, stimuli, tight):
    layer = "blocks.1.blocks.1.0.norm1"
    for memory in (PLENTY, 45_000 * N_STIMULI):
        recorder = make_recorder(memory)
        found = survey_recorder(recorder, (3, 48, 48))
        with torch.no_grad():
            before = tiny_network.get_submodule(layer).weight.clone()
            tiny_network.get_submodule(layer).weight.fill_(float("nan"))
        with pytest.raises(UserError, match=f"{layer}.*{stimuli[0].path.suffix}"):
            list(GramSource(recorder, found).grams(found.candidates, stimuli))
        with torch.no_grad():
            tiny_network.get_submodule(layer).weight.copy_(before)


def test_out_of_memory_plans_again_with_smaller_batches(make_recorder, tiny_network, stimuli, caplog):
    recorder = make_recorder()
    found = survey_recorder(recorder, (3, 48, 48))
    wanted = found.candidates[-3:]
    limit = {"images": 2}

    def out_of_memory(_module, inputs):
        if len(inputs[0]) > limit["images"]:
            raise torch.OutOfMemoryError

    source = GramSource(recorder, found)
    plan = source.plan(wanted, stimuli)
    tiny_network.register_forward_pre_hook(out_of_memory)
    grams = {c.layer: gram for c, gram in source.grams(wanted, stimuli, plan)}
    assert list(grams) == [c.layer for c in wanted] and recorder.batch_size == 2
    assert "the batch size is now 2" in caplog.text
    limit["images"] = 0
    with pytest.raises(UserError, match="what was planned does not fit"):
        list(source.grams(wanted, stimuli, plan))


def test_out_of_memory_while_the_plan_is_made_halves_the_batch(make_recorder, tiny_network, stimuli):
    recorder = make_recorder()
    found = survey_recorder(recorder, (3, 48, 48))

    def out_of_memory(_module, inputs):
        if len(inputs[0]) > 2:
            raise torch.OutOfMemoryError

    tiny_network.register_forward_pre_hook(out_of_memory)
    assert GramSource(recorder, found).plan(found.candidates[-3:], stimuli).batch_size == recorder.batch_size == 2


def test_too_little_memory_for_anything_is_said_before_any_work(make_recorder, stimuli):
    recorder = make_recorder(1000)
    found = survey_recorder(recorder, (3, 48, 48))
    with pytest.raises(UserError, match=r"give --memory \d+ MB or more"):
        GramSource(recorder, found).plan(found.candidates, stimuli)


def test_a_walker_hands_over_what_its_work_raises():
    def work(walker):
        walker.pause()
        raise KeyError("inside")

    walker = Walker(work)
    assert walker.advance()
    with pytest.raises(KeyError, match="inside"):
        walker.advance()


def test_a_plan_for_nothing_is_empty(make_recorder):
    found = survey_recorder(make_recorder(), (3, 48, 48))
    plan = make_plan(found, [], 5, 4, Budget(PLENTY, 0, None), None)
    assert plan.image_passes == 0 and "nothing to record" in plan.lines()[0]
