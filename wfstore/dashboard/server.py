"""Runs the application by uvicorn: in the foreground of a command, or in a thread beside what a process does else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from wfstore._garbage import calm_collector
from wfstore.dashboard.settings import Settings
from wfstore.dashboard.warming import Warming

_log = logging.getLogger("wfstore.dashboard")

#: What streams and slow answers get to end by themselves once the server stops.
GRACE_S = 2
#: The same for a statement that nobody waits for.
STATEMENT_S = 5
_BACKLOG = 1024
#: A thread that draws lets the one that tells of changes go on within so long: that one waits for the interpreter at
#: each of its many steps.
_SWITCH_S = 0.0005


def listen(settings: Settings) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError naming host, port and the way out."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise OSError(error.errno, f"the dashboard cannot listen on {settings.host}: {error.strerror}") from error
    family, kind, protocol, _, address = found[0]
    made = socket.socket(family, kind, protocol)
    try:
        # A restarted server takes over from connections of the last one that linger; never from a live one.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise OSError(error.errno, _why(error, settings)) from error
    return made


def _why(error: OSError, settings: Settings) -> str:
    place = f"port {settings.port} of {settings.host}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use, perhaps by another dashboard; choose another with --port, or 0 for any"
    return f"the dashboard cannot listen on {place}: {error.strerror}"


class Server(uvicorn.Server):
    """Ends streams before it waits for connections, and ends in good order on SIGINT and SIGTERM."""

    def __init__(self, app: Starlette, started: Callable[[], None] | None = None, alone: bool = False) -> None:
        """alone: the process does nothing else."""
        self._app = app
        self._alone = alone
        super().__init__(
            uvicorn.Config(
                self._ending_well,
                interface="asgi3",  # which uvicorn sees in functions only
                lifespan="on",
                ws="none",
                access_log=False,  # it would hold the link's token
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._started = started
        self._warming: Warming | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._warming = Warming(self._app, self._calm)
        await super().startup(sockets=sockets)
        self._calm()
        if self.started and self._started is not None:
            self._started()

    def _calm(self) -> None:
        if self._alone:
            calm_collector(full_every=10)
            sys.setswitchinterval(_SWITCH_S)

    async def _ending_well(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application; an answer that has not come within the grace is a line of the log, and no fault."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            if not self.should_exit or scope["type"] != "http":
                raise
            _log.warning("%s %s was left unanswered: the dashboard ends", scope["method"], scope["path"])
            if not begun:
                await PlainTextResponse("The dashboard ends.", 503, {"Connection": "close"})(scope, receive, send)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.hub.close()
        if self._warming is not None:
            await asyncio.to_thread(self._warming.end, STATEMENT_S)
        await super().shutdown(sockets=sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that ended the server is dealt with: it is not raised once more."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(app: Starlette, sock: socket.socket, started: Callable[[], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM. started: called once requests are answered."""
    Server(app, started, alone=True).run(sockets=[sock])


class Background:
    """A server in a thread of its own, with its own event loop."""

    def __init__(
        self, app: Starlette, sock: socket.socket, ended: Callable[[], Any] | None = None, *, alone: bool = False
    ) -> None:
        """ended: called from the thread when the server ended, whatever the reason; alone: as of `Server`."""
        self.port: int = sock.getsockname()[1]
        self._up = threading.Event()
        self._server = Server(app, self._up.set, alone)
        self._sock = sock
        self._ended = ended
        self._thread = threading.Thread(target=self._run, name="wfstore-dashboard", daemon=True)

    def start(self, timeout_s: float = 30.0) -> None:
        """Returns once requests are answered. Raises RuntimeError where that does not come about."""
        self._thread.start()
        if not self._up.wait(timeout_s):
            raise RuntimeError(f"the dashboard was not up within {timeout_s:g} s")

    def stop(self) -> None:
        """Ends the server and waits for that."""
        self._server.should_exit = True
        self._thread.join(GRACE_S + 5)

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._sock])
        finally:
            if self._ended is not None:
                self._ended()
