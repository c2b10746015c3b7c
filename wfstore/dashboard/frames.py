"""What changed in a moment, as clients are told it: frames, and their text as Server-Sent Events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from wfstore.dashboard.encoding import dumps

Row = dict[str, Any]
#: Of a frame. What is longer is had in a better way, and a slow client holds on to what it is being sent: to one that
#: all share, or to one of its own, made of several.
_MOST_BYTES, _MOST_JOINED_BYTES = 512 * 2**10, 128 * 2**10
CHANGES: Final = "changes"
SNAPSHOT: Final = "snapshot-needed"
UNAVAILABLE: Final = "unavailable"
READY: Final = "ready"
HEARTBEAT: Final = "heartbeat"


class Wish(NamedTuple):
    """What a client wants to hear of: one workflow, or all; tasks, or workflows only."""

    workflow_id: str | None = None
    tasks: bool = True


@dataclass(frozen=True)
class Frame:
    """What changed in a moment. number: its place, from 1; event: its kind; message: of `unavailable`; joined: made of
    several for whoever is late."""

    number: int
    event: str
    cursor: str
    as_of_seq: int
    workflows: tuple[Row, ...] = ()
    tasks: Sequence[Row] = ()
    deleted: tuple[str, ...] = ()
    message: str = ""
    joined: bool = False
    encoded: dict[Wish, bytes | None] = field(default_factory=dict, compare=False)

    @property
    def rows(self) -> int:
        return len(self.workflows) + len(self.tasks) + len(self.deleted) + 1

    def text(self, wish: Wish) -> bytes | None:
        """The event as it is sent, made once for all who want the same; None where it holds nothing for them."""
        if wish not in self.encoded:
            self.encoded[wish] = self._text(wish)
        return self.encoded[wish]

    def _text(self, wish: Wish) -> bytes | None:
        if self.event != CHANGES:
            said = {"as_of_seq": self.as_of_seq, **({"message": self.message} if self.message else {})}
            return event_text(self.event, said, self.cursor or None)
        one = wish.workflow_id
        found: dict[str, list[Any]] = {
            "workflows": [row for row in self.workflows if one in (None, row["workflow_id"])],
            "tasks": [row for row in self.tasks if one in (None, row["workflow_id"])] if wish.tasks else [],
            "deleted": [name for name in self.deleted if one in (None, name)],
        }
        if not any(found.values()):
            return None
        most = _MOST_JOINED_BYTES if self.joined else _MOST_BYTES
        text = event_text(CHANGES, {"as_of_seq": self.as_of_seq, **found}, self.cursor)
        if len(text) <= most:
            return text
        # How far the workflows are is small, and shown at once; all else is to be asked for.
        some = event_text(CHANGES, {"as_of_seq": self.as_of_seq, **found, "tasks": []})
        anew = event_text(SNAPSHOT, {"as_of_seq": self.as_of_seq}, self.cursor)
        return some + anew if len(some) <= most else anew


def event_text(event: str, data: Any, cursor: str | None = None) -> bytes:
    """One Server-Sent Event. JSON has no line breaks, so the data is one line."""
    identity = b"" if cursor is None else b"id: " + cursor.translate(_NO_BREAKS).encode() + b"\n"
    return b"event: " + event.encode() + b"\n" + identity + b"data: " + dumps(data) + b"\n\n"


_NO_BREAKS = {ord("\r"): None, ord("\n"): None, 0: None}


def merged(frames: list[Frame]) -> Frame:
    """Several frames as one: the last state of each row, or what makes the others needless. As in each of them, what
    was deleted is to be forgotten before the rows are taken: an id may be used anew."""
    last = frames[-1]
    if len(frames) == 1:
        return last
    if last.event == UNAVAILABLE:
        return last
    if any(frame.event != CHANGES for frame in frames):
        return Frame(last.number, SNAPSHOT, last.cursor, last.as_of_seq)
    workflows: dict[str, Row] = {}
    tasks: dict[tuple[str, str], Row] = {}
    deleted: dict[str, None] = {}
    for frame in frames:
        for name in frame.deleted:
            deleted[name] = None
            workflows.pop(name, None)
            tasks = {key: row for key, row in tasks.items() if key[0] != name}
        workflows.update((row["workflow_id"], row) for row in frame.workflows)
        tasks.update(((row["workflow_id"], row["task_id"]), row) for row in frame.tasks)
    rows = tuple(workflows.values()), tuple(tasks.values())
    return Frame(last.number, CHANGES, last.cursor, last.as_of_seq, *rows, tuple(deleted), joined=True)
