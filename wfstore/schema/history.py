"""The kinds of history files: what a row is, how rows are sorted, how columns are encoded.

Events and packs are the log's rows themselves. The other kinds are facts: rows of the views, one statement each in
`queries/facts/`, true as of the last event of the part that they are in (`as_of`).
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from wfstore.model.events import ACTOR_CREATED, ATTEMPT_SUBMITTED, TASK_CODE_SET, TASK_DEFINED, Event
from wfstore.schema.columns import EVENT_SCHEMA

EVENTS, PACKS, SUPERSEDED, DELETED = "events", "packs", "superseded", "deleted"
WORKFLOWS, RUNS, TASKS, ATTEMPTS, EDGES = "workflows", "runs", "tasks", "attempts", "edges"
ACTOR_CALLS, VIRTUAL_ACTORS = "actor_calls", "virtual_actors"

#: The log's columns without what pack files hold. hash_left_out: `hash` stood in the row, of a value that is no file. It
#: can be had from the value itself, and would weigh more than all other columns.
EVENTS_SCHEMA = pa.schema(
    [field for field in EVENT_SCHEMA if field.name != "payload"] + [pa.field("hash_left_out", pa.bool_())]
)
#: In these rows `hash` is that of a function body or class, which is a file and shared by many rows.
HASH_OF_CODE = (TASK_DEFINED, TASK_CODE_SET, ATTEMPT_SUBMITTED, ACTOR_CREATED)
#: What users' values stood in a row: the payload, and the whole `attributes` where those held values.
PACKS_SCHEMA = pa.schema(
    [
        pa.field("workflow_id", pa.string()),
        pa.field("seq", pa.int64()),
        pa.field("payload", pa.large_binary()),
        pa.field("attributes", pa.string()),
    ]
)


class Kind(NamedTuple):
    """view: the view whose rows the files hold, None for other facts; sort: column names; delta: whole numbers and
    times that are close to the row before; plain: text that hardly repeats."""

    view: str | None
    sort: tuple[str, ...]
    delta: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()


KINDS = {
    EVENTS: Kind(None, ("workflow_id", "seq"), ("seq", "ts", "ts_source"), ("hash", "ray_task_id", "request_id")),
    PACKS: Kind(None, ("workflow_id", "seq"), ("seq",), ("payload", "attributes")),
    WORKFLOWS: Kind(
        "workflows",
        ("workflow_id",),
        ("submitted_at", "started_at", "ended_at", "duration_us", "submitted_seq", "first_seq", "last_seq"),
        ("workflow_id",),
    ),
    RUNS: Kind("runs", ("workflow_id", "run"), ("started_at", "ended_at", "duration_us")),
    TASKS: Kind(
        "tasks", ("workflow_id", "defined_seq"), ("ready_at", "wait_us", "elapsed_us", "duration_us", "defined_seq")
    ),
    ATTEMPTS: Kind(
        "attempts",
        ("workflow_id", "submitted_seq"),
        ("submitted_at", "queue_us", "duration_us", "submitted_seq"),
        ("ray_task_id",),
    ),
    EDGES: Kind("edges", ("workflow_id", "task_id", "upstream_task_id", "kind")),
    ACTOR_CALLS: Kind("actor_calls", ("workflow_id", "call_seq"), ("submitted_at", "started_at", "ended_at")),
    VIRTUAL_ACTORS: Kind("virtual_actors", ("workflow_id",)),
    # ids with rows in an older part: what older parts say about them is over
    SUPERSEDED: Kind(None, ("workflow_id",)),
    # the last run of ids that were deleted, for those who submit one anew
    DELETED: Kind(None, ("workflow_id",)),
}
#: Those made by `queries/facts/`.
FACTS = tuple(kind for kind in KINDS if kind not in (EVENTS, PACKS))
#: Those that replace rows of a view.
VIEW_KINDS = tuple(kind for kind, entry in KINDS.items() if entry.view is not None)
assert set(EVENTS_SCHEMA.names) == {*Event._fields, "hash_left_out"} - {"payload"}
