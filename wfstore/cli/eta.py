"""`eta`: when a running workflow will end, and what that was computed from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

import wfstore
from wfstore import _text as text
from wfstore.cli import output
from wfstore.cli.options import AsJson, Storage, WorkflowId

if TYPE_CHECKING:
    from wfstore import History
    from wfstore.answers.eta import Eta

QUANTILES = (0.5, 0.9)


def eta(
    workflow_id: WorkflowId,
    q: Annotated[
        list[float] | None,
        typer.Option("--q", metavar="Q", help="End by then with this probability; may be repeated. Default: 0.5, 0.9."),
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Say when a running workflow will end, from its past successful runs and what is left of it.

    Says why not where it does not run, or fewer than five past runs exist.
    """
    wanted = sorted(set(q or QUANTILES))
    if not all(0 < one < 1 for one in wanted):
        raise typer.BadParameter("a probability above 0 and below 1 is needed", param_hint="--q")
    found = wfstore.open(storage).history(workflow_id)
    made = [one for one in (found.eta(one) for one in wanted) if one is not None]
    if as_json:
        output.document(document(found, made))
    elif made:
        output.pairs({"workflow": found.workflow_id, **facts(made)})
    else:
        output.pairs({"workflow": found.workflow_id, "no estimate": found.why_no_eta or ""})


def document(found: History, made: list[Eta]) -> dict[str, Any]:
    """As JSON: `estimates` is empty and `reason` says why where there are none."""
    base = made[0] if made else None
    told = ("now", "runs", "since", "until", "same_dag", "slots")
    return {
        "workflow_id": found.workflow_id,
        "status": found.status,
        "estimates": [{"q": one.q, "at": one.at, "remaining_s": one.remaining_s} for one in made],
        **{name: None if base is None else getattr(base, name) for name in told},
        "reason": None if base is not None else found.why_no_eta,
    }


def facts(made: list[Eta]) -> dict[str, str]:
    """What each line is about -> what it says."""
    said = {f"{one.q * 100:g} % by": f"{text.clock(one.at)} UTC, in {text.duration(one.remaining_s)}" for one in made}
    return {**said, "computed from": basis(made[0])}


def basis(one: Eta) -> str:
    """Which past runs, from when until when."""
    alike = "of the same DAG" if one.same_dag else "of the same name"
    most = "" if one.slots is None else f"; {text.number(one.slots)} tasks at a time"
    return f"{text.number(one.runs)} past runs {alike}, {text.clock(one.since)} to {text.clock(one.until)} UTC{most}"


def line(made: Sequence[Eta | None]) -> str:
    """Those of `QUANTILES` in a few words, where nothing is said otherwise: "" without an estimate."""
    half, most = made
    if half is None or most is None:
        return ""
    runs = f"{text.number(half.runs)} past runs"
    return f"{text.duration(half.remaining_s)} to go (90 %: {text.duration(most.remaining_s)}), from {runs}"
