"""`show --watch`: one workflow as it goes on, redrawn in place on a terminal, a line for each change in a pipe."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from wfstore import _text as text
from wfstore._observe.rows import Pace
from wfstore.cli import dagtree, eta, output, views
from wfstore.model.statuses import PENDING, RESUMABLE, RETRYING, RUNNING, WORKFLOW_ACTIVE

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wfstore import History, WorkflowObservability
    from wfstore._observe import Changes
    from wfstore.answers.eta import Eta

#: The status may change without an event, as when the manager is gone: looked at this often.
_LOOK_EVERY_S = 5.0
_OPEN = frozenset({PENDING, RUNNING, RETRYING})
#: Looking is kept to this share of one processor, whatever changes; but nobody waits longer than this for news.
_SHARE, _MOST_REST_S = 0.04, 5.0
#: Another manager takes seconds to go on where one has died.
_RESTART_S = 30.0
#: An estimate of the end serves for so long.
_ESTIMATE_EVERY_S = 2.0


def watch(observed: WorkflowObservability, workflow_id: str, as_json: bool) -> History:
    """Show it until it has ended, or nobody works on it any more and no other manager goes on with it for a while;
    returns how it stands then. Raises WorkflowNotFoundError."""
    cursor = observed.changes(timeout_s=0).cursor
    found = observed.store.history(workflow_id)
    expected = _Expected()
    if as_json:
        _lines(observed, cursor, found, partial(_json_lines, expected=expected))
    elif sys.stdout.isatty():
        _in_place(observed, cursor, found, expected)
    else:
        _lines(observed, cursor, found, partial(_text_lines, expected=expected))
    return observed.store.history(workflow_id)


def _until_its_end(observed: WorkflowObservability, cursor: str, found: History) -> Iterator[tuple[History, Changes]]:
    """What changes, and the whole as it is then."""
    if found.status not in WORKFLOW_ACTIVE:
        return
    _behind_what_works()
    pace, spent, worked_on_at = Pace(_SHARE, _MOST_REST_S), time.process_time(), time.monotonic()
    while found.status in WORKFLOW_ACTIVE or found.status == RESUMABLE:
        if found.status in WORKFLOW_ACTIVE:
            worked_on_at = time.monotonic()
        elif time.monotonic() - worked_on_at > _RESTART_S:
            return
        pace.rest(_MOST_REST_S)
        changes = observed.changes(cursor, timeout_s=_LOOK_EVERY_S, workflow_id=found.workflow_id)
        cursor = changes.cursor
        found = observed.store.history(found.workflow_id)
        yield found, changes
        pace.spent(time.process_time() - spent)
        spent = time.process_time()


def _behind_what_works() -> None:
    """Ray's workers are of niceness 15, and whoever watches them on the same machine must not go before them."""
    os.nice(19)
    # on Linux that was this thread alone, and the index has more
    for thread in psutil.Process().threads():
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, thread.id, 19)


class _Expected:
    """When the workflow will end, worked out anew every few seconds."""

    def __init__(self) -> None:
        self._made_at = -_ESTIMATE_EVERY_S
        self._found: list[Eta | None] = [None, None]

    def of(self, found: History) -> list[Eta | None]:
        """For both of `eta.QUANTILES`."""
        if found.status != RUNNING:
            return [None, None]
        if time.monotonic() - self._made_at >= _ESTIMATE_EVERY_S:
            self._found = [found.eta(q) for q in eta.QUANTILES]
            self._made_at = time.monotonic()
        return self._found


# -- in a pipe --------------------------------------------------------------------------------------------------------


def _lines(observed: WorkflowObservability, cursor: str, found: History, written: Any) -> None:
    seen: dict[str, str] = {}
    _print(written(found, seen))
    for after, _ in _until_its_end(observed, cursor, found):
        _print(written(after, seen))


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _news(found: History, seen: dict[str, str]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """(task id, its row), and (None, the workflow's row), where something was not seen before."""
    for row in [*found.tasks.iter_rows(named=True), found.workflow]:
        task_id = row.get("task_id")
        now = f"{row['status']} {row['progress']} {row.get('progress_message')}"
        if seen.get(task_id or "") != now:
            seen[task_id or ""] = now
            yield task_id, row


def _text_lines(found: History, seen: dict[str, str], expected: _Expected) -> Iterator[str]:
    for task_id, row in _news(found, seen):
        if task_id is None:
            done = f"{text.number(row['tasks_done'])} of {text.number(row['tasks'])} tasks done"
            said = [row["workflow_id"], row["status"], done, eta.line(expected.of(found)), views.error(row)]
        else:
            spent = text.duration(row["duration_s"])
            said = [f"  {task_id}", row["status"], spent or views.progress(row), views.error(row)]
        yield "  ".join(text.safe(part) for part in said if part)


def _json_lines(found: History, seen: dict[str, str], expected: _Expected) -> Iterator[str]:
    for task_id, row in _news(found, seen):
        opened = output.opened(row, "metadata", "options", "progress_metrics")
        if task_id is None:
            half, most = (None if one is None else one.at for one in expected.of(found))
            opened |= {"eta_p50_at": half, "eta_p90_at": most}
        yield output.json_line({"kind": "workflow" if task_id is None else "task", **opened})


# -- on a terminal ----------------------------------------------------------------------------------------------------


def _in_place(observed: WorkflowObservability, cursor: str, found: History, expected: _Expected) -> None:
    from rich.live import Live

    screen = output.console()
    first = _picture(found, screen.height, expected)
    with Live(first, console=screen, auto_refresh=False, transient=True) as live:
        for after, _ in _until_its_end(observed, cursor, found):
            live.update(_picture(after, screen.height, expected), refresh=True)


def _picture(found: History, height: int, expected: _Expected) -> RenderableType:
    """Header and DAG; where there is no room for all of it, the tasks that are under way."""
    from rich.console import Group
    from rich.text import Text

    from wfstore._history import given

    facts = views.facts(found)
    if said := eta.line(expected.of(found)):
        facts["expected end"] = said
    room = max(height - len(facts) - 4, 3)
    rows = found.tasks.to_dicts()
    lines = dagtree.draw(views.nodes(rows, given(found)))
    cells = [(line.tree, line.status, line.duration, line.note) for line in lines]
    if len(cells) > room:
        under_way = [row for row in rows if row["status"] in _OPEN and row["started_at"] is not None]
        cells = [(row["task_id"], row["status"], "", views.progress(row)) for row in under_way[: room - 1]]
        cells.append((f"... {text.number(len(rows) - len(cells))} more tasks", "", "", ""))
    grid, _ = output.grid(views.DAG_COLUMNS, cells)
    return Group(output.pair_grid(facts), Text(""), grid)
