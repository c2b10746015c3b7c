"""`demo`: run a real workflow on a local Ray, then show its history."""

from __future__ import annotations

import atexit
import math
import secrets
import shlex
import shutil
import tempfile
import time
from concurrent.futures import wait
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import wfstore
from wfstore.cli import cluster, output, progress, views
from wfstore.cli.errors import StoppedError
from wfstore.cli.options import AsJson

if TYPE_CHECKING:
    from wfstore.traces import Trace

FOLDER = "wfstore-demo"


def demo(
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", metavar="URI", help=f"Run there and keep it. Default: ./{FOLDER}, removed at the end."
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace", metavar="FILE", help="Replay this WfFormat 1.5 file instead: its DAG, run times, sizes."
        ),
    ] = None,
    time_scale: Annotated[
        float,
        typer.Option("--time-scale", metavar="X", help="Recorded times and sizes are multiplied by this."),
    ] = 0.001,
    keep: Annotated[bool, typer.Option("--keep", help=f"Keep ./{FOLDER}.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a real workflow on a local Ray, then show its history.

    Without --trace it reads every module of the installed standard library: packages are measured side by side, large
    ones by a continuation, one task fails once and is retried, one always fails and is caught. With --trace each
    recorded task sleeps its scaled run time and returns its scaled output, at most 1 MB.
    """
    recorded = _read(trace, time_scale)
    folder = Path(FOLDER).absolute()
    removed = storage is None and not keep and not folder.exists()
    if removed:
        atexit.register(_remove, folder)  # before Ray is imported: what is registered first runs last
    if storage is not None and "://" in storage:
        from wfstore.log import resolve_storage

        storage = resolve_storage(storage)  # without the secrets that it may hold: it is printed
    place = storage or str(folder)
    began = time.monotonic()
    found, result = _run(place, recorded, time_scale)
    facts = {
        "workflow_id": found.workflow_id,
        "status": found.status,
        "storage": place,
        "kept": not removed,
        "wall_s": round(time.monotonic() - began, 3),
        "result": result,
    }
    if as_json:
        output.document(facts | {"workflow": output.opened(found.workflow, "metadata")})
        return
    _tell(found, facts, storage or f"./{FOLDER}")


def _read(path: Path | None, time_scale: float) -> Trace | None:
    if not math.isfinite(time_scale) or time_scale < 0:
        raise typer.BadParameter("a number that is not negative is expected", param_hint="--time-scale")
    if path is None:
        return None
    from wfstore import traces

    return traces.read(path)


def _run(storage: str, recorded: Trace | None, time_scale: float) -> tuple[wfstore.History, object]:
    """The history of the workflow that ran, and what it returned."""
    workflow_id = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    with cluster.joined(storage), tempfile.TemporaryDirectory(prefix="wfstore-demo-") as scratch:
        from wfstore import workflow
        from wfstore.cli.demo import dags

        if recorded is None:
            name, dag = "standard library", dags.standard_library(str(Path(scratch, "first-attempt")))
        else:
            name, dag = recorded.name, dags.trace_dag(recorded, time_scale)
        with progress.doing("submitting"):
            ending = workflow.run_async(dag, workflow_id=workflow_id, metadata={"name": name}).future()
        store = wfstore.open(storage)
        try:
            progress.follow(store, workflow_id, lambda seconds: bool(wait([ending], timeout=seconds).done))
        except KeyboardInterrupt as stop:
            raise StoppedError(f"workflow {workflow_id} was interrupted") from stop
        result = ending.result()
    return store.history(workflow_id), {"bytes": len(result)} if isinstance(result, bytes) else result


def _tell(found: wfstore.History, facts: dict[str, Any], place: str) -> None:
    views.show(found)
    if isinstance(facts["result"], dict):
        output.heading("Result")
        output.pairs({name.replace("_", " "): output.fact(name, value) for name, value in facts["result"].items()})
    output.heading("Go on with")
    at = f"--storage {shlex.quote(place)}"
    question = (
        "SELECT name, count(*) AS tasks, sum(duration_s) AS seconds FROM tasks GROUP BY name ORDER BY seconds DESC"
    )
    for command in (
        f"wfstore ls {at}",
        f"wfstore history {found.workflow_id} {at}",
        f'wfstore sql "{question}" {at}',
        f"wfstore dashboard {at}",
    ):
        print(f"  {command}")
    if not facts["kept"]:
        print(f"\n{place} is removed now; run `wfstore demo --keep` to go on with it.")


def _remove(folder: Path) -> None:
    """Ray's processes may still be ending, and one of them writes its lease here now and then."""
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)
