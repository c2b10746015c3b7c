"""What changes, asked for once and told to every client.

One thread asks `WorkflowObservability.changes` for all clients of the process, at most thirty times a second: the
answer holds the last state of each row, so what changed meanwhile is one frame. Frames stand in a ring of bounded size,
and each client has nothing but its position in it. One that is slow takes several frames as one, and one that has
fallen out of the ring is told to take a snapshot: nobody waits for anybody, and no queue grows.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from wfstore.dashboard.frames import CHANGES, SNAPSHOT, UNAVAILABLE, Frame, Wish, event_text, merged
from wfstore.errors import WfstoreError

if TYPE_CHECKING:
    from wfstore._observe import Changes, WorkflowObservability

FRAME_S = 1 / 30
POLL_S = 2.0
LINGER_S = 30.0
_RETRY_S = (0.25, 0.5, 1.0, 2.0)
#: Frames are further apart with many clients: all together get at most so many a second.
_MOST_SENT = 3_000
_MOST_FRAMES, _MOST_ROWS = 300, 5_000
_CATCH_UP_CALLS = 20
_log = logging.getLogger("wfstore.dashboard")


class Client:
    """One stream's place among the frames. Lives on one event loop."""

    def __init__(self, hub: Hub, wish: Wish) -> None:
        self.hub = hub
        self.wish = wish
        self.loop = asyncio.get_running_loop()
        self.news = asyncio.Event()
        self.position = 0

    async def next(self, timeout_s: float) -> bytes | None:
        """The next event for this client; None when there was none for so long, b"" when there will be none."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await self.news.wait()
                    self.news.clear()
                    if self.hub.closed:
                        return b""
                    text = self.hub.take(self)
                    if text is not None:
                        return text
        except TimeoutError:
            return None


class Hub:
    """The thread that asks, the ring, and the clients. Used from any thread."""

    def __init__(self, observability: WorkflowObservability) -> None:
        self._observability = observability
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._clients: dict[asyncio.AbstractEventLoop, set[Client]] = {}
        self._frames: deque[Frame] = deque()
        self._joined: dict[tuple[int, int], Frame] = {}
        self._rows = 0
        self._number = 0
        self._cursor: str | None = None
        self._as_of_seq = 0
        self._trouble = ""

    # -- clients ------------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._stop.is_set()

    @property
    def clients(self) -> int:
        """How many streams there are now."""
        with self._lock:
            return sum(map(len, self._clients.values()))

    def join(self, client: Client) -> None:
        """From here on the client hears of every frame; the first one starts the thread."""
        with self._lock:
            client.position = self._number
            self._clients.setdefault(client.loop, set()).add(client)
            if self._thread is None and not self.closed:
                self._cursor = None
                self._forget()
                # A daemon: a call that waits must not keep the process from its end.
                self._thread = threading.Thread(target=self._ask, name="wfstore-changes", daemon=True)
                self._thread.start()

    def leave(self, client: Client) -> None:
        with self._lock:
            others = self._clients.get(client.loop, set())
            others.discard(client)
            if not others:
                self._clients.pop(client.loop, None)

    def now(self) -> tuple[str, int] | None:
        """Cursor and seq of the last answer; None until there was one."""
        with self._lock:
            return None if self._cursor is None else (self._cursor, self._as_of_seq)

    @property
    def trouble(self) -> str:
        """Why nothing is heard of now; empty where all is well."""
        return self._trouble

    def go_back(self, client: Client, cursor: str) -> bool:
        """Put the client behind the frame of that cursor; False where the ring has it no more."""
        with self._lock:
            place = next((frame.number for frame in reversed(self._frames) if frame.cursor == cursor), None)
            if place is None and cursor == self._cursor:
                place = self._number
            if place is None:
                return False
            client.position = place
        if place < self._number:
            client.news.set()
        return True

    def missed(self, cursor: str, wish: Wish) -> Frame:
        """What changed since a cursor that the ring does not know, asked for this client alone; `snapshot-needed`
        where that cannot be told. Blocks."""
        frames: list[Frame] = []
        for _ in range(_CATCH_UP_CALLS):
            try:
                found = self._observability.changes(cursor, timeout_s=0.0, workflow_id=wish.workflow_id)
            except (WfstoreError, ValueError):
                break
            rows = tuple(found.workflows), found.tasks, tuple(found.deleted)
            kind = SNAPSHOT if found.resync else CHANGES
            frames.append(Frame(0, kind, found.cursor, found.as_of_seq, *rows))
            if found.resync or not any(rows):
                return merged(frames)
            cursor = found.cursor
        now = self.now() or ("", 0)
        return Frame(0, SNAPSHOT, *now)

    def behind(self, client: Client) -> bool:
        """Are there frames that the client has not taken?"""
        with self._lock:
            return client.position < self._number

    def skip(self, client: Client, before_seq: int) -> None:
        """Pass over frames that were made before the log had reached that event: the client knows better."""
        with self._lock:
            for frame in self._frames:
                if frame.number == client.position + 1 and frame.event == CHANGES and frame.as_of_seq < before_seq:
                    client.position = frame.number

    def take(self, client: Client) -> bytes | None:
        """What happened since the client's position, which moves to the end; None where that is nothing for it."""
        with self._lock:
            if client.position == self._number:
                return None
            first = client.position + 1
            client.position = self._number
            if not self._frames or self._frames[0].number > first:
                cursor = self._cursor or ""
                return event_text(SNAPSHOT, {"as_of_seq": self._as_of_seq}, cursor or None)
            frame = self._frames[-1] if first == self._number else self._since(first)
            return frame.text(client.wish)

    def _since(self, first: int) -> Frame:
        """Frames from `first` on as one, made once for all who are equally late."""
        key = (first, self._number)
        if key not in self._joined:
            if len(self._joined) > 8:
                self._joined.clear()
            self._joined[key] = merged([frame for frame in self._frames if frame.number >= first])
        return self._joined[key]

    def close(self) -> None:
        """End every stream and the thread."""
        self._stop.set()
        with self._lock:
            self._wake()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        """Ask until the hub is closed, or nobody has listened for a while."""
        failures = 0
        expecting = False
        heard = time.monotonic()
        while not self.closed:
            began = time.monotonic()
            try:
                if self._cursor is not None and not expecting:
                    expecting = True
                    self._observability.expect_changes()
                changes = self._observability.changes(self._cursor, timeout_s=POLL_S)
            except Exception as error:  # whatever it is, the clients are told and it is tried again
                self._failed(error, failures)
                self._stop.wait(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1
            else:
                self._heard(changes, failures > 0)
                failures = 0
                pace = max(FRAME_S, self.clients / _MOST_SENT)
                self._stop.wait(pace - (time.monotonic() - began))
            if self.clients:
                heard = time.monotonic()
            if time.monotonic() - heard > LINGER_S and self._ended():
                return

    def _ended(self) -> bool:
        with self._lock:
            if self._clients:
                return False
            self._thread = None
            self._forget()
            return True

    def _forget(self) -> None:
        self._frames.clear()
        self._joined.clear()
        self._rows = 0

    def _failed(self, error: Exception, failures: int) -> None:
        known = isinstance(error, WfstoreError)
        self._trouble = str(error) if known else "The server failed to see what changes; its log says why."
        if not failures:
            _log.warning("changes cannot be seen: %s", error, exc_info=None if known else error)
            self._publish(UNAVAILABLE, message=self._trouble)
        with self._lock:
            self._wake()
        if isinstance(error, ValueError):  # the cursor is no good any more
            self._cursor = None

    def _heard(self, changes: Changes, again: bool) -> None:
        first = self._cursor is None
        with self._lock:
            self._cursor, self._as_of_seq = changes.cursor, changes.as_of_seq
            self._trouble = ""
        if changes.resync or again:
            self._publish(SNAPSHOT)
        elif changes.workflows or changes.tasks or changes.deleted:
            self._publish(
                CHANGES,
                workflows=tuple(changes.workflows),
                tasks=changes.tasks,
                deleted=tuple(changes.deleted),
            )
        elif first:
            with self._lock:
                self._wake()

    def _publish(self, event: str, **facts: Any) -> None:
        with self._lock:
            self._number += 1
            frame = Frame(self._number, event, self._cursor or "", self._as_of_seq, **facts)
            self._frames.append(frame)
            self._rows += frame.rows
            while len(self._frames) > 1 and (len(self._frames) > _MOST_FRAMES or self._rows > _MOST_ROWS):
                self._rows -= self._frames.popleft().rows
            if len(self._frames) > 2:
                self._frames[-3].encoded.clear()  # who is that late gets it with others
            self._joined.clear()
            self._wake()

    def _wake(self) -> None:
        for loop, clients in list(self._clients.items()):
            if loop.is_closed():
                del self._clients[loop]
            else:
                loop.call_soon_threadsafe(_set_all, tuple(clients))


def _set_all(clients: Iterable[Client]) -> None:
    for client in clients:
        client.news.set()
