"""Replies whose body breaks off: what is read is all of one version of the object, or an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from wfstore.errors import StorageError
from wfstore.log import resolve_storage
from wfstore.objects import Bucket, bucket_of, connect

_SIZE = 200_000


class _Versions(BaseHTTPRequestHandler):
    """Each reply is that of the next of `bodies`, the last one for ever; so many of them break off in their middle."""

    protocol_version = "HTTP/1.1"
    bodies: tuple[bytes, ...] = ()
    broken = 0
    tagged = True
    asked: list[str | None]

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        number, part = len(self.asked), self.headers.get("Range")
        self.asked.append(part)
        whole = self.bodies[min(number, len(self.bodies) - 1)]
        begin = int(part.partition("=")[2].partition("-")[0]) if part else 0
        body = whole[begin:]
        self.send_response(206 if part else 200)
        if part:
            self.send_header("Content-Range", f"bytes {begin}-{len(whole) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")
        if self.tagged:
            self.send_header("ETag", f'"{whole[0]}"')
        self.end_headers()
        cut = number < self.broken
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut


@pytest.fixture
def served() -> type[_Versions]:
    """What the server of `bucket` does."""
    return type("Served", (_Versions,), {"asked": []})


@pytest.fixture
def bucket(served: type[_Versions], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr(connect, "_RETRIES", 1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), served)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    endpoint = quote(f"http://127.0.0.1:{server.server_port}", safe="")
    yield bucket_of(resolve_storage(f"s3://key:secret@bucket/some?region=us-east-1&endpoint={endpoint}"))
    server.shutdown()
    thread.join()
    server.server_close()


def _read(bucket: Bucket, how: str, folder: Path) -> bytes:
    if how == "get":
        found = bucket.get("x")
    else:
        size = bucket.download("x", str(folder / "x"))
        found = (folder / "x").read_bytes()
        assert size == len(found)
    assert found is not None
    return found


HOW = pytest.mark.parametrize("how", ["get", "download"])
OLD, NEW = b"o" * _SIZE, b"n" * _SIZE


@HOW
def test_it_goes_on_where_the_object_is_the_same(
    served: type[_Versions], bucket: Bucket, how: str, tmp_path: Path
) -> None:
    served.bodies, served.broken = (OLD,), 1
    assert _read(bucket, how, tmp_path) == OLD
    assert served.asked[0] is None and served.asked[1] is not None and len(served.asked) == 2


@HOW
def test_what_was_replaced_meanwhile_is_read_from_its_beginning(
    served: type[_Versions], bucket: Bucket, how: str, tmp_path: Path
) -> None:
    served.bodies, served.broken = (OLD, NEW), 1
    assert _read(bucket, how, tmp_path) == NEW
    assert served.asked[-1] is None


@HOW
def test_without_versions_every_reading_begins_at_the_beginning(
    served: type[_Versions], bucket: Bucket, how: str, tmp_path: Path
) -> None:
    served.bodies, served.broken, served.tagged = (OLD, NEW), 1, False
    assert _read(bucket, how, tmp_path) == NEW
    assert served.asked == [None, None]


@HOW
def test_one_that_breaks_off_again_and_again_is_an_error(
    served: type[_Versions], bucket: Bucket, how: str, tmp_path: Path
) -> None:
    served.bodies, served.broken = (OLD, NEW) * 20, 40
    with pytest.raises(StorageError, match="reading x failed"):
        _read(bucket, how, tmp_path)
