"""The dashboard on a cluster: started beside the manager, or joined, and the class that the actor there hosts.

`engine.dashboard` makes that class from plain facts, by its name, in the actor's process.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wfstore.dashboard.settings import Settings, make
from wfstore.engine import dashboard as actor

#: How the engine is told what to host.
TARGET = "wfstore.dashboard.host:HostedDashboard"


def start(settings: Settings) -> str:
    """Start the dashboard of this process's manager; returns its link. One that runs already is joined, with the
    address and the token that it has. Raises OSError for a port that is taken, RuntimeError where it cannot start."""
    # Ray makes it again from the same facts: port 0 would be another one each time.
    port = settings.port or actor.free_port()
    names = list(settings.allowed_hosts)
    facts = {"token": settings.token, "host": settings.host, "port": port, "allowed_hosts": names}
    link: str = actor.start(TARGET, facts)["link"]
    return link


def start_as_asked(options: Mapping[str, Any]) -> str:
    """As `start`, with what `workflow.init(dashboard=...)` was given. Raises ValueError for what cannot be used."""
    unknown = sorted(options.keys() - {"token", "host", "port", "allowed_hosts"})
    if unknown:
        raise ValueError(f"dashboard has {unknown[0]!r}; it may have token, host, port and allowed_hosts")
    return start(make(**options))


class HostedDashboard:
    """One dashboard of a live manager, in a process of its own. `listen`, then `serve`."""

    def __init__(
        self,
        *,
        storage: str,
        token: str,
        host: str,
        port: int,
        allowed_hosts: Sequence[str] = (),
        ended: Callable[[], Any] | None = None,
    ) -> None:
        """ended: called when the server ended without having been told to."""
        from wfstore.dashboard import server  # what is missing is said at once

        self._server = server
        self._storage = storage
        self._settings = Settings(token, host, port, tuple(allowed_hosts))
        self._ended = ended
        self._stopping = False
        self._sock: socket.socket | None = None
        self._background: Any = None

    def listen(self) -> None:
        """Take the port. Raises OSError."""
        self._sock = self._server.listen(self._settings)

    def serve(self) -> None:
        """Answer requests, in a thread. This process is connected to the manager by now, if there is one."""
        from wfstore._observe import WorkflowObservability
        from wfstore.dashboard.app import create_app

        assert self._sock is not None
        app = create_app(WorkflowObservability(self._storage), self._settings)
        self._background = self._server.Background(app, self._sock, self._over, alone=True)
        self._background.start()

    def _over(self) -> None:
        if self._ended is not None and not self._stopping:
            self._ended()

    def describe(self) -> dict[str, Any]:
        """link, url, port, storage."""
        port = self._settings.port if self._background is None else self._background.port
        address = self._settings.address(port)
        return {"link": self._settings.link(port), "url": address, "port": port, "storage": self._storage}

    def stop(self) -> None:
        self._stopping = True
        if self._background is not None:
            self._background.stop()
