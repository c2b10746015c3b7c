"""The kinds of history files: what a row is, how rows are sorted, how columns are encoded.

Events and packs are the log's rows themselves. The other kinds are facts: rows of the views, one statement each in
`queries/facts/`, true as of the last event of the part that they are in (`as_of`).
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from wfstore.model.events import ACTOR_CREATED, ATTEMPT_SUBMITTED, TASK_CODE_SET, TASK_DEFINED, Event
from wfstore.schema.columns import EVENT_SCHEMA

#: Raised when facts get another column: files of parts with a lower one lack it, and it reads as NULL there.
FACTS_SCHEMA = 3
EVENTS, PACKS, SUPERSEDED, DELETED = "events", "packs", "superseded", "deleted"
WORKFLOWS, RUNS, TASKS, ATTEMPTS, EDGES = "workflows", "runs", "tasks", "attempts", "edges"
ACTOR_CALLS, VIRTUAL_ACTORS = "actor_calls", "virtual_actors"

#: The log's columns without what pack files hold. lag_us: ts - ts_source, instead of `ts_source`; hash_left_out: `hash`
#: stood in the row, of a value that is no file. It can be had from the value, and would weigh more than all else.
EVENTS_SCHEMA = pa.schema(
    [field for field in EVENT_SCHEMA if field.name not in ("payload", "ts_source")]
    + [pa.field("lag_us", pa.int64()), pa.field("hash_left_out", pa.bool_())]
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
    """view: the view whose rows the files hold, None for other facts; sort: column names.

    How columns are encoded, as measured on realistic histories; a dictionary where nothing is said. delta: numbers and
    times close to the row before; split: bytes of the same weight together; plain: what hardly repeats.
    """

    view: str | None
    sort: tuple[str, ...]
    delta: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()


KINDS = {
    EVENTS: Kind(
        None,
        ("workflow_id", "seq"),
        ("seq",),
        ("lag_us", "bytes"),
        ("workflow_id", "ts", "hash", "ray_task_id", "request_id", "attributes"),
    ),
    PACKS: Kind(None, ("workflow_id", "seq"), ("seq",), (), ("workflow_id", "payload", "attributes")),
    WORKFLOWS: Kind(
        "workflows",
        ("workflow_id",),
        ("submitted_at", "started_at", "ended_at"),
        ("duration_us", "submitted_seq", "first_seq", "last_seq", "total_output_bytes"),
        ("workflow_id", "metadata"),
    ),
    RUNS: Kind("runs", ("workflow_id", "run"), ("started_at", "ended_at"), ("duration_us",), ("workflow_id",)),
    TASKS: Kind(
        "tasks",
        ("workflow_id", "defined_seq"),
        ("defined_seq",),
        ("ready_at", "wait_us", "elapsed_us", "idle_us"),
        ("workflow_id", "output_bytes", "output_repr"),
    ),
    ATTEMPTS: Kind(
        "attempts",
        ("workflow_id", "submitted_seq"),
        ("submitted_seq",),
        ("submitted_at", "queue_us", "duration_us"),
        ("workflow_id", "output_bytes", "ray_task_id"),
    ),
    EDGES: Kind("edges", ("workflow_id", "task_id", "upstream_task_id", "kind"), plain=("workflow_id",)),
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
assert set(EVENTS_SCHEMA.names) == {*Event._fields, "lag_us", "hash_left_out"} - {"payload", "ts_source"}
