"""`export`: one workflow of the store, in the format of another system."""

from __future__ import annotations

import json
from typing import Annotated

import typer

import wfstore
from wfstore.cli import formats, output
from wfstore.cli.formats import OutputOption
from wfstore.cli.options import AsJson, Storage, WorkflowId

FORMATS = ("wfformat",)


def export(
    format_: Annotated[
        str, typer.Argument(metavar="FORMAT", help="wfformat: WfFormat 1.5 of wfcommons.org.", show_default=False)
    ],
    workflow_id: WorkflowId,
    target: OutputOption = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Write one workflow as JSON of another system, on stdout or into a file.

    It has the DAG, when and where each task ran, how long it took and the sizes of outputs; no values, no errors. With
    --json and a FILE stdout says what was written.
    """
    if format_ not in FORMATS:
        known = ", ".join(FORMATS)
        raise typer.BadParameter(f"{format_!r} is not known here; what there is: {known}", param_hint="FORMAT")
    from wfstore.exports import to_wfformat

    document = to_wfformat(wfstore.open(storage).history(workflow_id))
    with formats.opened(target) as stream:
        stream.write(json.dumps(document, indent=2, allow_nan=False).encode() + b"\n")
    if as_json and target is not None:
        tasks = len(document["workflow"]["specification"]["tasks"])
        output.document({"workflow_id": workflow_id, "format": format_, "path": str(target), "tasks": tasks})
