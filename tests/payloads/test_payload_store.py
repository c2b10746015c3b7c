"""Files of payloads: written whole or not at all, found by their content, checked when read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from wfstore.errors import DamageError, PayloadMissingError, StorageError, StorageFullError
from wfstore.model.payload import INLINE_LIMIT_BYTES, PayloadRef
from wfstore.payloads import PayloadStore, hash_of
from wfstore.payloads import store as store_module

BIG = os.urandom(INLINE_LIMIT_BYTES + 1)


@pytest.fixture
def store(tmp_path: Path) -> PayloadStore:
    return PayloadStore(str(tmp_path))


def files(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_small_data_ride_in_the_reference(store: PayloadStore, tmp_path: Path) -> None:
    data = b"x" * INLINE_LIMIT_BYTES
    ref = store.put(data)
    assert ref == PayloadRef(hash_of(data), len(data), data)
    assert store.get(ref) == data
    assert files(tmp_path) == []
    assert not store.exists(ref.hash)


def test_large_data_are_a_private_file_under_their_hash(store: PayloadStore, tmp_path: Path) -> None:
    ref = store.put(BIG)
    assert ref == PayloadRef(hash_of(BIG), len(BIG), None)
    assert [str(path) for path in files(tmp_path)] == [store.path(ref.hash)]
    assert store.uri(ref.hash) == f"payloads/{ref.hash[:2]}/{ref.hash}"
    assert stat.S_IMODE(os.stat(store.path(ref.hash)).st_mode) == 0o600
    assert store.exists(ref.hash)
    assert store.get(ref) == store.get(ref.hash) == BIG


def test_put_file_writes_small_data_too(store: PayloadStore) -> None:
    ref = store.put_file(b"body")
    assert ref.data is None
    assert store.get(ref) == b"body"


def test_the_same_content_is_written_once(store: PayloadStore, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []
    write = store_module._write_durably
    monkeypatch.setattr(store_module, "_write_durably", lambda path, data: (writes.append(path), write(path, data)))
    assert [store.put(BIG) for _ in range(3)] == [PayloadRef(hash_of(BIG), len(BIG))] * 3
    assert len(writes) == 1


def test_a_file_of_another_size_is_replaced(store: PayloadStore) -> None:
    ref = store.put(BIG)
    os.truncate(store.path(ref.hash), 10)
    store.put(BIG)
    assert store.get(ref) == BIG


def test_synced_before_it_gets_its_name(store: PayloadStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_file(b"first")  # directories exist from here on
    calls: list[str] = []
    for name in ("rename", "fsync"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _n=name, _r=real: (calls.append(_n), _r(*a))[1])
    monkeypatch.setattr(store_module, "_sync", os.fsync)
    data = next(d for d in map(str.encode, map(str, range(5000))) if hash_of(d)[:2] == hash_of(b"first")[:2])
    store.put_file(data)
    assert calls == ["fsync", "rename", "fsync"]


def test_file_uri_is_a_path(tmp_path: Path) -> None:
    assert PayloadStore(f"file://{tmp_path}").path("0" * 64) == PayloadStore(str(tmp_path)).path("0" * 64)


def test_missing(store: PayloadStore) -> None:
    with pytest.raises(PayloadMissingError, match=r"0000"):
        store.get("0" * 64)


@pytest.mark.parametrize("name", ["../../etc/passwd", "ab", "AB" * 32, "0" * 63, "0" * 63 + "\n", "/" * 64])
def test_what_is_no_hash_never_becomes_a_path(store: PayloadStore, name: str) -> None:
    with pytest.raises(PayloadMissingError, match=r"not the sha256"):
        store.path(name)


def test_what_has_lost_its_hash_with_its_value_says_why(store: PayloadStore) -> None:
    with pytest.raises(PayloadMissingError, match="no longer kept: retention"):
        store.get("")


@pytest.mark.parametrize("position", [0, -1])
def test_a_flipped_bit_is_damage(store: PayloadStore, position: int) -> None:
    ref = store.put(BIG)
    damaged = bytearray(BIG)
    damaged[position] ^= 1
    Path(store.path(ref.hash)).write_bytes(damaged)
    with pytest.raises(DamageError, match=ref.hash) as caught:
        store.get(ref)
    assert caught.value.path == store.uri(ref.hash)


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, StorageFullError), (errno.EDQUOT, StorageFullError), (errno.EIO, StorageError)],
)
@pytest.mark.parametrize("call", ["write", "rename"])
def test_a_failed_write_leaves_nothing(
    store: PayloadStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, error: type[Exception]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(error) as caught:
        store.put(BIG)
    assert isinstance(caught.value, StorageFullError) == (error is StorageFullError)
    monkeypatch.undo()
    assert files(tmp_path) == []
    assert store.put(BIG).bytes == len(BIG)


def test_a_failed_sync_leaves_nothing(store: PayloadStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_file(b"a")
    before = files(tmp_path)

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(store_module, "_sync", fail)
    with pytest.raises(StorageError, match=r"I/O error"):
        store.put(BIG)
    assert files(tmp_path) == before


def test_short_writes_are_continued(store: PayloadStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:1000]))
    ref = store.put(BIG)
    assert store.get(ref) == BIG


def test_a_storage_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = PayloadStore(str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"file"):
        store.put(BIG)
    with pytest.raises(PayloadMissingError):
        store.get("0" * 64)
