"""`--as-of`: the store as it stood, and a line on stderr that says so."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

import wfstore
from wfstore import _text as text
from wfstore._asof import StoreAsOf

AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="WHEN",
        help="As it stood then: an age (2h, 7d), a UTC time, or the seq of an event (digits alone).",
        show_default=False,
    ),
]


def opened(storage: str | None, when: str | None) -> wfstore.Store:
    """The store, or what it was. Raises ValueError for the future and for what is before the beginning."""
    store = wfstore.open(storage)
    if when is None:
        return store
    past = store.as_of(when)
    typer.echo(f"As of {text.clock(past.at)} UTC (seq {text.number(past.seq)}), not now.", err=True)
    if gone := past.gone:
        ids = "1 id that was" if gone == 1 else f"{text.number(gone)} ids that were"
        typer.echo(f"Without {ids} deleted since, of which nothing is kept.", err=True)
    return past


def moment(store: wfstore.Store) -> datetime | None:
    """The moment that it stands at; None: now."""
    return store.at if isinstance(store, StoreAsOf) else None
