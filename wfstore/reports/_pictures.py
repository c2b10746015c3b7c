"""DAG and timeline of the workflow that took longest, as the dashboard draws them."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from wfstore import _text as text
from wfstore import draw
from wfstore._history import given
from wfstore.model.statuses import WORKFLOW_ACTIVE

if TYPE_CHECKING:
    from wfstore._store import Store

#: With more tasks than one of these, the DAG is drawn in groups; the first that keeps it small enough is taken.
_NODES = (60, 0)


class Picture(NamedTuple):
    """`svg`: None where it would be too large for a page; `legend`: SVG, what its shapes and lines mean; `note`: what
    else there is to know, or nothing."""

    title: str
    svg: str | None
    legend: str
    note: str


class Pictures(NamedTuple):
    """Of one workflow: which it is, in a sentence, and how it went."""

    workflow_id: str
    note: str
    pictures: list[Picture]


def slowest(store: Store, now: datetime, most_bytes: int, rows: int, **filters: Any) -> Pictures | None:
    """Of the workflow whose runs took longest; None where none has ended. filters: as of `Store.workflows`;
    most_bytes: of each picture; rows: of the timeline."""
    found = store.workflows(order_by="-duration_s", limit=1, **filters).to_dicts()
    if not found or found[0]["duration_s"] is None:
        return None
    row = found[0]
    history = store.history(row["workflow_id"])
    path = store.report("critical_path", id=row["workflow_id"])["task_id"].to_list()
    above = given(history)
    tasks = [{**task, "upstream": above[task["task_id"]]} for task in history.tasks.iter_rows(named=True)]
    drawn = (draw.dag(tasks, critical=path, most=most) for most in _NODES)
    dag = next((one for one in drawn if len(one.svg.encode()) <= most_bytes), None)
    until = now if row["status"] in WORKFLOW_ACTIVE else None
    attempts = history.attempts.with_columns(history.time_spent["begun_at"]).to_dicts()
    bars = draw.timeline(attempts, now=until, critical=path, rows=rows, prefix="timeline-")
    statuses = dict(Counter(str(task["status"]) for task in tasks).most_common())
    created = any(task["creator"] is not None for task in tasks)
    nodes = draw.legend(statuses, critical=bool(path), created=created)
    spent = draw.legend({}, spent=True, critical=bool(path)) if bars.total_rows else ""
    fits = len(bars.svg.encode()) <= most_bytes
    more = bars.total_rows - bars.shown
    said = f"{text.safe(row['workflow_id'])}, {row['status']}: its runs took {text.duration(row['duration_s'])}."
    grouped = "Tasks of one name are one box." if dag and dag.groups else ""
    return Pictures(
        row["workflow_id"],
        f"{said} Heavy lines are the longest chain of tasks.",
        [
            Picture("Its DAG", dag.svg if dag else None, nodes, grouped),
            Picture(
                "Its timeline",
                bars.svg if fits else None,
                spent,
                f"And {text.number(more)} more tasks." if more else "",
            ),
        ],
    )
