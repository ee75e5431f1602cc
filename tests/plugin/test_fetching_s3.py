"""Fetching weights from S3, which is played by a server on loopback."""

import contextlib
import dataclasses
import errno
import socket

import pytest
import torch
from loopback import Wire, emptied_bucket, s3_listening

from brainscore_submission.plugin import fetching
from brainscore_submission.plugin.card import Source, Weights
from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.fetching import fetch
from brainscore_submission.plugin.streams import open_stream

BUCKET = "brainscore-vision"
KEY = "models/user_1/tiny.pt"


@pytest.fixture(scope="module")
def s3_server():
    with s3_listening() as address:
        yield address


@pytest.fixture
def s3(s3_server, monkeypatch):
    """An empty account; `put(content) -> version id`. The fetching client is anonymous and so must be let in."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*s3_server))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with emptied_bucket(s3_server, BUCKET) as owner:
        yield owner


def put(owner, body: bytes, versioned=True) -> str | None:
    if versioned:
        owner.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return owner.put_object(Bucket=BUCKET, Key=KEY, Body=body, ACL="public-read").get("VersionId")


def s3_source(version=None):
    return Source("s3", bucket=BUCKET, key=KEY, version=version)


def test_s3_object_is_fetched_verified_and_loaded(s3, content, tiny_network, card_from, left_over):
    version = put(s3, content)
    card = card_from(s3_source(version))
    loaded = load_network(card)
    assert all(torch.equal(v, loaded.network.state_dict()[k]) for k, v in tiny_network.state_dict().items())
    assert loaded.origin["source"] == f"s3://{BUCKET}/{KEY}?versionId={version}"
    assert loaded.origin["sha1"] == card.weights.sha1
    assert loaded.origin["note"] is None
    assert left_over(card) == ["tiny.pt", "tiny.pt.json"]


def test_s3_version_asked_for_is_the_one_fetched(s3, content, card_from):
    first = put(s3, content)
    put(s3, b"a later upload under the same key")
    card = card_from(s3_source(first))
    assert fetch(card).read_bytes() == content


def test_s3_null_version_is_fetched(s3, content, card_from):
    put(s3, content, versioned=False)
    card = card_from(s3_source("null"))
    assert fetch(card).read_bytes() == content


def test_s3_wrong_hash_is_refused_and_not_kept(s3, content, card_from, left_over):
    put(s3, content[:-1] + b"x")
    card = card_from(s3_source())
    with pytest.raises(UserError, match=rf"s3://{BUCKET}/{KEY}: wrong file: sha1 \w+, expected {card.weights.sha1}"):
        fetch(card)
    assert left_over(card) == []


def test_s3_other_models_file_is_refused_by_name(s3, content, tiny_card, monkeypatch, card_from, left_over):
    other = dataclasses.replace(card_from(), identifier="other", competition_id=1084)
    monkeypatch.setattr(fetching, "all_cards", lambda: [other])
    put(s3, content)
    mine = Weights("tiny.pt", sha1="0" * 40, sources=(s3_source(),))
    card = dataclasses.replace(tiny_card, competition_id=991, weights=mine)
    with pytest.raises(UserError, match="this is 1084's checkpoint; you asked for 991"):
        fetch(card)
    assert left_over(card) == []


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (s3_source(), "404 NoSuchKey"),
        (s3_source("0" * 32), "404 NoSuch(Key|Version)"),
        (Source("s3", bucket="nobody-has-this", key=KEY), "404 NoSuchBucket"),
    ],
    ids=["key", "version", "bucket"],
)
def test_s3_404_is_reported_with_the_three_ways_on(s3, source, answer, card_from):
    card = card_from(source)
    with pytest.raises(UserError, match=answer) as refusal:
        load_network(card)
    message = str(refusal.value)
    assert message.startswith("cannot fetch tiny.pt for crossvit_tiny_test. Tried:")
    assert "--weights PATH" in message
    assert "BRAINSCORE_SUBMISSION_MIRROR=" in message
    assert "--weights untrained" in message


def test_s3_private_object_is_reported_as_forbidden(s3, content, card_from):
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=content)
    with pytest.raises(UserError, match=rf"s3://{BUCKET}/{KEY}: 403"):
        fetch(card_from(s3_source()))


def test_s3_connection_cut_half_way_is_resumed_where_it_broke(
    s3, s3_server, content, monkeypatch, card_from, left_over
):
    card = card_from(s3_source(put(s3, content)))
    with Wire(s3_server, cuts=[len(content) // 2]) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.address)
        assert fetch(card).read_bytes() == content
    first, second = wire.asked
    assert "Range:" not in first
    start = int(second.partition("Range: bytes=")[2].partition("-")[0])
    assert 0 < start < len(content) // 2  # the answer's headers were part of what came through
    assert left_over(card) == ["tiny.pt", "tiny.pt.json"]


def test_s3_that_always_breaks_is_given_up_and_the_next_run_goes_on(
    s3, s3_server, content, monkeypatch, card_from, left_over
):
    card = card_from(s3_source(put(s3, content)))
    with Wire(s3_server, cuts=[len(content) // 2, *[10] * 50]) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.address)
        with pytest.raises(UserError, match=r"the connection broke|no connection"):
            fetch(card)
        assert left_over(card) == ["tiny.pt.part"]
        wire.cuts.clear()
        wire.asked.clear()
        assert fetch(card).read_bytes() == content
    assert len(wire.asked) == 1
    assert "Range: bytes=" in wire.asked[0]


def test_nobody_listening_is_reported(monkeypatch, card_from):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    url = f"http://127.0.0.1:{port}/tiny.pt"
    card = card_from(s3_source(), Source("url", url=url))
    with pytest.raises(UserError) as refusal:
        fetch(card)
    assert f"s3://{BUCKET}/{KEY}: no connection (EndpointConnectionError)" in str(refusal.value)
    assert f"{url}: no connection ([Errno {errno.ECONNREFUSED}] Connection refused)" in str(refusal.value)


def test_s3_stream_begins_where_asked(s3):
    put(s3, b"0123456789")
    with contextlib.closing(open_stream(s3_source(), 4)) as reply:
        assert (reply.offset, reply.total, reply.read()) == (4, 10, b"456789")


def test_s3_stream_past_the_end_begins_again(s3):
    put(s3, b"0123456789")
    with contextlib.closing(open_stream(s3_source(), 10)) as reply:
        assert (reply.offset, reply.total, reply.read()) == (0, 10, b"0123456789")
