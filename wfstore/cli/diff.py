"""`diff`: what is not alike in two workflows, or in two runs of one."""

from __future__ import annotations

from typing import Annotated

import typer

import wfstore
from wfstore import _text as text
from wfstore.cli import output
from wfstore.cli.fitting import Column
from wfstore.cli.options import AsJson, Storage

_COLUMNS = [
    Column("task", keep=True),
    Column("changes", keep=True),
    Column("adds", right=True, keep=True),
    Column("duration", right=True, keep=True),
    Column("ratio", right=True, keep=True),
    Column("waited", right=True, drop=3),
    Column("output size", right=True, drop=1),
    Column("ratio", right=True, drop=1),
    Column("attempts", right=True, drop=2),
    Column("status"),
]
_A = Annotated[str, typer.Argument(metavar="A", help="A workflow's id; ID@2 is its run 2 alone.", show_default=False)]
_B = Annotated[str, typer.Argument(metavar="B", help="The one to compare with it.", show_default=False)]


def diff(a: _A, b: _B, storage: Storage = None, as_json: AsJson = False) -> None:
    """Compare two workflows, or two runs of one: tasks added, gone and changed, worst first.

    "adds" is what a task alone adds to the longest path from beginning to end.
    """
    found = wfstore.open(storage).diff(a, b)
    if as_json:
        output.document(found.to_dict())
        return
    print(text.safe(f"{found.a.name} -> {found.b.name}"))
    print(text.safe(found.headline))
    rows = found.cells(found.differing.height)
    if rows:
        print()
        output.table(_COLUMNS, rows)
