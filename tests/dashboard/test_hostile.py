"""Requests that no well-meaning client sends, over a real socket: each is refused, and the server answers the next."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import pytest

from tests.dashboard.fakes import TOKEN, Running, running

AUTH = f"Authorization: Bearer {TOKEN}\r\n"
HOST = "Host: 127.0.0.1\r\n"
OK = HOST + AUTH
ACT = OK + "X-Wfstore-Action: 1\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as made:
        yield made


def sent(server: Running, request: bytes) -> bytes:
    """The whole answer; empty where the connection was closed, or left open, without one.

    The sending half stays open: who closes it has gone away, and is answered no more.
    """
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        answer = b""
        try:
            sock.sendall(request)
            sock.settimeout(1.0)
            while data := sock.recv(65536):
                answer += data
        except (TimeoutError, ConnectionError):
            pass
        return answer


def get(path: str, headers: str = OK, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    return f"{method} {path} {version}\r\n{headers}Connection: close\r\n\r\n".encode("latin-1")


def post(path: str, body: bytes, headers: str = ACT) -> bytes:
    return f"POST {path} HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


REQUESTS = {
    "no token": get("/", HOST),
    "a token in the path": get(f"/{TOKEN}", HOST),
    "the api by link": get(f"/api/workflows?token={TOKEN}", HOST),
    "two tokens": get("/api/workflows", HOST + "Authorization: Bearer x\r\n" + AUTH),
    "no host": get("/api/workflows", AUTH),
    "no host in HTTP/1.0": get("/api/workflows", AUTH, version="HTTP/1.0"),
    "two hosts": get("/api/workflows", HOST + "Host: evil.example\r\n" + AUTH),
    "a foreign host": get("/api/workflows", "Host: evil.example\r\n" + AUTH),
    "a foreign host as the target": get("http://evil.example/api/workflows"),
    "a host with a path": get("/api/workflows", "Host: 127.0.0.1/..\r\n" + AUTH),
    "a forwarded host": get("/nowhere", "Host: evil.example\r\nX-Forwarded-Host: 127.0.0.1\r\n" + AUTH),
    "the metadata service's host": get("/api/workflows", "Host: 169.254.169.254\r\n" + AUTH),
    "a folded header": get("/api/workflows", HOST + "Authorization:\r\n Bearer x\r\n"),
    "a header without a colon": get("/api/workflows", OK + "nonsense\r\n"),
    "a space before the colon": get("/api/workflows", HOST + f"Authorization : Bearer {TOKEN}\r\n"),
    "a zero byte in a header": get("/api/workflows", OK + "X-A: \0\r\n"),
    "a header of 100 kB": get("/api/workflows", OK + f"X-A: {'a' * 100_000}\r\n"),
    "ten thousand headers": get("/api/workflows", OK + "X-A: b\r\n" * 10_000),
    "a path of 100 kB": get("/" + "a" * 100_000),
    "a path of dots": get("/static/../../../../etc/passwd"),
    "a path of encoded dots": get("/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd"),
    "a path of encoded slashes": get("/static/..%2f..%2f..%2f..%2fetc%2fpasswd"),
    "a path with a zero byte": get("/static/wfstore.css%00.html"),
    "a path of backslashes": get("/static/..\\..\\..\\etc\\passwd"),
    "an absolute static path": get("/static//etc/passwd"),
    "a line break in the path": get("/api/workflows/%0d%0aSet-Cookie:%20a=b"),
    "no UTF-8 in the path": get("/api/workflows/%ff%fe%80"),
    "an unknown method": get("/api/workflows/open/cancel", ACT, "MADEUP"),
    "connect": get("evil.example:443", OK, "CONNECT"),
    "trace": get("/api/workflows", ACT, "TRACE"),
    "a method override": post("/api/workflows/open", b"", ACT + "X-HTTP-Method-Override: DELETE\r\n"),
    "another method by query": get("/api/workflows/open/cancel?_method=POST"),
    "a form": post("/api/workflows/open/cancel", b"a=b", OK + "Content-Type: application/x-www-form-urlencoded\r\n"),
    "a form with a foreign origin": post("/api/workflows/open/cancel", b"", ACT + "Origin: http://evil.example\r\n"),
    "a length that is none": get("/api/workflows/bulk", ACT + "Content-Length: -1\r\n", "POST"),
    "two lengths": get("/api/workflows/bulk", ACT + "Content-Length: 1\r\nContent-Length: 2\r\n", "POST"),
    "a length and chunks": get(
        "/api/workflows/bulk", ACT + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "POST"
    ),
    "a length of exabytes": get("/api/workflows/bulk", ACT + f"Content-Length: {10**18}\r\n", "POST"),
    "broken chunks": get("/api/workflows/bulk", ACT + "Transfer-Encoding: chunked\r\n", "POST") + b"zz\r\n\r\n",
    "an unknown transfer encoding": get("/api/workflows/bulk", ACT + "Transfer-Encoding: gzip\r\n", "POST"),
    "deep JSON": post("/api/workflows/bulk", b"[" * 200_000),
    "JSON with a lone surrogate": post("/api/workflows/bulk", rb'{"action": "\ud800", "filter": {}}'),
    "JSON in UTF-16": post("/api/workflows/bulk", '{"action": "explode"}'.encode("utf-16")),
    "a number of a million digits": post("/api/workflows/bulk", b'{"action": ' + b"9" * 1_000_000 + b"}"),
    "a pickle": post("/api/workflows/bulk", b"\x80\x05cos\nsystem\n(S'true'\ntR."),
    "an upgrade": get("/api/stream", HOST + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: a\r\n"),
    "HTTP/2 in clear": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\0" * 200,
    "no HTTP": b"\xff\xfe\x00nonsense\r\n\r\n",
    "an asterisk": get("*", ACT, "OPTIONS"),
}


def test_there_are_forty() -> None:
    assert len(REQUESTS) >= 40


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_it_is_refused(server: Running, request_: bytes) -> None:
    answer = sent(server, request_)
    if answer:
        status = int(answer.split()[1])
        assert 400 <= status < 500, answer[:200]
    tells_nothing(answer)
    assert server.observability.actions == []
    assert server.get("/api/counts").status_code == 200


def tells_nothing(answer: bytes) -> None:
    """No answer holds files of the server, its token, what lets other sites in, or where its code broke."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"root:" not in body
    assert b"set-cookie" not in head.lower()
    assert b"access-control" not in head.lower()
    assert TOKEN.encode() not in answer.replace(b"/" + TOKEN.encode(), b"")
    assert b"Traceback" not in answer


def test_a_slow_request_holds_up_nobody(server: Running) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    for sock in slow:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
    assert server.get("/api/counts").status_code == 200
    for sock in slow:
        sock.close()


@pytest.mark.parametrize("part", [b"", b'{"action": '], ids=["before the body", "within the body"])
def test_who_leaves_in_the_middle_of_a_request_leaves_no_fault_in_the_log(
    server: Running, part: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)
    caplog.set_level(logging.INFO)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(f"POST /api/workflows/bulk HTTP/1.1\r\n{ACT}Content-Length: 500\r\n\r\n".encode() + part)
    until = time.monotonic() + 5
    while not caplog.records and time.monotonic() < until:
        time.sleep(0.01)
    assert server.get("/api/counts").status_code == 200
    said = [(one.levelname, one.getMessage()) for one in caplog.records if one.name.startswith(("wfstore", "uvicorn"))]
    assert said == [("INFO", "POST /api/workflows/bulk: the client left in the middle of its request")]
