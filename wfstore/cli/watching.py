"""`show --watch`: one workflow as it goes on, redrawn in place on a terminal, a line for each change in a pipe."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from wfstore import _text as text
from wfstore._garbage import calm_collector
from wfstore._pace import Pace
from wfstore.cli import dagtree, eta, output, views
from wfstore.model.dag import ACTOR
from wfstore.model.statuses import PENDING, RESUMABLE, RETRYING, RUNNING, WORKFLOW_ACTIVE

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wfstore import History, WorkflowObservability
    from wfstore.answers.eta import Eta

_OPEN = frozenset({PENDING, RUNNING, RETRYING})
#: Time between looks. It grows so that looking takes this share of one processor, but nobody waits longer for news than
#: so long. To be told of changes instead would cost more: one seldom comes alone, and each would be read at once.
_LOOK_EVERY_S, _SHARE, _MOST_REST_S = 1.0, 0.02, 5.0
#: Another manager takes seconds to go on where one has died.
_RESTART_S = 30.0
#: An estimate of the end serves for so long at least; for longer where that would take more than this share.
_ESTIMATE_EVERY_S, _ESTIMATE_SHARE = 2.0, 0.02
#: Of more tasks the critical path is not looked for anew with each look.
_MOST_CRITICAL = 500


class Look(NamedTuple):
    """A workflow at one moment: its row and those of its tasks, as `WorkflowObservability` has them."""

    workflow: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]

    @property
    def status(self) -> str:
        return str(self.workflow["status"])


def watch(observed: WorkflowObservability, workflow_id: str, as_json: bool) -> History:
    """Show it until it has ended, or nobody works on it any more and no other manager goes on with it for a while;
    returns how it stands then. Raises WorkflowNotFoundError."""
    first = _look(observed, workflow_id)
    expected = _Expected(observed)
    if as_json:
        _lines(observed, first, partial(_json_lines, expected=expected))
    elif sys.stdout.isatty():
        _in_place(observed, first, expected)
    else:
        _lines(observed, first, partial(_text_lines, expected=expected))
    return observed.store.history(workflow_id)


def _look(observed: WorkflowObservability, workflow_id: str) -> Look:
    return Look(observed.workflow(workflow_id), observed.tasks(workflow_id))


def _until_its_end(observed: WorkflowObservability, found: Look) -> Iterator[Look]:
    """How it stands, from look to look."""
    if found.status not in WORKFLOW_ACTIVE:
        return
    _behind_what_works()
    calm_collector()
    workflow_id = found.workflow["workflow_id"]
    pace, spent, worked_on_at = Pace(_SHARE, _MOST_REST_S), time.process_time(), time.monotonic()
    while found.status in WORKFLOW_ACTIVE or found.status == RESUMABLE:
        if found.status in WORKFLOW_ACTIVE:
            worked_on_at = time.monotonic()
        elif time.monotonic() - worked_on_at > _RESTART_S:
            return
        time.sleep(_LOOK_EVERY_S)
        pace.rest(_MOST_REST_S)
        found = _look(observed, workflow_id)
        yield found
        pace.spent(time.process_time() - spent)
        spent = time.process_time()


def _behind_what_works() -> None:
    """Whoever watches on the machine where the work is done must not keep it waiting: a processor on which only idle
    work runs counts as free, which one with a nice process does not."""
    os.nice(19)
    if sys.platform != "linux":
        return
    # on Linux all of this is of one thread, and the index has more
    for thread in psutil.Process().threads():
        with suppress(OSError):  # the thread has ended, or a container does not allow it
            os.setpriority(os.PRIO_PROCESS, thread.id, 19)
            os.sched_setscheduler(thread.id, os.SCHED_IDLE, os.sched_param(0))


class _Expected:
    """When the workflow will end, worked out anew every few seconds."""

    def __init__(self, observed: WorkflowObservability) -> None:
        self._observed = observed
        self._next_at = 0.0
        self._found: list[Eta | None] = [None, None]

    def of(self, workflow: Mapping[str, Any]) -> list[Eta | None]:
        """For both of `eta.QUANTILES`."""
        if workflow["status"] != RUNNING:
            return [None, None]
        if time.monotonic() >= self._next_at:
            spent = time.process_time()
            found = self._observed.store.history(workflow["workflow_id"])
            self._found = [found.eta(q) for q in eta.QUANTILES]
            pause = max(_ESTIMATE_EVERY_S, (time.process_time() - spent) / _ESTIMATE_SHARE)
            self._next_at = time.monotonic() + pause
        return self._found


# -- in a pipe --------------------------------------------------------------------------------------------------------


def _lines(observed: WorkflowObservability, first: Look, written: Any) -> None:
    seen: dict[str, str] = {}
    _print(written(first, seen))
    for found in _until_its_end(observed, first):
        _print(written(found, seen))


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _news(found: Look, seen: dict[str, str]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """(task id, its row), and (None, the workflow's row), where something was not seen before."""
    for row in [*found.tasks.values(), found.workflow]:
        task_id = row.get("task_id")
        now = f"{row['status']} {row['progress']} {row.get('progress_message')}"
        if seen.get(task_id or "") != now:
            seen[task_id or ""] = now
            yield task_id, row


def _text_lines(found: Look, seen: dict[str, str], expected: _Expected) -> Iterator[str]:
    for task_id, row in _news(found, seen):
        if task_id is None:
            done = f"{text.number(row['tasks_done'])} of {text.number(row['tasks'])} tasks done"
            said = [row["workflow_id"], row["status"], done, eta.line(expected.of(row)), views.error(row)]
        else:
            spent = text.duration(row["duration_s"])
            said = [f"  {task_id}", row["status"], spent or views.progress(row), views.error(row)]
        yield "  ".join(text.safe(part) for part in said if part)


def _json_lines(found: Look, seen: dict[str, str], expected: _Expected) -> Iterator[str]:
    for task_id, row in _news(found, seen):
        more: dict[str, Any] = {}
        if task_id is None:
            half, most = (None if one is None else one.at for one in expected.of(row))
            more = {"eta_p50_at": half, "eta_p90_at": most}
        yield output.json_line({"kind": "workflow" if task_id is None else "task", **row, **more})


# -- on a terminal ----------------------------------------------------------------------------------------------------


def _in_place(observed: WorkflowObservability, first: Look, expected: _Expected) -> None:
    from rich.live import Live

    screen = output.console()
    picture = _Picture(observed, screen.height, expected)
    with Live(picture.of(first), console=screen, auto_refresh=False, transient=True) as live:
        for found in _until_its_end(observed, first):
            live.update(picture.of(found), refresh=True)


class _Picture:
    """Header and DAG; where there is no room for all of it, the tasks that are under way."""

    def __init__(self, observed: WorkflowObservability, height: int, expected: _Expected) -> None:
        self._observed, self._height, self._expected = observed, height, expected
        # They come with their tasks, and do not change: read anew when there are more of these.
        self._edges: list[dict[str, Any]] = []
        self._above: dict[str, list[str]] = {}

    def of(self, found: Look) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        facts = self._facts(found)
        rows = found.tasks.values()
        room = max(self._height - len(facts) - 4, 3)
        cells = [(line.tree, line.status, line.duration, line.note) for line in dagtree.draw(self._nodes(found))]
        if len(cells) > room:
            under_way = [row for row in rows if row["status"] in _OPEN and row["started_at"] is not None]
            cells = [(row["task_id"], row["status"], "", views.progress(row)) for row in under_way[: room - 1]]
            cells.append((f"... {text.number(len(rows) - len(cells))} more tasks", "", "", ""))
        grid, _ = output.grid(views.DAG_COLUMNS, cells)
        return Group(output.pair_grid(facts), Text(""), grid)

    def _facts(self, found: Look) -> dict[str, str]:
        row = {**found.workflow, "metadata": json.dumps(found.workflow["metadata"] or {}, ensure_ascii=False)}
        is_actor = any(task["type"] == ACTOR for task in found.tasks.values())
        facts = views.facts(row, self._history(row).actor if is_actor else None)
        if said := eta.line(self._expected.of(row)):
            facts["expected end"] = said
        return facts

    def _nodes(self, found: Look) -> list[dagtree.Node]:
        from wfstore._history import given
        from wfstore.answers.paths_frames import Critical

        if not found.tasks.keys() <= self._above.keys():
            history = self._history(found.workflow)
            self._edges, self._above = history.edges.to_dicts(), given(history)
        longest: set[str] = set()
        if len(found.tasks) <= _MOST_CRITICAL:
            longest = set(Critical.of_rows(list(found.tasks.values()), self._edges).ids)
        tasks = [{**row, "on_critical_path": task_id in longest} for task_id, row in found.tasks.items()]
        return views.nodes(tasks, {task_id: self._above.get(task_id, []) for task_id in found.tasks})

    def _history(self, workflow: Mapping[str, Any]) -> History:
        return self._observed.store.history(workflow["workflow_id"])
