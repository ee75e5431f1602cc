"""Fetching weights: S3 (moto on loopback), the web, the mirror, the hub; cut, wrong, absent, full."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
from huggingface_hub import constants as hub

from brainscore_submission.plugin import fetching
from brainscore_submission.plugin.card import Source, Weights
from brainscore_submission.plugin.checkpoint import load_network
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.plugin.fetching import fetch, fetch_file, is_present, weights_path
from brainscore_submission.plugin.streams import SourceError, open_stream

BUCKET = "brainscore-vision"
KEY = "models/user_1/tiny.pt"


# --- a web server that can misbehave ---


class Web:
    """Serves one file on loopback.

    Parameters
    ----------
    cuts : after how many bytes of the body each successive answer breaks off; None is a whole answer
    ranges : whether Range is honoured
    """

    def __init__(self, content: bytes, cuts=(), ranges=True, status=200):
        self.asked: list[str | None] = []
        self.content, self.cuts, self.ranges, self.status = content, list(cuts), ranges, status
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def answer(self, handler):
        wish = handler.headers.get("Range")
        self.asked.append(wish)
        start = int(wish.removeprefix("bytes=").rstrip("-")) if wish and self.ranges else 0
        past_the_end = bool(start) and start >= len(self.content)
        if self.status != 200 or past_the_end:
            handler.send_error(416 if past_the_end else self.status)
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        cut = self.cuts.pop(0) if self.cuts else None
        handler.wfile.write(self.content[start:][:cut])
        handler.close_connection = True

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def source(self) -> Source:
        return Source("url", url=f"{self.address}/tiny.pt")


# --- the web ---


def test_second_source_serves_when_the_first_has_it_not(content, card_from):
    with Web(content, status=404) as empty, Web(content) as full:
        card = card_from(empty.source, full.source)
        file = fetch_file(card)
    assert file.source == full.source.url
    assert len(empty.asked) == 1


def test_download_reports_its_progress(content, card_from):
    seen = []
    with Web(content) as web:
        fetch(card_from(web.source), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(content), len(content))
    assert seen == sorted(seen)


@pytest.mark.parametrize("ranges", [True, False], ids=["resumed", "from the start"])
def test_web_download_cut_twice_ends_whole(content, ranges, card_from):
    third = len(content) // 3
    cuts = [third, third] if ranges else [third, 2 * third]
    with Web(content, cuts=cuts, ranges=ranges) as web:
        card = card_from(web.source)
        assert fetch(card).read_bytes() == content
    assert web.asked == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_half_a_file_left_by_a_killed_run_is_completed(content, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        part = weights_path(card).with_name("tiny.pt.part")
        part.parent.mkdir(parents=True)
        part.write_bytes(content[:1000])
        assert fetch(card).read_bytes() == content
    assert web.asked == ["bytes=1000-"]
    assert not part.exists()


def test_bad_half_is_dropped_and_the_download_begun_again(content, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        part = weights_path(card).with_name("tiny.pt.part")
        part.parent.mkdir(parents=True)
        part.write_bytes(b"x" * 1000)
        assert fetch(card).read_bytes() == content
    assert web.asked == ["bytes=1000-", None]


def test_too_long_a_half_is_dropped(content, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        part = weights_path(card).with_name("tiny.pt.part")
        part.parent.mkdir(parents=True)
        part.write_bytes(content + b"more")
        assert fetch(card).read_bytes() == content


def test_whole_part_of_a_run_killed_before_the_rename_is_not_downloaded_again(content, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        part = weights_path(card).with_name("tiny.pt.part")
        part.parent.mkdir(parents=True)
        part.write_bytes(content)
        assert fetch(card).read_bytes() == content
    assert web.asked == []


def test_without_a_hash_an_old_half_is_never_continued(content, card_from):
    with Web(content) as web:
        card = card_from(web.source, hashed=False)
        part = weights_path(card).with_name("tiny.pt.part")
        part.parent.mkdir(parents=True)
        part.write_bytes(b"x" * 1000)
        assert fetch(card).read_bytes() == content
    assert web.asked == [None]


def test_without_a_hash_the_record_says_so(content, card_from):
    with Web(content) as web:
        card = card_from(web.source, hashed=False)
        origin = load_network(card).origin
    assert origin["note"] == "the card states no hash to compare this file with"
    assert origin["sha1"] == hashlib.sha1(content).hexdigest()


def test_layout_other_than_the_cards_is_refused(content, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        card = dataclasses.replace(card, weights=dataclasses.replace(card.weights, layout="training"))
        with pytest.raises(UserError, match="says layout 'training', the file has 'state_dict'"):
            load_network(card)


def test_interrupted_download_leaves_only_a_part(content, card_from, left_over):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with Web(content) as web:
        card = card_from(web.source)
        with pytest.raises(KeyboardInterrupt):
            fetch(card, progress=interrupt)
    assert left_over(card) == ["tiny.pt.part"]


# --- the cache ---


def test_second_run_downloads_nothing(content, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        first = fetch_file(card)
        assert fetch_file(card) == first
    assert len(web.asked) == 1


def test_two_runs_at_once_download_once(content, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        runs = [threading.Thread(target=fetch, args=(card,)) for _ in range(4)]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
    assert web.asked == [None]
    assert weights_path(card).read_bytes() == content


@pytest.mark.parametrize("hashed", [True, False])
def test_damaged_file_in_the_cache_is_fetched_again(content, hashed, caplog, card_from):
    with Web(content) as web:
        card = card_from(web.source, hashed=hashed)
        path = fetch(card)
        damaged = bytearray(content)
        damaged[len(content) // 2] ^= 1
        path.write_bytes(damaged)
        assert fetch(card).read_bytes() == content
    assert "tiny.pt is damaged" in caplog.text
    assert len(web.asked) == 2


def test_damaged_file_is_not_served_when_nothing_can_be_fetched(content, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        fetch(card).write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"tiny\.pt: damaged\n.*no connection"):
        fetch(card)


def test_file_put_into_the_cache_by_hand_is_verified_and_taken(content, card_from):
    card = card_from()
    weights_path(card).parent.mkdir(parents=True)
    weights_path(card).write_bytes(content)
    assert fetch_file(card).source == "cache"


def test_broken_receipt_does_not_matter(content, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        path = fetch(card)
        path.with_name("tiny.pt.json").write_text("{")
        assert fetch_file(card).source == "cache"


def test_read_only_cache_serves(content, monkeypatch, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        path = fetch(card)

    def read_only(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(fetching, "FileLock", read_only)
    assert fetch(card) == path


def test_cache_is_where_the_environment_says(content, tmp_path, monkeypatch, card_from):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(tmp_path / "elsewhere"))
    with Web(content) as web:
        card = card_from(web.source)
        assert not is_present(card)
        assert fetch(card).is_relative_to(tmp_path / "elsewhere")
        assert is_present(card)
        assert fetch(card, cache=tmp_path / "given").is_relative_to(tmp_path / "given")


def test_cache_that_is_a_file_is_reported(tmp_path, card_from):
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match=r"cannot use the cache folder .*taken.*BRAINSCORE_SUBMISSION_CACHE"):
        fetch(card_from(), cache=tmp_path / "taken")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_reported_and_nothing_is_kept(content, monkeypatch, card_from, left_over):
    really_open = Path.open

    def full(path, mode="r", *args, **kwargs):
        if path.suffix == ".part" and mode != "rb":
            really_open(path, "wb").close()
            return really_open(Path("/dev/full"), "wb", buffering=0)
        return really_open(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with Web(content) as web:
        card = card_from(web.source)
        with pytest.raises(UserError, match=r"the disk is full: tiny\.pt does not fit .* nothing was kept") as refusal:
            fetch(card)
    assert len(str(refusal.value).splitlines()) == 1
    assert left_over(card) == []


# --- the mirror ---


def test_mirror_on_the_web_comes_before_the_sources(content, monkeypatch, card_from):
    with Web(content) as mirror, Web(content) as source:
        monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", f"{mirror.address}/")
        file = fetch_file(card_from(source.source))
    assert file.source == f"{mirror.address}/tiny.pt"
    assert source.asked == []


def test_mirror_folder_is_read_in_place(content, tmp_path, monkeypatch, card_from):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "tiny.pt").write_bytes(content)
    assert fetch(card_from()) == tmp_path / "mirror" / "tiny.pt"


def test_mirror_is_verified_too(content, tmp_path, monkeypatch, card_from):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", str(tmp_path))
    (tmp_path / "tiny.pt").write_bytes(content[:-1])
    with Web(content) as web:
        file = fetch_file(card_from(web.source))
    assert file.source == web.source.url


def test_mirror_without_the_file_is_among_what_was_tried(tmp_path, monkeypatch, card_from):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", str(tmp_path))
    with pytest.raises(UserError, match=r"tiny\.pt: no such file"):
        fetch(card_from())


def test_card_without_source_says_so(card_from):
    with pytest.raises(UserError, match="Tried: nothing: the card names no source"):
        fetch(card_from())


# --- the hub ---


@pytest.fixture
def hub_card(tiny_card):
    weights = Weights("crossvit_tiny_240.in1k.safetensors", "timm", sources=(Source("hub", tag="in1k"),))
    return dataclasses.replace(tiny_card, architecture="crossvit_tiny_240", weights=weights)


@pytest.fixture
def no_hub_cache(tmp_path, monkeypatch):
    """Hugging Face's own cache, empty."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    return folder


def test_hub_file_is_downloaded_from_its_address(hub_card, no_hub_cache, content, monkeypatch):
    with Web(content) as web:
        monkeypatch.setattr(hub, "ENDPOINT", web.address)
        file = fetch_file(hub_card)
    assert file.source == f"{web.address}/timm/crossvit_tiny_240.in1k/resolve/main/model.safetensors"
    assert file.path == weights_path(hub_card)


def test_hub_offline_is_reported(hub_card, no_hub_cache, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="timm hub, tag 'in1k': HF_HUB_OFFLINE is set"):
        fetch(hub_card)


def test_unknown_hub_tag_is_reported(hub_card, no_hub_cache):
    card = dataclasses.replace(hub_card, weights=Weights("a", "timm", sources=(Source("hub", tag="in99k"),)))
    with pytest.raises(UserError, match=r"timm knows no weights crossvit_tiny_240\.in99k"):
        fetch(card)
    assert not is_present(card)


def in_hub_cache(folder, content, name=None):
    """Lay a file into Hugging Face's cache as huggingface_hub does: a blob named by its sha256."""
    repository = folder / "models--timm--crossvit_tiny_240.in1k"
    blob = repository / "blobs" / (name or hashlib.sha256(content).hexdigest())
    snapshot = repository / "snapshots" / ("0" * 40)
    for path in (blob.parent, snapshot, repository / "refs"):
        path.mkdir(parents=True)
    blob.write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(blob)
    (repository / "refs" / "main").write_text("0" * 40)


def test_file_in_the_hubs_own_cache_is_used_in_place(hub_card, no_hub_cache, content, monkeypatch):
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    in_hub_cache(no_hub_cache, content)
    assert is_present(hub_card)
    assert fetch(hub_card).read_bytes() == content
    assert fetch(hub_card).is_relative_to(no_hub_cache)


def test_damaged_blob_in_the_hubs_own_cache_is_not_used(hub_card, no_hub_cache, content, monkeypatch):
    in_hub_cache(no_hub_cache, content[:-1], hashlib.sha256(content).hexdigest())
    with Web(content) as web:
        monkeypatch.setattr(hub, "ENDPOINT", web.address)
        assert fetch(hub_card).read_bytes() == content


def test_1057_names_a_hub_repository_timm_knows():
    assert timm.get_pretrained_cfg("crossvit_18_dagger_408.in1k").hf_hub_id == "timm/crossvit_18_dagger_408.in1k"


# --- streams ---


def test_stream_begins_where_asked():
    with Web(b"0123456789") as web, contextlib.closing(open_stream(web.source, 4)) as reply:
        assert (reply.offset, reply.total, reply.read()) == (4, 10, b"456789")


def test_server_error_is_a_source_error():
    with Web(b"", status=503) as web, pytest.raises(SourceError, match="503 Service Unavailable"):
        open_stream(web.source)


def test_receipt_tells_where_the_file_came_from(content, card_from):
    with Web(content) as web:
        card = card_from(web.source)
        receipt = json.loads(fetch(card).with_name("tiny.pt.json").read_text())
    assert receipt == {
        "source": web.source.url,
        "sha1": hashlib.sha1(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
