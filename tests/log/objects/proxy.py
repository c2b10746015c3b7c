"""An HTTP proxy in front of an S3 server, which counts requests and does to some of them what networks do."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

#: What happens to a request: forwarded and answered; done, with the reply lost; refused before it was done; forwarded
#: without its condition, as servers do that do not know it.
PASS, LOSE_REPLY, FAIL, FORGET_CONDITION = "pass", "lose reply", "fail", "forget condition"
#: Kept on its way until `Proxy.release` is set, and forwarded then, whether somebody still waits for the reply or not.
HOLD = "hold"
#: Each of these before it was done, and after: answered with 503; the connection reset; no answer for as long as
#: somebody waits for one.
BUSY, DONE_BUSY = "503", "done, 503"
RESET, DONE_RESET = "reset", "done, reset"
SILENT, DONE_SILENT = "silent", "done, silent"
#: Done, and the answer breaks off in the middle; done twice, and the second answer is passed on.
CUT, TWICE = "cut", "twice"
Fault = Callable[[str, str], str]
_NEVER_DONE = frozenset((FAIL, BUSY, RESET, SILENT))
_BUSY = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"


class Proxy:
    """`url` stands for the server behind it. `fault(method, path)` says what happens to each request."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target).netloc
        self.fault: Fault = lambda method, path: PASS
        self.requests: Counter[str] = Counter()
        self.release = threading.Event()
        self.late: list[int] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                return

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.requests[self.command] += 1
                fate = proxy.fault(self.command, urlsplit(self.path).path)
                reply = None
                if fate == HOLD:
                    proxy.release.wait(30)
                if fate not in _NEVER_DONE:
                    for _ in range(2 if fate == TWICE else 1):
                        reply = self.forwarded(body, fate)
                if fate == HOLD and reply is not None:
                    proxy.late.append(reply[0])
                if fate in (FAIL, LOSE_REPLY, HOLD):
                    self.close_connection = True
                elif fate in (RESET, DONE_RESET):
                    self.reset()
                elif fate in (SILENT, DONE_SILENT):
                    self.close_connection = True
                    self.connection.settimeout(30)
                    with contextlib.suppress(OSError):
                        self.connection.recv(1)
                elif fate in (BUSY, DONE_BUSY) or reply is None:
                    self.answer(503, [("Content-Type", "application/xml")], _BUSY)
                else:
                    self.answer(*reply, cut=fate == CUT)

            def forwarded(self, body: bytes, fate: str) -> tuple[int, list[tuple[str, str]], bytes]:
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if not (fate == FORGET_CONDITION and name.lower() == "if-none-match")
                }
                behind = http.client.HTTPConnection(proxy.target, timeout=30)
                behind.request(self.command, self.path, body, headers)
                reply = behind.getresponse()
                data = reply.read()
                behind.close()
                return reply.status, reply.getheaders(), data

            def answer(self, status: int, headers: list[tuple[str, str]], data: bytes, cut: bool = False) -> None:
                self.send_response_only(status)
                length = str(len(data))
                for name, value in headers:
                    if name.lower() == "content-length" and self.command == "HEAD":
                        length = value
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                if cut:
                    self.close_connection = True
                if data or not cut:
                    self.end_headers()
                    self.wfile.write(data[: len(data) // 2] if cut else data)
                else:
                    self.flush_headers()

            def reset(self) -> None:
                """An RST packet, and no FIN before it."""
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                return  # clients are killed, and break connections off

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def counting(self) -> Iterator[Counter[str]]:
        """The requests made inside, by method."""
        before = self.requests.copy()
        made: Counter[str] = Counter()
        yield made
        made.update(self.requests - before)


def first(count: int, method: str, part: str, fate: str) -> Fault:
    """`fate` for the first `count` requests of `method` whose path holds `part`."""
    left = [count]

    def fault(asked: str, path: str) -> str:
        if asked == method and part in path and left[0] > 0:
            left[0] -= 1
            return fate
        return PASS

    return fault
