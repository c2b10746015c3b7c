"""`ray-dashboard`: our route under the port of Ray's own dashboard, put there and taken away when asked."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Step(StrEnum):
    """What to do."""

    install = "install"
    uninstall = "uninstall"


def ray_dashboard(
    step: Annotated[Step, typer.Argument(metavar="install|uninstall", help="Put it there, or take it away.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written or removed.")] = False,
) -> None:
    """Put /api/wfstore/{workflow_id} under the port of Ray's own dashboard, or take it away again.

    One file is written into Ray's package, and nothing of Ray's is changed. Clusters that start afterwards have the
    route. `wfstore dashboard` needs nothing of this.
    """
    from wfstore.engine import raydashboard

    found = raydashboard.place()
    ray = f"Ray {found.ray_version}".strip()
    if step is Step.uninstall:
        if not found.written:
            typer.echo(f"nothing to remove: {ray} has no {found.folder}")
        elif dry_run:
            typer.echo(f"would remove {found.folder}")
        else:
            raydashboard.uninstall()
            typer.echo(f"removed {found.folder}; a head that runs keeps the route until it ends")
        return
    if dry_run:
        typer.echo(f"would {'replace' if found.written else 'write'} {found.path}")
    else:
        raydashboard.install()
        typer.echo(f"wrote {found.path}")
        typer.echo(f"The next `ray start --head` answers {raydashboard.ROUTE} on the dashboard's port, {ray}.")
    if lacking := raydashboard.missing():
        typer.echo(f"Ray's dashboard itself lacks {', '.join(lacking)}: pip install 'ray[default]'", err=True)
