"""The columns every view promises, declared once: name, DuckDB type, one sentence.

Comments in the database, the reference page and the tests are made from it. What a view is made of is in `queries/`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pyarrow as pa

from wfstore.model.events import Event
from wfstore.schema.columns import EVENT_SCHEMA


class Column(NamedTuple):
    """`type` is DuckDB's name of it; `text` one sentence for people, with the unit where there is one."""

    name: str
    type: str
    text: str


_FIELD = "|".join(Event._fields)
_ENTRY = re.compile(rf"(?:^|; )((?:{_FIELD})(?:, (?:{_FIELD}))*): ", re.MULTILINE)
_DUCKDB: dict[pa.DataType, str] = {
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.timestamp("us"): "TIMESTAMP",
    pa.string(): "VARCHAR",
}


def event_sentences() -> dict[str, str]:
    """Field of `Event` -> its sentence, out of the class's own docstring."""
    text = "\n".join(line.strip() for line in (Event.__doc__ or "").partition("\n\n")[2].splitlines()).strip()
    entries = list(_ENTRY.finditer(text))
    ends = [entry.start() for entry in entries[1:]] + [len(text)]
    sentences: dict[str, str] = {}
    for entry, end in zip(entries, ends, strict=True):
        sentence = " ".join(text[entry.end() : end].split()).rstrip(".")
        if sentence.split()[0].isalpha():  # not the name of an event type
            sentence = sentence[0].upper() + sentence[1:]
        sentences.update(dict.fromkeys(entry.group(1).split(", "), sentence + "."))
    return sentences


def _event_columns() -> tuple[Column, ...]:
    first = ("seq", "partition", "epoch", "ts", "type", "workflow_id", "run", "task_id", "attempt", "status")
    last = "attributes"
    between = [name for name in Event._fields if name not in (*first, last, "payload")]
    texts = event_sentences()
    types = {field.name: _DUCKDB.get(field.type, "VARCHAR") for field in EVENT_SCHEMA} | {last: "JSON"}
    return tuple(Column(name, types[name], texts[name]) for name in (*first, *between, last))


_ID = Column("workflow_id", "VARCHAR", "Id of the workflow.")
_TASK = Column("task_id", "VARCHAR", "Id of the task, unique within its workflow.")
_RUN = Column("run", "INTEGER", "Which execution of the workflow, from 1; a resume starts the next.")
_PROGRESS = (
    Column("progress", "DOUBLE", "What its code last said about its progress, 0 to 1; NULL where it said nothing."),
    Column("progress_message", "VARCHAR", "What it said with it, in words."),
    Column("progress_metrics", "JSON", "What it said with it, in figures: an object."),
)
_KEY = Column(
    "task_key",
    "VARCHAR",
    "Its function, and #2, #3 and so on from the second place in the DAG on at which that stands: alike in all "
    "workflows of one shape, and among the members of a fan-out.",
)
_AS_OF = Column("as_of_seq", "BIGINT", "The last event that the manager had applied when it said so.")

WORKFLOWS = (
    _ID,
    Column("name", "VARCHAR", "The metadata's \"name\" if that is a string, else the root task's name."),
    Column("status", "VARCHAR", "RUNNING, PENDING, FAILED, RESUMABLE, CANCELED or SUCCESSFUL."),
    Column("submitted_at", "TIMESTAMP", "When the manager accepted it, UTC."),
    Column("started_at", "TIMESTAMP", "When its first run began, UTC."),
    Column("ended_at", "TIMESTAMP", "When its last run ended or it was canceled, UTC; NULL while a run goes on."),
    Column("queue_wait_s", "DOUBLE", "Seconds from submission to the beginning of the first run."),
    Column("duration_s", "DOUBLE", "Seconds its ended runs took, summed; NULL before the first has ended."),
    Column("elapsed_s", "DOUBLE", "Seconds of wall time from submission to ended_at."),
    Column("runs", "BIGINT", "How many runs have begun."),
    Column("tasks", "BIGINT", "How many tasks it has so far; continuations add to them."),
    Column("tasks_done", "BIGINT", "How many tasks are SUCCESSFUL or CAUGHT."),
    Column("tasks_failed", "BIGINT", "How many tasks are FAILED."),
    Column("attempts", "BIGINT", "How many attempts were given to Ray, over all runs."),
    Column("retries", "BIGINT", "How many attempts were not the first of their task in their run."),
    Column("output_bytes", "BIGINT", "Size of the pickled output of the workflow, bytes."),
    Column("total_output_bytes", "BIGINT", "Sizes of the pickled outputs of its tasks, summed, bytes."),
    Column("error_type", "VARCHAR", "Type of the error that failed it; NULL unless the last decision was to fail it."),
    Column("error_message", "VARCHAR", "Message of that error."),
    Column("failed_task_id", "VARCHAR", "The task whose error that was."),
    Column("metadata", "JSON", "The user's metadata, an object."),
    Column("rerun_of", "VARCHAR", "The workflow whose DAG and inputs it repeats."),
    Column("submitted_seq", "BIGINT", "Seq of its submission: the order in which workflows were accepted."),
    Column(
        "progress",
        "DOUBLE",
        "Its tasks that are done and the fractions of those that run, over all tasks it has so far, 0 to 1; 1 where it "
        "is SUCCESSFUL.",
    ),
    Column("dag_hash", "VARCHAR", "Hash of the DAG as submitted: its task keys and edges; alike where it is repeated."),
    Column("versions", "JSON", "Versions of python, ray and wfstore at its submission, an object; {} where not known."),
    Column("git_commit", "VARCHAR", "Commit of the working tree that it was submitted from; NULL outside of one."),
    Column("git_dirty", "BOOLEAN", "Whether that working tree had changes that were not committed."),
)

RUNS = (
    _ID,
    _RUN,
    Column("reason", "VARCHAR", "Why it began: new, resume, or call (of an idle virtual actor)."),
    Column("started_at", "TIMESTAMP", "When it began, UTC."),
    Column("ended_at", "TIMESTAMP", "When it ended, UTC; NULL while it goes on."),
    Column("outcome", "VARCHAR", "SUCCESSFUL, FAILED, CANCELED, RESUMABLE (its manager was lost) or RUNNING."),
    Column("tasks_run", "BIGINT", "How many tasks had an attempt in it."),
    Column("tasks_reused", "BIGINT", "How many stored outputs it took over from earlier runs."),
    Column("attempts", "BIGINT", "How many attempts it gave to Ray."),
    Column("duration_s", "DOUBLE", "Seconds from its beginning to its end, by the manager's clock."),
    Column("error_type", "VARCHAR", "Type of the error that failed it."),
    Column("error_message", "VARCHAR", "Message of that error."),
)

TASKS = (
    _ID,
    _TASK,
    Column("name", "VARCHAR", "Given or default name without the suffix that makes the id unique."),
    Column("function", "VARCHAR", "Module and qualified name of its function."),
    Column("status", "VARCHAR", "PENDING, RUNNING, RETRYING, SUCCESSFUL, FAILED, CAUGHT, CANCELED or SKIPPED."),
    Column("upstream", "VARCHAR[]", "Ids of the tasks whose outputs it takes, in the order of its arguments."),
    Column("attempts", "BIGINT", "How many attempts it had, over all runs."),
    Column("ready_at", "TIMESTAMP", "When its inputs were first complete and it was given to Ray, UTC."),
    Column("submitted_at", "TIMESTAMP", "When its first attempt was given to Ray, UTC."),
    Column("started_at", "TIMESTAMP", "When its first attempt began, by the worker's clock, UTC."),
    Column("ended_at", "TIMESTAMP", "When its last attempt ended, by the worker's clock, UTC; NULL while one goes on."),
    Column("wait_s", "DOUBLE", "Seconds from ready_at to started_at, from the manager's clock to the worker's."),
    Column("duration_s", "DOUBLE", "Seconds its last successful attempt took, else its last attempt."),
    Column("elapsed_s", "DOUBLE", "Seconds of wall time from started_at to ended_at."),
    Column("output_bytes", "BIGINT", "Size of its pickled output, bytes; NULL for one that returned a continuation."),
    Column("output_repr", "VARCHAR", "Its output as short text, made by the worker."),
    Column("checkpointed", "BOOLEAN", "Whether its output was kept."),
    Column("error_type", "VARCHAR", "Type of its last attempt's error, or of the error it caught."),
    Column("error_message", "VARCHAR", "Message of that error."),
    Column("metadata", "JSON", "The user's metadata, an object."),
    Column("retries", "BIGINT", "How many of its attempts were not the first in their run."),
    Column("creator", "VARCHAR", "The task whose continuation it belongs to."),
    Column("options", "JSON", "What the user said about it, as far as it differs from the defaults."),
    Column("type", "VARCHAR", "function, timer, event, event_checkpointed, wait or actor (a method of one)."),
    Column(
        "due_at",
        "TIMESTAMP",
        "When its timer (or the time of a wait) is over or was, or its scheduled next attempt begins, UTC.",
    ),
    Column("workflow_name", "VARCHAR", "Name of its workflow."),
    Column("defined_seq", "BIGINT", "Seq of its definition: the order in which tasks came to be."),
    *(column._replace(text=column.text.replace("its code", "the code of its last attempt")) for column in _PROGRESS),
    _KEY,
    Column("code_hash", "VARCHAR", "Hash of its function's code alone: comments, layout and arguments do not count."),
)

ATTEMPTS = (
    _ID,
    _RUN,
    _TASK,
    Column("attempt", "INTEGER", "Which try, from 1 in each run."),
    Column("status", "VARCHAR", "PENDING, RUNNING, SUCCESSFUL, FAILED or CANCELED."),
    Column("kind", "VARCHAR", "How it failed: app, system, oom, timeout, lost, canceled or serialization."),
    Column("submitted_at", "TIMESTAMP", "When it was given to Ray, UTC."),
    Column("started_at", "TIMESTAMP", "When user code began, by the worker's clock, UTC."),
    Column("ended_at", "TIMESTAMP", "When user code ended, by the worker's clock, or it was given up, UTC."),
    Column("queue_s", "DOUBLE", "Seconds from submitted_at to started_at, from the manager's clock to the worker's."),
    Column("duration_s", "DOUBLE", "Seconds from started_at to ended_at."),
    Column("output_bytes", "BIGINT", "Size of its pickled output, bytes."),
    Column("node_id", "VARCHAR", "Ray's id of the node it ran on."),
    Column("worker_pid", "INTEGER", "Process id of its worker on that node."),
    Column("ray_task_id", "VARCHAR", "Ray's id of the task that carried it."),
    Column("num_cpus", "DOUBLE", "CPUs it asked for."),
    Column("num_gpus", "DOUBLE", "GPUs it asked for."),
    Column("error_type", "VARCHAR", "Type of its error."),
    Column("error_message", "VARCHAR", "Message of its error."),
    Column("traceback", "VARCHAR", "Traceback of its error, as text."),
    Column("fetch_s", "DOUBLE", "Seconds spent on getting its arguments."),
    Column("checkpoint_s", "DOUBLE", "Seconds spent on storing its output."),
    Column("resources", "JSON", "All it asked of Ray, an object."),
    Column("stdout", "VARCHAR", "The last 64 KiB that a failed attempt printed."),
    Column("stderr", "VARCHAR", "The last 64 KiB of what a failed attempt wrote to stderr."),
    Column("function_hash", "VARCHAR", "Hash of the function body that it ran: which code that was."),
    Column("task_name", "VARCHAR", "Name of its task."),
    Column("task_type", "VARCHAR", "Type of its task: function, timer, event, event_checkpointed, wait or actor."),
    Column("workflow_name", "VARCHAR", "Name of its workflow."),
    Column("submitted_seq", "BIGINT", "Seq of its submission: the order in which attempts were made."),
    *_PROGRESS,
    _KEY._replace(text="As in tasks: what makes attempts at the same task comparable across workflows."),
)

_EXPECTED = (
    Column(
        "eta_p50_at",
        "TIMESTAMP",
        "When it will have ended with a probability of one half, UTC, worked out by the reader from past successful "
        "runs as it reads; NULL where they say too little.",
    ),
    Column("eta_p90_at", "TIMESTAMP", "The same with a probability of nine tenths."),
)

_UNDER_WAY = (
    Column("run", "INTEGER", "The run of the attempt under way; like the columns after it NULL where there is none."),
    Column("attempt", "INTEGER", "Which try that is, from 1 in each run."),
    Column("attempt_started_at", "TIMESTAMP", "When its user code began, by the worker's clock, UTC."),
    Column("node_id", "VARCHAR", "Ray's id of the node it runs on."),
    Column("worker_pid", "INTEGER", "Process id of its worker on that node."),
    Column("ray_task_id", "VARCHAR", "Ray's id of the task that carries it."),
)

EDGES = (
    _ID,
    Column("upstream_task_id", "VARCHAR", "The task the edge leaves."),
    Column("task_id", "VARCHAR", "The task the edge enters."),
    Column(
        "kind",
        "VARCHAR",
        "argument: takes the output as a value; nested: finds it inside a container; waited: may choose it (a wait "
        "does); order: only comes after it (calls of a virtual actor); continuation: from a task to the one whose "
        "output becomes its own; created: from a task to the other sources of the continuation it returned.",
    ),
)

TASK_STATS = (
    Column("workflow_name", "VARCHAR", "Name of the workflows."),
    Column("task_name", "VARCHAR", "Name of the tasks."),
    Column("n", "BIGINT", "How many tasks were tried at least once."),
    Column("fail_rate", "DOUBLE", "Share of them that are FAILED or CAUGHT, 0 to 1."),
    Column("retry_rate", "DOUBLE", "Share of them that needed a second attempt within a run, 0 to 1."),
    Column("duration_s_p50", "DOUBLE", "Median of their duration_s, seconds."),
    Column("duration_s_p95", "DOUBLE", "95th percentile of their duration_s, seconds."),
    Column("duration_s_p99", "DOUBLE", "99th percentile of their duration_s, seconds."),
    Column("queue_s_p95", "DOUBLE", "95th percentile of their attempts' queue_s, seconds."),
    Column("output_bytes_p50", "BIGINT", "Median of their output_bytes, bytes."),
    Column("output_bytes_p99", "BIGINT", "99th percentile of their output_bytes, bytes."),
    Column("output_bytes_sum", "BIGINT", "Their output_bytes, summed, bytes."),
)

_ACTOR = Column("actor_id", "VARCHAR", "Id of the virtual actor, which is the id of its workflow.")

ACTOR_CALLS = (
    _ACTOR,
    Column("task_id", "VARCHAR", "The task that is the call; NULL for a readonly one, which is none."),
    Column("name", "VARCHAR", "Given or default name of the task; the method's for a readonly call."),
    Column("method", "VARCHAR", "Name of the method; __init__ for the construction."),
    Column("kind", "VARCHAR", "writer: one after the other, changes the state; readonly: beside the others."),
    Column("status", "VARCHAR", "As of a task; RUNNING until all that the method returned has ended, too."),
    Column("submitted_at", "TIMESTAMP", "When it was called, UTC; NULL for a readonly call, noted when it ends."),
    Column("started_at", "TIMESTAMP", "When the method first began, by the worker's clock, UTC."),
    Column("ended_at", "TIMESTAMP", "When the method last ended, by the worker's clock, UTC; NULL while it runs."),
    Column("duration_s", "DOUBLE", "Seconds the method took; a workflow that it returned is not counted."),
    Column("attempts", "BIGINT", "How many attempts it had."),
    Column("error_type", "VARCHAR", "Type of its error, or of that of the workflow which it returned."),
    Column("error_message", "VARCHAR", "Message of that error."),
    Column("metadata", "JSON", "The user's metadata of the call, an object."),
    Column("caller", "VARCHAR", "Ray's id of the job that called, where it is known."),
    Column("call_seq", "BIGINT", "Seq of the event that speaks of it first: the order of the calls."),
)

VIRTUAL_ACTORS = (
    _ACTOR,
    Column("class", "VARCHAR", "Module and qualified name of its class."),
    Column("status", "VARCHAR", "As of a workflow: SUCCESSFUL while nothing is to do, RUNNING during a writing call."),
    Column("created_at", "TIMESTAMP", "When the manager accepted its construction, UTC."),
    Column("calls", "BIGINT", "How many calls were made, readonly ones too; its construction is none."),
    Column("readonly_calls", "BIGINT", "How many of them were readonly and have ended."),
    Column("calls_failed", "BIGINT", "How many of them are FAILED; a later call tries a failed writer again first."),
    Column("calls_open", "BIGINT", "How many of them are PENDING, RUNNING or RETRYING."),
    Column("last_call_at", "TIMESTAMP", "When the last of them was made (a readonly one: began), UTC."),
    Column("state_bytes", "BIGINT", "Size of its last committed state, pickled, bytes."),
    Column("state_at", "TIMESTAMP", "When that was committed, UTC."),
    Column("state_seq", "BIGINT", "Seq of the event that committed it."),
    Column("error_type", "VARCHAR", "Type of the error that failed it; NULL unless it is FAILED."),
    Column("error_message", "VARCHAR", "Message of that error."),
    Column("class_hash", "VARCHAR", "Hash of the pickled class."),
)

TIME_SPENT = (
    _ID,
    _RUN,
    _TASK,
    Column("attempt", "INTEGER", "Which try, from 1 in each run."),
    Column("workflow_name", "VARCHAR", "Name of its workflow."),
    Column("task_name", "VARCHAR", "Name of its task."),
    _KEY._replace(text="As in tasks: what makes attempts at the same task comparable across workflows."),
    Column("task_type", "VARCHAR", "Type of its task: function, timer, event, event_checkpointed, wait or actor."),
    Column("status", "VARCHAR", "PENDING, RUNNING, SUCCESSFUL, FAILED or CANCELED."),
    Column(
        "begun_at",
        "TIMESTAMP",
        "From when on it is counted, UTC: of a first attempt the submission of its workflow, in a later run that run's "
        "beginning, of what a continuation added the end of the task that returned it, of an actor's call the call; of "
        "a retry the end of the attempt before.",
    ),
    Column("submitted_at", "TIMESTAMP", "When it was given to Ray, UTC."),
    Column(
        "total_s",
        "DOUBLE",
        "The eight columns that follow, summed, seconds; NULL while it is under way. Where clocks agree, that is the "
        "time from begun_at to ended_at and checkpoint_s.",
    ),
    Column(
        "dependency_s",
        "DOUBLE",
        "Seconds for what it needs of other tasks. The commit with the last of them gives it to Ray at once.",
    ),
    Column("admission_s", "DOUBLE", "Seconds that its workflow was queued for; 0 after the first run has begun."),
    Column("backoff_s", "DOUBLE", "Of a retry, seconds from the end of the attempt before to its submission."),
    Column("ray_queue_s", "DOUBLE", "Seconds from its submission until a worker had it: for resources, for a process."),
    Column("fetch_s", "DOUBLE", "Seconds spent on getting its arguments, also where that failed."),
    Column("user_s", "DOUBLE", "Seconds in user code."),
    Column("waiting_s", "DOUBLE", "Seconds that a timer, an event or a wait took; it holds no worker meanwhile."),
    Column("checkpoint_s", "DOUBLE", "Seconds spent on storing its output, after user code."),
    Column("submitted_seq", "BIGINT", "Seq of its submission: the order in which attempts were made."),
)

#: view -> its columns, in the order in which the views can be made.
VIEWS: dict[str, tuple[Column, ...]] = {
    "events": _event_columns(),
    "attempts": ATTEMPTS,
    "tasks": TASKS,
    "runs": RUNS,
    "workflows": WORKFLOWS,
    "edges": EDGES,
    "task_stats": TASK_STATS,
    "actor_calls": ACTOR_CALLS,
    "virtual_actors": VIRTUAL_ACTORS,
    "time_spent": TIME_SPENT,
    "live_workflows": (*WORKFLOWS, _AS_OF, *_EXPECTED),
    "live_tasks": (*TASKS, _AS_OF, *_UNDER_WAY),
}
