"""Storages that are missing, full, no directories, of another version: one clear error each, nothing acknowledged."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import pytest

from tests.log.events import plain, plains
from wfstore.errors import DamageError, StorageError, StorageFullError, StorageNotFoundError, StorageVersionError
from wfstore.log import LogReader, check_storage, open_writer, resolve_storage, storage, verify
from wfstore.log import writer as writer_module


def test_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_storage("a/../b") == str(tmp_path / "b")
    assert resolve_storage(tmp_path) == str(tmp_path)
    assert resolve_storage(f"file://{tmp_path}/with%20space") == f"{tmp_path}/with space"
    assert resolve_storage("~") == os.path.expanduser("~")
    monkeypatch.setenv("RAY_WORKFLOW_STORAGE", "/old")
    assert resolve_storage(None) == "/old"
    monkeypatch.setenv("WFSTORE_STORAGE", "file:///new")
    assert resolve_storage(None) == "/new"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ["hdfs://host/x", "file://host/x", "", "a\0b"])
def test_resolve_refuses(given: str) -> None:
    with pytest.raises(StorageError) as caught:
        resolve_storage(given)
    if given.startswith("hdfs"):
        assert "local filesystems" in str(caught.value)


def test_the_default_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WFSTORE_STORAGE", raising=False)
    monkeypatch.delenv("RAY_WORKFLOW_STORAGE", raising=False)
    monkeypatch.setattr(storage, "_warned", False)
    with pytest.warns(UserWarning, match="does not outlive"):
        path = resolve_storage(None)
    assert path.endswith("ray/workflow_data")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_storage(None) == path


def test_the_store_is_private(tmp_path: Path) -> None:
    store = tmp_path / "deep" / "store"
    open_writer(str(store)).close()
    for path in [store, *store.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("made", [False, True])
def test_no_store(tmp_path: Path, made: bool) -> None:
    store = tmp_path / "store"
    if made:
        (store / "log").mkdir(parents=True)
    for reading in (LogReader, verify):
        with pytest.raises(StorageNotFoundError, match="WFSTORE_STORAGE") as caught:
            reading(str(store))
        assert str(store) in str(caught.value)
    check_storage(str(store))


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for use in (LogReader, verify, open_writer, check_storage):
        with pytest.raises(StorageError, match="file"):
            use(str(file))
    for use in (open_writer, check_storage):
        with pytest.raises(StorageError):
            use(str(file / "below"))


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).close()
    witness = json.loads((store / "store.json").read_text())
    del witness["crc"]
    (store / "store.json").write_text(json.dumps(witness | {"format": 2}))
    for use in (LogReader, verify, open_writer, check_storage):
        with pytest.raises(StorageVersionError, match="format 2"):
            use(str(store))
    assert len(list((store / "log").iterdir())) == 1


def test_unknown_keys_of_the_witness_are_ignored(tmp_path: Path) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).close()
    witness = json.loads((store / "store.json").read_text())
    del witness["crc"]
    witness["invented_later"] = 1
    (store / "store.json").write_text(json.dumps({**witness, "crc": zlib.crc32(json.dumps(witness).encode())}))
    assert verify(str(store)).ok


def test_a_witness_of_before_there_were_checksums_is_taken_and_one_whose_checksum_has_lost_its_name_is_not(
    tmp_path: Path,
) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).close()
    path = store / "store.json"
    text = path.read_text()
    witness = json.loads(text)
    del witness["crc"]
    path.write_text(json.dumps(witness))
    assert verify(str(store)).ok
    # bits of two bytes have changed: a digit, and the name of what would tell
    path.write_text(text.replace('"next_seq": 1', '"next_seq": 3').replace('"crc"', '"grc"'))
    with pytest.raises(DamageError, match="checksum"):
        check_storage(str(store))
    assert [problem.path for problem in verify(str(store)).problems] == [str(path)]


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, StorageFullError), (errno.EIO, StorageError)])
def test_a_failed_write_ends_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type) -> None:
    store = tmp_path / "store"
    writer = open_writer(str(store))
    writer.append([plain(1)])
    real = os.pwrite

    def short(fd: int, data: memoryview, offset: int) -> int:
        monkeypatch.setattr(os, "pwrite", failing)
        return real(fd, data[:50], offset)

    def failing(fd: int, data: memoryview, offset: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pwrite", short)
    with pytest.raises(kind) as first:
        writer.append([plain(2)])
    monkeypatch.setattr(os, "pwrite", real)
    with pytest.raises(kind) as second:
        writer.append([plain(3)])
    assert second.value is first.value
    writer.close()
    assert [event.task_id for event in LogReader(str(store)).events()] == ["t1"]
    following = open_writer(str(store))
    assert following.append([plain(4)]) == (2, 2)


def test_a_failed_fdatasync_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = open_writer(str(tmp_path / "store"))
    calls = []

    def failing(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(writer_module, "datasync", failing)
    for _ in range(3):
        with pytest.raises(StorageError, match="Input/output"):
            writer.append([plain(1)])
    assert len(calls) == 1


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    writer = open_writer(str(store))
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:7], offset))
    writer.append(plains(0, 5))
    assert len(list(LogReader(str(store)).events())) == 5


def test_a_file_size_limit(tmp_path: Path) -> None:
    """A real failing write, in a process of its own: what was acknowledged before it is there."""
    code = (
        "import resource, sys; from wfstore.log import open_writer; from wfstore.errors import StorageError\n"
        "from tests.log.events import plains\n"
        "writer = open_writer(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "try:\n    while True: print(writer.append(plains(0, 10))[1], flush=True)\n"
        "except StorageError as error: print(type(error).__name__)\n"
    )
    store = tmp_path / "store"
    command = [sys.executable, "-c", code, str(store)]
    root = Path(__file__).parents[2]
    *acknowledged, error = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split()
    assert error == "StorageError"
    assert len(list(LogReader(str(store)).events())) == int(acknowledged[-1])
    writer = open_writer(str(store))
    assert writer.next_seq == int(acknowledged[-1]) + 1


def test_a_read_only_filesystem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).append([plain(1)])
    real = os.open

    def read_only(path: str, flags: int, *rest: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(StorageError, match="read, but not written"):
        open_writer(str(store))
    assert verify(str(store)).ok


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")
def test_a_store_of_another_user(tmp_path: Path) -> None:
    store = tmp_path / "store"
    open_writer(str(store)).close()
    store.chmod(0o000)
    for use in (LogReader, open_writer, check_storage):
        with pytest.raises(StorageError):
            use(str(store))
    store.chmod(0o700)
