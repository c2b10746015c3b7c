"""`path`: what a workflow waited for, by how much everything else could have been later, and what if."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer

import wfstore
from wfstore import _text as text
from wfstore.answers.spent import PARTS, summed
from wfstore.cli import output
from wfstore.cli.fitting import Column
from wfstore.cli.options import AsJson, Storage, WorkflowId

if TYPE_CHECKING:
    from wfstore import History
    from wfstore.answers.paths_frames import Makespan
    from wfstore.answers.paths_whatif import WhatIf

#: How many of the tasks beside the path are listed, those with the least slack.
_BESIDE = 5


def path(
    workflow_id: WorkflowId,
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            "--what-if", metavar="KEY=FACTOR", help="As if the tasks of this task key took so many times as long."
        ),
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Show the critical path of a workflow, what is next to it, and what the elapsed time went to.

    --what-if may be repeated; KEY is a task key (wfstore show --json has them), or the name or id of a task.
    """
    factors = dict(map(_factor, what_if or []))
    found = wfstore.open(storage).history(workflow_id)
    answer = found.what_if(factors) if factors else None
    if as_json:
        output.document(_document(found, answer))
        return
    output.pairs({"workflow": found.workflow_id, "status": found.status, **facts(found)})
    _tables(found)
    if answer is not None:
        output.heading("What if")
        output.pairs(_changes(answer))


def facts(found: History) -> dict[str, str]:
    """What the elapsed time went to along the critical path, and what the time of all attempts together."""
    table, spent = found.critical_path, found.time_spent
    said = {}
    if not table.is_empty() and found.makespan is not None:
        chain = f"{_tasks(found.makespan.tasks)}, {text.duration(table['path_s'][-1])}"
        elapsed = text.duration(found.makespan.elapsed_s)
        said["critical path"] = f"{chain} of {elapsed}: {_shares(found.makespan)}"
    elif not table.is_empty():
        said["critical path"] = f"{_tasks(table.height)} so far, {text.duration(table['path_s'][-1])}"
    sums = summed(spent).row(0, named=True)
    if sums["total_s"] > 0:
        shares = sorted(((sums[name] / sums["total_s"], words) for name, words in PARTS.items()), reverse=True)
        shown = ", ".join(f"{words} {share:.0%}" for share, words in shares if share >= 0.005)
        attempts = f"{text.number(sums['attempts'])} attempt{'s' * (sums['attempts'] != 1)}"
        said["time of attempts"] = f"{text.duration(sums['total_s'])} in {attempts}: {shown}"
    return said


def _shares(made: Makespan) -> str:
    words = {"code_s": "user code", "waits_s": "waiting", "retries_s": "earlier attempts", "gaps_s": "gaps"}
    shares = [f"{words[name]} {share:.0%}" for name, share in made.shares().items() if abs(share) >= 0.005]
    return ", ".join(shares)


def _tables(found: History) -> None:
    table = found.critical_path
    if table.is_empty():
        return
    output.heading("Critical path")
    numbers = ("duration", "share", "path", "gap before", "earlier attempts")
    columns = [Column("task", keep=True), Column("status"), *(Column(name, right=True) for name in numbers)]
    cells = [
        (
            row["task_id"],
            row["status"],
            text.duration(row["duration_s"]),
            "" if row["share"] is None else f"{row['share']:.0%}",
            text.duration(row["path_s"]),
            text.duration(row["gap_s"]),
            text.duration(row["retried_s"]) if row["retried_s"] else "",
        )
        for row in table.iter_rows(named=True)
    ]
    output.table(columns, cells)
    beside = found.tasks.filter(~pl.col("on_critical_path")).drop_nulls("slack_s").sort("slack_s", maintain_order=True)
    if beside.is_empty():
        return
    output.heading(f"Next to it ({_tasks(beside.height)} with slack)")
    least = beside.head(_BESIDE).select("task_id", "status", "duration_s", "slack_s").rows()
    columns = [Column("task", keep=True), Column("status"), Column("duration", right=True), Column("slack", right=True)]
    output.table(
        columns, [(one, status, text.duration(took), text.duration(slack)) for one, status, took, slack in least]
    )


def _changes(answer: WhatIf) -> dict[str, str]:
    given = ", ".join(f"{key} x {text.decimal(factor)}" for key, factor in answer.factors.items())
    changes = {"workers without end": answer.unlimited}
    if answer.limited is not None:
        changes[f"{text.number(answer.workers)} tasks at a time"] = answer.limited
    said = {
        title: f"{text.duration(one.before_s)} -> {text.duration(one.after_s)} ({_saved(one.saved_s)})"
        for title, one in changes.items()
    }
    ids = answer.path["task_id"].to_list()
    some = " > ".join(ids[:6]) + (f" > ... {len(ids) - 6} more" if len(ids) > 6 else "")
    changed = f"{given}: {answer.changed} of {_tasks(answer.tasks)} change"
    return {"given": changed, **said, "critical path then": some}


def _saved(seconds: float) -> str:
    if not seconds:
        return "nothing saved"
    return f"saves {text.duration(seconds)}" if seconds > 0 else f"{text.duration(-seconds)} longer"


def _tasks(count: int) -> str:
    return f"{text.number(count)} task{'s' * (count != 1)}"


def _document(found: History, answer: WhatIf | None) -> dict[str, Any]:
    made = found.makespan
    names = ("elapsed_s", "tasks", "code_s", "waits_s", "retries_s", "gaps_s")
    tasks = found.tasks.select("task_id", "task_key", "status", "duration_s", "on_critical_path", "slack_s")
    return {
        "workflow_id": found.workflow_id,
        "status": found.status,
        "makespan": None if made is None else {name: getattr(made, name) for name in names},
        "critical_path": found.critical_path.to_dicts(),
        "tasks": tasks.to_dicts(),
        "time_spent": summed(found.time_spent).row(0, named=True),
        "what_if": None if answer is None else answer.to_dict(),
    }


def _factor(given: str) -> tuple[str, float]:
    key, equals, value = given.rpartition("=")
    try:
        if key and equals:
            return key, float(value)
    except ValueError:
        pass
    raise typer.BadParameter(f"{given!r} is not KEY=FACTOR, such as shop.load=0.5", param_hint="--what-if")
