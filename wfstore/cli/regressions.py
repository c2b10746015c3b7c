"""`regressions`: what became worse, with what changed then."""

from __future__ import annotations

from typing import Annotated

import typer

import wfstore
from wfstore.cli import output
from wfstore.cli.fitting import Column
from wfstore.cli.options import AsJson, Storage

_COLUMNS = [
    Column("workflow", keep=True),
    Column("task", keep=True),
    Column("measure", keep=True),
    Column("before", right=True, keep=True),
    Column("after", right=True, keep=True),
    Column("ratio (95 %)", right=True, keep=True),
    Column("q", right=True, drop=3),
    Column("n", right=True, drop=4),
    Column("changed (UTC)", drop=1),
    Column("first workflow", drop=2),
    Column("with it", drop=1),
]


def regressions(
    since: Annotated[
        str,
        typer.Option(metavar="WHEN", help="After: an age (7d), a UTC time; or the beginning of a code hash or commit."),
    ] = "7d",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Before: how long before that (28d), or from when; or code. Default: 28d, or all other code.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only workflows submitted before then.", show_default=False)
    ] = None,
    workflow: Annotated[str | None, typer.Option(metavar="N", help="Only workflows of this name.")] = None,
    task: Annotated[str | None, typer.Option(metavar="KEY", help="Only tasks of this task_key.")] = None,
    measure: Annotated[
        str | None, typer.Option(metavar="M", help="Only duration_s, output_bytes, retries or queue_s.")
    ] = None,
    min_ratio: Annotated[float, typer.Option(min=0, metavar="X", help="How many times as much is worse.")] = 1.1,
    least: Annotated[
        int, typer.Option(min=2, metavar="N", help="With fewer workflows on a side nothing is said.")
    ] = 10,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Say what became worse: times, output sizes, retries and waits of tasks, after a moment against before it.

    `wfstore report regressions` gives the same rows in other formats, and takes more parameters.
    """
    from wfstore.answers import regressions as answer

    found = wfstore.open(storage).regressions(
        since,
        baseline,
        min_ratio,
        until=until,
        workflow=workflow,
        task=task,
        measure=measure,
        least=least,
        verdict=answer.ANY,
    )
    worse = found.filter(verdict=answer.WORSE).to_dicts()
    if as_json:
        counts = answer.counts(found)
        output.document({"compared": counts["compared"], "left_out": counts["left_out"], "worse": worse})
        return
    if worse:
        output.table(_COLUMNS, [answer.cells(row) for row in worse])
    elif answer.counts(found)["compared"]:
        print("nothing became worse")
    print(answer.counted(found, least))
