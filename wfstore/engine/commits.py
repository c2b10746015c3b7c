"""Decide, commit: commands become events, events become durable, and nothing shows before that.

Decisions are made over a state that runs ahead of the disk by at most the commits in flight; every answer waits for all
commits before it (`_durable`). What follows from the events is for `engine.core` to do.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import Any

import ray

from wfstore import errors
from wfstore.engine.incarnation import is_replaced
from wfstore.engine.recovery import Recovered
from wfstore.engine.worker import failed
from wfstore.log import GroupCommit, now_us
from wfstore.model.apply import apply
from wfstore.model.commands import Command, RecordOutcome
from wfstore.model.decide import decide
from wfstore.model.events import Event
from wfstore.schema.rows import Rows, join, pack

Waiting = dict[str, list[asyncio.Future[None]]]
#: Between the end of the log and that of the process: callers are told why.
_LAST_WORDS_S = 1.0


class Commits(ABC):
    """The state of one manager and its log. Create it on the loop that it is to live on."""

    def __init__(self, recovered: Recovered) -> None:
        self._recovered = recovered
        self._state = recovered.state
        self._memory = recovered.memory
        self._commits = GroupCommit(recovered.writer)
        self._waiting: Waiting = {}
        self._waiting_for_tasks: Waiting = {}
        self._last_commit: asyncio.Future[int] | None = None
        self._halted: errors.StorageError | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    def _act(self, events: list[Event]) -> None:
        """Do what follows from events that are durable now."""

    async def _commit(self, command: Command) -> list[Event]:
        """Decide a command and make what follows durable; then act on it. Returns what followed, before the acts."""
        try:
            async with self._memory.present(self._state, command.workflow_id):
                events, commit = self._stage([command])
        except errors.WfstoreError:
            await self._durable()  # a refusal, too, is for what is so, and will be so after a crash
            raise
        if commit is None:
            await self._durable()
            return events
        await self._committing(commit)
        # Whoever asked is answered first: the acts need not be waited for.
        asyncio.get_running_loop().call_soon(self._act, events)
        return events

    async def _committing(self, commit: asyncio.Future[int]) -> None:
        try:
            await commit
        except errors.StorageError as error:
            self._halt(error)
            raise

    def _stage(self, commands: Iterable[Command]) -> tuple[list[Event], asyncio.Future[int] | None]:
        """Decide the commands, one after the other, and append what follows as one; None when nothing does."""
        if self._halted is not None:
            raise self._halted
        now = now_us()
        events: list[Event] = []
        packed: list[Rows] = []
        for command in commands:
            caused, rows = self._decide(command, now)
            for event in caused:
                apply(self._state, event)
            events += caused
            packed.append(rows)
        if not events:
            return events, None
        self._last_commit = self._commits.append_rows(join(packed))
        # Before anybody who waits for it hears how it went.
        self._last_commit.add_done_callback(self._look_at)
        return events, self._last_commit

    def _look_at(self, commit: asyncio.Future[int]) -> None:
        error = None if commit.cancelled() else commit.exception()
        if isinstance(error, errors.StorageError):
            self._halt(error)

    def _decide(self, command: Command, now: int) -> tuple[list[Event], Rows]:
        """What follows from a command, checked to fit the log before the state knows it.

        An outcome with a value that does not fit becomes a failed one that says so: nobody could be told otherwise.
        """
        try:
            caused = decide(self._state, command, now)
            return caused, self._packed(caused)
        except (TypeError, ValueError) as error:
            if not isinstance(command, RecordOutcome):
                if isinstance(error, errors.WfstoreError):
                    raise
                raise errors.InvalidCommandError(str(error)) from error
            outcome = failed(error, "serialization")
        caused = decide(self._state, replace(command, outcome=outcome), now)
        return caused, pack(caused)

    def _packed(self, events: list[Event]) -> Rows:
        """Raises TypeError, ValueError where one does not fit the log; LimitExceededError where one is too large."""
        rows = pack(events)
        limits = self._state.limits
        if len(rows.data) > limits.max_event_bytes:
            for event in events:
                about = f"event {event.type} of workflow {event.workflow_id!r}"
                limits.check("max_event_bytes", len(pack([event]).data), about)
        return rows

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _durable(self) -> None:
        if self._halted is not None:
            raise self._halted
        if self._last_commit is not None:
            await asyncio.shield(self._last_commit)

    def _halt(self, error: errors.StorageError) -> None:
        """The state is ahead of a log that takes no more: say so to every caller, then leave. Ray starts a new one.

        Ray may have done so already, where it took this one for dead. Then nobody is told: callers find the successor,
        and a kill of "this actor" would meet that one.
        """
        if self._halted is not None:
            return
        fenced = isinstance(error, errors.FencedError)
        if fenced and is_replaced():
            os._exit(1)
        self._halted = error
        for waiting in (self._waiting, self._waiting_for_tasks):
            for workflow_id in list(waiting):
                self._wake(waiting, workflow_id)
        asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._leave, fenced)

    def _leave(self, for_good: bool) -> None:
        if for_good and not is_replaced():
            ray.kill(ray.get_runtime_context().current_actor, no_restart=True)
        os._exit(1)

    @staticmethod
    def _wake(waiting: Waiting, workflow_id: str) -> None:
        for future in waiting.pop(workflow_id, ()):
            if not future.done():
                future.set_result(None)
