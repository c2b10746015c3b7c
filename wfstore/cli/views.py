"""What `ls`, `show` and `history` (and the demo, at its end) print for people, made of the rows of the read side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wfstore import _text as text
from wfstore.cli import dagtree, details, output
from wfstore.cli.fitting import Column
from wfstore.model.dag import EVENT, FUNCTION, TIMER, WAIT
from wfstore.model.statuses import PENDING, RETRYING, RUNNING

if TYPE_CHECKING:
    from wfstore import History

Row = Mapping[str, Any]

#: How many slow tasks and how many errors `show` lists; `history` has them all.
SLOWEST, ERRORS = 10, 10
_WAITING = frozenset({TIMER, EVENT, WAIT})


def workflows(rows: Sequence[Row], now: datetime | None = None) -> None:
    """The table of `ls`. now: the moment that it is about, where that is a past one."""
    if not rows:
        print("no workflows")
        return
    output.table(
        [
            Column("id", keep=True),
            Column("name", drop=2),
            Column("status", keep=True),
            Column("submitted (UTC)", keep=True, drop=1),
            Column("duration", right=True, keep=True),
            Column("tasks done", right=True, keep=True),
            Column("output size", right=True, keep=True, drop=3),
            Column("error"),
        ],
        [
            (
                row["workflow_id"],
                row["name"] or "",
                row["status"],
                text.clock(row["submitted_at"]),
                spent(row, now),
                f"{text.number(row['tasks_done'])}/{text.number(row['tasks'])}",
                text.size(row["output_bytes"]),
                error(row),
            )
            for row in rows
        ],
    )


def error(row: Row) -> str:
    """ "ValueError: the first line of its message", or nothing."""
    if not row["error_type"]:
        return ""
    return f"{row['error_type']}: {text.first_line(row['error_message'])}".removesuffix(": ")


def spent(row: Row, now: datetime | None = None) -> str:
    """How long its runs took; of one that is still under way, how long ago it began."""
    if row["status"] != RUNNING or row["started_at"] is None:
        return text.duration(row["duration_s"])
    now = now or datetime.now(UTC).replace(tzinfo=None)
    return f"{text.duration((now - row['started_at']).total_seconds())} so far"


def header(found: History, now: datetime | None = None) -> None:
    """Who, what status, since when, how much."""
    output.pairs(facts(found.workflow, found.actor, now))


def facts(row: Row, actor: Row | None = None, now: datetime | None = None) -> dict[str, str]:
    """What `header` says, by what it is about. row: of `workflows`; actor: of `virtual_actors`, where it is one."""
    from wfstore._history import actor_line

    done = f"{text.number(row['tasks_done'])} of {text.number(row['tasks'])} tasks done"
    attempts = f"{text.number(row['attempts'])} attempts, {text.number(row['retries'])} retries"
    said = {
        "workflow": f"{row['workflow_id']}  {row['name'] or ''}",
        "status": row["status"],
        "submitted": f"{text.clock(row['submitted_at'])} UTC",
        "duration": spent(row, now) + (f" in {text.number(row['runs'])} runs" if row["runs"] > 1 else ""),
        "progress": f"{row['progress'] * 100:.0f} %"
        if row["status"] == RUNNING and row["progress"] is not None
        else "",
        "tasks": f"{done}, {text.number(row['tasks_failed'])} failed, {attempts}",
        "virtual actor": actor_line(actor).removeprefix("virtual actor ") if actor else "",
        "output size": text.size(row["output_bytes"]),
        "all outputs": text.size(row["total_output_bytes"]),
        "rerun of": row["rerun_of"] or "",
        "metadata": row["metadata"] if row["metadata"] not in (None, "{}") else "",
        "error": error(row),
    }
    return {key: value for key, value in said.items() if value}


def show(found: History, now: datetime | None = None) -> None:
    """Header, DAG, what the time went to, slowest tasks, errors."""
    from wfstore._history import given
    from wfstore.cli import path

    header(found, now)
    tasks = found.tasks.to_dicts()
    if tasks:
        output.heading("DAG")
        _dag(nodes(tasks, given(found)))
    if spent_on := path.facts(found):
        output.heading("Where the time goes")
        output.pairs(spent_on)
    if slow := slowest(tasks):
        output.heading("Slowest tasks")
        output.table(
            [
                Column("task", keep=True),
                Column("duration", right=True, keep=True),
                Column("waited", right=True, keep=True),
                Column("attempts", right=True),
                Column("output size", right=True, keep=True),
            ],
            [
                (
                    row["task_id"],
                    text.duration(row["duration_s"]),
                    text.duration(row["wait_s"]),
                    text.number(row["attempts"]),
                    text.size(row["output_bytes"]),
                )
                for row in slow
            ],
        )
    _errors(tasks)


def slowest(tasks: Iterable[Row]) -> list[Row]:
    """The tasks that took longest, at most `SLOWEST`; those that only waited are none of them."""
    timed = (row for row in tasks if row["duration_s"] is not None and row["type"] not in _WAITING)
    return sorted(timed, key=lambda row: (-row["duration_s"], row["task_id"]))[:SLOWEST]


def nodes(tasks: Iterable[Row], above: Mapping[str, Sequence[str]]) -> list[dagtree.Node]:
    """The tasks as the drawing wants them. above: task id -> the tasks it hangs on."""
    return [
        dagtree.Node(
            id=row["task_id"],
            name=row["name"],
            status=row["status"],
            upstream=above[row["task_id"]],
            duration_s=row["duration_s"],
            attempts=row["attempts"] or 0,
            creator=row["creator"],
            type="" if row["type"] == FUNCTION else row["type"].replace("_", " "),
            due=_due(row),
            critical=row.get("on_critical_path") or False,
        )
        for row in tasks
    ]


def _due(row: Row) -> str:
    """How far it is or until when it waits, while it does."""
    if row["status"] == RUNNING and row["progress"] is not None:
        return progress(row)
    if row["due_at"] is None or row["status"] not in (PENDING, RUNNING, RETRYING):
        return ""
    return f"{'again at' if row['status'] == RETRYING else 'until'} {text.clock(row['due_at'])} UTC"


def progress(row: Row) -> str:
    """ "40 %: what the task said with it", or nothing."""
    if row["progress"] is None:
        return ""
    return f"{row['progress'] * 100:.0f} %: {text.first_line(row.get('progress_message'))}".removesuffix(": ")


DAG_COLUMNS = (Column("task"), Column("status", keep=True), Column("duration", right=True, keep=True), Column(""))


def _dag(drawn: Sequence[dagtree.Node]) -> None:
    lines = dagtree.draw(drawn)
    output.table(DAG_COLUMNS, [(line.tree, line.status, line.duration, line.note) for line in lines])


def _errors(tasks: Sequence[Row]) -> None:
    failed = [row for row in tasks if row["error_type"]]
    if not failed:
        return
    kinds = Counter(error(row) for row in failed)
    output.heading(f"Errors ({text.number(len(failed))} task{'s' * (len(failed) != 1)})")
    rows = [(row["task_id"], row["status"], text.number(row["attempts"]), error(row)) for row in failed[:ERRORS]]
    output.table([Column("task", keep=True), Column("status", keep=True), Column("attempts"), Column("error")], rows)
    if len(failed) > ERRORS:
        print(f"... and {text.number(len(failed) - ERRORS)} more, {text.number(len(kinds))} different errors in all")


def summary(found: History) -> dict[str, Any]:
    """The document of `show --json`."""
    tasks = [output.opened(row, "metadata") for row in found.tasks.to_dicts()]
    return {
        "workflow": output.opened(found.workflow, "metadata", "versions"),
        "actor": found.actor,
        "task_statuses": dict(Counter(row["status"] for row in tasks)),
        "slowest_tasks": [row["task_id"] for row in slowest(tasks)],
        "failed_tasks": [row["task_id"] for row in tasks if row["error_type"]],
        "tasks": tasks,
        "edges": found.edges.to_dicts(),
    }


def history(found: History, *, with_events: bool) -> None:
    """Runs, tasks, attempts and, if asked for, events: every row, the columns that fit a person's question."""
    frames = {"Runs": (found.runs, _RUNS), "Tasks": (found.tasks, _TASKS), "Attempts": (found.attempts, _ATTEMPTS)}
    if with_events:
        frames["Events"] = (found.events, _EVENTS)
    for title, (frame, names) in frames.items():
        output.heading(f"{title} ({text.number(frame.height)})")
        output.table(
            [
                Column(output.header(name), right=output.is_number(name), keep=name in _KEEP, drop=_DROP.get(name, 0))
                for name in names
            ],
            ([_cell(name, row) for name in names] for row in frame.iter_rows(named=True)),
        )


def _cell(name: str, row: Row) -> str:
    if name == "details":
        return details.of(row["type"], row["attributes"])
    if name == "type" and row["type"] == FUNCTION:
        return ""
    return error(row) if name == "error" else output.fact(name, row[name])


def _listed(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_RUNS = _listed("run reason outcome started_at ended_at duration_s tasks_run tasks_reused error")
_TASKS = _listed("task_id type status attempts duration_s started_at wait_s due_at output_bytes upstream error")
_ATTEMPTS = _listed("run task_id attempt status kind duration_s started_at queue_s output_bytes worker_pid error")
_EVENTS = _listed("seq ts type run task_id attempt status kind bytes details error")
_KEEP = frozenset(
    _listed("task_id status run attempt seq started_at ended_at ts duration_s type wait_s queue_s due_at")
)
#: What a narrow terminal can do without, the last first.
_DROP = {
    name: rank
    for rank, name in enumerate(
        _listed("output_bytes due_at upstream started_at ended_at wait_s queue_s bytes worker_pid kind details"), 1
    )
}
