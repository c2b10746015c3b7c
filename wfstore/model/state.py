"""What the manager remembers: a fold of the log and nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from wfstore.model.dag import FUNCTION, TaskOptions
from wfstore.model.inbox import Inbox
from wfstore.model.limits import Limits, checked, limits_of
from wfstore.model.payload import PayloadRef
from wfstore.model.progress import Progress
from wfstore.model.statuses import PENDING

_NOTHING: Mapping[str, Any] = {}


class TaskState:
    """One task. `resolved`: its output (or that of the continuation it returned) is known, dependents may have it;
    `waiting`: how many distinct upstream tasks are not resolved; `root`: the task whose output this one's output is
    (itself, unless it ends a continuation); `open_run`, `open_attempt`: the attempt somebody may still report about;
    `waited_by`: waits that have it among their choices; `arrived`: how many choices of a wait are resolved; `split`:
    what it chose; `due_at`: when a timer runs out, or the time of a wait is over; `retry_at`: when the next attempt is
    due; `key`, `code`: as the columns task_key and code_hash; `progress`: what its last attempt said, as far as it is
    in the log; `output_run`: the run under way when its output came (one that is not kept can be had in that run only).
    """

    __slots__ = (
        "args", "arrived", "attempt", "attempt_failed", "attempt_started_at", "attempts", "caught",
        "checkpointed", "code", "code_set", "continued_to", "created", "creator", "defined_seq", "downstream",
        "due_at", "duration_us", "ended_at", "error", "error_message", "error_type", "facts", "function",
        "function_hash", "key", "kinds", "metadata", "name", "open_attempt", "open_run", "open_started", "options",
        "output", "output_bytes", "output_repr", "output_run", "output_seq", "progress", "ready_at", "resolved",
        "retries", "retry_at", "root", "shared", "split", "started_at", "status", "stored", "submitted_at", "succeeded",
        "task_id", "type", "upstream", "waited_by", "waiting",
    )  # fmt: skip

    def __init__(self, task_id: str, name: str) -> None:
        self.task_id = task_id
        self.name = name
        self.function = ""
        self.function_hash = ""
        self.key = ""
        self.code: str | None = None
        self.args: PayloadRef | None = None
        self.upstream: list[str] = []
        self.kinds: list[str] = []
        self.shared: list[PayloadRef] = []
        self.options = TaskOptions()
        self.metadata: Mapping[str, Any] = {}
        self.creator: str | None = None
        self.created: list[str] = []
        self.root = task_id
        self.continued_to: str | None = None
        self.downstream: list[str] = []
        self.waited_by: list[str] = []
        self.arrived = 0
        self.type = FUNCTION
        self.facts: Mapping[str, Any] = _NOTHING
        self.code_set = False
        self.split: list[int] | None = None
        self.due_at: int | None = None
        self.retry_at: int | None = None
        self.waiting = 0
        self.resolved = False
        self.status = PENDING
        self.open_run: int | None = None
        self.open_attempt = 0
        self.open_started = False
        self.attempt = 0
        self.attempt_failed = 0
        self.attempts = 0
        self.retries = 0
        self.defined_seq: int | None = None
        self.output: PayloadRef | None = None
        self.caught: PayloadRef | None = None
        self.error: PayloadRef | None = None
        self.stored = False
        self.output_run: int | None = None
        self.output_seq: int | None = None
        self.checkpointed: bool | None = None
        self.output_bytes: int | None = None
        self.output_repr: str | None = None
        self.ready_at: int | None = None
        self.submitted_at: int | None = None
        self.started_at: int | None = None
        self.ended_at: int | None = None
        self.attempt_started_at: int | None = None
        self.duration_us: int | None = None
        self.succeeded = False
        self.error_type: str | None = None
        self.error_message: str | None = None
        self.progress: Progress | None = None


class WorkflowState:
    """One workflow. A closed one may be cold: `tasks` is empty and `first_seq`, `last_seq` say where to read it.

    actor: what a virtual actor is (class, hash); actor_state: its last committed state; last_call: the task at the end
    of its chain of calls; calls: request id -> task id; inbox: None until an event is
    sent to it or waited for; places: where tasks stand -> their key; place_counts: function -> at how many places
    """

    __slots__ = (
        "actor", "actor_state", "attempts", "calls", "cold", "counters", "deadline_at", "driver", "ended_at",
        "error_message", "error_type", "failed_task_id", "first_seq", "inbox", "kind", "last_call", "last_seq",
        "metadata", "name", "open_attempts", "output", "output_task", "place_counts", "places", "requests",
        "rerun_of", "retries", "run", "run_started_at", "runs", "runs_us", "shape", "started_at", "status",
        "submitted_at", "tasks", "timeout_s", "workflow_id",
    )  # fmt: skip

    def __init__(self, workflow_id: str) -> None:
        self.workflow_id = workflow_id
        self.name = ""
        self.status = PENDING
        self.run = 0
        self.runs = 0
        self.kind = "new"
        self.metadata: Mapping[str, Any] = {}
        self.driver: Mapping[str, Any] = {}
        self.timeout_s: float | None = None
        self.deadline_at: int | None = None
        self.rerun_of: str | None = None
        self.shape: str | None = None
        self.actor: Mapping[str, Any] | None = None
        self.actor_state: PayloadRef | None = None
        self.last_call: str | None = None
        self.calls: dict[str, str] = {}
        self.output_task = ""
        self.output: PayloadRef | None = None
        self.tasks: dict[str, TaskState] = {}
        self.counters: dict[str, int] = {}
        self.places: dict[bytes, str] = {}
        self.place_counts: dict[str, int] = {}
        self.open_attempts: dict[str, TaskState] = {}
        self.requests: set[str] = set()
        self.attempts = 0
        self.retries = 0
        self.submitted_at: int | None = None
        self.started_at: int | None = None
        self.ended_at: int | None = None
        self.run_started_at: int | None = None
        self.runs_us: int | None = None
        self.error_type: str | None = None
        self.error_message: str | None = None
        self.failed_task_id: str | None = None
        self.first_seq: int | None = None
        self.last_seq: int | None = None
        self.cold = False
        self.inbox: Inbox | None = None


class Deletion(NamedTuple):
    """The last time that an id was deleted: its last run until then, the request that asked, and when."""

    run: int
    request_id: str | None
    seq: int


class Past(Protocol):
    """What a state no longer holds, or only a summary of. Without one, it holds everything."""

    def recall(self, state: State, workflow_id: str) -> WorkflowState | None:
        """The workflow, whole again and among `state.workflows`; None when there is none."""

    def deletion(self, workflow_id: str) -> Deletion | None:
        """The last one that is not in `state.deleted`."""


class State:
    """Everything. `seq`: last event applied; `queue`: ids of PENDING workflows, first in first out; `past`: where the
    workflows and deletions are that were let go of; `given_limits`: those that are not the default. Whatever is active,
    or has an open attempt, is in `workflows`, and whoever is about such a thing need not `find` more."""

    __slots__ = (
        "deleted", "given_limits", "limits", "max_pending", "max_running", "past", "queue", "running", "seq",
        "session", "workflows",
    )  # fmt: skip

    def __init__(self, past: Past | None = None) -> None:
        self.workflows: dict[str, WorkflowState] = {}
        self.queue: deque[str] = deque()
        self.running = 0
        self.deleted: dict[str, Deletion] = {}
        self.max_running: int | None = None
        self.max_pending: int | None = None
        self.given_limits: Mapping[str, int] = {}
        self.limits = Limits()
        self.seq = 0
        self.session: str | None = None
        self.past = past

    def configure(self, said: Mapping[str, Any]) -> None:
        """What a `config.set` says. It says everything: what it leaves out has no limit, or the default."""
        self.max_running = said.get("max_running_workflows")
        self.max_pending = said.get("max_pending_workflows")
        self.given_limits = said.get("limits", {})
        self.limits = limits_of(self.given_limits)

    def configured(self, limits: Mapping[str, int | None]) -> dict[str, Any]:
        """What is to be said so that these limits hold, too; nothing where they do. Raises TypeError, ValueError."""
        given = {**self.given_limits, **checked(limits)}
        kept = {name: value for name, value in given.items() if value is not None}
        running = {"max_running_workflows": self.max_running, "max_pending_workflows": self.max_pending}
        return {} if kept == self.given_limits else {**running, "limits": kept}

    def find(self, workflow_id: str) -> WorkflowState | None:
        """The workflow, whole, wherever it is kept; None when there is none."""
        found = self.workflows.get(workflow_id)
        if found is not None and not found.cold:
            return found
        if self.past is None or (found is None and workflow_id in self.deleted):
            return found
        return self.past.recall(self, workflow_id)

    def deletion(self, workflow_id: str) -> Deletion | None:
        """The last time that the id was deleted."""
        found = self.deleted.get(workflow_id)
        return self.past.deletion(workflow_id) if found is None and self.past is not None else found

    def last_run(self, workflow_id: str) -> int:
        """Of an id that is free: the run after which the next one counts on."""
        deletion = self.deletion(workflow_id)
        return 0 if deletion is None else deletion.run
