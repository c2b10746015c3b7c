"""What the manager remembers: a fold of the log and nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from wfstore.model.dag import TaskOptions
from wfstore.model.payload import PayloadRef
from wfstore.model.statuses import PENDING


class TaskState:
    """One task. `resolved`: its output (or that of the continuation it returned) is known, dependents may have it;
    `waiting`: how many distinct upstream tasks are not resolved; `root`: the task whose output this one's output is
    (itself, unless it ends a continuation); `open_run`, `open_attempt`: the attempt somebody may still report about.
    """

    __slots__ = (
        "args", "attempt", "attempt_failed", "attempt_started_at", "attempts", "caught", "checkpointed",
        "continued_to", "created", "creator", "downstream", "duration_us", "ended_at", "error",
        "error_message", "error_type", "function", "function_hash", "kinds", "metadata", "name",
        "open_attempt", "open_run", "open_started", "options", "output", "output_bytes", "output_repr",
        "output_seq", "ready_at", "resolved", "root", "shared", "started_at", "status", "stored",
        "submitted_at", "succeeded", "task_id", "upstream", "waiting",
    )  # fmt: skip

    def __init__(self, task_id: str, name: str) -> None:
        self.task_id = task_id
        self.name = name
        self.function = ""
        self.function_hash = ""
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
        self.waiting = 0
        self.resolved = False
        self.status = PENDING
        self.open_run: int | None = None
        self.open_attempt = 0
        self.open_started = False
        self.attempt = 0
        self.attempt_failed = 0
        self.attempts = 0
        self.output: PayloadRef | None = None
        self.caught: PayloadRef | None = None
        self.error: PayloadRef | None = None
        self.stored = False
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


class WorkflowState:
    """One workflow. A closed one may be cold: `tasks` is empty and `first_seq`, `last_seq` say where to read it."""

    __slots__ = (
        "attempts", "cold", "counters", "driver", "ended_at", "error_message", "error_type", "failed_task_id",
        "first_seq", "kind", "last_seq", "metadata", "name", "open_attempts", "output", "output_task", "requests",
        "retries", "run", "run_started_at", "runs", "runs_us", "started_at", "status", "submitted_at", "tasks",
        "workflow_id",
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
        self.output_task = ""
        self.output: PayloadRef | None = None
        self.tasks: dict[str, TaskState] = {}
        self.counters: dict[str, int] = {}
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


class State:
    """Everything. `seq`: last event applied; `queue`: ids of PENDING workflows, first in first out;
    `deleted`: id -> (last run, request that deleted it)."""

    __slots__ = ("deleted", "max_pending", "max_running", "queue", "running", "seq", "session", "workflows")

    def __init__(self) -> None:
        self.workflows: dict[str, WorkflowState] = {}
        self.queue: deque[str] = deque()
        self.running = 0
        self.deleted: dict[str, tuple[int, str | None]] = {}
        self.max_running: int | None = None
        self.max_pending: int | None = None
        self.seq = 0
        self.session: str | None = None
