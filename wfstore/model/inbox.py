"""Events that were sent to one workflow: which are kept, who waits under which key, and who was given what.

An event belongs to the first task that asks for its key, and is used up when that task succeeds: until then the same
task gets the same event again, however often it is tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from wfstore.model.payload import PayloadRef

#: Events of one workflow that may be kept at a time and have not been used.
MOST_KEPT = 10_000


class SentEvent(NamedTuple):
    """number: counts a workflow's events from 1, in the order of their arrival; task_id: the task it was given to."""

    number: int
    key: str
    payload: PayloadRef
    task_id: str | None = None


@dataclass(slots=True)
class Inbox:
    """sent: how many ever came; kept: those that were not used, by number; by_key: their numbers, oldest first;
    awaited: key -> the task whose open attempt waits under it; awaits: the same, by task; given: the events that a task
    has and has not used up, by number."""

    sent: int = 0
    kept: dict[int, SentEvent] = field(default_factory=dict)
    by_key: dict[str, list[int]] = field(default_factory=dict)
    awaited: dict[str, str] = field(default_factory=dict)
    awaits: dict[str, list[str]] = field(default_factory=dict)
    given: dict[str, list[int]] = field(default_factory=dict)

    @property
    def held_bytes(self) -> int:
        """Size of the payloads that are in memory."""
        return sum(len(event.payload.data) for event in self.kept.values() if event.payload.data is not None)

    def under(self, key: str) -> Iterable[SentEvent]:
        """Events that are kept under a key, oldest first."""
        return (self.kept[number] for number in self.by_key.get(key, ()))

    def send(self, key: str, payload: PayloadRef) -> None:
        self.sent += 1
        self.kept[self.sent] = SentEvent(self.sent, key, payload)
        self.by_key.setdefault(key, []).append(self.sent)

    def wait(self, key: str, task_id: str) -> None:
        self.awaited[key] = task_id
        self.awaits.setdefault(task_id, []).append(key)

    def deliver(self, number: int, task_id: str) -> None:
        event = self.kept[number]
        if event.task_id == task_id:
            return
        if event.task_id is not None:
            self.given[event.task_id].remove(number)
        self.kept[number] = event._replace(task_id=task_id)
        self.given.setdefault(task_id, []).append(number)

    def leave(self, task_id: str) -> None:
        """The attempt that waited is over."""
        for key in self.awaits.pop(task_id, ()):
            del self.awaited[key]

    def use(self, task_id: str) -> None:
        """The task has succeeded with what it was given."""
        for number in self.given.pop(task_id, ()):
            key = self.kept.pop(number).key
            numbers = self.by_key[key]
            numbers.remove(number)
            if not numbers:
                del self.by_key[key]
