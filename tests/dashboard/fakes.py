"""A `WorkflowObservability` in memory, and servers over it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, NoReturn

import httpx

from wfstore import errors
from wfstore._estimates import Expected
from wfstore._observe import Changes, Page
from wfstore.dashboard.app import create_app
from wfstore.dashboard.server import Background, listen
from wfstore.dashboard.settings import Settings

TOKEN = "t0ken-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ACTION = {**BEARER, "X-Wfstore-Action": "1"}
T0 = datetime(2026, 1, 2, 3, 4, 5, 678000)
Row = dict[str, Any]


def workflow_row(workflow_id: str, status: str = "RUNNING", **more: Any) -> Row:
    return {
        "workflow_id": workflow_id,
        "name": "shop",
        "status": status,
        "submitted_at": T0,
        "ended_at": None,
        "duration_s": 1.5,
        "tasks": 3,
        "metadata": {"team": "data"},
        "origin": "store",
        "as_of_seq": 7,
        **more,
    }


def task_row(workflow_id: str, task_id: str, status: str = "SUCCESSFUL", **more: Any) -> Row:
    return {
        "workflow_id": workflow_id,
        "task_id": task_id,
        "name": task_id,
        "status": status,
        "upstream": [],
        "submitted_at": T0,
        "duration_s": 0.25,
        "metadata": {},
        "progress_metrics": None,
        "origin": "store",
        "as_of_seq": 7,
        **more,
    }


class NoStore:
    """What lies behind rows in dictionaries."""

    def __getattr__(self, name: str) -> NoReturn:
        raise errors.StorageError("memory", f"there is no {name}: no store lies behind these rows")


class FakeObservability:
    """Rows in dictionaries; `say` makes changes; cursors are "c<number>", known as far back as `kept`."""

    def __init__(self, *, live: bool = True) -> None:
        self.live = live
        self.rows: dict[str, Row] = {name: workflow_row(name, status) for name, status in _AT_FIRST.items()}
        self.task_rows: dict[str, dict[str, Row]] = {
            name: {task: task_row(name, task) for task in ("list", "map", "total")} for name in self.rows
        }
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.actions: list[tuple[Any, ...]] = []
        self.calls = 0
        self.expecting = 0
        self.failing: Exception | None = None
        self.said: list[tuple[list[Row], list[Row], list[str]]] = []
        self.kept = 0
        self.estimates: dict[str, Expected] = {}
        self.behind = 7
        self.store: Any = NoStore()
        self._news = threading.Condition()

    # -- questions ------------------------------------------------------------------------------------------------

    def why_not_live(self) -> str:
        return "" if self.live else "No manager of this storage runs; start one with `wfstore dashboard --ray`."

    def expect_changes(self) -> None:
        self.expecting += 1

    def workflows(self, **filters: Any) -> Page:
        self.asked.append(("workflows", filters))
        if filters["order_by"] and filters["order_by"] != ["-name"]:
            raise ValueError(f"there is no column {filters['order_by'][0]!r}")
        rows = [row for row in self.rows.values() if filters["status"] in (None, [row["status"]])]
        end = None if filters["limit"] is None else filters["offset"] + filters["limit"]
        return Page(rows[filters["offset"] : end], len(rows), 7)

    def workflow(self, workflow_id: str) -> Row:
        if workflow_id not in self.rows:
            raise errors.WorkflowNotFoundError(workflow_id)
        return self.rows[workflow_id]

    def tasks(self, workflow_id: str) -> dict[str, Row]:
        self.workflow(workflow_id)
        return self.task_rows[workflow_id]

    def attempts(self, workflow_id: str, task_id: str | None = None) -> list[Row]:
        self.workflow(workflow_id)
        rows = [{**row, "run": 1, "attempt": 1} for row in self.task_rows[workflow_id].values()]
        return [row for row in rows if task_id in (None, row["task_id"])]

    def runs(self, workflow_id: str) -> list[Row]:
        return [{"workflow_id": self.workflow(workflow_id)["workflow_id"], "run": 1, "reason": "new"}]

    def events(self, workflow_id: str, *, after_seq: int = 0, limit: int | None = None) -> list[Row]:
        self.workflow(workflow_id)
        rows = [{"seq": seq, "type": "task.ready", "ts": T0, "attributes": {"a": 1}} for seq in range(1, 8)]
        return [row for row in rows if row["seq"] > after_seq][:limit]

    def counts(self) -> dict[str, int]:
        return {"RUNNING": 1, "FAILED": 0}

    def expected(self, workflow_ids: Collection[str]) -> dict[str, Expected]:
        return {name: self.estimates[name] for name in workflow_ids if name in self.estimates}

    # -- changes --------------------------------------------------------------------------------------------------

    def say(
        self, workflows: list[Row] | None = None, tasks: list[Row] | None = None, deleted: list[str] | None = None
    ) -> str:
        """Something changes; returns the cursor behind it."""
        with self._news:
            self.said.append((workflows or [], tasks or [], deleted or []))
            self._news.notify_all()
            return f"c{len(self.said)}"

    def changes(self, since: str | None = None, *, timeout_s: float = 10.0, workflow_id: str | None = None) -> Changes:
        self.calls += 1
        with self._news:
            if self.failing is not None:
                raise self.failing
            at = len(self.said) if since is None else _place(since)
            if since is None or at < self.kept or at > len(self.said):
                return self._answer(at, since is not None)
            self._news.wait_for(lambda: len(self.said) > at, timeout_s)
            return self._answer(at, at < self.kept)

    def _answer(self, at: int, resync: bool) -> Changes:
        workflows: dict[str, Row] = {}
        tasks: dict[tuple[str, str], Row] = {}
        deleted: list[str] = []
        for some, others, gone in [] if resync else self.said[at:]:
            workflows.update((row["workflow_id"], row) for row in some)
            tasks.update(((row["workflow_id"], row["task_id"]), row) for row in others)
            deleted += gone
        now = len(self.said)
        rows = list(workflows.values()), list(tasks.values())
        return Changes(f"c{now}", self.behind + now, resync, *rows, deleted)

    # -- actions --------------------------------------------------------------------------------------------------

    def _act(self, action: str, workflow_id: str, **facts: Any) -> None:
        if not self.live:
            raise errors.ManagerLostError("/store", self.why_not_live())
        self.workflow(workflow_id)
        self.actions.append((action, workflow_id, facts))

    def cancel(self, workflow_id: str, **facts: Any) -> None:
        self._act("cancel", workflow_id, **facts)
        status = self.rows[workflow_id]["status"]
        if status in ("SUCCESSFUL", "FAILED"):
            raise errors.WorkflowError(workflow_id, f"workflow {workflow_id} is {status}: there is nothing to cancel")
        if status == "RUNNING":
            self.rows[workflow_id]["status"] = "CANCELED"

    def resume(self, workflow_id: str, **facts: Any) -> None:
        if self.live and self.workflow(workflow_id)["status"] == "CANCELED":
            raise errors.WorkflowNotResumableError(workflow_id)
        self._act("resume", workflow_id, **facts)
        self.rows[workflow_id]["status"] = "RUNNING"

    def rerun(self, workflow_id: str, **facts: Any) -> str:
        self._act("rerun", workflow_id, **facts)
        self.rows["again"] = workflow_row("again", "PENDING")
        return "again"

    def delete(self, workflow_id: str, **facts: Any) -> None:
        if self.live and self.workflow(workflow_id)["status"] == "RUNNING":
            raise errors.WorkflowStillActiveError("delete", workflow_id)
        self._act("delete", workflow_id, **facts)
        del self.rows[workflow_id]

    def bulk(self, action: str, *, dry_run: bool, **facts: Any) -> list[Row]:
        self.asked.append(("bulk", {"action": action, "dry_run": dry_run, **facts}))
        rows = self.workflows(status=facts["status"], order_by=None, limit=None, offset=0).rows
        refused = None if self.live else self.why_not_live()
        return [
            {"workflow_id": row["workflow_id"], "status": row["status"], "done": not dry_run, "error": refused}
            for row in rows
        ]


_AT_FIRST = {"good": "SUCCESSFUL", "open": "RUNNING", "bad": "FAILED", "a/tasks": "FAILED", "50%2F é?#<b>": "FAILED"}


def _place(cursor: str) -> int:
    if not cursor.startswith("c") or not cursor[1:].isdecimal():
        raise ValueError(f"{cursor!r} is no cursor")
    return int(cursor[1:])


class Running:
    """A server on a free port, and what asks it."""

    def __init__(self, observability: FakeObservability, **settings: Any) -> None:
        self.observability = observability
        self.settings = Settings(TOKEN, port=0, **settings)
        self.app = create_app(observability, self.settings)  # type: ignore[arg-type]
        self._server = Background(self.app, listen(self.settings))
        self.port = self._server.port
        self.url = f"http://127.0.0.1:{self.port}"
        self._server.start()

    def get(self, path: str, headers: Mapping[str, str] = BEARER) -> httpx.Response:
        return httpx.get(self.url + path, headers=dict(headers))

    def stop(self) -> None:
        self._server.stop()


@contextlib.contextmanager
def running(observability: FakeObservability | None = None, **settings: Any) -> Iterator[Running]:
    server = Running(observability or FakeObservability(), **settings)
    try:
        yield server
    finally:
        server.stop()


def until(condition: Any, what: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.01)
