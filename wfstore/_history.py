"""One workflow's whole history: what `Store.history(id)` answers. A snapshot; ask again for what came since."""

from __future__ import annotations

import io
import json
from collections import Counter
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from wfstore.answers.paths_frames import Critical, Makespan
from wfstore.errors import WorkflowNotFoundError
from wfstore.index import Scan, events_frame, shared
from wfstore.model.dag import ACTOR, FUNCTION, ORDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Group, RenderableType
    from rich.table import Table

    from wfstore._past import PastRuns
    from wfstore.answers.eta import Eta, Forecast
    from wfstore.answers.paths_whatif import WhatIf

_JSON_COLUMNS = frozenset({"metadata", "options", "resources", "attributes"})
#: `print(history)` stays a page; the frames have every row.
_SHOWN_TASKS, _SHOWN_ERRORS = 40, 10


class History:
    """Runs, tasks, attempts, edges and events of one workflow, as polars frames with the columns of the SQL views."""

    def __init__(self, workflow_id: str, scan: Scan, past: PastRuns | None = None) -> None:
        """For `Store.history`. past: where an estimate finds past runs. Raises WorkflowNotFoundError when `scan` holds
        no such workflow."""
        self.workflow_id = workflow_id
        self._scan, self._past = scan, past
        self._forecast_made: tuple[datetime | None, Forecast | str] | None = None
        if scan.visible.num_rows == 0:
            raise WorkflowNotFoundError(workflow_id)

    @cached_property
    def _frames(self) -> dict[str, pl.DataFrame]:
        return shared().frames(self._scan)

    @property
    def workflow(self) -> dict[str, Any]:
        """The row of `workflows`."""
        return self._frames["workflows"].row(0, named=True)

    @property
    def status(self) -> str:
        """Where the workflow stands: a plain string."""
        return str(self.workflow["status"])

    @property
    def runs(self) -> pl.DataFrame:
        """The rows of `runs`, in order."""
        return self._frames["runs"]

    @property
    def tasks(self) -> pl.DataFrame:
        """The rows of `tasks`, in the order in which they were defined: upstream first; and two columns more.

        on_critical_path: whether the longest path goes through it; slack_s: seconds by which it could have ended later
        and that path been none longer, None where it has no duration yet.
        """
        return self._critical.tasks

    @cached_property
    def _critical(self) -> Critical:
        return Critical(self._frames["tasks"], self._frames["edges"], self.workflow["submitted_at"])

    @property
    def attempts(self) -> pl.DataFrame:
        """The rows of `attempts`, in the order in which they were submitted."""
        return self._frames["attempts"]

    @property
    def edges(self) -> pl.DataFrame:
        """The rows of `edges`."""
        return self._frames["edges"]

    @cached_property
    def events(self) -> pl.DataFrame:
        """The rows of `events` in log order, those before the id was last deleted included."""
        return events_frame(self._scan)

    @property
    def critical_path(self) -> pl.DataFrame:
        """The longest chain of tasks by the time they took, first to last; while it runs, the longest so far.

        Columns: position, task_id, task_key, task_name, type, status, wait_s, gap_s (from the end of the task before,
        or the workflow's submission, to its first start), retried_s (from there to the start of the attempt that
        counts), duration_s, path_s (length up to its end), share (of the whole length), slack_s. Seconds.
        """
        return self._critical.table

    @property
    def makespan(self) -> Makespan | None:
        """What the elapsed time went to along the critical path; None while the workflow has not ended."""
        return self._critical.makespan(self.workflow)

    def what_if(self, factors: Mapping[str, float]) -> WhatIf:
        """The makespan if some tasks took another time, over the recorded durations: {task_key: what to multiply with}.

        Raises ValueError for a key that no task has, a factor below 0, or where no task has ended.
        """
        from wfstore.answers.paths_whatif import what_if

        return what_if(self._frames["tasks"], self.attempts, self._critical, factors, self.workflow["elapsed_s"])

    @cached_property
    def time_spent(self) -> pl.DataFrame:
        """The rows of `time_spent`: what the time of each attempt went to, in the order of submission."""
        return shared().time_spent(self._scan)

    @cached_property
    def actor(self) -> dict[str, Any] | None:
        """The row of `virtual_actors`, where the workflow is one; else None."""
        if ACTOR not in self._frames["tasks"]["type"]:
            return None
        return shared().actor(self._scan)

    @property
    def summary(self) -> dict[str, Any]:
        """The workflow's row with its metadata as a dict, how many tasks have which status, and the slowest of them."""
        tasks = self._frames["tasks"]
        slowest = tasks.drop_nulls("duration_s").sort("duration_s", descending=True).head(5)
        return {
            **_opened(self.workflow),
            "task_statuses": dict(Counter(tasks["status"].to_list())),
            "slowest_tasks": slowest.select("task_id", "duration_s").to_dicts(),
        }

    def eta(self, q: float = 0.5, *, now: datetime | None = None) -> Eta | None:
        """When it will have ended with probability `q`, from past successful runs and what is left of this one.

        None where it does not run, or past runs say too little: `why_no_eta` says which. now: the moment of these rows,
        UTC; without it that of the first call. Raises ValueError for a `q` that is not above 0 and below 1.
        """
        from wfstore.answers.eta import probability

        probability(q)
        found = self._forecast(now)
        return None if isinstance(found, str) else found.at(q)

    @property
    def why_no_eta(self) -> str | None:
        """One sentence for people where `eta` is None; else None."""
        found = self._forecast(None)
        return found if isinstance(found, str) else None

    def _forecast(self, now: datetime | None) -> Forecast | str:
        from wfstore.answers.eta import forecast_of

        if self._forecast_made is None or self._forecast_made[0] != now:
            self._forecast_made = now, forecast_of(self.workflow, self._frames, self._past, now)
        return self._forecast_made[1]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it: rows as dicts, times as ISO 8601 in UTC, JSON columns as objects."""
        frames = {"runs": self.runs, "tasks": self.tasks, "attempts": self.attempts, "edges": self.edges}
        rows = {name: frame.to_dicts() for name, frame in {**frames, "events": self.events}.items()}
        plain = {name: [_plain(row) for row in found] for name, found in rows.items()}
        return {"workflow_id": self.workflow_id, "status": self.status, "workflow": _plain(self.workflow), **plain}

    def __repr__(self) -> str:
        return f"<History of {self.workflow_id!r}: {self.status}, {self._frames['tasks'].height} tasks>"

    def __str__(self) -> str:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=120, no_color=True, highlight=False).print(self)
        return text.getvalue().rstrip()

    def _repr_html_(self) -> str:
        from wfstore.draw import page

        now = datetime.now(UTC).replace(tzinfo=None)
        above = given(self)
        tasks = [{**row, "upstream": above[row["task_id"]]} for row in self.tasks.iter_rows(named=True)]
        attempts = self.attempts.with_columns(self.time_spent["begun_at"]).to_dicts()
        return page(self.workflow, tasks, attempts, now=now, critical=self._critical.ids)

    def __rich__(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        row = self.workflow
        head = [
            f"{self.workflow_id}  {row['name']}  {row['status']}",
            f"submitted {row['submitted_at']}  took {_seconds(row['duration_s'])} in {row['runs']} run(s)  "
            f"{row['tasks_done']}/{row['tasks']} tasks done, {row['tasks_failed']} failed, {row['retries']} retries",
        ]
        if self.actor:
            head.append(actor_line(self.actor))
        if row["error_type"]:
            head.append(f"{row['failed_task_id']}: {row['error_type']}: {row['error_message']}")
        parts: list[RenderableType] = [Text(_safe(line)) for line in head]
        parts.append(_task_table(self._frames["tasks"], given(self)))
        parts += [Text(_safe(line)) for line in _errors(self.attempts)]
        return Group(*parts)


def actor_line(actor: Mapping[str, Any]) -> str:
    """What a virtual actor is and has done, in one line."""
    counts = {"failed": actor["calls_failed"], "open": actor["calls_open"], "readonly": actor["readonly_calls"]}
    some = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
    state = "no state yet" if actor["state_bytes"] is None else f"state {actor['state_bytes']:,} B"
    return f"virtual actor {actor['class']}  {actor['calls']:,} calls{f' ({some})' if some else ''}  {state}"


def given(history: History) -> dict[str, list[str]]:
    """Task id -> the tasks whose outputs it was given, in the order of its arguments; those that merely came first,
    like the calls of a virtual actor before it, are left out."""
    edges = history.edges
    ordered = set(edges.filter(pl.col("kind") == ORDER).select("upstream_task_id", "task_id").iter_rows())
    if ordered:
        ordered -= set(edges.filter(pl.col("kind") != ORDER).select("upstream_task_id", "task_id").iter_rows())
    rows = history._frames["tasks"].select("task_id", "upstream").iter_rows()
    return {task_id: [name for name in upstream if (name, task_id) not in ordered] for task_id, upstream in rows}


def _task_table(tasks: pl.DataFrame, above: dict[str, list[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    hidden = tasks.height - _SHOWN_TASKS
    table = Table(box=None, pad_edge=False, caption=f"and {hidden} more in .tasks" if hidden > 0 else None)
    typed = any(kind != FUNCTION for kind in tasks["type"].unique())
    titles = ("task", *(("type",) if typed else ()), "status", "attempts", "waited", "took", "output", "after")
    for title in titles:
        table.add_column(title, justify="right" if title in ("attempts", "waited", "took", "output") else "left")
    for row in tasks.head(_SHOWN_TASKS).iter_rows(named=True):
        kind = "" if row["type"] == FUNCTION else row["type"]
        cells = (
            row["task_id"],
            *((kind,) if typed else ()),
            row["status"],
            str(row["attempts"]),
            _seconds(row["wait_s"]),
            _seconds(row["duration_s"]),
            "" if row["output_bytes"] is None else f"{row['output_bytes']:,} B",
            ", ".join(above[row["task_id"]]),
        )
        table.add_row(*(Text(_safe(cell)) for cell in cells))
    return table


def _errors(attempts: pl.DataFrame) -> list[str]:
    failed = attempts.filter(pl.col("status") == "FAILED")
    lines = [
        f"  {row['task_id']}, run {row['run']}, attempt {row['attempt']}: {row['error_type']}: {row['error_message']}"
        for row in failed.tail(_SHOWN_ERRORS).iter_rows(named=True)
    ]
    hidden = failed.height - len(lines)
    more = [f"  and {hidden} earlier ones in .attempts"] if hidden else []
    return ["failed attempts:", *lines, *more] if lines else []


def _safe(text: str) -> str:
    """One line without the control characters with which an error message could repaint the terminal."""
    first = next(iter(text.splitlines()), "")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in first)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.3f} s"


def _opened(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: json.loads(value) if name in _JSON_COLUMNS and isinstance(value, str) else value
        for name, value in row.items()
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: f"{value.isoformat(timespec='microseconds')}Z" if isinstance(value, datetime) else value
        for name, value in _opened(row).items()
    }
