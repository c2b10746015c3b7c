"""An old workflow told as events: what its files say happened, in an order in which it can have happened.

The old store has no order, so attempts follow each other by their times. A time that is not known is that of the row
before. Nothing else is made up: where a task ran, and how often, ray.workflow did not keep.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

from wfstore.imports.attempts import CONTINUED, OPEN, RAISED, SUCCEEDED, Attempt, attempts, last_run
from wfstore.imports.dag import OldDag
from wfstore.imports.ends import end_of
from wfstore.imports.keeping import Failure, Keeper
from wfstore.imports.rows import Rows, task_options
from wfstore.model import events as ev
from wfstore.model.define import check_metadata, check_workflow_id
from wfstore.model.draft import where
from wfstore.model.events import Event
from wfstore.model.payload import PayloadRef
from wfstore.model.statuses import CAUGHT, FAILED, PENDING, RESUMABLE, RUNNING, SUCCESSFUL, WORKFLOW_ACTIVE
from wfstore.traces.rayworkflow import OldWorkflow


class Told(NamedTuple):
    """The rows of one workflow. lost: why a task of it can never run again, by its id."""

    events: list[Event]
    status: str
    tasks: int
    lost: dict[str, str]


def tell(old: OldWorkflow, keeper: Keeper, runs: int, source: str, now: int) -> Told:
    """runs: how many a deleted workflow of this id had in the store; source: of the old store; now: microseconds UTC.

    Raises TraceError, InvalidCommandError (both ValueErrors) for what no manager would have accepted, and what reading
    and keeping pickles raises.
    """
    check_workflow_id(old.workflow_id)
    check_metadata(old.metadata)
    return Telling(old, keeper, runs, source, now).tell()


class Telling:
    """One workflow while it is told.

    status: of each task after the last row; outputs, failures, caught: by task id; last: the latest moment known
    """

    def __init__(self, old: OldWorkflow, keeper: Keeper, runs: int, source: str, now: int) -> None:
        self.old = old
        self.dag = OldDag(old)
        self.status: dict[str, str] = {}
        self.outputs: dict[str, PayloadRef] = {}
        self.failures: dict[str, Failure] = {}
        self.caught: dict[str, Failure] = {}
        self._keeper = keeper
        self._source = source
        self._now = now
        self._lost: dict[str, str] = {}
        self._ended_at: dict[str, int] = {}
        self._waiting: list[tuple[int, int, Attempt]] = []
        self._to_come: dict[str, list[Attempt]] = {}
        self._count = 0
        keeper.next_workflow(old.objects)
        self.last = self._submitted_at()
        self.rows = Rows(old.workflow_id, runs, self.last)

    def tell(self) -> Told:
        old, rows = self.old, self.rows
        known = [attempt for task in self.dag.tasks.values() for attempt in attempts(task, old.times_kept)]
        limit = last_run(old, known)
        self._submit()
        if limit is not None:
            self._run("new", [attempt for attempt in known if attempt.moment < limit])
            self._end_earlier_run()
        if old.status == PENDING:
            rows.workflow(ev.WORKFLOW_QUEUED, PENDING)
        elif known or old.started_us is not None or old.status != "CANCELED":
            rows.at(old.started_us)
            self._run("new" if limit is None else "resume", [a for a in known if limit is None or a.moment >= limit])
            self._define(list(self.dag.tasks))
            self._work()
        self.last = max(self.last, old.started_us or 0)
        rows.at(self.last)
        end_of(self)
        status = RESUMABLE if old.status in WORKFLOW_ACTIVE else old.status
        return Told(rows.events, status, len(self.status), self._lost)

    def passed(self, moment: int | None) -> None:
        self.last = self.last if moment is None else max(self.last, moment)

    def open_attempts(self) -> list[str]:
        return [task_id for task_id, status in self.status.items() if status == RUNNING]

    def failed_tasks(self) -> list[str]:
        """Those whose error nobody caught, the last one last."""
        failed = (task_id for task_id in self.failures if self.status[task_id] == FAILED)
        return [task_id for task_id in failed if self.caught.keys().isdisjoint(self.dag.creators(task_id))]

    # -- definitions --------------------------------------------------------------------------------------------------

    def _submitted_at(self) -> int:
        """ray.workflow did not keep it: nothing can have been before it."""
        known = [self.old.submitted_us, self.old.started_us]
        known += [task.started_us for task in self.old.tasks.values()]
        return min((moment for moment in known if moment is not None), default=self.old.status_us or self._now)

    def _submit(self) -> None:
        old = self.old
        given = old.metadata.get("name")
        entry = None if old.entry is None else self.dag.tasks[old.entry]
        self.rows.workflow(
            ev.WORKFLOW_SUBMITTED,
            PENDING,
            name=given if isinstance(given, str) else old.workflow_id if entry is None else entry.name,
            attributes={
                "metadata": dict(old.metadata),
                "output_task": old.entry or "",
                "tasks": len(self.dag.groups[None]),
                "source": self._source,
                "imported_at": self._now,
            },
        )
        self._define(self.dag.groups[None])

    def _define(self, task_ids: list[str]) -> None:
        """With whatever they name that is not defined yet, which comes first."""
        todo = task_ids[::-1]
        while todo:
            task = self.dag.tasks[todo[-1]]
            above = [name for name in task.upstream if name not in self.status]
            if task.task_id not in self.status and above:
                todo += above
                continue
            todo.pop()
            if task.task_id in self.status:
                continue
            code = self._keeper.task(task.body, task.args, task.upstream)
            if code.lost is not None:
                self._lost[task.task_id] = code.lost
            creator = self.dag.creator[task.task_id]
            self.rows.define(task, code, creator if creator in self.status else None)
            self.status[task.task_id] = PENDING
            self._push(self._to_come.pop(task.task_id, []))

    # -- attempts -----------------------------------------------------------------------------------------------------

    def _run(self, kind: str, known: list[Attempt]) -> None:
        self.rows.begin(kind)
        left = [attempt for given in self._to_come.values() for attempt in given]
        self._to_come = {}
        for attempt in left + known:
            self._to_come.setdefault(attempt.task.task_id, []).append(attempt)
        self._take_over()
        for task_id in [name for name in self._to_come if name in self.status]:
            self._push(self._to_come.pop(task_id))
        self._work()

    def _work(self) -> None:
        while self._waiting:
            self._attempt(heapq.heappop(self._waiting)[2])

    def _take_over(self) -> None:
        """What this run has from the one before, and what it runs again."""
        for task_id, status in self.status.items():
            if status in (FAILED, CAUGHT) or (status != PENDING and task_id in self._to_come):
                self.rows.task(ev.TASK_RESET, task_id, PENDING)
                self.status[task_id] = PENDING
                self.caught.pop(task_id, None)
            elif task_id in self.outputs:
                self.rows.task(ev.TASK_REUSED, task_id, status)

    def _push(self, given: list[Attempt]) -> None:
        for attempt in given:
            self._count += 1
            heapq.heappush(self._waiting, (attempt.moment, self._count, attempt))

    def _attempt(self, attempt: Attempt) -> None:
        task_id = attempt.task.task_id
        if task_id in self.rows.attempts:
            self.rows.retry(task_id)
        self.rows.submit(task_id, self._ready(attempt), attempt.started_us)
        self.status[task_id] = RUNNING
        self.passed(attempt.started_us)
        self.passed(attempt.ended_us)
        if attempt.outcome == RAISED:
            self._raised(attempt)
        elif attempt.outcome != OPEN:
            self._succeeded(attempt)

    def _succeeded(self, attempt: Attempt) -> None:
        task = attempt.task
        output, shown = None, None
        if attempt.outcome == SUCCEEDED:
            assert task.output is not None
            output, shown = self._keeper.value(task.output)
            self.outputs[task.task_id] = output
        continued_to = task.continued_to if attempt.outcome == CONTINUED else None
        self.rows.succeed(task.task_id, attempt.ended_us, output, shown, continued_to)
        self.status[task.task_id] = SUCCESSFUL
        if attempt.ended_us is not None:
            self._ended_at[task.task_id] = attempt.ended_us
        self._define([*self.dag.groups.get(task.task_id, []), *([] if continued_to is None else [continued_to])])

    def _raised(self, attempt: Attempt) -> None:
        task_id = attempt.task.task_id
        assert attempt.task.exception is not None
        failure = self._keeper.failure(attempt.task.exception)
        self.rows.fail(task_id, failure, attempt.ended_us)
        self.status[task_id] = FAILED
        self.failures.pop(task_id, None)
        self.failures[task_id] = failure
        if attempts(attempt.task, self.old.times_kept)[-1].outcome == RAISED:
            self._catch(task_id, failure)

    def _catch(self, task_id: str, failure: Failure) -> None:
        """The nearest task that asked to: the failed one, or one of those whose continuation made it."""
        catches = (name for name in self.dag.creators(task_id) if task_options(self.dag.tasks[name]).catch_exceptions)
        catcher = next(catches, None)
        if catcher is None or self.status[catcher] not in (SUCCESSFUL, FAILED):
            return
        self.caught[catcher] = failure
        self.status[catcher] = CAUGHT
        self.rows.task(
            ev.TASK_ERROR_CAUGHT,
            catcher,
            CAUGHT,
            error_type=failure.type_name,
            error_message=failure.message,
            attributes={"failed_task_id": task_id},
            **where(failure.error),
        )

    def _ready(self, attempt: Attempt) -> int | None:
        """When the last of its inputs was there, but not after it began."""
        ends = [self._ended_at.get(self.dag.end(name)) for name in attempt.task.upstream]
        ends.append(self._ended_at.get(self.dag.creator[attempt.task.task_id] or ""))
        ends.append(self.old.started_us if self.rows.begun_again else None)
        ready = max((moment for moment in ends if moment is not None), default=None)
        return ready if ready is None else min(ready, attempt.moment)

    def _end_earlier_run(self) -> None:
        rows = self.rows
        rows.at(self.last)
        failed = self.failed_tasks()
        for task_id in self.open_attempts():
            rows.drop(task_id, "lost", None)
            self.status[task_id] = PENDING
        if failed:
            rows.fail_workflow(failed[-1], self.failures[failed[-1]])
        else:
            rows.workflow(ev.WORKFLOW_INTERRUPTED, RESUMABLE)
