"""`Blobs` and payloads on object storage, in memory and over HTTP."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.log.objects.conftest import s3_uri
from tests.log.objects.proxy import LOSE_REPLY, Proxy, first
from wfstore.errors import DamageError, PayloadMissingError
from wfstore.log import open_writer
from wfstore.log.blobs import open_blobs
from wfstore.log.objects.blobs import ObjectBlobs
from wfstore.objects import bucket_of
from wfstore.payloads import PayloadStore, objects


@pytest.fixture(params=["memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("WFSTORE_CACHE", str(tmp_path / "cache"))
    found: str = request.getfixturevalue(request.param)
    return found


def test_blobs(storage: str, tmp_path: Path) -> None:
    open_writer(storage).close()
    blobs = open_blobs(storage, "history")
    assert blobs.names() == []
    assert blobs.read("a") is None
    assert blobs.create("b", b"bb") and not blobs.create("b", b"other")
    assert blobs.read("b") == b"bb"
    draft = tmp_path / "draft"
    draft.write_bytes(b"x" * 12_000_000)
    blobs.publish("a", str(draft))
    assert not draft.exists()
    found = blobs.names()
    assert [(blob.name, blob.bytes) for blob in found] == [("a", 12_000_000), ("b", 2)]
    assert abs(found[0].modified_us / 1e6 - time.time()) < 120
    assert Path(blobs.local("b")).read_bytes() == b"bb"
    assert Path(blobs.local("a")).stat().st_size == 12_000_000
    assert str(blobs.local("b")).startswith(str(tmp_path / "cache"))
    assert not os.path.exists(blobs.local("missing"))
    blobs.remove("b")
    blobs.remove("b")
    assert [blob.name for blob in blobs.names()] == ["a"]


def test_a_copy_is_downloaded_once_and_not_trusted_when_cut(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WFSTORE_CACHE", str(tmp_path / "cache"))
    storage = s3_uri(proxy.url)
    assert open_blobs(storage, "history").create("a", b"a" * 1000)
    blobs = open_blobs(storage, "history")
    path = Path(blobs.local("a"))
    with proxy.counting() as made:
        assert Path(blobs.local("a")) == path
    assert made == {}
    path.write_bytes(b"a" * 10)
    old = path.with_name("unused")
    old.write_bytes(b"")
    os.utime(old, (1, 1))
    assert Path(open_blobs(storage, "history").local("a")).read_bytes() == b"a" * 1000
    assert not old.exists(), "what nobody used for a month goes"
    assert list(path.parent.iterdir()) == [path]


def test_a_manifest_is_claimed_by_one(proxy: Proxy) -> None:
    storage = s3_uri(proxy.url)
    proxy.fault = first(1, "PUT", "/manifests/", LOSE_REPLY)
    assert open_blobs(storage, "manifests").create("manifest-1", b"mine")
    assert not open_blobs(storage, "manifests").create("manifest-1", b"theirs")


def test_payloads(storage: str) -> None:
    store = PayloadStore(storage)
    small, large = store.put(b"small"), store.put(b"l" * 1_000_000)
    assert small.data == b"small" and large.data is None
    assert store.get(small) == b"small"
    assert store.get(large) == store.get(large.hash) == b"l" * 1_000_000
    assert store.exists(large.hash) and not store.exists(small.hash)
    assert store.put_file(b"small").hash == small.hash and store.exists(small.hash)
    with pytest.raises(PayloadMissingError):
        store.get("0" * 64)
    bucket_of(storage).put(store.uri(large.hash), b"other")
    with pytest.raises(DamageError):
        store.get(large.hash)
    assert store.put(b"l" * 1_000_000) == large
    assert store.get(large.hash) == b"l" * 1_000_000


def test_payloads_that_nothing_refers_to(storage: str) -> None:
    store, bucket = PayloadStore(storage), bucket_of(storage)
    kept, gone = store.put_file(b"kept"), store.put_file(b"gone")
    assert objects.unreferenced(bucket, {kept.hash}) == [], "what was put lately stays"
    time.sleep(1.1)  # S3 counts seconds
    assert objects.unreferenced(bucket, {kept.hash}, lately_s=0.0) == [store.uri(gone.hash)]
    assert objects.remove_unreferenced(bucket, lambda: {kept.hash}, lately_s=0.0) == (1, 4)
    assert store.exists(kept.hash) and not store.exists(gone.hash)
    before = bucket.find(store.uri(kept.hash))
    store.put_file(b"kept")
    assert bucket.find(store.uri(kept.hash)) == before
    objects.keep(bucket, store.uri(kept.hash), b"kept", now_s=time.time() + objects.LATELY_S)
    after = bucket.find(store.uri(kept.hash))
    assert before and after and after.modified_us > before.modified_us, "what has become old is put again"


def test_a_folder_for_work(storage: str, tmp_path: Path) -> None:
    open_writer(storage).close()
    blobs = open_blobs(storage, "history")
    assert isinstance(blobs, ObjectBlobs)
    folder = Path(blobs.scratch())
    (folder / "a").write_bytes(b"a")
    blobs.publish("a", str(folder / "a"))
    assert Path(blobs.local("a")).read_bytes() == b"a"
    folder.rmdir()
