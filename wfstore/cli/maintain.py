"""`verify` and `stats`: is the store sound, and how large is it."""

from __future__ import annotations

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
    """Check every byte of the store. Exit code 1 when something is wrong."""
    store = wfstore.open(storage)
    found = store.verify(repair=repair)
    problems = [str(problem) for problem in found.problems]
    if as_json:
        output.document({"ok": found.ok, "problems": problems})
    else:
        for problem in problems:
            print(text.safe(problem))
    if not found.ok:
        advice = "" if repair else "; --repair settles a torn tail, nothing else"
        raise RefusedError(f"{len(problems)} problem{'s' * (len(problems) != 1)} found{advice}")
    if not as_json:
        print("ok")


def stats(storage: Storage = None, as_json: AsJson = False) -> None:
    """Print what the store holds and how large it is."""
    found = wfstore.open(storage).stats()
    if as_json:
        output.document(found)
        return
    output.pairs({str(name).replace("_", " "): output.fact(str(name), value) for name, value in found.items()})
