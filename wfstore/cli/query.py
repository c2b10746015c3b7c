"""`sql` and `report`: questions over all workflows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import wfstore
from wfstore import _text as text
from wfstore.cli import formats, past
from wfstore.cli.formats import FormatOption, OutputOption
from wfstore.cli.options import AsJson, Storage
from wfstore.cli.past import AsOf


def sql(
    statement: Annotated[
        str, typer.Argument(metavar="QUERY", help="One SELECT over the views; - reads it from stdin.")
    ],
    as_of: AsOf = None,
    how: FormatOption = None,
    target: OutputOption = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Answer one SQL statement over the whole history.

    The views are workflows, runs, tasks, attempts, edges, events, task_stats, time_spent; `SUMMARIZE tasks` says more.
    """
    chosen = formats.chosen(how, as_json, target)
    answer = past.opened(storage, as_of).sql(sys.stdin.read() if statement == "-" else statement)
    json_columns = [name for name, kind in zip(answer.columns, answer.types, strict=True) if str(kind) == "JSON"]
    formats.write(answer.pl(), chosen, target, json_columns=json_columns)


def report(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Which; without it, list them.", show_default=False)
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            metavar="K=V",
            help="A parameter of the report, as in -p by=user; may be repeated. The list says which there are.",
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Short for --param since=TIME: ISO 8601, or a span such as 7d.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Without NAME: write one page with charts that needs nothing else."),
    ] = None,
    how: FormatOption = None,
    target: OutputOption = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Run a named query over the store, list them, or write a page of the most asked ones.

    The page takes --since and --param since=, until=, workflow=. It needs the extra: pip install 'wfstore[report]'.
    """
    given = _parameters([*(param or []), *([f"since={since}"] if since else [])])
    if html is not None:
        if name or how or target or as_json:
            raise typer.BadParameter("the page takes no NAME and has no other format", param_hint="--html")
        _write_page(html, storage, given)
        return
    chosen = formats.chosen(how, as_json, target)
    store = wfstore.open(storage)
    frame = store.report(name, **given) if name else store.reports()
    formats.write(frame, chosen, target, human=True)
    if name and frame.is_empty():
        typer.echo(f"Nothing to show: {text.safe(_why_nothing(store, name, given))}.", err=True)


def _why_nothing(store: wfstore.Store, report: str, given: dict[str, str]) -> str:
    """What a report without rows says on stderr."""
    from wfstore.index import reports

    name = given.get("workflow")
    if store.workflows(limit=1).is_empty():
        return "the store holds no workflow"
    if name is not None and store.workflows(name=name, limit=1).is_empty():
        return f"no workflow has the name {name!r}"
    told = ", ".join(f"{key}={value}" for key, value in given.items())
    nothing = f"nothing fits {told}" if told else "so far there is nothing that this report is about"
    least = next((param for param in reports.find(report).params if param.name == "min_runs"), None)
    if least is None:
        return nothing
    needed = given.get("min_runs", least.default)
    return f"{nothing}; it is silent, too, where fewer than {needed} came before to compare with (--param min_runs=N)"


def _write_page(target: Path, storage: str | None, given: dict[str, str]) -> None:
    from wfstore.reports import html

    unknown = [name for name in given if name not in ("since", "until", "workflow")]
    if unknown:
        known = "the page takes since, until and workflow"
        raise typer.BadParameter(f"{known}, not {', '.join(unknown)}", param_hint="--param")
    page = html(wfstore.open(storage), **given)
    with formats.opened(target) as stream:
        stream.write(page.encode())


def _parameters(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(f"{item!r} is not K=V", param_hint="--param")
        found[key] = value
    return found
