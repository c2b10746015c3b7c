"""What has to hold of every seed: while it runs (`Oracle`), and of the log, the manager and the drivers at its end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from tests.fault.simulation.drivers import Told
from wfstore import errors
from wfstore.engine.assignment import AttemptKey
from wfstore.engine.memory import Memory
from wfstore.engine.orders import Orders
from wfstore.log import MemoryLog, open_reader, verify
from wfstore.log.survey import take_survey
from wfstore.model import events as ev
from wfstore.model.apply import apply
from wfstore.model.commands import CallActor, Cancel, Delete, Resume, SendEvent, Submit
from wfstore.model.dag import TIMER
from wfstore.model.events import Event
from wfstore.model.rows import task_row, workflow_row
from wfstore.model.state import State
from wfstore.model.statuses import CANCELED, FAILED, SUCCESSFUL, TASK_MOVES, WORKFLOW_ACTIVE, WORKFLOW_MOVES
from wfstore.payloads import PayloadStore
from wfstore.schema.rows import Rows, unpack

#: (status, hash of the output) of a workflow; None: there is none.
Standing = tuple[str, str | None] | None
_ONCE = {
    ev.WORKFLOW_SUBMITTED: Submit,
    ev.EVENT_SENT: SendEvent,
    ev.WORKFLOW_DELETED: Delete,
    ev.WORKFLOW_CANCEL_REQUESTED: Cancel,
    ev.WORKFLOW_STARTED: Resume,
    ev.TASK_DEFINED: CallActor,
}


class Oracle:
    """Notes what was acknowledged and what ran. acknowledged: seq -> row; durable_seq: the newest of them."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, tuple[Any, ...]] = {}
        self.epochs: dict[int, int] = {}
        self.durable_seq = 0
        self.commits = 0
        self.broken: list[str] = []
        self.executions: list[tuple[AttemptKey, int]] = []

    def committed(self, epoch: int, first: int, last: int, rows: Rows) -> None:
        self.commits += 1
        for seq, row in zip(range(first, last + 1), unpack(rows.data, rows.rows), strict=True):
            if seq in self.acknowledged:
                self.broken.append(f"seq {seq} was acknowledged twice, by epoch {epoch} the second time")
            self.acknowledged[seq], self.epochs[seq] = row, epoch
        self.durable_seq = max(self.durable_seq, last)

    def started(self, key: AttemptKey) -> None:
        self.executions.append((key, self.durable_seq))


def read_log(storage: str, oracle: Oracle) -> list[Event]:
    """The whole log. What was acknowledged is there, where it was acknowledged and as it was. Empty while somebody is
    claiming it: where it ends cannot be told then."""
    if any(segment.held for segment in take_survey(storage).segments):
        return []
    blocks, _ = open_reader(storage).blocks()
    events: list[Event] = []
    expected, lost = 1, []
    for block in blocks:
        assert block.first_seq == expected, f"the log goes on at seq {block.first_seq}, {expected} was expected"
        for seq, row in enumerate(unpack(block.data, block.rows), block.first_seq):
            known = oracle.acknowledged.get(seq)
            if known is not None and (known != row or oracle.epochs[seq] != block.epoch):
                lost.append(seq)
        events += block.events()
        expected += block.rows
    lost += [seq for seq in oracle.acknowledged if seq >= expected]
    assert not lost, f"acknowledged and not in the log: {len(lost)} events, from seq {min(lost)}"
    return events


def rows_of(storage: str) -> list[tuple[Any, ...]]:
    """The rows of the whole log."""
    blocks, _ = open_reader(storage).blocks()
    return [row for block in blocks for row in unpack(block.data, block.rows)]


class History:
    """The log once more from its start: the state at its end, how each workflow stood when, and what it did."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.state = State()
        self.standings: dict[str, list[tuple[int, Standing]]] = defaultdict(list)
        for event in events:
            apply(self.state, event)
            if event.workflow_id is not None and (event.task_id is None or event.type == ev.TASK_DEFINED):
                self._note(event.workflow_id, event.seq or 0)

    def _note(self, workflow_id: str, seq: int) -> None:
        workflow = self.state.workflows.get(workflow_id)
        standing: Standing = None
        if workflow is not None:
            done = workflow.status == SUCCESSFUL and workflow.output is not None
            standing = workflow.status, workflow.output.hash if done and workflow.output is not None else None
        known = self.standings[workflow_id]
        if not known or known[-1][1] != standing:
            known.append((seq, standing))

    def between(self, workflow_id: str, since: int, until: int) -> list[Standing]:
        """How the workflow stood at any moment from `since` to `until`."""
        found: list[Standing] = [None]
        for seq, standing in self.standings.get(workflow_id, ()):
            if seq > until:
                break
            if seq <= since:
                found = [standing]
            else:
                found.append(standing)
        return found


def check_moves(events: Iterable[Event]) -> None:
    """Every change of a status is in the tables of legal ones."""
    workflows: dict[str, str | None] = {}
    tasks: dict[str, dict[str, str]] = defaultdict(dict)
    for event in events:
        workflow_id = event.workflow_id or ""
        if event.type == ev.WORKFLOW_DELETED:
            assert (workflows.pop(workflow_id), None) in WORKFLOW_MOVES, event
            tasks.pop(workflow_id, None)
        elif event.task_id is None and event.status is not None:
            before = workflows.get(workflow_id)
            assert before == event.status or (before, event.status) in WORKFLOW_MOVES, (before, event)
            workflows[workflow_id] = event.status
        if event.task_id is not None and event.task_status is not None:
            last = tasks[workflow_id].get(event.task_id)
            assert last == event.task_status or (last, event.task_status) in TASK_MOVES, (last, event)
            tasks[workflow_id][event.task_id] = event.task_status


def check_requests(events: Iterable[Event]) -> None:
    """A command that was given twice had its effect once, in each life of its workflow."""
    seen: Counter[tuple[str, str, str]] = Counter()
    for event in events:
        if event.request_id is None or (event.type == ev.TASK_DEFINED and event.kind != "call"):
            continue
        if event.type in _ONCE:
            seen[event.workflow_id or "", event.type, event.request_id] += 1
        if event.type == ev.WORKFLOW_DELETED:
            gone = event.workflow_id or ""
            for key in [key for key in seen if key[0] == gone and key[1] != ev.WORKFLOW_DELETED]:
                del seen[key]
    twice = [key for key, count in seen.items() if count > 1]
    assert not twice, f"had their effect twice: {twice}"


def check_executions(events: Sequence[Event], oracle: Oracle) -> None:
    """What runs was submitted durably before; what has succeeded durably never runs again."""
    submitted: dict[AttemptKey, int] = {}
    lives: dict[tuple[str, int], int] = {}
    life: dict[str, int] = defaultdict(int)
    done: dict[tuple[str, int, str], int] = {}
    for before, event in zip((Event(), *events), events, strict=False):
        name, seq = event.workflow_id or "", event.seq or 0
        if event.type == ev.WORKFLOW_SUBMITTED:
            life[name] += 1
        elif event.type == ev.ATTEMPT_SUBMITTED:
            submitted[name, event.run or 0, event.task_id or "", event.attempt or 0] = seq
            lives[name, event.run or 0] = life[name]
        kept = event.type == ev.ATTEMPT_SUCCEEDED and (event.payload is not None or event.uri is not None)
        if kept or (event.type == ev.TASK_CONTINUED and before.type == ev.ATTEMPT_SUCCEEDED):
            done.setdefault((name, life[name], event.task_id or ""), seq)
    twice = [key for key, count in Counter(key for key, _ in oracle.executions).items() if count > 1]
    assert not twice, f"began twice: {twice}"
    for key, durable_seq in oracle.executions:
        assert submitted.get(key, 1 << 60) <= durable_seq, f"{key} ran, and was not durably submitted"
        success = done.get((key[0], lives[key[:2]], key[2]), 1 << 60)
        assert success > durable_seq, f"{key} ran again: its success was durable as seq {success}, by {durable_seq}"


def check_told(history: History, told: Iterable[Told]) -> None:
    """What drivers were told was so at some moment between their question and the answer."""
    for one in told:
        standings = history.between(one.workflow_id, one.since, one.until)
        assert _is_true(one, standings), (
            f"{one.method} of {one.workflow_id} was told {_words(one)}, and was {standings}"
        )
        if one.method == "handle" and one.error is None and isinstance(one.command, Cancel):
            final = {standing[0] if standing else None for standing in standings}
            assert final & {CANCELED, SUCCESSFUL, FAILED, None}, f"canceled {one.workflow_id}, and it was {standings}"


def _words(one: Told) -> str:
    return repr(one.error or one.answer)[:300]


def _is_true(one: Told, standings: list[Standing]) -> bool:
    statuses = {standing[0] if standing else None for standing in standings}
    error = one.error
    if isinstance(error, errors.WorkflowNotFoundError):
        return None in statuses or one.method == "rerun"  # then the old one is not found
    if isinstance(error, errors.WorkflowRunningError | errors.WorkflowStillActiveError):
        return bool(statuses & WORKFLOW_ACTIVE)
    if isinstance(error, errors.WorkflowNotResumableError):
        return bool(statuses & {None, CANCELED})
    if one.method == "status" and error is None:
        return one.answer in statuses
    if one.method in ("wait", "run") and error is None:
        return _answer_is_true(one.answer, statuses)
    return True


def _answer_is_true(answer: Any, statuses: set[str | None]) -> bool:
    if answer.error is None:
        return SUCCESSFUL in statuses
    if isinstance(answer.error, errors.WorkflowCancellationError):
        return CANCELED in statuses
    if isinstance(answer.error, errors.WorkflowNotFoundError):
        return None in statuses
    if isinstance(answer.error, errors.NotCheckpointedError):
        return SUCCESSFUL in statuses
    return bool(statuses - WORKFLOW_ACTIVE - {SUCCESSFUL})


def check_rows(state: State, memory: Memory, replayed: State) -> None:
    """What is remembered, or comes back from the log, is what the log says, as rows of `workflows` and `tasks`."""
    assert set(state.workflows) == set(replayed.workflows)
    assert (list(state.queue), state.running) == (list(replayed.queue), replayed.running)
    for name, logged in replayed.workflows.items():
        found = state.workflows[name]
        assert found.status == logged.status, (name, found.status, logged.status)
        if found.cold:
            place = memory.lacks(state, name)
            assert place is not None
            found = memory.read(place)
        assert workflow_row(found) == workflow_row(logged), name
        assert list(found.tasks) == list(logged.tasks), name
        for task_id, task in logged.tasks.items():
            assert task_row(found, found.tasks[task_id]) == task_row(logged, task), (name, task_id)


def check_manager(manager: Any, history: History) -> None:
    """What the manager remembers is what the log says; and it holds nobody back."""
    state: State = manager._state
    assert state.seq == len(history.events), f"the manager is at seq {state.seq}, the log ends at {len(history.events)}"
    check_rows(state, manager._memory, history.state)
    running = [*manager._executor._running, *manager._executor._held_keys, *manager._listeners._waiting]
    open_ones = _open_attempts(state)
    held = {
        "waiters": manager._waiting,
        "waiters for tasks": manager._waiting_for_tasks,
        "lingering workers": manager._lingering,
        "attempts to submit": manager._to_submit,
        "attempts that run and are not open": set(running) - open_ones,
        "open attempts that nobody runs": open_ones - set(running),
        "attempts that run twice": [key for key, count in Counter(running).items() if count > 1],
        "senders": manager._deliveries._senders,
        "workflows on their way into memory": manager._memory._coming,
        "the queue": state.queue,
    }
    left = {what: list(some)[:5] for what, some in held.items() if some}
    assert not left, f"left behind: {left}"
    assert not state.running


def check_sql(events: Sequence[Event], state: State) -> None:
    """The views say what the manager remembers. Costs as much as ten seeds."""
    from tests.index.test_laws import chosen, expected
    from tests.index.worlds import lease
    from wfstore.index import Index

    log = MemoryLog()
    log.append(events)
    log.set_lease(lease())
    index = Index(log)
    for rows, query in zip(expected(state), _QUERIES, strict=True):
        found = index.sql(query).pl().to_dicts()
        assert chosen(found, rows[0] if rows else {}) == rows, query


_QUERIES = ("FROM workflows ORDER BY workflow_id", "FROM tasks ORDER BY workflow_id, task_id")


def check_store(storage: str) -> None:
    """What a manager leaves that ended in good order is found to be whole."""
    report = verify(storage)
    assert report.ok, [str(problem) for problem in report.problems]


def _open_attempts(state: State) -> set[AttemptKey]:
    """Those that somebody outside the manager has to report about."""
    return {
        (workflow.workflow_id, task.open_run or 0, task.task_id, task.open_attempt)
        for workflow in state.workflows.values()
        for task in workflow.open_attempts.values()
        if task.type != TIMER and Orders.ready(workflow, task)
    }


def check_payloads(storage: str, history: History) -> None:
    """Every output that the log points to can be read."""
    store = PayloadStore(storage)
    for workflow in history.state.workflows.values():
        for task in workflow.tasks.values():
            if task.stored and task.output is not None and task.output.data is None:
                store.get(task.output.hash)
        if workflow.actor is not None and workflow.actor_state is not None:
            _check_actor(store, workflow.workflow_id, history)


def _check_actor(store: PayloadStore, name: str, history: History) -> None:
    """Its state is what its successful calls make, one after the other."""
    calls = 0
    for event in history.events:
        if event.workflow_id == name:
            if event.type in (ev.WORKFLOW_SUBMITTED, ev.WORKFLOW_DELETED):
                calls = 0
            calls += event.type == ev.ACTOR_STATE_COMMITTED
    state = history.state.workflows[name].actor_state
    assert state is not None
    assert store.get(state) == b"0" + b"+" * (calls - 1), (name, calls, store.get(state)[:50])
