"""The options that several verbs share, declared once."""

from __future__ import annotations

from typing import Annotated

import typer

Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URI",
        help="The store: a path, or a URI (file, s3, gs, az). Default: $WFSTORE_STORAGE, else $RAY_WORKFLOW_STORAGE, "
        "else <tmp>/ray/workflow_data.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines: times in UTC, durations in seconds.")]
WorkflowId = Annotated[str, typer.Argument(metavar="ID", help="The workflow's id.", show_default=False)]
