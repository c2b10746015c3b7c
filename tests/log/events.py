"""Events for tests of the log: every column set in one of them, few in another."""

from __future__ import annotations

from wfstore.model.events import Event

FULL = Event(
    partition=0,
    ts=1_700_000_000_000_000,
    ts_source=1_700_000_000_000_123,
    type="attempt.succeeded",
    workflow_id="wf-Zürich-🌍",
    run=2,
    task_id="add_1",
    attempt=3,
    status="SUCCESSFUL",
    task_status="SUCCESSFUL",
    name="add",
    kind="app",
    request_id="r-1",
    by="alice",
    bytes=2**40,
    uri=None,
    hash="ab" * 32,
    error_type="ValueError",
    error_message="a\0b\nc",
    node_id="n" * 56,
    worker_pid=4711,
    ray_task_id="t" * 48,
    attributes='{"output_repr":"3"}',
    payload=bytes(range(256)),
)


def plain(number: int) -> Event:
    """A small event that can be told from others."""
    return Event(ts=1_000_000 + number, type="task.reset", workflow_id=f"w{number % 7}", task_id=f"t{number}")


def plains(first: int, count: int) -> list[Event]:
    return [plain(number) for number in range(first, first + count)]


def stamped(events: list[Event], first_seq: int, epoch: int) -> list[Event]:
    """The events as a reader gives them back."""
    return [event._replace(seq=seq, epoch=epoch) for seq, event in enumerate(events, first_seq)]
