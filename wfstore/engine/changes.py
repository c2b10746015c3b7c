"""What has changed in the manager's memory since somebody last looked: who asks is told, and told once.

Commits only note which workflows and tasks they touched; rows are made when somebody asks, for what was touched since
their cursor. Nobody asks: nothing is noted. Those who ask at the same moment from the same place share one answer.
"""

from __future__ import annotations

import asyncio
import pickle
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

from wfstore._pace import Pace
from wfstore.engine.reports import Reports
from wfstore.log import now_us
from wfstore.model.events import WORKFLOW_DELETED, Event
from wfstore.model.rows import live_workflow_row, task_facts
from wfstore.model.state import State

#: How many workflows and tasks the newest changes of which are kept; who is further behind has to look anew.
MOST_TOUCHED = 100_000
#: Rows in one answer: the loop that makes them has other things to do.
MOST_ROWS = 500
#: Answers are made at most so often, and so that making them takes this share of a processor.
_LEAST_PAUSE_S, _MOST_PAUSE_S, _SHARE, _SAVED_S = 0.03, 0.5, 0.004, 0.2
#: Nothing is noted any more when nobody has asked for so long.
_FORGOTTEN_AFTER_S = 60.0

_DELETED, _ITSELF = "\0deleted", ""
_Key = tuple[str, str]


class Answer(NamedTuple):
    """cursor: to ask with next; seq: the last event that the rows know of; resync: something may have been missed;
    workflows: rows of the live view; tasks: each `TaskFacts` as a tuple, rows are made by who asked; now: the manager's
    clock, microseconds UTC; deleted: ids to forget before taking the rows; elsewhere: ids of workflows that changed,
    and have left the memory since."""

    cursor: str
    seq: int
    resync: bool
    workflows: list[dict[str, Any]]
    tasks: list[tuple[Any, ...]]
    now: int
    deleted: list[str]
    elsewhere: list[str]


class Memory(NamedTuple):
    """What there is now. seq, now, workflows, tasks: as in `Answer`."""

    seq: int
    now: int
    workflows: list[dict[str, Any]]
    tasks: list[tuple[Any, ...]]


class Changes:
    """Those of one manager. Lives on its loop."""

    def __init__(self, epoch: int, state: State) -> None:
        self._epoch, self._state = epoch, state
        self.reports = Reports(self.touch)
        self._touched: OrderedDict[_Key, int] = OrderedDict()
        self._last = self._floor = 0
        #: Which span of noting: a cursor of an earlier one has missed what came between.
        self._span = 0
        self._noting = False
        self._asked_at = 0.0
        self._next_at = 0.0
        self._pace = Pace(_SHARE, _MOST_PAUSE_S, _SAVED_S)
        self._waiting: list[asyncio.Future[None]] = []
        self._waker: asyncio.TimerHandle | None = None
        # (cursor asked with, workflow) -> (until when it is good, answer)
        self._made: dict[tuple[int, str | None], tuple[float, bytes]] = {}

    # -- noting -------------------------------------------------------------------------------------------------------

    def note(self, events: Iterable[Event]) -> None:
        """These events are durable now."""
        if not self._noting:
            return
        about: dict[_Key, None] = {}
        for event in events:
            workflow_id = event.workflow_id
            if workflow_id is None:
                continue
            if event.task_id is not None:
                about[workflow_id, event.task_id] = None
            elif event.type == WORKFLOW_DELETED:
                about[workflow_id, _DELETED] = None
            about[workflow_id, _ITSELF] = None
        for key in about:
            self._touch(key)
        self._wake_soon()

    def touch(self, workflow_id: str, task_id: str) -> None:
        """Something about a task has changed that is no event."""
        if self._noting:
            self._touch((workflow_id, task_id))
            self._touch((workflow_id, _ITSELF))
            self._wake_soon()

    def _touch(self, key: _Key) -> None:
        self._last += 1
        self._touched[key] = self._last
        self._touched.move_to_end(key)
        if len(self._touched) > MOST_TOUCHED:
            self._floor = self._touched.popitem(last=False)[1]

    def _wake_soon(self) -> None:
        if self._waiting:
            if self._waker is None:
                loop = asyncio.get_running_loop()
                self._waker = loop.call_at(max(self._next_at, loop.time()), self._wake)
        elif time.monotonic() - self._asked_at > _FORGOTTEN_AFTER_S:
            self._noting = False
            self._touched.clear()

    def _wake(self) -> None:
        self._waker = None
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    # -- answering ----------------------------------------------------------------------------------------------------

    async def wait(self, since: str | None, timeout_s: float, workflow_id: str | None = None) -> bytes:
        """A pickled `Answer`: what changed after the cursor `since`, as soon as there is something; empty after
        `timeout_s`. None: nothing but the cursor of now. What it says may not be durable yet."""
        self._asked_at = time.monotonic()
        if not self._noting:
            self._noting, self._span, self._floor = True, self._span + 1, self._last
        place = self._place(since)
        if place is None:
            return self._empty(self._last, resync=since is not None)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        rested = False
        try:
            while True:
                made = self._made.get((place, workflow_id))
                if made is not None and loop.time() < made[0]:
                    return made[1]
                if not rested and place < self._last and (pause := self._next_at - loop.time()) > 0:
                    await asyncio.sleep(pause)
                    rested = True  # once is enough: answers to others must not keep this one waiting
                    continue
                if place < self._floor:
                    return self._empty(self._last, resync=True)
                answer = self._answer(place, workflow_id) if place < self._last else None
                if answer is not None:
                    return answer
                place = self._last
                left = deadline - loop.time()
                if left <= 0 or not await self._news(left):
                    return self._empty(place)
                rested = True
        finally:
            self._asked_at = time.monotonic()

    async def _news(self, timeout_s: float) -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            if future in self._waiting:
                self._waiting.remove(future)
            return False
        return True

    def _place(self, since: str | None) -> int | None:
        """None for a cursor of another manager, or of one that has not noted everything since."""
        span, _, place = (since or "").rpartition(".")
        if span != f"{self._epoch}.{self._span}" or not place.isdecimal() or int(place) > self._last:
            return None
        return int(place)

    def _cursor(self, place: int) -> str:
        return f"{self._epoch}.{self._span}.{place}"

    def _empty(self, place: int, resync: bool = False) -> bytes:
        return pickle.dumps(tuple(Answer(self._cursor(place), self._state.seq, resync, [], [], now_us(), [], [])), 5)

    def _answer(self, place: int, workflow_id: str | None) -> bytes | None:
        keys: list[tuple[_Key, int]] = []
        for key, number in reversed(self._touched.items()):
            if number <= place:
                break
            if workflow_id is None or key[0] == workflow_id:
                keys.append((key, number))
        if not keys:
            return None
        began = time.thread_time()
        keys.reverse()
        reached = self._last if len(keys) <= MOST_ROWS else keys[MOST_ROWS - 1][1]
        told = [key for key, _ in keys[:MOST_ROWS]]
        if len(keys) > MOST_ROWS:
            # A workflow is touched with each of its tasks, and so comes last: its own row would be the latest of all.
            told = list(dict.fromkeys([*told, *((key[0], _ITSELF) for key in told)]))
        data = pickle.dumps(tuple(self._rows(told, self._cursor(reached))), 5)
        self._rest(time.thread_time() - began)
        now = asyncio.get_running_loop().time()
        self._made = {asked: made for asked, made in self._made.items() if made[0] > now}
        self._made[place, workflow_id] = self._next_at, data
        return data

    def _rest(self, spent_s: float) -> None:
        now = asyncio.get_running_loop().time()
        pause = max(_LEAST_PAUSE_S, self._pace.spent(spent_s))
        self._next_at = min(max(self._next_at, now) + pause, now + 2 * _MOST_PAUSE_S)

    def _rows(self, keys: list[_Key], cursor: str) -> Answer:
        state, now, said = self._state, now_us(), self.reports.about
        answer = Answer(cursor, state.seq, False, [], [], now, [], [])
        for workflow_id, what in keys:
            workflow = state.workflows.get(workflow_id)
            if what == _DELETED:
                answer.deleted.append(workflow_id)
            elif workflow is None or workflow.cold:
                if what == _ITSELF and workflow_id not in state.deleted:
                    answer.elsewhere.append(workflow_id)
            elif what == _ITSELF:
                answer.workflows.append(live_workflow_row(workflow, state.seq, now, said))
            elif (task := workflow.tasks.get(what)) is not None:
                answer.tasks.append(tuple(task_facts(workflow, task, said)))
        return answer

    def live(self, ids: Iterable[str] | None, with_tasks: bool) -> Memory:
        """Everything in memory, or those ids that are."""
        state, now, said = self._state, now_us(), self.reports.about
        asked = state.workflows.values() if ids is None else map(state.workflows.get, ids)
        warm = [workflow for workflow in asked if workflow is not None and not workflow.cold]
        tasks = ((workflow, task) for workflow in warm for task in workflow.tasks.values()) if with_tasks else ()
        rows = [live_workflow_row(workflow, state.seq, now, said) for workflow in warm]
        return Memory(state.seq, now, rows, [tuple(task_facts(workflow, task, said)) for workflow, task in tasks])
