"""Backup, restore and verify over HTTP, on an S3 server; and a server that fails in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import wfstore
from tests.log.objects.conftest import s3_uri
from tests.log.objects.proxy import BUSY, PASS, Proxy
from tests.log.objects.s3_server import running
from tests.store.backups import Source, backup, restore, said
from wfstore.errors import StorageError
from wfstore.objects import connect

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFSTORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(connect, "_RETRIES", 2)


def test_there_and_back(server: str, tmp_path: Path) -> None:
    store = Source(s3_uri(server)).grow(3).compact().grow(2)
    disk, bucket, back = str(tmp_path / "kept"), s3_uri(server), s3_uri(server)
    for place in (disk, bucket):
        first = backup(store.storage, place)
        store.grow(1)
        assert backup(store.storage, place).copied_bytes < first.copied_bytes
    store.grow(1, open_=True)
    for place in (disk, bucket):
        backup(store.storage, place)
    restore(disk, back)
    for place in (disk, bucket, back):
        assert said(place).equals(said(store.storage))
        report = wfstore.open(place).verify()
        assert report.ok and report.replayed, report.problems
    assert wfstore.open(back).workflows(status="RESUMABLE").height == 1
    assert "secret" not in Path(disk, "backup.json").read_text().lower()


def test_a_server_that_fails_in_the_middle(server: str, tmp_path: Path) -> None:
    store = Source(str(tmp_path / "store")).grow(4).compact().grow(1)
    proxy = Proxy(server)
    try:
        place = s3_uri(proxy.url)
        puts = 0

        def fault(method: str, path: str) -> str:
            nonlocal puts
            puts += method == "PUT"
            return BUSY if puts > 8 else PASS

        proxy.fault = fault
        with pytest.raises(StorageError):
            backup(store.storage, place)
        proxy.fault = lambda method, path: PASS
        done = backup(store.storage, place)
        assert 0 < done.copied_files < done.files
        assert said(place).equals(said(store.storage))
    finally:
        proxy.close()
