"""`ls`, `show` and `history`: what the store says about workflows."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import wfstore
from wfstore.cli import output, past, views
from wfstore.cli.options import AsJson, Storage, WorkflowId
from wfstore.cli.past import AsOf
from wfstore.model.statuses import WORKFLOW_STATUSES


def ls(
    status: Annotated[
        str | None, typer.Option(metavar="S", help=f"Only this status: {', '.join(WORKFLOW_STATUSES)}.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="N", help="Only workflows of this name.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Only those submitted since: an age (7d, 12h, 30m) or a UTC time."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many, the newest.")] = None,
    as_of: AsOf = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """List workflows, newest submitted first."""
    if status is not None and status.upper() not in WORKFLOW_STATUSES:
        raise typer.BadParameter(f"{status!r} is none of {', '.join(WORKFLOW_STATUSES)}", param_hint="--status")
    _check_since(since)
    store = past.opened(storage, as_of)
    frame = store.workflows(status=status.upper() if status else None, name=name, since=since, limit=limit)
    rows = frame.to_dicts()
    if as_json:
        output.document([output.opened(row, "metadata", "versions") for row in rows])
        return
    views.workflows(rows, past.moment(store))


def show(
    workflow_id: WorkflowId,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on as it changes, until it has ended or Ctrl-C.")
    ] = False,
    as_of: AsOf = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Show one workflow: its DAG, its slowest tasks, its errors.

    With --watch a terminal is redrawn in place, and a pipe gets a line for each change (with --json a JSON document).
    """
    now = None
    if watch and as_of is not None:
        raise typer.BadParameter("what has been does not change any more", param_hint="--as-of with --watch")
    if watch:
        from wfstore.cli import watching

        found = watching.watch(wfstore.WorkflowObservability(storage), workflow_id, as_json)
        if as_json:
            return
    else:
        store = past.opened(storage, as_of)
        found, now = store.history(workflow_id), past.moment(store)
    if as_json:
        output.document(views.summary(found))
        return
    views.show(found, now)


def history(
    workflow_id: WorkflowId,
    with_events: Annotated[bool, typer.Option("--events", help="The events too.")] = False,
    as_of: AsOf = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Print all of one workflow: its runs, tasks and attempts."""
    store = past.opened(storage, as_of)
    found = store.history(workflow_id)
    if as_json:
        whole: dict[str, Any] = dict(found.to_dict())
        if not with_events:
            whole.pop("events", None)
        output.document(whole)
        return
    views.header(found, past.moment(store))
    views.history(found, with_events=with_events)


def _check_since(when: str | None) -> None:
    from wfstore.index import filters

    try:
        filters.utc(when)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error
