"""GET /api/stream: what changes, as Server-Sent Events.

| event | data | the page |
|---|---|---|
| `ready` | `as_of_seq` | is connected; it asks anew for what it drew as of an earlier seq |
| `changes` | `as_of_seq`, `deleted` (ids), `workflows`, `tasks` (rows) | forgets, then patches what it shows |
| `snapshot-needed` | `as_of_seq` | has missed something: asks anew for all it shows |
| `unavailable` | `message` | says so; `snapshot-needed` follows when it is over |
| `heartbeat` | `as_of_seq` | knows that the connection lives: one comes after 10 s without another event |

The event's id is a cursor: sent back as ``Last-Event-ID``, as browsers do, or as ``?since=``, the stream goes on behind
it, in this process or in its successor. ``?workflow_id=`` gives one workflow's only, ``?tasks=0`` no tasks. A client
gets at most 30 events a second, and one that takes nothing for 20 s is let go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from wfstore.dashboard.api import in_thread, only
from wfstore.dashboard.encoding import JsonResponse
from wfstore.dashboard.frames import HEARTBEAT, READY, UNAVAILABLE, Wish, event_text
from wfstore.dashboard.hub import FRAME_S, Client, Hub
from wfstore.dashboard.openapi import STRING, describe

__all__ = ["Hub", "routes"]

HEARTBEAT_S = 10.0
SEND_TIMEOUT_S = 20.0
MOST_CLIENTS = 1_000
_START_S = 5.0
_CHUNK = 64 * 2**10


class _Stream(EventSourceResponse):
    """Ends quietly when a client takes nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            return


@describe(
    media="text/event-stream",
    answer=STRING,
    query={
        "workflow_id": (STRING, "Only what belongs to this workflow."),
        "tasks": ({"enum": ["0", "1"], "default": "1"}, "0: rows of workflows only."),
        "since": (STRING, "As the header Last-Event-ID, for a first connection."),
    },
    headers={"Last-Event-ID": (STRING, "Id of the last event that was seen: the stream goes on behind it.")},
    refusals=(503,),
)
async def stream(request: Request) -> Response:
    """What changes, as Server-Sent Events.

    Events: `ready`, `changes` (as_of_seq, workflows, tasks, deleted), `snapshot-needed` (something was missed: ask
    anew), `unavailable` (message), `heartbeat`."""
    query = request.query_params
    only(query, ("workflow_id", "tasks", "since"))
    hub: Hub = request.app.state.hub
    if hub.clients >= MOST_CLIENTS:
        error = {"type": "Service Unavailable", "message": f"{MOST_CLIENTS:,} streams are open; that is all there are."}
        return JsonResponse({"error": error}, 503)
    wish = Wish(query.get("workflow_id") or None, query.get("tasks", "1") != "0")
    last = request.headers.get("last-event-id") or query.get("since") or None
    # Its own pings could fall between the pieces of an event.
    return _Stream(_events(hub, wish, last), ping=0, send_timeout=SEND_TIMEOUT_S, sep="\n")


async def _events(hub: Hub, wish: Wish, last: str | None) -> AsyncIterator[bytes]:
    client = Client(hub, wish)
    hub.join(client)
    try:
        async for piece in _beginning(hub, client, last):
            yield piece
        while not hub.closed:
            text = await client.next(HEARTBEAT_S)
            if text is None:
                text = _heartbeat(hub, client)
            began = time.monotonic()
            for start in range(0, len(text), _CHUNK):
                yield text[start : start + _CHUNK]
            await asyncio.sleep(max(0.0, FRAME_S - (time.monotonic() - began)))
    finally:
        hub.leave(client)


def _heartbeat(hub: Hub, client: Client) -> bytes:
    """It moves the client's cursor, too, past what was not for it."""
    now = hub.now()
    if now is None or hub.behind(client):
        return event_text(HEARTBEAT, {})
    return event_text(HEARTBEAT, {"as_of_seq": now[1]}, now[0])


async def _beginning(hub: Hub, client: Client, last: str | None) -> AsyncIterator[bytes]:
    """What the client missed, if it has been here before, and that it is connected now."""
    yield b"retry: 1000\n\n"
    deadline = time.monotonic() + _START_S
    while hub.now() is None and not (hub.closed or hub.trouble) and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    now = hub.now()
    if now is None:
        yield event_text(UNAVAILABLE, {"message": hub.trouble or "The store does not answer yet."})
        return
    cursor, seq = now
    if last is not None and not hub.go_back(client, last):
        frame = await in_thread(hub.missed, last, client.wish)
        hub.skip(client, frame.as_of_seq)
        text = frame.text(client.wish)
        if text is not None:
            yield text
        cursor, seq = frame.cursor or cursor, frame.as_of_seq
    elif last is not None:
        cursor = last
    yield event_text(READY, {"as_of_seq": seq}, cursor)
    if hub.trouble:
        yield event_text(UNAVAILABLE, {"message": hub.trouble})


routes: list[BaseRoute] = [Route("/api/stream", stream, methods=["GET"])]
