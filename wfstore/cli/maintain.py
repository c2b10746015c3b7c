"""`verify`, `stats`, `compact` and `retain`: is the store sound, how large is it, and how does it stay small."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any

import typer

import wfstore
from wfstore import _text as text
from wfstore.cli import output, progress
from wfstore.cli.errors import RefusedError
from wfstore.cli.options import AsJson, Storage
from wfstore.index.retention import NoPolicyError
from wfstore.log import Problem, VerifyReport

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Cut a torn tail off the newest segment, keeping a copy.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only whether bytes are what was written; no replay, no SQL.")
    ] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of the store, and that log, history files, a replay and SQL say the same.

    It changes nothing, and may run beside a manager. --repair settles only what a crash can leave behind.
    Exit code 1 when something is wrong that was not repaired.
    """
    with progress.steps() as show:
        found = wfstore.open(storage).verify(repair, replay=not quick, progress=show)
    if as_json:
        output.document(_report(found))
    else:
        for problem in found.repaired:
            print(f"repaired: {text.safe(problem)}")
        for problem in found.problems:
            _explain(problem)
    if not found.ok:
        count = len(found.problems)
        settled = sum(problem.repairable for problem in found.problems)
        advice = f"; `wfstore verify --repair` settles {settled} of them" if settled else ""
        raise RefusedError(f"{count} problem{'s' * (count != 1)} found{advice}")
    if not as_json:
        _say_all_is_well(found)


def _report(found: VerifyReport) -> dict[str, Any]:
    values = {**dataclasses.asdict(found)}
    for name in ("problems", "repaired"):
        values[name] = [problem.as_dict() for problem in getattr(found, name)]
    return {"ok": found.ok, **values}


def _explain(problem: Problem) -> None:
    """What and where; what it concerns, and since when; what to do."""
    print(text.safe(problem))
    since = []
    if problem.since_seq is not None:
        since.append(f"since event {text.number(problem.since_seq)}")
    if problem.since is not None:
        since.append(f"{text.clock(problem.since)} UTC")
    if problem.concerns or since:
        print(f"    concerns: {text.safe('; '.join(filter(None, [problem.concerns, ', '.join(since)])))}")
    print(f"    to do: {problem.advice}")


def _say_all_is_well(found: VerifyReport) -> None:
    checked = f"{text.number(found.events)} events in {text.number(found.segments)} segments"
    history = f", {text.number(found.history_events)} in {text.number(found.history_files)} history files"
    payloads = f", {text.number(found.payloads)} payload files"
    print(f"ok: {checked}{history if found.history_files else ''}{payloads}, {text.size(found.bytes)} of log")
    if found.replayed:
        rows = f"{text.number(found.rows)} rows of {text.number(found.workflows)} workflows"
        print(f"log, history files, a replay and SQL say the same: {rows}, {text.duration(found.seconds)}")


def stats(storage: Storage = None, as_json: AsJson = False) -> None:
    """Print what the store holds and how large it is."""
    found = wfstore.open(storage).stats()
    if as_json:
        output.document(found)
        return
    policy = found.pop("retention")
    facts = {str(name).replace("_", " "): output.fact(str(name), value) for name, value in found.items()}
    output.pairs({**facts, "retention": "none" if policy is None else _policy(policy)})


def compact(
    grace: Annotated[
        str, typer.Option(metavar="SPAN", help="How long what is replaced stays for those who read it.")
    ] = "10m",
    background: Annotated[bool, typer.Option("--background", help="Let everybody else go first.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Take the log into compact history files, and remove what was deleted.

    A running manager does this by itself; where none runs, this command does. Reading and writing go on meanwhile.
    """
    if background:
        os.nice(19)
    store = wfstore.open(storage)
    with progress.steps() as show:
        done = store.compact(grace=_span("--grace", grace), progress=show)
    if as_json:
        stats = wfstore.open(storage).stats()
        output.document({**dataclasses.asdict(done), "removed": done.removed._asdict(), "stats": stats})
        return
    print(f"took in {text.number(done.events)} events as {text.number(done.parts)} new part(s)")
    if done.merged or done.purged:
        print(f"merged {text.number(done.merged)} parts, wrote {text.number(done.purged)} files anew for deletions")
    _weights(done.bytes_before, done.bytes_after)
    removed = done.removed
    gone = f"{removed.log_files} log, {removed.history_files} history and {done.payload_files} payload files"
    print(f"removed {gone} that nobody needs any more")


def retain(
    keep: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Delete workflows that ended longer ago: 90d, 26w.")
    ] = None,
    keep_failed: Annotated[
        str | None, typer.Option(metavar="SPAN", help="The same for failed ones; default: as --keep.")
    ] = None,
    payloads: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Drop values, not history, of what ended longer ago.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    store_policy: Annotated[
        bool, typer.Option("--store-policy", help="Keep these spans with the store: what `wfstore retain` alone does.")
    ] = False,
    grace: Annotated[
        str, typer.Option(metavar="SPAN", help="How long what is replaced stays for those who read it.")
    ] = "10m",
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Delete what ended long ago. Open workflows and virtual actors always stay.

    Without a span the policy that was kept with the store applies.
    """
    store = wfstore.open(storage)
    spans = {
        name: None if span is None else _span("--" + name.replace("_", "-"), span)
        for name, span in (("keep", keep), ("keep_failed", keep_failed), ("payloads", payloads))
    }
    grace_s = _span("--grace", grace)
    with progress.steps() as show, _quiet():
        try:
            done = store.retain(**spans, dry_run=dry_run, store_policy=store_policy, grace=grace_s, progress=show)
        except NoPolicyError:
            what = "--store-policy keeps spans" if store_policy else "this store has no policy"
            raise typer.BadParameter(f"{what}: say --keep, --keep-failed or --payloads") from None
    if as_json:
        output.document(dataclasses.asdict(done))
        return
    would = "would delete" if dry_run else "deleted"
    by_status = ", ".join(f"{text.number(count)} {status}" for status, count in done.workflows.items())
    total = sum(done.workflows.values())
    print(f"{would} {text.number(total)} workflows{f' ({by_status})' if by_status else ''}")
    if done.policy["payloads_s"] is not None:
        print(f"{'would drop' if dry_run else 'dropped'} the values of {text.number(done.payload_workflows)} more")
    print(f"{'would remove' if dry_run else 'removed'} {text.number(done.payload_files)} payload files")
    if not dry_run:
        _weights(done.bytes_before, done.bytes_after)
        if done.bytes_waiting:
            print(f"{text.size(done.bytes_waiting)} more will go with the first compaction after the grace of {grace}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Where a manager holds the store, deletions go through it, and what Ray prints goes to stderr. Its cluster is
    joined; none is started here: a second manager would take the store away from the first."""
    os.environ.setdefault("RAY_LOG_TO_DRIVER", "0")
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _span(option: str, given: str) -> timedelta:
    from wfstore.index.filters import length

    try:
        return timedelta(seconds=length(given))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _policy(spans: Mapping[str, float | None]) -> str:
    """As the options that made it: --keep 90d."""
    given = ((name.removesuffix("_s").replace("_", "-"), span) for name, span in spans.items() if span is not None)
    return " ".join(f"--{name} {_shortest(span)}" for name, span in given)


def _shortest(span_s: float) -> str:
    unit, name = next((unit, name) for unit, name in _UNITS if span_s % unit == 0 or name == "s")
    return f"{span_s / unit:g}{name}"


def _weights(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for name in ("log_bytes", "history_bytes", "pack_bytes", "payload_bytes"):
        print(f"{name.removesuffix('_bytes') + ':':<9}{text.size(before[name]):>9} -> {text.size(after[name])}")
