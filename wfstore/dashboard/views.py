"""What the pages show, asked of the observability: each thing once, and only when a template wants it.

That makes a fragment as cheap as its part of the page.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

from wfstore import draw
from wfstore._estimates import Expected
from wfstore._observe import Page, WorkflowObservability
from wfstore._observe.past import PastObservability
from wfstore.answers.paths_frames import Critical
from wfstore.dashboard import shapes
from wfstore.dashboard.past import AS_OF, moment
from wfstore.dashboard.shapes import Paging, Query, Row
from wfstore.dashboard.spending import Spent, spent, with_begun
from wfstore.dashboard.templating import task_path
from wfstore.errors import TaskNotFoundError
from wfstore.index import catalog
from wfstore.model.statuses import FAILED, RUNNING, TASK_STATUSES, WORKFLOW_STATUSES

WORKFLOWS_A_PAGE, TASKS_A_PAGE, EVENTS_A_PAGE, ERRORS_A_PAGE, ATTEMPTS_A_PAGE = 50, 100, 100, 20, 50
#: Rows of one window of the timeline, and its width in pixels.
TIMELINE_ROWS, TIMELINE_WIDTH = 100, 1380
#: From so many tasks on, a DAG is drawn in groups.
MOST_NODES = 1000
_PATIENCE_S = 1.0


class Rows(NamedTuple):
    """A page of a table."""

    rows: list[Any]
    paging: Paging


class Places:
    """Where nodes were drawn, of the workflows looked at last, so that a DAG that grows keeps its shape."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, tuple[str, ...]], dict[str, tuple[float, float]]] = OrderedDict()

    def get(self, workflow_id: str, opened: tuple[str, ...]) -> Mapping[str, tuple[float, float]] | None:
        with self._lock:
            return self._kept.get((workflow_id, opened))

    def keep(self, workflow_id: str, opened: tuple[str, ...], dag: draw.Dag) -> None:
        found = {key: (box[0], box[1]) for key, box in dag.nodes.items()}
        with self._lock:
            self._kept[workflow_id, opened] = found
            self._kept.move_to_end((workflow_id, opened))
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


class Overview:
    """All workflows that the filters leave."""

    statuses = WORKFLOW_STATUSES

    def __init__(self, observability: WorkflowObservability, query: Query) -> None:
        self.query = query
        self.now = moment(observability)
        self._observability = observability

    @cached_property
    def counts(self) -> dict[str, int]:
        return self._observability.counts()

    @cached_property
    def table(self) -> Rows:
        """Raises ValueError for a filter that cannot be."""
        paging = shapes.paging(self.query, "page", self._answer.total, WORKFLOWS_A_PAGE)
        return Rows(self._answer.rows, paging)

    @cached_property
    def _answer(self) -> Page:
        number = self.query.whole("page", 1, 1)
        found = self._ask(number)
        behind = number > 1 and not found.rows
        return self._ask(max(1, -(-found.total // WORKFLOWS_A_PAGE))) if behind else found

    def _ask(self, number: int) -> Page:
        query = self.query
        order = shapes.ordering(query.one("sort"), shapes.WORKFLOW_ORDERS)
        return self._observability.workflows(
            status=query.all("status") or None,
            name=query.one("name"),
            text=query.one("q"),
            since=query.one("since"),
            until=query.one("until"),
            metadata=shapes.metadata_filter(query.one("metadata")),
            order_by=f"{'-' if order[1] else ''}{order[0]}" if order else None,
            limit=WORKFLOWS_A_PAGE,
            offset=(number - 1) * WORKFLOWS_A_PAGE,
        )

    def prepare(self, table: bool) -> None:
        """Ask now for what a template asks for, the table as well or not. Raises as that does."""
        if table:
            self.table  # noqa: B018 - kept
        self.counts, self.activity  # noqa: B018 - kept

    @cached_property
    def expected(self) -> dict[str, Expected]:
        """When those of the table that run will end, as far as that is worked out already."""
        running = [row["workflow_id"] for row in self._answer.rows if row["status"] == RUNNING]
        return self._observability.expected(running) if running else {}

    @cached_property
    def seq(self) -> int:
        """The last event that the table knows of."""
        return self._answer.as_of_seq

    @cached_property
    def filtered(self) -> bool:
        return any(self.query.one(key) for key in ("status", "name", "q", "since", "until", "metadata"))

    @property
    def _newest(self) -> list[dict[str, Any]]:
        """The workflow that was submitted last."""
        first = self.query.whole("page", 1, 1) == 1 and not (self.filtered or self.query.one("sort"))
        if first and "_answer" in self.__dict__:  # the table begins with it
            return self._answer.rows[:1]
        return self._observability.workflows(limit=1).rows

    @cached_property
    def activity(self) -> shapes.Activity:
        newest = self._newest
        last = max((row[key] for row in newest for key in ("submitted_at", "ended_at") if row[key]), default=None)
        covered = shapes.window(self.query.one("span"), last, self.now)
        given = {
            "begin": covered.begin,
            "until": covered.end,
            "length_s": covered.span.step.total_seconds(),
        }
        asked = catalog.folder("dashboard")["activity"].sql
        return shapes.activity(covered, self._observability.store.sql(asked, given).fetchall())


class Workflow:
    """One workflow, whole. Asking for anything raises WorkflowNotFoundError where there is none."""

    statuses = TASK_STATUSES
    timeline_rows = TIMELINE_ROWS

    def __init__(self, observability: WorkflowObservability, workflow_id: str, query: Query, places: Places) -> None:
        self.workflow_id = workflow_id
        self.query = query
        self.now = moment(observability)
        self._observability = observability
        self._places = places

    @cached_property
    def row(self) -> Row:
        return self._observability.workflow(self.workflow_id)

    @property
    def active(self) -> bool:
        return self.row["status"] in shapes.ACTIVE

    @cached_property
    def elapsed_s(self) -> float | None:
        return shapes.elapsed(self.row, self.now)

    @cached_property
    def by_id(self) -> dict[str, dict[str, Any]]:
        return self._observability.tasks(self.workflow_id)

    @cached_property
    def tasks(self) -> list[dict[str, Any]]:
        return list(self.by_id.values())

    @cached_property
    def attempts(self) -> list[dict[str, Any]]:
        return self._observability.attempts(self.workflow_id)

    @cached_property
    def runs(self) -> list[dict[str, Any]]:
        return self._observability.runs(self.workflow_id)

    @cached_property
    def expected(self) -> Expected | None:
        """When it will end; None where it does not run, or that is being worked out."""
        if not self.active:
            return None
        # A page about the past has no script that would ask again.
        patience_s = _PATIENCE_S if isinstance(self._observability, PastObservability) else 0.05
        return self._observability.expected([self.workflow_id], patience_s=patience_s).get(self.workflow_id)

    @cached_property
    def tally(self) -> list[tuple[str, int]]:
        return shapes.tally(self.tasks)

    @cached_property
    def names(self) -> list[str]:
        """What tasks are called, where that is a short list to choose from."""
        found = sorted({row["name"] for row in self.tasks})
        return found if len(found) <= 200 else []

    @cached_property
    def table(self) -> Rows:
        query = self.query
        found = shapes.chosen(self.with_slack, query.all("task_status"), query.one("task_name"), query.one("task_q"))
        found = shapes.ordered(found, shapes.ordering(query.one("task_sort"), shapes.TASK_ORDERS))
        return _page(query, "tasks_page", found, TASKS_A_PAGE, "#tasks")

    @cached_property
    def errors(self) -> Rows:
        """Failed attempts, the last first."""
        found = [row for row in self.attempts if row["status"] == FAILED][::-1]
        return _page(self.query, "errors_page", found, ERRORS_A_PAGE, "#errors")

    @cached_property
    def attempt_table(self) -> Rows:
        return _page(self.query, "attempts_page", self.attempts[::-1], ATTEMPTS_A_PAGE, "#attempts")

    @cached_property
    def events(self) -> Rows:
        """The last first."""
        return _page(
            self.query,
            "events_page",
            self._observability.events(self.workflow_id)[::-1],
            EVENTS_A_PAGE,
            "#events",
        )

    @cached_property
    def path(self) -> Critical:
        """The critical path; while it runs, the path so far."""
        edges = self._observability.edges(self.workflow_id)
        return Critical.of_rows(self.tasks, edges, self.row["submitted_at"])

    @cached_property
    def critical(self) -> frozenset[str]:
        """Ids of the tasks on it."""
        return frozenset(self.path.ids)

    @cached_property
    def with_slack(self) -> list[dict[str, Any]]:
        """The tasks, with `slack_s`."""
        return [{**row, "slack_s": slack} for row, slack in zip(self.tasks, self.path.slack, strict=True)]

    @cached_property
    def spent(self) -> Spent:
        """What the time of its attempts and its elapsed time went to."""
        return spent(self._observability.time_spent(self.workflow_id), self.path.makespan(self.row))

    @cached_property
    def dag(self) -> draw.Dag:
        opened = tuple(self.query.all("open"))
        drawn = draw.dag(
            self.with_slack,
            critical=self.critical,
            link=self.link,
            group_link=lambda key: self.query.link(open=[*(k for k in opened if k != key), key]) + "#dag",
            most=MOST_NODES,
            opened=opened,
            placed=self._places.get(self.workflow_id, opened),
        )
        self._places.keep(self.workflow_id, opened, drawn)
        return drawn

    @cached_property
    def timeline(self) -> draw.Timeline:
        first = self.query.whole("first", 0)
        return draw.timeline(
            with_begun(self.attempts, self._observability.time_spent(self.workflow_id)),
            now=self.now if self.active else None,
            critical=self.critical,
            link=self.link,
            first=first,
            rows=self.query.whole("rows", TIMELINE_ROWS, 1, 1000),
            width=TIMELINE_WIDTH,
            axis=self.query.one("axis") != "0",
            # one page may hold several windows, and the DAG
            prefix=f"t{first}-",
        )

    @property
    def timeline_legend(self) -> str:
        return draw.legend({}, spent=True, critical=bool(self.critical))

    def link(self, task_id: str) -> str:
        return task_path(self.workflow_id, task_id, **{AS_OF: self.query.one(AS_OF)})

    def task(self, task_id: str) -> Row:
        """Raises TaskNotFoundError."""
        found = self.by_id.get(task_id)
        if found is None:
            raise TaskNotFoundError(self.workflow_id, task_id)
        return found


class Task:
    """One task, whole. Asking for anything raises WorkflowNotFoundError or TaskNotFoundError where there is none."""

    def __init__(self, workflow: Workflow, task_id: str) -> None:
        self.workflow = workflow
        self.task_id = task_id
        self.row = workflow.task(task_id)
        self.options = shapes.readable(self.row["options"])
        self.now = workflow.now

    @cached_property
    def attempts(self) -> list[dict[str, Any]]:
        """The last first."""
        return self.workflow._observability.attempts(self.workflow.workflow_id, self.task_id)[::-1]

    @cached_property
    def upstream(self) -> list[Row]:
        """The tasks whose outputs it takes; one whose row is gone has its id only."""
        by_id = self.workflow.by_id
        return [by_id.get(name, {"task_id": name, "status": "", "name": ""}) for name in self.row["upstream"] or ()]

    @cached_property
    def downstream(self) -> list[Row]:
        return shapes.downstream(self.workflow.tasks, self.task_id)

    @cached_property
    def elapsed_s(self) -> float | None:
        return shapes.elapsed(self.row, self.now)


def _page(query: Query, key: str, found: list[Any], size: int, anchor: str) -> Rows:
    paging = shapes.paging(query, key, len(found), size, anchor)
    return Rows(found[max(0, paging.first - 1) : paging.last], paging)
