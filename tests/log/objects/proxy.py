"""An HTTP proxy in front of an S3 server, which counts requests and does to some of them what networks do."""

from __future__ import annotations

import http.client
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
Fault = Callable[[str, str], str]


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
                if fate == FAIL:
                    self.close_connection = True
                    return
                if fate == HOLD:
                    proxy.release.wait(30)
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
                if fate == HOLD:
                    proxy.late.append(reply.status)
                if fate in (LOSE_REPLY, HOLD):
                    self.close_connection = True
                    return
                self.send_response_only(reply.status)
                for name, value in reply.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                length = reply.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(data))
                self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(data)

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
