"""The event stream, over a real server: resuming, coalescing, slow clients, many clients."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.dashboard.fakes import BEARER, TOKEN, FakeObservability, Running, running, task_row, until, workflow_row
from wfstore import errors
from wfstore.dashboard import frames as frames_module
from wfstore.dashboard import hub as hub_module
from wfstore.dashboard import stream as stream_module
from wfstore.dashboard.frames import CHANGES, SNAPSHOT, UNAVAILABLE, Frame, Wish, event_text, merged


class Event(NamedTuple):
    name: str
    data: Any
    id: str | None


def parsed(block: str) -> Event | None:
    fields: dict[str, str] = {}
    for line in block.splitlines():
        name, _, value = line.partition(": ")
        fields[name] = value
    return Event(fields["event"], json.loads(fields["data"]), fields.get("id")) if "data" in fields else None


class Listener:
    """A client of the stream, in a thread."""

    def __init__(self, server: Running, query: str = "", last: str | None = None) -> None:
        self.events: list[Event] = []
        self.at: list[float] = []
        self.ended = threading.Event()
        self._url = f"{server.url}/api/stream{query}"
        self._headers = {**BEARER, **({} if last is None else {"Last-Event-ID": last})}
        self._client = httpx.Client(timeout=httpx.Timeout(5, read=60))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with (
            contextlib.suppress(httpx.HTTPError, OSError, RuntimeError, AttributeError),
            self._client.stream("GET", self._url, headers=self._headers) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            rest = ""
            for text in answer.iter_text():
                *blocks, rest = (rest + text).split("\n\n")
                for block in blocks:
                    event = parsed(block)
                    if event is not None:
                        self.events.append(event)
                        self.at.append(time.monotonic())
        self.ended.set()

    def named(self, *names: str) -> list[Event]:
        return [event for event in self.events if event.name in names]

    def wait(self, name: str, count: int = 1) -> Event:
        until(lambda: len(self.named(name)) >= count, f"{count} x {name}")
        return self.named(name)[count - 1]

    def statuses(self) -> dict[str, str]:
        """The last status of each workflow that was told."""
        return {row["workflow_id"]: row["status"] for event in self.named(CHANGES) for row in event.data["workflows"]}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as made:
        yield made


@pytest.fixture
def world(server: Running) -> FakeObservability:
    return server.observability


def test_what_changes_is_told(server: Running, world: FakeObservability) -> None:
    listener = Listener(server)
    ready = listener.wait("ready")
    cursor = world.say([workflow_row("open", "FAILED")], [task_row("open", "map", "FAILED")], ["gone"])
    event = listener.wait(CHANGES)
    assert ready.data["as_of_seq"] < event.data["as_of_seq"]
    assert event.id == cursor
    assert event.data["workflows"][0]["submitted_at"] == "2026-01-02T03:04:05.678000Z"
    assert (event.data["tasks"][0]["task_id"], event.data["deleted"]) == ("map", ["gone"])


def test_one_workflow_only_and_no_tasks(server: Running, world: FakeObservability) -> None:
    one = Listener(server, "?workflow_id=a%2Fb")
    flat = Listener(server, "?tasks=0")
    one.wait("ready")
    flat.wait("ready")
    world.say([workflow_row("other")], [task_row("other", "t"), task_row("a/b", "t")])
    assert [row["workflow_id"] for row in one.wait(CHANGES).data["tasks"]] == ["a/b"]
    assert one.events[-1].data["workflows"] == []
    assert (flat.wait(CHANGES).data["tasks"], len(flat.events[-1].data["workflows"])) == ([], 1)


def test_it_goes_on_behind_the_last_event(server: Running, world: FakeObservability) -> None:
    first = Listener(server)
    first.wait("ready")
    seen = world.say([workflow_row("w", "PENDING")])
    assert first.wait(CHANGES).id == seen
    world.say([workflow_row("w", "RUNNING")])
    first.wait(CHANGES, 2)
    second = Listener(server, last=seen)
    assert second.wait("ready").id == f"c{len(world.said)}" or second.events[0].name == "ready"
    second.wait(CHANGES)
    assert second.statuses() == {"w": "RUNNING"}
    again = Listener(server, f"?since={seen}")
    again.wait(CHANGES)
    assert again.statuses() == {"w": "RUNNING"}
    up_to_date = Listener(server, last=f"c{len(world.said)}")
    up_to_date.wait("ready")
    world.say([workflow_row("w", "FAILED")])
    up_to_date.wait(CHANGES)
    assert len(up_to_date.named(CHANGES)) == 1


def test_it_goes_on_in_another_process() -> None:
    """The ring of a new server is empty: what was missed is asked for."""
    world = FakeObservability()
    for status in ("PENDING", "RUNNING", "SUCCESSFUL"):
        world.say([workflow_row("w", status)])
    with running(world) as server:
        listener = Listener(server, last="c1")
        listener.wait(CHANGES)
        assert listener.statuses() == {"w": "SUCCESSFUL"}
        assert listener.wait("ready").id == "c3"
        world.kept = 2
        assert Listener(server, last="c1").wait(SNAPSHOT).id == "c3"
        for nonsense in ("x", "c99", "é", "a" * 4000):
            Listener(server, f"?since={nonsense}").wait(SNAPSHOT)


def test_a_gap_asks_for_a_snapshot(server: Running, world: FakeObservability) -> None:
    listener = Listener(server)
    listener.wait("ready")
    with world._news:
        world.said.extend([([], [], [])] * 3)
        world.kept = len(world.said)
        world._news.notify_all()
    listener.wait(SNAPSHOT)
    world.kept = 0


def test_trouble_is_told_and_so_is_its_end(server: Running, world: FakeObservability) -> None:
    listener = Listener(server)
    listener.wait("ready")
    world.failing = errors.ManagerLostError("/store", "the manager is away")
    world.say()
    assert "the manager is away" in listener.wait(UNAVAILABLE).data["message"]
    late = Listener(server)
    assert "the manager is away" in late.wait(UNAVAILABLE).data["message"]
    world.failing = None
    listener.wait(SNAPSHOT)
    late.wait(SNAPSHOT)
    world.say([workflow_row("w", "FAILED")])
    listener.wait(CHANGES)
    assert len(listener.named(UNAVAILABLE)) == 1


def test_a_heartbeat_when_nothing_happens(monkeypatch: pytest.MonkeyPatch, server: Running) -> None:
    monkeypatch.setattr(stream_module, "HEARTBEAT_S", 0.1)
    listener = Listener(server)
    listener.wait("heartbeat", 3)
    assert listener.named("heartbeat")[-1].id == listener.wait("ready").id


def test_at_most_thirty_frames_a_second(server: Running, world: FakeObservability) -> None:
    listener = Listener(server)
    listener.wait("ready")
    began = time.monotonic()
    count = 0
    while time.monotonic() - began < 1.0:
        world.say([workflow_row(f"w{count % 5}", "RUNNING", tasks=count)])
        count += 1
        time.sleep(0.001)
    world.say([workflow_row("last", "SUCCESSFUL")])
    until(lambda: "last" in listener.statuses(), "the last change")
    frames = listener.named(CHANGES)
    assert 5 <= len(frames) <= 36, f"{len(frames)} frames of {count} changes"
    told = {row["workflow_id"]: row["tasks"] for event in frames for row in event.data["workflows"]}
    assert max(value for name, value in told.items() if name != "last") == count - 1, "the last state of each row"


def test_all_clients_cost_one_question(server: Running, world: FakeObservability) -> None:
    listeners = [Listener(server) for _ in range(20)]
    for listener in listeners:
        listener.wait("ready")
    before = world.calls
    world.say([workflow_row("w", "FAILED")])
    for listener in listeners:
        listener.wait(CHANGES)
    assert world.calls - before <= 4


def raw_stream(server: Running) -> socket.socket:
    """A client that has asked, and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", server.port))
    request = f"GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    sock.sendall(request.encode())
    return sock


def test_a_client_that_reads_nothing_stalls_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "SEND_TIMEOUT_S", 1.0)
    world = FakeObservability()
    with running(world) as server:
        stuck = [raw_stream(server) for _ in range(3)]
        listener = Listener(server)
        listener.wait("ready")
        hub = server.app.state.hub
        until(lambda: hub.clients == 4, "all are there")
        big = {"text": "x" * 100_000}
        waits = []
        for number in range(40):
            said = time.monotonic()
            world.say([workflow_row("w", "RUNNING", tasks=number, metadata=big)])
            until(lambda at=number: listener.events[-1].data.get("workflows", [{}])[0].get("tasks") == at, "told")  # type: ignore[misc]
            waits.append(time.monotonic() - said)
        assert sorted(waits)[20] < 0.5
        until(lambda: hub.clients == 1, "those who take nothing are let go")
        for sock in stuck:
            sock.close()


def test_the_server_ends_while_clients_listen() -> None:
    with running() as server:
        listeners = [Listener(server) for _ in range(5)]
        for listener in listeners:
            listener.wait("ready")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 2.0
        assert all(listener.ended.wait(2) for listener in listeners)


def test_nobody_listens_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LINGER_S", 0.0)
    monkeypatch.setattr(hub_module, "POLL_S", 0.05)
    with running() as server:
        assert server.observability.calls == 0
        listener = Listener(server)
        listener.wait("ready")
        listener._client.close()
        hub = server.app.state.hub
        # Its end is noticed at the next thing that is sent.
        server.observability.say([workflow_row("w")])
        until(lambda: hub.clients == 0 and hub._thread is None, "the thread has ended")
        assert server.observability.expecting == 1
        Listener(server).wait("ready")
        until(lambda: server.observability.expecting == 2, "who listens anew expects something")


def test_too_many_streams(monkeypatch: pytest.MonkeyPatch, server: Running) -> None:
    monkeypatch.setattr(stream_module, "MOST_CLIENTS", 0)
    assert server.get("/api/stream").status_code == 503


def test_head_opens_no_stream(server: Running) -> None:
    assert httpx.head(f"{server.url}/api/stream", headers=BEARER).status_code == 200


@pytest.mark.parametrize("query", ["?x=1", "?workflow=a"])
def test_wrong_questions(server: Running, query: str) -> None:
    assert server.get(f"/api/stream{query}").status_code == 400


# -- frames -----------------------------------------------------------------------------------------------------------


def frame(number: int, event: str = CHANGES, **rows: Any) -> Frame:
    return Frame(number, event, f"c{number}", number, **{name: tuple(value) for name, value in rows.items()})


def test_frames_as_one() -> None:
    some = frame(1, workflows=[workflow_row("a", "PENDING"), workflow_row("b")], tasks=[task_row("a", "t", "PENDING")])
    others = frame(2, workflows=[workflow_row("a", "RUNNING")], tasks=[task_row("a", "t"), task_row("b", "t")])
    one = merged([some, others])
    assert [(row["workflow_id"], row["status"]) for row in one.workflows] == [("a", "RUNNING"), ("b", "RUNNING")]
    assert [row["status"] for row in one.tasks] == ["SUCCESSFUL", "SUCCESSFUL"]
    gone = merged([some, others, frame(3, deleted=["a"])])
    assert [row["workflow_id"] for row in gone.workflows] == ["b"] == [row["workflow_id"] for row in gone.tasks]
    assert gone.deleted == ("a",)
    anew = merged([some, frame(2, deleted=["a"]), frame(3, workflows=[workflow_row("a", "PENDING")])])
    assert anew.deleted == ("a",) and anew.workflows[-1]["status"] == "PENDING"
    assert merged([some, frame(2, SNAPSHOT), others]).event == SNAPSHOT
    assert merged([some, frame(2, UNAVAILABLE)]).event == UNAVAILABLE


def test_an_event_is_one_line_whatever_it_holds() -> None:
    text = event_text(CHANGES, {"a": "x\n\ndata: y\r\u2028"}, "c\n1\r").decode()
    assert text.endswith("\n\n") and text.count("\n") == 4
    assert "id: c1\n" in text and "\r" not in text
    assert frame(1, workflows=[workflow_row("a")]).text(Wish("b")) is None


def test_a_frame_too_large_is_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "_MOST_BYTES", 1000)
    text = frame(1, workflows=[workflow_row(f"w{number}") for number in range(10)]).text(Wish())
    assert text is not None and text.startswith(b"event: snapshot-needed")
    tasks = [task_row("w", f"t{number}") for number in range(10)]
    text = frame(1, workflows=[workflow_row("w")], tasks=tasks).text(Wish())
    assert text is not None
    first, second = text.decode().removesuffix("\n\n").split("\n\n")
    assert first.startswith("event: changes\ndata: ") and '"workflow_id":"w"' in first and '"tasks":[]' in first
    assert second.startswith("event: snapshot-needed\nid: "), "who comes back after the first one gets the second"
