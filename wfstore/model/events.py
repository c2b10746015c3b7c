"""What happened: the event, its columns and its types. This file is the reference page of the log's content.

An `Event` is an immutable tuple, so that a list of events turns into columns (and back) at C speed. Times are
microseconds since 1970 in UTC. A row carries the decision: nobody has to work a status out of its neighbours.
"""

from __future__ import annotations

import builtins
import json
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One row of the log.

    seq: position in the log, from 1, without a gap; set by the log's writer
    partition: 0 while there is one manager
    epoch: generation of the manager that wrote it; set by the log's writer
    ts: the manager's clock when it decided, microseconds UTC
    ts_source: the emitter's own clock (start or end of user code on the worker), microseconds UTC
    type: one of `EVENT_TYPES`
    workflow_id, run, task_id, attempt: what it is about; runs and attempts count from 1, attempts anew in each run
    status: status after the event of its own subject: the workflow, the task or the attempt
    task_status: status of the task after the event, wherever the event changes it
    name: given or default name without suffix, of the workflow or task
    kind: workflow.started: new, resume, call; attempt.failed: app, system, oom, timeout, lost, canceled, serialization;
    actor.call_*: writer, readonly
    request_id: the command that caused it; by: who asked
    bytes: size of the pickled value; uri: its file, relative to the store, when it is not inline; hash: its sha256
    error_type, error_message: of the error that the event is about
    node_id, worker_pid, ray_task_id: where an attempt ran; short attempts of one chain may share a Ray task
    attributes: JSON object with whatever else the type says
    payload: small pickled value that travels with the event
    """

    seq: int | None = None
    partition: int = 0
    epoch: int | None = None
    ts: int = 0
    ts_source: int | None = None
    type: str = ""
    workflow_id: str | None = None
    run: int | None = None
    task_id: str | None = None
    attempt: int | None = None
    status: str | None = None
    task_status: str | None = None
    name: str | None = None
    kind: str | None = None
    request_id: str | None = None
    by: str | None = None
    bytes: int | None = None
    uri: str | None = None
    hash: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    node_id: str | None = None
    worker_pid: int | None = None
    ray_task_id: str | None = None
    attributes: str | None = None
    payload: builtins.bytes | None = None

    def attribute(self, key: str, default: Any = None) -> Any:
        """One value of ``attributes``, or `default`."""
        return json.loads(self.attributes).get(key, default) if self.attributes else default


MANAGER_STARTED = "manager.started"
MANAGER_STOPPED = "manager.stopped"
CONFIG_SET = "config.set"
WORKFLOW_SUBMITTED = "workflow.submitted"
WORKFLOW_QUEUED = "workflow.queued"
WORKFLOW_STARTED = "workflow.started"
WORKFLOW_SUCCEEDED = "workflow.succeeded"
WORKFLOW_FAILED = "workflow.failed"
WORKFLOW_CANCEL_REQUESTED = "workflow.cancel_requested"
WORKFLOW_CANCELED = "workflow.canceled"
WORKFLOW_INTERRUPTED = "workflow.interrupted"
WORKFLOW_METADATA_SET = "workflow.metadata_set"
WORKFLOW_DELETED = "workflow.deleted"
TASK_DEFINED = "task.defined"
TASK_CONTINUED = "task.continued"
TASK_ERROR_CAUGHT = "task.error_caught"
TASK_REUSED = "task.reused"
TASK_RESET = "task.reset"
TASK_CANCELED = "task.canceled"
TASK_SKIPPED = "task.skipped"
ATTEMPT_SUBMITTED = "attempt.submitted"
ATTEMPT_STARTED = "attempt.started"
ATTEMPT_PROGRESSED = "attempt.progressed"
ATTEMPT_SUCCEEDED = "attempt.succeeded"
ATTEMPT_FAILED = "attempt.failed"
ATTEMPT_RETRY_SCHEDULED = "attempt.retry_scheduled"
TASK_CODE_SET = "task.code_set"
TIMER_STARTED = "timer.started"
TIMER_FIRED = "timer.fired"
EVENT_WAIT_STARTED = "event.wait_started"
EVENT_SENT = "event.sent"
EVENT_AWAITED = "event.awaited"
EVENT_DELIVERED = "event.delivered"
EVENT_RECEIVED = "event.received"
EVENT_CHECKPOINTED = "event.checkpointed"
WAIT_DECIDED = "wait.decided"
ACTOR_CREATED = "actor.created"
ACTOR_CALL_STARTED = "actor.call_started"
ACTOR_CALL_SUCCEEDED = "actor.call_succeeded"
ACTOR_CALL_FAILED = "actor.call_failed"
ACTOR_STATE_COMMITTED = "actor.state_committed"

#: type -> what it means. The reference docs are made from this table, and a test reads both.
EVENT_TYPES: dict[str, str] = {
    MANAGER_STARTED: "A manager claimed the log, or an import, which writes alone like one. attributes: session (of "
    "Ray; an import has none), pid, host, node_id, version; task (import).",
    MANAGER_STOPPED: "The manager left in good order.",
    CONFIG_SET: (
        "Limits were set, by a manager that began or while it runs. attributes: max_running_workflows, "
        "max_pending_workflows (null: no limit), limits (an object: those of the store that are not the default)."
    ),
    WORKFLOW_SUBMITTED: (
        "A workflow was accepted; its tasks follow in the same commit. status PENDING. attributes: metadata, "
        "output_task, tasks (how many), shape (hash of the DAG), driver (job_id, runtime_env, packages, versions and "
        "git of the submitter), timeout_s, rerun_of (the workflow whose DAG and inputs it repeats), actor (class of "
        "the virtual actor that it is); of an imported one: source, imported_at, recorded."
    ),
    WORKFLOW_QUEUED: "It waits for a free running slot. status PENDING.",
    WORKFLOW_STARTED: (
        "A run begins. status RUNNING; kind new, resume, or call (of an idle virtual actor). attributes: deadline_at "
        "(microseconds UTC; the run fails then)."
    ),
    WORKFLOW_SUCCEEDED: (
        "The run ended with an output. status SUCCESSFUL. bytes, hash, uri: of the output. attributes: output_task "
        "(the task that made it)."
    ),
    WORKFLOW_FAILED: "The run ended with an error nobody caught. status FAILED. attributes: failed_task_id.",
    WORKFLOW_CANCEL_REQUESTED: "Somebody asked to cancel; the status does not change.",
    WORKFLOW_CANCELED: "The workflow is canceled and cannot be resumed. status CANCELED.",
    WORKFLOW_INTERRUPTED: "Its manager was lost while it was open, and nothing of it ran on. status RESUMABLE.",
    WORKFLOW_METADATA_SET: "The user metadata was replaced. attributes: metadata.",
    WORKFLOW_DELETED: "Everything about this id up to here is hidden; runs number on after `run`.",
    TASK_DEFINED: (
        "A task is part of the workflow from here on. status and task_status PENDING; name; hash: of the function "
        "body; payload or uri: its pickled arguments. attributes: function, key (its task_key, where that is not the "
        "function), code (code_hash), upstream (task ids in argument order), kinds (argument, nested, waited, order),"
        " options, metadata, creator (the task whose continuation defined it), shared (arguments stored once), args "
        "(hash of an argument pickle kept in a file), type (timer, event, event_checkpointed, wait, actor; none: a "
        "function), facts (of that type). kind call: somebody called a virtual actor, and the output of the workflow "
        "is that of its last call."
    ),
    TASK_CONTINUED: "Its function returned a continuation. attributes: output_task (whose output becomes its own).",
    TASK_ERROR_CAUGHT: (
        "The task asked to catch exceptions and one arrived, its own or one of its continuation's. task_status CAUGHT; "
        "payload: the pickled (None, exception). attributes: failed_task_id."
    ),
    TASK_REUSED: "A resume needs its output and has it: it does not run again. task_status SUCCESSFUL or CAUGHT.",
    TASK_RESET: "A resume needs it to run (again). task_status PENDING.",
    TASK_CANCELED: "It had not ended when the workflow was canceled. task_status CANCELED.",
    TASK_SKIPPED: "Its result is not needed any more, as an error was caught above it. task_status SKIPPED.",
    ATTEMPT_SUBMITTED: (
        "Given to Ray, or to the manager's own timers and listeners. status and task_status PENDING; hash: of the "
        "function body, where it is not the one that the task was defined with. attributes: num_cpus, num_gpus, "
        "resources."
    ),
    ATTEMPT_STARTED: "User code begins at ts_source on node_id, worker_pid, ray_task_id. status RUNNING.",
    ATTEMPT_PROGRESSED: (
        "What the attempt last said with workflow.progress, noted now and then, and before something else than its own "
        "code ends it. status RUNNING. attributes: progress (0 to 1), progress_message, progress_metrics."
    ),
    ATTEMPT_SUCCEEDED: (
        "User code ended at ts_source and its output is kept: payload (inline) or uri (file), bytes, hash. status "
        "SUCCESSFUL. attributes: output_repr, checkpointed, fetch_s, checkpoint_s, and the last progress as above."
    ),
    ATTEMPT_FAILED: (
        "The attempt ended at ts_source without an output. status FAILED (CANCELED for kind canceled); kind app, "
        "system, oom, serialization, timeout, lost (with its manager; not counted), canceled; payload: the pickled "
        "(None, exception). attributes: traceback, stdout, stderr (their last 64 KiB during the attempt), and the last "
        "progress as above."
    ),
    ATTEMPT_RETRY_SCHEDULED: (
        "The next attempt will follow. task_status RETRYING; attempt: the one to come. attributes: due_at "
        "(microseconds UTC; none: at once)."
    ),
    TASK_CODE_SET: "A resume gave the task another function body. hash: of the body. attributes: code.",
    TIMER_STARTED: "A timer of the manager's runs. attributes: due_at (microseconds UTC).",
    TIMER_FIRED: "It has run out, at ts.",
    EVENT_WAIT_STARTED: "A listener polls for an event. attributes: listener (module.qualname).",
    EVENT_SENT: (
        "Somebody sent an event to the workflow; it is kept until a task has used it. name: its key; payload (inline) "
        "or uri (file), bytes, hash; request_id, by: of the sender. attributes: number (counts the workflow's from 1)."
    ),
    EVENT_AWAITED: "A listener waits for what is sent to the workflow under a key. name: the key.",
    EVENT_DELIVERED: (
        "What was sent is given to the attempt that waits for it, and is the task's from here on: a later attempt gets "
        "it again. name: the key. attributes: number (of event.sent)."
    ),
    EVENT_RECEIVED: "The listener returned an event, kept as the output of the task.",
    EVENT_CHECKPOINTED: "The listener was told that the event is durable.",
    WAIT_DECIDED: (
        "A wait has what it waited for, or its time is over. attributes: ready (positions among the tasks that it "
        "waited for). Every later attempt sees the same split."
    ),
    ACTOR_CREATED: "The workflow is a virtual actor. hash: of the pickled class. attributes: class (module.qualname).",
    ACTOR_CALL_STARTED: "A method of the actor begins. kind writer; name: of the task. attributes: method.",
    ACTOR_CALL_SUCCEEDED: (
        "The method and all that it returned ended. kind writer, or readonly (no task; attributes: method, duration_s, "
        "caller)."
    ),
    ACTOR_CALL_FAILED: "The method failed. kind as above; error_type, error_message. attributes: method.",
    ACTOR_STATE_COMMITTED: "The actor's state after a method. bytes, hash, uri or payload: of the pickled state.",
}
