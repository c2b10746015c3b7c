"""`tail`: the committed events themselves, in the order of the log."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from wfstore import _text as text
from wfstore.cli import details, output
from wfstore.cli.options import AsJson, Storage
from wfstore.errors import WorkflowNotFoundError
from wfstore.model import events as ev

if TYPE_CHECKING:
    from wfstore._follow import FollowedEvent
    from wfstore.index import WholeLog

#: Event types -> whether the workflow has something to say after them.
_GOES_ON = {
    ev.WORKFLOW_SUBMITTED: True,
    ev.WORKFLOW_QUEUED: True,
    ev.WORKFLOW_STARTED: True,
    ev.WORKFLOW_INTERRUPTED: True,
    ev.WORKFLOW_SUCCEEDED: False,
    ev.WORKFLOW_FAILED: False,
    ev.WORKFLOW_CANCELED: False,
    ev.WORKFLOW_DELETED: False,
}
#: What a virtual actor ends with: after a call it is only idle, and goes on with the next one.
_ENDS_OF_ACTOR = frozenset({ev.WORKFLOW_CANCELED, ev.WORKFLOW_DELETED})


_Written: TypeAlias = Callable[["FollowedEvent"], str]


def tail(
    workflow_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Only this workflow's events.", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option("-n", "--lines", min=0, metavar="N", help="The last N events.")] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new ones as they are committed.")] = False,
    forever: Annotated[bool, typer.Option("--forever", help="With -f ID: go on after the workflow has ended.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Print the last events, newest last.

    With -f it goes on until Ctrl-C. With -f ID it waits for a workflow that is yet to come, and is done when it has
    succeeded, failed, or was canceled or deleted; a virtual actor only when it was canceled or deleted.
    """
    from wfstore.index import WholeLog
    from wfstore.log import resolve_storage

    if forever and not (follow and workflow_id):
        raise typer.BadParameter("--forever goes with -f and an ID")
    reader = WholeLog.at(resolve_storage(storage))
    written = _json_line if as_json else _text_line
    if workflow_id is None:
        _all(reader, count, follow, written)
    elif follow:
        _follow_one(reader, workflow_id, count, forever, written)
    else:
        _print(_last(_known(reader, workflow_id), count), written)


def _all(reader: WholeLog, count: int, follow: bool, written: _Written) -> None:
    from wfstore._follow import Follower
    from wfstore.log.follow import end_of

    end = end_of(reader.log).next_seq - 1
    _print(_between(reader, max(0, end - count), end), written)
    if follow:
        with Follower(reader, since=end) as events:
            _print(events, written, at_once=True)


def _follow_one(reader: WholeLog, workflow_id: str, count: int, forever: bool, written: _Written) -> None:
    from wfstore._follow import Follower
    from wfstore.log.follow import end_of

    end = end_of(reader.log).next_seq - 1
    life = _Life()
    past = [event for event in _past(reader, workflow_id) if event.seq <= end]
    for event in past:
        life.see(event)
    _print(_last(past, count), written)
    if not past and sys.stderr.isatty():
        typer.echo(f"waiting for workflow {text.safe(workflow_id)}, which has no events yet", err=True)
    if life.ended and not forever:
        return
    with Follower(reader, workflow_id, end) as events:
        for event in events:
            _print([event], written)
            life.see(event)
            if life.ended and not forever:
                break
        else:
            return
    # Its end and what that does to its tasks are one commit.
    last = _between(reader, event.seq, end_of(reader.log).next_seq - 1)
    _print((event for event in last if event.workflow_id == workflow_id), written)


class _Life:
    """Whether a workflow has ended, by its events."""

    def __init__(self) -> None:
        self.ended = False
        self._actor = False

    def see(self, event: FollowedEvent) -> None:
        self._actor = event.type == ev.ACTOR_CREATED or (self._actor and event.type != ev.WORKFLOW_DELETED)
        if event.type in _GOES_ON:
            self.ended = not _GOES_ON[event.type] and (not self._actor or event.type in _ENDS_OF_ACTOR)


def _past(reader: WholeLog, workflow_id: str) -> list[FollowedEvent]:
    """What there is about one workflow, found by the index, not by reading on."""
    import wfstore
    from wfstore._follow import FollowedEvent

    frame = wfstore.open(reader.storage, live=False).events(workflow_id, order_by="seq")
    return [FollowedEvent(row) for row in frame.iter_rows(named=True)]


def _known(reader: WholeLog, workflow_id: str) -> list[FollowedEvent]:
    found = _past(reader, workflow_id)
    if not found:
        raise WorkflowNotFoundError(workflow_id)
    return found


def _last(events: list[FollowedEvent], count: int) -> list[FollowedEvent]:
    return events[max(0, len(events) - count) :]


def _between(reader: WholeLog, after: int, last: int) -> Iterator[FollowedEvent]:
    """The events behind `after`, up to `last`, that were not deleted."""
    from wfstore._follow import FollowedEvent

    rows = reader.read_range(after + 1, last).drop(["payload"])
    for row in rows.to_pylist():
        yield FollowedEvent(row)


def _print(events: Iterable[FollowedEvent], written: _Written, at_once: bool = False) -> None:
    """at_once: whoever reads gets each line when it is there, not when the last one is."""
    for event in events:
        sys.stdout.write(written(event) + "\n")
        if at_once:
            sys.stdout.flush()
    sys.stdout.flush()


def _json_line(event: FollowedEvent) -> str:
    row = {name: value for name, value in event.items() if value is not None}
    if event.attributes:
        row["attributes"] = json.loads(event.attributes)
    return output.json_line(row)


def _text_line(event: FollowedEvent) -> str:
    task = event.task_id or ""
    if event.attempt is not None:
        task += f" #{event.attempt}"
    run = "" if event.run is None else f"run {event.run}"
    error = f"{event.error_type}: {text.first_line(event.error_message)}" if event.error_type else ""
    when = text.iso(event.ts)[:23].replace("T", " ")
    more = details.of(event.type, event.attributes)
    about = (event.workflow_id or "", run, task, event.status or "", event.kind or "")
    facts = (*about, text.size(event.bytes), more, error)
    return "  ".join([f"{event.seq:>6}", when, f"{event.type:<23}", *(text.safe(fact) for fact in facts if fact)])
