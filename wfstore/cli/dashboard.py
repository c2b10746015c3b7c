"""`dashboard`: the web pages and the HTTP API, in the foreground on any store, or on a cluster beside its manager."""

from __future__ import annotations

import importlib.util
import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from wfstore.cli import output
from wfstore.cli.errors import RefusedError
from wfstore.cli.options import AsJson, Storage

if TYPE_CHECKING:
    from wfstore.dashboard.settings import Settings

_NEEDED = ("starlette", "uvicorn", "jinja2", "sse_starlette", "msgspec")


def dashboard(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes a free one.")] = 8266,
    on_ray: Annotated[
        bool, typer.Option("--ray", help="Run it on the cluster, beside the manager, where it can act on workflows.")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            help="What requests must prove. Default: $WFSTORE_DASHBOARD_TOKEN, else one of this user's own, kept in "
            "~/.local/state/wfstore/dashboard-token.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name under which browsers reach it. Can be repeated."),
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Serve the pages and the HTTP API; prints the link that lets a browser in.

    With --ray it goes on after this command has ended, for as long as the cluster does.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise RefusedError(f"the dashboard needs {', '.join(missing)}: pip install 'wfstore[dashboard]'")
    from wfstore.dashboard import settings

    chosen = settings.make(token=token, host=host, port=port, allowed_hosts=allow_host or ())
    if on_ray:
        _on_ray(storage, chosen, as_json)
    else:
        _here(storage, chosen, as_json)


def _here(storage: str | None, chosen: Settings, as_json: bool) -> None:
    from wfstore._observe import WorkflowObservability
    from wfstore.dashboard import server
    from wfstore.dashboard.app import create_app

    observability = WorkflowObservability(storage)
    with server.listen(chosen) as sock:
        port: int = sock.getsockname()[1]
        server.serve(create_app(observability, chosen), sock, lambda: _say(chosen.link(port), as_json))


def _on_ray(storage: str | None, chosen: Settings, as_json: bool) -> None:
    from wfstore.cli import cluster

    with cluster.joined(storage):
        from wfstore.dashboard import host
        from wfstore.engine.dashboard import owns_cluster

        link = host.start(chosen)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    _say(link, as_json)
    if owns_cluster():  # it ends with this process
        ended.wait()


def _say(link: str, as_json: bool) -> None:
    if as_json:
        url, _, token = link.partition("/?token=")
        link = output.json_line({"link": link, "url": url, "token": token})
    print(link, flush=True)
