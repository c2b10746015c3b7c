"""`import`: histories that another system wrote, into a store."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfstore import _text as text
from wfstore.cli import output, progress
from wfstore.cli.errors import RefusedError
from wfstore.cli.options import AsJson, Storage

if TYPE_CHECKING:
    from wfstore.imports import ImportReport

FORMATS = ("ray-workflow", "wfformat")
_SHOWN = 20


def import_(
    format_: Annotated[
        str, typer.Argument(metavar="FORMAT", help=f"What wrote it: {' or '.join(FORMATS)}.", show_default=False)
    ],
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="ray-workflow: path or URI (s3://, gs://, ...) of the storage that ray.init(storage=) named. "
            "wfformat: one or more files.",
            show_default=False,
        ),
    ],
    workflow_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="wfformat, one file: the workflow's id; default: the file's name."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read everything, write nothing.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Import the workflows of another system. What the store has already is left as it is.

    ray-workflow: modules that unfinished workflows need are looked for in the current folder too. Exit code 1 when a
    workflow could not be read; the others are imported.
    """
    if format_ not in FORMATS:
        known = ", ".join(FORMATS)
        raise typer.BadParameter(f"{format_!r} is not known here; what there is: {known}", param_hint="FORMAT")
    if workflow_id is not None and (format_ != "wfformat" or len(paths) > 1):
        raise typer.BadParameter("names the workflow of one WfFormat file", param_hint="--id")
    with _bar() as show:
        if format_ == "wfformat":
            from wfstore.imports import import_wfformat

            report = import_wfformat(paths, storage, workflow_id=workflow_id, dry_run=dry_run, progress=show)
        else:
            report = _ray_workflow(paths, storage, dry_run, show)
    _tell(report, as_json)


def _tell(report: ImportReport, as_json: bool) -> None:
    """Raises RefusedError when something could not be imported."""
    if as_json:
        output.document(_document(report))
    else:
        _print(report)
    if report.broken:
        count = len(report.broken)
        raise RefusedError(f"{count} workflow{'s' * (count != 1)} could not be imported")


def _ray_workflow(
    paths: list[str], storage: str | None, dry_run: bool, show: Callable[[int, int], None] | None
) -> ImportReport:
    if len(paths) != 1:
        raise typer.BadParameter("ray-workflow: one storage at a time", param_hint="PATH")
    from wfstore.imports import import_ray_workflow

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return import_ray_workflow(paths[0], storage, dry_run=dry_run, progress=show)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None] | None]:
    """Shows how far it is, on a terminal. What code in pickles prints goes to stderr: stdout is for the answer."""
    import contextlib

    if not progress.wanted():
        with contextlib.redirect_stdout(sys.stderr):
            yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TextColumn("workflows"))
    with (
        Progress(*columns, TimeElapsedColumn(), console=output.console(stderr=True), transient=True) as bar,
        contextlib.redirect_stdout(sys.stderr),
    ):
        shown = bar.add_task("", total=None)
        yield lambda done, total: bar.update(shown, completed=done, total=total)


def _document(report: ImportReport) -> dict[str, Any]:
    rows = ("imported", "broken", "not_resumable", "notes")
    return {**dataclasses.asdict(report), **{name: [row._asdict() for row in getattr(report, name)] for name in rows}}


def _print(report: ImportReport) -> None:
    what = "would import" if report.dry_run else "imported"
    by_status = ", ".join(f"{text.number(count)} {status}" for status, count in report.statuses.items())
    many = len(report.imported)
    print(f"{what} {text.number(many)} workflow{'s' * (many != 1)}{f' ({by_status})' if by_status else ''}")
    print(f"from {text.safe(report.source)} into {text.safe(report.storage)}")
    if report.existing:
        print(f"left as they are, because the store has their ids: {_names(report.existing)}")
    _list("could not be imported", report.broken)
    _list("imported, but a resume would fail", report.not_resumable)
    _list("notes", report.notes)


def _names(ids: list[str]) -> str:
    shown = ", ".join(text.safe(name) for name in ids[:_SHOWN])
    return shown + (f" and {text.number(len(ids) - _SHOWN)} more" if len(ids) > _SHOWN else "")


def _list(title: str, problems: list[Any]) -> None:
    if problems:
        print(f"{title}:")
    for problem in problems:
        print(f"  {text.safe(problem)}")
