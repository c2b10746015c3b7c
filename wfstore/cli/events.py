"""`tail`: the committed events themselves, in the order of the log."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from wfstore.cli import details, output, text
from wfstore.cli.options import AsJson, Storage
from wfstore.errors import WorkflowNotFoundError
from wfstore.model.events import Event

#: How often a followed log is read even if nothing announced a change: network disks announce none.
_POLL_MS = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def tail(
    workflow_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Only this workflow's events.", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option("-n", "--lines", min=0, metavar="N", help="The last N events.")] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new ones as they are committed.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Print the last events, newest last."""
    from wfstore.log import resolve_storage

    place = resolve_storage(storage)
    written = _json_line if as_json else _text_line
    for number, events in enumerate(_batches(place, follow)):
        if number == 0 and workflow_id is not None and not follow:
            events = _known(events, workflow_id)
        chosen = (event for event in events if workflow_id in (None, event.workflow_id))
        _print(deque(chosen, maxlen=count) if number == 0 else chosen, written)


def _known(events: Iterable[Event], workflow_id: str) -> list[Event]:
    """The events, where `workflow_id` has any among them. One to be followed may be yet to come."""
    found = [event for event in events if event.workflow_id == workflow_id]
    if not found:
        raise WorkflowNotFoundError(workflow_id)
    return found


def _batches(storage: str, follow: bool) -> Iterator[Iterable[Event]]:
    """What is committed now, then, if asked for, what was added since, for ever."""
    from wfstore.log import LogReader
    from wfstore.schema.codec import to_events

    reader = LogReader(storage)
    table, cursor = reader.read(None)
    yield to_events(table)
    if not follow:
        return
    from watchfiles import watch

    hints = watch(storage, step=5, debounce=20, rust_timeout=_POLL_MS, yield_on_timeout=True)
    while True:
        table, cursor = reader.read(cursor)
        if table.num_rows:
            yield to_events(table)
        next(hints)


def _print(events: Iterable[Event], written: Callable[[Event], str]) -> None:
    for event in events:
        sys.stdout.write(written(event) + "\n")
    sys.stdout.flush()


def _json_line(event: Event) -> str:
    row: dict[str, Any] = {name: value for name, value in event._asdict().items() if value is not None}
    row.pop("payload", None)
    for name in ("ts", "ts_source"):
        if name in row:
            row[name] = _time(row[name])
    if event.attributes:
        row["attributes"] = json.loads(event.attributes)
    return output.json_line(row)


def _text_line(event: Event) -> str:
    task = event.task_id or ""
    if event.attempt is not None:
        task += f" #{event.attempt}"
    run = "" if event.run is None else f"run {event.run}"
    error = f"{event.error_type}: {text.first_line(event.error_message)}" if event.error_type else ""
    when = text.iso(_time(event.ts))[:23].replace("T", " ")
    more = details.of(event.type, event.attributes)
    about = (event.workflow_id or "", run, task, event.status or "", event.kind or "")
    facts = (*about, text.size(event.bytes), more, error)
    return "  ".join([f"{event.seq:>6}", when, f"{event.type:<23}", *(text.safe(fact) for fact in facts if fact)])


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
