"""A progress bar over a running workflow, on a terminal only; what it shows are rows of the store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wfstore.cli import output
from wfstore.errors import WorkflowNotFoundError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from wfstore import Store

#: Seconds between two looks at the store: a look reads a few new bytes.
_POLL_S = 0.3


def wanted() -> bool:
    """Is somebody looking?"""
    return sys.__stdout__ is not None and sys.__stdout__.isatty() and sys.stderr.isatty()


@contextmanager
def doing(what: str) -> Iterator[None]:
    """A spinner with a line of text while something of unknown length goes on."""
    if not wanted():
        yield
        return
    with output.console(stderr=True).status(what):
        yield


@contextmanager
def steps() -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar for work that says what it does, how much is done, and of how much; None where nobody looks."""
    if not wanted():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=output.console(stderr=True), transient=True) as bar:
        shown = bar.add_task("looking", total=None)
        yield lambda what, done, total: bar.update(shown, description=what, completed=done, total=total)


def follow(store: Store, workflow_id: str, wait: Callable[[float], bool]) -> None:
    """Show the workflow's tasks as they end, until `wait` says it is over; it blocks for at most so many seconds."""
    if not wanted():
        while not wait(_POLL_S):
            pass
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("tasks"))
    with Progress(
        *columns, TimeElapsedColumn(), console=output.console(stderr=True), transient=True, refresh_per_second=5
    ) as bar:
        shown = bar.add_task(workflow_id, total=None)
        while not wait(_POLL_S):
            _update(store, workflow_id, bar, shown)


def _update(store: Store, workflow_id: str, bar: Progress, shown: TaskID) -> None:
    try:
        row = store.history(workflow_id).workflow
    except WorkflowNotFoundError:
        return
    bar.update(shown, completed=row["tasks_done"], total=row["tasks"], description=f"{workflow_id} {row['status']}")
