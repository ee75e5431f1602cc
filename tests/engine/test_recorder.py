"""Promises of recorder.py and stores.py: every image once, bounded memory, one matrix whatever the plan."""

import errno

import numpy as np
import pytest
import torch
from PIL import Image

from brainscore_submission.engine import stores as feature_stores
from brainscore_submission.engine.budget import Budget
from brainscore_submission.engine.images import Request, read_stimuli
from brainscore_submission.engine.recorder import Recorder
from brainscore_submission.engine.stores import DiskStore
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.preprocessing import load_pixels, normalise

V4, IT, READOUT = "blocks.1.blocks.1.0.norm1", "blocks.1.blocks.1.4.norm2", "blocks.2.revert_projs.1.2"
PLENTY = 10**9


@pytest.fixture
def stimuli(tmp_path):
    for i in range(11):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return read_stimuli(sorted(tmp_path.glob("*.png")))


@pytest.fixture
def make_recorder(tiny_network, tiny_card, tmp_path):
    def make(memory=PLENTY, disk=0, cache=None, fingerprint="fingerprint", **options):
        load = lambda path: normalise(load_pixels(path, tiny_card.preprocessing), tiny_card.preprocessing)  # noqa: E731
        budget = Budget(memory, disk, tmp_path / "scratch" if disk else None)
        return Recorder(tiny_network, load, fingerprint, batch_size=4, budget=budget, cache=cache, **options)

    return make


@pytest.fixture
def passes(tiny_network):
    """Counts images per forward pass at the door of the network, and of a module near its end."""
    counts = {"in": [], "deep": []}
    tiny_network.register_forward_pre_hook(lambda _m, args: counts["in"].append(len(args[0])))
    tiny_network.blocks[2].register_forward_pre_hook(lambda _m, args: counts["deep"].append(len(args[0][0])))
    return counts


def expected_gram(network, card, stimuli, layer):
    from brainscore_submission.plugin.hooks import layer_outputs

    images = torch.stack([normalise(load_pixels(s.path, card.preprocessing), card.preprocessing) for s in stimuli])
    features = layer_outputs(network, images, [layer])[layer].flatten(1).double().numpy()
    features -= features.mean(0)
    return features @ features.T


@pytest.mark.parametrize("budget", [{}, {"disk": PLENTY}, {"memory": 4 * 80 * 11}, {"memory": 4 * 30 * 11}])
def test_memory_disk_layer_groups_and_some_features_at_a_time_give_the_same_matrix(
    make_recorder, tiny_network, tiny_card, stimuli, budget, caplog
):
    recorder = make_recorder(**budget)
    recording = recorder.record([Request(tuple(stimuli), grams=frozenset({V4, IT}))])
    for layer in (V4, IT):
        expected = expected_gram(tiny_network, tiny_card, stimuli, layer)
        assert np.abs(recording.gram(layer, stimuli) - expected).max() < 1e-5 * np.abs(expected).max()
    assert ("recorded in 3 passes" in caplog.text) == (budget == {"memory": 4 * 30 * 11})


def test_each_image_is_shown_once_and_only_as_deep_as_needed(make_recorder, stimuli, passes):
    recorder = make_recorder()
    requests = [
        Request(tuple(stimuli[:8]), grams=frozenset({V4})),
        Request(tuple(stimuli[:8]), grams=frozenset({IT})),
        Request(tuple(stimuli[6:]), features=frozenset({READOUT})),
    ]
    recorder.probe(requests)
    passes["in"].clear(), passes["deep"].clear()
    recording = recorder.record(requests)
    assert sum(passes["in"]) == len(stimuli) == recording.image_passes
    assert sum(passes["deep"]) == 5  # the images of which the readout is wanted


def test_lookups_follow_the_order_asked_for(make_recorder, tiny_network, tiny_card, stimuli):
    recording = make_recorder().record([Request(tuple(stimuli), frozenset({V4}), frozenset({READOUT}))])
    shuffled = [stimuli[i] for i in (3, 0, 7, 3)]
    gram = recording.gram(V4, stimuli)
    order = [3, 0, 7, 3]
    reordered = Request(tuple(stimuli)).hashes
    assert recording.features(READOUT, stimuli)[order].tolist() == [
        recording.matrices[READOUT, reordered][reordered.index(s.sha256)].tolist() for s in shuffled
    ]
    assert np.array_equal(recording.gram(V4, stimuli[::-1]), gram[::-1, ::-1])


def test_a_killed_recording_resumes_from_the_last_synced_block(make_recorder, stimuli, passes, monkeypatch):
    monkeypatch.setattr(feature_stores, "ROWS_PER_SYNC", 4)
    request = [Request(tuple(stimuli), grams=frozenset({IT}))]

    class Killed(BaseException):
        pass

    def kill(done, total):
        if done > 8:  # asked for the third batch of four
            raise Killed

    with pytest.raises(Killed):
        make_recorder(disk=PLENTY, progress=kill).record(request)
    resumed = make_recorder(disk=PLENTY)
    resumed.probe(request)
    passes["in"].clear()
    recording = resumed.record(request)
    assert sum(passes["in"]) == len(stimuli) - 8
    uninterrupted = make_recorder().record(request)
    assert np.allclose(recording.gram(IT, stimuli), uninterrupted.gram(IT, stimuli), rtol=0, atol=1e-10)


def test_the_cache_is_asked_first_and_a_flipped_byte_in_it_is_recorded_again(make_recorder, stimuli, tmp_path):
    request = [Request(tuple(stimuli), grams=frozenset({IT}))]
    first = make_recorder(cache=tmp_path / "cache").record(request)
    second = make_recorder(cache=tmp_path / "cache").record(request)
    assert (first.image_passes, second.image_passes) == (11, 0)
    (kept,) = (tmp_path / "cache" / "grams").iterdir()
    damaged = bytearray(kept.read_bytes())
    damaged[-20] ^= 1
    kept.write_bytes(damaged)
    third = make_recorder(cache=tmp_path / "cache").record(request)
    assert third.image_passes == 11
    assert np.array_equal(third.gram(IT, stimuli), first.gram(IT, stimuli))


def test_another_fingerprint_never_shares_a_matrix(make_recorder, tiny_network, stimuli, tmp_path):
    request = [Request(tuple(stimuli), grams=frozenset({IT}))]
    recorder = make_recorder(cache=tmp_path / "cache")
    recorder.record(request)
    other = make_recorder(cache=tmp_path / "cache", fingerprint="other weights")
    assert other.record(request).image_passes == 11


def test_a_fresh_recorder_records_what_the_cache_holds(make_recorder, stimuli, tmp_path):
    request = [Request(tuple(stimuli), grams=frozenset({IT}))]
    for fresh, n_shown in ((False, 11), (True, 11), (False, 0)):
        assert make_recorder(cache=tmp_path / "cache", fresh=fresh).record(request).image_passes == n_shown


def test_nan_names_layer_and_first_stimulus(make_recorder, tiny_network, stimuli):
    with torch.no_grad():
        tiny_network.blocks[1].blocks[1][0].norm1.weight.fill_(float("nan"))
    with pytest.raises(UserError, match=f"{V4}.*{stimuli[0].path.suffix}"):
        make_recorder().record([Request(tuple(stimuli), grams=frozenset({V4}))])


def test_a_full_disk_is_found_before_anything_is_computed(make_recorder, stimuli, passes, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(feature_stores.os, "posix_fallocate", full)
    recorder, request = make_recorder(disk=PLENTY), [Request(tuple(stimuli), grams=frozenset({IT}))]
    recorder.probe(request)
    passes["in"].clear()
    with pytest.raises(UserError, match="no room on the disk"):
        recorder.record(request)
    assert passes["in"] == []


def test_the_batch_halves_when_memory_runs_out_and_says_when_one_image_is_too_much(
    make_recorder, tiny_network, stimuli, caplog
):
    limit = {"images": 2}

    def out_of_memory(_module, args):
        if len(args[0]) > limit["images"]:
            raise torch.OutOfMemoryError

    request = [Request(tuple(stimuli), grams=frozenset({IT}))]
    recorder = make_recorder()
    recorder.probe(request)
    tiny_network.register_forward_pre_hook(out_of_memory)
    small = recorder.record(request)
    assert recorder.batch_size == 2
    assert "batch size is now 2" in caplog.text
    limit["images"] = 99
    expected = make_recorder().record(request).gram(IT, stimuli)
    # float32 activations depend a little on the size of the batch
    assert np.allclose(small.gram(IT, stimuli), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    limit["images"] = 0
    with pytest.raises(UserError, match="one image does not fit"):
        recorder.record(request)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_reduced_precision_is_close_and_another_cache_entry(make_recorder, stimuli, precision, tmp_path):
    request = [Request(tuple(stimuli), grams=frozenset({IT}))]
    exact = make_recorder(cache=tmp_path / "cache").record(request).gram(IT, stimuli)
    reduced = make_recorder(cache=tmp_path / "cache", precision=precision).record(request)
    assert reduced.image_passes == 11
    assert np.abs(reduced.gram(IT, stimuli) - exact).max() < 0.05 * np.abs(exact).max()


def test_unknown_precision_and_missing_images_are_user_errors(make_recorder, tmp_path):
    with pytest.raises(UserError, match="unknown precision 'float8'"):
        make_recorder(precision="float8")
    with pytest.raises(UserError, match="no such image file"):
        read_stimuli([tmp_path / "absent.png"])


def test_one_layer_as_gram_and_as_features_over_the_same_images(make_recorder, stimuli):
    recorder = make_recorder(disk=PLENTY)
    recording = recorder.record([Request(tuple(stimuli), grams=frozenset({IT}), features=frozenset({IT}))])
    recorder.discard_leftovers()
    features = recording.features(IT, stimuli).astype(float)
    features -= features.mean(axis=0)
    assert np.allclose(recording.gram(IT, stimuli), features @ features.T, rtol=0, atol=1e-6 * np.abs(features).max())


def test_two_stores_of_one_folder_never_mix_their_rows(tmp_path):
    first = DiskStore(tmp_path / "spool", 3, 2)
    first.write([0], torch.ones(1, 2))
    second = DiskStore(tmp_path / "spool", 3, 2)
    assert not second.done.any()
    second.write([0, 1, 2], torch.full((3, 2), 2.0))
    second.flush()
    first.write([1, 2], torch.ones(2, 2))
    first.flush()
    assert (first.features() == 1).all()
    assert (second.features() == 2).all()
    second.discard()
    first.discard()
    assert list(tmp_path.iterdir()) == []


def test_rows_of_another_width_are_not_taken_for_done(tmp_path):
    store = DiskStore(tmp_path / "spool", 3, 2)
    store.write([0, 1, 2], torch.ones(3, 2))
    store.flush()
    del store
    other = DiskStore(tmp_path / "spool", 3, 4)
    other.write([0], torch.ones(1, 4))  # and killed before it is synced
    del other
    again = DiskStore(tmp_path / "spool", 3, 4)
    assert not again.done.any()
    again.discard()


class OfTheBatch(torch.nn.Module):
    """Centres over the images of a batch, as BatchNorm does in training."""

    def forward(self, features):
        return features - features.mean(0)


class OfChance(torch.nn.Module):
    def forward(self, features):
        return features * (1 + 0.1 * torch.rand_like(features))


@pytest.mark.parametrize("fault", [None, OfTheBatch(), OfChance()], ids=["sound", "batch", "chance"])
def test_a_network_that_does_not_answer_alike_is_told_of(make_recorder, tiny_network, stimuli, fault, caplog):
    if fault is not None:
        tiny_network.blocks[1].register_forward_hook(
            lambda _module, _inputs, output: (
                [fault(one) for one in output] if isinstance(output, list) else fault(output)
            )
        )
    recorder = make_recorder()
    recorder.record([Request(tuple(stimuli[:4]), grams=frozenset({READOUT}))])
    assert (recorder.unsteady is not None) == (fault is not None)
    assert ("does not answer the same image alike" in caplog.text) == (fault is not None)


def test_a_network_of_another_input_size_is_told_in_one_line(stimuli, tmp_path):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(27, 2))
    recorder = Recorder(network, lambda _path: torch.zeros(3, 4, 4), "fingerprint")
    with pytest.raises(UserError, match="does not take an image of 4 x 4 pixels"):
        recorder.record([Request(tuple(stimuli), grams=frozenset({"1"}))])
