"""`backup` and `restore`: a copy of a store that may be in use, and a store out of such a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import wfstore
from wfstore import _text as text
from wfstore.cli import output, progress
from wfstore.cli.errors import RefusedError
from wfstore.cli.options import AsJson, Storage

if TYPE_CHECKING:
    from wfstore._backup import BackedUp

NoVerify = Annotated[bool, typer.Option("--no-verify", help="Do not read every byte of the copy again at the end.")]


def backup(
    destination: Annotated[str, typer.Argument(metavar="DEST", help="A path or URI: empty, or an older backup of it.")],
    lost_values: Annotated[
        bool, typer.Option("--lost-values", help="Leave out and name values that are lost, instead of failing.")
    ] = False,
    no_verify: NoVerify = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Copy the store to DEST, while it may be in use.

    The copy is complete up to an event that is told, and is a store itself: every command that reads works on it. Where
    DEST has an older backup of this store, only what is new is copied. Interrupted, it goes on when it is called again.
    """
    store = wfstore.open(storage)
    with progress.steps() as show:
        done = store.backup(destination, verify=not no_verify, lost_values=lost_values, progress=show)
    _tell(done, "backed up", as_json)
    if done.lost:
        count = len(done.lost)
        raise RefusedError(f"{count} value{'s' * (count != 1)} lost at the source, and not in the backup")


def restore(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A path or URI with a backup.")],
    destination: Annotated[str, typer.Argument(metavar="DEST", help="A path or URI where nothing is.")],
    no_verify: NoVerify = False,
    as_json: AsJson = False,
) -> None:
    """Copy the backup at SRC to DEST, as a store to go on with.

    What was open at the time of the backup is RESUMABLE there. Interrupted, it goes on when it is called again.
    """
    with progress.steps() as show:
        done = wfstore.restore(source, destination, verify=not no_verify, progress=show)
    _tell(done, "restored", as_json)


def _tell(done: BackedUp, what: str, as_json: bool) -> None:
    if as_json:
        output.document(done.as_dict())
        return
    print(f"{what} up to event {text.number(done.seq)}, as of {text.clock(done.taken_at)} UTC, to {done.destination}")
    copied = f"{text.number(done.copied_files)} files copied, {text.size(done.copied_bytes)}"
    print(f"{copied}, of {text.number(done.files)} with {text.size(done.bytes)}, in {text.duration(done.seconds)}")
    print("every byte of the copy was read again and is right" if done.verified else "the copy was not read again")
    for name in done.lost:
        print(f"lost: {text.safe(name)}")
