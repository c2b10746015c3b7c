"""`resume`, `rerun`, `cancel` and `delete`: the verbs that need a cluster.

They start a local Ray where none is running.
"""

from __future__ import annotations

import sys
import time
from enum import Enum
from typing import Annotated

import typer

import wfstore
from wfstore import _text as text
from wfstore.cli import cluster, output, progress, views
from wfstore.cli.errors import RefusedError, StoppedError
from wfstore.cli.options import AsJson, Storage, WorkflowId
from wfstore.model.statuses import CANCELED, FAILED, SUCCESSFUL, WORKFLOW_ACTIVE


class Code(str, Enum):  # noqa: UP042 - typer takes these
    """Which function bodies a resume runs."""

    STORED = "stored"
    CURRENT = "current"


def resume(
    workflow_id: WorkflowId,
    code: Annotated[
        Code, typer.Option(help="Run the functions as they were submitted, or as their modules define them now.")
    ] = Code.STORED,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Resume a workflow and wait for its end. Finished tasks do not run again.

    Modules that its tasks import are looked for in the current folder too.
    """
    store = _known(storage, workflow_id)
    before = store.history(workflow_id).status
    if before == CANCELED:
        raise RefusedError(f"workflow {workflow_id} is CANCELED and cannot be resumed")
    if before != SUCCESSFUL:
        with cluster.joined(storage):
            _observed(storage).resume(workflow_id, code=code.value)
            _wait(store, workflow_id)
    _ended(store, workflow_id, as_json)


def rerun(workflow_id: WorkflowId, storage: Storage = None, as_json: AsJson = False) -> None:
    """Run a workflow's DAG again, with the same inputs, under a new id, and wait for its end.

    Modules that its tasks import are looked for in the current folder too.
    """
    store = _known(storage, workflow_id)
    if store.history(workflow_id).actor is not None:
        raise RefusedError(f"{workflow_id} is a virtual actor: only workflows can be run again")
    with cluster.joined(storage):
        new_id = _observed(storage).rerun(workflow_id)
        _wait(store, new_id)
    _ended(store, new_id, as_json)


def _wait(store: wfstore.Store, workflow_id: str) -> None:
    from wfstore import workflow

    def over(seconds: float) -> bool:
        time.sleep(seconds)
        return workflow.get_status(workflow_id) not in WORKFLOW_ACTIVE

    try:
        progress.follow(store, workflow_id, over)
    except KeyboardInterrupt as stop:
        raise StoppedError(f"no longer waiting; `wfstore resume {workflow_id}` goes on where it stands") from stop


def _ended(store: wfstore.Store, workflow_id: str, as_json: bool) -> None:
    """Say how it stands; anything but SUCCESSFUL is refused."""
    found = store.history(workflow_id)
    if as_json:
        output.document(output.opened(found.workflow, "metadata"))
    else:
        views.header(found)
    if found.status != SUCCESSFUL:
        raise RefusedError(f"workflow {workflow_id} ended {found.status}: {views.error(found.workflow)}".rstrip(": "))


def cancel(workflow_id: WorkflowId, storage: Storage = None, as_json: AsJson = False) -> None:
    """Cancel a workflow, running or not.

    It cannot be resumed afterwards.
    """
    store = _known(storage, workflow_id)
    before = store.history(workflow_id).status
    if before in (SUCCESSFUL, FAILED):
        raise RefusedError(f"workflow {workflow_id} is {before}: there is nothing to cancel")
    if before == CANCELED:
        _said(workflow_id, before, as_json)
        return
    with cluster.joined(storage), progress.doing("canceling"):
        _observed(storage).cancel(workflow_id)
    _said(workflow_id, CANCELED, as_json)


def delete(
    workflow_id: WorkflowId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Delete a workflow and its history. Asks first on a terminal."""
    _known(storage, workflow_id)
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        question = f"Delete workflow {text.safe(workflow_id)} and everything known about it?"
        if not typer.confirm(question, err=True):
            raise RefusedError(f"workflow {workflow_id} is not deleted")
    with cluster.joined(storage), progress.doing("deleting"):
        _observed(storage).delete(workflow_id)
    _said(workflow_id, "DELETED", as_json)


def _observed(storage: str | None) -> wfstore.WorkflowObservability:
    """Its actions are events that say who asked."""
    return wfstore.WorkflowObservability(storage, live=True)


def _known(storage: str | None, workflow_id: str) -> wfstore.Store:
    """The store, once it is known to have that workflow: nobody waits for a cluster to learn that it does not."""
    store = wfstore.open(storage)
    store.history(workflow_id)
    return store


def _said(workflow_id: str, status: str, as_json: bool) -> None:
    if as_json:
        output.document({"workflow_id": workflow_id, "status": status})
    else:
        print(f"{text.safe(workflow_id)}  {status}")
