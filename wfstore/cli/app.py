"""All verbs in one place, and what every one of them shares: exit codes, one line for a refusal, quiet pipes."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

import wfstore
from wfstore import _text as text
from wfstore.cli import (
    act,
    backup,
    cost,
    dashboard,
    diff,
    eta,
    events,
    exporting,
    importing,
    maintain,
    path,
    query,
    raydashboard,
    read,
    regressions,
)
from wfstore.cli.demo import command as demo_command
from wfstore.cli.errors import StoppedError
from wfstore.errors import WfstoreError, WorkflowNotFoundError

REFUSED, INTERRUPTED = 1, 130
HELP_OPTIONS = ["-h", "--help"]

app = typer.Typer(
    name="wfstore",
    help="Durable workflows on Ray, and their whole history.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": HELP_OPTIONS, "max_content_width": 100},
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "ls": read.ls,
    "show": read.show,
    "history": read.history,
    "tail": events.tail,
    "sql": query.sql,
    "report": query.report,
    "path": path.path,
    "cost": cost.cost,
    "regressions": regressions.regressions,
    "diff": diff.diff,
    "eta": eta.eta,
    "dashboard": dashboard.dashboard,
    "demo": demo_command.demo,
    "import": importing.import_,
    "export": exporting.export,
    "resume": act.resume,
    "rerun": act.rerun,
    "cancel": act.cancel,
    "delete": act.delete,
    "verify": maintain.verify,
    "stats": maintain.stats,
    "compact": maintain.compact,
    "retain": maintain.retain,
    "backup": backup.backup,
    "restore": backup.restore,
    "ray-dashboard": raydashboard.ray_dashboard,
}
for verb, command in _COMMANDS.items():
    app.command(verb)(command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wfstore {wfstore.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Durable workflows on Ray, and their whole history."""


def run(arguments: list[str]) -> int:
    """The exit code of one command. For the main thread."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # a second one for the same Ctrl-C, as watchfiles listens for it beside Python
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        complain("interrupted")
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal of another encoding shows escapes instead of a traceback
            stream.reconfigure(errors="backslashreplace")
    # Where the default storage lies is in every verb's help, and a reader makes nothing there that could be lost.
    warnings.filterwarnings("ignore", message="No storage was named")
    try:
        app(args=arguments, prog_name="wfstore")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if code == INTERRUPTED:
            complain("interrupted")
        return _flushed(code)
    except StoppedError as stop:
        complain(_line(stop))
        return INTERRUPTED
    except (WfstoreError, OSError, ValueError, RuntimeError) as error:
        complain(_line(error))
        return _flushed(REFUSED)
    return _flushed(0)


def complain(message: str) -> None:
    """One line on stderr."""
    typer.echo(f"wfstore: {text.safe(message)}", err=True)


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    said = " ".join(str(error).split()) or type(error).__name__
    return f"{said} `wfstore ls` lists those there are." if isinstance(error, WorkflowNotFoundError) else said


def _flushed(code: int) -> int:
    """A reader that went away (`| head`) is no error of ours, and must not become noise at exit either."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
