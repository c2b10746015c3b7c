"""`cost`: what the work cost, and what of it came to nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

import wfstore
from wfstore import _text as text
from wfstore.answers.cost import PriceList, Prices, parsed, price_list
from wfstore.cli import formats
from wfstore.cli.formats import FormatOption, OutputOption
from wfstore.cli.options import AsJson, Storage

#: What a table for people leaves out; files and JSON have every column.
_PARTS = ("first_cost", "retry_cost", "fetch_cost", "repeated_cost", "canceled_cost", "failed_cost", "saved_cost")
_HOURS = ("gpu_hours", "memory_gib_hours", "other_hours")


def cost(
    by: Annotated[
        str, typer.Option(metavar="WHAT", help="Sum by name, workflow, task_key, user or metadata.KEY.")
    ] = "name",
    price: Annotated[
        str | None,
        typer.Option(
            metavar="R=P,...",
            help="Prices per hour: cpu=0.04,gpu=2.5, memory (per GiB), custom resources by name; or a file of them.",
        ),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prices per hour, and maybe currency, as JSON or TOML.")
    ] = None,
    currency: Annotated[str | None, typer.Option(metavar="C", help="What the prices are in; only a label.")] = None,
    name: Annotated[str | None, typer.Option(metavar="N", help="Only workflows of this name.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only attempts since: an age (30d, 12h) or a UTC time.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Only attempts before.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many rows, the dearest.")] = None,
    how: FormatOption = None,
    target: OutputOption = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Sum what ended attempts cost: resources x time x price, and which share came to nothing.

    Without prices the cost is in CPU hours. The share wasted went to attempts that failed, were canceled, or had to be
    repeated, and to waiting for arguments. --json and --format have every part.
    """
    if price is not None and prices is not None:
        raise typer.BadParameter("give --price or --prices, not both", param_hint="--price")
    listed = _listed(price) if price is not None else prices
    chosen = formats.chosen(how, as_json, target)
    known = price_list(listed, currency)
    frame = wfstore.open(storage).cost(by, listed, currency=currency, since=since, until=until, name=name, limit=limit)
    _unused(frame, known)
    if chosen is not formats.Format.table or target is not None:
        formats.write(frame, chosen, target, json_columns=("other_hours",))
        return
    formats.write(_shown(frame, by), chosen, human=True)
    _said(frame, "CPU hours" if known is None else (known.currency or "the currency of the prices"), limit)


def _listed(price: str) -> Prices:
    """What stands behind --price: prices, or where they are."""
    if not price.strip():
        raise typer.BadParameter("no price is given; as in cpu=0.04,gpu=2.5, or a file of prices", param_hint="--price")
    is_file = "=" not in price and ("/" in price or Path(price).suffix or Path(price).exists())
    return Path(price) if is_file else parsed(price)


def _unused(frame: pl.DataFrame, known: PriceList | None) -> None:
    """A custom resource that nothing asked for is likely a misspelt name, and the cost does not have it."""
    if known is None or frame.is_empty():
        return
    used = {name for row in frame["other_hours"].drop_nulls() for name in json.loads(row)}
    if unused := sorted(set(known.per_hour) - used - {"cpu", "gpu", "memory"}):
        names = text.safe(", ".join(unused))
        note = "the names are cpu, gpu, memory (a GiB of it) and those of custom resources, all per hour"
        typer.echo(f"Nothing asked for {names}: {note}.", err=True)


def _shown(frame: pl.DataFrame, by: str) -> pl.DataFrame:
    """The columns a person looks at first, rounded; those of resources that nobody asked for are left out."""
    money = ["cost", *(part for part in _PARTS if _any(frame, part))]
    hours = [column for column in _HOURS if column == "other_hours" or _any(frame, column)]
    hours = [column for column in hours if frame[column].null_count() < frame.height]
    chosen = ["value", "attempts", "cpu_hours", *hours, *money, "wasted_share"]
    rounded = frame.select(chosen).with_columns(_rounded(pl.col(pl.Float64).exclude("wasted_share")))
    return rounded.rename({"value": by, "wasted_share": "wasted"})


def _rounded(figures: pl.Expr) -> pl.Expr:
    """What is small is not nothing."""
    return pl.when(figures.abs() >= 0.1).then(figures.round(4)).otherwise(figures.round_sig_figs(3)).name.keep()


def _any(frame: pl.DataFrame, column: str) -> bool:
    return bool((frame[column] > 0).any())


def _said(frame: pl.DataFrame, currency: str, limit: int | None) -> None:
    """The sum, and what it was computed from."""
    if frame.is_empty():
        typer.echo("no attempt has ended that fits")
        return
    sums = _rounded(pl.sum("cost")), pl.sum("attempts", "unpriced"), pl.min("first_at"), pl.max("last_at")
    whole = frame.select(*sums).row(0, named=True)
    what = "these rows" if limit is not None and frame.height >= limit else "in all"
    typer.echo(
        f"{what} {text.decimal(whole['cost'])} ({currency}), from {text.number(whole['attempts'])} attempts "
        f"submitted {text.clock(whole['first_at'])} to {text.clock(whole['last_at'])} UTC"
    )
    if whole["unpriced"]:
        count = text.number(whole["unpriced"])
        typer.echo(f"{count} of them asked for something that has no price; the cost does not have it")
