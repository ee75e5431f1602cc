"""Checkpoint files -> networks: every layout, every way a file can be wrong."""

import argparse
import dataclasses
import hashlib
import json
import os
import zipfile

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from brainscore_submission.plugin import fetching
from brainscore_submission.plugin.card import Card, Preprocessing, Weights, find_card
from brainscore_submission.plugin.checkpoint import build_network, load_network, read_checkpoint
from brainscore_submission.plugin.errors import UserError


def training_checkpoint(network):
    """As the authors' training script writes it: wrapped in DataParallel, with the optimizer beside it."""
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(1, 3, 48, 48)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return {
        "epoch": 5,
        "arch": "crossvit_18_dagger_408",
        "state_dict": torch.nn.DataParallel(network).state_dict(),
        "best_prec1": torch.tensor(73.53),
        "optimizer": optimizer.state_dict(),
    }


LAYOUTS = {
    "state_dict": lambda network: {"state_dict": network.state_dict()},
    "training": training_checkpoint,
    "bare": lambda network: network.state_dict(),
    "model": lambda network: {"model": network.state_dict(), "epoch": 5},
}


@pytest.fixture
def pixels():
    return torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def logits(network, pixels):
    with torch.no_grad():
        return network(pixels)


def sha1(path):
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture
def saved(tmp_path, tiny_network):
    path = tmp_path / "tiny.pt"
    torch.save({"state_dict": tiny_network.state_dict()}, path)
    return path


# --- what loads ---


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_every_layout_gives_the_same_logits_bit_for_bit(tmp_path, tiny_card, tiny_network, pixels, layout, zipped):
    path = tmp_path / "any.pt"
    content = LAYOUTS[layout](tiny_network)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    loaded = load_network(tiny_card, path, seed=99)
    assert torch.equal(logits(loaded.network, pixels), logits(tiny_network, pixels))
    assert read_checkpoint(path)[0] == layout


def test_safetensors_gives_the_same_logits_bit_for_bit(tmp_path, tiny_card, tiny_network, pixels):
    path = tmp_path / "tiny.safetensors"
    save_file(tiny_network.state_dict(), path)
    loaded = load_network(tiny_card, path, seed=99)
    assert torch.equal(logits(loaded.network, pixels), logits(tiny_network, pixels))


def test_half_precision_checkpoint_becomes_a_float32_network(tmp_path, tiny_card, tiny_network):
    torch.save({key: value.half() for key, value in tiny_network.state_dict().items()}, tmp_path / "half.pt")
    network = load_network(tiny_card, tmp_path / "half.pt").network
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_checkpoint_of_timms_training_script_loads(tmp_path, tiny_card, tiny_network, pixels):
    content = {"state_dict": tiny_network.state_dict(), "args": argparse.Namespace(lr=0.1), "version": 2}
    torch.save(content, tmp_path / "timm.pt")
    loaded = load_network(tiny_card, tmp_path / "timm.pt", seed=99)
    assert torch.equal(logits(loaded.network, pixels), logits(tiny_network, pixels))


def test_checkpoint_without_checksums_loads(tmp_path, tiny_network):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(tiny_network.state_dict(), tmp_path / "unchecked.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert len(read_checkpoint(tmp_path / "unchecked.pt")[1]) == 384


def test_network_is_in_eval_mode(saved, tiny_card):
    assert not load_network(tiny_card, saved).network.training


def test_origin_of_a_given_file_is_its_path_its_hashes_and_a_note(saved, tiny_card):
    origin = load_network(tiny_card, saved).origin
    assert origin["source"] == str(saved)
    assert origin["sha1"] == sha1(saved)
    assert origin["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert "its hash is not that of" in origin["note"]
    assert (origin["untrained"], origin["seed"]) == (False, None)
    assert json.loads(json.dumps(origin)) == origin


def test_the_cards_own_file_needs_no_note(saved, tiny_card):
    card = dataclasses.replace(tiny_card, weights=Weights("tiny.pt", sha1=sha1(saved)))
    assert load_network(card, saved).origin["note"] is None


# --- untrained ---


def test_untrained_network_is_the_same_for_a_seed_and_another_for_another(tiny_card, pixels):
    first, again, other = (load_network(tiny_card, "untrained", seed=seed).network for seed in (3, 3, 4))
    assert torch.equal(logits(first, pixels), logits(again, pixels))
    assert not torch.equal(logits(first, pixels), logits(other, pixels))


def test_untrained_says_so_with_its_seed(tiny_card):
    origin = load_network(tiny_card, "untrained", seed=3).origin
    assert origin == {
        "source": "untrained",
        "sha1": None,
        "sha256": None,
        "note": None,
        "untrained": True,
        "seed": 3,
    }


@pytest.mark.parametrize("from_file", [True, False])
def test_building_a_network_leaves_the_random_state_alone(saved, tiny_card, from_file):
    before = torch.get_rng_state()
    load_network(tiny_card, saved if from_file else "untrained", seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_number_of_classes_is_the_cards(tiny_card, pixels):
    card = dataclasses.replace(tiny_card, num_classes=7)
    assert logits(load_network(card, "untrained").network, pixels).shape == (2, 7)


def test_unknown_architecture_is_named(tiny_card):
    card = dataclasses.replace(tiny_card, architecture="crossvit_tiny_tset")
    with pytest.raises(UserError, match="timm knows no 'crossvit_tiny_tset'. Did you mean crossvit_tiny_test"):
        load_network(card, "untrained")


# --- what is refused, each with its own message ---


class Code:
    def __reduce__(self):
        return os.system, ("touch /tmp/this-must-not-run",)


def test_pickle_with_code_is_refused_and_does_not_run(tmp_path, tiny_card, tiny_network, monkeypatch):
    monkeypatch.setattr(os, "system", lambda command: pytest.fail("the code ran"))
    monkeypatch.setattr(os.system, "__module__", "os", raising=False)
    monkeypatch.setattr(os.system, "__qualname__", "system", raising=False)
    torch.save({"state_dict": tiny_network.state_dict(), "extra": Code()}, tmp_path / "code.pt")
    with pytest.raises(UserError, match=r"code\.pt holds more than weights: reading it would run \w+\.system"):
        load_network(tiny_card, tmp_path / "code.pt")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.98])
def test_truncated_file_is_refused(saved, tiny_card, tiny_network, part, zipped):
    torch.save(tiny_network.state_dict(), saved, _use_new_zipfile_serialization=zipped)
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(UserError, match=r"tiny\.pt is (damaged or )?cut short"):
        load_network(tiny_card, saved)


def test_truncated_safetensors_is_refused(tmp_path, tiny_card, tiny_network):
    path = tmp_path / "tiny.safetensors"
    save_file(tiny_network.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"tiny\.safetensors is damaged or cut short"):
        load_network(tiny_card, path)


def test_flipped_byte_of_a_tensor_is_refused(saved, tiny_card):
    with zipfile.ZipFile(saved) as archive:
        tensors = [record for record in archive.infolist() if "/data/" in record.filename]
    largest = max(tensors, key=lambda record: record.file_size)
    damaged = bytearray(saved.read_bytes())
    damaged[largest.header_offset + largest.file_size // 2] ^= 1
    saved.write_bytes(damaged)
    torch.load(saved, weights_only=True)  # PyTorch itself does not notice
    with pytest.raises(UserError, match=r"tiny\.pt is damaged: .*/data/\d+ fails its checksum"):
        load_network(tiny_card, saved)


def test_flipped_byte_anywhere_never_gives_a_traceback_or_other_weights(saved, tiny_card, tiny_network):
    whole = saved.read_bytes()
    for position in range(0, len(whole), len(whole) // 97):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        saved.write_bytes(damaged)
        try:
            tensors = read_checkpoint(saved)[1]
        except UserError:
            continue
        # padding between the records: nothing is lost
        assert all(torch.equal(value, tensors[key]) for key, value in tiny_network.state_dict().items())


def test_flipped_byte_in_the_archives_table_never_gives_other_weights(tmp_path):
    tensors = {f"layer.{index}": torch.full((index + 1,), float(index)) for index in range(3)}
    path = tmp_path / "small.pt"
    torch.save(tensors, path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        table = range(archive.start_dir, len(whole))
    # The last: a flag that makes torch.load take a tensor for a folder and leave it uninitialised.
    for position, flip in [(position, 0xFF) for position in table] + [(position, 0x10) for position in table]:
        damaged = bytearray(whole)
        damaged[position] ^= flip
        path.write_bytes(damaged)
        try:
            read = read_checkpoint(path)[1]
        except UserError:
            continue
        assert all(torch.equal(value, read[key]) for key, value in tensors.items())


def test_empty_file_is_refused(tmp_path, tiny_card):
    (tmp_path / "empty.pt").touch()
    with pytest.raises(UserError, match=r"empty\.pt is empty"):
        load_network(tiny_card, tmp_path / "empty.pt")


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html><html>Sign in</html>", b"\x80\x02K\x01.", b"PK\x05\x06" + bytes(18)]
)
def test_other_files_are_refused(tmp_path, tiny_card, content):
    (tmp_path / "page.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"page\.pt (is|holds)"):
        load_network(tiny_card, tmp_path / "page.pt")


def test_folder_is_refused(tmp_path, tiny_card):
    with pytest.raises(UserError, match="is a folder; give the checkpoint file itself"):
        load_network(tiny_card, tmp_path)


def test_missing_file_is_answered_with_the_nearest(saved, tiny_card):
    with pytest.raises(UserError, match=r"tinny\.pt: no such checkpoint file\. Did you mean tiny\.pt\?"):
        load_network(tiny_card, saved.with_name("tinny.pt"))


def test_another_models_file_is_refused_by_name(saved, monkeypatch, tiny_card):
    mine = dataclasses.replace(tiny_card, identifier="mine", competition_id=991, weights=Weights("a.pt", sha1="0" * 40))
    other = dataclasses.replace(tiny_card, identifier="other", competition_id=1084)
    other = dataclasses.replace(other, weights=Weights("b.pt", sha1=sha1(saved)))
    monkeypatch.setattr(fetching, "all_cards", lambda: [mine, other])
    with pytest.raises(UserError, match=r"tiny\.pt: this is 1084's checkpoint; you asked for 991"):
        load_network(mine, saved)


def test_the_same_weights_may_go_by_a_new_name(saved, monkeypatch, tiny_card):
    own = dataclasses.replace(tiny_card, identifier="own", weights=Weights("a.pt", sha1=sha1(saved)))
    renamed = dataclasses.replace(own, identifier="renamed_for_submission")
    monkeypatch.setattr(fetching, "all_cards", lambda: [own])
    assert load_network(renamed, saved).origin["note"] is None


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"epoch": 3, "arch": "x"}, "found 'epoch', 'arch'"),
        ([1, 2], "found list"),
        ({}, "found "),
        ({"state_dict": {}}, "found 'state_dict'"),
    ],
    ids=["no tensors", "list", "empty", "empty state dict"],
)
def test_file_without_state_dict_says_what_it_holds(tmp_path, tiny_card, content, found):
    torch.save(content, tmp_path / "none.pt")
    with pytest.raises(UserError, match=rf"none\.pt holds no state dict\. .*{found}"):
        load_network(tiny_card, tmp_path / "none.pt")


def test_two_state_dicts_in_one_file_are_refused(tmp_path, tiny_card, tiny_network):
    tensors = tiny_network.state_dict()
    torch.save({"state_dict": tensors, "model": tensors}, tmp_path / "two.pt")
    with pytest.raises(UserError, match="under 'state_dict' and 'model'"):
        load_network(tiny_card, tmp_path / "two.pt")


def test_missing_unexpected_and_misshaped_keys_are_named_and_counted(tmp_path, tiny_card, tiny_network):
    tensors = dict(tiny_network.state_dict())
    for key in [key for key in tensors if key.startswith("head.1")]:
        del tensors[key]
    tensors |= {f"extra.{index}": torch.zeros(1) for index in range(5)}
    tensors["head.0.weight"] = torch.zeros(10, 8)
    torch.save(tensors, tmp_path / "odd.pt")
    with pytest.raises(UserError) as refusal:
        load_network(tiny_card, tmp_path / "odd.pt")
    message = str(refusal.value)
    assert "odd.pt does not fit crossvit_tiny_test" in message
    assert "2 missing (head.1.weight, head.1.bias)" in message
    assert "5 unexpected (extra.0, extra.1, extra.2, …)" in message
    assert "1 mis-shaped (head.0.weight is (10, 8), must be (1000, 8))" in message
    assert len(message.splitlines()) == 1


# --- timm's own files ---


@pytest.fixture
def timm_file(tmp_path):
    """A checkpoint as IBM published it: `pos_embed.0`, which timm renames to `pos_embed_0`."""
    name = "crossvit_tiny_240"
    card = Card("timm_tiny", name, Weights("tiny.safetensors", "timm"), Preprocessing("any", 240))
    network = build_network(card, seed=5)
    published = {
        key.replace("pos_embed_", "pos_embed.").replace("cls_token_", "cls_token."): value
        for key, value in network.state_dict().items()
    }
    assert published.keys() != network.state_dict().keys()
    save_file(published, tmp_path / "tiny.safetensors")
    return card, network, tmp_path / "tiny.safetensors"


def test_keys_of_timms_files_are_renamed_by_timm(timm_file):
    card, network, path = timm_file
    loaded = load_network(card, path).network
    theirs = timm.create_model(card.architecture, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
        assert torch.equal(theirs.state_dict()[key], value)


def test_timms_files_must_fit_too(timm_file):
    card, _, path = timm_file
    tensors = load_file(path)
    key = next(key for key in tensors if key.startswith("blocks.0"))
    save_file({name: value for name, value in tensors.items() if name != key}, path)
    with pytest.raises(UserError, match=r"does not fit crossvit_tiny_240: .*missing"):
        load_network(card, path)


# --- the real network ---


@pytest.mark.slow
def test_crossvit_18_dagger_has_384_tensors_and_44606560_parameters(tmp_path):
    card = find_card(991)
    network = load_network(card, "untrained").network
    assert len(network.state_dict()) == 384
    assert sum(parameter.numel() for parameter in network.parameters()) == 44_606_560
    torch.save({"state_dict": network.state_dict()}, tmp_path / "real.pt")
    again = load_network(card, tmp_path / "real.pt", seed=1).network
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in network.state_dict().items())
