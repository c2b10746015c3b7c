"""`verify` and `stats`: is the store sound, and how large is it."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

import wfstore
from wfstore.cli import output, text
from wfstore.cli.errors import RefusedError
from wfstore.cli.options import AsJson, Storage


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Cut a torn tail off the newest segment, keeping a copy.")
    ] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of the store.

    Exit code 1 when something is wrong that was not repaired.
    """
    found = wfstore.open(storage).verify(repair=repair)
    if as_json:
        output.document({"ok": found.ok, **dataclasses.asdict(found)})
    else:
        for problem in found.repaired:
            print(f"repaired: {text.safe(problem)}")
        for problem in found.problems:
            print(text.safe(problem))
    if not found.ok:
        count = len(found.problems)
        settled = sum(problem.repairable for problem in found.problems)
        advice = f"; `wfstore verify --repair` settles {settled} of them" if settled else ""
        raise RefusedError(f"{count} problem{'s' * (count != 1)} found{advice}")
    if not as_json:
        checked = f"{text.number(found.events)} events in {text.number(found.segments)} segments"
        print(f"ok: {checked}, {text.number(found.payloads)} payload files, {text.size(found.bytes)}")


def stats(storage: Storage = None, as_json: AsJson = False) -> None:
    """Print what the store holds and how large it is."""
    found = wfstore.open(storage).stats()
    if as_json:
        output.document(found)
        return
    output.pairs({str(name).replace("_", " "): output.fact(str(name), value) for name, value in found.items()})
